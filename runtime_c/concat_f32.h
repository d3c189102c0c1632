/* float32 concatenation: `blocks[i]` values of input i for each index before the axis. */
#ifndef PINGPONNX_CONCAT_F32_H
#define PINGPONNX_CONCAT_F32_H

#include "concat_params.h"

KERNEL void concat_f32(const concat_params *p, const float *const *inputs, const int32_t *blocks,
                       float *output) {
    for (int32_t o = 0; o < p->outer; ++o) {
        for (int32_t i = 0; i < p->inputs; ++i) {
            /* a block may be moved onto itself, see concat.py */
            memmove(output, inputs[i] + (ptrdiff_t)o * blocks[i], (size_t)blocks[i] * sizeof *output);
            output += blocks[i];
        }
    }
}

#endif
