/* Codes under another scale and zero point, clipped, where one of both is int16. */
#ifndef PINGPONNX_RESCALE_H
#define PINGPONNX_RESCALE_H

#include "wide_s16.h"

typedef struct {
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t multiplier, shift;
} rescale_params;

#define PINGPONNX_RESCALE(from, to, input_type, output_type)                                                 \
    KERNEL void rescale_##from##_##to(int32_t count, const rescale_params *p, const input_type *input,       \
                                      output_type *output) {                                                 \
        for (int32_t i = 0; i < count; ++i) {                                                                \
            const int32_t y = requantize_wide(input[i] - p->input_zero_point, p->multiplier, p->shift);      \
            output[i] = (output_type)max_s32(p->low, min_s32(p->high, y + p->output_zero_point));            \
        }                                                                                                    \
    }

PINGPONNX_RESCALE(s16, s16, int16_t, int16_t)
PINGPONNX_RESCALE(s8, s16, int8_t, int16_t)
PINGPONNX_RESCALE(s16, s8, int16_t, int8_t)

#undef PINGPONNX_RESCALE

#endif
