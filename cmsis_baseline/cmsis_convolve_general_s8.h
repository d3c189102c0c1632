/* arm_convolve_s8, for shapes that arm_convolve_wrapper_s8 would send to a function that gets them wrong. */
#ifndef PINGPONNX_CMSIS_CONVOLVE_GENERAL_S8_H
#define PINGPONNX_CMSIS_CONVOLVE_GENERAL_S8_H

#include "cmsis_convolve_s8.h"

#if !defined(PINGPONNX_CMSIS_UPSCALE) /* 1: arm_convolve_s8 has the parameter upscale_dims */
#define PINGPONNX_CMSIS_UPSCALE 0
#endif

static inline int32_t cmsis_convolve_general_s8_scratch(const cmsis_conv_params *p) {
    const cmsis_convolve_arguments a = cmsis_convolve_spell(p);
    return arm_convolve_s8_get_buffer_size(&a.input, &a.filter);
}

static inline int cmsis_convolve_general_s8(const cmsis_conv_params *p, const int8_t *input,
                                            const int8_t *weights, const int32_t *bias,
                                            const int32_t *multiplier, const int32_t *shift, void *scratch,
                                            int32_t scratch_bytes, int8_t *output) {
    if (cmsis_convolve_general_s8_scratch(p) > scratch_bytes) {
        return CMSIS_SCRATCH_SMALL;
    }
    CMSIS_CONTEXT(scratch, scratch_bytes);
    const cmsis_convolve_arguments a = cmsis_convolve_spell(p);
    const cmsis_nn_per_channel_quant_params quant = cmsis_per_channel(multiplier, shift);
#if PINGPONNX_CMSIS_UPSCALE
    const arm_cmsis_nn_status status = arm_convolve_s8(&context, &a.conv, &quant, &a.input, input, &a.filter,
                                                       weights, &a.bias, bias, NULL, &a.output, output);
#else
    const arm_cmsis_nn_status status = arm_convolve_s8(&context, &a.conv, &quant, &a.input, input, &a.filter,
                                                       weights, &a.bias, bias, &a.output, output);
#endif
    return cmsis_outcome(status, cmsis_intact(scratch_bytes));
}

#endif
