/* Functions of two broadcast values for all number types; integers wrap around. */
#ifndef PINGPONNX_ELEMENTWISE_H
#define PINGPONNX_ELEMENTWISE_H

#include "broadcast.h"

#define PINGPONNX_ORDER(s, t)                                                                                \
    PINGPONNX_BROADCAST(each_equal_##s, t, t, uint8_t, x == y)                                               \
    PINGPONNX_BROADCAST(each_greater_##s, t, t, uint8_t, x > y)                                              \
    PINGPONNX_BROADCAST(each_greaterorequal_##s, t, t, uint8_t, x >= y)                                      \
    PINGPONNX_BROADCAST(each_less_##s, t, t, uint8_t, x < y)                                                 \
    PINGPONNX_BROADCAST(each_lessorequal_##s, t, t, uint8_t, x <= y)                                         \
    PINGPONNX_BROADCAST(each_max_##s, t, t, t, x >= y || x != x ? x : y)                                     \
    PINGPONNX_BROADCAST(each_min_##s, t, t, t, x <= y || x != x ? x : y)

/* The rest with the sign of the divisor. */
#define PINGPONNX_REAL_PAIRS(s, t, m)                                                                        \
    PINGPONNX_ORDER(s, t)                                                                                    \
    static inline t modulo_##s(t x, t y) {                                                                   \
        const t rest = m(fmod)(x, y);                                                                        \
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;                                         \
    }                                                                                                        \
    PINGPONNX_BROADCAST(each_add_##s, t, t, t, x + y)                                                        \
    PINGPONNX_BROADCAST(each_sub_##s, t, t, t, x - y)                                                        \
    PINGPONNX_BROADCAST(each_mul_##s, t, t, t, x *y)                                                         \
    PINGPONNX_BROADCAST(each_div_##s, t, t, t, x / y)                                                        \
    PINGPONNX_BROADCAST(each_mod_##s, t, t, t, modulo_##s(x, y))                                             \
    PINGPONNX_BROADCAST(each_fmod_##s, t, t, t, m(fmod)(x, y))                                               \
    PINGPONNX_BROADCAST(each_prelu_##s, t, t, t, x < 0 ? x * y : x)

/* `minus` says whether y is -1: no signed quotient overflows but by it. w: as wide, without sign. */
#define PINGPONNX_INTEGER_PAIRS(s, t, w, minus)                                                              \
    PINGPONNX_ORDER(s, t)                                                                                    \
    static inline t quotient_##s(t x, t y) {                                                                 \
        return (t)(y == 0 ? 0 : minus ? (t)((w)0 - (w)x) : (t)(x / y));                                      \
    }                                                                                                        \
    static inline t rest_##s(t x, t y) {                                                                     \
        return (t)(y == 0 || minus ? 0 : x % y);                                                             \
    }                                                                                                        \
    static inline t modulo_##s(t x, t y) {                                                                   \
        const t rest = rest_##s(x, y);                                                                       \
        return (t)(rest != 0 && (rest > 0) != (y > 0) ? rest + y : rest);                                    \
    }                                                                                                        \
    PINGPONNX_BROADCAST(each_add_##s, t, t, t, (w)x + (w)y)                                                  \
    PINGPONNX_BROADCAST(each_sub_##s, t, t, t, (w)x - (w)y)                                                  \
    PINGPONNX_BROADCAST(each_mul_##s, t, t, t, (w)x *(w)y)                                                   \
    PINGPONNX_BROADCAST(each_div_##s, t, t, t, quotient_##s(x, y))                                           \
    PINGPONNX_BROADCAST(each_mod_##s, t, t, t, modulo_##s(x, y))                                             \
    PINGPONNX_BROADCAST(each_fmod_##s, t, t, t, rest_##s(x, y))                                              \
    PINGPONNX_BROADCAST(each_prelu_##s, t, t, t, x > 0 || x == 0 ? (w)x : (w)x * (w)y)                       \
    PINGPONNX_BROADCAST(each_bitwiseand_##s, t, t, t, x &y)                                                  \
    PINGPONNX_BROADCAST(each_bitwiseor_##s, t, t, t, x | y)                                                  \
    PINGPONNX_BROADCAST(each_bitwisexor_##s, t, t, t, x ^ y)

#define PINGPONNX_SINGLE(name) name##f
#define PINGPONNX_DOUBLE(name) name

PINGPONNX_REAL_PAIRS(f32, float, PINGPONNX_SINGLE)
PINGPONNX_REAL_PAIRS(f64, double, PINGPONNX_DOUBLE)
PINGPONNX_INTEGER_PAIRS(s8, int8_t, uint32_t, y == -1)
PINGPONNX_INTEGER_PAIRS(u8, uint8_t, uint32_t, 0)
PINGPONNX_INTEGER_PAIRS(s16, int16_t, uint32_t, y == -1)
PINGPONNX_INTEGER_PAIRS(u16, uint16_t, uint32_t, 0)
PINGPONNX_INTEGER_PAIRS(s32, int32_t, uint32_t, y == -1)
PINGPONNX_INTEGER_PAIRS(u32, uint32_t, uint32_t, 0)
PINGPONNX_INTEGER_PAIRS(s64, int64_t, uint64_t, y == -1)
PINGPONNX_INTEGER_PAIRS(u64, uint64_t, uint64_t, 0)

/* By as many bits as the type has, or more, all are shifted out. */
PINGPONNX_BROADCAST(each_bitshift_left_u8, uint8_t, uint8_t, uint8_t, y < 8 ? (uint32_t)x << y : 0)
PINGPONNX_BROADCAST(each_bitshift_right_u8, uint8_t, uint8_t, uint8_t, y < 8 ? x >> y : 0)
PINGPONNX_BROADCAST(each_bitshift_left_u16, uint16_t, uint16_t, uint16_t, y < 16 ? (uint32_t)x << y : 0)
PINGPONNX_BROADCAST(each_bitshift_right_u16, uint16_t, uint16_t, uint16_t, y < 16 ? x >> y : 0)
PINGPONNX_BROADCAST(each_bitshift_left_u32, uint32_t, uint32_t, uint32_t, y < 32 ? (uint32_t)x << y : 0)
PINGPONNX_BROADCAST(each_bitshift_right_u32, uint32_t, uint32_t, uint32_t, y < 32 ? x >> y : 0)
PINGPONNX_BROADCAST(each_bitshift_left_u64, uint64_t, uint64_t, uint64_t, y < 64 ? (uint64_t)x << y : 0)
PINGPONNX_BROADCAST(each_bitshift_right_u64, uint64_t, uint64_t, uint64_t, y < 64 ? x >> y : 0)

PINGPONNX_BROADCAST(each_equal_bool, uint8_t, uint8_t, uint8_t, x == y)
PINGPONNX_BROADCAST(each_and_bool, uint8_t, uint8_t, uint8_t, x &y)
PINGPONNX_BROADCAST(each_or_bool, uint8_t, uint8_t, uint8_t, x | y)
PINGPONNX_BROADCAST(each_xor_bool, uint8_t, uint8_t, uint8_t, x ^ y)

/* Exponentiation by squaring; negative powers are 0 but of 1 and -1. */
static inline int64_t integer_power(int64_t base, int64_t exponent) {
    if (exponent < 0) {
        return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
    }
    uint64_t result = 1, square = (uint64_t)base;
    for (; exponent > 0; exponent >>= 1, square *= square) {
        result *= exponent & 1 ? square : 1;
    }
    return (int64_t)result;
}

#define PINGPONNX_POWERS(s, t)                                                                               \
    PINGPONNX_BROADCAST(each_pow_f32_##s, float, t, float, powf(x, (float)y))                                \
    PINGPONNX_BROADCAST(each_pow_f64_##s, double, t, double, pow(x, (double)y))                              \
    PINGPONNX_BROADCAST(each_pow_s32_##s, int32_t, t, int32_t, integer_power(x, (int64_t)y))                 \
    PINGPONNX_BROADCAST(each_pow_s64_##s, int64_t, t, int64_t, integer_power(x, (int64_t)y))

PINGPONNX_POWERS(s8, int8_t)
PINGPONNX_POWERS(u8, uint8_t)
PINGPONNX_POWERS(s16, int16_t)
PINGPONNX_POWERS(u16, uint16_t)
PINGPONNX_POWERS(s32, int32_t)
PINGPONNX_POWERS(u32, uint32_t)
PINGPONNX_POWERS(s64, int64_t)
PINGPONNX_POWERS(u64, uint64_t)

#undef PINGPONNX_POWERS

#define PINGPONNX_POWERS(s, t)                                                                               \
    PINGPONNX_BROADCAST(each_pow_f32_##s, float, t, float, powf(x, (float)y))                                \
    PINGPONNX_BROADCAST(each_pow_f64_##s, double, t, double, pow(x, (double)y))                              \
    PINGPONNX_BROADCAST(each_pow_s32_##s, int32_t, t, int32_t, (int64_t)pow(x, (double)y))                   \
    PINGPONNX_BROADCAST(each_pow_s64_##s, int64_t, t, int64_t, (int64_t)pow((double)x, (double)y))

PINGPONNX_POWERS(f32, float)
PINGPONNX_POWERS(f64, double)

#undef PINGPONNX_POWERS
#undef PINGPONNX_SINGLE
#undef PINGPONNX_DOUBLE
#undef PINGPONNX_ORDER
#undef PINGPONNX_REAL_PAIRS
#undef PINGPONNX_INTEGER_PAIRS

#endif
