/* int16 depthwise convolution with packed int8 weights, four channels at a time, whose number is a multiple
 * of four; the input's zero point is 0. Weights `kh kw c`, of every four the second and third exchanged: even
 * and odd bytes then sign-extend to neighbours. */
#ifndef PINGPONNX_DEPTHWISE_S16_H
#define PINGPONNX_DEPTHWISE_S16_H

#include "conv_params.h"
#include "packed_s16.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t output_zero_point, low, high;
} depthwise_params_s16;

/* Columns of the window at input column `first` that are inside the input. */
static inline int32_t depthwise_s16_begin(const depthwise_params_s16 *p, int32_t first) {
    return first >= 0 ? 0 : (p->dilation_w - 1 - first) / p->dilation_w;
}

static inline int32_t depthwise_s16_end(const depthwise_params_s16 *p, int32_t first) {
    return first >= p->in_w ? 0 : min_s32(p->kernel_w, (p->in_w - first + p->dilation_w - 1) / p->dilation_w);
}

/* The sums of four channels: what `taps` columns of the window have, `at` values into each row. */
PACKED_S16_APART void depthwise_s16_sums(const depthwise_params_s16 *p, const int16_t *const *rows,
                                         int32_t at, const int8_t *w, int32_t taps, int32_t *sums) {
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    const int32_t in_step = p->dilation_w * p->in_c, w_step = p->in_c;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, rows += p->dilation_h) {
        const int16_t *in = *rows + (*rows != NULL ? at : 0);
        const int8_t *four = w + (ptrdiff_t)ky * p->kernel_w * p->in_c;
        for (int32_t left = *rows != NULL ? taps : 0; left > 0; --left, in += in_step, four += w_step) {
            const uint32_t x01 = load_u32(in), x23 = load_u32(in + 2), word = load_u32(four);
            const uint32_t even = sxtb16(word), odd = sxtb16_odd(word);
            s0 += (int16_t)(x01 & 0xFFFFu) * (int16_t)(even & 0xFFFFu);
            s1 += (int16_t)(x01 >> 16) * (int16_t)(even >> 16);
            s2 += (int16_t)(x23 & 0xFFFFu) * (int16_t)(odd & 0xFFFFu);
            s3 += (int16_t)(x23 >> 16) * (int16_t)(odd >> 16);
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void depthwise_s16_row(const depthwise_params_s16 *p, const int16_t *const *rows,
                              const int8_t *weights, const int32_t *bias, const int32_t *scale,
                              int16_t *output) {
    const packed_s16_codes codes = {p->output_zero_point, p->low, p->high};
    for (int32_t x = 0; x < p->out_w; ++x, output += p->out_c) {
        const int32_t first = x * p->stride_w - p->pad_left;
        const int32_t begin = depthwise_s16_begin(p, first), end = depthwise_s16_end(p, first);
        const int32_t start = (first + begin * p->dilation_w) * p->in_c;
        for (int32_t c = 0; c < p->in_c; c += PACKED_S16_BLOCK) {
            int32_t sums[PACKED_S16_BLOCK] = {bias[c], bias[c + 1], bias[c + 2], bias[c + 3]};
            depthwise_s16_sums(p, rows, start + c, weights + (ptrdiff_t)begin * p->in_c + c, end - begin,
                               sums);
            packed_s16_store(&codes, sums, scale + 2 * c, PACKED_S16_BLOCK, output + c);
        }
    }
}

KERNEL void depthwise_s16(const depthwise_params_s16 *p, const int16_t *input, const int8_t *weights,
                          const int32_t *bias, const int32_t *scale, const int16_t **rows, int16_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s16(rows, CONV_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
            depthwise_s16_row(p, rows, weights, bias, scale, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
