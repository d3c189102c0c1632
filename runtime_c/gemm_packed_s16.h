/* int16 fully connected layer with packed int8 weights, four outputs at a time (packed_s16.h). */
#ifndef PINGPONNX_GEMM_PACKED_S16_H
#define PINGPONNX_GEMM_PACKED_S16_H

#include "packed_s16.h"

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t output_zero_point, low, high;
} gemm_packed_params_s16;

/* Adds the products of `count` inputs, which are those from number `from` on, with a block of weights. */
static inline void gemm_packed_s16_add(const int16_t *input, int32_t from, int32_t count, const int8_t *w,
                                       int32_t *sums) {
    int16_t half[2] = {0, 0}; /* a pair of which only one is here */
    w += 2 * PACKED_S16_BLOCK * (from / 2);
    if (from % 2 != 0 && count > 0) {
        half[1] = *input++;
        packed_s16_one(sums, 1, half, PACKED_S16_ONE, w);
        w += 2 * PACKED_S16_BLOCK;
        --count;
    }
    packed_s16_one(sums, count / 2, input, PACKED_S16_ONE, w);
    if (count % 2 != 0) {
        half[0] = input[count - 1];
        half[1] = 0;
        packed_s16_one(sums, 1, half, PACKED_S16_ONE, w + 2 * PACKED_S16_BLOCK * (count / 2));
    }
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. There
 * are as many `sums` as outputs of whole blocks. */
KERNEL void gemm_packed_s16_part(const gemm_packed_params_s16 *p, const int16_t *input, int32_t part,
                                 int32_t count, int32_t first, int32_t last, const int8_t *weights,
                                 const int32_t *bias, const int32_t *scale, int32_t *sums, int16_t *output) {
    const packed_s16_codes codes = {p->output_zero_point, p->low, p->high};
    const int8_t *w = weights;
    for (int32_t o = 0; o < p->out_n; o += PACKED_S16_BLOCK) {
        int32_t some[PACKED_S16_BLOCK];
        memcpy(some, (first ? bias : sums) + o, sizeof some);
        gemm_packed_s16_add(input, part * count, count, w, some);
        if (last) {
            packed_s16_store(&codes, some, scale + 2 * o, min_s32(PACKED_S16_BLOCK, p->out_n - o),
                             output + o);
        } else {
            memcpy(sums + o, some, sizeof some);
        }
        w += PACKED_S16_BLOCK * ((p->in_n + 1) / 2 * 2);
    }
}

KERNEL void gemm_packed_s16(const gemm_packed_params_s16 *p, const int16_t *input, const int8_t *weights,
                            const int32_t *bias, const int32_t *scale, int16_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n, output += p->out_n) {
        gemm_packed_s16_part(p, input, 0, p->in_n, 1, 1, weights, bias, scale, NULL, output);
    }
}

#endif
