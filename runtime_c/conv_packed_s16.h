/* int16 convolution with packed int8 weights (packed_s16.h): the windows of two pixels are put together in
 * scratch memory, their pairs of values in turns; the pixels of a fused pool's window all at once. */
#ifndef PINGPONNX_CONV_PACKED_S16_H
#define PINGPONNX_CONV_PACKED_S16_H

#include "conv_params.h"
#include "packed_s16.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point;
    int32_t output_zero_point, low, high;
    int32_t pairs; /* of values in a window */
} conv_packed_params_s16;

/* `count` values of two pixels, in pairs; the other half of an odd one has a weight of 0. */
static inline int16_t *conv_packed_s16_copy(int16_t *to, const int16_t *a, const int16_t *b, int32_t count) {
    for (; count > 1; count -= 2, a += 2, b += 2, to += PACKED_S16_COLUMN) {
        const uint32_t first = load_u32(a), second = load_u32(b);
        memcpy(to, &first, sizeof first);
        memcpy(to + 2, &second, sizeof second);
    }
    if (count > 0) {
        to[0] = *a;
        to[2] = *b;
        to[1] = to[3] = 0;
        to += PACKED_S16_COLUMN;
    }
    return to;
}

/* A row of a window that is not in one piece inside the input; padding is the zero point. */
static inline int16_t *conv_packed_s16_edge(const conv_packed_params_s16 *p, const int16_t *in, int32_t first,
                                            int16_t *to) {
    int32_t half = 0;
    for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
        const int32_t x = first + kx * p->dilation_w;
        const int inside = in != NULL && x >= 0 && x < p->in_w;
        for (int32_t c = 0; c < p->in_c; ++c) {
            to[half] = inside ? in[(ptrdiff_t)x * p->in_c + c] : (int16_t)p->input_zero_point;
            to += half * PACKED_S16_COLUMN;
            half ^= 1;
        }
    }
    if (half) {
        to[1] = 0;
        to += PACKED_S16_COLUMN;
    }
    return to;
}

/* Where a pixel's window begins: row of the pointers, column of the input. */
typedef struct {
    int32_t row, first;
} conv_packed_s16_place;

/* Pixel number `i` of those that are made together, which start with the output column `x`. */
static inline conv_packed_s16_place conv_packed_s16_pixel(const conv_packed_params_s16 *p, int32_t x,
                                                          int32_t i) {
    if (p->pool_h * p->pool_w == 1) {
        const conv_packed_s16_place place = {0, (x + i) * p->stride_w - p->pad_left};
        return place;
    }
    const int32_t column = x * p->pool_stride_w + i % p->pool_w;
    const conv_packed_s16_place place = {i / p->pool_w * p->stride_h, column * p->stride_w - p->pad_left};
    return place;
}

static inline int conv_packed_s16_inside(const conv_packed_params_s16 *p, conv_packed_s16_place place) {
    return p->dilation_w == 1 && place.first >= 0 && place.first + p->kernel_w <= p->in_w;
}

/* The windows of two pixels. */
static inline void conv_packed_s16_fill(const conv_packed_params_s16 *p, const int16_t *const *rows,
                                        conv_packed_s16_place a, conv_packed_s16_place b, int16_t *to) {
    const int inside = conv_packed_s16_inside(p, a) && conv_packed_s16_inside(p, b);
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int16_t *in_a = rows[a.row + ky * p->dilation_h], *in_b = rows[b.row + ky * p->dilation_h];
        if (inside && in_a != NULL && in_b != NULL) {
            to = conv_packed_s16_copy(to, in_a + (ptrdiff_t)a.first * p->in_c,
                                      in_b + (ptrdiff_t)b.first * p->in_c, p->kernel_w * p->in_c);
        } else {
            conv_packed_s16_edge(p, in_a, a.first, to);
            to = conv_packed_s16_edge(p, in_b, b.first, to + 2) - 2;
        }
    }
}

/* The maxima over all columns; of the last one the second pixel counts where their number is even. */
static inline void conv_packed_s16_maxima(const conv_packed_params_s16 *p, const int16_t *columns,
                                          int32_t pixels, const int8_t *w, const int32_t *bias,
                                          int32_t *best) {
    for (int32_t left = pixels; left > 0; left -= 2, columns += (ptrdiff_t)p->pairs * PACKED_S16_COLUMN) {
        int32_t sums[2 * PACKED_S16_BLOCK];
        packed_s16_start(sums, bias);
        packed_s16_column(sums, p->pairs, columns, w);
        for (int32_t c = 0; c < PACKED_S16_BLOCK; ++c) {
            const int32_t sum = left > 1 ? max_s32(sums[c], sums[PACKED_S16_BLOCK + c]) : sums[c];
            best[c] = left < pixels ? max_s32(best[c], sum) : sum;
        }
    }
}

/* A block of channels: of one output pixel with a pool, of one or two without. */
static inline void conv_packed_s16_block(const conv_packed_params_s16 *p, const int16_t *columns,
                                         int32_t pixels, const int8_t *w, const int32_t *bias,
                                         const int32_t *scale, int32_t oc, int16_t *output) {
    const packed_s16_codes codes = {p->output_zero_point, p->low, p->high};
    const int32_t made = min_s32(PACKED_S16_BLOCK, p->out_c - oc);
    int32_t sums[2 * PACKED_S16_BLOCK];
    if (p->pool_h * p->pool_w > 1) {
        conv_packed_s16_maxima(p, columns, pixels, w, bias + oc, sums);
        packed_s16_store(&codes, sums, scale + 2 * oc, made, output + oc);
        return;
    }
    packed_s16_start(sums, bias + oc);
    packed_s16_column(sums, p->pairs, columns, w);
    packed_s16_store(&codes, sums, scale + 2 * oc, made, output + oc);
    if (pixels > 1) {
        packed_s16_store(&codes, sums + PACKED_S16_BLOCK, scale + 2 * oc, made, output + p->out_c + oc);
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_packed_s16_row(const conv_packed_params_s16 *p, const int16_t *const *rows,
                                const int8_t *weights, const int32_t *bias, const int32_t *scale,
                                void *scratch, int16_t *output) {
    const int32_t pool = p->pool_h * p->pool_w, step = pool > 1 ? 1 : 2;
    int16_t *const columns = (int16_t *)scratch;
    for (int32_t x = 0; x < p->out_w; x += step, output += step * p->out_c) {
        const int32_t pixels = pool > 1 ? pool : min_s32(step, p->out_w - x);
        int16_t *to = columns;
        for (int32_t i = 0; i < pixels; i += 2, to += (ptrdiff_t)p->pairs * PACKED_S16_COLUMN) {
            const conv_packed_s16_place a = conv_packed_s16_pixel(p, x, i);
            /* beside the last of an odd number is the same again */
            conv_packed_s16_fill(p, rows, a, i + 1 < pixels ? conv_packed_s16_pixel(p, x, i + 1) : a, to);
        }
        const int8_t *w = weights;
        for (int32_t oc = 0; oc < p->out_c; oc += PACKED_S16_BLOCK, w += 2 * PACKED_S16_BLOCK * p->pairs) {
            conv_packed_s16_block(p, columns, pixels, w, bias, scale, oc, output);
        }
    }
}

KERNEL void conv_packed_s16(const conv_packed_params_s16 *p, const int16_t *input, const int8_t *weights,
                            const int32_t *bias, const int32_t *scale, void *scratch, const int16_t **rows,
                            int16_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s16(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                            in_row);
            conv_packed_s16_row(p, rows, weights, bias, scale, scratch, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
