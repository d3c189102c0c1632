/* int8 depthwise convolution 3x3 of stride 1 or 2 by rows, on cores with the DSP extension.
 *
 * Four channels at a time, the three input rows are laid out in scratch as they are multiplied: the bytes of
 * two channels of rows 0 and 1 in one word (a column), and of two neighbouring columns of row 2. SXTB16 makes
 * a pair of halves of one channel, so that with the weights paired alike an output takes five
 * multiplications, and what is laid out serves all outputs of its row. Padding is laid out too.
 */
#ifndef PINGPONNX_DEPTHWISE3X3_S8_H
#define PINGPONNX_DEPTHWISE3X3_S8_H

#include "depthwise3x3_columns.h"
#include "requantize_s8.h"

/* At least four channels, and with stride 1 two outputs in a line; a window's middle is never padding.
 * A line is a row, or for the whole map a column, with the table and the geometry transposed.
 */
typedef struct {
    int32_t in_h, in_w, out_h, out_w; /* lines, and columns in a line */
    int32_t stride, pad_top, pad_left, channels;
    int32_t in_step, in_line, out_step, out_line; /* bytes from column to column, and from line to line */
    int32_t input_zero_point, output_zero_point, low, high;
} depthwise3x3_params_s8;

/* A channel's constants: three words of weights (by row and column the bytes 00 01 10 11 and 02 20 12 21, the
 * halves 21 22), the bias with the input's zero point in it, the multiplier, and the shift to the right. */
#if defined(PINGPONNX_ROUNDING_TFLITE)
enum { DEPTHWISE3X3_WORDS = 6 };
#else
enum { DEPTHWISE3X3_WORDS = 5 }; /* the shift is PINGPONNX_PLAIN_SHIFT */
#endif

/* What a channel's line needs of memory. */
typedef struct {
    int32_t bias, multiplier, shift;
    int32_t zero;                     /* point of the output */
    int32_t rest;                     /* 1: the first column of `last` completes another output */
    const depthwise3x3_columns *last; /* the pairs before it complete as many outputs as the stride takes */
} depthwise3x3_line;

#if defined(DEPTHWISE3X3_ASM)
#define DW_MULTIPLY(kind, sum, a, b, from) kind " %[" #sum "], %[" #a "], %[" #b "], %[" #from "]\n\t"

/* Columns x and y and the pair z of row 2. Loads stand together, for that is what the Cortex-M4 pipelines. */
#define DW_LOAD(x, y, odd)                                                                                   \
    "ldr %[" #y "], [%[in], #4]\n\t"                                                                         \
    "ldr %[z], [%[in], #8]\n\t"                                                                              \
    "ldr %[" #x "], [%[in]], #12\n\t"                                                                        \
    "sxtb16 %[" #x "], %[" #x "]" odd "\n\t"                                                                 \
    "sxtb16 %[" #y "], %[" #y "]" odd "\n\t"                                                                 \
    "sxtb16 %[z], %[z]" odd "\n\t"

/* See requantize_s8.h. */
#define DW_LOAD_SCALE "ldr %[z], %[multiplier]\n\tldr %[t], %[zero]\n\t"
#if defined(PINGPONNX_ROUNDING_TFLITE)
#define DW_SCALE(sum)                                                                                        \
    "add %[" #sum "], %[" #sum "], %[" #sum "]\n\t"                                                          \
    "smmulr %[" #sum "], %[" #sum "], %[z]\n\t"                                                              \
    "add %[" #sum "], %[" #sum "], %[" #sum "], asr #31\n\t"
#define DW_LOAD_SHIFT "ldr %[z], %[shift]\n\t"
#define DW_FETCH_SHIFT "ldr %[y], [%[t], #20]\n\t"
#define DW_KEEP_SHIFT "str %[y], %[shift]\n\t"
#define DW_SHIFT(sum)                                                                                        \
    "asrs %[" #sum "], %[" #sum "], %[z]\n\t"                                                                \
    "adc %[" #sum "], %[" #sum "], %[t]\n\t"                                                                 \
    "ssat %[" #sum "], #8, %[" #sum "]\n\t"
