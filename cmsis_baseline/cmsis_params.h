/* Parameters of convolutions and fully connected layers, and how CMSIS-NN wants to be told them. */
#ifndef PINGPONNX_CMSIS_PARAMS_H
#define PINGPONNX_CMSIS_PARAMS_H

#include <stdint.h>

#include "cmsis_scratch.h"

/* Which of CMSIS-NN's interfaces this is compiled against; see converter/pingponnx/cmsis.py. */
#if !defined(PINGPONNX_CMSIS_VECTOR_SUM) /* the number of parameters of arm_vector_sum_s8; 0: none such */
#define PINGPONNX_CMSIS_VECTOR_SUM 0
#endif
#if !defined(PINGPONNX_CMSIS_FC_PER_CHANNEL) /* 1: there is arm_fully_connected_per_channel_s8 */
#define PINGPONNX_CMSIS_FC_PER_CHANNEL 0
#endif

typedef struct {
    int32_t batch, in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t input_zero_point, output_zero_point;
    int32_t low, high;
} cmsis_conv_params;

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t input_zero_point, output_zero_point;
    int32_t low, high;
    int32_t multiplier, shift; /* 0 when there is one per channel */
} cmsis_fc_params;

/* CMSIS-NN only reads the tables, but its interface is not const. */
static inline cmsis_nn_per_channel_quant_params cmsis_per_channel(const int32_t *multiplier,
                                                                  const int32_t *shift) {
    const cmsis_nn_per_channel_quant_params result = {.multiplier = (int32_t *)(uintptr_t)multiplier,
                                                      .shift = (int32_t *)(uintptr_t)shift};
    return result;
}

static inline cmsis_nn_dims cmsis_dims(int32_t n, int32_t h, int32_t w, int32_t c) {
    const cmsis_nn_dims result = {.n = n, .h = h, .w = w, .c = c};
    return result;
}

#endif
