/* int8 convolution by rows with packed weights (packed_s8.h): any kernel, stride, dilation and padding, one
 * group, a fused clamp and max-pool. Two pixels' windows at a time are expanded to a column, for all
 * channels.
 */
#ifndef PINGPONNX_CONV_PACKED_S8_H
#define PINGPONNX_CONV_PACKED_S8_H

#include "conv_params.h"
#include "packed_s8.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step;  /* 1: a multiplier and a shift for every channel, 0: one for all */
    int32_t quads, unroll; /* of a window's values; `unroll` divides `quads` */
} conv_packed_params_s8;

/* The constants of a layer, and where its columns are made: 16 bytes a quad, and behind them the bytes of
 * windows that are not in one piece.
 */
typedef struct {
    const uint32_t *weights;
    const int32_t *bias, *multiplier;
    const int8_t *right;
    uint32_t *column;
} conv_packed_s8_data;

/* One row of a window, of which some is padding or apart. */
PACKED_INLINE void conv_packed_s8_gather(const conv_packed_params_s8 *p, const int8_t *row, int32_t left,
                                         int8_t *to) {
    const size_t bytes = (size_t)p->in_c;
    for (int32_t kx = 0; kx < p->kernel_w; ++kx, to += p->in_c) {
        const int32_t x = left + kx * p->dilation_w;
        if (row != NULL && x >= 0 && x < p->in_w) {
            memcpy(to, row + (ptrdiff_t)x * p->in_c, bytes);
        } else {
            memset(to, p->input_zero_point, bytes);
        }
    }
}

/* Expands the window of the unpooled column `x`. */
PACKED_INLINE void conv_packed_s8_fill(const conv_packed_params_s8 *p, const int8_t *const *rows, int32_t x,
                                       int8_t *bytes, uint32_t *column) {
    const int32_t run = p->kernel_w * p->in_c;
    const int32_t left = x * p->stride_w - p->pad_left;
    const int32_t inside =
        (p->dilation_w == 1 || p->kernel_w == 1) && left >= 0 && left + p->kernel_w <= p->in_w;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        const int8_t *values = bytes;
        if (row != NULL && inside) {
            values = row + (ptrdiff_t)left * p->in_c;
            if (run % 4 != 0) {
                memcpy(bytes, values, (size_t)run);
            }
        } else {
            conv_packed_s8_gather(p, row, left, bytes);
        }
        if (run % 4 == 0) {
            packed_s8_expand(column, values, run / 4);
            column += run;
        } else {
            bytes += run;
        }
    }
    if (run % 4 != 0) {
        packed_s8_expand(column, bytes - p->kernel_h * run, p->quads);
    }
}

/* `count` channels from `channel` on, of one or two pixels: each an output, or with a pool their maximum, or
 * the maximum with what the output holds unless it is the first.
 */
PACKED_INLINE void conv_packed_s8_finish(const conv_packed_params_s8 *p, const conv_packed_s8_data *d,
                                         const int32_t *sums, int32_t channel, int32_t count, int32_t pixels,
                                         int32_t first, int8_t *output) {
    for (int32_t c = 0; c < count; ++c) {
        int32_t acc[2] = {packed_s8_accumulator(sums, c, 0), packed_s8_accumulator(sums, c, pixels - 1)};
        int32_t results = pixels;
        if (p->pool_w > 1) { /* scales are positive: the maximum may be scaled */
            acc[0] = max_s32(acc[0], acc[1]);
            results = 1;
        }
        for (int32_t i = 0; i < results; ++i) {
            int8_t *to = output + i * p->out_c + c;
            const int32_t y = packed_s8_requantize(acc[i], d->multiplier, d->right,
                                                   (channel + c) * p->channel_step, p->output_zero_point);
            const int8_t value = packed_s8_clamp(y, p->low, p->high);
            *to = first || value > *to ? value : *to;
        }
    }
}

