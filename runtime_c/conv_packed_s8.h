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
    int32_t quads, unroll; /* of a window's values; `unroll` divides `quads` */
} conv_packed_params_s8;

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

/* `count` of a block's `channels`, of one or two pixels: each an output, or with a pool their maximum, or the
 * maximum with what the output holds unless it is the first. Scales are positive: maxima may be scaled.
 */
PACKED_INLINE void conv_packed_s8_finish(const conv_packed_params_s8 *p, const uint32_t *stream,
                                         int32_t channels, int32_t count, int32_t pixels, int32_t first,
                                         const int32_t *sums, int8_t *output) {
    const int32_t results = p->pool_w > 1 ? 1 : pixels;
    for (int32_t c = 0; c < count; ++c) {
        const packed_s8_scale scale = packed_s8_scale_of(stream, channels, c);
        for (int32_t i = 0; i < results; ++i) {
            int8_t *to = output + i * p->out_c + c;
            int32_t acc = packed_s8_accumulator(sums, c, i);
            if (results < pixels) {
                acc = max_s32(acc, packed_s8_accumulator(sums, c, 1));
            }
            const int32_t y = packed_s8_requantize(acc, scale, p->output_zero_point);
            const int8_t value = packed_s8_clamp(y, p->low, p->high);
            *to = first || value > *to ? value : *to;
        }
    }
}

/* A block of one pair of channels or two, of which `count` exist. Returns the next block's constants. */
PACKED_INLINE const uint32_t *conv_packed_s8_block(const conv_packed_params_s8 *p, const uint32_t *stream,
                                                   const uint32_t *column, int32_t count, int32_t pixels,
                                                   int32_t first, int8_t *output) {
    const int32_t pairs = (count + 1) / 2;
    int32_t sums[PACKED_SUMS];
    stream = packed_s8_begin(stream, pairs, pixels, sums);
    stream = packed_s8_block(stream, column, p->quads, p->unroll, pairs, pixels, sums);
    conv_packed_s8_finish(p, stream, 2 * pairs, count, pixels, first, sums, output);
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

/* All channels of one pixel, or of two that are `apart`. Behind the column is room for the bytes of windows
 * that are not in one piece.
 */
PACKED_INLINE void conv_packed_s8_pixels(const conv_packed_params_s8 *p, const uint32_t *stream,
                                         const int8_t *const *rows, int32_t x, int32_t apart, int32_t pixels,
                                         int32_t first, uint32_t *column, int8_t *output) {
    uint32_t *end_of_column = column + (ptrdiff_t)4 * p->quads;
    for (int32_t i = 0; i < pixels; ++i) {
        conv_packed_s8_fill(p, rows, x + i * apart, (int8_t *)(end_of_column + 1), column + i);
    }
    *end_of_column = PACKED_END;
    const int32_t rest = p->out_c % 4;
    for (const int8_t *end = output + p->out_c - rest; output != end; output += 4) {
        stream = conv_packed_s8_block(p, stream, column, 4, pixels, first, output);
    }
    if (rest > 0) {
        conv_packed_s8_block(p, stream, column, rest, pixels, first, output);
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already.
 */
PACKED_KERNEL void conv_packed_s8_part(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                       const uint32_t *stream, void *scratch, int32_t first, int8_t *output) {
    uint32_t *column = (uint32_t *)scratch;
    const int32_t step = p->pool_stride_w;
    int32_t x = 0;
    if (p->pool_w == 1) {
        for (; x + 2 <= p->out_w; x += 2, output += 2 * p->out_c) {
            conv_packed_s8_pixels(p, stream, rows, x * step, step, 2, first, column, output);
        }
        if (x < p->out_w) {
            conv_packed_s8_pixels(p, stream, rows, x * step, 0, 1, first, column, output);
        }
        return;
    }
    for (; x < p->out_w; ++x, output += p->out_c) {
        int32_t px = 0;
        for (; px + 2 <= p->pool_w; px += 2) {
            conv_packed_s8_pixels(p, stream, rows, x * step + px, 1, 2, first && px == 0, column, output);
        }
        if (px < p->pool_w) {
            conv_packed_s8_pixels(p, stream, rows, x * step + px, 0, 1, 0, column, output);
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
PACKED_KERNEL void conv_packed_s8_row(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                      const uint32_t *stream, void *scratch, int8_t *output) {
    for (int32_t py = 0; py < p->pool_h; ++py) {
        conv_packed_s8_part(p, rows + py * p->stride_h, stream, scratch, py == 0, output);
    }
}

PACKED_KERNEL void conv_packed_s8(const conv_packed_params_s8 *p, const int8_t *input, const uint32_t *stream,
                                  void *scratch, const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                       p->in_w * p->in_c);
        conv_packed_s8_row(p, rows, stream, scratch, output);
    }
}

#endif
