/* a + b of int8 tensors, as TFLite and CMSIS-NN: both get 20 more bits and a common scale first. */
#ifndef PINGPONNX_ADD_S8_H
#define PINGPONNX_ADD_S8_H

#include "binary.h"

/* Bits that inputs get before they are brought to a common scale: TFLite's choice. */
#define ADD_S8_EXTRA_BITS 20

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    int32_t zero_a, zero_b, zero_y, low, high;
    int32_t multiplier_a, shift_a, multiplier_b, shift_b, multiplier_y, shift_y;
} add_s8_params;

static inline int8_t add_s8_value(const add_s8_params *p, int8_t a, int8_t b) {
    const int32_t wide_a =
        requantize((a - p->zero_a) * (1 << ADD_S8_EXTRA_BITS), p->multiplier_a, p->shift_a);
    const int32_t wide_b =
        requantize((b - p->zero_b) * (1 << ADD_S8_EXTRA_BITS), p->multiplier_b, p->shift_b);
    const int32_t y = requantize(wide_a + wide_b, p->multiplier_y, p->shift_y);
    return clamp_s8(y + p->zero_y, p->low, p->high);
}

PINGPONNX_BINARY(add_s8, add_s8_params, int8_t)

#endif
