/* int8 convolution by rows with packed weights (packed_s8.h): any kernel, stride, dilation and padding, one
 * group, a fused clamp and max-pool. Two pixels' windows at a time are expanded to a column, for all
 * channels.
 */
#ifndef PINGPONNX_CONV_PACKED_S8_H
#define PINGPONNX_CONV_PACKED_S8_H

#include "conv_packed_params.h"
#include "packed_fours_s8.h"

/* What is left of a window's rows, when that is not more than a quad and all of them are inside. */
PACKED_INLINE void conv_packed_s8_last(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                       ptrdiff_t from, int32_t rest, uint32_t *column) {
    uint32_t word = 0;
#pragma GCC unroll 4
    for (int32_t i = p->kernel_h * rest - 1; i >= 0; --i) {
        word = word << 8 | (uint8_t)rows[i / rest * p->dilation_h][from + i % rest];
    }
    column[0] = sxtb16(word);
    column[2] = sxtb16_odd(word);
}

/* Expands the window of the unpooled column `x`; `bytes` has room for what is left of its rows, and for one
 * of them.
 */
PACKED_INLINE void conv_packed_s8_fill(const conv_packed_params_s8 *p, const int8_t *const *rows, int32_t x,
                                       int8_t *bytes, uint32_t *column) {
    const int32_t whole = 4 * p->row_quads, rest = p->kernel_w * p->in_c - whole;
    const int32_t left = x * p->stride_w - p->pad_left;
    const int32_t tail = p->quads - p->kernel_h * p->row_quads; /* quads of the rows' rests */
    int32_t inside = conv_packed_s8_inside(p, left);
    if (p->kernel_h <= 4 && rest > 0 && p->kernel_h * rest <= 4) {
        const ptrdiff_t from = (ptrdiff_t)left * p->in_c;
#pragma GCC unroll 4
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            inside &= !p->apart || rows[ky * p->dilation_h] != NULL;
        }
        if (inside) {
#pragma GCC unroll 4
            for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
                packed_s8_expand(column + ky * whole, rows[ky * p->dilation_h] + from, p->row_quads);
            }
            conv_packed_s8_last(p, rows, from + whole, rest, column + p->kernel_h * whole);
            return;
        }
    }
    int8_t *to = bytes, *const room = bytes + (ptrdiff_t)4 * tail;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, column += whole, to += rest) {
        const int8_t *values = conv_packed_s8_values(p, rows[ky * p->dilation_h], left, inside, room);
        packed_s8_expand(column, values, p->row_quads);
        for (int32_t i = 0; i < rest; ++i) {
            to[i] = values[whole + i];
        }
    }
    if (rest > 0) {
        packed_s8_expand(column, bytes, tail);
    }
}

/* `count` of a block's channels, clamped to int8: of one or two pixels each an output; with a `pool` of both
 * the maximum, or the greater output that is there. Scales are positive: maxima may be scaled.
 */
PACKED_INLINE void conv_packed_s8_finish(const conv_packed_params_s8 *p, const uint32_t *stream,
                                         int32_t pairs, int32_t count, int32_t pixels, int32_t pool,
                                         const int32_t *sums, int8_t *output) {
    const int32_t zero = p->output_zero_point;
    int32_t sum[4], other[4] = {0};
    int8_t outputs[4];
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        sum[c] = packed_s8_accumulator(sums, c, 0);
        if (pixels == 2) {
            other[c] = packed_s8_accumulator(sums, c, 1);
        }
        if (pixels == 2 && pool) {
            sum[c] = max_s32(sum[c], other[c]);
        }
    }
    packed_s8_outputs(stream, pairs, count, sum, zero, outputs);
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        output[c] = (int8_t)(pool ? max_s32(outputs[c], output[c]) : outputs[c]);
    }
    if (pixels == 2 && !pool) {
        packed_s8_outputs(stream, pairs, count, other, zero, output + p->out_c);
    }
}

/* A block of one pair of channels or two, of which `count` exist. A single pixel's column are the bytes of
 * its window. Returns the next block's constants. */
