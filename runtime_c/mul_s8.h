/* a * b of int8 tensors; the product is exact in int32 and scaled once. */
#ifndef PINGPONNX_MUL_S8_H
#define PINGPONNX_MUL_S8_H

#include "binary.h"

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    int32_t zero_a, zero_b, zero_y, low, high;
    int32_t multiplier_y, shift_y;
} mul_s8_params;

static inline int8_t mul_s8_value(const mul_s8_params *p, int8_t a, int8_t b) {
    const int32_t y = requantize((a - p->zero_a) * (b - p->zero_b), p->multiplier_y, p->shift_y);
    return clamp_s8(y + p->zero_y, p->low, p->high);
}

PINGPONNX_BINARY(mul_s8, mul_s8_params, int8_t)

#endif
