/* Windows over three axes, channels first. */
#ifndef PINGPONNX_VOLUME_H
#define PINGPONNX_VOLUME_H

#include "kernel.h"

#define PINGPONNX_VOLUME int32_t in[3], out[3], kernel[3], stride[3], dilation[3], pad[3]

/* The input index that tap k of output o sees. */
static inline int32_t volume_index(int32_t o, int32_t k, int32_t stride, int32_t dilation, int32_t pad) {
    return o * stride + k * dilation - pad;
}

static inline int32_t volume_inside_end(const int32_t *i, const int32_t *end) {
    return i[0] < end[0] && i[1] < end[1] && i[2] < end[2];
}

static inline int32_t volume_inside(const int32_t *i, const int32_t *size) {
    return i[0] >= 0 && i[1] >= 0 && i[2] >= 0 && volume_inside_end(i, size);
}

static inline ptrdiff_t volume_place(const int32_t *i, const int32_t *size) {
    return ((ptrdiff_t)i[0] * size[1] + i[1]) * size[2] + i[2];
}

#endif
