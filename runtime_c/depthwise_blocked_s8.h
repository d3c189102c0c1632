/* int8 depthwise convolution by rows (groups = input channels = output channels, a multiple of four), with a
 * fused clamp and max-pool, four channels at once; see blocked_s8.h.
 */
#ifndef PINGPONNX_DEPTHWISE_BLOCKED_S8_H
#define PINGPONNX_DEPTHWISE_BLOCKED_S8_H

#include "blocked_s8.h"
#include "conv_params.h"

#if defined(__ARM_ARCH_7M__) && defined(PINGPONNX_ALL_REGISTERS)
/* Loads follow each other, which takes one cycle each. */
#define DEPTHWISE_BLOCKED_TAP                                                                                \
    "ldrsb %[x], [%[in], #1]\n\tldrsb %[y], [%[in], #2]\n\tldrsb %[z], [%[in], #3]\n\t"                      \
    "ldrsb %[u], [%[in]]\n\tldr %[v], [%[w]], #4\n\tadd %[in], %[step]\n\t"                                  \
    "sxtb %[t], %[v]\n\tmla %[a], %[u], %[t], %[a]\n\tsxtb %[t], %[v], ror #8\n\t"                           \
    "mla %[b], %[x], %[t], %[b]\n\tsxtb %[t], %[v], ror #16\n\tmla %[c], %[y], %[t], %[c]\n\t"               \
    "asr %[t], %[v], #24\n\tmla %[d], %[z], %[t], %[d]\n\t"

#define DEPTHWISE_BLOCKED_TAPS(taps)                                                                         \
    do {                                                                                                     \
        int32_t t, u, v, x, y, z;                                                                            \
        __asm(taps                                                                                           \
              : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [in] "+r"(in), [w] "+r"(w),              \
                [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v), [x] "=&r"(x), [y] "=&r"(y), [z] "=&r"(z)           \
              : [step] "r"(step)                                                                             \
              : "memory");                                                                                   \
    } while (0)

/* 3x3 taps of three rows; all registers that there are. */
#define DEPTHWISE_BLOCKED_ROW                                                                                \
    "ldr %[in], [%[rows]], #4\n\tldr %[t], %[start]\n\tadd %[in], %[t]\n\t" DEPTHWISE_BLOCKED_TAP            \
        DEPTHWISE_BLOCKED_TAP DEPTHWISE_BLOCKED_TAP
#endif

/* sums[c] += in[k * step + c] * w[k][c] of `count` taps. */
static BLOCKED_INLINE void depthwise_blocked_s8_run(int32_t sums[BLOCKED_CHANNELS], const int8_t *in,
                                                    int32_t step, const int8_t *w, int32_t count) {
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3], k = 0;
#if defined(DEPTHWISE_BLOCKED_TAPS)
    if (count == 3) {
        DEPTHWISE_BLOCKED_TAPS(DEPTHWISE_BLOCKED_TAP DEPTHWISE_BLOCKED_TAP DEPTHWISE_BLOCKED_TAP);
        k = 3;
    }
    for (; k < count; ++k) {
        DEPTHWISE_BLOCKED_TAPS(DEPTHWISE_BLOCKED_TAP);
    }
#else
    for (; k < count; ++k, in += step, w += BLOCKED_CHANNELS) {
        a += in[0] * w[0];
        b += in[1] * w[1];
        c += in[2] * w[2];
        d += in[3] * w[3];
    }
#endif
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* How many taps of a row lie before the column `end`, counted from the first. */
static inline int32_t depthwise_blocked_s8_taps(const conv_params_s8 *p, int32_t end) {
    const int32_t reach = p->dilation_w == 1 ? end : (end + p->dilation_w - 1) / p->dilation_w;
    return min_s32(max_s32(reach, 0), p->kernel_w);
}

