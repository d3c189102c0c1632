/* Sums of int8 products and their scaling on cores with Helium (MVE), and what they mean for everybody else.
 *
 * Output channels come in blocks of four. A block's constants are four biases, in the order 0, 2, 1, 3 in
 * which the sums are made, four multipliers, and under TFLite's rounding four shifts (all <= 0). The bias
 * holds the input's zero point times the sum of the weights, so that values are taken as they are.
 * Weights are rows of `depth` values, `depth` apart, and 16 bytes more, which are read but not used.
 */
#ifndef PINGPONNX_MVE_S8_H
#define PINGPONNX_MVE_S8_H

#include "kernel.h"

#if defined(__ARM_FEATURE_MVE) && defined(PINGPONNX_ALL_REGISTERS)
#define PINGPONNX_MVE 1
#include <arm_mve.h>
typedef int32x4_t mve_s32;
#else
typedef struct {
    int32_t lane[4];
} mve_s32;
#endif

/* Vectors want shapes that the compiler knows; other computers only want the meaning. */
#if defined(PINGPONNX_MVE)
#define MVE_INLINE static inline __attribute__((always_inline))
#else
#define MVE_INLINE static inline __attribute__((unused))
#endif
#if defined(PINGPONNX_MVE) && !defined(PINGPONNX_SHARED_KERNELS)
#define MVE_KERNEL MVE_INLINE
#else
#define MVE_KERNEL KERNEL
#endif

#if defined(PINGPONNX_ROUNDING_TFLITE)
enum { MVE_CONSTANTS = 12 };
#else
enum { MVE_CONSTANTS = 8 };
#endif

#if !defined(PINGPONNX_MVE)
/* bias + sum of products, modulo 2^32, of four channels. */
static inline mve_s32 mve_s8_sums(const int8_t *weights, int32_t apart, int32_t depth, const int8_t *x,
                                  const int32_t *bias) {
    mve_s32 sums;
    for (int32_t c = 0; c < 4; ++c) {
        uint32_t sum = bias == NULL ? 0 : (uint32_t)bias[c == 1 ? 2 : c == 2 ? 1 : c];
        for (int32_t k = 0; k < depth; ++k) {
            sum += (uint32_t)(weights[(ptrdiff_t)c * apart + k] * x[k]);
        }
        sums.lane[c] = (int32_t)sum;
    }
    return sums;
}
#endif

/* The sums of four channels and one value vector; weights are rows that are `apart`. No bias: 0. */
MVE_INLINE mve_s32 mve_s8_dot(const int8_t *weights, int32_t apart, int32_t depth, const int8_t *x,
                              const int32_t *bias) {
#if defined(PINGPONNX_MVE)
    mve_s32 sums;
    const int8_t *w1 = weights + apart, *w2 = w1 + apart, *w3 = w2 + apart;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    if (bias != NULL) {
        a0 = bias[0], a2 = bias[1], a1 = bias[2], a3 = bias[3];
    }
    __asm volatile("dlstp.8 lr, %[depth]\n"
                   "1:\n\t"
                   "vldrb.8 q0, [%[x]], #16\n\t"
                   "vldrb.8 q1, [%[w0]], #16\n\t"
                   "vmladava.s8 %[a0], q0, q1\n\t"
                   "vldrb.8 q2, [%[w1]], #16\n\t"
                   "vmladava.s8 %[a1], q0, q2\n\t"
                   "vldrb.8 q3, [%[w2]], #16\n\t"
                   "vmladava.s8 %[a2], q0, q3\n\t"
                   "vldrb.8 q1, [%[w3]], #16\n\t"
                   "vmladava.s8 %[a3], q0, q1\n\t"
                   "letp lr, 1b\n\t"
                   "vmov %q[sums][2], %q[sums][0], %[a0], %[a2]\n\t"
                   "vmov %q[sums][3], %q[sums][1], %[a1], %[a3]"
                   : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3), [w0] "+r"(weights),
                     [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [x] "+r"(x), [sums] "=w"(sums)
                   : [depth] "r"(depth)
                   : "q0", "q1", "q2", "q3", "lr", "memory");
    return sums;
#else
    return mve_s8_sums(weights, apart, depth, x, bias);
#endif
}

