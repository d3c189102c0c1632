/* ONNX QuantizeLinear and DequantizeLinear, per tensor. */
#ifndef PINGPONNX_QUANTIZE_S8_H
#define PINGPONNX_QUANTIZE_S8_H

#include "kernel.h"

typedef struct {
    int32_t count;
    float scale;
    int32_t zero_point;
} quantize_params;

/* Round half to even: adding and subtracting 1.5 * 2^23 leaves no fraction bits of |x| < 2^22. */
static inline int8_t quantize_value_s8(float real, float scale, int32_t zero_point) {
    const float steps = real / scale;
    /* NaN is not above -512: it becomes the smallest code, and the cast below stays defined */
    const float limited = steps > -512.0f ? (steps < 512.0f ? steps : 512.0f) : -512.0f;
    volatile float shifted = limited + 12582912.0f; /* volatile: the sum must be rounded to float here */
    return clamp_s8((int32_t)(shifted - 12582912.0f) + zero_point, -128, 127);
}

KERNEL void quantize_s8(const quantize_params *p, const float *input, int8_t *output) {
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = quantize_value_s8(input[i], p->scale, p->zero_point);
    }
}

KERNEL void dequantize_s8(const quantize_params *p, const int8_t *input, float *output) {
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = (float)(input[i] - p->zero_point) * p->scale;
    }
}

#endif
