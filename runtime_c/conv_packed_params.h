/* What packed convolutions share: their parameters, and windows that are put together. */
#ifndef PINGPONNX_CONV_PACKED_PARAMS_H
#define PINGPONNX_CONV_PACKED_PARAMS_H

#include "conv_params.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t quads, unroll; /* of a window's values, which `unroll` divides; if that is 0 of a row's */
    int32_t row_quads;     /* of each row; what is left of the rows follows those of all */
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

/* True when no column of a window is padding, and its rows are in one piece. */
static inline int32_t conv_packed_s8_inside(const conv_packed_params_s8 *p, int32_t left) {
    const int32_t whole = p->dilation_w == 1 || p->kernel_w == 1;
    return !p->apart || (whole && left >= 0 && left + p->kernel_w <= p->in_w);
}

/* The values of a window's row; `room` is for one that is not in one piece. */
static inline const int8_t *conv_packed_s8_values(const conv_packed_params_s8 *p, const int8_t *row,
                                                  int32_t left, int32_t inside, int8_t *room) {
    if (!p->apart || (row != NULL && inside)) {
        return row + (ptrdiff_t)left * p->in_c;
    }
    conv_packed_s8_gather(p, row, left, room);
    return room;
}

/* The window of the unpooled column `x`, from CONV_WINDOW_ROWS(p) rows. */
static inline void conv_packed_s8_window(const conv_packed_params_s8 *p, const int8_t *const *rows, int32_t x,
                                         int8_t *room, int8_t *to) {
    const int32_t whole = 4 * p->row_quads, rest = p->kernel_w * p->in_c - whole;
    const int32_t left = x * p->stride_w - p->pad_left, inside = conv_packed_s8_inside(p, left);
    int8_t *tail = to + (ptrdiff_t)p->kernel_h * whole;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, to += whole, tail += rest) {
        const int8_t *values = conv_packed_s8_values(p, rows[ky * p->dilation_h], left, inside, room);
        memcpy(to, values, (size_t)whole);
        memcpy(tail, values + whole, (size_t)rest);
    }
}

/* A row of outputs, where a narrower clamp than int8's follows. */
static inline void conv_packed_s8_clamp(const conv_packed_params_s8 *p, int8_t *output) {
    const int32_t narrow = p->low > INT8_MIN || p->high < INT8_MAX;
    for (int32_t i = 0; narrow && i < p->out_w * p->out_c; ++i) {
        output[i] = clamp_s8(output[i], p->low, p->high);
    }
}

#endif
