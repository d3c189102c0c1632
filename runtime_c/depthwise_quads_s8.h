/* int8 depthwise convolution by rows, any geometry, four channels at a time (groups = input channels = output
 * channels, at least four). Weights `kh kw c`; taps in the padding are left out.
 */
#ifndef PINGPONNX_DEPTHWISE_QUADS_S8_H
#define PINGPONNX_DEPTHWISE_QUADS_S8_H

#include "conv_params.h"
#include "requantize_s8.h"

enum { DEPTHWISE_QUADS_ROWS = 8 }; /* of a kernel */

typedef struct {
    int32_t sums[4];
} depthwise_quad;

/* sum + a.low * b.low and sum + a.high * b.high. */
static inline int32_t smla_low(uint32_t a, uint32_t b, int32_t sum) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int16_t)(a & 0xFFFFu) * (int16_t)(b & 0xFFFFu);
#endif
}

static inline int32_t smla_high(uint32_t a, uint32_t b, int32_t sum) {
#if defined(PINGPONNX_DSP)
    int32_t result;
    __asm("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int16_t)(a >> 16) * (int16_t)(b >> 16);
#endif
}

/* One tap: four values less the zero point (as halves in `less`) times their weights. */
static inline depthwise_quad depthwise_quad_add(depthwise_quad q, uint32_t values, uint32_t weights,
                                                uint32_t less) {
    const uint32_t even = sxtab16(less, values), odd = sxtab16_odd(less, values);
    const uint32_t even_weights = sxtb16(weights), odd_weights = sxtb16_odd(weights);
    q.sums[0] = smla_low(even, even_weights, q.sums[0]);
    q.sums[1] = smla_low(odd, odd_weights, q.sums[1]);
    q.sums[2] = smla_high(even, even_weights, q.sums[2]);
    q.sums[3] = smla_high(odd, odd_weights, q.sums[3]);
    return q;
}

/* All registers but one: compilers that keep a frame pointer may not, nor gcc without optimisation. */
#if defined(PINGPONNX_DSP) && defined(PINGPONNX_ALL_REGISTERS)
#define DEPTHWISE_QUAD_TAP(at)                                                                               \
    "ldr %[a], [%[in]" at "]\n\t"                                                                            \
    "ldr %[w], [%[weights]" at "]\n\t"                                                                       \
    "sxtab16 %[t], %[less], %[a], ror #8\n\t"                                                                \
    "sxtab16 %[a], %[less], %[a]\n\t"                                                                        \
    "sxtb16 %[u], %[w], ror #8\n\t"                                                                          \
    "sxtb16 %[w], %[w]\n\t"                                                                                  \
    "smlabb %[s0], %[a], %[w], %[s0]\n\t"                                                                    \
    "smlatt %[s2], %[a], %[w], %[s2]\n\t"                                                                    \
    "smlabb %[s1], %[t], %[u], %[s1]\n\t"                                                                    \
    "smlatt %[s3], %[t], %[u], %[s3]\n\t"
#define DEPTHWISE_QUAD_3_TAPS                                                                                \
    DEPTHWISE_QUAD_TAP("")                                                                                   \
    DEPTHWISE_QUAD_TAP(", %[step]")                                                                          \
    DEPTHWISE_QUAD_TAP(", %[step], lsl #1")                                                                  \
    "add %[in], %[in], %[step], lsl #1\n\t"                                                                  \
    "add %[weights], %[weights], %[step], lsl #1\n\t"

/* At least one tap: neighbouring pixels in a row, `step` bytes apart, as are the weights. */
static inline depthwise_quad depthwise_quad_taps(depthwise_quad q, const int8_t *in, const int8_t *weights,
                                                 int32_t step, int32_t taps, uint32_t less) {
    int32_t s0 = q.sums[0], s1 = q.sums[1], s2 = q.sums[2], s3 = q.sums[3];
    uint32_t a, w, t, u;
    __asm volatile(
        "subs %[taps], %[taps], #3\n\t"
        "blt 2f\n"
        "1:\n\t" DEPTHWISE_QUAD_3_TAPS "add %[in], %[in], %[step]\n\t"
        "add %[weights], %[weights], %[step]\n\t"
        "subs %[taps], %[taps], #3\n\t"
        "bge 1b\n"
        "2:\n\t"
        "adds %[taps], %[taps], #3\n\t"
        "beq 4f\n"
        "3:\n\t" DEPTHWISE_QUAD_TAP("") "add %[in], %[in], %[step]\n\t"
                                        "add %[weights], %[weights], %[step]\n\t"
                                        "subs %[taps], %[taps], #1\n\t"
                                        "bne 3b\n"
                                        "4:"
        : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [in] "+r"(in), [weights] "+r"(weights),
          [taps] "+r"(taps), [a] "=&r"(a), [w] "=&r"(w), [t] "=&r"(t), [u] "=&r"(u)
        : [step] "r"(step), [less] "r"(less)
        : "cc", "memory");
    return (depthwise_quad){{s0, s1, s2, s3}};
}
#else
static inline depthwise_quad depthwise_quad_taps(depthwise_quad q, const int8_t *in, const int8_t *weights,
                                                 int32_t step, int32_t taps, uint32_t less) {
    for (; taps > 0; --taps, in += step, weights += step) {
        q = depthwise_quad_add(q, load_u32(in), load_u32(weights), less);
    }
    return q;
}
#endif

/* At least one tap in a row. */
static inline depthwise_quad depthwise_quad_row(depthwise_quad q, const int8_t *in, const int8_t *weights,
                                                int32_t channels, int32_t dilation, int32_t taps,
                                                uint32_t less) {
    if (dilation == 1) {
        return depthwise_quad_taps(q, in, weights, channels, taps, less);
    }
    for (; taps > 0; --taps, in += dilation * channels, weights += channels) {
        q = depthwise_quad_add(q, load_u32(in), load_u32(weights), less);
    }
    return q;
}

/* The rows of a window that are inside of the input: their columns and weights. */
typedef struct {
    const int8_t *in[DEPTHWISE_QUADS_ROWS], *weights[DEPTHWISE_QUADS_ROWS];
    int32_t count;
} depthwise_quads_window;

/* One pixel: its taps begin at `from` in the rows of the input and at `first` in those of the weights. */
static inline void depthwise_quads_pixel(const conv_params_s8 *p, const depthwise_quads_window *window,
                                         ptrdiff_t from, ptrdiff_t first, int32_t taps, const int32_t *bias,
                                         const int32_t *multiplier, const int8_t *shift, int8_t *output) {
    const int32_t channels = p->in_c, zero = p->output_zero_point;
    const uint32_t less = ((uint32_t)-p->input_zero_point & 0xFFFFu) * 0x10001u;
    const int32_t count = taps > 0 ? window->count : 0;
    for (int32_t done = 0; done < channels; done += 4) {
        /* the last four overlap those before where channels are no multiple of four */
        const int32_t c = min_s32(done, channels - 4);
        depthwise_quad q = {{bias[c], bias[c + 1], bias[c + 2], bias[c + 3]}};
        for (int32_t i = 0; i < count; ++i) {
            q = depthwise_quad_row(q, window->in[i] + from + c, window->weights[i] + first + c, channels,
                                   p->dilation_w, taps, less);
        }
        for (int32_t i = 0; i < 4; ++i) {
            const scale_s8 scale = channel_scale_s8(multiplier, shift, c + i);
            output[c + i] = (int8_t)ssat8(requantize_proven(q.sums[i], scale, zero));
        }
    }
    for (int32_t c = 0; c < channels && (p->low != INT8_MIN || p->high != INT8_MAX); ++c) {
        output[c] = clamp_s8(output[c], p->low, p->high);
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding), with a multiplier for every channel.
 * One copy: specialising it would save little. */
static __attribute__((noinline, unused)) void
depthwise_quads_s8_row(const conv_params_s8 *p, const int8_t *const *rows, const int8_t *weights,
                       const int32_t *bias, const int32_t *multiplier, const int8_t *shift, int8_t *output) {
    depthwise_quads_window window;
    window.count = 0;
    for (int32_t y = 0; y < p->kernel_h; ++y) {
        if (rows[y * p->dilation_h] != NULL) {
            window.in[window.count] = rows[y * p->dilation_h];
            window.weights[window.count++] = weights + (ptrdiff_t)y * p->kernel_w * p->in_c;
        }
    }
    for (int32_t x = 0; x < p->out_w; ++x, output += p->in_c) {
        const int32_t left = x * p->stride_w - p->pad_left;
        const int32_t begin = left < 0 ? (p->dilation_w - 1 - left) / p->dilation_w : 0;
        const int32_t end = min_s32(p->kernel_w, (p->in_w - left + p->dilation_w - 1) / p->dilation_w);
        depthwise_quads_pixel(p, &window, (ptrdiff_t)(left + begin * p->dilation_w) * p->in_c,
                              (ptrdiff_t)begin * p->in_c, end - begin, bias, multiplier, shift, output);
    }
}

KERNEL void depthwise_quads_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                               const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                               const int8_t **rows, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t y = 0; y < p->out_h; ++y) {
        window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * p->stride_h - p->pad_top, p->in_h, in_row);
        depthwise_quads_s8_row(p, rows, weights, bias, multiplier, shift, output);
        output += (ptrdiff_t)p->out_w * p->out_c;
    }
}

#endif
