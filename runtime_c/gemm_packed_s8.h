/* int8 fully connected layer with packed weights (packed_s8.h): four outputs at a time. */
#ifndef PINGPONNX_GEMM_PACKED_S8_H
#define PINGPONNX_GEMM_PACKED_S8_H

#include "packed_outputs_s8.h"

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t quads; /* of a row of weights */
} gemm_packed_params_s8;

/* Adds the products of `count` values that begin at index `from` of the weights' rows. */
PACKED_INLINE void gemm_packed_s8_sum(const uint32_t *weights, const int8_t *values, int32_t from,
                                      int32_t count, int32_t pairs, int32_t *sums) {
    const int32_t head = from % 4;
    weights += (ptrdiff_t)(from / 4) * 2 * pairs;
    if (head != 0) {
        const int32_t bytes = min_s32(4 - head, count);
        uint32_t word = 0;
        memcpy((int8_t *)&word + head, values, (size_t)bytes);
        weights = packed_s8_quad(weights, word, pairs, sums);
        values += bytes;
        count -= bytes;
    }
    weights = packed_s8_quads(weights, values, count / 4, pairs, sums);
    if (count % 4 != 0) {
        uint32_t word = 0;
        memcpy(&word, values + count / 4 * 4, (size_t)(count % 4));
        packed_s8_quad(weights, word, pairs, sums);
    }
}

/* `count` outputs of a block of one pair of channels or two. Returns the next block's constants. */
PACKED_INLINE const uint32_t *gemm_packed_s8_finish(const gemm_packed_params_s8 *p, const uint32_t *stream,
                                                    int32_t pairs, int32_t count, const int32_t *sums,
                                                    int8_t *output) {
    int32_t sum[4];
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        sum[c] = packed_s8_accumulator(sums, c, 0);
    }
    packed_s8_outputs(stream, pairs, count, sum, p->output_zero_point, output);
    for (int32_t c = 0; c < count; ++c) {
        output[c] = saturate_s8(output[c], p->low, p->high);
    }
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

PACKED_INLINE const uint32_t *gemm_packed_s8_block(const gemm_packed_params_s8 *p, const int8_t *input,
                                                   const uint32_t *stream, int32_t pairs, int32_t count,
                                                   int8_t *output) {
    int32_t sums[PACKED_SUMS];
    stream = packed_s8_begin(stream, pairs, 1, sums);
    gemm_packed_s8_sum(stream, input, 0, p->in_n, pairs, sums);
    return gemm_packed_s8_finish(p, stream + (ptrdiff_t)2 * pairs * p->quads, pairs, count, sums, output);
}

PACKED_KERNEL void gemm_packed_s8(const gemm_packed_params_s8 *p, const int8_t *input, const uint32_t *stream,
                                  int8_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const uint32_t *next = stream;
        int32_t left = p->out_n;
        for (; left >= 4; left -= 4, output += 4) {
            next = gemm_packed_s8_block(p, input, next, 2, 4, output);
        }
        for (; left > 0; left -= 2, output += 2) {
            next = gemm_packed_s8_block(p, input, next, 1, min_s32(left, 2), output);
        }
        output += left; /* of a last pair only one exists */
    }
}

/* A block's share of a part of the input. Returns the next block's constants. */
PACKED_INLINE const uint32_t *gemm_packed_s8_share(const gemm_packed_params_s8 *p, const int8_t *input,
                                                   int32_t from, int32_t values, int32_t first, int32_t last,
                                                   const uint32_t *stream, int32_t pairs, int32_t count,
                                                   int32_t *kept, int8_t *output) {
    int32_t sums[PACKED_SUMS];
    const uint32_t *weights = packed_s8_begin(stream, pairs, 1, sums);
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        sums[2 * i] = first ? sums[2 * i] : kept[i];
    }
    gemm_packed_s8_sum(weights, input, from, values, pairs, sums);
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        kept[i] = sums[2 * i];
    }
    weights += (ptrdiff_t)2 * pairs * p->quads;
    if (last) {
        gemm_packed_s8_finish(p, weights, pairs, count, sums, output);
    }
    return weights + PACKED_SCALE_WORDS * 2 * pairs;
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
PACKED_KERNEL void gemm_packed_s8_part(const gemm_packed_params_s8 *p, const int8_t *input, int32_t part,
                                       int32_t count, int32_t first, int32_t last, const uint32_t *stream,
                                       int32_t *sums, int8_t *output) {
    const int32_t from = part * count;
    int32_t o = 0;
    for (; o + 4 <= p->out_n; o += 4) {
        stream = gemm_packed_s8_share(p, input, from, count, first, last, stream, 2, 4, sums + o, output + o);
    }
    for (; o < p->out_n; o += 2) {
        stream = gemm_packed_s8_share(p, input, from, count, first, last, stream, 1, min_s32(p->out_n - o, 2),
                                      sums + o, output + o);
    }
}

#endif