/* All channels of one pixel, or of two that are `apart`. */
PACKED_INLINE void conv_packed_s8_pixels(const conv_packed_params_s8 *p, const conv_packed_s8_data *d,
                                         const int8_t *const *rows, int32_t x, int32_t apart, int32_t pixels,
                                         int32_t first, int8_t *output) {
    const uint32_t *weights = d->weights;
    const int32_t *bias = d->bias;
    int32_t channel = 0;
    for (int32_t i = 0; i < pixels; ++i) {
        conv_packed_s8_fill(p, rows, x + i * apart, (int8_t *)(d->column + 4 * p->quads), d->column + i);
    }
    for (; channel + 4 <= p->out_c; channel += 4, bias += 4, output += 4) {
        int32_t sums[PACKED_SUMS];
        packed_s8_begin(bias, 2, pixels, sums);
        weights = packed_s8_block(weights, d->column, p->quads, p->unroll, 2, pixels, sums);
        conv_packed_s8_finish(p, d, sums, channel, 4, pixels, first, output);
    }
    const int32_t rest = p->out_c % 4;
    if (rest > 0) {
        const int32_t pairs = (rest + 1) / 2;
        int32_t sums[PACKED_SUMS];
        packed_s8_begin(bias, pairs, pixels, sums);
        packed_s8_block(weights, d->column, p->quads, p->unroll, pairs, pixels, sums);
        conv_packed_s8_finish(p, d, sums, channel, rest, pixels, first, output);
    }
}

/* The share of one unpooled row in an output row. */
PACKED_INLINE void conv_packed_s8_line(const conv_packed_params_s8 *p, const conv_packed_s8_data *d,
                                       const int8_t *const *rows, int32_t first, int8_t *output) {
    if (p->pool_w == 1) {
        int32_t x = 0;
        for (; x + 2 <= p->out_w; x += 2, output += 2 * p->out_c) {
            conv_packed_s8_pixels(p, d, rows, x * p->pool_stride_w, p->pool_stride_w, 2, first, output);
        }
        if (x < p->out_w) {
            conv_packed_s8_pixels(p, d, rows, x * p->pool_stride_w, 1, 1, first, output);
        }
        return;
    }
    for (int32_t x = 0; x < p->out_w; ++x, output += p->out_c) {
        int32_t px = 0;
        for (; px + 2 <= p->pool_w; px += 2) {
            conv_packed_s8_pixels(p, d, rows, x * p->pool_stride_w + px, 1, 2, first && px == 0, output);
        }
        if (px < p->pool_w) {
            conv_packed_s8_pixels(p, d, rows, x * p->pool_stride_w + px, 1, 1, 0, output);
        }
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already.
 */
PACKED_KERNEL void conv_packed_s8_part(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                       const uint32_t *weights, const int32_t *bias,
                                       const int32_t *multiplier, const int8_t *right, void *scratch,
                                       int32_t first, int8_t *output) {
    const conv_packed_s8_data d = {weights, bias, multiplier, right, (uint32_t *)scratch};
    conv_packed_s8_line(p, &d, rows, first, output);
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
PACKED_KERNEL void conv_packed_s8_row(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                      const uint32_t *weights, const int32_t *bias, const int32_t *multiplier,
                                      const int8_t *right, void *scratch, int8_t *output) {
    const conv_packed_s8_data d = {weights, bias, multiplier, right, (uint32_t *)scratch};
    for (int32_t py = 0; py < p->pool_h; ++py) {
        conv_packed_s8_line(p, &d, rows + py * p->stride_h, py == 0, output);
    }
}

PACKED_KERNEL void conv_packed_s8(const conv_packed_params_s8 *p, const int8_t *input,
                                  const uint32_t *weights, const int32_t *bias, const int32_t *multiplier,
                                  const int8_t *right, void *scratch, const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                       p->in_w * p->in_c);
        conv_packed_s8_row(p, rows, weights, bias, multiplier, right, scratch, output);
    }
}

#endif
