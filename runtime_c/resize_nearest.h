/* Resizing by repeating and dropping values, of any type, along two axes. */
#ifndef PINGPONNX_RESIZE_NEAREST_H
#define PINGPONNX_RESIZE_NEAREST_H

#include "kernel.h"

typedef struct {
    int32_t outer, in_a, out_a, middle, in_b, out_b;
    int32_t bytes; /* of a run of values after the second axis */
} resize_nearest_params;

/* `from_a` and `from_b` give the input's index for each of the output's. */
KERNEL void resize_nearest(const resize_nearest_params *p, const void *input, const int16_t *from_a,
                           const int16_t *from_b, void *output) {
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    const ptrdiff_t row = (ptrdiff_t)p->in_b * p->bytes;
    for (int32_t o = 0; o < p->outer; ++o, in += p->in_a * p->middle * row) {
        for (int32_t a = 0; a < p->out_a; ++a) {
            for (int32_t m = 0; m < p->middle; ++m) {
                const uint8_t *from = in + ((ptrdiff_t)from_a[a] * p->middle + m) * row;
                for (int32_t b = 0; b < p->out_b; ++b, out += p->bytes) {
                    memcpy(out, from + (ptrdiff_t)from_b[b] * p->bytes, (size_t)p->bytes);
                }
            }
        }
    }
}

#endif
