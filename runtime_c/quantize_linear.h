/* ONNX QuantizeLinear and DequantizeLinear with scales and zero points that are tensors: one in all, one per
 * index of an axis, or one per block of it; between float and integers of any kind. */
#ifndef PINGPONNX_QUANTIZE_LINEAR_H
#define PINGPONNX_QUANTIZE_LINEAR_H

#include "kernel.h"

/* The values are `outer axis inner`; value (o, k, i) has scale o * outer_step + k / block * axis_step +
 * i * inner_step. */
typedef struct {
    int32_t outer;
    int32_t axis;
    int32_t inner;
    int32_t block;
    int32_t outer_step;
    int32_t axis_step;
    int32_t inner_step;
} quantize_linear_params;

static inline float quantize_linear_value(float real, float scale, int32_t zero_point, float low,
                                          float high) {
    const float steps = real / scale;
    /* NaN is not above the limit: it becomes the smallest code; rintf rounds half to even */
    const float limited = steps > -131072.0f ? (steps < 131072.0f ? steps : 131072.0f) : -131072.0f;
    const float code = rintf(limited) + (float)zero_point;
    return code < low ? low : (code > high ? high : code);
}

#define FOR_EACH_VALUE(p, value, at)                                                                         \
    for (int32_t o = 0, value = 0; o < (p)->outer; ++o)                                                      \
        for (int32_t k = 0; k < (p)->axis; ++k)                                                              \
            for (int32_t i = 0, at = o * (p)->outer_step + k / (p)->block * (p)->axis_step; i < (p)->inner;  \
                 ++i, ++value, at += (p)->inner_step)

#define QUANTIZE_LINEAR(name, type, low, high)                                                               \
    KERNEL void quantize_linear_##name(const quantize_linear_params *p, const float *input,                  \
                                       const float *scale, const type *zero_point, type *output) {           \
        FOR_EACH_VALUE(p, v, at) {                                                                           \
            const int32_t zero = zero_point == NULL ? 0 : (int32_t)zero_point[at];                           \
            output[v] = (type)quantize_linear_value(input[v], scale[at], zero, low, high);                   \
        }                                                                                                    \
    }

#define DEQUANTIZE_LINEAR(name, type)                                                                        \
    KERNEL void dequantize_linear_##name(const quantize_linear_params *p, const type *input,                 \
                                         const float *scale, const type *zero_point, float *output) {        \
        FOR_EACH_VALUE(p, v, at) {                                                                           \
            const int32_t zero = zero_point == NULL ? 0 : (int32_t)zero_point[at];                           \
            output[v] = (float)((int32_t)input[v] - zero) * scale[at];                                       \
        }                                                                                                    \
    }

QUANTIZE_LINEAR(s8, int8_t, -128.0f, 127.0f)
QUANTIZE_LINEAR(u8, uint8_t, 0.0f, 255.0f)
QUANTIZE_LINEAR(s16, int16_t, -32768.0f, 32767.0f)
QUANTIZE_LINEAR(u16, uint16_t, 0.0f, 65535.0f)
DEQUANTIZE_LINEAR(s8, int8_t)
DEQUANTIZE_LINEAR(u8, uint8_t)
DEQUANTIZE_LINEAR(s16, int16_t)
DEQUANTIZE_LINEAR(u16, uint16_t)
DEQUANTIZE_LINEAR(s32, int32_t)

#endif
