/* Along one axis, for all number types: lanes of `length` values that are `inner` apart. */
#ifndef PINGPONNX_LANES_H
#define PINGPONNX_LANES_H

#include "kernel.h"

typedef struct {
    int32_t outer, length, inner;
} lane_params;

/* Whether x comes before y, the `last` of equal ones if wished. */
#define PINGPONNX_BEFORE(x, y, smallest, last) ((smallest) ? (x) < (y) : (x) > (y)) || ((last) && (x) == (y))

#define PINGPONNX_LANES(s, t, w)                                                                             \
    KERNEL void arg_extreme_##s(const lane_params *p, int32_t smallest, int32_t last, const t *input,        \
                                int64_t *output) {                                                           \
        for (int32_t o = 0; o < p->outer; ++o, input += (ptrdiff_t)p->length * p->inner) {                   \
            for (int32_t lane = 0; lane < p->inner; ++lane) {                                                \
                int32_t best = 0;                                                                            \
                for (int32_t i = 1; i < p->length; ++i) {                                                    \
                    const t x = input[(ptrdiff_t)i * p->inner + lane];                                       \
                    const t y = input[(ptrdiff_t)best * p->inner + lane];                                    \
                    best = PINGPONNX_BEFORE(x, y, smallest, last) ? i : best;                                \
                }                                                                                            \
                *output++ = best;                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL void cumulate_##s(const lane_params *p, int32_t product, int32_t exclusive, int32_t reverse,      \
                             const t *input, t *output) {                                                    \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t lane = 0; lane < p->inner; ++lane) {                                                \
                w total = (w)(product ? 1 : 0);                                                              \
                for (int32_t i = 0; i < p->length; ++i) {                                                    \
                    const int32_t k = reverse ? p->length - 1 - i : i;                                       \
                    const ptrdiff_t at = ((ptrdiff_t)o * p->length + k) * p->inner + lane;                   \
                    const w before = total, x = (w)input[at];                                                \
                    total = (w)(product ? total * x : total + x);                                            \
                    output[at] = (t)(exclusive ? before : total);                                            \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    /* The index that follows `previous` (-1: the first) in the order of values, then of indices. */         \
    static inline int32_t next_##s(const lane_params *p, int32_t smallest, const t *lane,                    \
                                   int32_t previous) {                                                       \
        int32_t best = -1;                                                                                   \
        for (int32_t i = 0; i < p->length; ++i) {                                                            \
            const t x = lane[(ptrdiff_t)i * p->inner];                                                       \
            if (previous >= 0) {                                                                             \
                const t y = lane[(ptrdiff_t)previous * p->inner];                                            \
                if ((smallest ? x < y : x > y) || (x == y && i <= previous)) {                               \
                    continue;                                                                                \
                }                                                                                            \
            }                                                                                                \
            if (best < 0 ||                                                                                  \
                (smallest ? x < lane[(ptrdiff_t)best * p->inner] : x > lane[(ptrdiff_t)best * p->inner])) {  \
                best = i;                                                                                    \
            }                                                                                                \
        }                                                                                                    \
        return best < 0 ? 0 : best;                                                                          \
    }                                                                                                        \
    KERNEL void top_indices_##s(const lane_params *p, int32_t count, int32_t smallest, const t *input,       \
                                int64_t *output) {                                                           \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t lane = 0; lane < p->inner; ++lane) {                                                \
                int32_t previous = -1;                                                                       \
                for (int32_t k = 0; k < count; ++k) {                                                        \
                    previous = next_##s(p, smallest, input + lane, previous);                                \
                    output[(ptrdiff_t)k * p->inner + lane] = previous;                                       \
                }                                                                                            \
            }                                                                                                \
            input += (ptrdiff_t)p->length * p->inner;                                                        \
            output += (ptrdiff_t)count * p->inner;                                                           \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL void top_values_##s(const lane_params *p, int32_t count, int32_t smallest, const t *input,        \
                               t *output) {                                                                  \
        for (int32_t o = 0; o < p->outer; ++o) {                                                             \
            for (int32_t lane = 0; lane < p->inner; ++lane) {                                                \
                int32_t previous = -1;                                                                       \
                for (int32_t k = 0; k < count; ++k) {                                                        \
                    previous = next_##s(p, smallest, input + lane, previous);                                \
                    output[(ptrdiff_t)k * p->inner + lane] = input[(ptrdiff_t)previous * p->inner + lane];   \
                }                                                                                            \
            }                                                                                                \
            input += (ptrdiff_t)p->length * p->inner;                                                        \
            output += (ptrdiff_t)count * p->inner;                                                           \
        }                                                                                                    \
    }

PINGPONNX_LANES(f32, float, float)
PINGPONNX_LANES(f64, double, double)
PINGPONNX_LANES(s8, int8_t, uint64_t)
PINGPONNX_LANES(u8, uint8_t, uint64_t)
PINGPONNX_LANES(s16, int16_t, uint64_t)
PINGPONNX_LANES(u16, uint16_t, uint64_t)
PINGPONNX_LANES(s32, int32_t, uint64_t)
PINGPONNX_LANES(u32, uint32_t, uint64_t)
PINGPONNX_LANES(s64, int64_t, uint64_t)
PINGPONNX_LANES(u64, uint64_t, uint64_t)

#undef PINGPONNX_BEFORE
#undef PINGPONNX_LANES

#endif
