/* a * b of int16 tensors; the exact product is scaled once. */
#ifndef PINGPONNX_MUL_S16_H
#define PINGPONNX_MUL_S16_H

#include "binary.h"
#include "wide_s16.h"

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    int32_t zero_a, zero_b, zero_y, low, high;
    int32_t multiplier_y, shift_y;
} mul_s16_params;

static inline int16_t mul_s16_value(const mul_s16_params *p, int16_t a, int16_t b) {
    const int64_t product = (int64_t)(a - p->zero_a) * (b - p->zero_b);
    return clamp_s16(requantize_wide(product, p->multiplier_y, p->shift_y) + p->zero_y, p->low, p->high);
}

PINGPONNX_BINARY(mul_s16, mul_s16_params, int16_t)

#endif
