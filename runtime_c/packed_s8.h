/* Sums of int8 products on cores with the DSP extension, with two channels of weights in every 16 bits.
 *
 * A half word of weights is 256 * b + a, of channels A and B. Multiplied as it is, it sums up
 * S1 = 256 * sum(b * x) + sum(a * x); its low byte, sign-extended, sums up S2 = sum(a * x). So A's sum is S2
 * and B's is (S1 - S2) / 256, exact modulo 2^32 as long as B's sum fits 24 bits, which the converter has
 * proven of the layer's weights. That is one expansion for four weights, and no byte more in flash.
 *
 * Products come in quads, k0 to k3, as two words: (k0, k2) and (k1, k3), which is how SXTB16 parts bytes. The
 * column of two pixels has the first words of both by quad, then the second ones, and PACKED_END behind the
 * last.
 *
 * All constants are one stream of words in the order of their use. Of each block of two pairs of channels, or
 * one:
 * - biases, by pair that of A and 256 * that of B + that of A, modulo 2^32, less the input's zero point times
 *   the sum of the weights, so that values are taken as they are;
 * - weights, by quad the first words of the pairs, then the second ones;
 * - multipliers, by channel, and under TFLite's rounding shifts to the right.
 */
#ifndef PINGPONNX_PACKED_S8_H
#define PINGPONNX_PACKED_S8_H

#include "requantize_s8.h"

#define PACKED_INLINE static inline __attribute__((always_inline))

/* Loops over geometry are specialised, one copy per call. What they call is one copy for all layers: it is
 * the same for them but for how far it is unrolled, and only there do compilers have all registers for it.
 */
#if defined(PINGPONNX_SHARED_KERNELS)
#define PACKED_KERNEL KERNEL
#else
#define PACKED_KERNEL PACKED_INLINE
#endif
#if defined(__clang__)
#define PACKED_SHARED static __attribute__((noinline, unused))
#else
#define PACKED_SHARED static __attribute__((noinline, noclone, unused, optimize("O2")))
#endif

enum { PACKED_SUMS = 8 }; /* at [4 * pair + pixel] of A, two on of A and B together */

/* Four words of weights and column: 4 channels, 2 pixels, half a quad. Loads stand together, for that is
 * what the Cortex-M4 pipelines.
 */
#define PACKED_HALF(at)                                                                                      \
    "ldr %[t0], [%[w], #" #at "]\n\t"                                                                        \
    "ldr %[t1], [%[w], #" #at " + 4]\n\t"                                                                    \
    "ldr %[t2], [%[x], #" #at "]\n\t"                                                                        \
    "ldr %[t3], [%[x], #" #at " + 4]\n\t"                                                                    \
    "smlad %[s2], %[t0], %[t2], %[s2]\n\t"                                                                   \
    "smlad %[s3], %[t0], %[t3], %[s3]\n\t"                                                                   \
    "sxtb16 %[t0], %[t0]\n\t"                                                                                \
    "smlad %[s0], %[t0], %[t2], %[s0]\n\t"                                                                   \
    "smlad %[s1], %[t0], %[t3], %[s1]\n\t"                                                                   \
    "smlad %[s6], %[t1], %[t2], %[s6]\n\t"                                                                   \
    "smlad %[s7], %[t1], %[t3], %[s7]\n\t"                                                                   \
    "sxtb16 %[t1], %[t1]\n\t"                                                                                \
    "smlad %[s4], %[t1], %[t2], %[s4]\n\t"                                                                   \
    "smlad %[s5], %[t1], %[t3], %[s5]\n\t"
#define PACKED_QUADS_1(n) PACKED_HALF(16 * (n)) PACKED_HALF(16 * (n) + 8)
#define PACKED_QUADS_2(n) PACKED_QUADS_1(n) PACKED_QUADS_1(n + 1)
#define PACKED_QUADS_3(n) PACKED_QUADS_2(n) PACKED_QUADS_1(n + 2)
#define PACKED_QUADS_4(n) PACKED_QUADS_2(n) PACKED_QUADS_2(n + 2)
#define PACKED_QUADS_5(n) PACKED_QUADS_4(n) PACKED_QUADS_1(n + 4)
#define PACKED_QUADS_6(n) PACKED_QUADS_4(n) PACKED_QUADS_2(n + 4)
#define PACKED_QUADS_7(n) PACKED_QUADS_4(n) PACKED_QUADS_3(n + 4)
#define PACKED_QUADS_8(n) PACKED_QUADS_4(n) PACKED_QUADS_4(n + 4)
#define PACKED_QUADS_10(n) PACKED_QUADS_8(n) PACKED_QUADS_2(n + 8)
#define PACKED_QUADS_12(n) PACKED_QUADS_8(n) PACKED_QUADS_4(n + 8)
#define PACKED_QUADS_16(n) PACKED_QUADS_8(n) PACKED_QUADS_8(n + 8)