#else
#define DW_SCALE(sum) "smmlar %[" #sum "], %[" #sum "], %[z], %[t]\n\t"
#define DW_LOAD_SHIFT
#define DW_FETCH_SHIFT
#define DW_KEEP_SHIFT
#define DW_SHIFT(sum) "ssat %[" #sum "], #8, %[" #sum "]\n\t"
#endif

/* The registers of the channel; its bias is in t. */
#define DW_CHANNEL                                                                                           \
    "ldr %[left], [%[t]]\n\t"                                                                                \
    "ldr %[right], [%[t], #4]\n\t"                                                                           \
    "ldr %[end], [%[t], #8]\n\t"                                                                             \
    "ldr %[x], [%[t], #16]\n\t" DW_FETCH_SHIFT "ldr %[t], [%[t], #12]\n\t"                                   \
    "str %[x], %[multiplier]\n\t" DW_KEEP_SHIFT "str %[t], %[bias]\n\t"                                      \
    "sxtb16 %[centre], %[left], ror #8\n\t"                                                                  \
    "sxtb16 %[left], %[left]\n\t"                                                                            \
    "sxtb16 %[start], %[right], ror #8\n\t"                                                                  \
    "sxtb16 %[right], %[right]\n\t"

/* The sums that columns begin with stride 1; they may take the registers of the columns. */
#define DW_BEGIN_1(f, s, x, y)                                                                               \
    DW_MULTIPLY("smlad", f, x, left, t)                                                                      \
    DW_MULTIPLY("smlad", f, y, centre, f)                                                                    \
    DW_MULTIPLY("smlad", f, z, start, f)                                                                     \
    DW_MULTIPLY("smlad", s, y, left, t)                                                                      \
    DW_MULTIPLY("smlatb", s, z, start, s)

/* An instruction a line. */
/* clang-format off */
/* The sum that column x and the pair z complete. */
#define DW_COMPLETE(f, x)                                                                                    \
    DW_MULTIPLY("smlad", f, x, right, f)                                                                     \
    DW_MULTIPLY("smlabt", f, z, end, f)

/* Columns complete the sums f and s, and begin two that take the place of x and y. */
#define DW_STEP_1(f, s, x, y, odd)                                                                           \
    "ldr %[t], %[bias]\n\t"                                                                                  \
    DW_LOAD(x, y, odd)                                                                                       \
    DW_COMPLETE(f, x)                                                                                        \
    DW_MULTIPLY("smlad", s, x, centre, s)                                                                    \
    DW_MULTIPLY("smlad", s, y, right, s)                                                                     \
    DW_MULTIPLY("smlad", s, z, end, s)                                                                       \
    DW_BEGIN_1(x, y, x, y)                                                                                   \
    DW_LOAD_SCALE DW_SCALE(f) DW_SCALE(s) DW_LOAD_SHIFT DW_SHIFT(f) DW_SHIFT(s)                              \
    "strb %[" #f "], [%[out]]\n\t"                                                                           \
    "strb %[" #s "], [%[out], %[step]]\n\t"                                                                  \
    "add %[out], %[out], %[step], lsl #1\n\t"

/* With stride 2 they complete f, and begin one that takes the place of x. */
#define DW_BEGIN_2(f, y)                                                                                     \
    DW_MULTIPLY("smlad", f, y, left, t)                                                                      \
    DW_MULTIPLY("smlatb", f, z, start, f)
#define DW_STEP_2(f, x, odd)                                                                                 \
    "ldr %[t], %[bias]\n\t"                                                                                  \
    DW_LOAD(x, y, odd)                                                                                       \
    DW_MULTIPLY("smlad", f, x, centre, f)                                                                    \
    DW_MULTIPLY("smlad", f, y, right, f)                                                                     \
    DW_MULTIPLY("smlad", f, z, end, f)                                                                       \
    DW_BEGIN_2(x, y)                                                                                         \
    DW_LOAD_SCALE DW_SCALE(f) DW_LOAD_SHIFT DW_SHIFT(f)                                                      \
    "strb %[" #f "], [%[out]]\n\t"                                                                           \
    "add %[out], %[out], %[step]\n\t"

