/* float32 average-pool by rows, any geometry, with a fused clamp. Outputs are stored in the order y, x, c,
 * each one after its whole window was read: disjoint unpadded windows may be pooled in place. */
#ifndef PINGPONNX_AVG_POOL_F32_H
#define PINGPONNX_AVG_POOL_F32_H

#include "pool_params.h"

/* Output row `y` from POOL_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void avg_pool_f32_row(const avg_pool_params_f32 *p, const float *const *rows, int32_t y,
                             float *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        const int32_t first = x * p->stride_w - p->pad_left;
        const int32_t begin = pool_first_tap(first, p->dilation_w);
        const int32_t end = pool_end_tap(first, p->dilation_w, p->kernel_w, p->in_w);
        const float count = (float)POOL_COUNT(p, y, x);
        for (int32_t c = 0; c < p->in_c; ++c) {
            float sum = 0.0f;
            for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
                const float *row = rows[ky * p->dilation_h];
                for (int32_t kx = begin; row != NULL && kx < end; ++kx) {
                    sum += row[(ptrdiff_t)(first + kx * p->dilation_w) * p->in_c + c];
                }
            }
            *output++ = clamp_f32(sum / count, p->low, p->high);
        }
    }
}

/* One input row of a mean of the whole map: sums up, and after the last row makes the output. */
KERNEL void avg_pool_f32_part(const avg_pool_params_f32 *p, const float *row, int32_t first, int32_t last,
                              float *sums, float *output) {
    for (int32_t c = 0; c < p->in_c; ++c) {
        float sum = first ? 0.0f : sums[c];
        for (int32_t x = 0; x < p->in_w; ++x) {
            sum += row[(ptrdiff_t)x * p->in_c + c];
        }
        sums[c] = sum;
        if (last) {
            output[c] = clamp_f32(sum / (float)p->min_count, p->low, p->high);
        }
    }
}

KERNEL void avg_pool_f32(const avg_pool_params_f32 *p, const float *input, const float **rows,
                         float *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_f32(rows, POOL_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
            avg_pool_f32_row(p, rows, y, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
