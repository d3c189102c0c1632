/* int8 matrix product of two activations, batched. */
#ifndef PINGPONNX_MATMUL_S8_H
#define PINGPONNX_MATMUL_S8_H

#include "kernel.h"

typedef struct {
    int32_t batch[2], a_step[2], b_step[2]; /* values per batch index; 0: the operand is repeated */
    int32_t m, k, n;
    int32_t a_zero_point, b_zero_point, output_zero_point, multiplier, shift, low, high;
} matmul_params_s8;

/* Columns whose sums are made together, so that a value of the left operand is read once for all; sums of
 * fewer than MATMUL_DEEP products are unrolled where they stand. */
enum { MATMUL_COLUMNS = 4, MATMUL_DEEP = 16 };

/* A function of its own, once for all nodes, for there it has all registers. */
static __attribute__((noinline, unused)) void matmul_s8_columns(const matmul_params_s8 *p, const int8_t *a,
                                                                const int8_t *b, int32_t *sums) {
    const int32_t a_zero_point = p->a_zero_point, b_zero_point = p->b_zero_point;
    int32_t sum_0 = 0, sum_1 = 0, sum_2 = 0, sum_3 = 0;
    for (int32_t k = p->k; k > 0; --k, b += p->n) {
        const int32_t value = *a++ - a_zero_point;
        sum_0 += value * (b[0] - b_zero_point);
        sum_1 += value * (b[1] - b_zero_point);
        sum_2 += value * (b[2] - b_zero_point);
        sum_3 += value * (b[3] - b_zero_point);
    }
    sums[0] = sum_0;
    sums[1] = sum_1;
    sums[2] = sum_2;
    sums[3] = sum_3;
}

static inline int8_t matmul_s8_value(const matmul_params_s8 *p, int32_t acc) {
    const int32_t y = requantize(acc, p->multiplier, p->shift) + p->output_zero_point;
    return clamp_s8(y, p->low, p->high);
}

/* One row of an m by n matrix. */
static inline void matmul_s8_row(const matmul_params_s8 *p, const int8_t *a, const int8_t *b,
                                 int8_t *output) {
    int32_t j = 0;
    for (; p->k >= MATMUL_DEEP && j + MATMUL_COLUMNS <= p->n; j += MATMUL_COLUMNS) {
        int32_t sums[MATMUL_COLUMNS];
        matmul_s8_columns(p, a, b + j, sums);
        for (int32_t i = 0; i < MATMUL_COLUMNS; ++i) {
            output[j + i] = matmul_s8_value(p, sums[i]);
        }
    }
    for (; j < p->n; ++j) {
        int32_t acc = 0;
        for (int32_t k = 0; k < p->k; ++k) {
            acc += (a[k] - p->a_zero_point) * (b[(ptrdiff_t)k * p->n + j] - p->b_zero_point);
        }
        output[j] = matmul_s8_value(p, acc);
    }
}

KERNEL void matmul_s8(const matmul_params_s8 *p, const int8_t *a, const int8_t *b, int8_t *output) {
    for (int32_t i = 0; i < p->batch[0]; ++i) {
        for (int32_t j = 0; j < p->batch[1]; ++j) {
            const int8_t *left = a + (ptrdiff_t)i * p->a_step[0] + (ptrdiff_t)j * p->a_step[1];
            const int8_t *right = b + (ptrdiff_t)i * p->b_step[0] + (ptrdiff_t)j * p->b_step[1];
            for (int32_t row = 0; row < p->m; ++row, left += p->k, output += p->n) {
                matmul_s8_row(p, left, right, output);
            }
        }
    }
}

#endif
