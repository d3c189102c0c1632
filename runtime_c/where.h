/* A choice between two broadcast tensors, for elements of any size. */
#ifndef PINGPONNX_WHERE_H
#define PINGPONNX_WHERE_H

#include "broadcast.h"

typedef struct {
    int32_t shape[6], step_condition[6], step_x[6], step_y[6];
} where_params;

#define PINGPONNX_WHERE(name, type)                                                                          \
    KERNEL void name(const where_params *p, const uint8_t *condition, const void *x, const void *y,          \
                     void *output) {                                                                         \
        int32_t index[5] = {0};                                                                              \
        type *out = (type *)output;                                                                          \
        if (broadcast_empty(p->shape)) {                                                                     \
            return;                                                                                          \
        }                                                                                                    \
        do {                                                                                                 \
            const uint8_t *c = condition + broadcast_start(index, p->step_condition);                        \
            const type *in_x = (const type *)x + broadcast_start(index, p->step_x);                          \
            const type *in_y = (const type *)y + broadcast_start(index, p->step_y);                          \
            for (int32_t i = 0; i < p->shape[5]; ++i) {                                                      \
                type value; /* whatever type it really has */                                                \
                memcpy(&value, *c ? in_x : in_y, sizeof value);                                              \
                memcpy(out++, &value, sizeof value);                                                         \
                c += p->step_condition[5];                                                                   \
                in_x += p->step_x[5];                                                                        \
                in_y += p->step_y[5];                                                                        \
            }                                                                                                \
        } while (broadcast_next(index, p->shape));                                                           \
    }

PINGPONNX_WHERE(where_8, uint8_t)
PINGPONNX_WHERE(where_16, uint16_t)
PINGPONNX_WHERE(where_32, uint32_t)
PINGPONNX_WHERE(where_64, uint64_t)

#undef PINGPONNX_WHERE

#endif
