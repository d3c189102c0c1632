/* float32 x * scale + shift per channel, with a fused clamp. May run in place. */
#ifndef PINGPONNX_SCALE_SHIFT_F32_H
#define PINGPONNX_SCALE_SHIFT_F32_H

#include "kernel.h"

typedef struct {
    int32_t pixels, channels;
    float low, high;
} scale_shift_params_f32;

KERNEL void scale_shift_f32(const scale_shift_params_f32 *p, const float *input, const float *scale,
                            const float *shift, float *output) {
    for (int32_t i = 0; i < p->pixels; ++i) {
        for (int32_t c = 0; c < p->channels; ++c) {
            *output++ = clamp_f32(*input++ * scale[c] + shift[c], p->low, p->high);
        }
    }
}

#endif