/* The output that a last column completes, where there is one. */
#define DW_REST(odd)                                                                                         \
    "ldr %[t], %[rest]\n\t"                                                                                  \
    "cmp %[t], #0\n\t"                                                                                       \
    "beq 4f\n\t"                                                                                             \
    "ldr %[x], [%[in]]\n\t"                                                                                  \
    "ldr %[z], [%[in], #8]\n\t"                                                                              \
    "sxtb16 %[x], %[x]" odd "\n\t"                                                                           \
    "sxtb16 %[z], %[z]" odd "\n\t"                                                                           \
    DW_COMPLETE(f, x)                                                                                        \
    DW_LOAD_SCALE DW_SCALE(f) DW_LOAD_SHIFT DW_SHIFT(f)                                                      \
    "strb %[f], [%[out]]\n"                                                                                  \
    "4:"

/* Two steps, whose sums change places. */
#define DW_LAST                                                                                              \
    "ldr %[t], %[last]\n\t"                                                                                  \
    "cmp %[in], %[t]\n\t"
#define DW_ASM(odd, begin, there, back, moves, tail)                                                         \
    __asm volatile(                                                                                          \
        DW_CHANNEL                                                                                           \
        DW_LOAD(x, y, odd)                                                                                   \
        begin                                                                                                \
        ".p2align 2\n"                                                                                       \
        "1:\n\t"                                                                                             \
        there                                                                                                \
        DW_LAST                                                                                              \
        "beq 2f\n\t"                                                                                         \
        back                                                                                                 \
        DW_LAST                                                                                              \
        "bne 1b\n\t"                                                                                         \
        "b 3f\n"                                                                                             \
        "2:\n\t"                                                                                             \
        moves                                                                                                \
        "3:\n\t"                                                                                             \
        tail                                                                                                 \
        : [f] "=&r"(f), [s] "=&r"(s), [in] "+r"(in), [out] "+r"(out), [x] "=&r"(x), [y] "=&r"(y),            \
          [z] "=&r"(z), [t] "+r"(t), [left] "=&r"(left), [centre] "=&r"(centre), [right] "=&r"(right),       \
          [start] "=&r"(start), [end] "=&r"(end), [bias] "=m"(line->bias),                                   \
          [multiplier] "=m"(line->multiplier), [shift] "=m"(line->shift)                                     \
        : [step] "r"(step), [zero] "m"(line->zero), [last] "m"(line->last), [rest] "m"(line->rest)           \
        : "cc", "memory")
/* clang-format on */
#define DW_LINE_1(odd)                                                                                       \
    DW_ASM(odd, DW_BEGIN_1(f, s, x, y), DW_STEP_1(f, s, x, y, odd), DW_STEP_1(x, y, f, s, odd),              \
           "mov %[f], %[x]\n\tmov %[s], %[y]\n", DW_REST(odd))
#define DW_LINE_2(odd)                                                                                       \
    DW_ASM(odd, DW_BEGIN_2(f, y), DW_STEP_2(f, x, odd), DW_STEP_2(x, f, odd), "mov %[f], %[x]\n", "")

/* One channel's output row: the first (even) or second (odd) channel of `in`. */
#define DW_FUNCTION(name, asm_line)                                                                          \
    static inline __attribute__((always_inline)) void name(                                                  \
        depthwise3x3_line *line, const depthwise3x3_columns *in, const int32_t *words, int32_t step,         \
        int8_t *out) {                                                                                       \
        uint32_t f, s, x, y, z, left, centre, right, start, end;                                             \
        const int32_t *t = words;                                                                            \
        asm_line;                                                                                            \
    }
