/* int8 convolution by rows, any geometry without groups, with a fused clamp and max-pool, four channels of
 * two pixels at once; see blocked_s8.h.
 */
#ifndef PINGPONNX_CONV_BLOCKED_S8_H
#define PINGPONNX_CONV_BLOCKED_S8_H

#include "blocked_s8.h"
#include "conv_params.h"

/* Taps [from, to) of a pixel whose first one is column `x` of a row; columns outside of it are padding. */
static inline void conv_blocked_s8_pixel(const conv_params_s8 *p, int32_t *sums, const int8_t *row, int32_t x,
                                         const int8_t *w, int32_t taps) {
    const int32_t each = p->in_c * BLOCKED_CHANNELS;
    const int32_t from = min_s32(max_s32(-x, 0), taps);
    const int32_t to = max_s32(min_s32(p->in_w - x, taps), from);
    blocked_s8_padding(sums, p->input_zero_point, w, from * p->in_c);
    blocked_s8_run(sums, row + (ptrdiff_t)(x + from) * p->in_c, w + (ptrdiff_t)from * each,
                   (to - from) * p->in_c);
    blocked_s8_padding(sums, p->input_zero_point, w + (ptrdiff_t)to * each, (taps - to) * p->in_c);
}

/* Sums of the unpooled columns x and, if `pixels` is 2, x + `apart`; kernel row 0 is rows[0]. */
static inline void conv_blocked_s8_sums(const conv_params_s8 *p, const int8_t *const *rows, int32_t x,
                                        int32_t pixels, int32_t apart, const int8_t *w, const int32_t *bias,
                                        int32_t sums[2 * BLOCKED_CHANNELS]) {
    const int32_t taps = p->dilation_w == 1 ? p->kernel_w : 1; /* that lie side by side */
    const int32_t step = apart * p->stride_w;
    for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
        sums[i] = bias[i % BLOCKED_CHANNELS];
    }
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; kx += taps, w += taps * p->in_c * BLOCKED_CHANNELS) {
            const int32_t first = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (row == NULL) {
                blocked_s8_padding(sums, p->input_zero_point, w, taps * p->in_c);
                blocked_s8_padding(sums + BLOCKED_CHANNELS, p->input_zero_point, w, taps * p->in_c);
            } else if (pixels == 2 && first >= 0 && first + step + taps <= p->in_w) {
                blocked_s8_pair(sums, row + (ptrdiff_t)first * p->in_c, step * p->in_c, w, taps * p->in_c);
            } else {
                for (int32_t i = 0; i < pixels; ++i) {
                    conv_blocked_s8_pixel(p, sums + i * BLOCKED_CHANNELS, row, first + i * step, w, taps);
                }
            }
        }
    }
}

/* `lines` unpooled rows of every pooling window: their maxima, unless these are the first lines of it with
 * those that the output holds already. The pixels of a pair are two of a window, or two windows.
 */
static inline void conv_blocked_s8_lines(const conv_params_s8 *p, const int8_t *const *rows, int32_t lines,
                                         const int8_t *weights, const int32_t *bias,
                                         const int32_t *multiplier, const int8_t *shift, int32_t first,
                                         int8_t *output) {
    const int32_t pooled = p->pool_w > 1 ? 1 : 0;
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c * BLOCKED_CHANNELS;
    for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS, weights += depth, bias += BLOCKED_CHANNELS) {
        for (int32_t x = 0; x < p->out_w; x += pooled ? 1 : 2) {
            int32_t best[2 * BLOCKED_CHANNELS];
            for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
                best[i] = INT32_MIN;
            }
            for (int32_t py = 0; py < lines; ++py) {
                for (int32_t px = 0; px < p->pool_w; px += 2) {
                    const int32_t pixels = min_s32(2, pooled ? p->pool_w - px : p->out_w - x);
                    int32_t sums[2 * BLOCKED_CHANNELS];
                    conv_blocked_s8_sums(p, rows + py * p->stride_h, x * p->pool_stride_w + px, pixels,
                                         pooled ? 1 : p->pool_stride_w, weights, bias, sums);
                    for (int32_t i = 0; i < pixels * BLOCKED_CHANNELS; ++i) {
                        const int32_t at = pooled ? i % BLOCKED_CHANNELS : i;
                        best[at] = max_s32(best[at], sums[i]);
                    }
                }
            }
            const int32_t outputs = pooled ? 1 : min_s32(2, p->out_w - x);
            for (int32_t i = 0; i < outputs; ++i) {
                int8_t *out = output + (ptrdiff_t)(x + i) * p->out_c + oc;
                blocked_s8_store(best + i * BLOCKED_CHANNELS, min_s32(BLOCKED_CHANNELS, p->out_c - oc), p, oc,
                                 multiplier, shift, first, out);
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_blocked_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                                const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                int8_t *output) {
    conv_blocked_s8_lines(p, rows, p->pool_h, weights, bias, multiplier, shift, 1, output);
}

/* The share of one unpooled row in an output row, as conv_s8_part. */
KERNEL void conv_blocked_s8_part(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                                 const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                 int32_t first, int8_t *output) {
    conv_blocked_s8_lines(p, rows, 1, weights, bias, multiplier, shift, first, output);
}

KERNEL void conv_blocked_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                            const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                            const int8_t **rows, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                           in_row);
            conv_blocked_s8_row(p, rows, weights, bias, multiplier, shift, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
