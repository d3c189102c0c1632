/* Hyperbolic tangent. In place is safe. */
#ifndef PINGPONNX_TANH_F32_H
#define PINGPONNX_TANH_F32_H

#include "kernel.h"

KERNEL void tanh_f32(int32_t count, const float *input, float *output) {
    for (int32_t i = 0; i < count; ++i) {
        output[i] = tanhf(input[i]);
    }
}

#endif
