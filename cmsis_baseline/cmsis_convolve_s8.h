/* arm_convolve_wrapper_s8; 0 when CMSIS-NN took it. Weights are `oc kh kw ic`. */
#ifndef PINGPONNX_CMSIS_CONVOLVE_S8_H
#define PINGPONNX_CMSIS_CONVOLVE_S8_H

#include "cmsis_params.h"

typedef struct {
    cmsis_nn_conv_params conv;
    cmsis_nn_dims input, filter, bias, output;
} cmsis_convolve_arguments;

static inline cmsis_convolve_arguments cmsis_convolve_spell(const cmsis_conv_params *p) {
    const cmsis_convolve_arguments result = {
        .conv = {.input_offset = -p->input_zero_point,
                 .output_offset = p->output_zero_point,
                 .stride = {.w = p->stride_w, .h = p->stride_h},
                 .padding = {.w = p->pad_left, .h = p->pad_top},
                 .dilation = {.w = p->dilation_w, .h = p->dilation_h},
                 .activation = {.min = p->low, .max = p->high}},
        .input = cmsis_dims(p->batch, p->in_h, p->in_w, p->in_c),
        .filter = cmsis_dims(p->out_c, p->kernel_h, p->kernel_w, p->in_c),
        .bias = cmsis_dims(1, 1, 1, p->out_c),
        .output = cmsis_dims(p->batch, p->out_h, p->out_w, p->out_c),
    };
    return result;
}

static inline int32_t cmsis_convolve_s8_scratch(const cmsis_conv_params *p) {
    const cmsis_convolve_arguments a = cmsis_convolve_spell(p);
    return arm_convolve_wrapper_s8_get_buffer_size(&a.conv, &a.input, &a.filter, &a.output);
}

static inline int cmsis_convolve_s8(const cmsis_conv_params *p, const int8_t *input, const int8_t *weights,
                                    const int32_t *bias, const int32_t *multiplier, const int32_t *shift,
                                    void *scratch, int32_t scratch_bytes, int8_t *output) {
    if (cmsis_convolve_s8_scratch(p) > scratch_bytes) {
        return CMSIS_SCRATCH_SMALL;
    }
    CMSIS_CONTEXT(scratch, scratch_bytes);
    const cmsis_convolve_arguments a = cmsis_convolve_spell(p);
    const cmsis_nn_per_channel_quant_params quant = cmsis_per_channel(multiplier, shift);
    const arm_cmsis_nn_status status = arm_convolve_wrapper_s8(
        &context, &a.conv, &quant, &a.input, input, &a.filter, weights, &a.bias, bias, &a.output, output);
    return cmsis_outcome(status, cmsis_intact(scratch_bytes));
}

#endif
