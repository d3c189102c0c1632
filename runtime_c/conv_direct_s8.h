/* int8 convolution by rows with packed weights (packed_s8.h) that needs no scratch, a pixel at a time. Any
 * kernel, stride and padding, one group, a fused clamp and max-pool; without dilation across. Large windows
 * are multiplied where they lie, row by row; small ones of several rows are put together on the stack before.
 */
#ifndef PINGPONNX_CONV_DIRECT_S8_H
#define PINGPONNX_CONV_DIRECT_S8_H

#include "conv_packed_params.h"
#include "packed_fours_s8.h"

enum { CONV_DIRECT_WINDOW = 128 }; /* bytes that are put together */

/* True when a window's values get into one piece, or are: then `unroll` divides its quads. */
#define CONV_DIRECT_WHOLE(p) ((p)->unroll != 0)
#define CONV_DIRECT_GATHERS(p)                                                                               \
    (CONV_DIRECT_WHOLE(p) && ((p)->kernel_h > 1 || (p)->apart || (p)->kernel_w * (p)->in_c % 4 != 0))

/* One word of values `left` bytes behind the beginning of a row, of which some are padding. */
static inline uint32_t conv_direct_s8_word(const conv_packed_params_s8 *p, const int8_t *row, int32_t left) {
    uint32_t word = 0;
    for (int32_t at = left + 3; at >= left; --at) {
        const int32_t inside = at >= 0 && at < p->in_w * p->in_c;
        word = word << 8 | (uint8_t)(inside ? row[at] : p->input_zero_point);
    }
    return word;
}

/* Quads of padding. */
PACKED_INLINE const uint32_t *conv_direct_s8_padding(const conv_packed_params_s8 *p, const uint32_t *weights,
                                                     int32_t quads, int32_t pairs, int32_t *sums) {
    const uint32_t word = (uint32_t)(p->input_zero_point & 0xFF) * 0x01010101u;
    for (; quads > 0; --quads) {
        weights = packed_s8_quad(weights, word, pairs, sums);
    }
    return weights;
}

/* A row of a window at an edge, that begins `left` bytes behind the beginning of the input's: words that are
 * all padding, one that may begin inside of the input, words inside of it, one that may end there, and
 * padding. Values behind the window have no weight.
 */
PACKED_INLINE const uint32_t *conv_direct_s8_edge(const conv_packed_params_s8 *p, const uint32_t *weights,
                                                  const int8_t *row, int32_t left, int32_t pairs,
                                                  int32_t *sums) {
    const int32_t outside = row == NULL ? 4 * p->quads : min_s32(max_s32(-left, 0), 4 * p->quads);
    const int32_t behind = min_s32(p->kernel_w * p->in_c, p->in_w * p->in_c - left);
    int32_t quad = outside / 4;
    weights = conv_direct_s8_padding(p, weights, quad, pairs, sums);
    if (outside % 4 != 0) {
        weights = packed_s8_quad(weights, conv_direct_s8_word(p, row, left + 4 * quad++), pairs, sums);
    }
    if (quad < behind / 4) {
        weights = packed_s8_quads(weights, row + left + (ptrdiff_t)4 * quad, behind / 4 - quad, pairs, sums);
        quad = behind / 4;
    }
    if (4 * quad < behind) {
        weights = packed_s8_quad(weights, conv_direct_s8_word(p, row, left + 4 * quad++), pairs, sums);
    }
    return conv_direct_s8_padding(p, weights, p->quads - quad, pairs, sums);
}

/* Sums stay in registers only in the function that has them. */
#define CONV_DIRECT_EDGE(name, pairs)                                                                        \
    PACKED_SHARED const uint32_t *name(const conv_packed_params_s8 *p, const uint32_t *weights,              \
                                       const int8_t *row, int32_t left, int32_t *sums) {                     \
        int32_t kept[PACKED_SUMS] = {sums[0], 0, sums[2], 0, sums[4], 0, sums[6], 0};                        \
        weights = conv_direct_s8_edge(p, weights, row, left, pairs, kept);                                   \
        sums[0] = kept[0], sums[2] = kept[2], sums[4] = kept[4], sums[6] = kept[6];                          \
        return weights;                                                                                      \
    }
CONV_DIRECT_EDGE(conv_direct_s8_edge_1, 1)
CONV_DIRECT_EDGE(conv_direct_s8_edge_2, 2)

/* A row of a window that is inside of the input. */
PACKED_INLINE const uint32_t *conv_direct_s8_inner(const conv_packed_params_s8 *p, const uint32_t *weights,
                                                   const int8_t *values, int32_t pairs, int32_t *sums) {
    const int32_t run = p->kernel_w * p->in_c;
    weights = packed_s8_quads(weights, values, run / 4, pairs, sums);
    if (run % 4 != 0) {
        uint32_t word = 0;
        memcpy(&word, values + run / 4 * 4, (size_t)(run % 4));
        weights = packed_s8_quad(weights, word, pairs, sums);
    }
    return weights;
}

/* Adds the products of a block's channels and the window of the unpooled column `x`. Returns what follows the
 * weights.
 */
