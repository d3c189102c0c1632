/* The sums of packed_s8.h straight from int8 values, without a column: no memory, a few more instructions.
 *
 * The values of each of two pixels lie one after the other, words aligned, as one row of a window does
 * when its pixels have a multiple of four channels.
 */
#ifndef PINGPONNX_DIRECT_S8_H
#define PINGPONNX_DIRECT_S8_H

#include "packed_s8.h"

/* Half of a quad for 4 channels and 2 pixels; `odd` is the rotation that SXTB16 takes the values with. */
#define DIRECT_HALF(at, values, odd)                                                                         \
    "ldr %[a0], [%[x0], #" #values "]\n\t"                                                                   \
    "ldr %[a1], [%[x1], #" #values "]\n\t"                                                                   \
    "ldr %[t], [%[w], #" #at "]\n\t"                                                                         \
    "sxtb16 %[a0], %[a0]" odd "\n\t"                                                                         \
    "sxtb16 %[a1], %[a1]" odd "\n\t"                                                                         \
    "smlad %[s2], %[t], %[a0], %[s2]\n\t"                                                                    \
    "smlad %[s3], %[t], %[a1], %[s3]\n\t"                                                                    \
    "sxtb16 %[t], %[t]\n\t"                                                                                  \
    "smlad %[s0], %[t], %[a0], %[s0]\n\t"                                                                    \
    "smlad %[s1], %[t], %[a1], %[s1]\n\t"                                                                    \
    "ldr %[t], [%[w], #" #at " + 4]\n\t"                                                                     \
    "smlad %[s6], %[t], %[a0], %[s6]\n\t"                                                                    \
    "smlad %[s7], %[t], %[a1], %[s7]\n\t"                                                                    \
    "sxtb16 %[t], %[t]\n\t"                                                                                  \
    "smlad %[s4], %[t], %[a0], %[s4]\n\t"                                                                    \
    "smlad %[s5], %[t], %[a1], %[s5]\n\t"
#define DIRECT_QUADS_1(n) DIRECT_HALF(16 * (n), 4 * (n), "") DIRECT_HALF(16 * (n) + 8, 4 * (n), ", ror #8")
#define DIRECT_QUADS_2(n) DIRECT_QUADS_1(n) DIRECT_QUADS_1(n + 1)
#define DIRECT_QUADS_4(n) DIRECT_QUADS_2(n) DIRECT_QUADS_2(n + 2)

#if defined(PACKED_4X2)
#define DIRECT_ROUND(count)                                                                                  \
    __asm volatile(DIRECT_QUADS_##count(0) "add %[w], %[w], #16 * " #count "\n\t"                            \
                                           "add %[x0], %[x0], #4 * " #count "\n\t"                           \
                                           "add %[x1], %[x1], #4 * " #count                                  \
                   : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [s4] "+r"(s4),              \
                     [s5] "+r"(s5), [s6] "+r"(s6), [s7] "+r"(s7), [w] "+r"(weights), [x0] "+r"(x0),          \
                     [x1] "+r"(x1), [t] "=&r"(t), [a0] "=&r"(a0), [a1] "=&r"(a1)                             \
                   :                                                                                         \
                   : "memory")

/* 4 channels, 2 pixels. Returns the end of the weights. */
PACKED_INLINE const uint32_t *direct_s8_4x2(const uint32_t *weights, const int8_t *x0, const int8_t *x1,
                                            int32_t quads, int32_t *sums) {
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    int32_t s4 = sums[4], s5 = sums[5], s6 = sums[6], s7 = sums[7];
    uint32_t t, a0, a1;
    for (int32_t i = quads / 4; i > 0; --i) {
        DIRECT_ROUND(4);
    }
    if ((quads & 2) != 0) {
        DIRECT_ROUND(2);
    }
    if ((quads & 1) != 0) {
        DIRECT_ROUND(1);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    sums[4] = s4, sums[5] = s5, sums[6] = s6, sums[7] = s7;
    return weights;
}
#endif

/* Adds the products of `quads` to the sums of one or two pairs of channels and two pixels. Returns the end of
 * the weights.
 */
PACKED_INLINE const uint32_t *direct_s8_block(const uint32_t *weights, const int8_t *x0, const int8_t *x1,
                                              int32_t quads, int32_t pairs, int32_t *sums) {
#if defined(PACKED_4X2)
    if (pairs == 2) {
        return direct_s8_4x2(weights, x0, x1, quads, sums);
    }
#endif
    for (int32_t quad = 0; quad < quads; ++quad, x0 += 4, x1 += 4) {
        const uint32_t a[2] = {load_u32(x0), load_u32(x1)};
        for (int32_t half = 0; half < 2; ++half, weights += pairs) {
            for (int32_t pixel = 0; pixel < 2; ++pixel) {
                const uint32_t values = half == 0 ? sxtb16(a[pixel]) : sxtb16_odd(a[pixel]);
                for (int32_t pair = 0; pair < pairs; ++pair) {
                    int32_t *sum = sums + 4 * pair + pixel;
                    sum[0] = smlad(sxtb16(weights[pair]), values, sum[0]);
                    sum[2] = smlad(weights[pair], values, sum[2]);
                }
            }
        }
    }
    return weights;
}

#endif
