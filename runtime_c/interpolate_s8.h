/* int8 resizing along two axes: every output is a weighted sum of `taps` inputs of each axis, rounded once.
 *
 * Weights have 20 binary places; the sums over one axis fit 32 bits, the sums of sums 64.
 */
#ifndef PINGPONNX_INTERPOLATE_S8_H
#define PINGPONNX_INTERPOLATE_S8_H

#include "kernel.h"

#define INTERPOLATE_PLACES 20

typedef struct {
    int32_t outer, in_a, out_a, taps_a, middle, in_b, out_b, taps_b, inner;
    int32_t outside; /* the code of outputs whose first index is negative */
    int32_t input_zero_point, output_zero_point, multiplier, shift;
} interpolate_params_s8;

/* The output around `input`, whose axes have these steps. */
static inline int8_t interpolate_s8_value(const interpolate_params_s8 *p, const int8_t *input,
                                          ptrdiff_t step_a, const int16_t *from_a, const int32_t *weight_a,
                                          const int16_t *from_b, const int32_t *weight_b) {
    int64_t total = (int64_t)1 << (INTERPOLATE_PLACES - 1);
    for (int32_t i = 0; i < p->taps_a; ++i) {
        const int8_t *row = input + from_a[i] * step_a;
        int32_t sum = 0;
        for (int32_t j = 0; j < p->taps_b; ++j) {
            sum += weight_b[j] * (row[(ptrdiff_t)from_b[j] * p->inner] - p->input_zero_point);
        }
        total += (int64_t)weight_a[i] * sum;
    }
    const int32_t acc = (int32_t)(total >> INTERPOLATE_PLACES);
    return clamp_s8(requantize(acc, p->multiplier, p->shift) + p->output_zero_point, INT8_MIN, INT8_MAX);
}

/* `from_a`, `weight_a`: input index and weight for every tap of each output index; b likewise. */
KERNEL void interpolate_s8(const interpolate_params_s8 *p, const int8_t *input, const int16_t *from_a,
                           const int32_t *weight_a, const int16_t *from_b, const int32_t *weight_b,
                           int8_t *output) {
    const ptrdiff_t row = (ptrdiff_t)p->in_b * p->inner, step_a = p->middle * row;
    for (int32_t o = 0; o < p->outer; ++o, input += p->in_a * step_a) {
        for (int32_t a = 0; a < p->out_a; ++a) {
            const int16_t *ia = from_a + (ptrdiff_t)a * p->taps_a;
            const int32_t *wa = weight_a + (ptrdiff_t)a * p->taps_a;
            for (int32_t m = 0; m < p->middle; ++m) {
                for (int32_t b = 0; b < p->out_b; ++b) {
                    const int16_t *ib = from_b + (ptrdiff_t)b * p->taps_b;
                    const int32_t *wb = weight_b + (ptrdiff_t)b * p->taps_b;
                    for (int32_t c = 0; c < p->inner; ++c) {
                        const int8_t *at = input + m * row + c;
                        *output++ = ia[0] < 0 || ib[0] < 0
                                        ? (int8_t)p->outside
                                        : interpolate_s8_value(p, at, step_a, ia, wa, ib, wb);
                    }
                }
            }
        }
    }
}

#endif
