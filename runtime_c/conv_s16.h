/* int16 convolution with int8 weights by rows, any geometry, with a fused clamp and max-pool. Weights
 * `oc kh kw ic/groups`. Sums have 64 bits where the converter could not prove that 32 suffice. */
#ifndef PINGPONNX_CONV_S16_H
#define PINGPONNX_CONV_S16_H

#include "conv_params.h"
#include "wide_s16.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step; /* 1: a multiplier and a shift for every channel, 0: one for all */
    int32_t long_sums;
} conv_params_s16;

/* One accumulator: output channel `oc` of the unpooled column `x`, kernel row 0 at rows[row]. */
#define CONV_S16_ACCUMULATE(name, sum)                                                                       \
    static inline sum name(const conv_params_s16 *p, const int16_t *const *rows, int32_t row, int32_t x,     \
                           const int8_t *weights, int32_t oc, int32_t bias, int32_t weight_zero_point) {     \
        const int32_t channels = p->in_c / p->groups;                                                        \
        const int32_t group = oc / (p->out_c / p->groups);                                                   \
        const int8_t *w = weights + (ptrdiff_t)oc * p->kernel_h * p->kernel_w * channels;                    \
        sum acc = bias;                                                                                      \
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {                                                       \
            const int16_t *in_row = rows[row + ky * p->dilation_h];                                          \
            for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += channels) {                                    \
                const int32_t in_x = x * p->stride_w - p->pad_left + kx * p->dilation_w;                     \
                if (in_row == NULL || in_x < 0 || in_x >= p->in_w) {                                         \
                    continue; /* padding is the zero point: it adds nothing */                               \
                }                                                                                            \
                const int16_t *in = in_row + (ptrdiff_t)in_x * p->in_c + (ptrdiff_t)group * channels;        \
                for (int32_t c = 0; c < channels; ++c) {                                                     \
                    acc += (in[c] - p->input_zero_point) * (w[c] - weight_zero_point);                       \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        return acc;                                                                                          \
    }

CONV_S16_ACCUMULATE(conv_s16_sum, int32_t)
CONV_S16_ACCUMULATE(conv_s16_long_sum, int64_t)

#undef CONV_S16_ACCUMULATE

/* The maximum of `pool_h` rows and the pool's columns of accumulators, scaled: scales are positive. */
static inline int16_t conv_s16_value(const conv_params_s16 *p, const int16_t *const *rows, int32_t pool_h,
                                     int32_t x, const int8_t *weights, const int32_t *bias,
                                     const int32_t *weight_zero_point, const int32_t *multiplier,
                                     const int8_t *shift, int32_t oc) {
    const int32_t zero = weight_zero_point != NULL ? weight_zero_point[oc] : 0;
    int64_t best = INT64_MIN;
    for (int32_t py = 0; py < pool_h; ++py) {
        for (int32_t px = 0; px < p->pool_w; ++px) {
            const int32_t row = py * p->stride_h, column = x * p->pool_stride_w + px;
            const int64_t sum = p->long_sums
                                    ? conv_s16_long_sum(p, rows, row, column, weights, oc, bias[oc], zero)
                                    : conv_s16_sum(p, rows, row, column, weights, oc, bias[oc], zero);
            best = sum > best ? sum : best;
        }
    }
    const int32_t y = requantize_wide_channel(best, multiplier, shift, oc * p->channel_step);
    return clamp_s16(y + p->output_zero_point, p->low, p->high);
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_s16_row(const conv_params_s16 *p, const int16_t *const *rows, const int8_t *weights,
                         const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                         const int8_t *shift, int16_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc) {
            *output++ = conv_s16_value(p, rows, p->pool_h, x, weights, bias, weight_zero_point, multiplier,
                                       shift, oc);
        }
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already. Scaling and clamp keep the order.
 */
KERNEL void conv_s16_part(const conv_params_s16 *p, const int16_t *const *rows, const int8_t *weights,
                          const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                          const int8_t *shift, int32_t first, int16_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc, ++output) {
            const int16_t value =
                conv_s16_value(p, rows, 1, x, weights, bias, weight_zero_point, multiplier, shift, oc);
            *output = first || value > *output ? value : *output;
        }
    }
}

KERNEL void conv_s16(const conv_params_s16 *p, const int16_t *input, const int8_t *weights,
                     const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                     const int8_t *shift, const int16_t **rows, int16_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s16(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                            in_row);
            conv_s16_row(p, rows, weights, bias, weight_zero_point, multiplier, shift, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
