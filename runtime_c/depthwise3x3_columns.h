/* Three rows of int8 pixels as pairs of columns, see depthwise3x3_s8.h. */
#ifndef PINGPONNX_DEPTHWISE3X3_COLUMNS_H
#define PINGPONNX_DEPTHWISE3X3_COLUMNS_H

#include "dsp.h"

/* A pair of columns of two channels, as it is laid out. */
typedef struct {
    uint32_t first, second; /* bytes: channels 0 and 1 of row 0, then of row 1 */
    uint32_t row2;          /* bytes: channels 0 and 1 of the first column, then of the second */
} depthwise3x3_columns;

/* All 14 registers: compilers that keep a frame pointer cannot, nor can gcc without optimisation. */
#if defined(PINGPONNX_DSP) && defined(PINGPONNX_ALL_REGISTERS)
#define DEPTHWISE3X3_ASM 1
#endif

enum { DEPTHWISE3X3_NO_EDGE, DEPTHWISE3X3_HALF, DEPTHWISE3X3_OUTSIDE };

/* Where the columns of four channels are, and where they go. */
typedef struct {
    const int8_t *top, *middle, *bottom; /* the rows' first columns: of padding a word that is it */
    int32_t top_step, step, bottom_step; /* from column to column, 0 in padding */
    int32_t top_next, bottom_next;       /* from four channels to the next ones, 0 in padding */
    uint32_t padding;
    int32_t left, right;              /* what of a pair at the edge is padding */
    int32_t inside;                   /* pairs between */
    depthwise3x3_columns *low, *high; /* of channels 0 and 1, 2 and 3 */
} depthwise3x3_source;

#if defined(DEPTHWISE3X3_ASM)
/* An instruction a line. */
/* clang-format off */
#define DW_TAKE                                                                                              \
    "ldr %[a], [%[top]]\n\t"                                                                                 \
    "ldr %[b], [%[middle]]\n\t"                                                                              \
    "ldr %[c], [%[bottom]]\n\t"
/* An edge's pair in a, b, c of which `e` is padding: its inner and outer column at these places. */
#define DW_STORE_EDGE(inner, outer, first, second)                                                           \
    "pkhbt %[d], %[a], %[b], lsl #16\n\t"                                                                    \
    "str %[d], [%[low], #" inner "]\n\t"                                                                     \
    "pkhtb %[a], %[b], %[a], asr #16\n\t"                                                                    \
    "str %[a], [%[high], #" inner "]\n\t"                                                                    \
    "pkhbt %[d], %[" first "], %[" second "], lsl #16\n\t"                                                   \
    "str %[d], [%[low], #8]\n\t"                                                                             \
    "pkhtb %[c], %[" second "], %[" first "], asr #16\n\t"                                                   \
    "str %[c], [%[high], #8]\n\t"                                                                            \
    "str %[e], [%[low], #" outer "]\n\t"                                                                     \
    "str %[e], [%[high], #" outer "]\n\t"
#define DW_EDGE(edge, inner, outer, first, second)                                                           \
    "ldr %[d], %[" edge "]\n\t"                                                                              \
    "cmp %[d], #1\n\t"                                                                                       \
    "blt 2f\n\t"                                                                                             \
    "mov %[a], %[e]\n\t"                                                                                     \
    "mov %[b], %[e]\n\t"                                                                                     \
    "mov %[c], %[e]\n\t"                                                                                     \
    "bne 1f\n\t"                                                                                             \
    DW_TAKE                                                                                                  \
    "add %[top], %[top], %[top_step]\n\t"                                                                    \
    "add %[middle], %[middle], %[step]\n\t"                                                                  \
    "add %[bottom], %[bottom], %[bottom_step]\n"                                                             \
    "1:\n\t"                                                                                                 \
    DW_STORE_EDGE(inner, outer, first, second)                                                               \
    "add %[low], %[low], #12\n\t"                                                                            \
    "add %[high], %[high], #12\n"                                                                            \
    "2:\n\t"
#define DW_INSIDE                                                                                            \
    "cmp %[count], #0\n\t"                                                                                   \
    "ble 4f\n"                                                                                               \
    ".p2align 2\n"                                                                                           \
    "3:\n\t"                                                                                                 \
    "ldr %[a], [%[top]]\n\t"                                                                                 \
    "ldr %[b], [%[middle]]\n\t"                                                                              \
    "ldr %[c], [%[top], %[top_step]]\n\t"                                                                    \
    "ldr %[d], [%[middle], %[step]]\n\t"                                                                     \
    "add %[top], %[top], %[top_step], lsl #1\n\t"                                                            \
    "add %[middle], %[middle], %[step], lsl #1\n\t"                                                          \
    "pkhbt %[e], %[a], %[b], lsl #16\n\t"                                                                    \
    "str %[e], [%[low]], #4\n\t"                                                                             \
    "pkhtb %[a], %[b], %[a], asr #16\n\t"                                                                    \
    "str %[a], [%[high]], #4\n\t"                                                                            \
    "pkhbt %[b], %[c], %[d], lsl #16\n\t"                                                                    \
    "str %[b], [%[low]], #4\n\t"                                                                             \
    "pkhtb %[c], %[d], %[c], asr #16\n\t"                                                                    \
    "str %[c], [%[high]], #4\n\t"                                                                            \
    "subs %[count], %[count], #1\n\t"                                                                        \
    "ldr %[a], [%[bottom]]\n\t"                                                                              \
    "ldr %[b], [%[bottom], %[bottom_step]]\n\t"                                                              \
    "add %[bottom], %[bottom], %[bottom_step], lsl #1\n\t"                                                   \
    "pkhbt %[c], %[a], %[b], lsl #16\n\t"                                                                    \
    "str %[c], [%[low]], #4\n\t"                                                                             \
    "pkhtb %[a], %[b], %[a], asr #16\n\t"                                                                    \
    "str %[a], [%[high]], #4\n\t"                                                                            \
    "bne 3b\n"                                                                                               \
    "4:\n\t"                                                                                                 \
    "ldr %[e], %[padding]\n\t"
