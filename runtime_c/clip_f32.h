/* min(max(x, low), high). In place is safe. */
#ifndef PINGPONNX_CLIP_F32_H
#define PINGPONNX_CLIP_F32_H

#include "kernel.h"

KERNEL void clip_f32(int32_t count, float low, float high, const float *input, float *output) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = clamp_f32(input[i], low, high);
    }
}

#endif
