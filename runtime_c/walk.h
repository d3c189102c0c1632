/* Copies values of any size that lie in fixed steps along up to six axes. */
#ifndef PINGPONNX_WALK_H
#define PINGPONNX_WALK_H

#include "kernel.h"

typedef struct {
    int32_t shape[6]; /* of the output */
    int32_t step[6];  /* of the input, in values, along each axis of the output */
    int32_t start;
} walk_params;

#define PINGPONNX_WALK(name, type)                                                                           \
    KERNEL void name(const walk_params *p, const void *input, void *output) {                                \
        const type *const first = (const type *)input + p->start;                                            \
        type *out = (type *)output;                                                                          \
        for (int32_t a = 0; a < p->shape[0]; ++a) {                                                          \
            for (int32_t b = 0; b < p->shape[1]; ++b) {                                                      \
                for (int32_t c = 0; c < p->shape[2]; ++c) {                                                  \
                    for (int32_t d = 0; d < p->shape[3]; ++d) {                                              \
                        for (int32_t e = 0; e < p->shape[4]; ++e) {                                          \
                            const type *in = first + (ptrdiff_t)a * p->step[0] + (ptrdiff_t)b * p->step[1] + \
                                             (ptrdiff_t)c * p->step[2] + (ptrdiff_t)d * p->step[3] +         \
                                             (ptrdiff_t)e * p->step[4];                                      \
                            for (int32_t f = 0; f < p->shape[5]; ++f, in += p->step[5], ++out) {             \
                                memcpy(out, in, sizeof(type)); /* whatever type it really has */             \
                            }                                                                                \
                        }                                                                                    \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

PINGPONNX_WALK(walk_8, uint8_t)
PINGPONNX_WALK(walk_16, uint16_t)
PINGPONNX_WALK(walk_32, uint32_t)
PINGPONNX_WALK(walk_64, uint64_t)

#undef PINGPONNX_WALK

#endif
