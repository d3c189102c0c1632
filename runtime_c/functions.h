/* Functions of one value, without and with parameters a and b, for all types that have them. In place is
 * safe. */
#ifndef PINGPONNX_FUNCTIONS_H
#define PINGPONNX_FUNCTIONS_H

#include "kernel.h"

#define PINGPONNX_FUNCTION(name, in, out, value)                                                             \
    KERNEL void name(int32_t count, const in *input, out *output) {                                          \
        for (int32_t i = 0; i < count; ++i) {                                                                \
            const in x = input[i];                                                                           \
            output[i] = (out)(value);                                                                        \
        }                                                                                                    \
    }

#define PINGPONNX_FUNCTION_A(name, in, out, value)                                                           \
    KERNEL void name(int32_t count, float a, const in *input, out *output) {                                 \
        for (int32_t i = 0; i < count; ++i) {                                                                \
            const in x = input[i];                                                                           \
            output[i] = (out)(value);                                                                        \
        }                                                                                                    \
    }

#define PINGPONNX_FUNCTION_AB(name, in, out, value)                                                          \
    KERNEL void name(int32_t count, float a, float b, const in *input, out *output) {                        \
        for (int32_t i = 0; i < count; ++i) {                                                                \
            const in x = input[i];                                                                           \
            output[i] = (out)(value);                                                                        \
        }                                                                                                    \
    }

