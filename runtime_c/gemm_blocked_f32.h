/* float32 fully connected layer, four outputs at once; see blocked_f32.h. */
#ifndef PINGPONNX_GEMM_BLOCKED_F32_H
#define PINGPONNX_GEMM_BLOCKED_F32_H

#include "blocked_f32.h"
#include "gemm_f32.h"

KERNEL void gemm_blocked_f32(const gemm_params_f32 *p, const float *input, const float *weights,
                             const float *bias, float *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n, output += p->out_n) {
        const float *w = weights;
        for (int32_t o = 0; o < p->out_n; o += BLOCKED_CHANNELS, w += BLOCKED_CHANNELS * p->in_n) {
            float sums[BLOCKED_CHANNELS] = {bias[o], bias[o + 1], bias[o + 2], bias[o + 3]};
            blocked_f32_run(sums, input, w, p->in_n);
            for (int32_t i = 0; i < min_s32(BLOCKED_CHANNELS, p->out_n - o); ++i) {
                output[o + i] = clamp_f32(sums[i], p->low, p->high);
            }
        }
    }
}

/* Part number `part` of the input, as gemm_f32_part; `kept` are the sums so far. */
KERNEL void gemm_blocked_f32_part(const gemm_params_f32 *p, const float *input, int32_t part, int32_t count,
                                  int32_t first, int32_t last, const float *weights, const float *bias,
                                  float *kept, float *output) {
    const float *w = weights + (ptrdiff_t)part * count * BLOCKED_CHANNELS;
    for (int32_t o = 0; o < p->out_n; o += BLOCKED_CHANNELS, w += BLOCKED_CHANNELS * p->in_n) {
        const int32_t channels = min_s32(BLOCKED_CHANNELS, p->out_n - o);
        float sums[BLOCKED_CHANNELS] = {0};
        for (int32_t i = 0; i < channels; ++i) {
            sums[i] = first ? bias[o + i] : kept[o + i];
        }
        blocked_f32_run(sums, input, w, count);
        for (int32_t i = 0; i < channels; ++i) {
            kept[o + i] = sums[i];
            if (last) {
                output[o + i] = clamp_f32(sums[i], p->low, p->high);
            }
        }
    }
}

#endif
