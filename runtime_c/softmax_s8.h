/* int8 softmax: exponentials from a table, one 64-bit division per lane. May run in place, see softmax.py. */
#ifndef PINGPONNX_SOFTMAX_S8_H
#define PINGPONNX_SOFTMAX_S8_H

#include "kernel.h"

typedef struct {
    int32_t outer, length, inner;
    uint32_t inverse_high, inverse_low; /* 2^shift / output scale, below (2^32 - 1) * exponentials[0] */
    int32_t shift, output_zero_point;
} softmax_params_s8;

#define SOFTMAX_S8_FAR 512u /* a quotient that saturates whatever the zero point is */

/* One lane of p->length values, p->inner apart. */
static inline void softmax_s8_lane(const softmax_params_s8 *p, const int8_t *input,
                                   const uint32_t *exponentials, int8_t *output) {
    int32_t best = INT8_MIN;
    for (int32_t i = 0; i < p->length; ++i) {
        best = max_s32(best, input[(ptrdiff_t)i * p->inner]);
    }
    uint32_t sum = 0; /* fits: the table's scale is chosen for this length */
    for (int32_t i = 0; i < p->length; ++i) {
        sum += exponentials[best - input[(ptrdiff_t)i * p->inner]];
    }
    const uint64_t inverse = ((uint64_t)p->inverse_high << 32) | p->inverse_low;
    const uint32_t reciprocal = (uint32_t)((inverse + sum / 2) / sum); /* fits, as inverse is bounded */
    /* halves go down: a uniform lane of 512 gives exactly one half, which onnxruntime rounds to even, 0 */
    const uint64_t half_down = ((uint64_t)1 << (p->shift - 1)) - 1;
    for (int32_t i = 0; i < p->length; ++i) {
        const uint32_t e = exponentials[best - input[(ptrdiff_t)i * p->inner]];
        const uint64_t quotient = ((uint64_t)e * reciprocal + half_down) >> p->shift;
        const int32_t steps = (int32_t)(quotient < SOFTMAX_S8_FAR ? quotient : SOFTMAX_S8_FAR);
        output[(ptrdiff_t)i * p->inner] = clamp_s8(steps + p->output_zero_point, INT8_MIN, INT8_MAX);
    }
}

KERNEL void softmax_s8(const softmax_params_s8 *p, const int8_t *input, const uint32_t *exponentials,
                       int8_t *output) {
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t lane = 0; lane < p->inner; ++lane) {
            softmax_s8_lane(p, input + lane, exponentials, output + lane);
        }
        input += (ptrdiff_t)p->length * p->inner;
        output += (ptrdiff_t)p->length * p->inner;
    }
}

#endif
