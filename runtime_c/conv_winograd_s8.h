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

/* A layer's tables, the rows that are made (the second NULL beyond the map), and scratch memory. */
typedef struct {
    const int32_t *weights, *bias, *multiplier;
    const int8_t *shift;
    int8_t *output[2];
    int32_t *sums;    /* point, channel, tile */
    uint32_t *values; /* point, pair of channels, tile */
    int8_t *pixels;   /* of a tile that reaches beyond the map */
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
    const int32_t next = 2 * WINOGRAD_PAIRS(p); /* point */
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
    const int8_t *pixels[4];
    for (int32_t i = 0; i < 4; ++i) {
        if (whole) {
            pixels[i] = rows[i] + (ptrdiff_t)x * p->in_c;
            continue;
        }
        int8_t *copy = l->pixels + 4 * i * p->in_c;
        pixels[i] = copy;
        for (int32_t column = x; column < x + 4; ++column, copy += p->in_c) {
            if (rows[i] != NULL && column >= 0 && column < p->in_w) {
                memcpy(copy, rows[i] + (ptrdiff_t)column * p->in_c, (size_t)p->in_c);
            } else {
                memset(copy, p->input_zero_point, (size_t)p->in_c);
            }
        }
    }
    conv_winograd_transform(p, pixels, values);
}

#if defined(PINGPONNX_DSP) && defined(__OPTIMIZE__)
/* Sums in the order they are written in: gcc would rather have all columns in registers at once. */
#define WINOGRAD_KEEP(a, b, c, d) __asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d)::"memory")

/* A pair of channels times four output channels and two tiles: sums begin, or go on. */
#define WINOGRAD_BEGIN(sum, w, v) "smuad %[" sum "], %[" w "], %[" v "]\n\t"
#define WINOGRAD_ADD(sum, w, v) "smlad %[" sum "], %[" w "], %[" v "], %[" sum "]\n\t"
#define WINOGRAD_PAIR(multiply, i)                                                                           \
    "ldr %[t0], [%[w], #(" #i "*16)]\n\t"                                                                    \
    "ldr %[t1], [%[w], #(" #i "*16+4)]\n\t"                                                                  \
    "ldr %[t2], [%[v], #(" #i "*8)]\n\t"                                                                     \
    "ldr %[t3], [%[v], #(" #i "*8+4)]\n\t" multiply("a0", "t0", "t2") multiply("a1", "t0", "t3")             \
        multiply("b0", "t1", "t2")                                                                           \
            multiply("b1", "t1", "t3") "ldr %[t0], [%[w], #(" #i "*16+8)]\n\t"                               \
                                       "ldr %[t1], [%[w], #(" #i "*16+12)]\n\t" multiply("c0", "t0", "t2")   \
                                           multiply("c1", "t0", "t3") multiply("d0", "t1", "t2")             \
                                               multiply("d1", "t1", "t3")
#define WINOGRAD_PAIRS_1_TO_7                                                                                \
    WINOGRAD_PAIR(WINOGRAD_ADD, 1)                                                                           \
    WINOGRAD_PAIR(WINOGRAD_ADD, 2)                                                                           \
    WINOGRAD_PAIR(WINOGRAD_ADD, 3)                                                                           \
    WINOGRAD_PAIR(WINOGRAD_ADD, 4)                                                                           \
    WINOGRAD_PAIR(WINOGRAD_ADD, 5) WINOGRAD_PAIR(WINOGRAD_ADD, 6) WINOGRAD_PAIR(WINOGRAD_ADD, 7)
#define WINOGRAD_NEXT(pairs)                                                                                 \
    "add %[w], %[w], #(" pairs "*16)\n\t"                                                                    \
    "add %[v], %[v], #(" pairs "*8)\n\t"
#define WINOGRAD_ZERO(sum) "mov %[" sum "], #0\n\t"

