/* Sums of packed weights (packed_s8.h) to outputs. */
#ifndef PINGPONNX_PACKED_OUTPUTS_S8_H
#define PINGPONNX_PACKED_OUTPUTS_S8_H

#include "packed_s8.h"

/* The accumulator of one of a block's channels. */
PACKED_INLINE int32_t packed_s8_accumulator(const int32_t *sums, int32_t channel, int32_t pixel) {
    const int32_t *sum = sums + 4 * (channel / 2) + pixel;
    if (channel % 2 == 0) {
        return sum[0];
    }
    return (int32_t)((uint32_t)sum[2] - (uint32_t)sum[0]) >> 8;
}

#if defined(PINGPONNX_ROUNDING_TFLITE)
enum { PACKED_SCALE_WORDS = 2 };
#else
enum { PACKED_SCALE_WORDS = 1 };
#endif

/* How one of `channels` is scaled: the stream's next words are their multipliers, and under TFLite's rounding
 * then how far they shift to the right; else the shift is plain.
 */
PACKED_INLINE scale_s8 packed_s8_scale_of(const uint32_t *stream, int32_t channels, int32_t channel) {
    scale_s8 scale = {(int32_t)stream[channel], PINGPONNX_PLAIN_SHIFT, PACKED_SCALE_WORDS == 1};
    if (PACKED_SCALE_WORDS == 2) {
        scale.shift = -(int32_t)stream[channels + channel];
    }
    return scale;
}

/* How four channels are scaled. Loads stand together, for that is what the Cortex-M4 pipelines. */
PACKED_INLINE void packed_s8_scales(const uint32_t *stream, scale_s8 *scales) {
#if defined(PACKED_4X2)
    for (int32_t i = 0; i < PACKED_SCALE_WORDS; ++i) {
        int32_t a, b, c, d;
        __asm("ldr %0, [%4, #0]\n\tldr %1, [%4, #4]\n\tldr %2, [%4, #8]\n\tldr %3, [%4, #12]"
              : "=&r"(a), "=&r"(b), "=&r"(c), "=r"(d)
              : "r"(stream + 4 * i), "m"(*(const uint32_t (*)[4 * PACKED_SCALE_WORDS]) stream));
        const int32_t words[4] = {a, b, c, d};
#pragma GCC unroll 4
        for (int32_t channel = 0; channel < 4; ++channel) {
            if (i == 0) {
                scales[channel] = (scale_s8){words[channel], PINGPONNX_PLAIN_SHIFT, PACKED_SCALE_WORDS == 1};
            } else {
                scales[channel].shift = -words[channel];
            }
        }
    }
#else
    for (int32_t channel = 0; channel < 4; ++channel) {
        scales[channel] = packed_s8_scale_of(stream, 4, channel);
    }
#endif
}

/* Outputs of one pixel from its sums: `count` of a block's channels. */
PACKED_INLINE void packed_s8_outputs(const uint32_t *stream, int32_t pairs, int32_t count, const int32_t *sum,
                                     int32_t zero, int8_t *outputs) {
    scale_s8 scales[4];
    if (pairs == 2) {
        packed_s8_scales(stream, scales);
    }
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        const scale_s8 scale = pairs == 2 ? scales[c] : packed_s8_scale_of(stream, 2, c);
        outputs[c] = (int8_t)ssat8(requantize_proven(sum[c], scale, zero));
    }
}

#endif