PACKED_INLINE const uint32_t *conv_packed_s8_block(const conv_packed_params_s8 *p, const uint32_t *stream,
                                                   const uint32_t *column, int32_t pairs, int32_t count,
                                                   int32_t pixels, int32_t pool, int32_t unroll,
                                                   int8_t *output) {
    int32_t sums[PACKED_SUMS];
    stream = packed_s8_begin(stream, pairs, pixels, sums);
    if (pixels == 1) {
        stream = packed_s8_quads(stream, (const int8_t *)column, p->quads, pairs, sums);
    } else {
        stream = packed_s8_block(stream, column, p->quads, unroll, pairs, sums);
    }
    conv_packed_s8_finish(p, stream, pairs, count, pixels, pool, sums, output);
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

/* All blocks of four channels. Returns the constants of the others. */
PACKED_INLINE const uint32_t *conv_packed_s8_fours(const conv_packed_params_s8 *p, const uint32_t *stream,
                                                   const uint32_t *column, int32_t pixels, int32_t pool,
                                                   int32_t unroll, int32_t once, int8_t *output) {
#if defined(PACKED_4X2)
    if (pixels == 2 && !pool) {
        const uintptr_t from = (uintptr_t)column - (once ? PACKED_AHEAD : 0);
        packed_s8_place place = {(const void *)from,        NULL,     output,
                                 output + p->out_c / 4 * 4, p->out_c, p->output_zero_point};
        return packed_s8_fours_2(stream, unroll, once, &place);
    }
#endif
    (void)once;
#pragma GCC unroll 1
    for (const int8_t *end = output + p->out_c / 4 * 4; output != end; output += 4) {
        stream = conv_packed_s8_block(p, stream, column, 2, 4, pixels, pool, unroll, output);
    }
    return stream;
}

/* The other channels, by pairs. */
PACKED_INLINE void conv_packed_s8_rest(const conv_packed_params_s8 *p, const uint32_t *stream,
                                       const uint32_t *column, int32_t pixels, int32_t pool, int8_t *output) {
    output += p->out_c / 4 * 4;
    if (p->out_c % 4 >= 2) {
        stream = conv_packed_s8_block(p, stream, column, 1, 2, pixels, pool, 1, output);
        output += 2;
    }
    if (p->out_c % 2 == 1) {
        conv_packed_s8_block(p, stream, column, 1, 1, pixels, pool, 1, output);
    }
}

#define CONV_PACKED_PAIRS(name, pool, unroll, once)                                                          \
    PACKED_SHARED const uint32_t *name(const conv_packed_params_s8 *p, const uint32_t *stream,               \
                                       const uint32_t *column, int8_t *output) {                             \
        return conv_packed_s8_fours(p, stream, column, 2, pool, unroll, once, output);                       \
    }
#define CONV_PACKED_UNROLLED(unroll)                                                                         \
    CONV_PACKED_PAIRS(conv_packed_s8_pair_once_##unroll, 0, unroll, 1)                                       \
    CONV_PACKED_PAIRS(conv_packed_s8_pair_##unroll, 0, unroll, 0)                                            \
    CONV_PACKED_PAIRS(conv_packed_s8_pool_##unroll, 1, unroll, 0)
PACKED_EVERY(CONV_PACKED_UNROLLED)

#define CONV_PACKED_REST(name, pixels, pool)                                                                 \
    PACKED_SHARED void name(const conv_packed_params_s8 *p, const uint32_t *stream, const uint32_t *column,  \
                            int8_t *output) {                                                                \
        if (pixels == 1) {                                                                                   \
            stream = conv_packed_s8_fours(p, stream, column, pixels, pool, 1, 0, output);                    \
        }                                                                                                    \
        conv_packed_s8_rest(p, stream, column, pixels, pool, output);                                        \
    }
CONV_PACKED_REST(conv_packed_s8_pair_rest, 2, 0)
CONV_PACKED_REST(conv_packed_s8_pool_rest, 2, 1)
CONV_PACKED_REST(conv_packed_s8_one_pool, 1, 1)

#define CONV_PACKED_CASE(count)                                                                              \
    case count:                                                                                              \
        if (pool) {                                                                                          \
            stream = conv_packed_s8_pool_##count(p, stream, column, output);                                 \
        } else if (PACKED_ONCE(p->quads, p->unroll)) {                                                       \
            stream = conv_packed_s8_pair_once_##count(p, stream, column, output);                            \
        } else {                                                                                             \
            stream = conv_packed_s8_pair_##count(p, stream, column, output);                                 \
        }                                                                                                    \
        break;

/* All channels of two pixels. */
PACKED_INLINE void conv_packed_s8_pair(const conv_packed_params_s8 *p, const uint32_t *stream,
                                       const uint32_t *column, int32_t pool, int8_t *output) {
    switch (p->out_c < 4 ? 0 : PACKED_UNROLL(p->quads, p->unroll)) {
        PACKED_EVERY(CONV_PACKED_CASE)
    default:
        break;
    }
    if (p->out_c % 4 != 0 && pool) {
        conv_packed_s8_pool_rest(p, stream, column, output);
    } else if (p->out_c % 4 != 0) {
        conv_packed_s8_pair_rest(p, stream, column, output);
    }
}

/* All channels of one pixel, or of it and the next. With a `pool` the output is one, and holds what it was
 * compared with already. Behind the column is room for the bytes of windows that are not in one piece.
 */
PACKED_INLINE void conv_packed_s8_pixels(const conv_packed_params_s8 *p, const uint32_t *stream,
                                         const int8_t *const *rows, int32_t x, int32_t pixels, int32_t pool,
                                         uint32_t *column, int8_t *output) {
    if (pixels == 2) {
        uint32_t *end = column + (ptrdiff_t)4 * p->quads;
        conv_packed_s8_fill(p, rows, x, (int8_t *)(end + 1), column);
        conv_packed_s8_fill(p, rows, x + 1, (int8_t *)(end + 1), column + 1);
        *end = PACKED_END;
        conv_packed_s8_pair(p, stream, column, pool, output);
        return;
    }
    conv_packed_s8_window(p, rows, x, (int8_t *)column + (ptrdiff_t)4 * p->quads, (int8_t *)column);
    if (pool) {
        conv_packed_s8_one_pool(p, stream, column, output);
    } else {
        packed_s8_pixel(stream, (const int8_t *)column, p->quads, PACKED_UNROLL(p->quads, p->unroll),
                        p->out_c, p->output_zero_point, output);
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already. Clamps keep the order, so that a
 * narrower one than int8's may follow.
 */
PACKED_KERNEL void conv_packed_s8_part(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                       const uint32_t *stream, void *scratch, int32_t first, int8_t *output) {
    uint32_t *column = (uint32_t *)scratch;
    const int32_t pool = p->pool_h > 1 || p->pool_w > 1;
    const size_t count = (size_t)p->out_w * (size_t)p->out_c;
    int8_t *to = output;
    if (pool && first) {
        memset(output, INT8_MIN, count);
    }
    for (int32_t x = 0; pool && x < p->out_w; ++x, to += p->out_c) {
        const int32_t from = x * p->pool_stride_w, last = from + p->pool_w - 1;
        for (int32_t px = from; px < last; px += 2) {
            conv_packed_s8_pixels(p, stream, rows, px, 2, 1, column, to);
        }
        if (p->pool_w % 2 != 0) {
            conv_packed_s8_pixels(p, stream, rows, last, 1, 1, column, to);
        }
    }
    for (int32_t x = 0; !pool && x < p->out_w / 2; ++x, to += 2 * p->out_c) {
        conv_packed_s8_pixels(p, stream, rows, 2 * x, 2, 0, column, to);
    }
    if (!pool && p->out_w % 2 != 0) {
        conv_packed_s8_pixels(p, stream, rows, p->out_w - 1, 1, 0, column, to);
    }
    conv_packed_s8_clamp(p, output);
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
