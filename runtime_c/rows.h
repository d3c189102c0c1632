/* Where the rows of a streamed tensor lie. */
#ifndef PINGPONNX_ROWS_H
#define PINGPONNX_ROWS_H

#include "kernel.h"

/* A function of its own, so that a profile tells the nodes apart. */
#if defined(__GNUC__)
#define PINGPONNX_STEP static __attribute__((noinline))
#else
#define PINGPONNX_STEP static
#endif

/* The place of a row in a ring of `rows` rows of `bytes` bytes. */
static inline uint8_t *ring_row(uint8_t *ring, int32_t row, uint32_t rows, uint32_t bytes) {
    return ring + (uint32_t)row % rows * bytes;
}

#endif
