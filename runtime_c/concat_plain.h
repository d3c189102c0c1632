/* Concatenation of plain numbers: `blocks[i]` values of input i for each index before the axis. */
#ifndef PINGPONNX_CONCAT_PLAIN_H
#define PINGPONNX_CONCAT_PLAIN_H

#include "concat_params.h"

#define PINGPONNX_CONCAT(s, t)                                                                               \
    KERNEL void concat_##s(const concat_params *p, const t *const *inputs, const int32_t *blocks,            \
                           t *output) {                                                                      \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t i = 0; i < p->inputs; ++i) {                                                        \
                /* a block may be moved onto itself, see concat.py */                                        \
                memmove(output, inputs[i] + (ptrdiff_t)o * blocks[i], (size_t)blocks[i] * sizeof *output);   \
                output += blocks[i];                                                                         \
            }                                                                                                \
        }                                                                                                    \
    }

PINGPONNX_CONCAT(f64, double)
PINGPONNX_CONCAT(u8, uint8_t)
PINGPONNX_CONCAT(s16, int16_t)
PINGPONNX_CONCAT(u16, uint16_t)
PINGPONNX_CONCAT(s32, int32_t)
PINGPONNX_CONCAT(u32, uint32_t)
PINGPONNX_CONCAT(s64, int64_t)
PINGPONNX_CONCAT(u64, uint64_t)
PINGPONNX_CONCAT(bool, uint8_t)

#undef PINGPONNX_CONCAT

#endif
