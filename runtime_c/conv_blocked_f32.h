/* float32 convolution by rows, any geometry without groups, with a fused clamp and max-pool, four channels of
 * two pixels at once; see blocked_f32.h.
 */
#ifndef PINGPONNX_CONV_BLOCKED_F32_H
#define PINGPONNX_CONV_BLOCKED_F32_H

#include "blocked_f32.h"
#include "conv_params.h"

/* Sums of one pixel or two, `step` columns apart, the first's first tap at column `x`. Columns outside of the
 * map are left out; with two pixels there must be none.
 */
static BLOCKED_INLINE void conv_blocked_f32_pixels(const conv_params_f32 *p, const float *const *rows,
                                                   int32_t x, int32_t pixels, int32_t step, const float *w,
                                                   const float *bias, float sums[2 * BLOCKED_CHANNELS]) {
    const int32_t taps = p->dilation_w == 1 ? p->kernel_w : 1; /* that lie side by side in a row */
    float s[2 * BLOCKED_CHANNELS] = {bias[0], bias[1], bias[2], bias[3], bias[0], bias[1], bias[2], bias[3]};
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const float *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; kx += taps, w += taps * p->in_c * BLOCKED_CHANNELS) {
            const int32_t first = x + kx * p->dilation_w;
            if (row == NULL) {
                continue;
            }
            if (pixels == 2) {
                blocked_f32_pair(s, row + (ptrdiff_t)first * p->in_c, step * p->in_c, w, taps * p->in_c);
                continue;
            }
            const int32_t from = max_s32(-first, 0), to = min_s32(p->in_w - first, taps);
            if (from < to) {
                blocked_f32_run(s, row + (ptrdiff_t)(first + from) * p->in_c,
                                w + (ptrdiff_t)from * p->in_c * BLOCKED_CHANNELS, (to - from) * p->in_c);
            }
        }
    }
    memcpy(sums, s, sizeof s);
}

/* Sums of the unpooled column `x` and where possible of x + `apart`, if there is `more` than one; how many.
 */
static BLOCKED_INLINE int32_t conv_blocked_f32_sums(const conv_params_f32 *p, const float *const *rows,
                                                    int32_t x, int32_t apart, int32_t more, const float *w,
                                                    const float *bias, float sums[2 * BLOCKED_CHANNELS]) {
    const int32_t first = x * p->stride_w - p->pad_left, step = apart * p->stride_w;
    const int32_t room = p->in_w - 1 - (p->kernel_w - 1) * p->dilation_w - first;
    if (more && first >= 0 && step <= room) {
        conv_blocked_f32_pixels(p, rows, first, 2, step, w, bias, sums);
        return 2;
    }
    conv_blocked_f32_pixels(p, rows, first, 1, step, w, bias, sums);
    return 1;
}

/* The maxima of `lines` rows of the pooling window `x`, or without pooling columns of two; how many outputs.
 */
static BLOCKED_INLINE int32_t conv_blocked_f32_best(const conv_params_f32 *p, const float *const *rows,
                                                    int32_t lines, int32_t x, const float *w,
                                                    const float *bias, float best[2 * BLOCKED_CHANNELS]) {
    float sums[2 * BLOCKED_CHANNELS];
    int32_t outputs = 1;
    for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
        best[i] = -INFINITY;
    }
    for (int32_t py = 0; py < lines; ++py) {
        const float *const *at = rows + py * p->stride_h;
        if (p->pool_w == 1) {
            outputs = conv_blocked_f32_sums(p, at, x * p->pool_stride_w, p->pool_stride_w, x + 1 < p->out_w,
                                            w, bias, sums);
            for (int32_t i = 0; i < outputs * BLOCKED_CHANNELS; ++i) {
                best[i] = sums[i] > best[i] ? sums[i] : best[i];
            }
            continue;
        }
        for (int32_t px = 0, done; px < p->pool_w; px += done) {
            done =
                conv_blocked_f32_sums(p, at, x * p->pool_stride_w + px, 1, px + 1 < p->pool_w, w, bias, sums);
            for (int32_t i = 0; i < done * BLOCKED_CHANNELS; ++i) {
                const int32_t c = i % BLOCKED_CHANNELS;
                best[c] = sums[i] > best[c] ? sums[i] : best[c];
            }
        }
    }
    return outputs;
}

/* `lines` unpooled rows of every pooling window: their maxima, unless these are the first lines of it with
 * those that the output holds already. The pixels of a pair are two of a window, or two windows.
 */
static BLOCKED_INLINE void conv_blocked_f32_lines(const conv_params_f32 *p, const float *const *rows,
                                                  int32_t lines, const float *weights, const float *bias,
                                                  int32_t first, float *output) {
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c * BLOCKED_CHANNELS;
    for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS, weights += depth, bias += BLOCKED_CHANNELS) {
        const int32_t channels = min_s32(BLOCKED_CHANNELS, p->out_c - oc);
        for (int32_t x = 0, done; x < p->out_w; x += done) {
            float best[2 * BLOCKED_CHANNELS];
            done = conv_blocked_f32_best(p, rows, lines, x, weights, bias, best);
            for (int32_t i = 0; i < done; ++i) {
                float *out = output + (ptrdiff_t)(x + i) * p->out_c + oc;
                for (int32_t c = 0; c < channels; ++c) {
                    const float value = clamp_f32(best[i * BLOCKED_CHANNELS + c], p->low, p->high);
                    out[c] = first || value > out[c] ? value : out[c];
                }
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_blocked_f32_row(const conv_params_f32 *p, const float *const *rows, const float *weights,
                                 const float *bias, float *output) {
    conv_blocked_f32_lines(p, rows, p->pool_h, weights, bias, 1, output);
}

/* The share of one unpooled row in an output row, as conv_f32_part. */
KERNEL void conv_blocked_f32_part(const conv_params_f32 *p, const float *const *rows, const float *weights,
                                  const float *bias, int32_t first, float *output) {
    conv_blocked_f32_lines(p, rows, 1, weights, bias, first, output);
}

KERNEL void conv_blocked_f32(const conv_params_f32 *p, const float *input, const float *weights,
                             const float *bias, const float **rows, float *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_f32(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                            in_row);
            conv_blocked_f32_row(p, rows, weights, bias, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
