/* Parameters of the transposed convolutions. Pads are cut off the output's upper and left edge. */
#ifndef PINGPONNX_CONVTRANSPOSE_PARAMS_H
#define PINGPONNX_CONVTRANSPOSE_PARAMS_H

#include "kernel.h"

#define CONVTRANSPOSE_GEOMETRY                                                                               \
    int32_t batch, in_h, in_w, in_c, out_h, out_w, out_c;                                                    \
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, groups

typedef struct {
    CONVTRANSPOSE_GEOMETRY;
    int32_t w_group, w_out, w_tap, w_in; /* weights from one to the next, for they may be in ONNX's order */
    float low, high;
} convtranspose_params_f32;

typedef struct {
    CONVTRANSPOSE_GEOMETRY;
    int32_t input_zero_point, output_zero_point, low, high, channel_step;
} convtranspose_params_s8;

/* The input index from which a kernel tap reaches a place of the output, -1 when there is none. */
static inline int32_t convtranspose_source(int32_t distance, int32_t stride, int32_t size) {
    const int32_t index = distance / stride;
    return distance >= 0 && index * stride == distance && index < size ? index : -1;
}

#endif
