/* int8 matrix product of two activations, batched. */
#ifndef PINGPONNX_MATMUL_S8_H
#define PINGPONNX_MATMUL_S8_H

#include "kernel.h"

typedef struct {
    int32_t batch[2], a_step[2], b_step[2]; /* values per batch index; 0: the operand is repeated */
    int32_t m, k, n;
    int32_t a_zero_point, b_zero_point, output_zero_point, multiplier, shift, low, high;
} matmul_params_s8;

/* One m by n matrix. */
static inline void matmul_s8_matrix(const matmul_params_s8 *p, const int8_t *a, const int8_t *b,
                                    int8_t *output) {
    for (int32_t i = 0; i < p->m; ++i, a += p->k) {
        for (int32_t j = 0; j < p->n; ++j) {
            int32_t acc = 0;
            for (int32_t k = 0; k < p->k; ++k) {
                acc += (a[k] - p->a_zero_point) * (b[(ptrdiff_t)k * p->n + j] - p->b_zero_point);
            }
            const int32_t y = requantize(acc, p->multiplier, p->shift) + p->output_zero_point;
            *output++ = clamp_s8(y, p->low, p->high);
        }
    }
}

KERNEL void matmul_s8(const matmul_params_s8 *p, const int8_t *a, const int8_t *b, int8_t *output) {
    for (int32_t i = 0; i < p->batch[0]; ++i) {
        for (int32_t j = 0; j < p->batch[1]; ++j) {
            matmul_s8_matrix(p, a + (ptrdiff_t)i * p->a_step[0] + (ptrdiff_t)j * p->a_step[1],
                             b + (ptrdiff_t)i * p->b_step[0] + (ptrdiff_t)j * p->b_step[1], output);
            output += (ptrdiff_t)p->m * p->n;
        }
    }
}

#endif
