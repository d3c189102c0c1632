/* Sizes of padding: five axes of blocks, `block` neighbouring values each. */
#ifndef PINGPONNX_PAD_PARAMS_H
#define PINGPONNX_PAD_PARAMS_H

#include "kernel.h"

#define PINGPONNX_PAD_GEOMETRY                                                                               \
    int32_t in[5], out[5], before[5]; /* negative: cropped, constant mode only */                            \
    int32_t block;                                                                                           \
    int32_t mode

typedef struct {
    PINGPONNX_PAD_GEOMETRY;
    int32_t value;
} pad_params_s8;

typedef struct {
    PINGPONNX_PAD_GEOMETRY;
    float value;
} pad_params_f32;

enum { PAD_CONSTANT = 0, PAD_EDGE = 1, PAD_REFLECT = 2 };

/* The input index that output index `i` of an axis shows; -1 for the constant. */
static inline int32_t pad_source(int32_t i, int32_t before, int32_t size, int32_t mode) {
    const int32_t index = i - before;
    if (index >= 0 && index < size) {
        return index;
    }
    if (mode == PAD_CONSTANT) {
        return -1;
    }
    if (mode == PAD_EDGE) {
        return index < 0 ? 0 : size - 1;
    }
    return index < 0 ? -index : 2 * (size - 1) - index;
}

#endif
