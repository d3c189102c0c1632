/* A stand-in of ours for arm_elementwise_add_s8 and arm_elementwise_mul_s8, which the copy in bakenn lacks:
 * one value at a time, by the interface's documentation and CMSIS-NN's own arm_nn_requantize. */
#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"

static int8_t limited(int32_t value, int32_t low, int32_t high) {
    return (int8_t)(value < low ? low : value > high ? high : value);
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t a_mult, const int32_t a_shift,
                                           const int32_t b_offset, const int32_t b_mult,
                                           const int32_t b_shift, const int32_t left_shift, int8_t *output,
                                           const int32_t out_offset, const int32_t out_mult,
                                           const int32_t out_shift, const int32_t low, const int32_t high,
                                           const int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t wide_a = (a[i] + a_offset) * (1 << left_shift);
        const int32_t wide_b = (b[i] + b_offset) * (1 << left_shift);
        const int32_t sum =
            arm_nn_requantize(wide_a, a_mult, a_shift) + arm_nn_requantize(wide_b, b_mult, b_shift);
        output[i] = limited(arm_nn_requantize(sum, out_mult, out_shift) + out_offset, low, high);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t b_offset, int8_t *output, const int32_t out_offset,
                                           const int32_t out_mult, const int32_t out_shift, const int32_t low,
                                           const int32_t high, const int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t product = (a[i] + a_offset) * (b[i] + b_offset);
        output[i] = limited(arm_nn_requantize(product, out_mult, out_shift) + out_offset, low, high);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