#if defined(DEPTHWISE_BLOCKED_ROW)
/* A window of 3x3 taps with what is beyond the map's edges. */
static BLOCKED_INLINE void depthwise_blocked_s8_window(const conv_params_s8 *p, const int8_t *const *rows,
                                                       ptrdiff_t start, int32_t from, int32_t to,
                                                       uint32_t window[9]) {
    const uint32_t zero_points = (uint8_t)p->input_zero_point * 0x01010101u;
    const int32_t step = p->dilation_w * p->in_c;
    for (int32_t ky = 0; ky < 3; ++ky) {
        for (int32_t kx = 0; kx < 3; ++kx, ++window) {
            *window = zero_points;
            if (rows[ky] != NULL && from <= kx && kx < to) {
                memcpy(window, rows[ky] + start + (ptrdiff_t)kx * step, sizeof *window);
            }
        }
    }
}
#endif

/* Sums of four channels of the pixel whose first tap is at `start` in a row; taps [from, to) are in the map.
 */
static BLOCKED_INLINE void depthwise_blocked_s8_sums(const conv_params_s8 *p, const int8_t *const *rows,
                                                     ptrdiff_t start, int32_t from, int32_t to,
                                                     const int8_t *w, const int32_t *bias,
                                                     int32_t sums[BLOCKED_CHANNELS]) {
    const int32_t taps = p->kernel_w;
    int32_t step = p->dilation_w * p->in_c;
#if defined(DEPTHWISE_BLOCKED_ROW)
    if (p->kernel_h == 3 && taps == 3 && p->dilation_h == 1) {
        uint32_t window[9];
        const int8_t *inner[3];
        if (to - from < 3 || rows[0] == NULL || rows[1] == NULL || rows[2] == NULL) {
            depthwise_blocked_s8_window(p, rows, start, from, to, window);
            for (int32_t ky = 0; ky < 3; ++ky) {
                inner[ky] = (const int8_t *)(window + 3 * ky);
            }
            rows = inner, start = 0, step = BLOCKED_CHANNELS;
        }
        int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3], t, u, v, x, y, z;
        const int8_t *in;
        __asm(DEPTHWISE_BLOCKED_ROW DEPTHWISE_BLOCKED_ROW DEPTHWISE_BLOCKED_ROW
              : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [rows] "+r"(rows), [w] "+r"(w),
                [in] "=&r"(in), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v), [x] "=&r"(x), [y] "=&r"(y),
                [z] "=&r"(z)
              : [step] "r"(step), [start] "m"(start)
              : "memory");
        sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
        return;
    }
#endif
    int32_t s[BLOCKED_CHANNELS] = {bias[0], bias[1], bias[2], bias[3]};
    for (int32_t ky = 0; ky < p->kernel_h; ++ky, w += taps * BLOCKED_CHANNELS) {
        const int8_t *row = rows[ky * p->dilation_h];
        if (row == NULL) {
            blocked_s8_padding(s, p->input_zero_point, w, taps);
        } else if (to - from == taps) {
            depthwise_blocked_s8_run(s, row + start, step, w, taps);
        } else {
            blocked_s8_padding(s, p->input_zero_point, w, from);
            depthwise_blocked_s8_run(s, row + start + (ptrdiff_t)from * step, step,
                                     w + from * BLOCKED_CHANNELS, to - from);
            blocked_s8_padding(s, p->input_zero_point, w + to * BLOCKED_CHANNELS, taps - to);
        }
    }
    memcpy(sums, s, sizeof s);
}

