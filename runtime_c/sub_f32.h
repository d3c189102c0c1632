/* a - b, broadcast, with a fused clamp. */
#ifndef PINGPONNX_SUB_F32_H
#define PINGPONNX_SUB_F32_H

#include "binary.h"

static inline float sub_f32_value(const binary_params_f32 *p, float a, float b) {
    return clamp_f32(a - b, p->low, p->high);
}

PINGPONNX_BINARY(sub_f32, binary_params_f32, float)

#endif
