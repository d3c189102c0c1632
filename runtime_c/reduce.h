/* Reductions over any axes for all number types; sums of integers wrap around. */
#ifndef PINGPONNX_REDUCE_H
#define PINGPONNX_REDUCE_H

#include "kernel.h"

typedef struct {
    int32_t kept[4], kept_step[4], reduced[4], reduced_step[4];
} reduce_params;

/* Moves an index on along axes of the given sizes; returns the value's place, -1 after the last. */
static inline ptrdiff_t reduce_next(int32_t *index, const int32_t *size, const int32_t *step) {
    ptrdiff_t place = 0;
    int32_t carry = 1;
    for (int32_t axis = 3; axis >= 0; --axis) {
        index[axis] += carry;
        carry = index[axis] == size[axis];
        index[axis] = carry ? 0 : index[axis];
        place += (ptrdiff_t)index[axis] * step[axis];
    }
    return carry ? -1 : place;
}

static inline int32_t reduce_count(const int32_t *size) {
    return size[0] * size[1] * size[2] * size[3];
}

/* `first`: the sum of nothing; `next`: of the sum so far and x; `last`: what is stored of it and the count.
 */
#define PINGPONNX_REDUCE(name, type, wide, first, next, last)                                                \
    KERNEL void name(const reduce_params *p, const type *input, type *output) {                              \
        const int32_t count = reduce_count(p->reduced), outputs = reduce_count(p->kept);                     \
        int32_t kept[4] = {0};                                                                               \
        ptrdiff_t start = 0;                                                                                 \
        for (int32_t i = 0; i < outputs; ++i) {                                                              \
            int32_t reduced[4] = {0};                                                                        \
            ptrdiff_t place = 0;                                                                             \
            wide sum = first;                                                                                \
            for (int32_t j = 0; j < count; ++j) {                                                            \
                const type x = input[start + place];                                                         \
                sum = (wide)(next);                                                                          \
                place = reduce_next(reduced, p->reduced, p->reduced_step);                                   \
            }                                                                                                \
            *output++ = (type)(last);                                                                        \
            start = reduce_next(kept, p->kept, p->kept_step);                                                \
        }                                                                                                    \
    }

#define PINGPONNX_REAL_REDUCTIONS(s, t, m)                                                                   \
    PINGPONNX_REDUCE(reducesum_##s, t, t, 0, sum + x, sum)                                                   \
    PINGPONNX_REDUCE(reducemean_##s, t, t, 0, sum + x, sum / (t)count)                                       \
    PINGPONNX_REDUCE(reduceprod_##s, t, t, 1, sum *x, sum)                                                   \
    PINGPONNX_REDUCE(reducemax_##s, t, t, (t) - INFINITY, sum >= x || sum != sum ? sum : x, sum)             \
    PINGPONNX_REDUCE(reducemin_##s, t, t, (t)INFINITY, sum <= x || sum != sum ? sum : x, sum)                \
    PINGPONNX_REDUCE(reducel1_##s, t, t, 0, sum + m(fabs)(x), sum)                                           \
    PINGPONNX_REDUCE(reducel2_##s, t, t, 0, sum + x * x, m(sqrt)(sum))                                       \
    PINGPONNX_REDUCE(reducesumsquare_##s, t, t, 0, sum + x * x, sum)                                         \
    PINGPONNX_REDUCE(reducelogsum_##s, t, t, 0, sum + x, m(log)(sum))                                        \
    PINGPONNX_REDUCE(reducelogsumexp_##s, t, t, (t) - INFINITY, log_sum_exp_##s(sum, x), sum)

/* log(exp(a) + exp(b)) without overflow. */
static inline float log_sum_exp_f32(float a, float b) {
    const float high = a > b ? a : b, low = a > b ? b : a;
    return low == -INFINITY ? high : high + log1pf(expf(low - high));
}

static inline double log_sum_exp_f64(double a, double b) {
    const double high = a > b ? a : b, low = a > b ? b : a;
    return low == -(double)INFINITY ? high : high + log1p(exp(low - high));
}

/* v: the widest type, with a sign if t has one. */
#define PINGPONNX_INTEGER_REDUCTIONS(s, t, v, lowest, highest)                                               \
    PINGPONNX_REDUCE(reducesum_##s, t, uint64_t, 0, sum + (uint64_t)x, sum)                                  \
    PINGPONNX_REDUCE(reducemean_##s, t, uint64_t, 0, sum + (uint64_t)x, count ? (v)sum / (v)count : 0)       \
    PINGPONNX_REDUCE(reduceprod_##s, t, uint64_t, 1, sum *(uint64_t)x, sum)                                  \
    PINGPONNX_REDUCE(reducemax_##s, t, t, lowest, sum > x ? sum : x, sum)                                    \
    PINGPONNX_REDUCE(reducemin_##s, t, t, highest, sum < x ? sum : x, sum)                                   \
    PINGPONNX_REDUCE(reducel1_##s, t, uint64_t, 0, sum + (x > 0 ? (uint64_t)x : 0u - (uint64_t)x), sum)      \
    PINGPONNX_REDUCE(reducel2_##s, t, uint64_t, 0, sum + (uint64_t)x * (uint64_t)x, sqrt((double)sum))       \
    PINGPONNX_REDUCE(reducesumsquare_##s, t, uint64_t, 0, sum + (uint64_t)x * (uint64_t)x, sum)

#define PINGPONNX_SINGLE(name) name##f
#define PINGPONNX_DOUBLE(name) name

PINGPONNX_REAL_REDUCTIONS(f32, float, PINGPONNX_SINGLE)
PINGPONNX_REAL_REDUCTIONS(f64, double, PINGPONNX_DOUBLE)
PINGPONNX_INTEGER_REDUCTIONS(s8, int8_t, int64_t, INT8_MIN, INT8_MAX)
PINGPONNX_INTEGER_REDUCTIONS(u8, uint8_t, uint64_t, 0, UINT8_MAX)
PINGPONNX_INTEGER_REDUCTIONS(s16, int16_t, int64_t, INT16_MIN, INT16_MAX)
PINGPONNX_INTEGER_REDUCTIONS(u16, uint16_t, uint64_t, 0, UINT16_MAX)
PINGPONNX_INTEGER_REDUCTIONS(s32, int32_t, int64_t, INT32_MIN, INT32_MAX)
PINGPONNX_INTEGER_REDUCTIONS(u32, uint32_t, uint64_t, 0, UINT32_MAX)
PINGPONNX_INTEGER_REDUCTIONS(s64, int64_t, int64_t, INT64_MIN, INT64_MAX)
PINGPONNX_INTEGER_REDUCTIONS(u64, uint64_t, uint64_t, 0, UINT64_MAX)

PINGPONNX_REDUCE(reducemax_bool, uint8_t, uint8_t, 0, sum | x, sum)
PINGPONNX_REDUCE(reducemin_bool, uint8_t, uint8_t, 1, sum &x, sum)

#undef PINGPONNX_SINGLE
#undef PINGPONNX_DOUBLE
#undef PINGPONNX_REDUCE
#undef PINGPONNX_REAL_REDUCTIONS
#undef PINGPONNX_INTEGER_REDUCTIONS

#endif
