/* Accumulators to int8 in the fewest instructions, for layers whose numbers the converter has proven.
 *
 * Under TFLite's rounding these take shifts of -1 and below and accumulators below 2^30 only.
 */
#ifndef PINGPONNX_REQUANTIZE_S8_H
#define PINGPONNX_REQUANTIZE_S8_H

#include "dsp.h"

/* The scale of one channel; `plain` is known when the kernel is compiled. */
typedef struct {
    int32_t multiplier, shift;
    int32_t plain; /* the shift is PINGPONNX_PLAIN_SHIFT */
} scale_s8;

static inline scale_s8 channel_scale_s8(const int32_t *multiplier, const int8_t *shift, int32_t i) {
    const int32_t plain = shift == NULL;
    return (scale_s8){multiplier[i], plain ? PINGPONNX_PLAIN_SHIFT : shift[i], plain};
}

/* The requantized accumulator plus the zero point, not yet clamped. */
static inline int32_t requantize_proven(int32_t acc, scale_s8 scale, int32_t zero_point) {
#if defined(PINGPONNX_ROUNDING_TFLITE) && defined(PINGPONNX_DSP)
    int32_t high;
    /* the carry is the last bit that the shift drops: it rounds upwards, and away from zero below it */
    __asm("smmulr %0, %1, %2\n\t"
          "add %0, %0, %0, asr #31\n\t"
          "asrs %0, %0, %3\n\t"
          "adc %0, %0, %4"
          : "=&r"(high)
          : "r"(acc * 2), "r"(scale.multiplier), "r"(-scale.shift), "r"(zero_point)
          : "cc");
    return high;
#elif defined(PINGPONNX_ROUNDING_TFLITE)
    return requantize(acc, scale.multiplier, scale.shift) + zero_point;
#else
    return scale.plain ? smmlar(acc, scale.multiplier, zero_point)
                       : requantize(acc, scale.multiplier, scale.shift) + zero_point;
#endif
}

/* clamp_s8, in one instruction where the limits are int8's own. */
static inline int8_t saturate_s8(int32_t value, int32_t low, int32_t high) {
    return low == INT8_MIN && high == INT8_MAX ? (int8_t)ssat8(value) : clamp_s8(value, low, high);
}

#endif
