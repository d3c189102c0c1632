/* Pooling over three axes of `maps` maps, channels first. */
#ifndef PINGPONNX_POOL_VOLUME_H
#define PINGPONNX_POOL_VOLUME_H

#include "volume.h"

typedef struct {
    int32_t maps;
    PINGPONNX_VOLUME;
    int32_t counted[3], padding, p, column_major;
} pool_volume_params;

/* `first`: the result of nothing; `seen`: what happens to it for the value x at index `at`; `last`: its end.
 */
#define PINGPONNX_POOL(name, type, wide, result, first, seen, last)                                          \
    KERNEL void name(const pool_volume_params *p, const type *input, result *output) {                       \
        for (int32_t map = 0; map < p->maps; ++map) {                                                        \
            const ptrdiff_t size = (ptrdiff_t)p->in[0] * p->in[1] * p->in[2];                                \
            const type *in = input + map * size;                                                             \
            int32_t o[3];                                                                                    \
            for (o[0] = 0; o[0] < p->out[0]; ++o[0]) {                                                       \
                for (o[1] = 0; o[1] < p->out[1]; ++o[1]) {                                                   \
                    for (o[2] = 0; o[2] < p->out[2]; ++o[2]) {                                               \
                        int32_t k[3], i[3], count = 0;                                                       \
                        ptrdiff_t best = -1;                                                                 \
                        wide sum = first;                                                                    \
                        for (k[0] = 0; k[0] < p->kernel[0]; ++k[0]) {                                        \
                            for (k[1] = 0; k[1] < p->kernel[1]; ++k[1]) {                                    \
                                for (k[2] = 0; k[2] < p->kernel[2]; ++k[2]) {                                \
                                    for (int32_t axis = 0; axis < 3; ++axis) {                               \
                                        i[axis] = volume_index(o[axis], k[axis], p->stride[axis],            \
                                                               p->dilation[axis], p->pad[axis]);             \
                                    }                                                                        \
                                    if (!volume_inside(i, p->in)) {                                          \
                                        count += p->padding && volume_inside_end(i, p->counted);             \
                                        continue;                                                            \
                                    }                                                                        \
                                    const ptrdiff_t at = volume_place(i, p->in);                             \
                                    const type x = in[at];                                                   \
                                    ++count;                                                                 \
                                    seen;                                                                    \
                                }                                                                            \
                            }                                                                                \
                        }                                                                                    \
                        (void)best;                                                                          \
                        (void)sum;                                                                           \
                        *output++ = (result)(last);                                                          \
                    }                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

/* The place of a value in column-major order. */
static inline ptrdiff_t volume_turned(ptrdiff_t at, const int32_t *size) {
    const ptrdiff_t c = at % size[2], b = at / size[2] % size[1], a = at / size[2] / size[1];
    return a + size[0] * (b + size[1] * c);
}

#define PINGPONNX_MAXIMA(s, t)                                                                               \
    PINGPONNX_POOL(pool_max_##s, t, t, t, 0, sum = count == 1 || x > sum || x != x ? x : sum, sum)           \
    PINGPONNX_POOL(pool_index_##s, t, t, int64_t, 0, best = best < 0 || x > in[best] ? at : best,            \
                   map * size + (p->column_major ? volume_turned(best, p->in) : best))

#define PINGPONNX_MEANS(s, t, m)                                                                             \
    PINGPONNX_POOL(pool_average_##s, t, t, t, 0, sum += x, sum / (t)count)                                   \
    PINGPONNX_POOL(pool_norm_##s, t, t, t, 0, sum += p->p == 2 ? x * x : m(pow)(m(fabs)(x), (t)p->p),        \
                   p->p == 2 ? m(sqrt)(sum) : m(pow)(sum, (t)1 / (t)p->p))

#define PINGPONNX_SINGLE(name) name##f
#define PINGPONNX_DOUBLE(name) name

PINGPONNX_MEANS(f32, float, PINGPONNX_SINGLE)
PINGPONNX_MEANS(f64, double, PINGPONNX_DOUBLE)
PINGPONNX_MAXIMA(f32, float)
PINGPONNX_MAXIMA(f64, double)
PINGPONNX_MAXIMA(s8, int8_t)
PINGPONNX_MAXIMA(u8, uint8_t)
PINGPONNX_MAXIMA(s16, int16_t)
PINGPONNX_MAXIMA(u16, uint16_t)
PINGPONNX_MAXIMA(s32, int32_t)
PINGPONNX_MAXIMA(u32, uint32_t)
PINGPONNX_MAXIMA(s64, int64_t)
PINGPONNX_MAXIMA(u64, uint64_t)

#undef PINGPONNX_SINGLE
#undef PINGPONNX_DOUBLE
#undef PINGPONNX_MEANS
#undef PINGPONNX_MAXIMA
#undef PINGPONNX_POOL

#endif
