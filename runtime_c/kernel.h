/* Common ground of all kernels: the integer contract of docs/integer-contract.md in C.
 *
 * Kernels are static inline functions that take a pointer to a file-scope `static const` struct, so the
 * compiler sees every shape and specialises them. Activations are `n h w c`.
 */
#ifndef PINGPONNX_KERNEL_H
#define PINGPONNX_KERNEL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One copy per call, specialised (speed); with PINGPONNX_SHARED_KERNELS one copy per file (size). */
#if defined(PINGPONNX_SHARED_KERNELS)
#define KERNEL static __attribute__((noinline, unused))
#else
#define KERNEL static inline __attribute__((unused))
#endif

/* Constants start at word boundaries, so that kernels may load words. */
#if defined(__cplusplus)
#define PINGPONNX_ALIGN(bytes) alignas(bytes)
#else
#define PINGPONNX_ALIGN(bytes) _Alignas(bytes)
#endif

/* The ABI of x86-64 lets compilers load arrays of 16 bytes and more as aligned to 16, unless their
 * declaration says otherwise, as well as their definition. */
#if defined(__x86_64__)
#define PINGPONNX_DECLARED(bytes) PINGPONNX_ALIGN(bytes)
#else
#define PINGPONNX_DECLARED(bytes)
#endif

/* For assembly that takes nearly all registers: only gcc's optimiser can hand them out. The C beside it
 * computes the same bytes. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define PINGPONNX_ALL_REGISTERS 1
#endif

/* The shift of a layer whose scales are all below one half under single rounding. */
#define PINGPONNX_PLAIN_SHIFT (-1)

/* acc * multiplier * 2^(shift - 31), rounded once (ties upwards), or twice as TFLite does. */
static inline int32_t requantize(int32_t acc, int32_t multiplier, int32_t shift) {
#if defined(PINGPONNX_ROUNDING_TFLITE)
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int64_t scaled = (int64_t)acc * ((int64_t)1 << left) * multiplier;
    const int32_t high = (int32_t)((scaled + ((int64_t)1 << 30)) >> 31);
    const int32_t mask = (int32_t)(((int64_t)1 << right) - 1);
    const int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
    return (high >> right) + ((high & mask) > threshold ? 1 : 0);
#else
    const int32_t total = 31 - shift;
    return (int32_t)(((int64_t)acc * multiplier + ((int64_t)1 << (total - 1))) >> total);
#endif
}

/* Requantize with entry `i` of the tables; a NULL shift table stands for PINGPONNX_PLAIN_SHIFT everywhere. */
static inline int32_t requantize_channel(int32_t acc, const int32_t *multiplier, const int8_t *shift,
                                         int32_t i) {
    return requantize(acc, multiplier[i], shift != NULL ? shift[i] : PINGPONNX_PLAIN_SHIFT);
}

static inline int32_t max_s32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t min_s32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int8_t clamp_s8(int32_t value, int32_t low, int32_t high) {
    return (int8_t)max_s32(low, min_s32(high, value));
}

/* NaN passes through, as in numpy.clip and onnxruntime. */
static inline float clamp_f32(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/* Row pointers of a window whose first row is `first`: NULL above and below the input. */
static inline void window_rows_s8(const int8_t **rows, int32_t count, const int8_t *input, int32_t first,
                                  int32_t in_h, int32_t row_values) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t y = first + i;
        rows[i] = y >= 0 && y < in_h ? input + (ptrdiff_t)y * row_values : NULL;
    }
}

static inline void window_rows_f32(const float **rows, int32_t count, const float *input, int32_t first,
                                   int32_t in_h, int32_t row_values) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t y = first + i;
        rows[i] = y >= 0 && y < in_h ? input + (ptrdiff_t)y * row_values : NULL;
    }
}

#endif
