/* Products of int16 values with packed int8 weights, two at a time (DSP extension), in 32-bit sums modulo
 * 2^32.
 *
 * A block has the weights of four channels; those that do not exist are 0. For each pair of values it holds a
 * word for every two channels, whose bytes are c0[0] c1[0] c0[1] c1[1]: even and odd bytes sign-extend to a
 * channel's pair. */
#ifndef PINGPONNX_PACKED_S16_H
#define PINGPONNX_PACKED_S16_H

#include "dsp.h"
#include "wide_s16.h"

#define PACKED_S16_BLOCK 4

/* Values between the pairs of a window; a column of two pixels has theirs in turns. */
#define PACKED_S16_ONE 2
#define PACKED_S16_COLUMN 4

/* Functions with loops that take all registers, as parts of others they would lose some. */
#define PACKED_S16_APART static __attribute__((noinline, unused))

/* Sums are those of four channels of a pixel, then of a second one. */
static inline void packed_s16_start(int32_t *sums, const int32_t *bias) {
    for (int32_t c = 0; c < PACKED_S16_BLOCK; ++c) {
        sums[c] = bias[c];
        sums[PACKED_S16_BLOCK + c] = bias[c];
    }
}

/* Adds `count` pairs of one pixel, `step` values apart. */
PACKED_S16_APART void packed_s16_one(int32_t *sums, int32_t count, const int16_t *x, int32_t step,
                                     const int8_t *w) {
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (; count > 0; --count, x += step, w += 2 * PACKED_S16_BLOCK) {
        const uint32_t pair = load_u32(x), w01 = load_u32(w), w23 = load_u32(w + 4);
        s0 = smlad(pair, sxtb16(w01), s0);
        s1 = smlad(pair, sxtb16_odd(w01), s1);
        s2 = smlad(pair, sxtb16(w23), s2);
        s3 = smlad(pair, sxtb16_odd(w23), s3);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* Adds a column of `count` pairs of two pixels. */
#if defined(__ARM_FEATURE_DSP) && defined(PINGPONNX_ALL_REGISTERS)
/* An instruction a line. */
/* clang-format off */
#define PACKED_S16_PRODUCTS(from, a_even, b_even, a_odd, b_odd)                                              \
    "ldr %[t], [%[w], #" #from "]\n\t"                                                                       \
    "sxtb16 %[c], %[t]\n\t"                                                                                 \
    "sxtb16 %[t], %[t], ror #8\n\t"                                                                         \
    "smlad %[" #a_even "], %[x0], %[c], %[" #a_even "]\n\t"                                                 \
    "smlad %[" #b_even "], %[x1], %[c], %[" #b_even "]\n\t"                                                 \
    "smlad %[" #a_odd "], %[x0], %[t], %[" #a_odd "]\n\t"                                                   \
    "smlad %[" #b_odd "], %[x1], %[t], %[" #b_odd "]\n\t"
#define PACKED_S16_PAIR(from)                                                                                \
    "ldrd %[x0], %[x1], [%[x]], #8\n\t"                                                                     \
    PACKED_S16_PRODUCTS(from, a0, b0, a1, b1) PACKED_S16_PRODUCTS(from + 4, a2, b2, a3, b3)
#define PACKED_S16_LOOP(pairs, bytes)                                                                        \
    __asm volatile(".p2align 2\n1:\n\t" pairs "add %[w], %[w], #" #bytes "\n\t"                            \
                   "ldr %[t], %[end]\n\t"                                                                   \
                   "cmp %[x], %[t]\n\t"                                                                     \
                   "bne 1b"                                                                                  \
                   : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b0),              \
                     [b1] "+r"(b1), [b2] "+r"(b2), [b3] "+r"(b3), [x] "+r"(x), [w] "+r"(w),                  \
                     [x0] "=&r"(x0), [x1] "=&r"(x1), [t] "=&r"(t), [c] "=&r"(c)                              \
                   : [end] "m"(end)                                                                          \
                   : "cc", "memory")
/* clang-format on */

PACKED_S16_APART void packed_s16_column(int32_t *sums, int32_t count, const int16_t *x, const int8_t *w) {
    int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
    int32_t b0 = sums[4], b1 = sums[5], b2 = sums[6], b3 = sums[7];
    uint32_t x0, x1, t, c;
    const int16_t *end = x + (ptrdiff_t)(count / 4 * 4) * PACKED_S16_COLUMN;
    if (x != end) {
        PACKED_S16_LOOP(PACKED_S16_PAIR(0) PACKED_S16_PAIR(8) PACKED_S16_PAIR(16) PACKED_S16_PAIR(24), 32);
    }
    end = x + (ptrdiff_t)(count % 4) * PACKED_S16_COLUMN;
    if (x != end) {
        PACKED_S16_LOOP(PACKED_S16_PAIR(0), 8);
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
    sums[4] = b0;
    sums[5] = b1;
    sums[6] = b2;
    sums[7] = b3;
}
#else
PACKED_S16_APART void packed_s16_column(int32_t *sums, int32_t count, const int16_t *x, const int8_t *w) {
    packed_s16_one(sums, count, x, PACKED_S16_COLUMN, w);
    packed_s16_one(sums + PACKED_S16_BLOCK, count, x + 2, PACKED_S16_COLUMN, w);
}
#endif

/* How the sums of a layer become codes. */
typedef struct {
    int32_t zero_point, low, high;
} packed_s16_codes;

/* Stores `channels` codes: sum * multiplier * 2^(-32 - shift), rounded once, ties upwards. `scale` has a
 * multiplier and a shift, which is at least 1, of each channel. */
PACKED_S16_APART void packed_s16_store(const packed_s16_codes *codes, const int32_t *sums,
                                       const int32_t *scale, int32_t channels, int16_t *output) {
    const int32_t zero_point = codes->zero_point, low = codes->low, high = codes->high;
    for (int32_t c = 0; c < channels; ++c, scale += 2) {
        const int32_t shift = scale[1];
        const int32_t y = (smmla(sums[c], scale[0], 0) + ((1 << shift) >> 1)) >> shift;
        output[c] = clamp_s16(y + zero_point, low, high);
    }
}

#endif
