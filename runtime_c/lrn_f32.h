/* float32 local response normalization across the channels of `n h w c`. */
#ifndef PINGPONNX_LRN_F32_H
#define PINGPONNX_LRN_F32_H

#include "kernel.h"

typedef struct {
    int32_t pixels, channels, before,
        after;               /* the window: channels before and after, and the channel itself */
    float alpha, beta, bias; /* alpha is divided by the window's size already */
} lrn_params_f32;

KERNEL void lrn_f32(const lrn_params_f32 *p, const float *input, float *output) {
    for (int32_t pixel = 0; pixel < p->pixels; ++pixel, input += p->channels) {
        for (int32_t c = 0; c < p->channels; ++c) {
            const int32_t first = max_s32(c - p->before, 0), last = min_s32(c + p->after, p->channels - 1);
            float squares = 0.0f;
            for (int32_t k = first; k <= last; ++k) {
                squares += input[k] * input[k];
            }
            *output++ = input[c] / powf(p->bias + p->alpha * squares, p->beta);
        }
    }
}

#endif
