/* int8 convolution of stride 1 as products of polynomials, with a fused clamp and 2x2 max-pool.
 *
 * Two neighbouring values a0 + a1 * 2^21 times two neighbouring taps w1 + w0 * 2^21 is, in three fields of
 * 21 bits, a0 w1, a0 w0 + a1 w1 and a1 w0: one multiplication of 32 by 32 bits does four of 8 bits. Summed up
 * over all pairs of taps the middle field is an even column's accumulator, and the upper field plus the
 * lower one of the next group is the odd column's that lies between them. The converter proves from the
 * weights that the sums of a run stay within their fields. A step is a kernel row of an input channel.
 *
 * The row is made tile by tile: four columns of all channels out of the packed values that they see.
 */
#ifndef PINGPONNX_CONV_POLY_S8_H
#define PINGPONNX_CONV_POLY_S8_H

#include "conv_params.h"
#include "requantize_s8.h"

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step;
    int32_t
        blocks; /* of a channel pair's weights: POLY_STEPS(p) steps, and 0 where a run of them ends, else 1 */
    int32_t runs; /* after each the fields are emptied */
} conv_poly_params_s8;

#define POLY_FIELD 21
#define POLY_TAP_PAIRS(p) (((p)->kernel_w + 1) / 2)
#define POLY_STEPS(p) (POLY_TAP_PAIRS(p) == 2 ? 3 : 5)
#define POLY_BLOCK(p) (2 * POLY_TAP_PAIRS(p) * POLY_STEPS(p) + 1) /* words of weights */
#define POLY_WORDS(p) (POLY_TAP_PAIRS(p) + 1) /* pairs of values that a tile of four columns sees */
#define POLY_CARRIED(p) (((p)->out_c + 1) / 2 * (p)->pool_h)

/* What a channel pair hands on to the next tile in a row of sums: upper fields, columns of pooled pairs. */
typedef struct {
    int32_t high[2], column[2];
} poly_carry;

/* The largest of a pooled window's rows, carries of every channel pair and row; packed values follow. */
typedef struct {
    int32_t best[2][2];
    poly_carry carry[];
} poly_scratch;

/* What 64 bits hold of a channel: its fields in two groups of two columns. */
typedef struct {
    int32_t low[2], middle[2], high[2];
} poly_fields;

static inline uint32_t poly_pair(int32_t even, int32_t odd) {
    return (uint32_t)even + ((uint32_t)odd << POLY_FIELD);
}

/* Pairs of values of one row at columns x, x + 2, ...: `pairs` of POLY_WORDS(p) words a channel. */
static inline void conv_poly_pack_row(const conv_poly_params_s8 *p, const int8_t *in, int32_t x,
                                      int32_t pairs, uint32_t *packed) {
    const int32_t zero = p->input_zero_point;
    if (in == NULL) {
        for (int32_t i = 0; i < p->in_c * POLY_WORDS(p); ++i) {
            packed[i] = poly_pair(zero, zero);
        }
        return;
    }
    if (x >= 0 && x + 2 * pairs <= p->in_w) {
        in += (ptrdiff_t)x * p->in_c;
        for (int32_t c = 0; c < p->in_c; ++c) {
            for (int32_t i = 0; i < pairs; ++i) {
                packed[c * POLY_WORDS(p) + i] =
                    poly_pair(in[2 * i * p->in_c + c], in[(2 * i + 1) * p->in_c + c]);
            }
        }
        return;
    }
    for (int32_t i = 0; i < pairs; ++i) {
        const int32_t even = x + 2 * i, odd = even + 1;
        const int32_t has_even = even >= 0 && even < p->in_w, has_odd = odd >= 0 && odd < p->in_w;
        for (int32_t c = 0; c < p->in_c; ++c) {
            packed[c * POLY_WORDS(p) + i] =
                poly_pair(has_even ? in[even * p->in_c + c] : zero, has_odd ? in[odd * p->in_c + c] : zero);
        }
    }
}

static inline void conv_poly_pack(const conv_poly_params_s8 *p, const int8_t *const *rows, int32_t x,
                                  int32_t pairs, uint32_t *packed) {
    for (int32_t row = 0; row < CONV_WINDOW_ROWS(p); ++row) {
        conv_poly_pack_row(p, rows[row], x, pairs, packed + row * p->in_c * POLY_WORDS(p));
    }
}