/* The functions of real numbers: m(exp) is expf or exp, one and so on are in the type itself. */
#define PINGPONNX_REAL_FUNCTIONS(s, t, m)                                                                    \
    PINGPONNX_FUNCTION(abs_##s, t, t, m(fabs)(x))                                                            \
    PINGPONNX_FUNCTION(neg_##s, t, t, -x)                                                                    \
    PINGPONNX_FUNCTION(sign_##s, t, t, x > 0 ? (t)1 : x < 0 ? (t) - 1 : x)                                   \
    PINGPONNX_FUNCTION(exp_##s, t, t, m(exp)(x))                                                             \
    PINGPONNX_FUNCTION(log_##s, t, t, m(log)(x))                                                             \
    PINGPONNX_FUNCTION(sqrt_##s, t, t, m(sqrt)(x))                                                           \
    PINGPONNX_FUNCTION(reciprocal_##s, t, t, (t)1 / x)                                                       \
    PINGPONNX_FUNCTION(floor_##s, t, t, m(floor)(x))                                                         \
    PINGPONNX_FUNCTION(ceil_##s, t, t, m(ceil)(x))                                                           \
    PINGPONNX_FUNCTION(round_##s, t, t, m(rint)(x))                                                          \
    PINGPONNX_FUNCTION(erf_##s, t, t, m(erf)(x))                                                             \
    PINGPONNX_FUNCTION(sin_##s, t, t, m(sin)(x))                                                             \
    PINGPONNX_FUNCTION(cos_##s, t, t, m(cos)(x))                                                             \
    PINGPONNX_FUNCTION(tan_##s, t, t, m(tan)(x))                                                             \
    PINGPONNX_FUNCTION(asin_##s, t, t, m(asin)(x))                                                           \
    PINGPONNX_FUNCTION(acos_##s, t, t, m(acos)(x))                                                           \
    PINGPONNX_FUNCTION(atan_##s, t, t, m(atan)(x))                                                           \
    PINGPONNX_FUNCTION(sinh_##s, t, t, m(sinh)(x))                                                           \
    PINGPONNX_FUNCTION(cosh_##s, t, t, m(cosh)(x))                                                           \
    PINGPONNX_FUNCTION(asinh_##s, t, t, m(asinh)(x))                                                         \
    PINGPONNX_FUNCTION(acosh_##s, t, t, m(acosh)(x))                                                         \
    PINGPONNX_FUNCTION(atanh_##s, t, t, m(atanh)(x))                                                         \
    PINGPONNX_FUNCTION(softsign_##s, t, t, x / ((t)1 + m(fabs)(x)))                                          \
    PINGPONNX_FUNCTION(softplus_##s, t, t, m(fmax)(x, (t)0) + m(log1p)(m(exp)(-m(fabs)(x))))                 \
    PINGPONNX_FUNCTION(mish_##s, t, t, x *m(tanh)(m(fmax)(x, (t)0) + m(log1p)(m(exp)(-m(fabs)(x)))))         \
    PINGPONNX_FUNCTION(hardswish_##s, t, t, x *m(fmax)(m(fmin)(x / (t)6 + (t)0.5, (t)1), (t)0))              \
    PINGPONNX_FUNCTION(gelu_##s, t, t, (t)0.5 * x * ((t)1 + m(erf)(x * (t)0.70710678118654752440)))          \
    PINGPONNX_FUNCTION(gelu_tanh_##s, t, t,                                                                  \
                       (t)0.5 * x *                                                                          \
                           ((t)1 + m(tanh)((t)0.79788456080286535588 * (x + (t)0.044715 * x * x * x))))      \
    PINGPONNX_FUNCTION_A(elu_##s, t, t, x < 0 ? (t)a * m(expm1)(x) : x)                                      \
    PINGPONNX_FUNCTION_A(celu_##s, t, t, x < 0 ? (t)a * m(expm1)(x / (t)a) : x)                              \
    PINGPONNX_FUNCTION_A(swish_##s, t, t, x / ((t)1 + m(exp)(-(t)a * x)))                                    \
    PINGPONNX_FUNCTION_A(thresholdedrelu_##s, t, t, x > (t)a ? x : (t)0)                                     \
    PINGPONNX_FUNCTION_AB(selu_##s, t, t, (t)b *(x > 0 ? x : (t)a * m(expm1)(x)))                            \
    PINGPONNX_FUNCTION_AB(hardsigmoid_##s, t, t, m(fmax)(m(fmin)((t)a * x + (t)b, (t)1), (t)0))              \
    PINGPONNX_FUNCTION_AB(shrink_##s, t, t, x<-(t)a ? x + (t)b : x>(t) a ? x - (t)b : (t)0)                  \
    PINGPONNX_FUNCTION(isnan_##s, t, uint8_t, x != x)                                                        \
    PINGPONNX_FUNCTION_AB(isinf_##s, t, uint8_t, (a > 0 && x == -(t)INFINITY) || (b > 0 && x == (t)INFINITY))

#define PINGPONNX_SINGLE(name) name##f
#define PINGPONNX_DOUBLE(name) name

PINGPONNX_REAL_FUNCTIONS(f32, float, PINGPONNX_SINGLE)
PINGPONNX_REAL_FUNCTIONS(f64, double, PINGPONNX_DOUBLE)

#undef PINGPONNX_SINGLE
#undef PINGPONNX_DOUBLE
#undef PINGPONNX_REAL_FUNCTIONS

/* The functions of integers; sums wrap around. */
#define PINGPONNX_INTEGER_FUNCTIONS(s, t)                                                                    \
    PINGPONNX_FUNCTION(plain_abs_##s, t, t, x > 0 ? (uint64_t)x : (uint64_t)0 - (uint64_t)x)                 \
    PINGPONNX_FUNCTION(plain_neg_##s, t, t, (uint64_t)0 - (uint64_t)x)                                       \
    PINGPONNX_FUNCTION(plain_sign_##s, t, t, x > 0 ? 1 : x == 0 ? 0 : -1)                                    \
    PINGPONNX_FUNCTION(bitwise_not_##s, t, t, ~(uint64_t)x)                                                  \
    PINGPONNX_FUNCTION_AB(plain_shrink_##s, t, t,                                                            \
                          (float)x<-a ? (float)x + b : (float)x> a ? (float)x - b : 0.0f)

PINGPONNX_INTEGER_FUNCTIONS(s8, int8_t)
PINGPONNX_INTEGER_FUNCTIONS(u8, uint8_t)
PINGPONNX_INTEGER_FUNCTIONS(s16, int16_t)
PINGPONNX_INTEGER_FUNCTIONS(u16, uint16_t)
PINGPONNX_INTEGER_FUNCTIONS(s32, int32_t)
PINGPONNX_INTEGER_FUNCTIONS(u32, uint32_t)
PINGPONNX_INTEGER_FUNCTIONS(s64, int64_t)
PINGPONNX_INTEGER_FUNCTIONS(u64, uint64_t)

#undef PINGPONNX_INTEGER_FUNCTIONS

PINGPONNX_FUNCTION(not_bool, uint8_t, uint8_t, x == 0)

#undef PINGPONNX_FUNCTION
#undef PINGPONNX_FUNCTION_A
#undef PINGPONNX_FUNCTION_AB

#endif
