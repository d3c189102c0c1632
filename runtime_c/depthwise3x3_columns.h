/* Three rows of int8 pixels as pairs of columns, see depthwise3x3_s8.h. */
#ifndef PINGPONNX_DEPTHWISE3X3_COLUMNS_H
#define PINGPONNX_DEPTHWISE3X3_COLUMNS_H

#include "dsp.h"

/* A pair of columns of two channels, as it is laid out. */
typedef struct {
    uint32_t first, second; /* bytes: channels 0 and 1 of row 0, then of row 1 */
    uint32_t row2;          /* bytes: channels 0 and 1 of the first column, then of the second */
} depthwise3x3_columns;

/* The low halves of two words. */
static inline uint32_t low_halves(uint32_t first, uint32_t second) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(first), "r"(second));
    return result;
#else
    return (first & 0xFFFFu) | second << 16;
#endif
}

/* The high halves of two words. */
static inline uint32_t high_halves(uint32_t first, uint32_t second) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(second), "r"(first));
    return result;
#else
    return first >> 16 | (second & 0xFFFF0000u);
#endif
}

/* All 14 registers: compilers that keep a frame pointer cannot, nor can gcc without optimisation. */
#if defined(PINGPONNX_DSP) && defined(__OPTIMIZE__) && !defined(__clang__)
#define DEPTHWISE3X3_ASM 1
#endif

/* Where the next columns of the three rows are, four channels of them, and how far the ones behind. */
typedef struct {
    const int8_t *top, *middle, *bottom;
    int32_t top_step, step, bottom_step; /* 0: padding, of which there is a word */
} depthwise3x3_source;

/* One pair of columns, the first and second inside of the input or not. */
static inline void depthwise3x3_lay_out_edge(depthwise3x3_source *from, uint32_t padding, int32_t first,
                                             int32_t second, depthwise3x3_columns *out, int32_t pairs) {
    uint32_t words[2][3];
    for (int32_t i = 0; i < 2; ++i) {
        const int32_t inside = i == 0 ? first : second;
        words[i][0] = inside ? load_u32(from->top) : padding;
        words[i][1] = inside ? load_u32(from->middle) : padding;
        words[i][2] = inside ? load_u32(from->bottom) : padding;
        from->top += inside ? from->top_step : 0;
        from->middle += inside ? from->step : 0;
        from->bottom += inside ? from->bottom_step : 0;
    }
    out->first = low_halves(words[0][0], words[0][1]);
    out->second = low_halves(words[1][0], words[1][1]);
    out->row2 = low_halves(words[0][2], words[1][2]);
    out += pairs;
    out->first = high_halves(words[0][0], words[0][1]);
    out->second = high_halves(words[1][0], words[1][1]);
    out->row2 = high_halves(words[0][2], words[1][2]);
}

/* `count` pairs of columns inside of the input; `pairs` lie between the two channels' and the other two's. */
static inline void depthwise3x3_lay_out(depthwise3x3_source *from, int32_t count, depthwise3x3_columns *out,
                                        int32_t pairs) {
#if defined(DEPTHWISE3X3_ASM)
    depthwise3x3_columns *high = out + pairs;
    uint32_t a, b, c, d, e;
    if (count > 0) {
        __asm volatile(
            ".p2align 2\n"
            "1:\n\t"
            "ldr %[a], [%[top]]\n\t"
            "ldr %[b], [%[middle]]\n\t"
            "ldr %[c], [%[top], %[top_step]]\n\t"
            "ldr %[d], [%[middle], %[step]]\n\t"
            "pkhbt %[e], %[a], %[b], lsl #16\n\t"
            "pkhtb %[a], %[b], %[a], asr #16\n\t"
            "pkhbt %[b], %[c], %[d], lsl #16\n\t"
            "pkhtb %[c], %[d], %[c], asr #16\n\t"
            "str %[e], [%[out]], #4\n\t"
            "str %[b], [%[out]], #4\n\t"
            "str %[a], [%[high]], #4\n\t"
            "str %[c], [%[high]], #4\n\t"
            "add %[top], %[top], %[top_step], lsl #1\n\t"
            "add %[middle], %[middle], %[step], lsl #1\n\t"
            "ldr %[a], [%[bottom]]\n\t"
            "ldr %[b], [%[bottom], %[bottom_step]]\n\t"
            "add %[bottom], %[bottom], %[bottom_step], lsl #1\n\t"
            "pkhbt %[c], %[a], %[b], lsl #16\n\t"
            "pkhtb %[a], %[b], %[a], asr #16\n\t"
            "str %[c], [%[out]], #4\n\t"
            "str %[a], [%[high]], #4\n\t"
            "subs %[count], %[count], #1\n\t"
            "bne 1b\n"
            : [top] "+r"(from->top), [middle] "+r"(from->middle), [bottom] "+r"(from->bottom),
              [out] "+r"(out), [high] "+r"(high), [count] "+r"(count), [a] "=&r"(a), [b] "=&r"(b),
              [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e)
            : [top_step] "r"(from->top_step), [step] "r"(from->step), [bottom_step] "r"(from->bottom_step)
            : "cc", "memory");
    }
#else
    for (; count > 0; --count) {
        depthwise3x3_lay_out_edge(from, 0, 1, 1, out++, pairs);
    }
#endif
}

#endif
