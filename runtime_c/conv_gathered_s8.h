/* int8 convolution by rows for windows with few values in a row, as of a first layer: they are gathered, zero
 * points for padding, then used for all channels, four at once; see blocked_s8.h. Any geometry without
 * groups, with a fused clamp and max-pool.
 */
#ifndef PINGPONNX_CONV_GATHERED_S8_H
#define PINGPONNX_CONV_GATHERED_S8_H

#include "blocked_s8.h"
#include "conv_params.h"

/* The window of the unpooled column `x`, kernel row 0 at rows[0]; where the next one goes. */
static inline int8_t *conv_gathered_s8_window(const conv_params_s8 *p, const int8_t *const *rows, int32_t x,
                                              int8_t *window) {
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, window += p->in_c) {
            const int32_t column = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            const int32_t outside = row == NULL || column < 0 || column >= p->in_w;
            for (int32_t c = 0; c < p->in_c; ++c) {
                window[c] = (int8_t)(outside ? p->input_zero_point : row[column * p->in_c + c]);
            }
        }
    }
    return window;
}

/* Sums of the windows side by side at `window`: without pooling those of two outputs, else their maxima. */
static BLOCKED_INLINE void conv_gathered_s8_sums(const conv_params_s8 *p, const int8_t *window, int32_t count,
                                                 int32_t depth, const int8_t *w, const int32_t *bias,
                                                 int32_t best[2 * BLOCKED_CHANNELS]) {
    if (p->pool_h * p->pool_w == 1) {
        for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
            best[i] = bias[i % BLOCKED_CHANNELS];
        }
        if (count == 2) {
            blocked_s8_pair(best, window, depth, w, depth);
        } else {
            blocked_s8_run(best, window, w, depth);
        }
        return;
    }
    for (int32_t i = 0; i < 2 * BLOCKED_CHANNELS; ++i) {
        best[i] = INT32_MIN;
    }
    for (int32_t n = 0; n < count; n += 2, window += 2 * depth) {
        int32_t s[2 * BLOCKED_CHANNELS] = {bias[0], bias[1], bias[2], bias[3],
                                           bias[0], bias[1], bias[2], bias[3]};
        const int32_t two = n + 1 < count;
        if (two) {
            blocked_s8_pair(s, window, depth, w, depth);
        } else {
            blocked_s8_run(s, window, w, depth);
        }
        for (int32_t i = 0; i < (two ? 2 : 1) * BLOCKED_CHANNELS; ++i) {
            best[i] = max_s32(best[i], s[i]);
        }
    }
    for (int32_t i = 0; i < BLOCKED_CHANNELS && p->pool_h * p->pool_w > 1; ++i) {
        best[i] = max_s32(best[i], best[i + BLOCKED_CHANNELS]);
    }
}

/* `lines` unpooled rows of every pooling window, as conv_blocked_s8_lines. */
static BLOCKED_INLINE void conv_gathered_s8_lines(const conv_params_s8 *p, const int8_t *const *rows,
                                                  int32_t lines, const int8_t *weights, const int32_t *bias,
                                                  const int32_t *multiplier, const int8_t *shift,
                                                  void *windows, int32_t first, int8_t *output) {
    const blocked_s8_scaling scaling = {multiplier,           shift,  p->channel_step,
                                        p->output_zero_point, p->low, p->high};
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    const int32_t together = p->pool_h * p->pool_w > 1 ? 1 : 2; /* outputs */
    for (int32_t x = 0; x < p->out_w; x += together, output += together * p->out_c) {
        const int32_t outputs = min_s32(together, p->out_w - x);
        int8_t *end = (int8_t *)windows;
        for (int32_t i = 0; i < outputs; ++i) {
            for (int32_t py = 0; py < lines; ++py) {
                for (int32_t px = 0; px < p->pool_w; ++px) {
                    const int32_t column = (x + i) * p->pool_stride_w + px;
                    end = conv_gathered_s8_window(p, rows + py * p->stride_h, column, end);
                }
            }
        }
        for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS) {
            int32_t best[2 * BLOCKED_CHANNELS];
            conv_gathered_s8_sums(p, (const int8_t *)windows, outputs * lines * p->pool_w, depth,
                                  weights + (ptrdiff_t)oc * depth, bias + oc, best);
            for (int32_t i = 0; i < outputs; ++i) {
                int8_t *out = output + i * p->out_c + oc;
                if (first && oc + BLOCKED_CHANNELS <= p->out_c) {
                    blocked_s8_outputs(best + i * BLOCKED_CHANNELS, scaling, oc, out);
                    continue;
                }
                for (int32_t c = 0; c < min_s32(BLOCKED_CHANNELS, p->out_c - oc); ++c) {
                    const int8_t value = blocked_s8_output(best[i * BLOCKED_CHANNELS + c], scaling, oc + c);
                    out[c] = first || value > out[c] ? value : out[c];
                }
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
BLOCKED_KERNEL void conv_gathered_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                         const int8_t *weights, const int32_t *bias,
                                         const int32_t *multiplier, const int8_t *shift, void *windows,
                                         int8_t *output) {
    conv_gathered_s8_lines(p, rows, p->pool_h, weights, bias, multiplier, shift, windows, 1, output);
}

/* The share of one unpooled row in an output row, as conv_s8_part. */
BLOCKED_KERNEL void conv_gathered_s8_part(const conv_params_s8 *p, const int8_t *const *rows,
                                          const int8_t *weights, const int32_t *bias,
                                          const int32_t *multiplier, const int8_t *shift, void *windows,
                                          int32_t first, int8_t *output) {
    conv_gathered_s8_lines(p, rows, 1, weights, bias, multiplier, shift, windows, first, output);
}

BLOCKED_KERNEL void conv_gathered_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                                     const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                     void *windows, const int8_t **rows, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                           in_row);
            conv_gathered_s8_row(p, rows, weights, bias, multiplier, shift, windows, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
