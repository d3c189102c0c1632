/* int8 sums and means over any axes: the exact sum, requantized once. */
#ifndef PINGPONNX_REDUCE_S8_H
#define PINGPONNX_REDUCE_S8_H

#include "kernel.h"

typedef struct {
    int32_t kept[4], kept_step[4], reduced[4], reduced_step[4];
    int32_t zero_sum, zero_point, multiplier, shift;
} reduce_params_s8;

static inline int32_t reduce_s8_sum(const reduce_params_s8 *p, const int8_t *input) {
    int32_t sum = 0;
    for (int32_t a = 0; a < p->reduced[0]; ++a) {
        for (int32_t b = 0; b < p->reduced[1]; ++b) {
            for (int32_t c = 0; c < p->reduced[2]; ++c) {
                const int8_t *from = input + (ptrdiff_t)a * p->reduced_step[0] +
                                     (ptrdiff_t)b * p->reduced_step[1] + (ptrdiff_t)c * p->reduced_step[2];
                for (int32_t d = 0; d < p->reduced[3]; ++d) {
                    sum += from[(ptrdiff_t)d * p->reduced_step[3]];
                }
            }
        }
    }
    return sum;
}

KERNEL void reduce_sum_s8(const reduce_params_s8 *p, const int8_t *input, int8_t *output) {
    for (int32_t a = 0; a < p->kept[0]; ++a) {
        for (int32_t b = 0; b < p->kept[1]; ++b) {
            for (int32_t c = 0; c < p->kept[2]; ++c) {
                const int8_t *from = input + (ptrdiff_t)a * p->kept_step[0] + (ptrdiff_t)b * p->kept_step[1] +
                                     (ptrdiff_t)c * p->kept_step[2];
                for (int32_t d = 0; d < p->kept[3]; ++d, from += p->kept_step[3]) {
                    const int32_t sum = reduce_s8_sum(p, from) - p->zero_sum;
                    const int32_t y = requantize(sum, p->multiplier, p->shift) + p->zero_point;
                    *output++ = clamp_s8(y, INT8_MIN, INT8_MAX);
                }
            }
        }
    }
}

#endif
