/* Sums of int8 products for cores without the DSP extension: four output channels at once, so that an
 * activation is loaded once for four products, and on Cortex-M3 two pixels, which share the weights.
 *
 * Weights are `oc/4 taps 4`, channels filled up with zeros: a tap's four weights are an aligned word.
 * Activations are taken as they are, the biases make up for the zero point.
 */
#ifndef PINGPONNX_BLOCKED_S8_H
#define PINGPONNX_BLOCKED_S8_H

#include "kernel.h"

#define BLOCKED_CHANNELS 4

/* Sums stay in registers, and distances are constants, only in the function that has them. */
#if defined(__GNUC__)
#define BLOCKED_INLINE inline __attribute__((always_inline))
#else
#define BLOCKED_INLINE inline
#endif

#if defined(PINGPONNX_SHARED_KERNELS)
#define BLOCKED_KERNEL KERNEL
#else
#define BLOCKED_KERNEL static BLOCKED_INLINE
#endif

#if defined(__ARM_ARCH_6M__) && defined(PINGPONNX_ALL_REGISTERS) && !defined(__OPTIMIZE_SIZE__)
/* Operands in low registers, sums in high ones, which ADD can reach. %[v] holds a tap's weights. At -Os gcc
 * does not always find them. */
#define BLOCKED_TAP                                                                                          \
    "ldmia %[w]!, {%[v]}\n\tldrsb %[x], [%[end], %[k]]\n\tadds %[k], #1\n\t"                                 \
    "sxtb %[t], %[v]\n\tmuls %[t], %[x]\n\tadd %[a], %[t]\n\tasrs %[v], #8\n\t"                              \
    "sxtb %[t], %[v]\n\tmuls %[t], %[x]\n\tadd %[b], %[t]\n\tasrs %[v], #8\n\t"                              \
    "sxtb %[t], %[v]\n\tmuls %[t], %[x]\n\tadd %[c], %[t]\n\tasrs %[v], #8\n\t"                              \
    "muls %[v], %[x]\n\tadd %[d], %[v]\n\t"
#define BLOCKED_FOUR_TAPS BLOCKED_TAP BLOCKED_TAP BLOCKED_TAP BLOCKED_TAP

/* Taps `from` to `to` of `end`, some in every round. */
#define BLOCKED_LOOP(taps, from, to)                                                                         \
    do {                                                                                                     \
        int32_t k = (from), v, t, x;                                                                         \
        __asm(".syntax unified\n1:\n\t" taps "cmp %[k], %[last]\n\tbne 1b\n\t"                               \
              : [a] "+h"(a), [b] "+h"(b), [c] "+h"(c), [d] "+h"(d), [k] "+l"(k), [w] "+l"(w), [v] "=&l"(v),  \
                [t] "=&l"(t), [x] "=&l"(x)                                                                   \
              : [end] "l"(in), [last] "r"(to)                                                                \
              : "cc", "memory");                                                                             \
    } while (0)
#elif defined(__ARM_ARCH_7M__) && defined(PINGPONNX_ALL_REGISTERS)
/* Loads follow each other, which takes one cycle each. */
#define BLOCKED_TAP                                                                                          \
    "ldrsb %[x], [%[in]], #1\n\tldrsb %[t], [%[w], #1]\n\tldrsb %[u], [%[w], #2]\n\t"                        \
    "ldrsb %[v], [%[w], #3]\n\tldrsb %[s], [%[w]], #4\n\tmla %[b], %[x], %[t], %[b]\n\t"                     \
    "mla %[c], %[x], %[u], %[c]\n\tmla %[d], %[x], %[v], %[d]\n\tmla %[a], %[x], %[s], %[a]\n\t"
#define BLOCKED_FOUR_TAPS BLOCKED_TAP BLOCKED_TAP BLOCKED_TAP BLOCKED_TAP

#define BLOCKED_LOOP(taps, from, to)                                                                         \
    do {                                                                                                     \
        int32_t s, t, u, v, x;                                                                               \
        __asm("1:\n\t" taps "cmp %[in], %[end]\n\tbne 1b\n\t"                                                \
              : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [in] "+r"(in), [w] "+r"(w),              \
                [s] "=&r"(s), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v), [x] "=&r"(x)                         \
              : [end] "r"(in + (to) - (from))                                                                \
              : "cc", "memory");                                                                             \
    } while (0)
#endif

