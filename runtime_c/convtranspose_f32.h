/* float32 transposed convolution, any geometry, with a fused clamp. Weights in any order. */
#ifndef PINGPONNX_CONVTRANSPOSE_F32_H
#define PINGPONNX_CONVTRANSPOSE_F32_H

#include "convtranspose_params.h"

/* Output channel `oc` at row y, column x: what every input pixel that reaches it adds. */
static inline float convtranspose_f32_value(const convtranspose_params_f32 *p, const float *input,
                                            const float *weights, int32_t oc, float bias, int32_t y,
                                            int32_t x) {
    const int32_t channels = p->in_c / p->groups;
    const int32_t per_group = p->out_c / p->groups, group = oc / per_group;
    const float *w = weights + (ptrdiff_t)group * p->w_group + (ptrdiff_t)(oc % per_group) * p->w_out;
    float acc = bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t in_y = convtranspose_source(y + p->pad_top - ky * p->dilation_h, p->stride_h, p->in_h);
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += p->w_tap) {
            const int32_t in_x =
                convtranspose_source(x + p->pad_left - kx * p->dilation_w, p->stride_w, p->in_w);
            if (in_y < 0 || in_x < 0) {
                continue;
            }
            const float *in =
                input + ((ptrdiff_t)in_y * p->in_w + in_x) * p->in_c + (ptrdiff_t)group * channels;
            for (int32_t c = 0; c < channels; ++c) {
                acc += in[c] * w[(ptrdiff_t)c * p->w_in];
            }
        }
    }
    return acc;
}

KERNEL void convtranspose_f32(const convtranspose_params_f32 *p, const float *input, const float *weights,
                              const float *bias, float *output) {
    for (int32_t n = 0; n < p->batch; ++n, input += (ptrdiff_t)p->in_h * p->in_w * p->in_c) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            for (int32_t x = 0; x < p->out_w; ++x) {
                for (int32_t oc = 0; oc < p->out_c; ++oc) {
                    const float value =
                        convtranspose_f32_value(p, input, weights, oc, bias != NULL ? bias[oc] : 0.0f, y, x);
                    *output++ = clamp_f32(value, p->low, p->high);
                }
            }
        }
    }
}

#endif
