/* ONNX QuantizeLinear and DequantizeLinear of 16-bit codes, per tensor. */
#ifndef PINGPONNX_QUANTIZE_S16_H
#define PINGPONNX_QUANTIZE_S16_H

#include "quantize_s8.h"
#include "wide_s16.h"

/* As quantize_value_s8: more than 2^17 steps are beyond every code, whatever the zero point. */
static inline int16_t quantize_value_s16(float real, float scale, int32_t zero_point) {
    const float steps = real / scale;
    const float limited = steps > -131072.0f ? (steps < 131072.0f ? steps : 131072.0f) : -131072.0f;
    volatile float shifted = limited + 12582912.0f; /* volatile: the sum must be rounded to float here */
    return clamp_s16((int32_t)(shifted - 12582912.0f) + zero_point, INT16_MIN, INT16_MAX);
}

KERNEL void quantize_s16(const quantize_params *p, const float *input, int16_t *output) {
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = quantize_value_s16(input[i], p->scale, p->zero_point);
    }
}

KERNEL void dequantize_s16(const quantize_params *p, const int16_t *input, float *output) {
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = (float)(input[i] - p->zero_point) * p->scale;
    }
}

#endif
