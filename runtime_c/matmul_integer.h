/* ONNX MatMulInteger: sums of (a - zero point) * (b - zero point), wrapping in 32 bits as onnxruntime's do.
 */
#ifndef PINGPONNX_MATMUL_INTEGER_H
#define PINGPONNX_MATMUL_INTEGER_H

#include "integer_codes.h"

/* Zero points of a count by row when `a_zero_step` is 1, of b by column when `b_zero_step` is. */
typedef struct {
    int32_t batch[2];
    int32_t a_step[2];
    int32_t b_step[2];
    int32_t m;
    int32_t k;
    int32_t n;
    int32_t a_signed;
    int32_t b_signed;
    int32_t a_zero_step;
    int32_t b_zero_step;
} matmul_integer_params;

KERNEL void matmul_integer(const matmul_integer_params *p, const void *a, const void *b, const void *a_zero,
                           const void *b_zero, int32_t *output) {
    for (int32_t i = 0; i < p->batch[0]; ++i) {
        for (int32_t j = 0; j < p->batch[1]; ++j) {
            const ptrdiff_t a0 = (ptrdiff_t)i * p->a_step[0] + (ptrdiff_t)j * p->a_step[1];
            const ptrdiff_t b0 = (ptrdiff_t)i * p->b_step[0] + (ptrdiff_t)j * p->b_step[1];
            for (int32_t y = 0; y < p->m; ++y) {
                const int32_t za = code_at(a_zero, y * p->a_zero_step, p->a_signed);
                for (int32_t x = 0; x < p->n; ++x) {
                    const int32_t zb = code_at(b_zero, x * p->b_zero_step, p->b_signed);
                    uint32_t sum = 0;
                    for (int32_t q = 0; q < p->k; ++q) {
                        const int32_t left = code_at(a, a0 + (ptrdiff_t)y * p->k + q, p->a_signed) - za;
                        const int32_t right = code_at(b, b0 + (ptrdiff_t)q * p->n + x, p->b_signed) - zb;
                        sum += (uint32_t)(left * right);
                    }
                    *output++ = (int32_t)sum;
                }
            }
        }
    }
}

#endif
