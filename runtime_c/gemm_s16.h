/* int16 fully connected layer with int8 weights `out in`. Sums have 64 bits where the converter could not
 * prove that 32 suffice. */
#ifndef PINGPONNX_GEMM_S16_H
#define PINGPONNX_GEMM_S16_H

#include "wide_s16.h"

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step; /* 1: a multiplier and a shift for every output, 0: one for all */
    int32_t long_sums;
} gemm_params_s16;

/* `from` plus the products of `count` values with a row of weights. */
static inline int64_t gemm_s16_sum(const gemm_params_s16 *p, const int16_t *input, const int8_t *w,
                                   int32_t weight_zero_point, int32_t count, int64_t from) {
    if (p->long_sums) {
        for (int32_t i = 0; i < count; ++i) {
            from += (input[i] - p->input_zero_point) * (w[i] - weight_zero_point);
        }
        return from;
    }
    int32_t sum = (int32_t)from;
    for (int32_t i = 0; i < count; ++i) {
        sum += (input[i] - p->input_zero_point) * (w[i] - weight_zero_point);
    }
    return sum;
}

KERNEL void gemm_s16(const gemm_params_s16 *p, const int16_t *input, const int8_t *weights,
                     const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                     const int8_t *shift, int16_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const int8_t *w = weights;
        for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
            const int32_t zero = weight_zero_point != NULL ? weight_zero_point[o] : 0;
            const int64_t sum = gemm_s16_sum(p, input, w, zero, p->in_n, bias[o]);
            const int32_t y = requantize_wide_channel(sum, multiplier, shift, o * p->channel_step);
            *output++ = clamp_s16(y + p->output_zero_point, p->low, p->high);
        }
    }
}

/* Accumulator `o` of a layer by parts; those of 64 bits are aligned to words only. */
static inline int64_t gemm_s16_load(const gemm_params_s16 *p, const void *sums, int32_t o) {
    int64_t sum = 0;
    if (!p->long_sums) {
        return ((const int32_t *)sums)[o];
    }
    memcpy(&sum, (const int32_t *)sums + 2 * o, sizeof sum);
    return sum;
}

static inline void gemm_s16_store(const gemm_params_s16 *p, void *sums, int32_t o, int64_t sum) {
    if (p->long_sums) {
        memcpy((int32_t *)sums + 2 * o, &sum, sizeof sum);
    } else {
        ((int32_t *)sums)[o] = (int32_t)sum;
    }
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
KERNEL void gemm_s16_part(const gemm_params_s16 *p, const int16_t *input, int32_t part, int32_t count,
                          int32_t first, int32_t last, const int8_t *weights, const int32_t *bias,
                          const int32_t *weight_zero_point, const int32_t *multiplier, const int8_t *shift,
                          void *sums, int16_t *output) {
    const int8_t *w = weights + (ptrdiff_t)part * count;
    for (int32_t o = 0; o < p->out_n; ++o, w += p->in_n) {
        const int32_t zero = weight_zero_point != NULL ? weight_zero_point[o] : 0;
        const int64_t from = first ? bias[o] : gemm_s16_load(p, sums, o);
        const int64_t sum = gemm_s16_sum(p, input, w, zero, count, from);
        gemm_s16_store(p, sums, o, sum);
        if (last) {
            const int32_t y = requantize_wide_channel(sum, multiplier, shift, o * p->channel_step);
            output[o] = clamp_s16(y + p->output_zero_point, p->low, p->high);
        }
    }
}

#endif
