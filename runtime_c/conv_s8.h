/* int8 convolution by rows, any geometry, with a fused clamp and max-pool. Weights `oc kh kw ic/groups`. */
#ifndef PINGPONNX_CONV_S8_H
#define PINGPONNX_CONV_S8_H

#include "conv_params.h"

/* One accumulator: output channel `oc` of the unpooled column `x`, kernel row 0 at rows[row]. */
static inline int32_t conv_s8_accumulate(const conv_params_s8 *p, const int8_t *const *rows, int32_t row,
                                         int32_t x, const int8_t *weights, int32_t oc, int32_t bias,
                                         int32_t weight_zero_point) {
    const int32_t channels = p->in_c / p->groups;
    const int32_t group = oc / (p->out_c / p->groups);
    const int8_t *w = weights + (ptrdiff_t)oc * p->kernel_h * p->kernel_w * channels;
    int32_t acc = bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *in_row = rows[row + ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += channels) {
            const int32_t in_x = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (in_row == NULL || in_x < 0 || in_x >= p->in_w) {
                continue; /* padding is the zero point: it adds nothing */
            }
            const int8_t *in = in_row + (ptrdiff_t)in_x * p->in_c + (ptrdiff_t)group * channels;
            for (int32_t c = 0; c < channels; ++c) {
                acc += (in[c] - p->input_zero_point) * (w[c] - weight_zero_point);
            }
        }
    }
    return acc;
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                        const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                        const int8_t *shift, int8_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc) {
            const int32_t zero = weight_zero_point != NULL ? weight_zero_point[oc] : 0;
            int32_t best = INT32_MIN;
            for (int32_t py = 0; py < p->pool_h; ++py) {
                for (int32_t px = 0; px < p->pool_w; ++px) {
                    best =
                        max_s32(best, conv_s8_accumulate(p, rows, py * p->stride_h, x * p->pool_stride_w + px,
                                                         weights, oc, bias[oc], zero));
                }
            }
            /* scales are positive, so the maximum may be scaled instead of scaling every value */
            const int32_t y = requantize_channel(best, multiplier, shift, oc * p->channel_step);
            *output++ = clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already. Scaling and clamp keep the order.
 */
KERNEL void conv_s8_part(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                         const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                         const int8_t *shift, int32_t first, int8_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc) {
            const int32_t zero = weight_zero_point != NULL ? weight_zero_point[oc] : 0;
            int32_t best = INT32_MIN;
            for (int32_t px = 0; px < p->pool_w; ++px) {
                best = max_s32(best, conv_s8_accumulate(p, rows, 0, x * p->pool_stride_w + px, weights, oc,
                                                        bias[oc], zero));
            }
            const int32_t y = requantize_channel(best, multiplier, shift, oc * p->channel_step);
            const int8_t value = clamp_s8(y + p->output_zero_point, p->low, p->high);
            *output = first || value > *output ? value : *output;
            ++output;
        }
    }
}

KERNEL void conv_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights, const int32_t *bias,
                    const int32_t *weight_zero_point, const int32_t *multiplier, const int8_t *shift,
                    const int8_t **rows, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                           in_row);
            conv_s8_row(p, rows, weights, bias, weight_zero_point, multiplier, shift, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
