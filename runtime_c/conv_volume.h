/* Convolution over three axes, channels first: weights `o c k k k`, bias may be NULL. */
#ifndef PINGPONNX_CONV_VOLUME_H
#define PINGPONNX_CONV_VOLUME_H

#include "volume.h"

typedef struct {
    int32_t batch, group, in_c, out_c; /* channels of a group */
    PINGPONNX_VOLUME;
} conv_volume_params;

#define PINGPONNX_CONV_VOLUME(s, t)                                                                          \
    /* One output value: a window over the channels of a group. */                                           \
    static inline t conv_volume_value_##s(const conv_volume_params *p, const t *input, const t *weights,     \
                                          const int32_t *o) {                                                \
        const ptrdiff_t size = (ptrdiff_t)p->in[0] * p->in[1] * p->in[2];                                    \
        t sum = 0;                                                                                           \
        for (int32_t c = 0; c < p->in_c; ++c, input += size) {                                               \
            int32_t k[3], i[3];                                                                              \
            for (k[0] = 0; k[0] < p->kernel[0]; ++k[0]) {                                                    \
                for (k[1] = 0; k[1] < p->kernel[1]; ++k[1]) {                                                \
                    for (k[2] = 0; k[2] < p->kernel[2]; ++k[2], ++weights) {                                 \
                        for (int32_t axis = 0; axis < 3; ++axis) {                                           \
                            i[axis] = volume_index(o[axis], k[axis], p->stride[axis], p->dilation[axis],     \
                                                   p->pad[axis]);                                            \
                        }                                                                                    \
                        if (volume_inside(i, p->in)) {                                                       \
                            sum += input[volume_place(i, p->in)] * *weights;                                 \
                        }                                                                                    \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        return sum;                                                                                          \
    }                                                                                                        \
    KERNEL void conv_volume_##s(const conv_volume_params *p, const t *input, const t *weights,               \
                                const t *bias, t *output) {                                                  \
        const ptrdiff_t in_size = (ptrdiff_t)p->in_c * p->in[0] * p->in[1] * p->in[2];                       \
        const ptrdiff_t taps = (ptrdiff_t)p->in_c * p->kernel[0] * p->kernel[1] * p->kernel[2];              \
        for (int32_t b = 0; b < p->batch * p->group; ++b, input += in_size) {                                \
            for (int32_t c = 0; c < p->out_c; ++c) {                                                         \
                const int32_t channel = b % p->group * p->out_c + c;                                         \
                int32_t o[3];                                                                                \
                for (o[0] = 0; o[0] < p->out[0]; ++o[0]) {                                                   \
                    for (o[1] = 0; o[1] < p->out[1]; ++o[1]) {                                               \
                        for (o[2] = 0; o[2] < p->out[2]; ++o[2]) {                                           \
                            const t sum = conv_volume_value_##s(p, input, weights + channel * taps, o);      \
                            *output++ = bias != NULL ? sum + bias[channel] : sum;                            \
                        }                                                                                    \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

PINGPONNX_CONV_VOLUME(f32, float)
PINGPONNX_CONV_VOLUME(f64, double)

#undef PINGPONNX_CONV_VOLUME

#endif