#define DW_ADVANCE                                                                                           \
    "ldr %[a], %[from_top]\n\t"                                                                              \
    "ldr %[b], %[from_middle]\n\t"                                                                           \
    "ldr %[c], %[from_bottom]\n\t"                                                                           \
    "ldr %[d], %[top_next]\n\t"                                                                              \
    "ldr %[e], %[bottom_next]\n\t"                                                                           \
    "add %[a], %[a], %[d]\n\t"                                                                               \
    "str %[a], %[from_top]\n\t"                                                                              \
    "add %[b], %[b], #4\n\t"                                                                                 \
    "str %[b], %[from_middle]\n\t"                                                                           \
    "add %[c], %[c], %[e]\n\t"                                                                               \
    "str %[c], %[from_bottom]\n\t"
/* clang-format on */

/* Lays four channels out, and goes on to the next ones; `from` is in memory, whatever the compiler thinks. */
static inline __attribute__((always_inline)) void depthwise3x3_lay_out(depthwise3x3_source *from) {
    uint32_t a, b, c, d, e, top, middle, bottom, top_step, step, bottom_step, low, high, count;
    __asm volatile(
        "ldr %[top], %[from_top]\n\t"
        "ldr %[middle], %[from_middle]\n\t"
        "ldr %[bottom], %[from_bottom]\n\t"
        "ldr %[top_step], %[by_top]\n\t"
        "ldr %[step], %[by]\n\t"
        "ldr %[bottom_step], %[by_bottom]\n\t"
        "ldr %[low], %[to_low]\n\t"
        "ldr %[high], %[to_high]\n\t"
        "ldr %[count], %[inside]\n\t"
        "ldr %[e], %[padding]\n\t" DW_EDGE("left", "4", "0", "e", "c")
            DW_INSIDE DW_EDGE("right", "0", "4", "c", "e") DW_ADVANCE
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [top] "=&r"(top),
          [middle] "=&r"(middle), [bottom] "=&r"(bottom), [top_step] "=&r"(top_step), [step] "=&r"(step),
          [bottom_step] "=&r"(bottom_step), [low] "=&r"(low), [high] "=&r"(high), [count] "=&r"(count)
        : [from_top] "m"(from->top), [from_middle] "m"(from->middle), [from_bottom] "m"(from->bottom),
          [by_top] "m"(from->top_step), [by] "m"(from->step), [by_bottom] "m"(from->bottom_step),
          [top_next] "m"(from->top_next), [bottom_next] "m"(from->bottom_next), [padding] "m"(from->padding),
          [left] "m"(from->left), [right] "m"(from->right), [inside] "m"(from->inside),
          [to_low] "m"(from->low), [to_high] "m"(from->high)
        : "cc", "memory");
}
#else
/* The column `at` columns behind the first one, or padding. */
static inline void depthwise3x3_column(const depthwise3x3_source *from, int32_t at, int32_t inside,
                                       uint32_t *column) {
    column[0] = inside ? load_u32(from->top + at * from->top_step) : from->padding;
    column[1] = inside ? load_u32(from->middle + at * from->step) : from->padding;
    column[2] = inside ? load_u32(from->bottom + at * from->bottom_step) : from->padding;
}

/* A pair of columns. */
static inline void depthwise3x3_pair(const uint32_t *first, const uint32_t *second, depthwise3x3_columns *low,
                                     depthwise3x3_columns *high) {
    low->first = (first[0] & 0xFFFFu) | first[1] << 16;
    low->second = (second[0] & 0xFFFFu) | second[1] << 16;
    low->row2 = (first[2] & 0xFFFFu) | second[2] << 16;
    high->first = first[0] >> 16 | (first[1] & 0xFFFF0000u);
    high->second = second[0] >> 16 | (second[1] & 0xFFFF0000u);
    high->row2 = first[2] >> 16 | (second[2] & 0xFFFF0000u);
}

/* Lays four channels out, and goes on to the next ones. */
static inline void depthwise3x3_lay_out(depthwise3x3_source *from) {
    const int32_t left = from->left != DEPTHWISE3X3_NO_EDGE;
    const int32_t pairs = left + from->inside + (from->right != DEPTHWISE3X3_NO_EDGE);
    int32_t at = 0;
    for (int32_t i = 0; i < pairs; ++i) {
        const int32_t edge = i == 0 && left, last = i >= left + from->inside;
        const int32_t has_first = !edge && !(last && from->right == DEPTHWISE3X3_OUTSIDE);
        const int32_t has_second = edge ? from->left == DEPTHWISE3X3_HALF : !last;
        uint32_t first[3], second[3];
        depthwise3x3_column(from, at, has_first, first);
        at += has_first;
        depthwise3x3_column(from, at, has_second, second);
        at += has_second;
        depthwise3x3_pair(first, second, from->low + i, from->high + i);
    }
    from->top += from->top_next;
    from->middle += 4;
    from->bottom += from->bottom_next;
}
#endif

#endif