/* All 14 registers, so the loop ends at a word that no column has. Compilers that keep a frame pointer have
 * fewer of them, and gcc without optimisation too.
 */
#define PACKED_END 0x80000000u
/* Values are loaded as words wherever they lie, which -mno-unaligned-access is not to allow. */
#if defined(PINGPONNX_DSP) && defined(PINGPONNX_ALL_REGISTERS) && defined(__ARM_FEATURE_UNALIGNED)
#define PACKED_4X2 1
#define PACKED_ROUNDS(count)                                                                                 \
    "1:\n\t" PACKED_QUADS_##count(0) "add %[x], %[x], #16 * " #count "\n\t"                                  \
                                     "add %[w], %[w], #16 * " #count "\n\t"                                  \
                                     "ldr %[t0], [%[x]]\n\t"                                                 \
                                     "cmp %[t0], #0x80000000\n\t"                                            \
                                     "bne 1b\n\t"
#define PACKED_CASE(count)                                                                                   \
    case count:                                                                                              \
        __asm volatile(PACKED_ROUNDS(count)                                                                  \
                       : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [s4] "+r"(s4),          \
                         [s5] "+r"(s5), [s6] "+r"(s6), [s7] "+r"(s7), [w] "+r"(weights), [x] "+r"(column),   \
                         [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)                      \
                       :                                                                                     \
                       : "cc", "memory");                                                                    \
        break;

/* 4 channels, 2 pixels; `unroll` divides the column's quads. Returns the end of the weights. */
PACKED_INLINE const uint32_t *packed_s8_4x2(const uint32_t *weights, const uint32_t *column, int32_t unroll,
                                            int32_t *sums) {
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    int32_t s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    uint32_t t0, t1, t2, t3;
    switch (unroll) {
        PACKED_CASE(1)
        PACKED_CASE(2)
        PACKED_CASE(3)
        PACKED_CASE(4)
        PACKED_CASE(5)
        PACKED_CASE(6)
        PACKED_CASE(7)
        PACKED_CASE(8)
        PACKED_CASE(10)
        PACKED_CASE(12)
        PACKED_CASE(16)
    default:
        break;
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    sums[4] = s4, sums[5] = s5, sums[6] = s6, sums[7] = s7;
    return weights;
}
#endif

/* Adds the products of a column's `quads` to the sums of two pixels and one or two pairs of channels. Returns
 * the end of the weights. This is the meaning of the instructions above.
 */
PACKED_INLINE const uint32_t *packed_s8_block(const uint32_t *weights, const uint32_t *column, int32_t quads,
                                              int32_t unroll, int32_t pairs, int32_t *sums) {
#if defined(PACKED_4X2)
    if (pairs == 2) {
        return packed_s8_4x2(weights, column, unroll, sums);
    }
#endif
    (void)unroll;
#pragma GCC unroll 8
    for (int32_t half = 0; half < 2 * quads; ++half) {
        for (int32_t pair = 0; pair < pairs; ++pair) {
            const uint32_t both = weights[pair], low = sxtb16(both);
            for (int32_t pixel = 0; pixel < 2; ++pixel) {
                int32_t *sum = sums + 4 * pair + pixel;
                sum[0] = smlad(low, column[pixel], sum[0]);
                sum[2] = smlad(both, column[pixel], sum[2]);
            }
        }
        weights += pairs;
        column += 2;
    }
    return weights;
}

/* Adds four products of a single pixel to the sums. Returns the next quad's weights. */
PACKED_INLINE const uint32_t *packed_s8_quad(const uint32_t *weights, uint32_t values, int32_t pairs,
                                             int32_t *sums) {
    const uint32_t halves[2] = {sxtb16(values), sxtb16_odd(values)};
#pragma GCC unroll 4
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        int32_t *sum = sums + 4 * (i % pairs);
        const uint32_t both = weights[i];
        sum[2] = smlad(both, halves[i / pairs], sum[2]);
        sum[0] = smlad(sxtb16(both), halves[i / pairs], sum[0]);
    }
    return weights + 2 * pairs;
}

