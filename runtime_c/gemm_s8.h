/* int8 fully connected layer. Weights `out in`. */
#ifndef PINGPONNX_GEMM_S8_H
#define PINGPONNX_GEMM_S8_H

#include "kernel.h"

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step; /* 1: a multiplier and a shift for every output, 0: one for all */
} gemm_params_s8;

KERNEL void gemm_s8(const gemm_params_s8 *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                    const int32_t *weight_zero_point, const int32_t *multiplier, const int8_t *shift,
                    int8_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const int8_t *w = weights;
        for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
            const int32_t zero = weight_zero_point != NULL ? weight_zero_point[o] : 0;
            int32_t acc = bias[o];
            for (int32_t i = 0; i < p->in_n; ++i) {
                acc += (input[i] - p->input_zero_point) * (w[i] - zero);
            }
            const int32_t y = requantize_channel(acc, multiplier, shift, o * p->channel_step);
            *output++ = clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
    }
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
KERNEL void gemm_s8_part(const gemm_params_s8 *p, const int8_t *input, int32_t part, int32_t count,
                         int32_t first, int32_t last, const int8_t *weights, const int32_t *bias,
                         const int32_t *weight_zero_point, const int32_t *multiplier, const int8_t *shift,
                         int32_t *sums, int8_t *output) {
    const int8_t *w = weights + (ptrdiff_t)part * count;
    for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
        const int32_t zero = weight_zero_point != NULL ? weight_zero_point[o] : 0;
        int32_t acc = first ? bias[o] : sums[o];
        for (int32_t i = 0; i < count; ++i) {
            acc += (input[i] - p->input_zero_point) * (w[i] - zero);
        }
        sums[o] = acc;
        if (last) {
            const int32_t y = requantize_channel(acc, multiplier, shift, o * p->channel_step);
            output[o] = clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
    }
}

#endif
