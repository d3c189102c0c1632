/* Shapes and clamp of a pooling layer, and how CMSIS-NN wants to be told them. */
#ifndef PINGPONNX_CMSIS_POOL_PARAMS_H
#define PINGPONNX_CMSIS_POOL_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "cmsis_scratch.h"

typedef struct {
    int32_t batch, in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t low, high;
} cmsis_pool_params;

typedef struct {
    cmsis_nn_pool_params pool;
    cmsis_nn_dims input, filter, output;
} cmsis_pool_arguments;

/* The arguments for one image; batches are looped over outside, because 4.0.0 ignores them. */
static inline cmsis_pool_arguments cmsis_pool_spell(const cmsis_pool_params *p) {
    const cmsis_pool_arguments arguments = {
        .pool = {.stride = {.w = p->stride_w, .h = p->stride_h},
                 .padding = {.w = p->pad_left, .h = p->pad_top},
                 .activation = {.min = p->low, .max = p->high}},
        .input = {.n = 1, .h = p->in_h, .w = p->in_w, .c = p->in_c},
        .filter = {.n = 1, .h = p->kernel_h, .w = p->kernel_w, .c = 1},
        .output = {.n = 1, .h = p->out_h, .w = p->out_w, .c = p->out_c},
    };
    return arguments;
}

#endif
