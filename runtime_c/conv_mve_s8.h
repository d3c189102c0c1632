/* int8 convolution by rows for Helium (mve_s8.h): any kernel, stride, dilation and padding, one group, a
 * fused clamp and max-pool. Two pixels' windows at a time are put together, for all channels; or, without
 * scratch and without dilation across, they are multiplied row by row where they lie.
 */
#ifndef PINGPONNX_CONV_MVE_S8_H
#define PINGPONNX_CONV_MVE_S8_H

#include "mve_s8.h"
#include "window_mve_s8.h"

typedef struct {
    const int8_t *weights;
    const int32_t *constants;
    int8_t *columns; /* two windows; NULL where they stay in the input */
} conv_mve_s8_data;

/* The window of the unpooled column `x` in one piece: where it is, or at `to`. */
MVE_INLINE const int8_t *conv_mve_s8_window(const conv_params_s8 *p, const int8_t *const *rows, int32_t x,
                                            int8_t *to) {
    const int32_t left = x * p->stride_w - p->pad_left, run = p->kernel_w * p->in_c;
    if (p->kernel_h == 1) {
        return window_mve_s8_row(p, rows[0], left, to);
    }
    int8_t *at = to;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, at += run) {
        const int8_t *from = window_mve_s8_row(p, rows[ky * p->dilation_h], left, at);
        if (from != at) {
            mve_s8_copy(at, from, run);
        }
    }
    return to;
}

/* Up to four channels of a pixel: `sums` as outputs, or the maximum with what is there already. */
MVE_INLINE void conv_mve_s8_finish(const conv_params_s8 *p, mve_s32 sums, const int32_t *constants,
                                   int32_t count, int32_t first, int8_t *to) {
    mve_s32 y = mve_s8_requantize(sums, constants, p->output_zero_point, p->low, p->high);
    if (!first) {
        y = mve_s8_max(y, mve_s8_load(to, count));
    }
    mve_s8_store(to, y, count);
}

/* Adds the products of a window's row, padding included, of which `run` values are `left` columns from the
 * beginning of the input's. */
MVE_INLINE mve_s32 conv_mve_s8_edge(const conv_params_s8 *p, const int8_t *weights, const int8_t *row,
                                    int32_t left, mve_s32 sums) {
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c, zero = p->input_zero_point;
    const int32_t begin = row == NULL ? p->kernel_w : min_s32(max_s32(-left, 0), p->kernel_w);
    const int32_t end = max_s32(begin, min_s32(p->in_w - left, p->kernel_w));
    if (begin > 0) {
        sums = mve_s8_add(sums, mve_s8_dot_value(weights, depth, begin * p->in_c, zero));
    }
    if (end > begin) {
        const ptrdiff_t at = (ptrdiff_t)begin * p->in_c;
        const int8_t *x = row + (ptrdiff_t)left * p->in_c + at;
        sums = mve_s8_add(sums, mve_s8_dot(weights + at, depth, (end - begin) * p->in_c, x, NULL));
    }
    if (end < p->kernel_w) {
        const int32_t behind = (p->kernel_w - end) * p->in_c;
        const int8_t *w = weights + (ptrdiff_t)end * p->in_c;
        sums = mve_s8_add(sums, mve_s8_dot_value(w, depth, behind, zero));
    }
    return sums;
}

/* The sums of four channels of one pixel or two, whose windows stay in the input. */
MVE_INLINE void conv_mve_s8_stay(const conv_params_s8 *p, const int8_t *weights, const int32_t *constants,
                                 const int8_t *const *rows, const int32_t x[2], int32_t pixels,
                                 mve_s32 sums[2]) {
    static const int32_t nothing[4] = {0};
    const int32_t run = p->kernel_w * p->in_c, depth = p->kernel_h * run;
    const int32_t left = x[0] * p->stride_w - p->pad_left, right = x[1] * p->stride_w - p->pad_left;
    const int32_t inside = pixels == 2 && left >= 0 && right + p->kernel_w <= p->in_w;
#pragma GCC unroll 1
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, weights += run) {
        const int8_t *row = rows[ky * p->dilation_h];
        const int32_t *bias = ky == 0 ? constants : nothing;
        mve_s32 s0, s1;
        if (inside && row != NULL) {
            mve_s8_dot2(weights, depth, run, row + (ptrdiff_t)left * p->in_c,
                        row + (ptrdiff_t)right * p->in_c, bias, &s0, &s1);
        } else {
            s0 = s1 = mve_s8_ordered(bias);
            s0 = conv_mve_s8_edge(p, weights, row, left, s0);
            if (pixels == 2) {
                s1 = conv_mve_s8_edge(p, weights, row, right, s1);
            }
        }
        sums[0] = ky == 0 ? s0 : mve_s8_add(sums[0], s0);
        sums[1] = ky == 0 ? s1 : mve_s8_add(sums[1], s1);
    }
}

