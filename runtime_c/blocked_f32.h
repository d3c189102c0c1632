/* Sums of float32 products for cores with an FPU: four output channels of up to two pixels at once, so that
 * activations and weights are loaded once for several products.
 *
 * Weights are `oc/4 taps 4`, channels filled up with zeros. Every sum adds its products in the order of the
 * plain kernels, which makes the results the same to the bit.
 */
#ifndef PINGPONNX_BLOCKED_F32_H
#define PINGPONNX_BLOCKED_F32_H

#include "kernel.h"

#define BLOCKED_CHANNELS 4

/* Sums stay in registers only in the function that has them. */
#if defined(__GNUC__)
#define BLOCKED_INLINE inline __attribute__((always_inline))
#define BLOCKED_UNROLL _Pragma("GCC unroll 4")
#else
#define BLOCKED_INLINE inline
#define BLOCKED_UNROLL
#endif

/* sums[c] += in[k] * w[k][c] of `count` taps. */
static BLOCKED_INLINE void blocked_f32_run(float sums[BLOCKED_CHANNELS], const float *in, const float *w,
                                           int32_t count) {
    float a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    BLOCKED_UNROLL
    for (int32_t k = 0; k < count; ++k, w += BLOCKED_CHANNELS) {
        const float x = in[k];
        a += x * w[0];
        b += x * w[1];
        c += x * w[2];
        d += x * w[3];
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* The same for a second pixel, whose activations lie `step` values further and sums behind the first's. */
static BLOCKED_INLINE void blocked_f32_pair(float sums[2 * BLOCKED_CHANNELS], const float *in, int32_t step,
                                            const float *w, int32_t count) {
    const float *in2 = in + step;
    float a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    float e = sums[4], f = sums[5], g = sums[6], h = sums[7];
    BLOCKED_UNROLL
    for (int32_t k = 0; k < count; ++k, w += BLOCKED_CHANNELS) {
        const float x = in[k], y = in2[k];
        const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
        a += x * w0;
        b += x * w1;
        c += x * w2;
        d += x * w3;
        e += y * w0;
        f += y * w1;
        g += y * w2;
        h += y * w3;
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    sums[4] = e, sums[5] = f, sums[6] = g, sums[7] = h;
}

#endif
