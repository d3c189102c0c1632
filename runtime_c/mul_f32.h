/* a * b, broadcast, with a fused clamp. */
#ifndef PINGPONNX_MUL_F32_H
#define PINGPONNX_MUL_F32_H

#include "binary.h"

static inline float mul_f32_value(const binary_params_f32 *p, float a, float b) {
    return clamp_f32(a * b, p->low, p->high);
}

PINGPONNX_BINARY(mul_f32, binary_params_f32, float)

#endif
