/* int8 depthwise convolution by rows for Helium: eight channels at a time, any kernel, stride and padding.
 *
 * A block of eight channels has as constants four biases, four multipliers and under TFLite's rounding four
 * shifts of its even channels, then those of its odd ones. Weights: by block, by tap, eight channels,
 * and eight bytes more, which are read but not used.
 */
#ifndef PINGPONNX_DEPTHWISE_MVE_S8_H
#define PINGPONNX_DEPTHWISE_MVE_S8_H

#include "mve_s8.h"
#include "window_mve_s8.h"

enum { DEPTHWISE_MVE_LANES = 8, DEPTHWISE_MVE_ROWS = 7 };

/* A window's rows in eight channels; of one at an `edge` columns from `begin` to `end` are inside, and rows
 * that are padding NULL. */
typedef struct {
    const int8_t *from[DEPTHWISE_MVE_ROWS];
    int32_t begin, end;
    int8_t padding[DEPTHWISE_MVE_LANES];
} depthwise_mve_s8_window;

MVE_INLINE const int8_t *depthwise_mve_s8_tap(const conv_params_s8 *p, const depthwise_mve_s8_window *window,
                                              int32_t edge, int32_t tap) {
    const int32_t ky = tap / p->kernel_w, kx = tap % p->kernel_w;
    if (edge && (window->from[ky] == NULL || kx < window->begin || kx >= window->end)) {
        return window->padding;
    }
    return window->from[ky] + (ptrdiff_t)kx * p->in_c;
}

#if defined(PINGPONNX_MVE)

/* A tap: values times weights, added to the sums of even and of odd channels. Loads, multiplications and
 * additions take turns, for neighbours that use different units overlap; the next weights are loaded ahead.
 * Left to itself gcc loads all taps before it multiplies one.
 */
#define DEPTHWISE_MVE_MULTIPLY                                                                               \
    "vmullb.s16 q2, q0, %q[k]\n\t"                                                                           \
    "vadd.i32 %q[even], %q[even], q2\n\t"                                                                    \
    "vmullt.s16 q2, q0, %q[k]\n\t"                                                                           \
    "vldrb.s16 %q[k], [%[w]], #8\n\t"                                                                        \
    "vadd.i32 %q[odd], %q[odd], q2"

/* Eight channels of a pixel, of which the first `count` are read and stored. */
MVE_INLINE void depthwise_mve_s8_block(const conv_params_s8 *p, const depthwise_mve_s8_window *window,
                                       int32_t edge, const int8_t *w, const int32_t *constants, int32_t count,
                                       int8_t *to) {
    const int32_t whole = p->in_c % DEPTHWISE_MVE_LANES == 0;
    mve_s32 even = vldrwq_s32(constants), odd = vldrwq_s32(constants + MVE_CONSTANTS);
    int16x8_t k = vldrbq_s16(w);
    w += DEPTHWISE_MVE_LANES;
#pragma GCC unroll 9
    for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; ++tap) {
        const int8_t *x = depthwise_mve_s8_tap(p, window, edge, tap);
        if (whole) {
            __asm volatile("vldrb.s16 q0, [%[x]]\n\t" DEPTHWISE_MVE_MULTIPLY
                           : [even] "+&w"(even), [odd] "+w"(odd), [k] "+&w"(k), [w] "+l"(w)
                           : [x] "l"(x)
                           : "q0", "q2", "memory");
        } else {
            __asm volatile("vctp.16 %[count]\n\t"
                           "vpst\n\t"
                           "vldrbt.s16 q0, [%[x]]\n\t" DEPTHWISE_MVE_MULTIPLY
                           : [even] "+&w"(even), [odd] "+w"(odd), [k] "+&w"(k), [w] "+l"(w)
                           : [x] "l"(x), [count] "r"(count)
                           : "p0", "q0", "q2", "memory");
        }
    }
    even = mve_s8_scale(even, constants);
    odd = mve_s8_scale(odd, constants + MVE_CONSTANTS);
    /* narrowing and adding saturate, which the clamp cannot tell */
    int16x8_t y = vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), even), odd);
    y = vqaddq_n_s16(y, (int16_t)p->output_zero_point);
    y = vminq_s16(vmaxq_s16(y, vdupq_n_s16((int16_t)p->low)), vdupq_n_s16((int16_t)p->high));
    if (whole) {
        vstrbq_s16(to, y);
        return;
    }
    __asm volatile("vctp.16 %[count]\n\t"
                   "vpst\n\t"
                   "vstrbt.16 %q[y], [%[to]]"
                   :
                   : [count] "r"(count), [y] "w"(y), [to] "l"(to)
                   : "p0", "memory");
}

#else

