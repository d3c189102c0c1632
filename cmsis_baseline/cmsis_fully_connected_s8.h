/* arm_fully_connected_s8, one scale for all outputs; 0 when CMSIS-NN took it. Weights are `out in`. */
#ifndef PINGPONNX_CMSIS_FULLY_CONNECTED_S8_H
#define PINGPONNX_CMSIS_FULLY_CONNECTED_S8_H

#include "cmsis_fc.h"

static inline int32_t cmsis_fully_connected_s8_scratch(const cmsis_fc_params *p) {
    return cmsis_fc_buffer(p);
}

static inline int cmsis_fully_connected_s8(const cmsis_fc_params *p, const int8_t *input,
                                           const int8_t *weights, const int32_t *bias, void *scratch,
                                           int32_t scratch_bytes, int8_t *output) {
    if (cmsis_fully_connected_s8_scratch(p) > scratch_bytes) {
        return CMSIS_SCRATCH_SMALL;
    }
    CMSIS_CONTEXT(scratch, scratch_bytes);
    const cmsis_fc_arguments a = cmsis_fc_spell(p);
    const cmsis_nn_per_tensor_quant_params quant = {.multiplier = p->multiplier, .shift = p->shift};
    arm_cmsis_nn_status status = cmsis_fc_sums(p, &context, weights, bias);
    if (status == ARM_CMSIS_NN_SUCCESS) {
        status = arm_fully_connected_s8(&context, &a.fc, &quant, &a.input, input, &a.filter, weights, &a.bias,
                                        bias, &a.output, output);
    }
    return cmsis_outcome(status, cmsis_intact(scratch_bytes));
}

#endif
