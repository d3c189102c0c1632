/* Permutation of up to six axes, for elements of one and four bytes. */
#ifndef PINGPONNX_TRANSPOSE_H
#define PINGPONNX_TRANSPOSE_H

#include "kernel.h"

typedef struct {
    int32_t shape[6];  /* of the output */
    int32_t stride[6]; /* of the input, in elements, along each output axis */
} transpose_params;

#define PINGPONNX_TRANSPOSE(name, type)                                                                      \
    KERNEL void name(const transpose_params *p, const type *input, type *output) {                           \
        for (int32_t a = 0; a < p->shape[0]; ++a) {                                                          \
            for (int32_t b = 0; b < p->shape[1]; ++b) {                                                      \
                for (int32_t c = 0; c < p->shape[2]; ++c) {                                                  \
                    for (int32_t d = 0; d < p->shape[3]; ++d) {                                              \
                        for (int32_t e = 0; e < p->shape[4]; ++e) {                                          \
                            const type *in = input + (ptrdiff_t)a * p->stride[0] +                           \
                                             (ptrdiff_t)b * p->stride[1] + (ptrdiff_t)c * p->stride[2] +     \
                                             (ptrdiff_t)d * p->stride[3] + (ptrdiff_t)e * p->stride[4];      \
                            for (int32_t f = 0; f < p->shape[5]; ++f, in += p->stride[5]) {                  \
                                *output++ = *in;                                                             \
                            }                                                                                \
                        }                                                                                    \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

PINGPONNX_TRANSPOSE(transpose_s8, int8_t)
PINGPONNX_TRANSPOSE(transpose_u8, uint8_t)
PINGPONNX_TRANSPOSE(transpose_f32, float)

#undef PINGPONNX_TRANSPOSE

#endif