/* All channels of one pixel, or of two that are `apart`: each an output, or with a pool their maximum. */
MVE_INLINE void conv_mve_s8_pixels(const conv_params_s8 *p, const conv_mve_s8_data *d,
                                   const int8_t *const *rows, int32_t x, int32_t apart, int32_t pixels,
                                   int32_t first, int8_t *output) {
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    const int8_t *weights = d->weights;
    const int32_t *constants = d->constants;
    const int32_t stay = d->columns == NULL, both[2] = {x, x + apart};
    const int8_t *x0 = stay ? NULL : conv_mve_s8_window(p, rows, x, d->columns);
    const int8_t *x1 = stay || pixels == 1 ? x0 : conv_mve_s8_window(p, rows, x + apart, d->columns + depth);
    for (int32_t channel = 0; channel < p->out_c; channel += 4) {
        const int32_t count = p->out_c % 4 == 0 ? 4 : p->out_c - channel;
        mve_s32 s0, s1, sums[2];
        if (stay) {
            conv_mve_s8_stay(p, weights, constants, rows, both, pixels, sums);
            s0 = sums[0], s1 = sums[1];
        } else if (pixels == 2) {
            mve_s8_dot2(weights, depth, depth, x0, x1, constants, &s0, &s1);
        } else {
            s0 = s1 = mve_s8_dot(weights, depth, depth, x0, constants);
        }
        if (pixels == 2) {
            if (p->pool_w > 1) { /* scales are positive: the maximum may be scaled */
                s0 = mve_s8_max(s0, s1);
            } else {
                conv_mve_s8_finish(p, s1, constants, count, first, output + p->out_c);
            }
        }
        conv_mve_s8_finish(p, s0, constants, count, first, output);
        weights += 4 * depth, constants += MVE_CONSTANTS, output += 4;
    }
}

/* The share of one unpooled row in an output row. */
MVE_INLINE void conv_mve_s8_line(const conv_params_s8 *p, const conv_mve_s8_data *d,
                                 const int8_t *const *rows, int32_t first, int8_t *output) {
    const int32_t step = p->pool_stride_w;
    if (p->pool_w == 1) {
        int32_t x = 0;
        for (; x + 2 <= p->out_w; x += 2, output += 2 * p->out_c) {
            conv_mve_s8_pixels(p, d, rows, x * step, step, 2, first, output);
        }
        if (p->out_w % 2 != 0) {
            conv_mve_s8_pixels(p, d, rows, x * step, step, 1, first, output);
        }
        return;
    }
    for (int32_t x = 0; x < p->out_w; ++x, output += p->out_c) {
        for (int32_t px = 0; px + 2 <= p->pool_w; px += 2) {
            conv_mve_s8_pixels(p, d, rows, x * step + px, 1, 2, first && px == 0, output);
        }
        if (p->pool_w % 2 != 0) {
            conv_mve_s8_pixels(p, d, rows, x * step + p->pool_w - 1, 1, 1, 0, output);
        }
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already.
 */
MVE_KERNEL void conv_mve_s8_part(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                                 const int32_t *constants, void *scratch, int32_t first, int8_t *output) {
    const conv_mve_s8_data d = {weights, constants, (int8_t *)scratch};
    conv_mve_s8_line(p, &d, rows, first, output);
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
MVE_KERNEL void conv_mve_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                                const int32_t *constants, void *scratch, int8_t *output) {
    const conv_mve_s8_data d = {weights, constants, (int8_t *)scratch};
    for (int32_t py = 0; py < p->pool_h; ++py) {
        conv_mve_s8_line(p, &d, rows + py * p->stride_h, py == 0, output);
    }
}

MVE_KERNEL void conv_mve_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                            const int32_t *constants, void *scratch, const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                       p->in_w * p->in_c);
        conv_mve_s8_row(p, rows, weights, constants, scratch, output);
    }
}

/* The same without scratch. */
MVE_KERNEL void conv_direct_mve_s8_part(const conv_params_s8 *p, const int8_t *const *rows,
                                        const int8_t *weights, const int32_t *constants, int32_t first,
                                        int8_t *output) {
    conv_mve_s8_part(p, rows, weights, constants, NULL, first, output);
}

MVE_KERNEL void conv_direct_mve_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                       const int8_t *weights, const int32_t *constants, int8_t *output) {
    conv_mve_s8_row(p, rows, weights, constants, NULL, output);
}

MVE_KERNEL void conv_direct_mve_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                                   const int32_t *constants, const int8_t **rows, int8_t *output) {
    conv_mve_s8(p, input, weights, constants, NULL, rows, output);
}

#endif