/* Two channels, two value vectors: loads and multiplications alternate, for neighbours that use different
 * units overlap. The next weights of the first channel are loaded ahead.
 */
#define MVE_PAIR(low, high)                                                                                  \
    "ldrd %[a0], %[a1], [%[c]], #8\n\t"                                                                      \
    "vldrb.8 q0, [%[w0]], #16\n\t"                                                                           \
    "mov %[b0], %[a0]\n\t"                                                                                   \
    "mov %[b1], %[a1]\n\t"                                                                                   \
    "dlstp.8 lr, %[depth]\n"                                                                                 \
    "1:\n\t"                                                                                                 \
    "vldrb.8 q2, [%[x0]], #16\n\t"                                                                           \
    "vmladava.s8 %[a0], q0, q2\n\t"                                                                          \
    "vldrb.8 q3, [%[x1]], #16\n\t"                                                                           \
    "vmladava.s8 %[b0], q0, q3\n\t"                                                                          \
    "vldrb.8 q1, [%[w1]], #16\n\t"                                                                           \
    "vmladava.s8 %[a1], q1, q2\n\t"                                                                          \
    "vldrb.8 q0, [%[w0]], #16\n\t"                                                                           \
    "vmladava.s8 %[b1], q1, q3\n\t"                                                                          \
    "letp lr, 1b\n\t"                                                                                        \
    "vmov %q[s0][" #high "], %q[s0][" #low "], %[a0], %[a1]\n\t"

/* The sums of four channels and two value vectors; weights are rows that are `apart`. */
MVE_INLINE void mve_s8_dot2(const int8_t *weights, int32_t apart, int32_t depth, const int8_t *x0,
                            const int8_t *x1, const int32_t *constants, mve_s32 *sums0, mve_s32 *sums1) {
#if defined(PINGPONNX_MVE)
    mve_s32 s0, s1;
    int32_t a0, a1, b0, b1;
    const int8_t *w0 = weights, *w1 = weights + 2 * apart;
    const int8_t *y0 = x0, *y1 = x1;
    __asm volatile(
        MVE_PAIR(0, 2) "vmov %q[s1][2], %q[s1][0], %[b0], %[b1]"
        : [a0] "=&Te"(a0), [a1] "=&Te"(a1), [b0] "=&Te"(b0), [b1] "=&Te"(b1), [w0] "+r"(w0), [w1] "+r"(w1),
          [x0] "+r"(y0), [x1] "+r"(y1), [c] "+r"(constants), [s0] "=w"(s0), [s1] "=w"(s1)
        : [depth] "r"(depth)
        : "q0", "q1", "q2", "q3", "lr", "memory");
    w0 = weights + apart, w1 = weights + 3 * apart;
    __asm volatile(
        MVE_PAIR(1, 3) "vmov %q[s1][3], %q[s1][1], %[b0], %[b1]"
        : [a0] "=&Te"(a0), [a1] "=&Te"(a1), [b0] "=&Te"(b0), [b1] "=&Te"(b1), [w0] "+r"(w0), [w1] "+r"(w1),
          [x0] "+r"(x0), [x1] "+r"(x1), [c] "+r"(constants), [s0] "+w"(s0), [s1] "+w"(s1)
        : [depth] "r"(depth)
        : "q0", "q1", "q2", "q3", "lr", "memory");
    *sums0 = s0, *sums1 = s1;
#else
    *sums0 = mve_s8_sums(weights, apart, depth, x0, constants);
    *sums1 = mve_s8_sums(weights, apart, depth, x1, constants);
#endif
}

/* Four sums in the order in which a block's constants have them. */
MVE_INLINE mve_s32 mve_s8_ordered(const int32_t *sums) {
#if defined(PINGPONNX_MVE)
    mve_s32 ordered = vuninitializedq_s32();
    __asm volatile("vmov %q[ordered][2], %q[ordered][0], %[s0], %[s1]\n\t"
                   "vmov %q[ordered][3], %q[ordered][1], %[s2], %[s3]"
                   : [ordered] "+w"(ordered)
                   : [s0] "r"(sums[0]), [s1] "r"(sums[1]), [s2] "r"(sums[2]), [s3] "r"(sums[3]));
    return ordered;
#else
    return (mve_s32){{sums[0], sums[2], sums[1], sums[3]}};
#endif
}

