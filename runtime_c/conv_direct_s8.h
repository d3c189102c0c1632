/* int8 convolution by rows with packed weights (packed_s8.h) that needs no scratch: windows are multiplied
 * where they are, a pixel at a time. Any kernel, stride and padding, one group, a fused clamp and max-pool;
 * without dilation across.
 */
#ifndef PINGPONNX_CONV_DIRECT_S8_H
#define PINGPONNX_CONV_DIRECT_S8_H

#include "conv_params.h"
#include "packed_s8.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t quads; /* of one row of a window */
    int32_t apart; /* 1: rows of windows may be padding */
} conv_direct_params_s8;

/* Quads `from` to `to` of a window's row that begins `left` bytes behind the beginning of the input's, byte
 * by byte: some are padding. Bytes behind the window have no weight.
 */
PACKED_INLINE const uint32_t *conv_direct_s8_bytes(const conv_direct_params_s8 *p, const uint32_t *weights,
                                                   const int8_t *row, int32_t left, int32_t from, int32_t to,
                                                   int32_t pairs, int32_t *sums) {
#pragma GCC unroll 1
    for (int32_t quad = from; quad < to; ++quad) {
        uint32_t word = 0;
        for (int32_t at = left + 4 * quad + 3; at >= left + 4 * quad; --at) {
            const int32_t inside = row != NULL && at >= 0 && at < p->in_w * p->in_c;
            word = word << 8 | (uint8_t)(inside ? row[at] : p->input_zero_point);
        }
        weights = packed_s8_quad(weights, word, pairs, sums);
    }
    return weights;
}

/* A row of a window at the edge: whole words of it are taken from the input. */
PACKED_SHARED const uint32_t *conv_direct_s8_edge(const conv_direct_params_s8 *p, const uint32_t *weights,
                                                  const int8_t *row, int32_t left, int32_t pairs,
                                                  int32_t *sums) {
    int32_t first = row == NULL ? p->quads : min_s32((max_s32(-left, 0) + 3) / 4, p->quads);
    const int32_t behind = min_s32(p->kernel_w * p->in_c, p->in_w * p->in_c - left);
    const int32_t last = max_s32(first, behind / 4);
    weights = conv_direct_s8_bytes(p, weights, row, left, 0, first, pairs, sums);
    if (first < last && pairs == 2) {
        weights = packed_s8_quads(weights, row + left + (ptrdiff_t)4 * first, last - first, 2, sums);
    } else if (first < last) {
        weights = packed_s8_quads(weights, row + left + (ptrdiff_t)4 * first, last - first, 1, sums);
    }
    return conv_direct_s8_bytes(p, weights, row, left, last, p->quads, pairs, sums);
}

/* A row of a window that is inside of the input. */
PACKED_INLINE const uint32_t *conv_direct_s8_inner(const conv_direct_params_s8 *p, const uint32_t *weights,
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

/* Adds the products of a block's channels and the window of the unpooled column `x`. */
PACKED_INLINE void conv_direct_s8_window(const conv_direct_params_s8 *p, const uint32_t *weights,
                                         const int8_t *const *rows, int32_t x, int32_t pairs, int32_t *sums) {
    const int32_t left = x * p->stride_w - p->pad_left;
    const int32_t inside = !p->apart || (left >= 0 && left + p->kernel_w <= p->in_w);
#pragma GCC unroll 1
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        if (!p->apart || (inside && row != NULL)) {
            weights = conv_direct_s8_inner(p, weights, row + (ptrdiff_t)left * p->in_c, pairs, sums);
        } else {
            int32_t kept[PACKED_SUMS]; /* so that the others stay in registers */
            for (int32_t i = 0; i < 2 * pairs; ++i) {
                kept[2 * i] = sums[2 * i];
            }
            weights = conv_direct_s8_edge(p, weights, row, left * p->in_c, pairs, kept);
            for (int32_t i = 0; i < 2 * pairs; ++i) {
                sums[2 * i] = kept[2 * i];
            }
        }
    }
}

/* Channels of a block of one pair or two, of which `count` exist: `lines` unpooled rows of every pooling
 * window, unless it is the first with the maxima that the output holds already. Scales are positive: maxima
 * may be scaled. Returns the next block's constants.
 */
PACKED_INLINE const uint32_t *conv_direct_s8_block(const conv_direct_params_s8 *p, const int8_t *const *rows,
                                                   int32_t lines, const uint32_t *stream, int32_t pairs,
                                                   int32_t count, int32_t first, int8_t *output) {
    const uint32_t *scales = stream + 2 * pairs + (ptrdiff_t)2 * pairs * p->quads * p->kernel_h;
    for (int32_t x = 0; x < p->out_w; ++x, output += p->out_c) {
        int32_t best[4] = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
        for (int32_t py = 0; py < lines; ++py) {
            for (int32_t px = 0; px < p->pool_w; ++px) {
                int32_t sums[PACKED_SUMS];
                const uint32_t *weights = packed_s8_begin(stream, pairs, 1, sums);
                conv_direct_s8_window(p, weights, rows + py * p->stride_h, x * p->pool_stride_w + px, pairs,
                                      sums);
                for (int32_t c = 0; c < count; ++c) {
                    best[c] = max_s32(best[c], packed_s8_accumulator(sums, c, 0));
                }
            }
        }
        for (int32_t c = 0; c < count; ++c) {
            const scale_s8 scale = packed_s8_scale_of(scales, 2 * pairs, c);
            const int32_t y = requantize_proven(best[c], scale, p->output_zero_point);
            const int8_t value = saturate_s8(y, p->low, p->high);
            output[c] = first || value > output[c] ? value : output[c];
        }
    }
    return scales + PACKED_SCALE_WORDS * 2 * pairs;
}

PACKED_INLINE void conv_direct_s8_lines(const conv_direct_params_s8 *p, const int8_t *const *rows,
                                        int32_t lines, const uint32_t *stream, int32_t first,
                                        int8_t *output) {
    for (int32_t c = 0; c < p->out_c / 4; ++c, output += 4) {
        stream = conv_direct_s8_block(p, rows, lines, stream, 2, 4, first, output);
    }
    if (p->out_c % 4 >= 2) {
        stream = conv_direct_s8_block(p, rows, lines, stream, 1, 2, first, output);
        output += 2;
    }
    if (p->out_c % 2 == 1) {
        conv_direct_s8_block(p, rows, lines, stream, 1, 1, first, output);
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool. Scaling
 * and clamp keep the order.
 */
PACKED_KERNEL void conv_direct_s8_part(const conv_direct_params_s8 *p, const int8_t *const *rows,
                                       const uint32_t *stream, int32_t first, int8_t *output) {
    conv_direct_s8_lines(p, rows, 1, stream, first, output);
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
PACKED_KERNEL void conv_direct_s8_row(const conv_direct_params_s8 *p, const int8_t *const *rows,
                                      const uint32_t *stream, int8_t *output) {
    conv_direct_s8_lines(p, rows, p->pool_h, stream, 1, output);
}

PACKED_KERNEL void conv_direct_s8(const conv_direct_params_s8 *p, const int8_t *input, const uint32_t *stream,
                                  const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                       p->in_w * p->in_c);
        conv_direct_s8_row(p, rows, stream, output);
    }
}

#endif
