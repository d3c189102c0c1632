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

/* What the lines of four channels need of memory. */
typedef struct {
    int32_t zero;                     /* point of the output */
    int32_t rest;                     /* 1: the first column of `last` completes another output */
    int32_t odd;                      /* 1: the number of pairs that complete outputs is odd */
    int32_t bytes;                    /* of two channels' pairs */
    const depthwise3x3_columns *stop; /* behind the other two channels' */
    const int32_t *words;             /* constants of the next channel */
    int8_t *out;                      /* its first output */
    const depthwise3x3_columns *in,
        *last; /* pairs between them complete as many outputs as the stride takes */
    int32_t bias, multiplier, shift;
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
#define DW_FETCH_SHIFT "ldr %[y], [%[z], #20]\n\t"
#define DW_CHANNEL_BYTES "24"
#define DW_KEEP_SHIFT "str %[y], %[shift]\n\t"
#define DW_SHIFT(sum)                                                                                        \
    "asrs %[" #sum "], %[" #sum "], %[z]\n\t"                                                                \
    "adc %[" #sum "], %[" #sum "], %[t]\n\t"                                                                 \
    "ssat %[" #sum "], #8, %[" #sum "]\n\t"
#else
#define DW_SCALE(sum) "smmlar %[" #sum "], %[" #sum "], %[z], %[t]\n\t"
#define DW_LOAD_SHIFT
#define DW_FETCH_SHIFT
#define DW_CHANNEL_BYTES "20"
#define DW_KEEP_SHIFT
#define DW_SHIFT(sum) "ssat %[" #sum "], #8, %[" #sum "]\n\t"
#endif

/* The registers of the next channel; its bias is in t. */
#define DW_CHANNEL(odd)                                                                                      \
    "ldr %[z], %[words]\n\t"                                                                                 \
    "ldr %[in], %[first]\n\t"                                                                                \
    "ldr %[out], %[to]\n\t"                                                                                  \
    "ldr %[left], [%[z]]\n\t"                                                                                \
    "ldr %[right], [%[z], #4]\n\t"                                                                           \
    "ldr %[end], [%[z], #8]\n\t"                                                                             \
    "ldr %[t], [%[z], #12]\n\t"                                                                              \
    "ldr %[x], [%[z], #16]\n\t" DW_FETCH_SHIFT "sxtb16 %[centre], %[left], ror #8\n\t"                       \
    "str %[t], %[bias]\n\t"                                                                                  \
    "sxtb16 %[left], %[left]\n\t"                                                                            \
    "str %[x], %[multiplier]\n\t"                                                                            \
    "sxtb16 %[start], %[right], ror #8\n\t" DW_KEEP_SHIFT "add %[z], %[z], #" DW_CHANNEL_BYTES "\n\t"        \
    "str %[z], %[words]\n\t"                                                                                 \
    "add %[x], %[out], #1\n\t"                                                                               \
    "str %[x], %[to]\n\t"                                                                                    \
    "sxtb16 %[right], %[right]\n\t" DW_LOAD(x, y, odd)

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
    DW_LOAD_SCALE DW_SCALE(f) DW_SCALE(s) DW_LOAD_SHIFT                                                      \
    DW_SHIFT(f)                                                                                              \
    "strb %[" #f "], [%[out]]\n\t"                                                                           \
    DW_SHIFT(s)                                                                                              \
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

/* A channel's line: two steps, whose sums change places; an odd number of them begins with the second. */
#define DW_LINE(odd, begin, moves, there, back, tail)                                                        \
    DW_CHANNEL(odd)                                                                                          \
    begin                                                                                                    \
    "ldr %[t], %[odd_steps]\n\t"                                                                             \
    "cmp %[t], #0\n\t"                                                                                       \
    "beq 1f\n\t"                                                                                             \
    moves                                                                                                    \
    "b 2f\n\t"                                                                                               \
    ".p2align 2\n"                                                                                           \
    "1:\n\t"                                                                                                 \
    there                                                                                                    \
    "2:\n\t"                                                                                                 \
    back                                                                                                     \
    "ldr %[t], %[last]\n\t"                                                                                  \
    "cmp %[in], %[t]\n\t"                                                                                    \
    "bne 1b\n\t"                                                                                             \
    tail
#define DW_LINE_1(odd)                                                                                       \
    DW_LINE(odd, DW_BEGIN_1(f, s, x, y), "mov %[x], %[f]\n\tmov %[y], %[s]\n\t",                             \
            DW_STEP_1(f, s, x, y, odd), DW_STEP_1(x, y, f, s, odd), DW_REST(odd))
#define DW_LINE_2(odd)                                                                                       \
    DW_LINE(odd, DW_BEGIN_2(f, y), "mov %[x], %[f]\n\t", DW_STEP_2(f, x, odd), DW_STEP_2(x, f, odd), "")

/* Two channels from pairs of columns, which are their bytes 0 and 2, then 1 and 3; then two others. */
#define DW_FUNCTION(name, line_of)                                                                           \
    static inline __attribute__((always_inline)) void name(depthwise3x3_line *line, int32_t step) {          \
        uint32_t f, s, x, y, z, t, left, centre, right, start, end;                                          \
        const void *in, *out;                                                                                \
        __asm volatile(                                                                                      \
            ".p2align 2\n5:\n\t"                                                                                         \
            line_of("") line_of(", ror #8")                                                                  \
            "ldr %[x], %[first]\n\t"                                                                         \
            "ldr %[y], %[last]\n\t"                                                                          \
            "ldr %[t], %[bytes]\n\t"                                                                         \
            "ldr %[z], %[stop]\n\t"                                                                          \
            "add %[x], %[x], %[t]\n\t"                                                                       \
            "str %[x], %[first]\n\t"                                                                         \
            "add %[y], %[y], %[t]\n\t"                                                                       \
            "str %[y], %[last]\n\t"                                                                          \
            "cmp %[x], %[z]\n\t"                                                                             \
            "bne 5b"                                                                                         \
            : [f] "=&r"(f), [s] "=&r"(s), [in] "=&r"(in), [out] "=&r"(out), [x] "=&r"(x), [y] "=&r"(y),      \
              [z] "=&r"(z), [t] "=&r"(t), [left] "=&r"(left), [centre] "=&r"(centre), [right] "=&r"(right),  \
              [start] "=&r"(start), [end] "=&r"(end)                                                         \
            : [step] "r"(step), [bias] "m"(line->bias), [multiplier] "m"(line->multiplier),                  \
              [shift] "m"(line->shift), [words] "m"(line->words), [to] "m"(line->out),                       \
              [zero] "m"(line->zero), [last] "m"(line->last), [rest] "m"(line->rest),                        \
              [odd_steps] "m"(line->odd), [first] "m"(line->in), [bytes] "m"(line->bytes),                   \
              [stop] "m"(line->stop)                                                                         \
            : "cc", "memory");                                                                               \
    }
DW_FUNCTION(depthwise3x3_four_1, DW_LINE_1)
DW_FUNCTION(depthwise3x3_four_2, DW_LINE_2)
/* clang-format on */
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
static inline void depthwise3x3_run(const depthwise3x3_line *line, int32_t step, int32_t stride,
                                    int32_t odd) {
    const depthwise3x3_columns *in = line->in;
    const int32_t *const words = line->words + odd * DEPTHWISE3X3_WORDS;
    int8_t *out = line->out + odd;
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
static inline void depthwise3x3_four(depthwise3x3_line *line, int32_t step, int32_t stride) {
    for (; line->in != line->stop; line->words += 2 * DEPTHWISE3X3_WORDS, line->out += 2) {
        depthwise3x3_run(line, step, stride, 0);
        depthwise3x3_run(line, step, stride, 1);
        line->in += (uint32_t)line->bytes / sizeof *line->in;   // NOLINT(bugprone-sizeof-expression)
        line->last += (uint32_t)line->bytes / sizeof *line->in; // NOLINT(bugprone-sizeof-expression)
    }
}

static inline void depthwise3x3_four_1(depthwise3x3_line *line, int32_t step) {
    depthwise3x3_four(line, step, 1);
}

static inline void depthwise3x3_four_2(depthwise3x3_line *line, int32_t step) {
    depthwise3x3_four(line, step, 2);
}
#endif

/* What of a pair is padding, of which so many columns are inside. */
static inline int32_t depthwise3x3_edge(int32_t inside) {
    return inside > 1 ? DEPTHWISE3X3_NO_EDGE : inside == 1 ? DEPTHWISE3X3_HALF : DEPTHWISE3X3_OUTSIDE;
}

static inline __attribute__((always_inline)) void
depthwise3x3_lines(const depthwise3x3_params_s8 *p, const int8_t *const *rows, const int32_t *table,
                   depthwise3x3_columns *laid_out, int8_t *output, int32_t stride) {
    const uint32_t padding = (uint32_t)(p->input_zero_point & 0xFF) * 0x01010101u;
    const int8_t *const none = (const int8_t *)&padding;
    const int32_t top = rows[0] != NULL, bottom = rows[2] != NULL;
    const int32_t rest = stride == 1 ? p->out_w % 2 : 0;
    const int32_t steps = stride == 1 ? p->out_w / 2 : p->out_w, pairs = 1 + rest + steps;
    /* the column of the first pair, how many pairs are inside of the input, and columns of one behind them */
    const int32_t first = 1 - stride - p->pad_left, left = first < 0;
    const int32_t inside = min_s32((p->in_w - first) / 2, pairs) - left;
    const int32_t half = p->in_w - first - 2 * (inside + left) > 0;
    depthwise3x3_source from = {
        top ? rows[0] : none,
        rows[1],
        bottom ? rows[2] : none,
        top ? p->in_step : 0,
        p->in_step,
        bottom ? p->in_step : 0,
        top ? 4 : 0,
        bottom ? 4 : 0,
        padding,
        depthwise3x3_edge(left ? 2 + first : 2),
        depthwise3x3_edge(left + inside < pairs ? half : 2),
        inside,
        laid_out,
        laid_out + pairs,
    };
    depthwise3x3_line line = {
        p->output_zero_point,
        rest,
        steps % 2,
        pairs * (int32_t)sizeof *laid_out,
        laid_out + 2 * pairs,
        table,
        output,
        NULL,
        NULL,
        0,
        0,
        0,
    };
#if defined(DEPTHWISE3X3_ASM)
    __asm volatile("" : : "r"(&line), "r"(&from) : "memory"); /* so that they stay in memory */
#endif
    for (int32_t left_over = p->channels; left_over > 0; left_over -= 4) {
        if (left_over < 4) {
            /* the last four overlap those before where channels are no multiple of four */
            const int32_t back = 4 - left_over;
            from.top -= top ? back : 0;
            from.middle -= back;
            from.bottom -= bottom ? back : 0;
            line.words -= back * DEPTHWISE3X3_WORDS;
            line.out -= back;
        }
        depthwise3x3_lay_out(&from);
        line.in = laid_out;
        line.last = laid_out + pairs - rest;
        if (stride == 1) {
            depthwise3x3_four_1(&line, p->out_step);
        } else {
            depthwise3x3_four_2(&line, p->out_step);
        }
    }
}

/* One line of outputs from three of inputs (NULL: padding, which the middle one never is). */
KERNEL void depthwise3x3_s8_row(const depthwise3x3_params_s8 *p, const int8_t *const *rows,
                                const int32_t *table, void *scratch, int8_t *output) {
    depthwise3x3_columns *const laid_out = (depthwise3x3_columns *)scratch;
    if (p->stride == 1) {
        depthwise3x3_lines(p, rows, table, laid_out, output, 1);
    } else {
        depthwise3x3_lines(p, rows, table, laid_out, output, 2);
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

/* The same for short lines, which are laid out on the stack. */
enum { DEPTHWISE3X3_ROOM = 10 }; /* pairs of columns of two channels */

KERNEL void depthwise3x3_short_s8_row(const depthwise3x3_params_s8 *p, const int8_t *const *rows,
                                      const int32_t *table, int8_t *output) {
    depthwise3x3_columns room[DEPTHWISE3X3_ROOM];
    depthwise3x3_s8_row(p, rows, table, room, output);
}

KERNEL void depthwise3x3_short_s8(const depthwise3x3_params_s8 *p, const int8_t *input, const int32_t *table,
                                  int8_t *output) {
    depthwise3x3_columns room[DEPTHWISE3X3_ROOM];
    depthwise3x3_s8(p, input, table, room, output);
}

#endif
