/* The int8 mean of a whole map (avg_pool_s8.h), four channels at a time on cores with the DSP extension. */
#ifndef PINGPONNX_MEAN_MAP_S8_H
#define PINGPONNX_MEAN_MAP_S8_H

#include "avg_pool_s8.h"
#include "dsp.h"

enum { MEAN_MAP_PIXELS = 256 }; /* of which sums of int8 fit a half */

typedef struct {
    int32_t sums[4];
} mean_map_quad;

/* Adds four channels of `pixels` pixels, `step` bytes apart. */
static inline mean_map_quad mean_map_add(mean_map_quad q, const int8_t *input, int32_t pixels, int32_t step) {
    while (pixels > 0) {
        uint32_t even = 0, odd = 0;
        const int32_t some = min_s32(pixels, MEAN_MAP_PIXELS);
        for (int32_t i = 0; i < some; ++i, input += step) {
            const uint32_t values = load_u32(input);
            even = sxtab16(even, values);
            odd = sxtab16_odd(odd, values);
        }
        q.sums[0] += (int16_t)(even & 0xFFFFu);
        q.sums[1] += (int16_t)(odd & 0xFFFFu);
        q.sums[2] += (int16_t)(even >> 16);
        q.sums[3] += (int16_t)(odd >> 16);
        pixels -= some;
    }
    return q;
}

static inline int32_t mean_map_one(const int8_t *input, int32_t pixels, int32_t step) {
    int32_t sum = 0;
    for (int32_t i = 0; i < pixels; ++i) {
        sum += input[(ptrdiff_t)i * step];
    }
    return sum;
}

static inline int8_t mean_map_value(const avg_pool_params_s8 *p, int32_t sum, const int32_t *multiplier,
                                    const int8_t *shift) {
    const int32_t count = p->min_count;
    return avg_pool_s8_value(p, sum - count * p->input_zero_point, count, multiplier, shift);
}

/* One input row: sums up, and after the last row makes the output. */
KERNEL void mean_map_s8_part(const avg_pool_params_s8 *p, const int8_t *row, int32_t first, int32_t last,
                             const int32_t *multiplier, const int8_t *shift, int32_t *sums, int8_t *output) {
    const int32_t quads = p->in_c / 4 * 4;
    for (int32_t c = 0; c < quads; c += 4) {
        mean_map_quad q = {{0, 0, 0, 0}};
        if (!first) {
            memcpy(q.sums, sums + c, sizeof q.sums);
        }
        q = mean_map_add(q, row + c, p->in_w, p->in_c);
        memcpy(sums + c, q.sums, sizeof q.sums);
    }
    for (int32_t c = quads; c < p->in_c; ++c) {
        sums[c] = (first ? 0 : sums[c]) + mean_map_one(row + c, p->in_w, p->in_c);
    }
    for (int32_t c = 0; last && c < p->in_c; ++c) {
        output[c] = mean_map_value(p, sums[c], multiplier, shift);
    }
}

/* A whole map, of one sample. The output may lie at the input or below: a channel is written when it was
 * read. */
KERNEL void mean_map_s8(const avg_pool_params_s8 *p, const int8_t *input, const int32_t *multiplier,
                        const int8_t *shift, int8_t *output) {
    const int32_t pixels = p->in_h * p->in_w, channels = p->in_c;
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
        const mean_map_quad q = mean_map_add((mean_map_quad){{0, 0, 0, 0}}, input + c, pixels, channels);
        for (int32_t i = 0; i < 4; ++i) {
            output[c + i] = mean_map_value(p, q.sums[i], multiplier, shift);
        }
    }
    for (; c < channels; ++c) {
        output[c] = mean_map_value(p, mean_map_one(input + c, pixels, channels), multiplier, shift);
    }
}

#endif
