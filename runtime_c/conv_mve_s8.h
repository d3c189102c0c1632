/* int8 convolution by rows for Helium (mve_s8.h): any kernel, stride, dilation and padding, one group, a
 * fused clamp and max-pool. Two pixels' windows at a time are put together, for all channels.
 */
#ifndef PINGPONNX_CONV_MVE_S8_H
#define PINGPONNX_CONV_MVE_S8_H

#include "mve_s8.h"
#include "window_mve_s8.h"

typedef struct {
    const int8_t *weights;
    const int32_t *constants;
    int8_t *columns; /* two windows; NULL where every window is one piece of the input */
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

/* All channels of one pixel, or of two that are `apart`: each an output, or with a pool their maximum. */
MVE_INLINE void conv_mve_s8_pixels(const conv_params_s8 *p, const conv_mve_s8_data *d,
                                   const int8_t *const *rows, int32_t x, int32_t apart, int32_t pixels,
                                   int32_t first, int8_t *output) {
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    const int8_t *weights = d->weights;
    const int32_t *constants = d->constants;
    const int8_t *x0 = conv_mve_s8_window(p, rows, x, d->columns);
    int8_t *second = d->columns != NULL ? d->columns + depth : NULL;
    const int8_t *x1 = pixels == 2 ? conv_mve_s8_window(p, rows, x + apart, second) : x0;
    for (int32_t channel = 0; channel < p->out_c; channel += 4) {
        const int32_t count = p->out_c % 4 == 0 ? 4 : p->out_c - channel;
        mve_s32 s0, s1;
        if (pixels == 2) {
            mve_s8_dot2(weights, depth, x0, x1, constants, &s0, &s1);
            if (p->pool_w > 1) { /* scales are positive: the maximum may be scaled */
                s0 = mve_s8_max(s0, s1);
            } else {
                conv_mve_s8_finish(p, s1, constants, count, first, output + p->out_c);
            }
        } else {
            s0 = mve_s8_dot(weights, depth, depth, x0, constants);
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

#endif