#if defined(PINGPONNX_DSP) && defined(PINGPONNX_ALL_REGISTERS)
/* A pair of taps of two channels times two neighbouring pairs of values. */
#define POLY_MULTIPLY(left, right)                                                                           \
    "smlal %[a0], %[a1], %[" left "], %[t0]\n\t"                                                             \
    "smlal %[b0], %[b1], %[" left "], %[t1]\n\t"                                                             \
    "smlal %[c0], %[c1], %[" right "], %[t0]\n\t"                                                            \
    "smlal %[d0], %[d1], %[" right "], %[t1]\n\t"
#define POLY_LOAD_TAPS(offset)                                                                               \
    "ldr %[t0], [%[w], #(" offset ")]\n\t"                                                                   \
    "ldr %[t1], [%[w], #(" offset "+4)]\n\t"
#define POLY_LOAD(to, offset) "ldr %[" to "], [%[v], #(" offset ")]\n\t"
#define POLY_STEP_2(i)                                                                                       \
    POLY_LOAD_TAPS(#i "*16")                                                                                 \
    POLY_LOAD("t2", #i "*12")                                                                                \
    POLY_LOAD("t3", #i "*12+4")                                                                              \
    POLY_MULTIPLY("t2", "t3")                                                                                \
    POLY_LOAD_TAPS(#i "*16+8")                                                                               \
    POLY_LOAD("t2", #i "*12+8")                                                                              \
    POLY_MULTIPLY("t3", "t"                                                                                  \
                        "2")
#define POLY_STEP_3(i)                                                                                       \
    POLY_LOAD_TAPS(#i "*24")                                                                                 \
    POLY_LOAD("t2", #i "*16")                                                                                \
    POLY_LOAD("t3", #i "*16+4")                                                                              \
    POLY_MULTIPLY("t2", "t3")                                                                                \
    POLY_LOAD_TAPS(#i "*24+8")                                                                               \
    POLY_LOAD("t2", #i "*16+8")                                                                              \
    POLY_MULTIPLY("t3", "t2")                                                                                \
    POLY_LOAD_TAPS(#i "*24+16") POLY_LOAD("t3", #i "*16+12") POLY_MULTIPLY("t2", "t3")
#define POLY_BLOCK_2 POLY_STEP_2(0) POLY_STEP_2(1) POLY_STEP_2(2)
#define POLY_BLOCK_3 POLY_STEP_3(0) POLY_STEP_3(1) POLY_STEP_3(2) POLY_STEP_3(3) POLY_STEP_3(4)

/* A run of blocks. It takes all 14 registers: where it ends has to be among the weights. */
#define POLY_RUN(block, bytes_w, bytes_v)                                                                    \
    __asm(".p2align 2\n"                                                                                     \
          "1:\n\t" block "ldr %[t0], [%[w], #" bytes_w "]\n\t"                                               \
          "add %[w], %[w], #(" bytes_w "+4)\n\t"                                                             \
          "add %[v], %[v], #" bytes_v "\n\t"                                                                 \
          "cmp %[t0], #0\n\t"                                                                                \
          "bne 1b"                                                                                           \
          : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [c0] "+r"(c0), [c1] "+r"(c1),        \
            [d0] "+r"(d0), [d1] "+r"(d1), [w] "+r"(*weights), [v] "+r"(*packed), [t0] "=&r"(t0),             \
            [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)                                                   \
          :                                                                                                  \
          : "cc", "memory")

/* A run of two channels, into their sums of two groups. */
static inline void conv_poly_run(const conv_poly_params_s8 *p, const uint32_t **packed,
                                 const int32_t **weights, uint64_t sums[2][2]) {
    uint32_t a0 = (uint32_t)sums[0][0], a1 = (uint32_t)(sums[0][0] >> 32);
    uint32_t b0 = a0, b1 = a1, c0 = a0, c1 = a1, d0 = a0, d1 = a1, t0, t1, t2, t3;
    if (POLY_TAP_PAIRS(p) == 2) {
        POLY_RUN(POLY_BLOCK_2, "(3*16)", "(3*12)");
    } else {
        POLY_RUN(POLY_BLOCK_3, "(5*24)", "(5*16)");
    }
    (void)t0, (void)t1, (void)t2, (void)t3;
    sums[0][0] = (uint64_t)a1 << 32 | a0;
    sums[1][0] = (uint64_t)b1 << 32 | b0;
    sums[0][1] = (uint64_t)c1 << 32 | c0;
    sums[1][1] = (uint64_t)d1 << 32 | d0;
}

/* A pair of taps of two channels times a value of each row: the last tap of an odd kernel has no pair. */
#define POLY_LOW_ROW(row, value, first, second)                                                              \
    "smlabb %[" first "], %[" value "], %[t0], %[" first "]\n\t"                                             \
    "smlabb %[" second "], %[" value "], %[t1], %[" second "]\n\t"
#define POLY_LOW_ONE(w, v) POLY_LOAD_TAPS(w) POLY_LOAD("t2", v) POLY_LOW_ROW(0, "t2", "a", "b")
#define POLY_LOW_TWO(w, v)                                                                                   \
    POLY_LOAD_TAPS(w)                                                                                        \
    POLY_LOAD("t2", v)                                                                                       \
    "ldr %[t3], [%[u], #(" v ")]\n\t" POLY_LOW_ROW(0, "t2", "a", "b") POLY_LOW_ROW(1, "t3", "c", "d")
#define POLY_LOW_2(rows, i) rows(#i "*16", #i "*12")
#define POLY_LOW_3(rows, i) rows(#i "*24", #i "*16") rows(#i "*24+8", #i "*16+4")
#define POLY_LOW_BLOCK_2(rows) POLY_LOW_2(rows, 0) POLY_LOW_2(rows, 1) POLY_LOW_2(rows, 2)
#define POLY_LOW_BLOCK_3(rows)                                                                               \
    POLY_LOW_3(rows, 0) POLY_LOW_3(rows, 1) POLY_LOW_3(rows, 2) POLY_LOW_3(rows, 3) POLY_LOW_3(rows, 4)

#define POLY_LOW_LOOP(block, bytes_w, bytes_v)                                                               \
    __asm(".p2align 2\n"                                                                                     \
          "1:\n\t" block "add %[w], %[w], #(" bytes_w "+4)\n\t"                                              \
          "add %[v], %[v], #" bytes_v "\n\t"                                                                 \
          "add %[u], %[u], #" bytes_v "\n\t"                                                                 \
          "cmp %[w], %[end]\n\t"                                                                             \
          "bne 1b"                                                                                           \
          : [a] "+r"(low[0][0]), [b] "+r"(low[0][1]), [c] "+r"(low[1][0]), [d] "+r"(low[1][1]),              \
            [w] "+r"(weights), [v] "+r"(packed), [u] "+r"(second), [t0] "=&r"(t0), [t1] "=&r"(t1),           \
            [t2] "=&r"(t2), [t3] "=&r"(t3)                                                                   \
          : [end] "r"(end)                                                                                   \
          : "cc", "memory")

/* As below, with the rows' sums side by side. */
static inline void conv_poly_low(const conv_poly_params_s8 *p, const uint32_t *packed, const int32_t *weights,
                                 int32_t low[2][2]) {
    const int32_t *const end = weights + p->blocks * POLY_BLOCK(p);
    const uint32_t *second = packed + p->in_c * POLY_WORDS(p);
    uint32_t t0, t1, t2, t3;
    if (p->pool_h == 2) {
        if (POLY_TAP_PAIRS(p) == 2) {
            POLY_LOW_LOOP(POLY_LOW_BLOCK_2(POLY_LOW_TWO), "(3*16)", "(3*12)");
        } else {
            POLY_LOW_LOOP(POLY_LOW_BLOCK_3(POLY_LOW_TWO), "(5*24)", "(5*16)");
        }
    } else if (POLY_TAP_PAIRS(p) == 2) {
        POLY_LOW_LOOP(POLY_LOW_BLOCK_2(POLY_LOW_ONE), "(3*16)", "(3*12)");
    } else {
        POLY_LOW_LOOP(POLY_LOW_BLOCK_3(POLY_LOW_ONE), "(5*24)", "(5*16)");
    }
    (void)t0, (void)t1, (void)t2, (void)t3;
}
#else
static inline void conv_poly_run(const conv_poly_params_s8 *p, const uint32_t **packed,
                                 const int32_t **weights, uint64_t sums[2][2]) {
    do {
        for (int32_t i = 0; i < POLY_STEPS(p) * POLY_TAP_PAIRS(p); ++i, *weights += 2) {
            const uint32_t *values = *packed + i / POLY_TAP_PAIRS(p) + i;
            for (int32_t channel = 0; channel < 2; ++channel) {
                const int64_t taps = (*weights)[channel];
                sums[channel][0] += (uint64_t)((int32_t)values[0] * taps);
                sums[channel][1] += (uint64_t)((int32_t)values[1] * taps);
            }
        }
        *packed += POLY_STEPS(p) * POLY_WORDS(p);
    } while (*(*weights)++ != 0);
}

/* The lower fields alone, of the group behind the last tile in one or two rows: even values times odd taps.
 */
static inline void conv_poly_low(const conv_poly_params_s8 *p, const uint32_t *packed, const int32_t *weights,
                                 int32_t low[2][2]) {
    for (int32_t block = 0; block < p->blocks; ++block, ++weights) {
        for (int32_t i = 0; i < POLY_STEPS(p) * POLY_TAP_PAIRS(p); ++i, weights += 2) {
            const int32_t m = i % POLY_TAP_PAIRS(p);
            for (int32_t row = 0; row < p->pool_h && m < POLY_TAP_PAIRS(p) - 1; ++row) {
                const uint32_t *values = packed + row * p->in_c * POLY_WORDS(p);
                const int16_t value = (int16_t)values[i / POLY_TAP_PAIRS(p) * POLY_WORDS(p) + m];
                low[row][0] += value * (int16_t)weights[0];
                low[row][1] += value * (int16_t)weights[1];
            }
        }
        packed += POLY_STEPS(p) * POLY_WORDS(p);
    }
}
#endif

#define POLY_INLINE static inline __attribute__((always_inline))

/* The next run of a channel pair in a tile; its lower two fields come out 2^20 too large. */
POLY_INLINE void conv_poly_next(const conv_poly_params_s8 *p, const uint32_t **packed,
                                const int32_t **weights, poly_fields fields[2]) {
    const uint64_t zero = (1ull << (POLY_FIELD - 1)) + (1ull << (2 * POLY_FIELD - 1));
    uint64_t sums[2][2] = {{zero, zero}, {zero, zero}};
    conv_poly_run(p, packed, weights, sums);
    for (int32_t channel = 0; channel < 2; ++channel) {
        for (int32_t group = 0; group < 2; ++group) {
            const uint64_t sum = sums[channel][group];
            const uint32_t lower = (uint32_t)sum, upper = (uint32_t)(sum >> 32);
            fields[channel].low[group] = (int32_t)(lower & 0x1FFFFFu);
            fields[channel].middle[group] = (int32_t)(lower >> 21 | (upper & 0x3FFu) << 11);
            fields[channel].high[group] = (int32_t)upper >> 10;
        }
    }
}

/* The fields of a channel pair in a tile: sums over everything. */
POLY_INLINE void conv_poly_sum(const conv_poly_params_s8 *p, const uint32_t *packed, const int32_t *weights,
                               poly_fields fields[2]) {
    if (p->runs == 1) {
        conv_poly_next(p, &packed, &weights, fields);
        return;
    }
    fields[0] = fields[1] = (poly_fields){{0, 0}, {0, 0}, {0, 0}};
    for (int32_t run = 0; run < p->runs; ++run) {
        poly_fields next[2];
        conv_poly_next(p, &packed, &weights, next);
        for (int32_t channel = 0; channel < 2; ++channel) {
            for (int32_t group = 0; group < 2; ++group) {
                fields[channel].low[group] += next[channel].low[group];
                fields[channel].middle[group] += next[channel].middle[group];
                fields[channel].high[group] += next[channel].high[group];
            }
        }
    }
}

/* A layer's tables and where a row of it is made. */
typedef struct {
    const int32_t *weights, *bias, *multiplier;
    const int8_t *shift;
    int8_t *output;
} conv_poly_layer;

static inline void conv_poly_store(const conv_poly_params_s8 *p, const conv_poly_layer *l, int32_t oc,
                                   int32_t column, int32_t sum) {
    if (oc < p->out_c) {
        const scale_s8 scale = channel_scale_s8(l->multiplier, l->shift, oc * p->channel_step);
        const int32_t y = requantize_proven(sum + l->bias[oc], scale, p->output_zero_point);
        l->output[column * p->out_c + oc] = saturate_s8(y, p->low, p->high);
    }
}

/* Columns 4 * tile - 1 to 4 * tile + 2 of a channel pair. */
static inline void conv_poly_tile(const conv_poly_params_s8 *p, const conv_poly_layer *l, int32_t tile,
                                  int32_t oc, const uint32_t *packed, poly_carry *carry) {
    poly_fields fields[2];
    conv_poly_sum(p, packed, l->weights + oc / 2 * p->blocks * POLY_BLOCK(p), fields);
    for (int32_t i = 0; i < 2; ++i) {
        const poly_fields *f = &fields[i];
        const int32_t sums[4] = {carry->high[i] + f->low[0], f->middle[0], f->high[0] + f->low[1],
                                 f->middle[1]};
        carry->high[i] = f->high[1];
        for (int32_t k = 0, x = 4 * tile - 1; k < 4; ++k, ++x) {
            if (x >= 0 && x < p->out_w) {
                conv_poly_store(p, l, oc + i, x, sums[k]);
            }
        }
    }
}

/* The same pooled: columns 2 * tile - 1 and 2 * tile. */
static inline void conv_poly_pooled(const conv_poly_params_s8 *p, const conv_poly_layer *l, int32_t tile,
                                    int32_t oc, const uint32_t *packed, poly_carry *carry,
                                    int32_t best[2][2]) {
    for (int32_t row = 0; row < 2; ++row, packed += p->in_c * POLY_WORDS(p), ++carry) {
        poly_fields fields[2];
        conv_poly_sum(p, packed, l->weights + oc / 2 * p->blocks * POLY_BLOCK(p), fields);
        for (int32_t i = 0; i < 2; ++i) {
            const poly_fields *f = &fields[i];
            const int32_t left = max_s32(carry->column[i], carry->high[i] + f->low[0]);
            const int32_t right = max_s32(f->middle[0], f->high[0] + f->low[1]);
            carry->high[i] = f->high[1];
            carry->column[i] = f->middle[1];
            best[i][0] = row == 0 ? left : max_s32(left, best[i][0]);
            best[i][1] = row == 0 ? right : max_s32(right, best[i][1]);
        }
    }
    for (int32_t i = 0; i < 2; ++i) {
        if (tile > 0) {
            conv_poly_store(p, l, oc + i, 2 * tile - 1, best[i][0]);
        }
        if (2 * tile < p->out_w) {
            conv_poly_store(p, l, oc + i, 2 * tile, best[i][1]);
        }
    }
}

/* The last column of a channel pair, where a row ends with a full tile. */
static inline void conv_poly_end(const conv_poly_params_s8 *p, const conv_poly_layer *l, int32_t oc,
                                 const uint32_t *packed, const poly_carry *carry) {
    const int32_t zero = p->runs << (POLY_FIELD - 1);
    int32_t low[2][2] = {{zero, zero}, {zero, zero}};
    conv_poly_low(p, packed, l->weights + oc / 2 * p->blocks * POLY_BLOCK(p), low);
    for (int32_t i = 0; i < 2; ++i) {
        int32_t best = carry[0].high[i] + low[0][i];
        if (p->pool_h == 2) {
            best = max_s32(max_s32(best, carry[0].column[i]),
                           max_s32(carry[1].high[i] + low[1][i], carry[1].column[i]));
        }
        conv_poly_store(p, l, oc + i, p->out_w - 1, best);
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_poly_s8_row(const conv_poly_params_s8 *p, const int8_t *const *rows, const int32_t *weights,
                             const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                             void *scratch, int8_t *output) {
    const conv_poly_layer layer = {weights, bias, multiplier, shift, output};
    const int32_t columns = p->out_w * p->pool_w, tiles = (columns + 3) / 4;
    poly_scratch *const work = (poly_scratch *)scratch;
    poly_carry *const carry = work->carry;
    uint32_t *const packed = (uint32_t *)(carry + POLY_CARRIED(p));
    memset(carry, 0, (size_t)POLY_CARRIED(p) * sizeof *carry);
    for (int32_t tile = 0; tile < tiles; ++tile) {
        conv_poly_pack(p, rows, 4 * tile - p->pad_left, POLY_WORDS(p), packed);
        for (int32_t oc = 0; oc < p->out_c; oc += 2) {
            if (p->pool_h == 2) {
                conv_poly_pooled(p, &layer, tile, oc, packed, carry + oc, work->best);
            } else {
                conv_poly_tile(p, &layer, tile, oc, packed, carry + oc / 2);
            }
        }
    }
    if (columns % 4 == 0) {
        conv_poly_pack(p, rows, columns - p->pad_left, p->kernel_w / 2, packed);
        for (int32_t oc = 0; oc < p->out_c; oc += 2) {
            conv_poly_end(p, &layer, oc, packed, carry + oc / 2 * p->pool_h);
        }
    }
}

KERNEL void conv_poly_s8(const conv_poly_params_s8 *p, const int8_t *input, const int32_t *weights,
                         const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                         const int8_t **rows, void *scratch, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                           in_row);
            conv_poly_s8_row(p, rows, weights, bias, multiplier, shift, scratch, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
