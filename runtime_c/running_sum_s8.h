/* int8 running sums along an axis: lanes of `length` values that are `inner` apart, every sum requantized. */
#ifndef PINGPONNX_RUNNING_SUM_S8_H
#define PINGPONNX_RUNNING_SUM_S8_H

#include "kernel.h"

typedef struct {
    int32_t outer, length, inner;
    int32_t exclusive, reverse;
    int32_t input_zero_point, output_zero_point, multiplier, shift;
} running_sum_params_s8;

KERNEL void running_sum_s8(const running_sum_params_s8 *p, const int8_t *input, int8_t *output) {
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t lane = 0; lane < p->inner; ++lane) {
            int32_t total = 0;
            for (int32_t i = 0; i < p->length; ++i) {
                const int32_t k = p->reverse ? p->length - 1 - i : i;
                const ptrdiff_t at = ((ptrdiff_t)o * p->length + k) * p->inner + lane;
                const int32_t before = total;
                total += input[at] - p->input_zero_point;
                const int32_t sum = p->exclusive ? before : total;
                const int32_t y = requantize(sum, p->multiplier, p->shift) + p->output_zero_point;
                output[at] = clamp_s8(y, INT8_MIN, INT8_MAX);
            }
        }
    }
}

#endif
