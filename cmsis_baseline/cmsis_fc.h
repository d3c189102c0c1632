/* What the two fully connected layers share: dimensions, and kernel sums where CMSIS-NN wants them. */
#ifndef PINGPONNX_CMSIS_FC_H
#define PINGPONNX_CMSIS_FC_H

#include "cmsis_params.h"

typedef struct {
    cmsis_nn_fc_params fc;
    cmsis_nn_dims input, filter, bias, output;
} cmsis_fc_arguments;

static inline cmsis_fc_arguments cmsis_fc_spell(const cmsis_fc_params *p) {
    const cmsis_fc_arguments result = {
        .fc = {.input_offset = -p->input_zero_point,
               .filter_offset = 0,
               .output_offset = p->output_zero_point,
               .activation = {.min = p->low, .max = p->high}},
        .input = cmsis_dims(p->rows, 1, 1, p->in_n),
        .filter = cmsis_dims(p->in_n, 1, 1, p->out_n),
        .bias = cmsis_dims(1, 1, 1, p->out_n),
        .output = cmsis_dims(p->rows, 1, 1, p->out_n),
    };
    return result;
}

static inline int32_t cmsis_fc_buffer(const cmsis_fc_params *p) {
    const cmsis_fc_arguments a = cmsis_fc_spell(p);
    return arm_fully_connected_s8_get_buffer_size(&a.filter);
}

/* From 5.0 on, MVE cores are given the sums of the weights in the buffer. They are constant, but nobody
 * keeps them between runs here, so every run makes them. The other cores' buffer size is 0. */
static inline arm_cmsis_nn_status cmsis_fc_sums(const cmsis_fc_params *p, const cmsis_nn_context *context,
                                                const int8_t *weights, const int32_t *bias) {
    (void)weights;
    (void)bias;
    if (context->buf == NULL || cmsis_fc_buffer(p) == 0) {
        return ARM_CMSIS_NN_SUCCESS;
    }
#if PINGPONNX_CMSIS_VECTOR_SUM == 4
    (void)arm_vector_sum_s8((int32_t *)context->buf, p->in_n, p->out_n, weights);
#elif PINGPONNX_CMSIS_VECTOR_SUM == 6
    (void)arm_vector_sum_s8((int32_t *)context->buf, p->in_n, p->out_n, weights, -p->input_zero_point, bias);
#elif PINGPONNX_CMSIS_VECTOR_SUM == 7
    (void)arm_vector_sum_s8((int32_t *)context->buf, p->in_n, p->out_n, weights, -p->input_zero_point, 0,
                            bias);
#else
    return ARM_CMSIS_NN_NO_IMPL_ERROR; /* a buffer is wanted and nobody knows what for */
#endif
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
