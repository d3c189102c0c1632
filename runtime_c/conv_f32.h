/* float32 convolution by rows, any geometry, with a fused clamp and max-pool. Weights `oc kh kw ic/groups`.
 */
#ifndef PINGPONNX_CONV_F32_H
#define PINGPONNX_CONV_F32_H

#include "conv_params.h"

static inline float conv_f32_accumulate(const conv_params_f32 *p, const float *const *rows, int32_t row,
                                        int32_t x, const float *weights, int32_t oc, float bias) {
    const int32_t channels = p->in_c / p->groups;
    const int32_t group = oc / (p->out_c / p->groups);
    const float *w = weights + (ptrdiff_t)oc * p->kernel_h * p->kernel_w * channels;
    float acc = bias;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        const float *in_row = rows[row + ky * p->dilation_h];
        for (int32_t kx = 0; kx < p->kernel_w; ++kx, w += channels) {
            const int32_t in_x = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (in_row == NULL || in_x < 0 || in_x >= p->in_w) {
                continue;
            }
            const float *in = in_row + (ptrdiff_t)in_x * p->in_c + (ptrdiff_t)group * channels;
            for (int32_t c = 0; c < channels; ++c) {
                acc += in[c] * w[c];
            }
        }
    }
    return acc;
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
KERNEL void conv_f32_row(const conv_params_f32 *p, const float *const *rows, const float *weights,
                         const float *bias, float *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc) {
            float best = -INFINITY;
            for (int32_t py = 0; py < p->pool_h; ++py) {
                for (int32_t px = 0; px < p->pool_w; ++px) {
                    const float acc = conv_f32_accumulate(p, rows, py * p->stride_h,
                                                          x * p->pool_stride_w + px, weights, oc, bias[oc]);
                    best = acc > best ? acc : best;
                }
            }
            *output++ = clamp_f32(best, p->low, p->high);
        }
    }
}

/* The share of one unpooled row in an output row, from the input rows of a window without the pool: its
 * maxima, unless it is the first with those that the output holds already. Scaling and clamp keep the order.
 */
KERNEL void conv_f32_part(const conv_params_f32 *p, const float *const *rows, const float *weights,
                          const float *bias, int32_t first, float *output) {
    for (int32_t x = 0; x < p->out_w; ++x) {
        for (int32_t oc = 0; oc < p->out_c; ++oc) {
            float best = -INFINITY;
            for (int32_t px = 0; px < p->pool_w; ++px) {
                const float acc =
                    conv_f32_accumulate(p, rows, 0, x * p->pool_stride_w + px, weights, oc, bias[oc]);
                best = acc > best ? acc : best;
            }
            const float value = clamp_f32(best, p->low, p->high);
            *output = first || value > *output ? value : *output;
            ++output;
        }
    }
}

KERNEL void conv_f32(const conv_params_f32 *p, const float *input, const float *weights, const float *bias,
                     const float **rows, float *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_f32(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                            in_row);
            conv_f32_row(p, rows, weights, bias, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