/* The sums of four channels and one value everywhere. */
MVE_INLINE mve_s32 mve_s8_dot_value(const int8_t *weights, int32_t apart, int32_t depth, int32_t value) {
    mve_s32 sums;
#if defined(PINGPONNX_MVE)
    const int8_t *w1 = weights + apart, *w2 = w1 + apart, *w3 = w2 + apart;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    __asm volatile("vdup.8 q0, %[value]\n\t"
                   "wlstp.8 lr, %[depth], 2f\n"
                   "1:\n\t"
                   "vldrb.8 q1, [%[w0]], #16\n\t"
                   "vmladava.s8 %[a0], q0, q1\n\t"
                   "vldrb.8 q2, [%[w1]], #16\n\t"
                   "vmladava.s8 %[a1], q0, q2\n\t"
                   "vldrb.8 q3, [%[w2]], #16\n\t"
                   "vmladava.s8 %[a2], q0, q3\n\t"
                   "vldrb.8 q1, [%[w3]], #16\n\t"
                   "vmladava.s8 %[a3], q0, q1\n\t"
                   "letp lr, 1b\n"
                   "2:\n\t"
                   "vmov %q[sums][2], %q[sums][0], %[a0], %[a2]\n\t"
                   "vmov %q[sums][3], %q[sums][1], %[a1], %[a3]"
                   : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3), [w0] "+r"(weights),
                     [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [sums] "=w"(sums)
                   : [depth] "r"(depth), [value] "r"(value)
                   : "q0", "q1", "q2", "q3", "lr", "memory");
#else
    for (int32_t c = 0; c < 4; ++c) {
        uint32_t sum = 0;
        for (int32_t k = 0; k < depth; ++k) {
            sum += (uint32_t)(weights[(ptrdiff_t)c * apart + k] * value);
        }
        sums.lane[c] = (int32_t)sum;
    }
#endif
    return sums;
}

MVE_INLINE mve_s32 mve_s8_max(mve_s32 a, mve_s32 b) {
#if defined(PINGPONNX_MVE)
    return vmaxq_s32(a, b);
#else
    for (int32_t i = 0; i < 4; ++i) {
        a.lane[i] = max_s32(a.lane[i], b.lane[i]);
    }
    return a;
#endif
}

/* a + b modulo 2^32. */
MVE_INLINE mve_s32 mve_s8_add(mve_s32 a, mve_s32 b) {
#if defined(PINGPONNX_MVE)
    return vaddq_s32(a, b);
#else
    for (int32_t i = 0; i < 4; ++i) {
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]);
    }
    return a;
#endif
}

MVE_INLINE mve_s32 mve_s8_get(const int32_t *from) {
#if defined(PINGPONNX_MVE)
    return vldrwq_s32(from);
#else
    mve_s32 values;
    memcpy(&values, from, sizeof values);
    return values;
#endif
}

MVE_INLINE void mve_s8_put(int32_t *to, mve_s32 values) {
#if defined(PINGPONNX_MVE)
    vstrwq_s32(to, values);
#else
    memcpy(to, &values, sizeof values);
#endif
}

#if defined(PINGPONNX_MVE)
/* Four sums scaled, where the shifts are plain under single rounding, or <= 0 under TFLite's. */
MVE_INLINE mve_s32 mve_s8_scale(mve_s32 sums, const int32_t *constants) {
    const int32x4_t multiplier = vldrwq_s32(constants + 4);
#if defined(PINGPONNX_ROUNDING_TFLITE)
    /* halves away from zero: one less if negative, unless nothing is shifted out */
    const int32x4_t shift = vldrwq_s32(constants + 8);
    sums = vqrdmulhq_s32(sums, multiplier);
    return vrshlq_s32(vaddq_s32(sums, vshrq_n_s32(vandq_s32(sums, shift), 31)), shift);
#else
    return vrmulhq_s32(sums, multiplier);
#endif
}
#endif

