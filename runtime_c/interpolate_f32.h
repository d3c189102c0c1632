/* float32 resizing along two axes: every output is a weighted sum of `taps` inputs of each axis. */
#ifndef PINGPONNX_INTERPOLATE_F32_H
#define PINGPONNX_INTERPOLATE_F32_H

#include "kernel.h"

typedef struct {
    int32_t outer, in_a, out_a, taps_a, middle, in_b, out_b, taps_b, inner;
    float outside; /* the value of outputs whose first index is negative */
} interpolate_params_f32;

/* The weighted sum around `input`, whose axes have these steps. */
static inline float interpolate_f32_sum(const interpolate_params_f32 *p, const float *input, ptrdiff_t step_a,
                                        const int16_t *from_a, const float *weight_a, const int16_t *from_b,
                                        const float *weight_b) {
    float total = 0.0f;
    for (int32_t i = 0; i < p->taps_a; ++i) {
        const float *row = input + from_a[i] * step_a;
        float sum = 0.0f;
        for (int32_t j = 0; j < p->taps_b; ++j) {
            sum += weight_b[j] * row[(ptrdiff_t)from_b[j] * p->inner];
        }
        total += weight_a[i] * sum;
    }
    return total;
}

/* `from_a`, `weight_a`: input index and weight for every tap of each output index; b likewise. */
KERNEL void interpolate_f32(const interpolate_params_f32 *p, const float *input, const int16_t *from_a,
                            const float *weight_a, const int16_t *from_b, const float *weight_b,
                            float *output) {
    const ptrdiff_t row = (ptrdiff_t)p->in_b * p->inner, step_a = p->middle * row;
    for (int32_t o = 0; o < p->outer; ++o, input += p->in_a * step_a) {
        for (int32_t a = 0; a < p->out_a; ++a) {
            const int16_t *ia = from_a + (ptrdiff_t)a * p->taps_a;
            const float *wa = weight_a + (ptrdiff_t)a * p->taps_a;
            for (int32_t m = 0; m < p->middle; ++m) {
                for (int32_t b = 0; b < p->out_b; ++b) {
                    const int16_t *ib = from_b + (ptrdiff_t)b * p->taps_b;
                    const float *wb = weight_b + (ptrdiff_t)b * p->taps_b;
                    for (int32_t c = 0; c < p->inner; ++c) {
                        const float *at = input + m * row + c;
                        *output++ = ia[0] < 0 || ib[0] < 0
                                        ? p->outside
                                        : interpolate_f32_sum(p, at, step_a, ia, wa, ib, wb);
                    }
                }
            }
        }
    }
}

#endif
