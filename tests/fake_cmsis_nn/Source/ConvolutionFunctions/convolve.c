#include "../NNSupportFunctions/fake.h"

#ifndef FAKE_OVERRUN
#define FAKE_OVERRUN 0 /* bytes written behind the buffer */
#endif

int32_t arm_convolve_s8_get_buffer_size(const cmsis_nn_dims *in, const cmsis_nn_dims *filter) {
    return in->c * filter->h * filter->w;
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv, const cmsis_nn_dims *in,
                                                const cmsis_nn_dims *filter, const cmsis_nn_dims *out) {
    (void)conv;
    (void)out;
    return arm_convolve_s8_get_buffer_size(in, filter);
}

static void gather(int8_t *column, const cmsis_nn_conv_params *conv, const cmsis_nn_dims *in,
                   const cmsis_nn_dims *filter, const int8_t *input, int32_t y, int32_t x) {
    for (int32_t i = 0; i < filter->h * filter->w; i++) {
        const int32_t row = y * conv->stride.h - conv->padding.h + i / filter->w * conv->dilation.h;
        const int32_t col = x * conv->stride.w - conv->padding.w + i % filter->w * conv->dilation.w;
        const int inside = row >= 0 && row < in->h && col >= 0 && col < in->w;
        for (int32_t c = 0; c < in->c; c++) {
            *column++ = (int8_t)(inside ? input[(row * in->w + col) * in->c + c] : -conv->input_offset);
        }
    }
    for (int32_t i = 0; i < FAKE_OVERRUN; i++) {
        column[i] = 1;
    }
}

arm_cmsis_nn_status arm_convolve_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *conv,
                                    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in,
                                    const int8_t *input, const cmsis_nn_dims *filter, const int8_t *weights,
                                    const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                    const cmsis_nn_dims *upscale_dims, const cmsis_nn_dims *out,
                                    int8_t *output) {
    const int32_t taps = arm_convolve_s8_get_buffer_size(in, filter);
    if (ctx->buf == NULL || ctx->size < taps || upscale_dims != NULL || bias_dims->c != out->c) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t i = 0; i < out->n * out->h * out->w; i++) {
        const int32_t image = i / (out->h * out->w), place = i % (out->h * out->w);
        gather(ctx->buf, conv, in, filter, input + image * in->h * in->w * in->c, place / out->w,
               place % out->w);
        for (int32_t c = 0; c < out->c; c++) {
            int32_t sum = bias[c];
            for (int32_t k = 0; k < taps; k++) {
                sum += (((const int8_t *)ctx->buf)[k] + conv->input_offset) * weights[c * taps + k];
            }
            *output++ = fake_output(sum, quant->multiplier[c], quant->shift[c], conv->output_offset,
                                    conv->activation);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *conv,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *in, const int8_t *input,
                                            const cmsis_nn_dims *filter, const int8_t *weights,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *out, int8_t *output) {
    return arm_convolve_s8(ctx, conv, quant, in, input, filter, weights, bias_dims, bias, NULL, out, output);
}
