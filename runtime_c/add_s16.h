/* a + b of int16 tensors (a - b: a negative multiplier): the exact sum of both products is scaled once. */
#ifndef PINGPONNX_ADD_S16_H
#define PINGPONNX_ADD_S16_H

#include "binary.h"
#include "wide_s16.h"

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    int32_t zero_a, zero_b, zero_y, low, high;
    int32_t multiplier_a, multiplier_b, shift; /* to the right */
} add_s16_params;

static inline int16_t add_s16_value(const add_s16_params *p, int16_t a, int16_t b) {
    const int64_t sum =
        (int64_t)(a - p->zero_a) * p->multiplier_a + (int64_t)(b - p->zero_b) * p->multiplier_b;
    const int32_t y = (int32_t)((sum + ((int64_t)1 << (p->shift - 1))) >> p->shift);
    return clamp_s16(y + p->zero_y, p->low, p->high);
}

PINGPONNX_BINARY(add_s16, add_s16_params, int16_t)

#endif
