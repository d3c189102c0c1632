/* float32 softmax along any axis. May run in place, see softmax.py. */
#ifndef PINGPONNX_SOFTMAX_F32_H
#define PINGPONNX_SOFTMAX_F32_H

#include "kernel.h"

typedef struct {
    int32_t outer, length, inner;
} softmax_params_f32;

/* One lane of p->length values, p->inner apart. */
static inline void softmax_f32_lane(const softmax_params_f32 *p, const float *input, float *output) {
    float best = input[0];
    for (int32_t i = 1; i < p->length; ++i) {
        const float value = input[(ptrdiff_t)i * p->inner];
        best = value > best ? value : best;
    }
    float sum = 0.0f;
    for (int32_t i = 0; i < p->length; ++i) {
        const float e = expf(input[(ptrdiff_t)i * p->inner] - best);
        output[(ptrdiff_t)i * p->inner] = e;
        sum += e;
    }
    for (int32_t i = 0; i < p->length; ++i) {
        output[(ptrdiff_t)i * p->inner] /= sum;
    }
}

KERNEL void softmax_f32(const softmax_params_f32 *p, const float *input, float *output) {
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t lane = 0; lane < p->inner; ++lane) {
            softmax_f32_lane(p, input + lane, output + lane);
        }
        input += (ptrdiff_t)p->length * p->inner;
        output += (ptrdiff_t)p->length * p->inner;
    }
}

#endif
