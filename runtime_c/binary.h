/* Loops over two broadcast operands; each kernel header gives the value of one element. */
#ifndef PINGPONNX_BINARY_H
#define PINGPONNX_BINARY_H

#include "kernel.h"

/* Output shape and element strides of the operands (0: broadcast). */
#define PINGPONNX_BINARY_GEOMETRY int32_t shape[4], stride_a[4], stride_b[4]

typedef struct {
    PINGPONNX_BINARY_GEOMETRY;
    float low, high;
} binary_params_f32;

/* The loops: `value` is an expression of the places in_a and in_b. */
#define PINGPONNX_BINARY_LOOPS(type_a, type_b, value)                                                        \
    for (int32_t i = 0; i < p->shape[0]; ++i) {                                                              \
        for (int32_t j = 0; j < p->shape[1]; ++j) {                                                          \
            for (int32_t k = 0; k < p->shape[2]; ++k) {                                                      \
                const type_a *in_a = a + (ptrdiff_t)i * p->stride_a[0] + (ptrdiff_t)j * p->stride_a[1] +     \
                                     (ptrdiff_t)k * p->stride_a[2];                                          \
                const type_b *in_b = b + (ptrdiff_t)i * p->stride_b[0] + (ptrdiff_t)j * p->stride_b[1] +     \
                                     (ptrdiff_t)k * p->stride_b[2];                                          \
                for (int32_t l = 0; l < p->shape[3]; ++l) {                                                  \
                    *output++ = (value);                                                                     \
                    in_a += p->stride_a[3];                                                                  \
                    in_b += p->stride_b[3];                                                                  \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

#define PINGPONNX_BINARY(name, params, type)                                                                 \
    KERNEL void name(const params *p, const type *a, const type *b, type *output) {                          \
        PINGPONNX_BINARY_LOOPS(type, type, name##_value(p, *in_a, *in_b))                                    \
    }

#endif
