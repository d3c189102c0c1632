/* Between all element types. Real numbers go to integers through the widest one, so that all cores agree. */
#ifndef PINGPONNX_CAST_H
#define PINGPONNX_CAST_H

#include "kernel.h"

#define PINGPONNX_CAST(from, to, in, out, value)                                                             \
    KERNEL void cast_##from##_##to(int32_t count, const in *input, out *output) {                            \
        for (int32_t i = 0; i < count; ++i) {                                                                \
            const in x = input[i];                                                                           \
            output[i] = (out)(value);                                                                        \
        }                                                                                                    \
    }

#define PINGPONNX_CASTS_FROM(from, in, whole, wholeu)                                                        \
    PINGPONNX_CAST(from, f32, in, float, x)                                                                  \
    PINGPONNX_CAST(from, f64, in, double, x)                                                                 \
    PINGPONNX_CAST(from, s8, in, int8_t, whole)                                                              \
    PINGPONNX_CAST(from, u8, in, uint8_t, whole)                                                             \
    PINGPONNX_CAST(from, s16, in, int16_t, whole)                                                            \
    PINGPONNX_CAST(from, u16, in, uint16_t, whole)                                                           \
    PINGPONNX_CAST(from, s32, in, int32_t, whole)                                                            \
    PINGPONNX_CAST(from, u32, in, uint32_t, whole)                                                           \
    PINGPONNX_CAST(from, s64, in, int64_t, whole)                                                            \
    PINGPONNX_CAST(from, u64, in, uint64_t, wholeu)                                                          \
    PINGPONNX_CAST(from, bool, in, uint8_t, x != 0)

#define PINGPONNX_UNSIGNED (x < 0 ? (uint64_t)(int64_t)x : (uint64_t)x)

PINGPONNX_CASTS_FROM(f32, float, (int64_t)x, PINGPONNX_UNSIGNED)
PINGPONNX_CASTS_FROM(f64, double, (int64_t)x, PINGPONNX_UNSIGNED)
PINGPONNX_CASTS_FROM(s8, int8_t, x, x)
PINGPONNX_CASTS_FROM(u8, uint8_t, x, x)
PINGPONNX_CASTS_FROM(s16, int16_t, x, x)
PINGPONNX_CASTS_FROM(u16, uint16_t, x, x)
PINGPONNX_CASTS_FROM(s32, int32_t, x, x)
PINGPONNX_CASTS_FROM(u32, uint32_t, x, x)
PINGPONNX_CASTS_FROM(s64, int64_t, x, x)
PINGPONNX_CASTS_FROM(u64, uint64_t, x, x)
PINGPONNX_CASTS_FROM(bool, uint8_t, x, x)

#undef PINGPONNX_CAST
#undef PINGPONNX_CASTS_FROM
#undef PINGPONNX_UNSIGNED

#endif
