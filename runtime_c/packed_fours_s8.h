/* All of one or two pixels' outputs from columns of packed_s8.h, four channels at a time, in the instructions
 * of the Cortex-M4: biases, products, scaling and stores take all registers, which compilers do not manage.
 */
#ifndef PINGPONNX_PACKED_FOURS_S8_H
#define PINGPONNX_PACKED_FOURS_S8_H

#include "packed_outputs_s8.h"

#define PACKED_TO_8(case_of)                                                                                 \
    case_of(1) case_of(2) case_of(3) case_of(4) case_of(5) case_of(6) case_of(7) case_of(8)
#define PACKED_EVERY(case_of) PACKED_TO_8(case_of) case_of(10) case_of(12) case_of(16)

/* Of a kernel that is not specialised every case stays, so it has fewer. */
#if defined(PINGPONNX_SHARED_KERNELS)
#define PACKED_UNROLL(quads, unroll) ((quads) % 4 == 0 ? 4 : 1)
#define PACKED_ONCE(quads, unroll) 0
#else
#define PACKED_UNROLL(quads, unroll) (unroll)
#define PACKED_ONCE(quads, unroll) ((quads) == (unroll)) /* 1: one round */
#endif

#if defined(PACKED_4X2)
typedef struct {
    const void *column, *last; /* a single pixel's values, and their end */
    int8_t *output, *end;      /* of the first pixel */
    int32_t step;              /* to the second one */
    int32_t zero;
} packed_s8_place;

/* An instruction a line. */
/* clang-format off */
#define PACKED_WORDS(at)                                                                                     \
    "ldr %[t0], [%[w], #" #at "]\n\t"                                                                        \
    "ldr %[t1], [%[w], #" #at " + 4]\n\t"                                                                    \
    "ldr %[t2], [%[w], #" #at " + 8]\n\t"                                                                    \
    "ldr %[t3], [%[w], #" #at " + 12]\n\t"
#define PACKED_BIASES                                                                                        \
    "ldr %[s0], [%[w]]\n\t" \
    "ldr %[s2], [%[w], #4]\n\t" \
    "ldr %[s4], [%[w], #8]\n\t" \
    "ldr %[s6], [%[w], #12]\n\t" \
    "ldr %[x], %[column]\n\t"                                                                               \
    "mov %[s1], %[s0]\n\t"                                                                                  \
    "mov %[s3], %[s2]\n\t"                                                                                  \
    "mov %[s5], %[s4]\n\t"                                                                                  \
    "mov %[s7], %[s6]\n\t"
#define PACKED_EACH(each)                                                                                    \
    each(s0, t0) each(s1, t0) each(s2, t1) each(s3, t1) each(s4, t2) each(s5, t2) each(s6, t3) each(s7, t3)
#define PACKED_SECOND(both, first, shift)                                                                    \
    "sub %[" #both "], %[" #both "], %[" #first "]\n\t"                                                      \
    "asr %[" #both "], %[" #both "], #" #shift "\n\t"
#define PACKED_SECONDS(shift)                                                                                \
    PACKED_SECOND(s2, s0, shift) PACKED_SECOND(s3, s1, shift)                                                \
    PACKED_SECOND(s6, s4, shift) PACKED_SECOND(s7, s5, shift)
/* See requantize_s8.h; the zero point is in x. */
#if defined(PINGPONNX_ROUNDING_TFLITE)
#define PACKED_DOUBLE(sum) "lsl %[" #sum "], %[" #sum "], #1\n\t"
#define PACKED_MULTIPLY(sum, m)                                                                              \
    "smmulr %[" #sum "], %[" #sum "], %[" #m "]\n\t"                                                         \
    "add %[" #sum "], %[" #sum "], %[" #sum "], asr #31\n\t"
#define PACKED_SHIFT(sum, m)                                                                                 \
    "asrs %[" #sum "], %[" #sum "], %[" #m "]\n\t"                                                           \
    "adc %[" #sum "], %[" #sum "], %[x]\n\t"
#define PACKED_SCALE(at)                                                                                     \
    PACKED_SECONDS(7) PACKED_DOUBLE(s0) PACKED_DOUBLE(s1) PACKED_DOUBLE(s4) PACKED_DOUBLE(s5)                \
    PACKED_EACH(PACKED_MULTIPLY) PACKED_WORDS(at + 16) PACKED_EACH(PACKED_SHIFT)                             \
    "add %[w], %[w], #" #at " + 32\n\t"
#else
#define PACKED_MULTIPLY(sum, m) "smmlar %[" #sum "], %[" #sum "], %[" #m "], %[x]\n\t"
#define PACKED_SCALE(at) PACKED_SECONDS(8) PACKED_EACH(PACKED_MULTIPLY) "add %[w], %[w], #" #at " + 16\n\t"
#endif
/* Stores that follow each other would wait. */
#define PACKED_STORE(sum, to, at)                                                                            \
    "ssat %[" #sum "], #8, %[" #sum "]\n\t"                                                                  \
    "strb %[" #sum "], [%[" #to "], #" #at "]\n\t"