static inline void depthwise_mve_s8_block(const conv_params_s8 *p, const depthwise_mve_s8_window *window,
                                          int32_t edge, const int8_t *w, const int32_t *constants,
                                          int32_t count, int8_t *to) {
    for (int32_t c = 0; c < min_s32(count, DEPTHWISE_MVE_LANES); ++c) {
        const int32_t *of = constants + c % 2 * MVE_CONSTANTS + c / 2;
        uint32_t sum = (uint32_t)of[0];
        for (int32_t tap = 0; tap < p->kernel_h * p->kernel_w; ++tap) {
            const int8_t *x = depthwise_mve_s8_tap(p, window, edge, tap);
            sum += (uint32_t)(x[c] * w[tap * DEPTHWISE_MVE_LANES + c]);
        }
        const int32_t shift = MVE_CONSTANTS == 12 ? of[MVE_CONSTANTS - 4] : PINGPONNX_PLAIN_SHIFT;
        to[c] = clamp_s8(requantize((int32_t)sum, of[4], shift) + p->output_zero_point, p->low, p->high);
    }
}

#endif

/* All channels of a pixel. */
MVE_INLINE void depthwise_mve_s8_pixel(const conv_params_s8 *p, depthwise_mve_s8_window *window, int32_t edge,
                                       const int8_t *weights, const int32_t *constants, int8_t *output) {
    for (int32_t left = p->in_c; left > 0; left -= DEPTHWISE_MVE_LANES) {
        depthwise_mve_s8_block(p, window, edge, weights, constants, left, output);
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            if (!edge || window->from[ky] != NULL) {
                window->from[ky] += min_s32(left, DEPTHWISE_MVE_LANES);
            }
        }
        weights += p->kernel_h * p->kernel_w * DEPTHWISE_MVE_LANES, constants += 2 * MVE_CONSTANTS;
        output += min_s32(left, DEPTHWISE_MVE_LANES);
    }
}

/* One output row from kernel_h input rows (NULL: padding), of DEPTHWISE_MVE_ROWS at most. `room` is for a
 * window that has to be put together; NULL where none has to.
 */
MVE_KERNEL void depthwise_mve_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                     const int8_t *weights, const int32_t *constants, void *room,
                                     int8_t *output) {
    const int32_t run = p->kernel_w * p->in_c;
    for (int32_t x = 0; x < p->out_w; ++x, output += p->in_c) {
        depthwise_mve_s8_window window;
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            int8_t *to = room != NULL ? (int8_t *)room + ky * run : NULL;
            window.from[ky] = window_mve_s8_row(p, rows[ky], x * p->stride_w - p->pad_left, to);
        }
        depthwise_mve_s8_pixel(p, &window, 0, weights, constants, output);
    }
}

/* The same without scratch and without dilation: padding is eight values. */
MVE_KERNEL void depthwise_direct_mve_s8_row(const conv_params_s8 *p, const int8_t *const *rows,
                                            const int8_t *weights, const int32_t *constants, int8_t *output) {
    int32_t none = 0;
    for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
        none |= rows[ky] == NULL;
    }
    for (int32_t x = 0; x < p->out_w; ++x, output += p->in_c) {
        const int32_t left = x * p->stride_w - p->pad_left;
        depthwise_mve_s8_window window;
        for (int32_t ky = 0; ky < p->kernel_h; ++ky) {
            window.from[ky] = rows[ky] == NULL ? NULL : rows[ky] + (ptrdiff_t)left * p->in_c;
        }
        if (none || left < 0 || left + p->kernel_w > p->in_w) {
            window.begin = -left;
            window.end = p->in_w - left;
            memset(window.padding, p->input_zero_point, sizeof window.padding);
            depthwise_mve_s8_pixel(p, &window, 1, weights, constants, output);
        } else {
            depthwise_mve_s8_pixel(p, &window, 0, weights, constants, output);
        }
    }
}

MVE_KERNEL void depthwise_mve_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                                 const int32_t *constants, void *room, const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, p->kernel_h, input, y * p->stride_h - p->pad_top, p->in_h, p->in_w * p->in_c);
        depthwise_mve_s8_row(p, rows, weights, constants, room, output);
    }
}

MVE_KERNEL void depthwise_direct_mve_s8(const conv_params_s8 *p, const int8_t *input, const int8_t *weights,
                                        const int32_t *constants, const int8_t **rows, int8_t *output) {
    for (int32_t y = 0; y < p->out_h; ++y, output += (ptrdiff_t)p->out_w * p->out_c) {
        window_rows_s8(rows, p->kernel_h, input, y * p->stride_h - p->pad_top, p->in_h, p->in_w * p->in_c);
        depthwise_direct_mve_s8_row(p, rows, weights, constants, output);
    }
}

#endif
