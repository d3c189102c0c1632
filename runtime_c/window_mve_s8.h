/* Windows as rows of bytes, put together where they are not in one piece. */
#ifndef PINGPONNX_WINDOW_MVE_S8_H
#define PINGPONNX_WINDOW_MVE_S8_H

#include "conv_params.h"
#include "mve_s8.h"

/* The row of a window whose first column is `left`, where it is, or copied to `to` between padding. */
MVE_INLINE const int8_t *window_mve_s8_row(const conv_params_s8 *p, const int8_t *row, int32_t left,
                                           int8_t *to) {
    const int32_t c = p->in_c, width = p->kernel_w;
    if (row == NULL) {
        mve_s8_fill(to, p->input_zero_point, width * c);
        return to;
    }
    if (p->dilation_w > 1 && width > 1) {
        for (int32_t kx = 0; kx < width; ++kx) {
            const int32_t x = left + kx * p->dilation_w;
            if (x >= 0 && x < p->in_w) {
                mve_s8_copy(to + kx * c, row + (ptrdiff_t)x * c, c);
            } else {
                mve_s8_fill(to + kx * c, p->input_zero_point, c);
            }
        }
        return to;
    }
    if (left >= 0 && left + width <= p->in_w) {
        return row + (ptrdiff_t)left * c;
    }
    const int32_t begin = min_s32(max_s32(-left, 0), width);
    const int32_t end = max_s32(begin, min_s32(p->in_w - left, width));
    mve_s8_fill(to, p->input_zero_point, begin * c);
    mve_s8_copy(to + begin * c, row + (ptrdiff_t)(left + begin) * c, (end - begin) * c);
    mve_s8_fill(to + end * c, p->input_zero_point, (width - end) * c);
    return to;
}

#endif