#define PACKED_OUTPUTS(at)                                                                                       \
    PACKED_WORDS(at)                                                                                         \
    "ldr %[x], %[zero]\n\t"                                                                                 \
    PACKED_SCALE(at)                                                                                         \
    "ldr %[t0], %[output]\n\t"                                                                              \
    "ldr %[t1], %[step]\n\t"                                                                                \
    "ldr %[t2], %[end]\n\t"                                                                                 \
    "add %[t3], %[t0], #4\n\t"                                                                              \
    "str %[t3], %[output]\n\t"                                                                              \
    "add %[t1], %[t0], %[t1]\n\t"                                                                           \
    PACKED_STORE(s0, t0, 0) PACKED_STORE(s2, t0, 1) PACKED_STORE(s4, t0, 2) PACKED_STORE(s6, t0, 3)          \
    PACKED_STORE(s1, t1, 0) PACKED_STORE(s3, t1, 1) PACKED_STORE(s5, t1, 2) PACKED_STORE(s7, t1, 3)          \
    "cmp %[t3], %[t2]\n\t"
#define PACKED_FOURS_2(count, rounds, at)                                                                                \
    case count:                                                                                              \
        __asm volatile(".p2align 2\n2:\n\t" PACKED_BIASES rounds(count) PACKED_OUTPUTS(at) "bne 2b"                  \
                       : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [s4] "=&r"(s4),     \
                         [s5] "=&r"(s5), [s6] "=&r"(s6), [s7] "=&r"(s7), [w] "+r"(stream), [x] "=&r"(x),     \
                         [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3),                     \
                         [output] "+m"(place->output)                                                        \
                       : [column] "m"(place->column), [end] "m"(place->end), [step] "m"(place->step),        \
                         [zero] "m"(place->zero)                                                             \
                       : "cc", "memory");                                                                    \
        break;

/* The same of a single pixel; its values are bytes. */
#define PACKED_ONE_BIASES                                                                                    \
    "ldr %[s0], [%[w]], #16\n\t"                                                                            \
    "ldr %[s1], [%[w], #-12]\n\t"                                                                           \
    "ldr %[s2], [%[w], #-8]\n\t"                                                                            \
    "ldr %[s3], [%[w], #-4]\n\t"                                                                            \
    "ldr %[x], %[column]\n\t"
#define PACKED_ONE_ROUNDS(count)                                                                             \
    "1:\n\t" PACKED_ONE_QUADS_##count(0)                                                                     \
    "add %[x], %[x], #4 * " #count "\n\t"                                                                    \
    "add %[w], %[w], #16 * " #count "\n\t"                                                                   \
    "cmp %[x], %[last]\n\t"                                                                                 \
    "bne 1b\n\t"
#define PACKED_ONE_WORDS(at)                                                                                 \
    "ldr %[w0], [%[w], #" #at "]\n\t"                                                                        \
    "ldr %[w1], [%[w], #" #at " + 4]\n\t"                                                                    \
    "ldr %[w2], [%[w], #" #at " + 8]\n\t"                                                                    \
    "ldr %[w3], [%[w], #" #at " + 12]\n\t"
#define PACKED_ONE_EACH(each) each(s0, w0) each(s1, w1) each(s2, w2) each(s3, w3)
#if defined(PINGPONNX_ROUNDING_TFLITE)
#define PACKED_ONE_SCALE                                                                                     \
    PACKED_SECOND(s1, s0, 7) PACKED_SECOND(s3, s2, 7) PACKED_DOUBLE(s0) PACKED_DOUBLE(s2)                    \
    PACKED_ONE_EACH(PACKED_MULTIPLY) PACKED_ONE_WORDS(16) PACKED_ONE_EACH(PACKED_SHIFT)                      \
    "add %[w], %[w], #32\n\t"
#else
#define PACKED_ONE_SCALE                                                                                     \
    PACKED_SECOND(s1, s0, 8) PACKED_SECOND(s3, s2, 8)                                                        \
    PACKED_ONE_EACH(PACKED_MULTIPLY) "add %[w], %[w], #16\n\t"
#endif
#define PACKED_ONE_OUTPUTS                                                                                   \
    PACKED_ONE_WORDS(0)                                                                                      \
    "ldr %[x], %[zero]\n\t"                                                                                 \
    PACKED_ONE_SCALE                                                                                         \
    "ldr %[t0], %[output]\n\t"                                                                              \
    "ldr %[t1], %[end]\n\t"                                                                                 \
    "add %[x], %[t0], #4\n\t"                                                                               \
    "str %[x], %[output]\n\t"                                                                               \
    PACKED_STORE(s0, t0, 0) PACKED_STORE(s1, t0, 1) PACKED_STORE(s2, t0, 2) PACKED_STORE(s3, t0, 3)          \
    "cmp %[x], %[t1]\n\t"
