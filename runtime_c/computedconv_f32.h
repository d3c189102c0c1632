/* float32 convolution with weights that are computed or given at run time, `oc ic/groups kh kw` as in ONNX.
 */
#ifndef PINGPONNX_COMPUTEDCONV_F32_H
#define PINGPONNX_COMPUTEDCONV_F32_H

#include "conv_params.h"

static inline float computedconv_f32_sum(const conv_params_f32 *p, const float *image, const float *weights,
                                         int32_t oc, int32_t top, int32_t left) {
    const int32_t channels = p->in_c / p->groups, taps = p->kernel_h * p->kernel_w;
    const float *const w = weights + (ptrdiff_t)oc * channels * taps;
    float sum = 0.0f;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const int32_t y = top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
            const int32_t x = left + kx * p->dilation_w;
            if (y < 0 || y >= p->in_h || x < 0 || x >= p->in_w) {
                continue;
            }
            const int32_t first = oc / (p->out_c / p->groups) * channels;
            const float *const in = image + ((ptrdiff_t)y * p->in_w + x) * p->in_c + first;
            for (int32_t c = 0; c < channels; ++c) {
                sum += in[c] * w[c * taps + ky * p->kernel_w + kx];
            }
        }
    }
    return sum;
}

/* `bias` may be NULL. */
KERNEL void computedconv_f32(const conv_params_f32 *p, const float *input, const float *weights,
                             const float *bias, float *output) {
    for (int32_t n = 0; n < p->batch; ++n) {
        const float *const image = input + (ptrdiff_t)n * p->in_h * p->in_w * p->in_c;
        for (int32_t y = 0; y < p->out_h; ++y) {
            for (int32_t x = 0; x < p->out_w; ++x) {
                const int32_t top = y * p->stride_h - p->pad_top, left = x * p->stride_w - p->pad_left;
                for (int32_t oc = 0; oc < p->out_c; ++oc) {
                    const float sum = computedconv_f32_sum(p, image, weights, oc, top, left);
                    *output++ = clamp_f32(sum + (bias == NULL ? 0.0f : bias[oc]), p->low, p->high);
                }
            }
        }
    }
}

#endif
