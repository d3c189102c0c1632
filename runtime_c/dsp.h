/* Instructions of the DSP extension (Cortex-M4, M7, M33), and what they mean for everybody else. */
#ifndef PINGPONNX_DSP_H
#define PINGPONNX_DSP_H

#include "kernel.h"

#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__ARM_FEATURE_MVE)
#define PINGPONNX_DSP 1
#endif

/* Four bytes as a word; compilers make one load of it, aligned or not. */
static inline uint32_t load_u32(const void *from) {
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* Bytes 0 and 2 as signed halves. */
static inline uint32_t sxtb16(uint32_t x) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("sxtb16 %0, %1" : "=r"(result) : "r"(x));
    return result;
#else
    return ((uint32_t)(int32_t)(int8_t)(x & 0xFFu) & 0xFFFFu) |
           ((uint32_t)(int32_t)(int8_t)(x >> 16 & 0xFFu) << 16);
#endif
}

/* Bytes 1 and 3 as signed halves. */
static inline uint32_t sxtb16_odd(uint32_t x) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(x));
    return result;
#else
    return sxtb16(x >> 8 | x << 24);
#endif
}

/* Sums of halves, each modulo 2^16. */
static inline uint32_t sadd16(uint32_t a, uint32_t b) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("sadd16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return ((a + b) & 0xFFFFu) | ((a & 0xFFFF0000u) + (b & 0xFFFF0000u));
#endif
}

/* Differences of halves, each modulo 2^16. */
static inline uint32_t ssub16(uint32_t a, uint32_t b) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("ssub16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return ((a - b) & 0xFFFFu) | ((a & 0xFFFF0000u) - (b & 0xFFFF0000u));
#endif
}

/* Bytes 0 and 2, or 1 and 3, plus the halves of `to`. */
static inline uint32_t sxtab16(uint32_t to, uint32_t x) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("sxtab16 %0, %1, %2" : "=r"(result) : "r"(to), "r"(x));
    return result;
#else
    const uint32_t halves = sxtb16(x);
    return ((to + halves) & 0xFFFFu) | ((to & 0xFFFF0000u) + (halves & 0xFFFF0000u));
#endif
}

static inline uint32_t sxtab16_odd(uint32_t to, uint32_t x) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(to), "r"(x));
    return result;
#else
    return sxtab16(to, x >> 8 | x << 24);
#endif
}

/* sum + a.low * b.low + a.high * b.high, modulo 2^32. */
static inline int32_t smlad(uint32_t a, uint32_t b, int32_t sum) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    const int32_t low = (int16_t)(a & 0xFFFFu) * (int16_t)(b & 0xFFFFu);
    const int32_t high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return (int32_t)((uint32_t)sum + (uint32_t)low + (uint32_t)high);
#endif
}

/* round(x * m / 2^32) + a, ties upwards. */
static inline int32_t smmlar(int32_t x, int32_t m, int32_t a) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(m), "r"(a));
    return result;
#else
    return (int32_t)(((int64_t)x * m + ((int64_t)1 << 31)) >> 32) + a;
#endif
}

/* The high word of x * m, plus a. */
static inline int32_t smmla(int32_t x, int32_t m, int32_t a) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("smmla %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(m), "r"(a));
    return result;
#else
    return (int32_t)(((int64_t)x * m) >> 32) + a;
#endif
}

/* The larger of four signed bytes each. */
static inline uint32_t max_s8x4(uint32_t a, uint32_t b) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("ssub8 %0, %1, %2\n\t"
          "sel %0, %1, %2"
          : "=&r"(result)
          : "r"(a), "r"(b)
          : "cc");
    return result;
#else
    uint32_t result = 0;
    for (int32_t i = 0; i < 32; i += 8) {
        const int32_t x = (int8_t)(a >> i & 0xFFu), y = (int8_t)(b >> i & 0xFFu);
        result |= (uint32_t)(uint8_t)max_s32(x, y) << i;
    }
    return result;
#endif
}

static inline int32_t ssat8(int32_t x) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("ssat %0, #8, %1" : "=r"(result) : "r"(x));
    return result;
#else
    return x < INT8_MIN ? INT8_MIN : x > INT8_MAX ? INT8_MAX : x;
#endif
}

#endif