enum { PACKED_LONG = 32 }; /* quads from which on longer rounds are worth their code */

/* Four outputs, one quad. */
#define PACKED_ONE_QUAD(n)                                                                                   \
    "ldr %[t0], [%[x], #4 * " #n "]\n\t"                                                                     \
    "ldr %[w0], [%[w], #16 * " #n "]\n\t"                                                                    \
    "ldr %[w1], [%[w], #16 * " #n " + 4]\n\t"                                                                \
    "ldr %[w2], [%[w], #16 * " #n " + 8]\n\t"                                                                \
    "ldr %[w3], [%[w], #16 * " #n " + 12]\n\t"                                                               \
    "sxtb16 %[t1], %[t0]\n\t"                                                                                \
    "sxtb16 %[t0], %[t0], ror #8\n\t"                                                                        \
    "smlad %[s1], %[w0], %[t1], %[s1]\n\t"                                                                   \
    "sxtb16 %[w0], %[w0]\n\t"                                                                                \
    "smlad %[s0], %[w0], %[t1], %[s0]\n\t"                                                                   \
    "smlad %[s3], %[w1], %[t1], %[s3]\n\t"                                                                   \
    "sxtb16 %[w1], %[w1]\n\t"                                                                                \
    "smlad %[s2], %[w1], %[t1], %[s2]\n\t"                                                                   \
    "smlad %[s1], %[w2], %[t0], %[s1]\n\t"                                                                   \
    "sxtb16 %[w2], %[w2]\n\t"                                                                                \
    "smlad %[s0], %[w2], %[t0], %[s0]\n\t"                                                                   \
    "smlad %[s3], %[w3], %[t0], %[s3]\n\t"                                                                   \
    "sxtb16 %[w3], %[w3]\n\t"                                                                                \
    "smlad %[s2], %[w3], %[t0], %[s2]\n\t"
#define PACKED_ONE_QUADS_1(n) PACKED_ONE_QUAD(n)
#define PACKED_ONE_QUADS_2(n) PACKED_ONE_QUAD((n)) PACKED_ONE_QUAD((n + 1))
#define PACKED_ONE_QUADS_3(n) PACKED_ONE_QUADS_2(n) PACKED_ONE_QUAD((n + 2))
#define PACKED_ONE_QUADS_4(n) PACKED_ONE_QUADS_2(n) PACKED_ONE_QUADS_2((n + 2))
#define PACKED_ONE_QUADS_5(n) PACKED_ONE_QUADS_4(n) PACKED_ONE_QUAD((n + 4))
#define PACKED_ONE_QUADS_6(n) PACKED_ONE_QUADS_4(n) PACKED_ONE_QUADS_2((n + 4))
#define PACKED_ONE_QUADS_7(n) PACKED_ONE_QUADS_4(n) PACKED_ONE_QUADS_3((n + 4))
#define PACKED_ONE_QUADS_8(n) PACKED_ONE_QUADS_4(n) PACKED_ONE_QUADS_4((n + 4))
#define PACKED_ONE_ASM(quads, text)                                                                          \
    __asm volatile(                                                                                          \
        text "add %[x], %[x], #4 * " #quads "\n\tadd %[w], %[w], #16 * " #quads                              \
        : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [w] "+r"(weights), [x] "+r"(values),   \
          [t0] "=&r"(t0), [t1] "=&r"(t1), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3)     \
        :                                                                                                    \
        : "memory")

