/* int8 convolution 3x3 of stride 1 by Winograd's F(2x2, 3x3), in exact integers, with a fused clamp and pool.
 *
 * A tile of 2x2 outputs is A^T (U * V) A, where U comes from the weights and V = B^T d B from 4x4 inputs: 16
 * products a channel instead of 36. U is made without the halves of Winograd's G, so that sums are four times
 * as large; they may wrap on the way, as the converter proves that they do not in the end. Inputs are taken
 * as they are, padding is the zero point, and the bias makes up for it.
 *
 * Two tiles of four output channels are made at once: their V are side by side, and the weights are
 * `oc/4 16 ic/2 4`, pairs of input channels in the order 0 2, 1 3, 4 6, ...
 */
#ifndef PINGPONNX_CONV_WINOGRAD_S8_H
#define PINGPONNX_CONV_WINOGRAD_S8_H

#include "conv_params.h"
#include "requantize_s8.h"

#define WINOGRAD_POINTS 16 /* of a tile: 4x4 */
#define WINOGRAD_RESULTS 8 /* four channels of two tiles */
#define WINOGRAD_PAIRS(p) ((p)->in_c / 2)
#define WINOGRAD_POINT(p) (2 * WINOGRAD_PAIRS(p) + WINOGRAD_RESULTS) /* words in memory */

/* A layer's tables, the one or two rows that are made, and scratch memory. */
typedef struct {
    const int32_t *weights, *bias, *multiplier;
    const int8_t *shift;
    int8_t *output;
    int32_t made;
    uint32_t
        *values;    /* of each point: V by pair of channels and tile, then sums by output channel and tile */
    int8_t *pixels; /* of a tile that reaches beyond the map */
} conv_winograd_layer;

/* Column j of B^T d, two channels in a word: even ones, or odd ones. */
static inline void conv_winograd_column(const int8_t *const pixels[4], int32_t offset, int32_t odd,
                                        uint32_t column[4]) {
    uint32_t d[4];
    for (int32_t i = 0; i < 4; ++i) {
        const uint32_t word = load_u32(pixels[i] + offset);
        d[i] = odd ? sxtb16_odd(word) : sxtb16(word);
    }
    column[0] = ssub16(d[0], d[2]);
    column[1] = sadd16(d[1], d[2]);
    column[2] = ssub16(d[2], d[1]);
    column[3] = ssub16(d[1], d[3]);
}

/* V of a tile, whose rows of four pixels are at `pixels`: columns in an order that needs few of them at once.
 */
static inline void conv_winograd_transform(const conv_params_s8 *p, const int8_t *const pixels[4],
                                           uint32_t *values) {
    const int32_t next = WINOGRAD_POINT(p);
    for (int32_t c = 0; c < p->in_c; c += 4) {
        for (int32_t odd = 0; odd < 2; ++odd, values += 2) {
            uint32_t a[4], b[4];
            conv_winograd_column(pixels, c, odd, a);
            conv_winograd_column(pixels, c + 2 * p->in_c, odd, b);
            for (int32_t i = 0; i < 4; ++i) {
                values[4 * i * next] = ssub16(a[i], b[i]);
            }
            conv_winograd_column(pixels, c + p->in_c, odd, a);
            for (int32_t i = 0; i < 4; ++i) {
                values[(4 * i + 1) * next] = sadd16(a[i], b[i]);
                values[(4 * i + 2) * next] = ssub16(b[i], a[i]);
            }
            conv_winograd_column(pixels, c + 3 * p->in_c, odd, b);
            for (int32_t i = 0; i < 4; ++i) {
                values[(4 * i + 3) * next] = ssub16(a[i], b[i]);
            }
        }
    }
}

/* V of the tile whose first pixel is in column x of the map. */
static inline void conv_winograd_values(const conv_params_s8 *p, const int8_t *const *rows,
                                        const conv_winograd_layer *l, int32_t x, uint32_t *values) {
    const int32_t whole = x >= 0 && x + 4 <= p->in_w && rows[0] != NULL && rows[3] != NULL;
    const uint32_t padding = 0x01010101u * (uint8_t)p->input_zero_point;
    const int8_t *pixels[4];
    for (int32_t i = 0; i < 4; ++i) {
        if (whole) {
            pixels[i] = rows[i] + (ptrdiff_t)x * p->in_c;
            continue;
        }
        int8_t *copy = l->pixels + 4 * i * p->in_c;
        pixels[i] = copy;
        for (int32_t column = x; column < x + 4; ++column) {
            const int32_t inside = rows[i] != NULL && column >= 0 && column < p->in_w;
            const int8_t *pixel = inside ? rows[i] + (ptrdiff_t)column * p->in_c : NULL;
            for (int32_t c = 0; c < p->in_c; c += 4, copy += 4) {
                const uint32_t word = pixel != NULL ? load_u32(pixel + c) : padding;
                memcpy(copy, &word, sizeof word);
            }
        }
    }
    conv_winograd_transform(p, pixels, values);
}

