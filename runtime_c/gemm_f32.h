/* float32 fully connected layer. Weights `out in`. */
#ifndef PINGPONNX_GEMM_F32_H
#define PINGPONNX_GEMM_F32_H

#include "kernel.h"

typedef struct {
    int32_t rows, in_n, out_n;
    float low, high;
} gemm_params_f32;

KERNEL void gemm_f32(const gemm_params_f32 *p, const float *input, const float *weights, const float *bias,
                     float *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const float *w = weights;
        for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
            float acc = bias[o];
            for (int32_t i = 0; i < p->in_n; ++i) {
                acc += input[i] * w[i];
            }
            *output++ = clamp_f32(acc, p->low, p->high);
        }
    }
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
KERNEL void gemm_f32_part(const gemm_params_f32 *p, const float *input, int32_t part, int32_t count,
                          int32_t first, int32_t last, const float *weights, const float *bias, float *sums,
                          float *output) {
    const float *w = weights + (ptrdiff_t)part * count;
    for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
        float acc = first ? bias[o] : sums[o];
        for (int32_t i = 0; i < count; ++i) {
            acc += input[i] * w[i];
        }
        sums[o] = acc;
        if (last) {
            output[o] = clamp_f32(acc, p->low, p->high);
        }
    }
}

#endif