DW_FUNCTION(depthwise3x3_line_1_even, DW_LINE_1(""))
DW_FUNCTION(depthwise3x3_line_1_odd, DW_LINE_1(", ror #8"))
DW_FUNCTION(depthwise3x3_line_2_even, DW_LINE_2(""))
DW_FUNCTION(depthwise3x3_line_2_odd, DW_LINE_2(", ror #8"))
#else
static inline int8_t depthwise3x3_value(int32_t sum, const depthwise3x3_line *line, const int32_t *words) {
#if defined(PINGPONNX_ROUNDING_TFLITE)
    const scale_s8 scale = {words[4], -words[5], 0};
#else
    const scale_s8 scale = {words[4], PINGPONNX_PLAIN_SHIFT, 1};
#endif
    return (int8_t)ssat8(requantize_proven(sum, scale, line->zero));
}

static inline uint32_t depthwise3x3_halves(uint32_t bytes, int32_t odd) {
    return odd ? sxtb16_odd(bytes) : sxtb16(bytes);
}

/* What the instructions above mean. */
static inline void depthwise3x3_run(const depthwise3x3_line *line, const depthwise3x3_columns *in,
                                    const int32_t *words, int32_t step, int8_t *out, int32_t stride,
                                    int32_t odd) {
    const uint32_t left = sxtb16((uint32_t)words[0]), centre = sxtb16_odd((uint32_t)words[0]);
    const uint32_t right = sxtb16((uint32_t)words[1]), start = sxtb16_odd((uint32_t)words[1]);
    const uint32_t end = (uint32_t)words[2];
    int32_t first = 0, second = 0; /* sums that wait for columns, with stride 2 only the second */
    for (int32_t begun = 0;; begun = 1, ++in) {
        const uint32_t x = depthwise3x3_halves(in->first, odd), y = depthwise3x3_halves(in->second, odd);
        const uint32_t z = depthwise3x3_halves(in->row2, odd);
        if (begun && stride == 1 && (in != line->last || line->rest)) {
            *out = depthwise3x3_value(smlad(z & 0xFFFFu, end >> 16, smlad(x, right, first)), line, words);
            out += step;
        }
        if (begun && in == line->last) {
            return;
        }
        if (begun) {
            second = smlad(z, end, smlad(y, right, smlad(x, centre, second)));
            *out = depthwise3x3_value(second, line, words);
            out += step;
        }
        first = smlad(z, start, smlad(y, centre, smlad(x, left, words[3])));
        second = smlad(z >> 16, start & 0xFFFFu, smlad(y, left, words[3]));
        if (in + 1 == line->last && !line->rest) {
            return;
        }
    }
}
#define DW_FUNCTION(name, stride, odd)                                                                       \
    static inline void name(const depthwise3x3_line *line, const depthwise3x3_columns *in,                   \
                            const int32_t *words, int32_t step, int8_t *out) {                               \
        depthwise3x3_run(line, in, words, step, out, stride, odd);                                           \
    }
DW_FUNCTION(depthwise3x3_line_1_even, 1, 0)
DW_FUNCTION(depthwise3x3_line_1_odd, 1, 1)
DW_FUNCTION(depthwise3x3_line_2_even, 2, 0)
DW_FUNCTION(depthwise3x3_line_2_odd, 2, 1)
#endif

/* Where four channels from c on are. */
static inline depthwise3x3_source depthwise3x3_source_of(const int8_t *const *rows, int32_t c, int32_t step,
                                                         const uint32_t *padding) {
    const int8_t *const none = (const int8_t *)padding;
    const int8_t *const top = rows[0] != NULL ? rows[0] + c : none;
    const int8_t *const bottom = rows[2] != NULL ? rows[2] + c : none;
    return (depthwise3x3_source){
        top, rows[1] + c, bottom, rows[0] != NULL ? step : 0, step, rows[2] != NULL ? step : 0};
}

