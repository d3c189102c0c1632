/* Not CMSIS-NN: a stand-in with the interface of its releases since 2024, plain and slow, for tests.
 *
 * It wants buffers on every core, so that what MVE cores are given there is tested on the host too.
 */
#ifndef FAKE_CMSIS_NN_H
#define FAKE_CMSIS_NN_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    ARM_CMSIS_NN_SUCCESS = 0,
    ARM_CMSIS_NN_ARG_ERROR = -1,
    ARM_CMSIS_NN_NO_IMPL_ERROR = -2
} arm_cmsis_nn_status;

typedef struct {
    int32_t w, h;
} cmsis_nn_tile;
typedef struct {
    void *buf;
    int32_t size;
} cmsis_nn_context;
typedef struct {
    int32_t n, h, w, c;
} cmsis_nn_dims;
typedef struct {
    int32_t *multiplier, *shift;
} cmsis_nn_per_channel_quant_params;
typedef struct {
    int32_t multiplier, shift;
} cmsis_nn_per_tensor_quant_params;
typedef struct {
    int32_t min, max;
} cmsis_nn_activation;
typedef struct {
    int32_t input_offset, output_offset;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_conv_params;
typedef struct {
    int32_t input_offset, output_offset, ch_mult;
    cmsis_nn_tile stride, padding, dilation;
    cmsis_nn_activation activation;
} cmsis_nn_dw_conv_params;
typedef struct {
    int32_t input_offset, filter_offset, output_offset;
    cmsis_nn_activation activation;
} cmsis_nn_fc_params;

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv, const cmsis_nn_dims *in,
                                                const cmsis_nn_dims *filter, const cmsis_nn_dims *out);
arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *conv,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *in, const int8_t *input,
                                            const cmsis_nn_dims *filter, const int8_t *weights,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *out, int8_t *output);

int32_t arm_convolve_s8_get_buffer_size(const cmsis_nn_dims *in, const cmsis_nn_dims *filter);
arm_cmsis_nn_status arm_convolve_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *conv,
                                    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in,
                                    const int8_t *input, const cmsis_nn_dims *filter, const int8_t *weights,
                                    const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                    const cmsis_nn_dims *upscale_dims, const cmsis_nn_dims *out,
                                    int8_t *output);

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter);
arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc,
                                           const cmsis_nn_per_tensor_quant_params *quant,
                                           const cmsis_nn_dims *in, const int8_t *input,
                                           const cmsis_nn_dims *filter, const int8_t *weights,
                                           const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                           const cmsis_nn_dims *out, int8_t *output);
arm_cmsis_nn_status arm_fully_connected_per_channel_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc, const cmsis_nn_per_channel_quant_params *quant,
    const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *filter, const int8_t *weights,
    const cmsis_nn_dims *bias_dims, const int32_t *bias, const cmsis_nn_dims *out, int8_t *output);

/* lhs_offset, rhs_offset and bias came one release after the other */
arm_cmsis_nn_status arm_vector_sum_s8(int32_t *sums, const int32_t columns, const int32_t rows,
                                      const int8_t *data, const int32_t lhs_offset, const int32_t rhs_offset,
                                      const int32_t *bias);

#endif
