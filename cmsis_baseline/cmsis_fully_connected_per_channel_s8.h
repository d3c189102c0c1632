/* A fully connected layer with one scale per output; 0 when CMSIS-NN took it. Weights are `out in`.
 *
 * Until arm_fully_connected_per_channel_s8 came (2024), a 1x1 convolution was how to get one.
 */
#ifndef PINGPONNX_CMSIS_FULLY_CONNECTED_PER_CHANNEL_S8_H
#define PINGPONNX_CMSIS_FULLY_CONNECTED_PER_CHANNEL_S8_H

#include "cmsis_fc.h"

#if PINGPONNX_CMSIS_FC_PER_CHANNEL

static inline int32_t cmsis_fully_connected_per_channel_s8_scratch(const cmsis_fc_params *p) {
    return cmsis_fc_buffer(p);
}

static inline arm_cmsis_nn_status cmsis_fc_per_channel(const cmsis_fc_params *p,
                                                       const cmsis_nn_context *context,
                                                       const cmsis_nn_per_channel_quant_params *quant,
                                                       const int8_t *input, const int8_t *weights,
                                                       const int32_t *bias, int8_t *output) {
    const cmsis_fc_arguments a = cmsis_fc_spell(p);
    const arm_cmsis_nn_status status = cmsis_fc_sums(p, context, weights, bias);
    if (status != ARM_CMSIS_NN_SUCCESS) {
        return status;
    }
    return arm_fully_connected_per_channel_s8(context, &a.fc, quant, &a.input, input, &a.filter, weights,
                                              &a.bias, bias, &a.output, output);
}

#else

static inline cmsis_nn_conv_params cmsis_fc_as_convolution(const cmsis_fc_params *p) {
    const cmsis_nn_conv_params result = {.input_offset = -p->input_zero_point,
                                         .output_offset = p->output_zero_point,
                                         .stride = {.w = 1, .h = 1},
                                         .padding = {.w = 0, .h = 0},
                                         .dilation = {.w = 1, .h = 1},
                                         .activation = {.min = p->low, .max = p->high}};
    return result;
}

static inline int32_t cmsis_fully_connected_per_channel_s8_scratch(const cmsis_fc_params *p) {
    const cmsis_nn_conv_params conv = cmsis_fc_as_convolution(p);
    const cmsis_nn_dims input = cmsis_dims(p->rows, 1, 1, p->in_n);
    const cmsis_nn_dims filter = cmsis_dims(p->out_n, 1, 1, p->in_n);
    const cmsis_nn_dims output = cmsis_dims(p->rows, 1, 1, p->out_n);
    return arm_convolve_wrapper_s8_get_buffer_size(&conv, &input, &filter, &output);
}

static inline arm_cmsis_nn_status cmsis_fc_per_channel(const cmsis_fc_params *p,
                                                       const cmsis_nn_context *context,
                                                       const cmsis_nn_per_channel_quant_params *quant,
                                                       const int8_t *input, const int8_t *weights,
                                                       const int32_t *bias, int8_t *output) {
    const cmsis_nn_conv_params conv = cmsis_fc_as_convolution(p);
    const cmsis_nn_dims input_dims = cmsis_dims(p->rows, 1, 1, p->in_n);
    const cmsis_nn_dims filter = cmsis_dims(p->out_n, 1, 1, p->in_n);
    const cmsis_nn_dims bias_dims = cmsis_dims(1, 1, 1, p->out_n);
    const cmsis_nn_dims output_dims = cmsis_dims(p->rows, 1, 1, p->out_n);
    return arm_convolve_wrapper_s8(context, &conv, quant, &input_dims, input, &filter, weights, &bias_dims,
                                   bias, &output_dims, output);
}

#endif

static inline int cmsis_fully_connected_per_channel_s8(const cmsis_fc_params *p, const int8_t *input,
                                                       const int8_t *weights, const int32_t *bias,
                                                       const int32_t *multiplier, const int32_t *shift,
                                                       void *scratch, int32_t scratch_bytes, int8_t *output) {
    if (cmsis_fully_connected_per_channel_s8_scratch(p) > scratch_bytes) {
        return CMSIS_SCRATCH_SMALL;
    }
    CMSIS_CONTEXT(scratch, scratch_bytes);
    const cmsis_nn_per_channel_quant_params quant = cmsis_per_channel(multiplier, shift);
    const arm_cmsis_nn_status status =
        cmsis_fc_per_channel(p, &context, &quant, input, weights, bias, output);
    return cmsis_outcome(status, cmsis_intact(scratch_bytes));
}

#endif
