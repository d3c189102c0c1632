/* Loops over broadcast operands: steps in values along six axes of the output, 0 where an operand is
 * repeated. */
#ifndef PINGPONNX_BROADCAST_H
#define PINGPONNX_BROADCAST_H

#include "kernel.h"

typedef struct {
    int32_t shape[6], step_a[6], step_b[6];
} broadcast_params;

/* Where the operand is for the first value of a line of the last axis. */
static inline ptrdiff_t broadcast_start(const int32_t *index, const int32_t *step) {
    ptrdiff_t start = 0;
    for (int32_t axis = 0; axis < 5; ++axis) {
        start += (ptrdiff_t)index[axis] * step[axis];
    }
    return start;
}

/* Moves on to the next line; 0 after the last. */
static inline int32_t broadcast_next(int32_t *index, const int32_t *shape) {
    for (int32_t axis = 4; axis >= 0; --axis) {
        if (++index[axis] < shape[axis]) {
            return 1;
        }
        index[axis] = 0;
    }
    return 0;
}

static inline int32_t broadcast_empty(const int32_t *shape) {
    int32_t empty = 0;
    for (int32_t axis = 0; axis < 6; ++axis) {
        empty |= shape[axis] == 0;
    }
    return empty;
}

/* `value` is an expression of x and y. */
#define PINGPONNX_BROADCAST(name, type_a, type_b, out, value)                                                \
    KERNEL void name(const broadcast_params *p, const type_a *a, const type_b *b, out *output) {             \
        int32_t index[5] = {0};                                                                              \
        if (broadcast_empty(p->shape)) {                                                                     \
            return;                                                                                          \
        }                                                                                                    \
        do {                                                                                                 \
            const type_a *in_a = a + broadcast_start(index, p->step_a);                                      \
            const type_b *in_b = b + broadcast_start(index, p->step_b);                                      \
            for (int32_t i = 0; i < p->shape[5]; ++i) {                                                      \
                const type_a x = *in_a;                                                                      \
                const type_b y = *in_b;                                                                      \
                *output++ = (out)(value);                                                                    \
                in_a += p->step_a[5];                                                                        \
                in_b += p->step_b[5];                                                                        \
            }                                                                                                \
        } while (broadcast_next(index, p->shape));                                                           \
    }

#endif