/* The sums of a point in one go, and in loops. */
#define WINOGRAD_ALL_8 WINOGRAD_PAIR(WINOGRAD_BEGIN, 0) WINOGRAD_PAIRS_1_TO_7 WINOGRAD_NEXT("8")
#define WINOGRAD_LOOP(block, pairs)                                                                          \
    WINOGRAD_ZERO("a0")                                                                                      \
    WINOGRAD_ZERO("a1")                                                                                      \
    WINOGRAD_ZERO("b0")                                                                                      \
    WINOGRAD_ZERO("b1")                                                                                      \
    WINOGRAD_ZERO("c0")                                                                                      \
    WINOGRAD_ZERO("c1")                                                                                      \
    WINOGRAD_ZERO("d0")                                                                                      \
    WINOGRAD_ZERO("d1")                                                                                      \
    "2:\n\t" block WINOGRAD_NEXT(pairs) "ldr %[t0], %[end]\n\t"                                              \
                                        "ldr %[t2], %[step]\n\t"                                             \
                                        "cmp %[v], %[t0]\n\t"                                                \
                                        "bne 2b\n\t"                                                         \
                                        "add %[t0], %[t0], %[t2]\n\t"                                        \
                                        "str %[t0], %[end]\n\t"

/* All points, with all 14 registers: other pointers are in memory. */
#define WINOGRAD_POINTS_OF(sums_of_point)                                                                    \
    __asm(".p2align 2\n"                                                                                     \
          "1:\n\t" sums_of_point "ldr %[t1], %[sums]\n\t"                                                    \
          "ldr %[t3], %[last]\n\t"                                                                           \
          "str %[a0], [%[t1]]\n\t"                                                                           \
          "str %[a1], [%[t1], #4]\n\t"                                                                       \
          "str %[b0], [%[t1], #8]\n\t"                                                                       \
          "str %[b1], [%[t1], #12]\n\t"                                                                      \
          "str %[c0], [%[t1], #16]\n\t"                                                                      \
          "str %[c1], [%[t1], #20]\n\t"                                                                      \
          "str %[d0], [%[t1], #24]\n\t"                                                                      \
          "str %[d1], [%[t1], #28]\n\t"                                                                      \
          "add %[t1], %[t1], #32\n\t"                                                                        \
          "str %[t1], %[sums]\n\t"                                                                           \
          "cmp %[t1], %[t3]\n\t"                                                                             \
          "bne 1b"                                                                                           \
          : [a0] "=&r"(a0), [a1] "=&r"(a1), [b0] "=&r"(b0), [b1] "=&r"(b1), [c0] "=&r"(c0), [c1] "=&r"(c1),  \
            [d0] "=&r"(d0), [d1] "=&r"(d1), [w] "+r"(weights), [v] "+r"(values), [t0] "=&r"(t0),             \
            [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [end] "+m"(end), [sums] "+m"(sums)               \
          : [step] "m"(step), [last] "m"(last)                                                               \
          : "cc", "memory")

/* U * V of four channels and two tiles. */
static inline void conv_winograd_products(const conv_params_s8 *p, const int32_t *weights,
                                          const uint32_t *values, int32_t *sums) {
    const int32_t step = 8 * WINOGRAD_PAIRS(p); /* bytes of a point */
    const uint32_t *end = values + 2 * WINOGRAD_PAIRS(p);
    const int32_t *const last = sums + WINOGRAD_POINTS * WINOGRAD_RESULTS;
    int32_t a0, a1, b0, b1, c0, c1, d0, d1;
    uint32_t t0, t1, t2, t3;
    if (WINOGRAD_PAIRS(p) == 8) {
        WINOGRAD_POINTS_OF(WINOGRAD_ALL_8);
    } else if (WINOGRAD_PAIRS(p) % 8 == 0) {
        WINOGRAD_POINTS_OF(WINOGRAD_LOOP(WINOGRAD_PAIR(WINOGRAD_ADD, 0) WINOGRAD_PAIRS_1_TO_7, "8"));
    } else {
        WINOGRAD_POINTS_OF(WINOGRAD_LOOP(WINOGRAD_PAIR(WINOGRAD_ADD, 0) WINOGRAD_PAIR(WINOGRAD_ADD, 1), "2"));
    }
    (void)a0, (void)a1, (void)b0, (void)b1, (void)c0, (void)c1, (void)d0, (void)d1;
    (void)t0, (void)t1, (void)t2, (void)t3;
}
#else
#define WINOGRAD_KEEP(a, b, c, d) (void)0
static inline void conv_winograd_products(const conv_params_s8 *p, const int32_t *weights,
                                          const uint32_t *values, int32_t *sums) {
    for (int32_t point = 0; point < WINOGRAD_POINTS; ++point, sums += WINOGRAD_RESULTS) {
        memset(sums, 0, WINOGRAD_RESULTS * sizeof *sums);
        for (int32_t pair = 0; pair < WINOGRAD_PAIRS(p); ++pair, weights += 4, values += 2) {
            for (int32_t i = 0; i < WINOGRAD_RESULTS; ++i) {
                sums[i] = smlad((uint32_t)weights[i / 2], values[i % 2], sums[i]);
            }
        }
    }
}
#endif

/* The accumulators of a tile of one channel, from its sums: column by column. */
static inline void conv_winograd_outputs(const int32_t *sums, int32_t bias, int32_t outputs[4]) {
    uint32_t left_up = (uint32_t)bias, right_up = left_up, left_down = left_up, right_down = left_up;
    for (int32_t j = 0; j < 4; ++j, sums += WINOGRAD_RESULTS) {
        const uint32_t m0 = (uint32_t)sums[0], m1 = (uint32_t)sums[4 * WINOGRAD_RESULTS];
        const uint32_t m2 = (uint32_t)sums[8 * WINOGRAD_RESULTS], m3 = (uint32_t)sums[12 * WINOGRAD_RESULTS];
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
            l->output[0][x / 2 * p->out_c + channel] = conv_winograd_scaled(p, scale, best);
        }
        return;
    }
    for (int32_t i = 0; i < 4; ++i) {
        if (l->output[i / 2] != NULL && x + i % 2 < p->out_w) {
            l->output[i / 2][(x + i % 2) * p->out_c + channel] = conv_winograd_scaled(p, scale, y[i]);
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
            conv_winograd_products(p, weights, l->values, l->sums);
            for (int32_t i = 0; i < WINOGRAD_RESULTS; ++i) {
                const int32_t channel = oc + i / 2;
                const scale_s8 scale = channel_scale_s8(l->multiplier, l->shift, channel * p->channel_step);
                int32_t y[4];
                conv_winograd_outputs(l->sums + i, l->bias[channel], y);
                conv_winograd_store(p, l, scale, y, x + i % 2 * 2, channel);
            }
            weights += WINOGRAD_POINTS * WINOGRAD_PAIRS(p) * 4;
        }
    }
}

static inline conv_winograd_layer conv_winograd_layer_of(const conv_params_s8 *p, const int32_t *weights,
                                                         const int32_t *bias, const int32_t *multiplier,
                                                         const int8_t *shift, void *scratch) {
    int32_t *const sums = scratch;
    uint32_t *const values = (uint32_t *)scratch + WINOGRAD_POINTS * WINOGRAD_RESULTS;
    int8_t *const pixels = (int8_t *)(values + WINOGRAD_POINTS * 2 * WINOGRAD_PAIRS(p));
    return (conv_winograd_layer){weights, bias, multiplier, shift, {NULL, NULL}, sums, values, pixels};
}

/* A pooled row. */
KERNEL void conv_winograd_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int32_t *weights,
                                 const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                 void *scratch, int8_t *output) {
    conv_winograd_layer layer = conv_winograd_layer_of(p, weights, bias, multiplier, shift, scratch);
    layer.output[0] = output;
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
            layer.output[0] = output;
            layer.output[1] = made == 2 && y + 1 < p->out_h ? output + out_row : NULL;
            conv_winograd_rows(p, rows, &layer);
            output += (ptrdiff_t)min_s32(made, p->out_h - y) * out_row;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
