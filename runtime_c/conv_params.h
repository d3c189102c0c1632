/* Shapes and scales of a convolution, optionally followed by a fused max-pool. */
#ifndef PINGPONNX_CONV_PARAMS_H
#define PINGPONNX_CONV_PARAMS_H

#include "kernel.h"

#define PINGPONNX_CONV_GEOMETRY                                                                              \
    int32_t batch, in_h, in_w, in_c;                                                                         \
    int32_t out_h, out_w, out_c; /* after pooling */                                                         \
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;                                  \
    int32_t pad_top, pad_left;                                                                               \
    int32_t groups;                                                                                          \
    int32_t pool_h, pool_w, pool_stride_h, pool_stride_w /* all 1 without a pool */

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t channel_step; /* 1: a multiplier and a shift for every channel, 0: one for all */
} conv_params_s8;

typedef struct {
    PINGPONNX_CONV_GEOMETRY;
    float low, high;
} conv_params_f32;

/* Input rows that one (pooled) output row needs, and how far the next one is. */
#define CONV_WINDOW_ROWS(p) (((p)->kernel_h - 1) * (p)->dilation_h + 1 + ((p)->pool_h - 1) * (p)->stride_h)
#define CONV_WINDOW_STEP(p) ((p)->stride_h * (p)->pool_stride_h)

#endif
