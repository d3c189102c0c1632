/* a + b of int8 tensors of one shape: the values of add_s8.h in fewer instructions.
 *
 * With 20 more bits the operand of the larger scale, a, is halved, which is exact. The other one's
 * requantization is one rounding multiplication of b, shifted left so that 32 bits are dropped. Where shifts
 * drop more, the high word of the product is rounded: floor(floor(x / 2^32 + 2^(r - 1)) / 2^r) is one
 * rounding.
 */
#ifndef PINGPONNX_ADD_FAST_S8_H
#define PINGPONNX_ADD_FAST_S8_H

#include "requantize_s8.h"

typedef struct {
    int32_t count;
    int32_t zero_a, zero_b, zero_y, low, high;
    int32_t multiplier_b, shift_b, multiplier_y, shift_y;
} add_fast_params_s8;

/* What the values are calculated with, in registers. */
typedef struct {
    int32_t zero_a, zero_b; /* as they are subtracted */
    int32_t power_b, multiplier_b, multiplier_y;
    int32_t rounding, right; /* of the sum's high word, with the zero point */
} add_fast_numbers;

static inline int32_t add_fast_value(const add_fast_params_s8 *p, const add_fast_numbers *n, int32_t a,
                                     int32_t b) {
    const int32_t wide_a = a * (1 << 19) + n->zero_a;
    const int32_t shifted_b = b * n->power_b + n->zero_b;
#if defined(PINGPONNX_ROUNDING_TFLITE)
    const scale_s8 scale_b = {p->multiplier_b, p->shift_b, 0}, scale_y = {p->multiplier_y, p->shift_y, 0};
    const int32_t value =
        requantize_proven(requantize_proven(shifted_b, scale_b, wide_a), scale_y, p->zero_y);
#else
    const int32_t sum = smmlar(shifted_b, n->multiplier_b, wide_a);
    const int32_t value = smmla(sum, n->multiplier_y, n->rounding) >> n->right;
#endif
    return saturate_s8(value, p->low, p->high);
}

KERNEL void add_fast_s8(const add_fast_params_s8 *p, const int8_t *a, const int8_t *b, int8_t *output) {
#if defined(PINGPONNX_ROUNDING_TFLITE)
    const int32_t left = 20, right = 0; /* requantize_proven shifts right and rounds */
#else
    const int32_t left = 21 + p->shift_b, right = -p->shift_y - 1;
#endif
    const add_fast_numbers n = {.zero_a = -p->zero_a * (1 << 19),
                                .zero_b = -p->zero_b * (1 << left),
                                .power_b = 1 << left,
                                .multiplier_b = p->multiplier_b,
                                .multiplier_y = p->multiplier_y,
                                .rounding = p->zero_y * (1 << right) + (1 << right >> 1),
                                .right = right};
    int32_t i = p->count;
    for (; i >= 4; i -= 4, a += 4, b += 4, output += 4) {
        const uint32_t x = load_u32(a), y = load_u32(b);
        const int32_t y0 = add_fast_value(p, &n, (int8_t)(x & 0xFFu), (int8_t)(y & 0xFFu));
        const int32_t y1 = add_fast_value(p, &n, (int8_t)(x >> 8 & 0xFFu), (int8_t)(y >> 8 & 0xFFu));
        const int32_t y2 = add_fast_value(p, &n, (int8_t)(x >> 16 & 0xFFu), (int8_t)(y >> 16 & 0xFFu));
        const int32_t y3 = add_fast_value(p, &n, (int8_t)(x >> 24), (int8_t)(y >> 24));
        output[0] = (int8_t)y0, output[1] = (int8_t)y1, output[2] = (int8_t)y2, output[3] = (int8_t)y3;
    }
    for (; i > 0; --i) {
        *output++ = (int8_t)add_fast_value(p, &n, *a++, *b++);
    }
}

#endif
