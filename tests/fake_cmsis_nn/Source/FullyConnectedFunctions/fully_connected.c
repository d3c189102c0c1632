#include "../NNSupportFunctions/fake.h"

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter) {
    return filter->c * (int32_t)sizeof(int32_t);
}

/* sum of a row times lhs_offset, plus bias */
arm_cmsis_nn_status arm_vector_sum_s8(int32_t *sums, const int32_t columns, const int32_t rows,
                                      const int8_t *data, const int32_t lhs_offset, const int32_t rhs_offset,
                                      const int32_t *bias) {
    for (int32_t row = 0; row < rows; row++) {
        sums[row] = bias[row] + rhs_offset;
        for (int32_t i = 0; i < columns; i++) {
            sums[row] += *data++ * lhs_offset;
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

static int32_t start(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc, const int32_t *bias,
                     int32_t c) {
    (void)fc;
    (void)bias;
    return ((const int32_t *)ctx->buf)[c];
}

static arm_cmsis_nn_status run(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc,
                               const int32_t *multiplier, const int32_t *shift, int32_t step,
                               const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *filter,
                               const int8_t *weights, const int32_t *bias, const cmsis_nn_dims *out,
                               int8_t *output) {
    if (ctx->buf == NULL || ctx->size < arm_fully_connected_s8_get_buffer_size(filter) ||
        fc->filter_offset != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t row = 0; row < in->n; row++) {
        for (int32_t c = 0; c < out->c; c++) {
            int32_t sum = start(ctx, fc, bias, c);
            for (int32_t i = 0; i < filter->n; i++) {
                sum += input[row * filter->n + i] * weights[c * filter->n + i];
            }
            *output++ =
                fake_output(sum, multiplier[c * step], shift[c * step], fc->output_offset, fc->activation);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc,
                                           const cmsis_nn_per_tensor_quant_params *quant,
                                           const cmsis_nn_dims *in, const int8_t *input,
                                           const cmsis_nn_dims *filter, const int8_t *weights,
                                           const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                           const cmsis_nn_dims *out, int8_t *output) {
    (void)bias_dims;
    return run(ctx, fc, &quant->multiplier, &quant->shift, 0, in, input, filter, weights, bias, out, output);
}

arm_cmsis_nn_status arm_fully_connected_per_channel_s8(
    const cmsis_nn_context *ctx, const cmsis_nn_fc_params *fc, const cmsis_nn_per_channel_quant_params *quant,
    const cmsis_nn_dims *in, const int8_t *input, const cmsis_nn_dims *filter, const int8_t *weights,
    const cmsis_nn_dims *bias_dims, const int32_t *bias, const cmsis_nn_dims *out, int8_t *output) {
    (void)bias_dims;
    return run(ctx, fc, quant->multiplier, quant->shift, 1, in, input, filter, weights, bias, out, output);
}
