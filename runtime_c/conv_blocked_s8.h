/* int8 convolution by rows, any geometry without groups, with a fused clamp and max-pool, four channels of
 * two pixels at once; see blocked_s8.h.
 */
#ifndef PINGPONNX_CONV_BLOCKED_S8_H
#define PINGPONNX_CONV_BLOCKED_S8_H

#include "blocked_s8.h"
#include "conv_params.h"

/* Taps that lie side by side in a row. */
static inline int32_t conv_blocked_s8_taps(const conv_params_s8 *p) {
    return p->dilation_w == 1 ? p->kernel_w : 1;
}

/* Sums of one pixel whose first tap is column `x` of rows[0]; columns and rows outside of the map are
 * padding. */
static BLOCKED_INLINE void conv_blocked_s8_pixel(const conv_params_s8 *p, const int8_t *const *rows,
                                                 int32_t x, const int8_t *w, const int32_t *bias,
                                                 int32_t sums[BLOCKED_CHANNELS]) {
    const int32_t taps = conv_blocked_s8_taps(p), each = p->in_c * BLOCKED_CHANNELS;
    int32_t s[BLOCKED_CHANNELS] = {bias[0], bias[1], bias[2], bias[3]};
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; kx += taps, w += taps * each) {
            const int32_t first = x + kx * p->dilation_w;
            const int32_t from = row == NULL ? taps : min_s32(max_s32(-first, 0), taps);
            const int32_t to = max_s32(min_s32(p->in_w - first, taps), from);
            blocked_s8_padding(s, p->input_zero_point, w, from * p->in_c);
            if (from < to) {
                blocked_s8_run(s, row + (ptrdiff_t)(first + from) * p->in_c, w + (ptrdiff_t)from * each,
                               (to - from) * p->in_c);
            }
            blocked_s8_padding(s, p->input_zero_point, w + (ptrdiff_t)to * each, (taps - to) * p->in_c);
        }
    }
    memcpy(sums, s, sizeof s);
}

/* Sums of one pixel or two, `step` columns apart, all of whose columns are within the map. */
static BLOCKED_INLINE void conv_blocked_s8_inner(const conv_params_s8 *p, const int8_t *const *rows,
                                                 int32_t x, int32_t pixels, int32_t step, const int8_t *w,
                                                 const int32_t *bias, int32_t sums[2 * BLOCKED_CHANNELS]) {
    const int32_t taps = conv_blocked_s8_taps(p), values = taps * p->in_c;
    int32_t s[2 * BLOCKED_CHANNELS] = {0};
    int32_t common[BLOCKED_CHANNELS] = {bias[0], bias[1], bias[2], bias[3]};
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; kx += taps, w += values * BLOCKED_CHANNELS) {
            const ptrdiff_t at = (ptrdiff_t)(x + kx * p->dilation_w) * p->in_c;
            if (row == NULL) {
                blocked_s8_padding(common, p->input_zero_point, w, values);
            } else if (pixels == 2) {
                blocked_s8_pair(s, row + at, step * p->in_c, w, values);
            } else {
                blocked_s8_run(s, row + at, w, values);
            }
        }
    }
    for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
        sums[i] = s[i] + common[i % BLOCKED_CHANNELS];
    }
}

/* Sums of the unpooled column `x` and where possible of x + `apart`, if there is `more` than one; how many.
 */
static BLOCKED_INLINE int32_t conv_blocked_s8_sums(const conv_params_s8 *p, const int8_t *const *rows,
                                                   int32_t x, int32_t apart, int32_t more, const int8_t *w,
                                                   const int32_t *bias, int32_t sums[2 * BLOCKED_CHANNELS]) {
    const int32_t first = x * p->stride_w - p->pad_left, step = apart * p->stride_w;
    const int32_t room = p->in_w - 1 - (p->kernel_w - 1) * p->dilation_w - first;
    if (first < 0 || room < 0) {
        conv_blocked_s8_pixel(p, rows, first, w, bias, sums);
        return 1;
    }
    if (more && step <= room) {
        conv_blocked_s8_inner(p, rows, first, 2, step, w, bias, sums);
        return 2;
    }
    conv_blocked_s8_inner(p, rows, first, 1, step, w, bias, sums);
    return 1;
}

