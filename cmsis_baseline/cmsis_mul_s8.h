/* arm_elementwise_mul_s8 on two tensors of the output's shape; 0 when CMSIS-NN took it. */
#ifndef PINGPONNX_CMSIS_MUL_S8_H
#define PINGPONNX_CMSIS_MUL_S8_H

#include "cmsis_scratch.h"
#include "mul_s8.h"

static inline int cmsis_mul_s8(const mul_s8_params *p, const int8_t *a, const int8_t *b, int8_t *output) {
    const int32_t count = p->shape[0] * p->shape[1] * p->shape[2] * p->shape[3];
    const arm_cmsis_nn_status status = arm_elementwise_mul_s8(
        a, b, -p->zero_a, -p->zero_b, output, p->zero_y, p->multiplier_y, p->shift_y, p->low, p->high, count);
    return cmsis_outcome(status, 1);
}

#endif