/* Four sums as outputs. */
MVE_INLINE mve_s32 mve_s8_requantize(mve_s32 sums, const int32_t *constants, int32_t zero_point, int32_t low,
                                     int32_t high) {
#if defined(PINGPONNX_MVE)
    sums = vaddq_n_s32(mve_s8_scale(sums, constants), zero_point);
    return vminq_s32(vmaxq_s32(sums, vdupq_n_s32(low)), vdupq_n_s32(high));
#else
    for (int32_t i = 0; i < 4; ++i) {
        const int32_t shift = MVE_CONSTANTS == 12 ? constants[MVE_CONSTANTS - 4 + i] : PINGPONNX_PLAIN_SHIFT;
        sums.lane[i] = clamp_s8(requantize(sums.lane[i], constants[4 + i], shift) + zero_point, low, high);
    }
    return sums;
#endif
}

/* Stores the first `count` of four outputs. */
MVE_INLINE void mve_s8_store(int8_t *to, mve_s32 values, int32_t count) {
#if defined(PINGPONNX_MVE)
    if (count >= 4) {
        vstrbq_s32(to, values);
        return;
    }
    /* gcc moves the predicates of intrinsics to and fro */
    __asm volatile("vctp.32 %[count]\n\t"
                   "vpst\n\t"
                   "vstrbt.32 %q[values], [%[to]]"
                   :
                   : [count] "r"(count), [values] "w"(values), [to] "l"(to)
                   : "p0", "memory");
#else
    for (int32_t i = 0; i < min_s32(count, 4); ++i) {
        to[i] = (int8_t)values.lane[i];
    }
#endif
}

/* The first `count` of four int8 values; others are anything. */
MVE_INLINE mve_s32 mve_s8_load(const int8_t *from, int32_t count) {
#if defined(PINGPONNX_MVE)
    mve_s32 values;
    if (count >= 4) { /* volatile: gcc 12 has been seen to make wrong code of a choice between vectors */
        __asm volatile("vldrb.s32 %q[values], [%[from]]"
                       : [values] "=w"(values)
                       : [from] "l"(from)
                       : "memory");
        return values;
    }
    __asm volatile("vctp.32 %[count]\n\t"
                   "vpst\n\t"
                   "vldrbt.s32 %q[values], [%[from]]"
                   : [values] "=w"(values)
                   : [count] "r"(count), [from] "l"(from)
                   : "p0", "memory");
    return values;
#else
    mve_s32 values = {{0}};
    for (int32_t i = 0; i < min_s32(count, 4); ++i) {
        values.lane[i] = from[i];
    }
    return values;
#endif
}

MVE_INLINE void mve_s8_copy(int8_t *to, const int8_t *from, int32_t count) {
#if defined(PINGPONNX_MVE)
    __asm volatile("wlstp.8 lr, %[count], 2f\n"
                   "1:\n\t"
                   "vldrb.8 q0, [%[from]], #16\n\t"
                   "vstrb.8 q0, [%[to]], #16\n\t"
                   "letp lr, 1b\n"
                   "2:"
                   : [from] "+r"(from), [to] "+r"(to)
                   : [count] "r"(count)
                   : "q0", "lr", "memory");
#else
    memcpy(to, from, (size_t)count);
#endif
}

MVE_INLINE void mve_s8_fill(int8_t *to, int32_t value, int32_t count) {
#if defined(PINGPONNX_MVE)
    __asm volatile("vdup.8 q0, %[value]\n\t"
                   "wlstp.8 lr, %[count], 2f\n"
                   "1:\n\t"
                   "vstrb.8 q0, [%[to]], #16\n\t"
                   "letp lr, 1b\n"
                   "2:"
                   : [to] "+r"(to)
                   : [count] "r"(count), [value] "r"(value)
                   : "q0", "lr", "memory");
#else
    memset(to, value, (size_t)count);
#endif
}

#endif
