/* The scratch buffer of one CMSIS-NN call, and the test build's proof that the call stays within it.
 *
 * CMSIS_CONTEXT declares `context`. With PINGPONNX_CANARY defined it ignores the buffer it is given and
 * takes one of exactly that size from the stack, between guard bytes, which cmsis_intact checks after the
 * call. So the memory plan, and with it everything else in the arena, is the same with and without it.
 */
#ifndef PINGPONNX_CMSIS_SCRATCH_H
#define PINGPONNX_CMSIS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "cmsis_nn.h"

/* What the cmsis_* functions return. */
enum {
    CMSIS_OK = 0,
    CMSIS_REFUSED = 1,       /* CMSIS-NN returned an error */
    CMSIS_SCRATCH_SMALL = 2, /* CMSIS-NN wants more scratch than was planned */
    CMSIS_SCRATCH_OVERRUN = 3
};

#if defined(PINGPONNX_CANARY)

#define CMSIS_GUARD 32u /* bytes; keeps the buffer aligned to 8 */
#define CMSIS_GUARD_VALUE 0xA5u

static inline void *cmsis_guard(uint64_t *block, int32_t bytes) {
    uint8_t *const all = (uint8_t *)block;
    for (size_t i = 0; i < (size_t)bytes + 2u * CMSIS_GUARD; ++i) {
        all[i] = CMSIS_GUARD_VALUE;
    }
    return bytes > 0 ? all + CMSIS_GUARD : NULL;
}

static inline int cmsis_guard_intact(const uint64_t *block, int32_t bytes) {
    const uint8_t *const all = (const uint8_t *)block;
    for (size_t i = 0; i < CMSIS_GUARD; ++i) {
        if (all[i] != CMSIS_GUARD_VALUE || all[CMSIS_GUARD + (size_t)bytes + i] != CMSIS_GUARD_VALUE) {
            return 0;
        }
    }
    return 1;
}

#define CMSIS_CONTEXT(scratch, bytes)                                                                        \
    (void)(scratch);                                                                                         \
    uint64_t guarded_block[((size_t)(bytes) + 2u * CMSIS_GUARD + 7u) / 8u];                                  \
    const cmsis_nn_context context = {.buf = cmsis_guard(guarded_block, bytes), .size = (bytes)}
#define cmsis_intact(bytes) cmsis_guard_intact(guarded_block, bytes)

#else

#define CMSIS_CONTEXT(scratch, bytes) const cmsis_nn_context context = {.buf = (scratch), .size = (bytes)}
#define cmsis_intact(bytes) 1

#endif

/* CMSIS_OK, or why not: the end of every cmsis_* function. */
static inline int cmsis_outcome(arm_cmsis_nn_status status, int intact) {
    if (status != ARM_CMSIS_NN_SUCCESS) {
        return CMSIS_REFUSED;
    }
    return intact ? CMSIS_OK : CMSIS_SCRATCH_OVERRUN;
}

#endif
