/* arm_max_pool_s8 for every image of a batch; 0 when CMSIS-NN took it. */
#ifndef PINGPONNX_CMSIS_MAX_POOL_S8_H
#define PINGPONNX_CMSIS_MAX_POOL_S8_H

#include "cmsis_pool_params.h"

static inline int cmsis_max_pool_s8(const cmsis_pool_params *p, const int8_t *input, void *scratch,
                                    int32_t scratch_bytes, int8_t *output) {
    const cmsis_pool_arguments a = cmsis_pool_spell(p);
    CMSIS_CONTEXT(scratch, scratch_bytes);
    for (int32_t n = 0; n < p->batch; ++n) {
        const arm_cmsis_nn_status status =
            arm_max_pool_s8(&context, &a.pool, &a.input, input, &a.filter, &a.output, output);
        if (status != ARM_CMSIS_NN_SUCCESS) {
            return CMSIS_REFUSED;
        }
        input += (ptrdiff_t)p->in_h * p->in_w * p->in_c;
        output += (ptrdiff_t)p->out_h * p->out_w * p->out_c;
    }
    return cmsis_outcome(ARM_CMSIS_NN_SUCCESS, cmsis_intact(scratch_bytes));
}

#endif
