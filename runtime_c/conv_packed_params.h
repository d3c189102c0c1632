/* What packed convolutions share: their parameters, and windows that are put together. */
#ifndef PINGPONNX_CONV_PACKED_PARAMS_H
#define PINGPONNX_CONV_PACKED_PARAMS_H

#include "conv_params.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t quads, unroll; /* of a window's values, or with `unroll` 0 of a row's; else it divides `quads` */
    int32_t apart;         /* 1: rows of windows may be padding, or not in one piece */
} conv_packed_params_s8;

/* One row of a window, of which some is padding or apart. */
static inline void conv_packed_s8_gather(const conv_packed_params_s8 *p, const int8_t *row, int32_t left,
                                         int8_t *to) {
    const size_t bytes = (size_t)p->in_c;
    for (int32_t kx = 0; kx < p->kernel_w; ++kx, to += p->in_c) {
        const int32_t x = left + kx * p->dilation_w;
        if (row != NULL && x >= 0 && x < p->in_w) {
            memcpy(to, row + (ptrdiff_t)x * p->in_c, bytes);
        } else {
            memset(to, p->input_zero_point, bytes);
        }
    }
}

#endif