PACKED_INLINE const uint32_t *conv_direct_s8_window(const conv_packed_params_s8 *p, const uint32_t *weights,
                                                    const int8_t *const *rows, int32_t x, int32_t pairs,
                                                    int32_t *sums) {
    const int32_t left = x * p->stride_w - p->pad_left, inside = conv_packed_s8_inside(p, left);
#pragma GCC unroll 1
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        if (!p->apart || (inside && row != NULL)) {
            weights = conv_direct_s8_inner(p, weights, row + (ptrdiff_t)left * p->in_c, pairs, sums);
        } else {
            int32_t kept[PACKED_SUMS] = {sums[0], 0, sums[2]};
            if (pairs == 2) {
                kept[4] = sums[4], kept[6] = sums[6];
                weights = conv_direct_s8_edge_2(p, weights, row, left * p->in_c, kept);
                sums[4] = kept[4], sums[6] = kept[6];
            } else {
                weights = conv_direct_s8_edge_1(p, weights, row, left * p->in_c, kept);
            }
            sums[0] = kept[0], sums[2] = kept[2];
        }
    }
    return weights;
}

/* A block of one pair of channels or two, of which `count` exist, from the window of column `x`, or `values`
 * in one piece. Scales are positive: of a pooling window the greatest output is kept, unless it is the first.
 * Returns the next block's constants.
 */
PACKED_INLINE const uint32_t *conv_direct_s8_block(const conv_packed_params_s8 *p, const uint32_t *stream,
                                                   const int8_t *const *rows, int32_t x, const int8_t *values,
                                                   int32_t pairs, int32_t count, int32_t first,
                                                   int8_t *output) {
    int32_t sums[PACKED_SUMS], sum[4];
    int8_t outputs[4];
    stream = packed_s8_begin(stream, pairs, 1, sums);
    if (CONV_DIRECT_WHOLE(p)) {
        stream = packed_s8_quads(stream, values, p->quads, pairs, sums);
    } else {
        stream = conv_direct_s8_window(p, stream, rows, x, pairs, sums);
    }
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        sum[c] = packed_s8_accumulator(sums, c, 0);
    }
    packed_s8_outputs(stream, pairs, count, sum, p->output_zero_point, outputs);
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        output[c] = first || outputs[c] > output[c] ? outputs[c] : output[c];
    }
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

/* All channels of the unpooled column `x`. */
PACKED_INLINE void conv_direct_s8_pixel(const conv_packed_params_s8 *p, const uint32_t *stream,
                                        const int8_t *const *rows, int32_t x, int32_t first, int8_t *output) {
    uint32_t window[CONV_DIRECT_WINDOW / 4];
    int8_t room[CONV_DIRECT_WINDOW];
    const int8_t *values = (const int8_t *)window;
    if (CONV_DIRECT_GATHERS(p)) {
        window[p->quads - 1] = 0;
        conv_packed_s8_window(p, rows, x, room, (int8_t *)window);
    } else if (CONV_DIRECT_WHOLE(p)) {
        values = rows[0] + (ptrdiff_t)x * p->stride_w * p->in_c;
    }
    if (CONV_DIRECT_WHOLE(p) && p->pool_h == 1 && p->pool_w == 1) {
        packed_s8_pixel(stream, values, p->quads, PACKED_UNROLL(p->quads, p->unroll), p->out_c,
                        p->output_zero_point, output);
        return;
    }
#pragma GCC unroll 1
    for (int32_t left = p->out_c; left >= 4; left -= 4, output += 4) {
        stream = conv_direct_s8_block(p, stream, rows, x, values, 2, 4, first, output);
    }
    if (p->out_c % 4 >= 2) {
        stream = conv_direct_s8_block(p, stream, rows, x, values, 1, 2, first, output);
        output += 2;
    }
    if (p->out_c % 2 == 1) {
        conv_direct_s8_block(p, stream, rows, x, values, 1, 1, first, output);
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool. Clamps
 * keep the order. */
PACKED_KERNEL void conv_direct_s8_part(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                       const uint32_t *stream, int32_t first, int8_t *output) {
    int8_t *to = output;
    for (int32_t x = 0; x < p->out_w; ++x, to += p->out_c) {
        for (int32_t px = 0; px < p->pool_w; ++px) {
            conv_direct_s8_pixel(p, stream, rows, x * p->pool_stride_w + px, first && px == 0, to);
        }
    }
    conv_packed_s8_clamp(p, output);
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
PACKED_KERNEL void conv_direct_s8_row(const conv_packed_params_s8 *p, const int8_t *const *rows,
                                      const uint32_t *stream, int8_t *output) {
    for (int32_t py = 0; py < p->pool_h; ++py) {
        conv_direct_s8_part(p, rows + py * p->stride_h, stream, py == 0, output);
    }
}

PACKED_KERNEL void conv_direct_s8(const conv_packed_params_s8 *p, const int8_t *input, const uint32_t *stream,
                                  const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                       p->in_w * p->in_c);
        conv_direct_s8_row(p, rows, stream, output);
    }
}

#endif
