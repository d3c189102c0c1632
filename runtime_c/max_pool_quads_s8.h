/* int8 max-pool by rows, any geometry: max_pool_s8.h with four channels at a time where the core can. */
#ifndef PINGPONNX_MAX_POOL_QUADS_S8_H
#define PINGPONNX_MAX_POOL_QUADS_S8_H

#include "dsp.h"
#include "pool_params.h"

/* The maxima of the taps from `begin` to `end` in the window's rows; those outside do not count. */
static inline uint32_t max_pool_quad(const max_pool_params_s8 *p, const int8_t *const *rows, int32_t first,
                                     int32_t begin, int32_t end, int32_t c) {
    uint32_t best = 0x80808080u;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = begin; row != NULL && kx < end; ++kx) {
            best = max_s8x4(best, load_u32(row + (ptrdiff_t)(first + kx * p->dilation_w) * p->in_c + c));
        }
    }
    return best;
}

static inline int32_t max_pool_one(const max_pool_params_s8 *p, const int8_t *const *rows, int32_t first,
                                   int32_t begin, int32_t end, int32_t c) {
    int32_t best = INT8_MIN;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int8_t *row = rows[ky * p->dilation_h];
        for (int32_t kx = begin; row != NULL && kx < end; ++kx) {
            best = max_s32(best, row[(ptrdiff_t)(first + kx * p->dilation_w) * p->in_c + c]);
        }
    }
    return best;
}

/* One output row from POOL_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void max_pool_quads_s8_row(const max_pool_params_s8 *p, const int8_t *const *rows, int8_t *output) {
    for (int32_t x = 0; x < p->out_w; ++x, output += p->in_c) {
        const int32_t first = x * p->stride_w - p->pad_left;
        const int32_t begin = pool_first_tap(first, p->dilation_w);
        const int32_t end = pool_end_tap(first, p->dilation_w, p->kernel_w, p->in_w);
        int32_t c = 0;
        for (; c + 4 <= p->in_c; c += 4) {
            const uint32_t best = max_pool_quad(p, rows, first, begin, end, c);
            memcpy(output + c, &best, sizeof best);
        }
        for (; c < p->in_c; ++c) {
            output[c] = (int8_t)max_pool_one(p, rows, first, begin, end, c);
        }
        for (c = 0; c < p->in_c && (p->low != INT8_MIN || p->high != INT8_MAX); ++c) {
            output[c] = clamp_s8(output[c], p->low, p->high);
        }
    }
}

KERNEL void max_pool_quads_s8(const max_pool_params_s8 *p, const int8_t *input, const int8_t **rows,
                              int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, POOL_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
            max_pool_quads_s8_row(p, rows, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