/* The lines of four channels, from what is laid out. */
static inline __attribute__((always_inline)) void
depthwise3x3_four(depthwise3x3_line *line, const depthwise3x3_columns *laid_out, int32_t pairs,
                  const int32_t *words, int32_t step, int8_t *out, int32_t stride) {
    const depthwise3x3_columns *const end = laid_out + 2 * pairs;
    for (; laid_out != end; laid_out += pairs, words += 2 * DEPTHWISE3X3_WORDS, out += 2) {
        line->last = laid_out + pairs - line->rest;
        if (stride == 1) {
            depthwise3x3_line_1_even(line, laid_out, words, step, out);
            depthwise3x3_line_1_odd(line, laid_out, words + DEPTHWISE3X3_WORDS, step, out + 1);
        } else {
            depthwise3x3_line_2_even(line, laid_out, words, step, out);
            depthwise3x3_line_2_odd(line, laid_out, words + DEPTHWISE3X3_WORDS, step, out + 1);
        }
    }
}

static inline __attribute__((always_inline)) void
depthwise3x3_lines(const depthwise3x3_params_s8 *p, const int8_t *const *rows, const int32_t *table,
                   depthwise3x3_columns *laid_out, int8_t *output, int32_t stride) {
    const uint32_t padding = (uint32_t)(p->input_zero_point & 0xFF) * 0x01010101u;
    const int32_t rest = stride == 1 ? p->out_w % 2 : 0;
    const int32_t pairs = 1 + rest + (stride == 1 ? p->out_w / 2 : p->out_w);
    /* the column of the first pair, how many pairs behind it are inside of the input, and if more is */
    const int32_t first = 1 - stride - p->pad_left;
    const int32_t inside = min_s32((p->in_w - first) / 2, pairs) - 1;
    const int32_t half = p->in_w - first - 2 * (inside + 1) > 0;
    depthwise3x3_line line = {0, 0, 0, p->output_zero_point, rest, NULL};
#if defined(DEPTHWISE3X3_ASM)
    __asm volatile("" : : "r"(&line) : "memory"); /* so that it stays in memory */
#endif
    for (int32_t done = 0; done < p->channels; done += 4) {
        /* the last four overlap those before where channels are no multiple of four */
        const int32_t c = min_s32(done, p->channels - 4);
        depthwise3x3_source from = depthwise3x3_source_of(rows, c, p->in_step, &padding);
        depthwise3x3_lay_out_edge(&from, padding, first >= 0, first >= -1, laid_out, pairs);
        depthwise3x3_lay_out(&from, inside, laid_out + 1, pairs);
        if (inside < pairs - 1) {
            depthwise3x3_lay_out_edge(&from, padding, half, 0, laid_out + 1 + inside, pairs);
        }
        depthwise3x3_four(&line, laid_out, pairs, table + c * DEPTHWISE3X3_WORDS, p->out_step, output + c,
                          stride);
    }
}

/* One line of outputs from three of inputs (NULL: padding, which the middle one never is). */
KERNEL void depthwise3x3_s8_row(const depthwise3x3_params_s8 *p, const int8_t *const *rows,
                                const int32_t *table, void *scratch, int8_t *output) {
    if (p->stride == 1) {
        depthwise3x3_lines(p, rows, table, scratch, output, 1);
    } else {
        depthwise3x3_lines(p, rows, table, scratch, output, 2);
    }
    for (int32_t x = 0; x < p->out_w && (p->low != INT8_MIN || p->high != INT8_MAX); ++x) {
        int8_t *const pixel = output + x * p->out_step;
        for (int32_t c = 0; c < p->channels; ++c) {
            pixel[c] = clamp_s8(pixel[c], p->low, p->high);
        }
    }
}

KERNEL void depthwise3x3_s8(const depthwise3x3_params_s8 *p, const int8_t *input, const int32_t *table,
                            void *scratch, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y) {
        const int8_t *rows[3];
        window_rows_s8(rows, 3, input, y * p->stride - p->pad_top, p->in_h, p->in_line);
        depthwise3x3_s8_row(p, rows, table, scratch, output + y * p->out_line);
    }
}

#endif
