/* 1 / (1 + exp(-x)). In place is safe. */
#ifndef PINGPONNX_SIGMOID_F32_H
#define PINGPONNX_SIGMOID_F32_H

#include "kernel.h"

KERNEL void sigmoid_f32(int32_t count, const float *input, float *output) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = 1.0f / (1.0f + expf(-input[i]));
    }
}

#endif
