/* int16 average-pool by rows, any geometry, with a fused clamp. Outputs are stored in the order y, x, c, each
 * one after its whole window was read: disjoint unpadded windows may be pooled in place. */
#ifndef PINGPONNX_AVG_POOL_S16_H
#define PINGPONNX_AVG_POOL_S16_H

#include "avg_pool_s8.h" /* the mean when no scale changes */
#include "wide_s16.h"

typedef avg_pool_params_s8 avg_pool_params_s16;

/* The mean of `count` values of which `sum` is the sum less the zero point. Multipliers and shifts are
 * indexed by count - min_count; NULL multipliers: input and output have the same scale and zero point. */
static inline int16_t avg_pool_s16_value(const avg_pool_params_s16 *p, int32_t sum, int32_t count,
                                         const int32_t *multiplier, const int8_t *shift) {
    const int32_t value =
        multiplier == NULL
            ? avg_pool_s8_mean(sum, count, p->input_zero_point)
            : requantize_wide_channel(sum, multiplier, shift, count - p->min_count) + p->output_zero_point;
    return clamp_s16(value, p->low, p->high);
}

/* The sum of the values less the zero point; taps `begin` to `end` of each row are inside the input. */
static inline int32_t avg_pool_s16_sum(const avg_pool_params_s16 *p, const int16_t *const *rows,
                                       int32_t first, int32_t begin, int32_t end, int32_t c) {
    int32_t sum = 0;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int16_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = begin; row != NULL && kx < end; ++kx) {
            sum += row[(ptrdiff_t)(first + kx * p->dilation_w) * p->in_c + c] - p->input_zero_point;
        }
    }
    return sum;
}

/* Output row `y` from POOL_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void avg_pool_s16_row(const avg_pool_params_s16 *p, const int16_t *const *rows, int32_t y,
                             const int32_t *multiplier, const int8_t *shift, int16_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        const int32_t first = x * p->stride_w - p->pad_left;
        const int32_t begin = pool_first_tap(first, p->dilation_w);
        const int32_t end = pool_end_tap(first, p->dilation_w, p->kernel_w, p->in_w);
        const int32_t count = POOL_COUNT(p, y, x);
        for (int32_t c = 0; c < p->in_c; ++c) {
            const int32_t sum = avg_pool_s16_sum(p, rows, first, begin, end, c);
            *output++ = avg_pool_s16_value(p, sum, count, multiplier, shift);
        }
    }
}

/* One input row of a mean of the whole map: sums up, and after the last row makes the output. */
KERNEL void avg_pool_s16_part(const avg_pool_params_s16 *p, const int16_t *row, int32_t first, int32_t last,
                              const int32_t *multiplier, const int8_t *shift, int32_t *sums,
                              int16_t *output) {
    for (int32_t c = 0; c < p->in_c; ++c) {
        int32_t sum = first ? 0 : sums[c];
        for (int32_t x = 0; x < p->in_w; ++x) {
            sum += row[(ptrdiff_t)x * p->in_c + c] - p->input_zero_point;
        }
        sums[c] = sum;
        if (last) {
            output[c] = avg_pool_s16_value(p, sum, p->min_count, multiplier, shift);
        }
    }
}

KERNEL void avg_pool_s16(const avg_pool_params_s16 *p, const int16_t *input, const int32_t *multiplier,
                         const int8_t *shift, const int16_t **rows, int16_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s16(rows, POOL_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
            avg_pool_s16_row(p, rows, y, multiplier, shift, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