#define PACKED_FOURS_1(count)                                                                                \
    case count:                                                                                              \
        __asm volatile(".p2align 2\n2:\n\t" PACKED_ONE_BIASES PACKED_ONE_ROUNDS(count) PACKED_ONE_OUTPUTS "bne 2b"      \
                       : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [w] "+r"(stream),   \
                         [x] "=&r"(x), [t0] "=&r"(t0), [t1] "=&r"(t1), [w0] "=&r"(w0), [w1] "=&r"(w1),       \
                         [w2] "=&r"(w2), [w3] "=&r"(w3), [output] "+m"(place->output)                        \
                       : [column] "m"(place->column), [end] "m"(place->end), [zero] "m"(place->zero),        \
                         [last] "r"(place->last)                                                             \
                       : "cc", "memory");                                                                    \
        break;
/* clang-format on */

/* A single round leaves its pointers where they are, the column's as far ahead of it as the weights' is. */
enum { PACKED_AHEAD = 16 };
#define PACKED_ROUND(count) PACKED_QUADS_##count(1)
#define PACKED_ROUNDS_BEHIND(count) "add %[w], %[w], #16\n\t" PACKED_ROUNDS(count)
#define PACKED_FOURS_ONCE(count) PACKED_FOURS_2(count, PACKED_ROUND, 16 * count + 16)
#define PACKED_FOURS_ROUNDS(count) PACKED_FOURS_2(count, PACKED_ROUNDS_BEHIND, 0)

/* `unroll` divides the quads, or `once` is them; there is at least one block. Both return the constants
 * behind theirs. */
PACKED_INLINE const uint32_t *packed_s8_fours_2(const uint32_t *stream, int32_t unroll, int32_t once,
                                                packed_s8_place *place) {
    int32_t s0, s1, s2, s3, s4, s5, s6, s7;
    uint32_t x, t0, t1, t2, t3;
    switch (once ? unroll : 0) {
        PACKED_EVERY(PACKED_FOURS_ONCE)
    default:
        break;
    }
    switch (once ? 0 : unroll) {
        PACKED_EVERY(PACKED_FOURS_ROUNDS)
    default:
        break;
    }
    return stream;
}

PACKED_INLINE const uint32_t *packed_s8_fours_1(const uint32_t *stream, int32_t unroll,
                                                packed_s8_place *place) {
    int32_t s0, s1, s2, s3;
    uint32_t x, t0, t1, w0, w1, w2, w3;
    switch (unroll) {
        PACKED_TO_8(PACKED_FOURS_1)
    default:
        break;
    }
    return stream;
}
#endif

/* `count` channels of a block of one pair or two, of one pixel. Returns the next block's constants. */
PACKED_INLINE const uint32_t *packed_s8_one_block(const uint32_t *stream, const int8_t *values, int32_t quads,
                                                  int32_t pairs, int32_t count, int32_t zero,
                                                  int8_t *output) {
    int32_t sums[PACKED_SUMS], sum[4];
    stream = packed_s8_begin(stream, pairs, 1, sums);
    stream = packed_s8_quads(stream, values, quads, pairs, sums);
#pragma GCC unroll 4
    for (int32_t c = 0; c < count; ++c) {
        sum[c] = packed_s8_accumulator(sums, c, 0);
    }
    packed_s8_outputs(stream, pairs, count, sum, zero, output);
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

/* All channels of one pixel whose `quads` of values lie side by side; `unroll` divides them. */
PACKED_INLINE void packed_s8_ones(const uint32_t *stream, const int8_t *values, int32_t quads, int32_t unroll,
                                  int32_t channels, int32_t zero, int8_t *output) {
#if defined(PACKED_4X2)
    if (channels >= 4) {
        int8_t *const end = output + channels / 4 * 4;
        packed_s8_place place = {values, values + (ptrdiff_t)4 * quads, output, end, 0, zero};
        stream = packed_s8_fours_1(stream, unroll, &place);
        output = end;
        channels %= 4;
    }
#endif
    (void)unroll;
    for (; channels >= 4; channels -= 4, output += 4) {
        stream = packed_s8_one_block(stream, values, quads, 2, 4, zero, output);
    }
    if (channels >= 2) {
        stream = packed_s8_one_block(stream, values, quads, 1, 2, zero, output);
        output += 2;
    }
    if (channels % 2 == 1) {
        packed_s8_one_block(stream, values, quads, 1, 1, zero, output);
    }
}

#define PACKED_ONES(unroll)                                                                                  \
    PACKED_SHARED void packed_s8_ones_##unroll(const uint32_t *stream, const int8_t *values, int32_t quads,  \
                                               int32_t channels, int32_t zero, int8_t *output) {             \
        packed_s8_ones(stream, values, quads, unroll, channels, zero, output);                               \
    }
PACKED_TO_8(PACKED_ONES)

#define PACKED_ONES_CASE(unroll)                                                                             \
    case unroll:                                                                                             \
        packed_s8_ones_##unroll(stream, values, quads, channels, zero, output);                              \
        break;

/* The same, one copy for all layers. */
PACKED_INLINE void packed_s8_pixel(const uint32_t *stream, const int8_t *values, int32_t quads,
                                   int32_t unroll, int32_t channels, int32_t zero, int8_t *output) {
    switch (unroll > 8 ? unroll / 2 : unroll) {
        PACKED_TO_8(PACKED_ONES_CASE)
    default:
        break;
    }
}

#endif
