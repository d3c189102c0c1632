/* int8 fully connected layer, four outputs at once; see blocked_s8.h. */
#ifndef PINGPONNX_GEMM_BLOCKED_S8_H
#define PINGPONNX_GEMM_BLOCKED_S8_H

#include "blocked_s8.h"
#include "gemm_s8.h"

static inline blocked_s8_scaling gemm_blocked_s8_scaling(const gemm_params_s8 *p, const int32_t *multiplier,
                                                         const int8_t *shift) {
    return (blocked_s8_scaling){multiplier, shift, p->channel_step, p->output_zero_point, p->low, p->high};
}

KERNEL void gemm_blocked_s8(const gemm_params_s8 *p, const int8_t *input, const int8_t *weights,
                            const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                            int8_t *output) {
    const blocked_s8_scaling scaling = gemm_blocked_s8_scaling(p, multiplier, shift);
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n, output += p->out_n) {
        const int8_t *w = weights;
        for (int32_t o = 0; o < p->out_n; o += BLOCKED_CHANNELS, w += BLOCKED_CHANNELS * p->in_n) {
            int32_t sums[BLOCKED_CHANNELS] = {bias[o], bias[o + 1], bias[o + 2], bias[o + 3]};
            blocked_s8_run(sums, input, w, p->in_n);
            for (int32_t i = 0; i < min_s32(BLOCKED_CHANNELS, p->out_n - o); ++i) {
                output[o + i] = blocked_s8_output(sums[i], scaling, o + i);
            }
        }
    }
}

/* Part number `part` of the input, as gemm_s8_part; `kept` are the sums so far. */
KERNEL void gemm_blocked_s8_part(const gemm_params_s8 *p, const int8_t *input, int32_t part, int32_t count,
                                 int32_t first, int32_t last, const int8_t *weights, const int32_t *bias,
                                 const int32_t *multiplier, const int8_t *shift, int32_t *kept,
                                 int8_t *output) {
    const blocked_s8_scaling scaling = gemm_blocked_s8_scaling(p, multiplier, shift);
    const int8_t *w = weights + (ptrdiff_t)part * count * BLOCKED_CHANNELS;
    for (int32_t o = 0; o < p->out_n; o += BLOCKED_CHANNELS, w += BLOCKED_CHANNELS * p->in_n) {
        const int32_t channels = min_s32(BLOCKED_CHANNELS, p->out_n - o);
        int32_t sums[BLOCKED_CHANNELS] = {0};
        for (int32_t i = 0; i < channels; ++i) {
            sums[i] = first ? bias[o + i] : kept[o + i];
        }
        blocked_s8_run(sums, input, w, count);
        for (int32_t i = 0; i < channels; ++i) {
            kept[o + i] = sums[i];
            if (last) {
                output[o + i] = blocked_s8_output(sums[i], scaling, o + i);
            }
        }
    }
}

#endif
