/* Transposed convolution over three axes, channels first: weights `ic oc k k k`, bias may be NULL. */
#ifndef PINGPONNX_CONVTRANSPOSE_VOLUME_H
#define PINGPONNX_CONVTRANSPOSE_VOLUME_H

#include "volume.h"

typedef struct {
    int32_t batch, group, in_c, out_c; /* channels of a group */
    PINGPONNX_VOLUME;
} convtranspose_volume_params;

/* The input index that meets output o at tap k; -1 where there is none. */
static inline int32_t convtranspose_index(int32_t o, int32_t k, int32_t stride, int32_t dilation,
                                          int32_t pad) {
    const int32_t at = o + pad - k * dilation;
    return at >= 0 && at % stride == 0 ? at / stride : -1;
}

#define PINGPONNX_CONVTRANSPOSE_VOLUME(s, t)                                                                 \
    /* One output value: `input` and `weights` are those of the first channel of its group. */               \
    static inline t convtranspose_volume_value_##s(const convtranspose_volume_params *p, const t *input,     \
                                                   const t *weights, const int32_t *o) {                     \
        const ptrdiff_t size = (ptrdiff_t)p->in[0] * p->in[1] * p->in[2];                                    \
        const ptrdiff_t taps = (ptrdiff_t)p->kernel[0] * p->kernel[1] * p->kernel[2];                        \
        t sum = 0;                                                                                           \
        int32_t k[3], i[3];                                                                                  \
        for (k[0] = 0; k[0] < p->kernel[0]; ++k[0]) {                                                        \
            for (k[1] = 0; k[1] < p->kernel[1]; ++k[1]) {                                                    \
                for (k[2] = 0; k[2] < p->kernel[2]; ++k[2], ++weights) {                                     \
                    for (int32_t axis = 0; axis < 3; ++axis) {                                               \
                        i[axis] = convtranspose_index(o[axis], k[axis], p->stride[axis], p->dilation[axis],  \
                                                      p->pad[axis]);                                         \
                    }                                                                                        \
                    if (!volume_inside(i, p->in)) {                                                          \
                        continue;                                                                            \
                    }                                                                                        \
                    const t *value = input + volume_place(i, p->in), *weight = weights;                      \
                    for (int32_t c = 0; c < p->in_c; ++c, value += size, weight += taps * p->out_c) {        \
                        sum += *value * *weight;                                                             \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        return sum;                                                                                          \
    }                                                                                                        \
    KERNEL void convtranspose_volume_##s(const convtranspose_volume_params *p, const t *input,               \
                                         const t *weights, const t *bias, t *output) {                       \
        const ptrdiff_t in_size = (ptrdiff_t)p->in_c * p->in[0] * p->in[1] * p->in[2];                       \
        const ptrdiff_t taps = (ptrdiff_t)p->kernel[0] * p->kernel[1] * p->kernel[2];                        \
        for (int32_t b = 0; b < p->batch * p->group; ++b, input += in_size) {                                \
            const int32_t group = b % p->group;                                                              \
            const t *weight = weights + taps * p->out_c * p->in_c * group;                                   \
            for (int32_t c = 0; c < p->out_c; ++c, weight += taps) {                                         \
                const t start = bias != NULL ? bias[group * p->out_c + c] : 0;                               \
                int32_t o[3];                                                                                \
                for (o[0] = 0; o[0] < p->out[0]; ++o[0]) {                                                   \
                    for (o[1] = 0; o[1] < p->out[1]; ++o[1]) {                                               \
                        for (o[2] = 0; o[2] < p->out[2]; ++o[2]) {                                           \
                            *output++ = start + convtranspose_volume_value_##s(p, input, weight, o);         \
                        }                                                                                    \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

PINGPONNX_CONVTRANSPOSE_VOLUME(f32, float)
PINGPONNX_CONVTRANSPOSE_VOLUME(f64, double)

#undef PINGPONNX_CONVTRANSPOSE_VOLUME

#endif
