/* What int16 kernels share: scaling of sums of up to 64 bits, and clamps. */
#ifndef PINGPONNX_WIDE_S16_H
#define PINGPONNX_WIDE_S16_H

#include "kernel.h"

/* sum * multiplier * 2^(shift - 31), rounded once, ties upwards; the converter proves that the product fits
 * 63 bits and the result 31. */
static inline int32_t requantize_wide(int64_t sum, int32_t multiplier, int32_t shift) {
    const int32_t total = 31 - shift;
    return (int32_t)((sum * multiplier + ((int64_t)1 << (total - 1))) >> total);
}

/* The same with entry `i` of the tables; a NULL shift table stands for PINGPONNX_PLAIN_SHIFT everywhere. */
static inline int32_t requantize_wide_channel(int64_t sum, const int32_t *multiplier, const int8_t *shift,
                                              int32_t i) {
    return requantize_wide(sum, multiplier[i], shift != NULL ? shift[i] : PINGPONNX_PLAIN_SHIFT);
}

static inline int16_t clamp_s16(int32_t value, int32_t low, int32_t high) {
    return (int16_t)max_s32(low, min_s32(high, value));
}

/* Row pointers of a window whose first row is `first`: NULL above and below the input. */
static inline void window_rows_s16(const int16_t **rows, int32_t count, const int16_t *input, int32_t first,
                                   int32_t in_h, int32_t row_values) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t y = first + i;
        rows[i] = y >= 0 && y < in_h ? input + (ptrdiff_t)y * row_values : NULL;
    }
}

#endif
