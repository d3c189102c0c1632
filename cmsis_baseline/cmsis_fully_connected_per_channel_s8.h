/* A fully connected layer with one scale per output; 0 when CMSIS-NN took it. Weights are `out in`.
 *
 * Until arm_fully_connected_per_channel_s8 came (2024) there are two ways to get one. A 1x1 convolution is
 * the faster one on MVE and for several rows. Elsewhere its sums of the weights, made anew for every call,
 * cost more than the products, and one arm_fully_connected_s8 per output is up to 1.8 times as fast.
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

typedef struct {
    cmsis_nn_conv_params conv;
    cmsis_nn_dims input, filter, bias, output;
} cmsis_fc_convolution;

static inline cmsis_fc_convolution cmsis_fc_as_convolution(const cmsis_fc_params *p) {
    const cmsis_fc_convolution result = {
        .conv = {.input_offset = -p->input_zero_point,
                 .output_offset = p->output_zero_point,
                 .stride = {.w = 1, .h = 1},
                 .padding = {.w = 0, .h = 0},
                 .dilation = {.w = 1, .h = 1},
                 .activation = {.min = p->low, .max = p->high}},
        .input = cmsis_dims(p->rows, 1, 1, p->in_n),
        .filter = cmsis_dims(p->out_n, 1, 1, p->in_n),
        .bias = cmsis_dims(1, 1, 1, p->out_n),
        .output = cmsis_dims(p->rows, 1, 1, p->out_n),
    };
    return result;
}

static inline int32_t cmsis_fully_connected_per_channel_s8_scratch(const cmsis_fc_params *p) {
    const cmsis_fc_convolution a = cmsis_fc_as_convolution(p);
    return arm_convolve_wrapper_s8_get_buffer_size(&a.conv, &a.input, &a.filter, &a.output);
}

#if !defined(__ARM_FEATURE_MVE)
static inline arm_cmsis_nn_status cmsis_fc_one_by_one(const cmsis_fc_params *p,
                                                      const cmsis_nn_context *context,
                                                      const cmsis_nn_per_channel_quant_params *quant,
                                                      const int8_t *input, const int8_t *weights,
                                                      const int32_t *bias, int8_t *output) {
    cmsis_fc_arguments a = cmsis_fc_spell(p);
    a.filter.c = 1;
    a.bias.c = 1;
    a.output.c = 1;
    for (int32_t i = 0; i < p->out_n; ++i) {
        const cmsis_nn_per_tensor_quant_params one = {.multiplier = quant->multiplier[i],
                                                      .shift = quant->shift[i]};
        const arm_cmsis_nn_status status =
            arm_fully_connected_s8(context, &a.fc, &one, &a.input, input, &a.filter, weights, &a.bias,
                                   bias + i, &a.output, output + i);
        if (status != ARM_CMSIS_NN_SUCCESS) {
            return status;
        }
        weights += p->in_n;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
#endif

static inline arm_cmsis_nn_status cmsis_fc_per_channel(const cmsis_fc_params *p,
                                                       const cmsis_nn_context *context,
                                                       const cmsis_nn_per_channel_quant_params *quant,
                                                       const int8_t *input, const int8_t *weights,
                                                       const int32_t *bias, int8_t *output) {
#if !defined(__ARM_FEATURE_MVE)
    if (p->rows == 1) {
        return cmsis_fc_one_by_one(p, context, quant, input, weights, bias, output);
    }
#endif
    const cmsis_fc_convolution a = cmsis_fc_as_convolution(p);
    return arm_convolve_wrapper_s8(context, &a.conv, quant, &a.input, input, &a.filter, weights, &a.bias,
                                   bias, &a.output, output);
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
