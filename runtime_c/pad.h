/* Padding of up to five axes; an input that is NULL stands for one that is all constant. A row is moved
 * before the padding around it is written, for it may lie there, see pad.py. */
#ifndef PINGPONNX_PAD_H
#define PINGPONNX_PAD_H

#include "pad_params.h"

#define PINGPONNX_PAD(s, t)                                                                                  \
    static inline t *pad_##s##_fill(const pad_params_##s *p, t *output, int32_t blocks) {                    \
        for (int32_t i = 0; i < blocks * p->block; ++i) {                                                    \
            *output++ = (t)p->value;                                                                         \
        }                                                                                                    \
        return output;                                                                                       \
    }                                                                                                        \
                                                                                                             \
    /* Output indices `begin` to `end` of the last axis that lie outside the input `row`. */                 \
    static inline t *pad_##s##_outside(const pad_params_##s *p, const t *row, t *output, int32_t begin,      \
                                       int32_t end) {                                                        \
        if (p->mode == PAD_CONSTANT) {                                                                       \
            return pad_##s##_fill(p, output, end - begin);                                                   \
        }                                                                                                    \
        for (int32_t i = begin; i < end; ++i) {                                                              \
            const int32_t source = pad_source(i, p->before[4], p->in[4], p->mode);                           \
            memcpy(output, row + (ptrdiff_t)source * p->block, (size_t)p->block * sizeof *output);           \
            output += p->block;                                                                              \
        }                                                                                                    \
        return output;                                                                                       \
    }                                                                                                        \
                                                                                                             \
    /* One output row along the last axis; a NULL input row is all constant. */                              \
    static inline t *pad_##s##_row(const pad_params_##s *p, const t *row, t *output) {                       \
        if (row == NULL) {                                                                                   \
            return pad_##s##_fill(p, output, p->out[4]);                                                     \
        }                                                                                                    \
        const int32_t begin = max_s32(0, p->before[4]);                                                      \
        const int32_t end = min_s32(p->out[4], p->in[4] + p->before[4]);                                     \
        const size_t values = (size_t)(end - begin) * (size_t)p->block;                                      \
        memmove(output + (ptrdiff_t)begin * p->block, row + (ptrdiff_t)(begin - p->before[4]) * p->block,    \
                values * sizeof *output);                                                                    \
        pad_##s##_outside(p, row, output, 0, begin);                                                         \
        return pad_##s##_outside(p, row, output + (ptrdiff_t)end * p->block, end, p->out[4]);                \
    }                                                                                                        \
                                                                                                             \
    KERNEL void pad_##s(const pad_params_##s *p, const t *input, t *output) {                                \
        int32_t i[4];                                                                                        \
        for (i[0] = 0; i[0] < p->out[0]; ++i[0]) {                                                           \
            for (i[1] = 0; i[1] < p->out[1]; ++i[1]) {                                                       \
                for (i[2] = 0; i[2] < p->out[2]; ++i[2]) {                                                   \
                    for (i[3] = 0; i[3] < p->out[3]; ++i[3]) {                                               \
                        ptrdiff_t row = 0;                                                                   \
                        for (int32_t axis = 0; axis < 4; ++axis) {                                           \
                            const int32_t source =                                                           \
                                pad_source(i[axis], p->before[axis], p->in[axis], p->mode);                  \
                            row = row < 0 || source < 0 ? -1 : row * p->in[axis] + source;                   \
                        }                                                                                    \
                        const ptrdiff_t values = (ptrdiff_t)p->in[4] * p->block;                             \
                        output = pad_##s##_row(p, row < 0 || input == NULL ? NULL : input + row * values,    \
                                               output);                                                      \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

#endif
