/* x for positive values, alpha * x for negative ones. In place is safe. */
#ifndef PINGPONNX_LEAKYRELU_F32_H
#define PINGPONNX_LEAKYRELU_F32_H

#include "kernel.h"

KERNEL void leakyrelu_f32(int32_t count, float alpha, const float *input, float *output) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = input[i] < 0.0f ? alpha * input[i] : input[i];
    }
}

#endif