/* The maxima of `lines` rows of every pooling window, as conv_blocked_s8_lines. */
static BLOCKED_INLINE void depthwise_blocked_s8_lines(const conv_params_s8 *p, const int8_t *const *rows,
                                                      int32_t lines, const int8_t *weights,
                                                      const int32_t *bias, const int32_t *multiplier,
                                                      const int8_t *shift, int32_t first, int8_t *output) {
    const blocked_s8_scaling scaling = {multiplier,           shift,  p->channel_step,
                                        p->output_zero_point, p->low, p->high};
    const int32_t depth = p->kernel_h * p->kernel_w * BLOCKED_CHANNELS;
    for (int32_t x = 0; x < p->out_w; ++x) {
        int32_t column = x * p->pool_stride_w * p->stride_w - p->pad_left;
        int32_t from = depthwise_blocked_s8_taps(p, -column);
        int32_t to = max_s32(from, depthwise_blocked_s8_taps(p, p->in_w - column));
        const int8_t *w = weights;
        for (int32_t oc = 0; oc < p->out_c; oc += BLOCKED_CHANNELS, output += BLOCKED_CHANNELS, w += depth) {
            if (lines == 1 && p->pool_w == 1 && first) {
                int32_t sums[BLOCKED_CHANNELS];
                depthwise_blocked_s8_sums(p, rows, (ptrdiff_t)column * p->in_c + oc, from, to, w, bias + oc,
                                          sums);
                blocked_s8_outputs(sums, scaling, oc, output);
                continue;
            }
            int32_t best[BLOCKED_CHANNELS] = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
            for (int32_t py = 0; py < lines; ++py) {
                for (int32_t px = 0; px < p->pool_w; ++px) {
                    if (p->pool_w > 1) {
                        column = (x * p->pool_stride_w + px) * p->stride_w - p->pad_left;
                        from = depthwise_blocked_s8_taps(p, -column);
                        to = max_s32(from, depthwise_blocked_s8_taps(p, p->in_w - column));
                    }
                    int32_t sums[BLOCKED_CHANNELS];
                    depthwise_blocked_s8_sums(p, rows + py * p->stride_h, (ptrdiff_t)column * p->in_c + oc,
                                              from, to, w, bias + oc, sums);
                    for (int32_t c = 0; c < BLOCKED_CHANNELS; ++c) {
                        best[c] = max_s32(best[c], sums[c]);
                    }
                }
            }
            for (int32_t c = 0; c < BLOCKED_CHANNELS; ++c) {
                const int8_t value = blocked_s8_output(best[c], scaling, oc + c);
                output[c] = first || value > output[c] ? value : output[c];
            }
        }
    }
}

/* One output row from CONV_WINDOW_ROWS(p) input rows (NULL: padding). */
BLOCKED_KERNEL void depthwise_blocked_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                             const int8_t *weights, const int32_t *bias,
                                             const int32_t *multiplier, const int8_t *shift, int8_t *output) {
    depthwise_blocked_s8_lines(p, rows, p->pool_h, weights, bias, multiplier, shift, 1, output);
}

/* The share of one unpooled row in an output row, as depthwise_s8_part. */
BLOCKED_KERNEL void depthwise_blocked_s8_part(const conv_params_s8 *p, const int8_t *const *rows,
                                              const int8_t *weights, const int32_t *bias,
                                              const int32_t *multiplier, const int8_t *shift, int32_t first,
                                              int8_t *output) {
    depthwise_blocked_s8_lines(p, rows, 1, weights, bias, multiplier, shift, first, output);
}

BLOCKED_KERNEL void depthwise_blocked_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                                         const int32_t *bias, const int32_t *multiplier, const int8_t *shift,
                                         const int8_t **rows, int8_t *output) {
    const int32_t in_row = p->in_w * p->in_c;
    for (int32_t n = 0; n < p->batch; ++n) {
        for (int32_t y = 0; y < p->out_h; ++y) {
            window_rows_s8(rows, CONV_WINDOW_ROWS(p), input, y * CONV_WINDOW_STEP(p) - p->pad_top, p->in_h,
                           in_row);
            depthwise_blocked_s8_row(p, rows, weights, bias, multiplier, shift, output);
            output += (ptrdiff_t)p->out_w * p->out_c;
        }
        input += (ptrdiff_t)p->in_h * in_row;
    }
}

#endif
