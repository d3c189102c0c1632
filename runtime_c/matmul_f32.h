/* float32 matrix product of two activations, batched. */
#ifndef PINGPONNX_MATMUL_F32_H
#define PINGPONNX_MATMUL_F32_H

#include "kernel.h"

typedef struct {
    int32_t batch[2], a_step[2], b_step[2]; /* values per batch index; 0: the operand is repeated */
    int32_t m, k, n;
    float low, high;
} matmul_params_f32;

/* One m by n matrix. */
static inline void matmul_f32_matrix(const matmul_params_f32 *p, const float *a, const float *b,
                                     float *output) {
    for (int32_t i = 0; i < p->m; ++i, a += p->k) {
        for (int32_t j = 0; j < p->n; ++j) {
            float acc = 0.0f;
            for (int32_t k = 0; k < p->k; ++k) {
                acc += a[k] * b[(ptrdiff_t)k * p->n + j];
            }
            *output++ = clamp_f32(acc, p->low, p->high);
        }
    }
}

KERNEL void matmul_f32(const matmul_params_f32 *p, const float *a, const float *b, float *output) {
    for (int32_t i = 0; i < p->batch[0]; ++i) {
        for (int32_t j = 0; j < p->batch[1]; ++j) {
            matmul_f32_matrix(p, a + (ptrdiff_t)i * p->a_step[0] + (ptrdiff_t)j * p->a_step[1],
                              b + (ptrdiff_t)i * p->b_step[0] + (ptrdiff_t)j * p->b_step[1], output);
            output += (ptrdiff_t)p->m * p->n;
        }
    }
}

#endif
