/* int8 values times a factor: PRelu, and Div as a product with reciprocals. All factors of a node have one
 * shift, see scaled.py. May run in place. */
#ifndef PINGPONNX_SCALED_S8_H
#define PINGPONNX_SCALED_S8_H

#include "binary.h"

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    int32_t zero_a, zero_b, zero_y, shift;
    int32_t split, above; /* with `split`, values that are not negative have the multiplier `above` */
} scaled_params_s8;

#define SCALED_S8_LEFT_SHIFT 20

static inline int8_t scaled_s8_value(const scaled_params_s8 *p, int8_t a, int32_t multiplier) {
    const int32_t steps = a - p->zero_a;
    const int32_t factor = p->split && steps >= 0 ? p->above : multiplier;
    const int32_t y = requantize(steps * (1 << SCALED_S8_LEFT_SHIFT), factor, p->shift);
    return clamp_s8(y + p->zero_y, INT8_MIN, INT8_MAX);
}

/* `b` has a multiplier for every value that it stands for. */
KERNEL void scaled_s8(const scaled_params_s8 *p, const int8_t *a, const int32_t *b, int8_t *output) {
    PINGPONNX_BINARY_LOOPS(int8_t, int32_t, scaled_s8_value(p, *in_a, *in_b))
}

/* 0 / 0 is not a number, and that is the smallest code. */
static inline int8_t scaled_by_code_s8_value(const scaled_params_s8 *p, int8_t a, int8_t b,
                                             const int32_t *multipliers) {
    return a == p->zero_a && b == p->zero_b ? (int8_t)INT8_MIN : scaled_s8_value(p, a, multipliers[b + 128]);
}

/* `multipliers` has one for every code of `b`. */
KERNEL void scaled_by_code_s8(const scaled_params_s8 *p, const int8_t *a, const int8_t *b,
                              const int32_t *multipliers, int8_t *output) {
    PINGPONNX_BINARY_LOOPS(int8_t, int8_t, scaled_by_code_s8_value(p, *in_a, *in_b, multipliers))
}

#endif
