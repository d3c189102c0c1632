/* float32 depthwise convolution by rows (groups = input channels = output channels, a multiple of four), with
 * a fused clamp and max-pool, four channels at once. Weights `c/4 kh kw 4`.
 */
#ifndef PINGPONNX_DEPTHWISE_BLOCKED_F32_H
#define PINGPONNX_DEPTHWISE_BLOCKED_F32_H

#include "blocked_f32.h"
#include "conv_params.h"

/* Sums of four channels of the pixel whose first tap is column `x`, the channels' first value at rows[][0].
 */
static BLOCKED_INLINE void depthwise_blocked_f32_sums(const conv_params_f32 *p, const float *const *rows,
                                                      int32_t x, int32_t channel, const float *w,
                                                      const float *bias, float sums[BLOCKED_CHANNELS]) {
    float a = bias[0], b = bias[1], c = bias[2], d = bias[3];
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const float *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += BLOCKED_CHANNELS) {
            const int32_t column = x + kx * p->dilation_w;
            if (row == NULL || column < 0 || column >= p->in_w) {
                continue;
            }
            const float *in = row + (ptrdiff_t)column * p->in_c + channel;
            a += in[0] * w[0];
            b += in[1] * w[1];
            c += in[2] * w[2];
            d += in[3] * w[3];
        }
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* `lines` unpooled rows of every pooling window, as conv_blocked_f32_lines. */
static BLOCKED_INLINE void depthwise_blocked_f32_lines(const conv_params_f32 *p, const float *const *rows,
                                                       int32_t lines, const float *weights, const float *bias,
                                                       int32_t first, float *output) {
    const int32_t depth = p->kernel_h * p->kernel_w;
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS, output += BLOCKED_CHANNELS) {
            float best[BLOCKED_CHANNELS] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
            for (int32_t py = 0; py < lines; ++py) {
                for (int32_t px = 0; px < p->pool_w; ++px) {
                    float sums[BLOCKED_CHANNELS];
                    depthwise_blocked_f32_sums(p, rows + py * p->stride_h,
                                               (x * p->pool_stride_w + px) * p->stride_w - p->pad_left, oc,
                                               weights + (ptrdiff_t)oc * depth, bias + oc, sums);
                    for (int32_t c = 0; c < BLOCKED_CHANNELS; ++c) {
                        best[c] = sums[c] > best[c] ? sums[c] : best[c];
                    }
                }
            }
            for (int32_t c = 0; c < BLOCKED_CHANNELS; ++c) {
                const float value = clamp_f32(best[c], p->low, p->high);
                output[c] = first || value > output[c] ? value : output[c];
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void depthwise_blocked_f32_row(const conv_params_f32 *p, const float *const *rows,
                                      const float *weights, const float *bias, float *output) {
    depthwise_blocked_f32_lines(p, rows, p->pool_h, weights, bias, 1, output);
}

/* The share of one unpooled row in an output row, as conv_f32_part. */
KERNEL void depthwise_blocked_f32_part(const conv_params_f32 *p, const float *const *rows,
                                       const float *weights, const float *bias, int32_t first,
                                       float *output) {
    depthwise_blocked_f32_lines(p, rows, 1, weights, bias, first, output);
}

KERNEL void depthwise_blocked_f32(const conv_params_f32 *p, const float *input, const float *weights,
                                  const float *bias, const float **rows, float *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_f32(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                            in_row);
            depthwise_blocked_f32_row(p, rows, weights, bias, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