#if defined(PINGPONNX_DSP) && defined(PINGPONNX_ALL_REGISTERS)
/* Sums in the order they are written in: gcc would rather have all columns in registers at once. */
#define WINOGRAD_KEEP(a, b, c, d) __asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d)::"memory")

/* A pair of channels times four output channels and two tiles. */
#define WINOGRAD_LOAD(to, from, offset) "ldr %[" to "], [%[" from "], #(" offset ")]\n\t"
#define WINOGRAD_ADD(sum, w, v) "smlad %[" sum "], %[" w "], %[" v "], %[" sum "]\n\t"
#define WINOGRAD_PAIR(i)                                                                                     \
    WINOGRAD_LOAD("t0", "w", #i "*16")                                                                       \
    WINOGRAD_LOAD("t1", "w", #i "*16+4")                                                                     \
    WINOGRAD_LOAD("t2", "v", #i "*8")                                                                        \
    WINOGRAD_LOAD("t3", "v", #i "*8+4")                                                                      \
    WINOGRAD_ADD("a0", "t0", "t2")                                                                           \
    WINOGRAD_ADD("a1", "t0", "t3")                                                                           \
    WINOGRAD_ADD("b0", "t1", "t2")                                                                           \
    WINOGRAD_ADD("b1", "t1", "t3")                                                                           \
    WINOGRAD_LOAD("t0", "w", #i "*16+8")                                                                     \
    WINOGRAD_LOAD("t1", "w", #i "*16+12")                                                                    \
    WINOGRAD_ADD("c0", "t0", "t2")                                                                           \
    WINOGRAD_ADD("c1", "t0", "t3")                                                                           \
    WINOGRAD_ADD("d0", "t1", "t2")                                                                           \
    WINOGRAD_ADD("d1", "t1", "t3")
#define WINOGRAD_2 WINOGRAD_PAIR(0) WINOGRAD_PAIR(1)
#define WINOGRAD_8                                                                                           \
    WINOGRAD_2                                                                                               \
    WINOGRAD_PAIR(2) WINOGRAD_PAIR(3) WINOGRAD_PAIR(4) WINOGRAD_PAIR(5) WINOGRAD_PAIR(6) WINOGRAD_PAIR(7)

/* All 14 registers; the loop around it is in C, as gcc cannot be trusted with an operand in memory besides.
 */
#define WINOGRAD_STEPS(block, pairs)                                                                         \
    __asm(block "add %[w], %[w], #(" pairs "*16)\n\t"                                                        \
                "add %[v], %[v], #(" pairs "*8)"                                                             \
          : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [c0] "+r"(c0), [c1] "+r"(c1),        \
            [d0] "+r"(d0), [d1] "+r"(d1), [w] "+r"(weights), [v] "+r"(values), [t0] "=&r"(t0),               \
            [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)                                                   \
          :                                                                                                  \
          : "memory")

/* The sums of four channels and two tiles behind each point's values. */
static inline void conv_winograd_products(const conv_params_s8 *p, const int32_t *weights, uint32_t *values) {
    const uint32_t *const last = values + WINOGRAD_POINTS * WINOGRAD_POINT(p);
    do {
        const uint32_t *const end = values + 2 * WINOGRAD_PAIRS(p);
        uint32_t a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0, t0, t1, t2, t3;
        do {
            if (WINOGRAD_PAIRS(p) % 8 == 0) {
                WINOGRAD_STEPS(WINOGRAD_8, "8");
            } else {
                WINOGRAD_STEPS(WINOGRAD_2, "2");
            }
            (void)t0, (void)t1, (void)t2, (void)t3;
        } while (WINOGRAD_PAIRS(p) != 8 && values != end);
        values[0] = a0, values[1] = a1, values[2] = b0, values[3] = b1;
        values[4] = c0, values[5] = c1, values[6] = d0, values[7] = d1;
        values += WINOGRAD_RESULTS;
    } while (values != last);
}
#else
#define WINOGRAD_KEEP(a, b, c, d) (void)0
static inline void conv_winograd_products(const conv_params_s8 *p, const int32_t *weights, uint32_t *values) {
    for (int32_t point = 0; point < WINOGRAD_POINTS; ++point, values += WINOGRAD_RESULTS) {
        int32_t sums[WINOGRAD_RESULTS] = {0};
        for (int32_t pair = 0; pair < WINOGRAD_PAIRS(p); ++pair, weights += 4, values += 2) {
            for (int32_t i = 0; i < WINOGRAD_RESULTS; ++i) {
                sums[i] = smlad((uint32_t)weights[i / 2], values[i % 2], sums[i]);
            }
        }
        memcpy(values, sums, sizeof sums);
    }
}
#endif

/* The accumulators of a tile of one channel, from its sums: column by column. */
static inline void conv_winograd_outputs(const conv_params_s8 *p, const uint32_t *sums, int32_t bias,
                                         int32_t outputs[4]) {
    const int32_t row = 4 * WINOGRAD_POINT(p);
    uint32_t left_up = (uint32_t)bias, right_up = left_up, left_down = left_up, right_down = left_up;
    for (int32_t j = 0; j < 4; ++j, sums += WINOGRAD_POINT(p)) {
        const uint32_t m0 = sums[0], m1 = sums[row], m2 = sums[2 * row], m3 = sums[3 * row];
        const uint32_t up = m0 + m1 + m2, down = m1 - m2 - m3;
        left_up += j < 3 ? up : 0;
        left_down += j < 3 ? down : 0;
        right_up += j == 0 ? 0 : j == 1 ? up : 0 - up;
        right_down += j == 0 ? 0 : j == 1 ? down : 0 - down;
        WINOGRAD_KEEP(left_up, right_up, left_down, right_down);
    }
    outputs[0] = (int32_t)left_up >> 2;
    outputs[1] = (int32_t)right_up >> 2;
    outputs[2] = (int32_t)left_down >> 2;
    outputs[3] = (int32_t)right_down >> 2;
}

static inline int8_t conv_winograd_scaled(const conv_params_s8 *p, scale_s8 scale, int32_t sum) {
    return saturate_s8(requantize_proven(sum, scale, p->output_zero_point), p->low, p->high);
}

/* One channel of the tile at output column x, or of a pooled column. */
static inline void conv_winograd_store(const conv_params_s8 *p, const conv_winograd_layer *l, scale_s8 scale,
                                       const int32_t y[4], int32_t x, int32_t channel) {
    if (p->pool_h == 2) {
        if (x / 2 < p->out_w) {
            const int32_t best = max_s32(max_s32(y[0], y[1]), max_s32(y[2], y[3]));
            l->output[x / 2 * p->out_c + channel] = conv_winograd_scaled(p, scale, best);
        }
        return;
    }
    for (int32_t i = 0; i < 4; ++i) {
        if (i / 2 < l->made && x + i % 2 < p->out_w) {
            l->output[(i / 2 * p->out_w + x + i % 2) * p->out_c + channel] =
                conv_winograd_scaled(p, scale, y[i]);
        }
    }
}

/* Two rows, or a pooled one, from four input rows (NULL: padding). */
static inline void conv_winograd_rows(const conv_params_s8 *p, const int8_t *const *rows,
                                      const conv_winograd_layer *l) {
    const int32_t columns = p->out_w * p->pool_w;
    for (int32_t x = 0; x < columns; x += 4) {
        for (int32_t tile = 0; tile < 2; ++tile) {
            conv_winograd_values(p, rows, l, x + 2 * tile - p->pad_left, l->values + tile);
        }
        const int32_t *weights = l->weights;
        for (int32_t oc = 0; oc < p->out_c; oc += 4) {
            conv_winograd_products(p, weights, l->values);
            for (int32_t i = 0; i < WINOGRAD_RESULTS; ++i) {
                const int32_t channel = oc + i / 2;
                const scale_s8 scale = channel_scale_s8(l->multiplier, l->shift, channel * p->channel_step);
                int32_t y[4];
                conv_winograd_outputs(p, l->values + 2 * WINOGRAD_PAIRS(p) + i, l->bias[channel], y);
                conv_winograd_store(p, l, scale, y, x + i % 2 * 2, channel);
            }
            weights += WINOGRAD_POINTS * WINOGRAD_PAIRS(p) * 4;
        }
    }
}

static inline conv_winograd_layer conv_winograd_layer_of(const conv_params_s8 *p, const int32_t *weights,
                                                         const int32_t *bias, const int32_t *multiplier,
                                                         const int8_t *shift, void *scratch) {
    uint32_t *const values = (uint32_t *)scratch;
    int8_t *const pixels = (int8_t *)(values + WINOGRAD_POINTS * WINOGRAD_POINT(p));
    return (conv_winograd_layer){weights, bias, multiplier, shift, NULL, 1, values, pixels};
}

/* A pooled row. */
KERNEL void conv_winograd_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int32_t *weights,
                                 const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                 void *scratch, int8_t *output) {
    conv_winograd_layer layer = conv_winograd_layer_of(p, weights, bias, multiplier, shift, scratch);
    layer.output = output;
    conv_winograd_rows(p, rows, &layer);
}

KERNEL void conv_winograd_s8(const conv_params_s8 *p, const int8_t *input, const int32_t *weights,
                             const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                             void *scratch, int8_t *output) {
    conv_winograd_layer layer = conv_winograd_layer_of(p, weights, bias, multiplier, shift, scratch);
    const int32_t in_row = p->in_w * p->in_c, out_row = p->out_w * p->out_c, made = 3 - p->pool_h;
    const int8_t *rows[4];
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; y += made) {
            window_rows_s8(rows, 4, input, y * p->pool_stride_h - p->pad_top, p->in_h, in_row);
            layer.output = output;
            layer.made = min_s32(made, p->out_h - y);
            conv_winograd_rows(p, rows, &layer);
            output += (ptrdiff_t)layer.made * out_row;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