/* sums[c] += in[k] * w[k][c] of `count` taps. */
static BLOCKED_INLINE void blocked_s8_run(int32_t sums[BLOCKED_CHANNELS], const int8_t *in, const int8_t *w,
                                          int32_t count) {
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
#if defined(BLOCKED_LOOP)
    const int32_t rest = count % 4;
    if (rest > 0) {
        BLOCKED_LOOP(BLOCKED_TAP, 0, rest);
    }
    if (rest < count) {
        BLOCKED_LOOP(BLOCKED_FOUR_TAPS, rest, count);
    }
#else
#if defined(__GNUC__)
#pragma GCC unroll 4
#endif
    for (int32_t k = 0; k < count; ++k, w += BLOCKED_CHANNELS) {
        const int32_t x = in[k];
        a += x * w[0];
        b += x * w[1];
        c += x * w[2];
        d += x * w[3];
    }
#endif
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

#if defined(__ARM_ARCH_7M__) && defined(PINGPONNX_ALL_REGISTERS)
/* All registers that there are: the distance of the pixels and the end are in memory. */
#define BLOCKED_PAIR_TAP                                                                                     \
    "ldr %[y], %[step]\n\tldr %[v], [%[w]], #4\n\tldrsb %[y], [%[in], %[y]]\n\tldrsb %[x], [%[in]], #1\n\t"  \
    "sxtb %[u], %[v]\n\tmla %[a], %[x], %[u], %[a]\n\tmla %[e], %[y], %[u], %[e]\n\t"                        \
    "sxtb %[u], %[v], ror #8\n\tmla %[b], %[x], %[u], %[b]\n\tmla %[f], %[y], %[u], %[f]\n\t"                \
    "sxtb %[u], %[v], ror #16\n\tmla %[c], %[x], %[u], %[c]\n\tmla %[g], %[y], %[u], %[g]\n\t"               \
    "asr %[u], %[v], #24\n\tmla %[d], %[x], %[u], %[d]\n\tmla %[h], %[y], %[u], %[h]\n\t"
#define BLOCKED_FOUR_PAIR_TAPS BLOCKED_PAIR_TAP BLOCKED_PAIR_TAP BLOCKED_PAIR_TAP BLOCKED_PAIR_TAP

#define BLOCKED_PAIR_LOOP(taps, to)                                                                          \
    do {                                                                                                     \
        const int8_t *const end = (to);                                                                      \
        int32_t x, y, u, v;                                                                                  \
        __asm("1:\n\t" taps "ldr %[u], %[end]\n\tcmp %[in], %[u]\n\tbne 1b\n\t"                              \
              : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [e] "+r"(e), [f] "+r"(f), [g] "+r"(g),   \
                [h] "+r"(h), [in] "+r"(in), [w] "+r"(w), [x] "=&r"(x), [y] "=&r"(y), [u] "=&r"(u),           \
                [v] "=&r"(v)                                                                                 \
              : [end] "m"(end), [step] "m"(step)                                                             \
              : "cc", "memory");                                                                             \
    } while (0)
#endif

/* The same for a second pixel, whose activations lie `step` bytes further and sums behind the first's. */
static BLOCKED_INLINE void blocked_s8_pair(int32_t sums[2 * BLOCKED_CHANNELS], const int8_t *in, int32_t step,
                                           const int8_t *w, int32_t count) {
#if defined(BLOCKED_PAIR_LOOP)
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    int32_t e = sums[4], f = sums[5], g = sums[6], h = sums[7];
    const int8_t *const some = in + count % 4, *const all = in + count;
    if (in != some) {
        BLOCKED_PAIR_LOOP(BLOCKED_PAIR_TAP, some);
    }
    if (in != all) {
        BLOCKED_PAIR_LOOP(BLOCKED_FOUR_PAIR_TAPS, all);
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    sums[4] = e, sums[5] = f, sums[6] = g, sums[7] = h;
#else
    blocked_s8_run(sums, in, w, count);
    blocked_s8_run(sums + BLOCKED_CHANNELS, in + step, w, count);
#endif
}

/* sums[c] += x * w[k][c] of `count` taps: of padding, where x is the zero point. */
static BLOCKED_INLINE void blocked_s8_padding(int32_t sums[BLOCKED_CHANNELS], int32_t x, const int8_t *w,
                                              int32_t count) {
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (int32_t k = 0; k < count; ++k, w += BLOCKED_CHANNELS) {
        a += w[0];
        b += w[1];
        c += w[2];
        d += w[3];
    }
    sums[0] += x * a;
    sums[1] += x * b;
    sums[2] += x * c;
    sums[3] += x * d;
}

#if defined(__ARM_ARCH_6M__)
/* acc * multiplier, of which v6-M multiplies 32 bits at once; the multiplier is positive. */
static inline uint64_t blocked_s8_product(int32_t acc, int32_t multiplier) {
    const uint32_t low = (uint32_t)acc & 0xFFFFu, m_low = (uint32_t)multiplier & 0xFFFFu;
    const int32_t high = acc >> 16, m_high = multiplier >> 16;
    const uint32_t lowest = low * m_low;
    const uint32_t middle = low * (uint32_t)m_high + (lowest >> 16);
    const int32_t upper = high * (int32_t)m_low + (int32_t)(middle & 0xFFFFu);
    const int32_t top = high * m_high + (int32_t)(middle >> 16) + (upper >> 16);
    return (uint64_t)(uint32_t)top << 32 | (uint32_t)upper << 16 | (lowest & 0xFFFFu);
}
#else
static inline uint64_t blocked_s8_product(int32_t acc, int32_t multiplier) {
    return (uint64_t)((int64_t)acc * multiplier);
}
#endif

/* requantize in words of 32 bits, as these cores have no shifts of 64, for shifts of -1 and below. */
static inline int32_t blocked_s8_requantize(int32_t acc, int32_t multiplier, int32_t shift) {
#if !defined(PINGPONNX_ROUNDING_TFLITE)
    if (shift != PINGPONNX_PLAIN_SHIFT) {
        return requantize(acc, multiplier, shift);
    }
#endif
    const uint64_t product = blocked_s8_product(acc, multiplier);
    const uint32_t high = (uint32_t)(product >> 32), low = (uint32_t)product;
#if defined(PINGPONNX_ROUNDING_TFLITE)
    /* the doubled high half, rounded; then as requantize, whose mask is of 64 bits */
    const int32_t doubled = (int32_t)((high << 1 | low >> 31) + (low >> 30 & 1u));
    const int32_t mask = (int32_t)((1u << -shift) - 1u);
    const int32_t threshold = (mask >> 1) + (doubled < 0 ? 1 : 0);
    return (doubled >> -shift) + ((doubled & mask) > threshold ? 1 : 0);
#else
    return (int32_t)(high + (low >> 31));
#endif
}

/* A layer's scales, and what its outputs are. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *shift; /* NULL: PINGPONNX_PLAIN_SHIFT */
    int32_t channel_step, zero_point, low, high;
} blocked_s8_scaling;

static inline int8_t blocked_s8_output(int32_t acc, blocked_s8_scaling s, int32_t channel) {
    const int32_t i = channel * s.channel_step;
    const int32_t shift = s.shift != NULL ? s.shift[i] : PINGPONNX_PLAIN_SHIFT;
    const int32_t value = blocked_s8_requantize(acc, s.multiplier[i], shift) + s.zero_point;
#if defined(__GNUC__) && defined(__ARM_FEATURE_SAT)
    if (s.low == INT8_MIN && s.high == INT8_MAX) {
        int32_t saturated;
        __asm("ssat %0, #8, %1" : "=r"(saturated) : "r"(value) : "cc");
        return (int8_t)saturated;
    }
#endif
    return clamp_s8(value, s.low, s.high);
}

/* Outputs of four channels from `channel` on; the usual scales and limits are asked for once. */
static BLOCKED_INLINE void blocked_s8_outputs(const int32_t sums[BLOCKED_CHANNELS], blocked_s8_scaling s,
                                              int32_t channel, int8_t *out) {
    if (s.shift == NULL && s.low == INT8_MIN && s.high == INT8_MAX) {
        const blocked_s8_scaling usual = {
            s.multiplier + channel * s.channel_step, NULL, s.channel_step, s.zero_point, INT8_MIN, INT8_MAX};
        /* no store may come between the loads of multipliers, which it might have changed */
        const int8_t a = blocked_s8_output(sums[0], usual, 0), b = blocked_s8_output(sums[1], usual, 1);
        const int8_t c = blocked_s8_output(sums[2], usual, 2), d = blocked_s8_output(sums[3], usual, 3);
        out[0] = a, out[1] = b, out[2] = c, out[3] = d;
        return;
    }
    for (int32_t c = 0; c < BLOCKED_CHANNELS; ++c) {
        out[c] = blocked_s8_output(sums[c], s, channel + c);
    }
}

#endif
