/* int8 transposed convolution, any geometry, with a fused clamp. Weights `oc kh kw ic/groups`. */
#ifndef PINGPONNX_CONVTRANSPOSE_S8_H
#define PINGPONNX_CONVTRANSPOSE_S8_H

#include "convtranspose_params.h"

/* The accumulator of output channel `oc` at row y, column x. */
static inline int32_t convtranspose_s8_sum(const convtranspose_params_s8 *p, const int8_t *input,
                                           const int8_t *weights, int32_t weight_zero_point, int32_t oc,
                                           int32_t bias, int32_t y, int32_t x) {
    const int32_t channels = p->in_c / p->groups;
    const int32_t group = oc / (p->out_c / p->groups);
    const int8_t *w = weights + (ptrdiff_t)oc * p->kernel_h * p->kernel_w * channels;
    int32_t acc = bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t in_y = convtranspose_source(y + p->pad_top - ky * p->dilation_h, p->stride_h, p->in_h);
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += channels) {
            const int32_t in_x =
                convtranspose_source(x + p->pad_left - kx * p->dilation_w, p->stride_w, p->in_w);
            if (in_y < 0 || in_x < 0) {
                continue;
            }
            const int8_t *in =
                input + ((ptrdiff_t)in_y * p->in_w + in_x) * p->in_c + (ptrdiff_t)group * channels;
            for (int32_t c = 0; c < channels; ++c) {
                acc += (in[c] - p->input_zero_point) * (w[c] - weight_zero_point);
            }
        }
    }
    return acc;
}

KERNEL void convtranspose_s8(const convtranspose_params_s8 *p, const int8_t *input, const int8_t *weights,
                             const int32_t *bias, const int32_t *weight_zero_point, const int32_t *multiplier,
                             const int8_t *shift, int8_t *output) {
    for (int32_t n = 0; n < p->batch; ++n, input += (ptrdiff_t)p->in_h * p->in_w * p->in_c) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            for (int32_t x = 0; x < p->out_w; ++x) {
                for (int32_t oc = 0; oc < p->out_c; ++oc) {
                    const int32_t zero = weight_zero_point != NULL ? weight_zero_point[oc] : 0;
                    const int32_t sum = convtranspose_s8_sum(p, input, weights, zero, oc, bias[oc], y, x);
                    const int32_t value = requantize_channel(sum, multiplier, shift, oc * p->channel_step);
                    *output++ = clamp_s8(value + p->output_zero_point, p->low, p->high);
                }
            }
        }
    }
}

#endif