/* The maxima of `lines` rows of the pooling window `x`, or without pooling columns of two; how many outputs.
 */
static BLOCKED_INLINE int32_t conv_blocked_s8_best(const conv_params_s8 *p, const int8_t *const *rows,
                                                   int32_t lines, int32_t x, const int8_t *w,
                                                   const int32_t *bias, int32_t best[2 * BLOCKED_CHANNELS]) {
    if (lines == 1 && p->pool_w == 1) {
        return conv_blocked_s8_sums(p, rows, x * p->pool_stride_w, p->pool_stride_w, x + 1 < p->out_w, w,
                                    bias, best);
    }
    int32_t sums[2 * BLOCKED_CHANNELS], outputs = 1;
    for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
        best[i] = INT32_MIN;
    }
    for (int32_t py = 0; py < lines; ++py) {
        const int8_t *const *at = rows + py * p->stride_h;
        if (p->pool_w == 1) {
            outputs = conv_blocked_s8_sums(p, at, x * p->pool_stride_w, p->pool_stride_w, x + 1 < p->out_w, w,
                                           bias, sums);
            for (int32_t i = 0; i < outputs * BLOCKED_CHANNELS; ++i) {
                best[i] = max_s32(best[i], sums[i]);
            }
            continue;
        }
        for (int32_t px = 0, done; px < p->pool_w; px += done) {
            done =
                conv_blocked_s8_sums(p, at, x * p->pool_stride_w + px, 1, px + 1 < p->pool_w, w, bias, sums);
            for (int32_t i = 0; i < done * BLOCKED_CHANNELS; ++i) {
                best[i % BLOCKED_CHANNELS] = max_s32(best[i % BLOCKED_CHANNELS], sums[i]);
            }
        }
    }
    return outputs;
}

/* `lines` unpooled rows of every pooling window: their maxima, unless these are the first lines of it with
 * those that the output holds already. The pixels of a pair are two of a window, or two windows.
 */
static BLOCKED_INLINE void conv_blocked_s8_lines(const conv_params_s8 *p, const int8_t *const *rows,
                                                 int32_t lines, const int8_t *weights, const int32_t *bias,
                                                 const int32_t *multiplier, const int8_t *shift,
                                                 int32_t first, int8_t *output) {
    const blocked_s8_scaling scaling = {multiplier,           shift,  p->channel_step,
                                        p->output_zero_point, p->low, p->high};
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c * BLOCKED_CHANNELS;
    for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS, weights += depth, bias += BLOCKED_CHANNELS) {
        const int32_t channels = min_s32(BLOCKED_CHANNELS, p->out_c - oc);
        for (int32_t x = 0, done; x < p->out_w; x += done) {
            int32_t best[2 * BLOCKED_CHANNELS];
            done = conv_blocked_s8_best(p, rows, lines, x, weights, bias, best);
            for (int32_t i = 0; i < done; ++i) {
                int8_t *out = output + (ptrdiff_t)(x + i) * p->out_c + oc;
                if (first && channels == BLOCKED_CHANNELS) {
                    blocked_s8_outputs(best + i * BLOCKED_CHANNELS, scaling, oc, out);
                    continue;
                }
                for (int32_t c = 0; c < channels; ++c) {
                    const int8_t value = blocked_s8_output(best[i * BLOCKED_CHANNELS + c], scaling, oc + c);
                    out[c] = first || value > out[c] ? value : out[c];
                }
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
BLOCKED_KERNEL void conv_blocked_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                        const int8_t *weights, const int32_t *bias, const int32_t *multiplier,
                                        const int8_t *shift, int8_t *output) {
    conv_blocked_s8_lines(p, rows, p->pool_h, weights, bias, multiplier, shift, 1, output);
}

/* The share of one unpooled row in an output row, as conv_s8_part. */
BLOCKED_KERNEL void conv_blocked_s8_part(const conv_params_s8 *p, const int8_t *const *rows,
                                         const int8_t *weights, const int32_t *bias,
                                         const int32_t *multiplier, const int8_t *shift, int32_t first,
                                         int8_t *output) {
    conv_blocked_s8_lines(p, rows, 1, weights, bias, multiplier, shift, first, output);
}

BLOCKED_KERNEL void conv_blocked_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
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
