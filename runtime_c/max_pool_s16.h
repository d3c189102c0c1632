/* int16 max-pool by rows, any geometry, with a fused clamp. Outputs are stored in the order y, x, c, each one
 * after its whole window was read: disjoint unpadded windows may be pooled in place. */
#ifndef PINGPONNX_MAX_POOL_S16_H
#define PINGPONNX_MAX_POOL_S16_H

#include "pool_params.h"
#include "wide_s16.h"

typedef max_pool_params_s8 max_pool_params_s16;

/* One output row from POOL_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void max_pool_s16_row(const max_pool_params_s16 *p, const int16_t *const *rows, int16_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        const int32_t first = x * p->stride_w - p->pad_left;
        const int32_t begin = pool_first_tap(first, p->dilation_w);
        const int32_t end = pool_end_tap(first, p->dilation_w, p->kernel_w, p->in_w);
        for (int32_t c = 0; c < p->in_c; ++c) {
            int32_t best = INT16_MIN;
            for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
                const int16_t *row = rows[ky * p->dilation_h];
                for (int32_t kx = begin; row != NULL && kx < end; ++kx) {
                    best = max_s32(best, row[(ptrdiff_t)(first + kx * p->dilation_w) * p->in_c + c]);
                }
            }
            *output++ = clamp_s16(best, p->low, p->high);
        }
    }
}

KERNEL void max_pool_s16(const max_pool_params_s16 *p, const int16_t *input, const int16_t **rows,
                         int16_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s16(rows, POOL_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
            max_pool_s16_row(p, rows, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
