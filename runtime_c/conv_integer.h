/* ONNX ConvInteger in ONNX's own layout (n c h w, weights o i h w), both inputs 8-bit codes of either sign.
 */
#ifndef PINGPONNX_CONV_INTEGER_H
#define PINGPONNX_CONV_INTEGER_H

#include "integer_codes.h"

/* Zero points of the weights count by output channel when `w_zero_step` is 1. */
typedef struct {
    int32_t batch;
    int32_t groups;
    int32_t in_channels; /* of a group */
    int32_t out_channels;
    int32_t in_h;
    int32_t in_w;
    int32_t out_h;
    int32_t out_w;
    int32_t kernel_h;
    int32_t kernel_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t pad_top;
    int32_t pad_left;
    int32_t dilation_h;
    int32_t dilation_w;
    int32_t x_signed;
    int32_t w_signed;
    int32_t w_zero_step;
} conv_integer_params;

/* One sum; `x0` and `w0` are the first value of the group's channels and of the output channel's weights. */
static inline int32_t conv_integer_sum(const conv_integer_params *p, const void *x, const void *w,
                                       ptrdiff_t x0, ptrdiff_t w0, int32_t top, int32_t left, int32_t zx,
                                       int32_t zw) {
    uint32_t sum = 0;
    for (int32_t c = 0; c < p->in_channels; ++c) {
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            const int32_t y = top + ky * p->dilation_h;
            for (int32_t kx = 0; kx < p->kernel_w; ++kx) {
                const int32_t at = left + kx * p->dilation_w;
                if (y >= 0 && y < p->in_h && at >= 0 && at < p->in_w) {
                    const ptrdiff_t source = x0 + ((ptrdiff_t)c * p->in_h + y) * p->in_w + at;
                    const ptrdiff_t tap = w0 + ((ptrdiff_t)c * p->kernel_h + ky) * p->kernel_w + kx;
                    const int32_t value = code_at(x, source, p->x_signed) - zx;
                    sum += (uint32_t)(value * (code_at(w, tap, p->w_signed) - zw));
                }
            }
        }
    }
    return (int32_t)sum;
}

KERNEL void conv_integer(const conv_integer_params *p, const void *x, const void *w, const void *x_zero,
                         const void *w_zero, int32_t *output) {
    const int32_t zx = code_at(x_zero, 0, p->x_signed), outputs = p->out_channels / p->groups;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t o = 0; o < p->out_channels; ++o) {
            const ptrdiff_t first = ((ptrdiff_t)n * p->groups + o / outputs) * p->in_channels;
            const ptrdiff_t x0 = first * p->in_h * p->in_w;
            const ptrdiff_t w0 = (ptrdiff_t)o * p->in_channels * p->kernel_h * p->kernel_w;
            const int32_t zw = code_at(w_zero, o * p->w_zero_step, p->w_signed);
            for (int32_t y = 0; y < p->out_h; ++y) {
                for (int32_t at = 0; at < p->out_w; ++at) {
                    const int32_t top = y * p->stride_h - p->pad_top, left = at * p->stride_w - p->pad_left;
                    *output++ = conv_integer_sum(p, x, w, x0, w0, top, left, zx, zw);
                }
            }
        }
    }
}

#endif