/* Adds the products of `quads` of a single pixel to the sums. Returns the next quad's weights. */
PACKED_INLINE const uint32_t *packed_s8_quads(const uint32_t *weights, const int8_t *values, int32_t quads,
                                              int32_t pairs, int32_t *sums) {
#if defined(PACKED_4X2)
    if (pairs == 2) {
        int32_t s0 = sums[0], s1 = sums[2], s2 = sums[4], s3 = sums[6];
        uint32_t t0, t1, w0, w1, w2, w3;
        const int32_t long_rounds = quads >= PACKED_LONG ? quads / 8 : 0;
        quads -= 8 * long_rounds;
        for (int32_t i = long_rounds; i > 0; --i) {
            PACKED_ONE_ASM(8, PACKED_ONE_QUADS_4(0) PACKED_ONE_QUADS_4(4));
        }
        for (int32_t i = quads / 4; i > 0; --i) {
            PACKED_ONE_ASM(4, PACKED_ONE_QUADS_4(0));
        }
        for (int32_t i = quads % 4; i > 0; --i) {
            PACKED_ONE_ASM(1, PACKED_ONE_QUAD(0));
        }
        sums[0] = s0, sums[2] = s1, sums[4] = s2, sums[6] = s3;
        return weights;
    }
#endif
#pragma GCC unroll 4
    for (int32_t quad = 0; quad < quads; ++quad) {
        weights = packed_s8_quad(weights, load_u32(values + 4 * quad), pairs, sums);
    }
    return weights;
}

/* Sums begin with their biases. Returns the block's weights. */
PACKED_INLINE const uint32_t *packed_s8_begin(const uint32_t *stream, int32_t pairs, int32_t pixels,
                                              int32_t *sums) {
    for (int32_t pair = 0; pair < pairs; ++pair) {
        for (int32_t pixel = 0; pixel < pixels; ++pixel) {
            sums[4 * pair + pixel] = (int32_t)stream[2 * pair];
            sums[4 * pair + 2 + pixel] = (int32_t)stream[2 * pair + 1];
        }
    }
    return stream + 2 * pairs;
}

/* Four values as one pixel's words of a column. */
PACKED_INLINE void packed_s8_expand_quad(uint32_t *column, const int8_t *values) {
    const uint32_t word = load_u32(values);
    column[0] = sxtb16(word);
    column[2] = sxtb16_odd(word);
}

#if defined(PACKED_4X2)
/* Loads stand together, stores apart: both is faster. */
#define PACKED_LOAD(word, n) "ldr %[" #word "], [%[v], #4 * " #n "]\n\t"
#define PACKED_EXPAND(word, n)                                                                               \
    "sxtb16 %[half], %[" #word "]\n\t"                                                                       \
    "str %[half], [%[column], #16 * " #n "]\n\t"                                                             \
    "sxtb16 %[" #word "], %[" #word "], ror #8\n\t"                                                          \
    "str %[" #word "], [%[column], #16 * " #n " + 8]\n\t"
#define PACKED_EXPAND_ASM(quads, text)                                                                       \
    __asm volatile(text "add %[v], %[v], #4 * " #quads "\n\tadd %[column], %[column], #16 * " #quads         \
                   : [column] "+r"(column), [v] "+r"(values), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),      \
                     [d] "=&r"(d), [half] "=&r"(half)                                                        \
                   :                                                                                         \
                   : "memory")
#define PACKED_LOAD_2 PACKED_LOAD(a, 0) PACKED_LOAD(b, 1)
#define PACKED_EXPAND_2 PACKED_EXPAND(a, 0) PACKED_EXPAND(b, 1)
#endif

/* The values of `quads` as one pixel's words of a column, of which the first is at `column`. */
PACKED_INLINE void packed_s8_expand(uint32_t *column, const int8_t *values, int32_t quads) {
#if defined(PACKED_4X2)
    uint32_t a, b, c, d, half;
#pragma GCC unroll 1
    for (int32_t i = quads / 4; i > 0; --i) {
        PACKED_EXPAND_ASM(4, PACKED_LOAD_2 PACKED_LOAD(c, 2) PACKED_LOAD(d, 3)
                                 PACKED_EXPAND_2 PACKED_EXPAND(c, 2) PACKED_EXPAND(d, 3));
    }
    quads %= 4;
    if (quads >= 2) {
        PACKED_EXPAND_ASM(2, PACKED_LOAD_2 PACKED_EXPAND_2);
        quads -= 2;
    }
#endif
#pragma GCC unroll 1
    for (; quads > 0; --quads, values += 4, column += 4) {
        packed_s8_expand_quad(column, values);
    }
}

#endif
