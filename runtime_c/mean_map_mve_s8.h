/* mean_map_s8.h for Helium: four channels are added up at a time. */
#ifndef PINGPONNX_MEAN_MAP_MVE_S8_H
#define PINGPONNX_MEAN_MAP_MVE_S8_H

#include "mean_map_s8.h"
#include "mve_s8.h"

/* Sums of four channels of `pixels` pixels, `step` bytes apart. */
MVE_INLINE mve_s32 mean_map_mve_add(const int8_t *input, int32_t pixels, int32_t step) {
    mve_s32 sums = mve_s8_load(input, 4);
    for (int32_t i = 1; i < pixels; ++i) {
        sums = mve_s8_add(sums, mve_s8_load(input + (ptrdiff_t)i * step, 4));
    }
    return sums;
}

/* One input row: sums up, and after the last row makes the output. */
KERNEL void mean_map_mve_s8_part(const avg_pool_params_s8 *p, const int8_t *row, int32_t first, int32_t last,
                                 const int32_t *multiplier, const int8_t *shift, int32_t *sums,
                                 int8_t *output) {
    int32_t c = 0;
    for (; c + 4 <= p->in_c; c += 4) {
        if (first) {
            memset(sums + c, 0, 4 * sizeof *sums);
        }
        mve_s8_put(sums + c, mve_s8_add(mean_map_mve_add(row + c, p->in_w, p->in_c), mve_s8_get(sums + c)));
    }
    for (; c < p->in_c; ++c) {
        sums[c] = (first ? 0 : sums[c]) + mean_map_one(row + c, p->in_w, p->in_c);
    }
    for (c = 0; last && c < p->in_c; ++c) {
        output[c] = mean_map_value(p, sums[c], multiplier, shift);
    }
}

/* A whole map, of one sample. The output may lie at the input or below: a channel is written when it was
 * read.
 */
KERNEL void mean_map_mve_s8(const avg_pool_params_s8 *p, const int8_t *input, const int32_t *multiplier,
                            const int8_t *shift, int8_t *output) {
    const int32_t pixels = p->in_h * p->in_w, channels = p->in_c;
    int32_t c = 0;
    for (; c + 4 <= channels; c += 4) {
        int32_t sums[4];
        mve_s8_put(sums, mean_map_mve_add(input + c, pixels, channels));
        for (int32_t i = 0; i < 4; ++i) {
            output[c + i] = mean_map_value(p, sums[i], multiplier, shift);
        }
    }
    for (; c < channels; ++c) {
        output[c] = mean_map_value(p, mean_map_one(input + c, pixels, channels), multiplier, shift);
    }
}

#endif
