/* float32 fully connected layer. Weights `out in`. */
#ifndef PINGPONNX_GEMM_F32_H
#define PINGPONNX_GEMM_F32_H

#include "kernel.h"

typedef struct {
    int32_t rows, in_n, out_n;
    float low, high;
} gemm_params_f32;

/* `acc` and the products of `count` inputs with their weights, in ascending order. */
static inline float gemm_f32_sum(const float *input, const float *weights, int32_t count, float acc) {
    for (int32_t i = 0; i < count; ++i) {
        acc += input[i] * weights[i];
    }
    return acc;
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
KERNEL void gemm_f32_part(const gemm_params_f32 *p, const float *input, int32_t part, int32_t count,
                          int32_t first, int32_t last, const float *weights, const float *bias, float *sums,
                          float *output) {
    const float *w = weights + (ptrdiff_t)part * count;
    for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
        sums[o] = gemm_f32_sum(input, w, count, first ? bias[o] : sums[o]);
        if (last) {
            output[o] = clamp_f32(sums[o], p->low, p->high);
        }
    }
}

KERNEL void gemm_f32(const gemm_params_f32 *p, const float *input, const float *weights, const float *bias,
                     float *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const float *w = weights;
        for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
            *output++ = clamp_f32(gemm_f32_sum(input, w, p->in_n, bias[o]), p->low, p->high);
        }
    }
}

#endif
