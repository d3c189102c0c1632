/* float32 normalization of groups of values: by mean and variance, by root mean square, or by a norm.
 *
 * The input is `outer rows groups width`: a group is `rows` runs of `width` values, so that layers, instances
 * and groups of channels in `n h w c` are all the same loop. May run in place.
 */
#ifndef PINGPONNX_NORMALIZE_F32_H
#define PINGPONNX_NORMALIZE_F32_H

#include "kernel.h"

enum { NORMALIZE_VARIANCE, NORMALIZE_MEAN_SQUARE, NORMALIZE_L1, NORMALIZE_L2 };

typedef struct {
    int32_t outer, rows, groups, width;
    int32_t kind;
    float epsilon;
} normalize_params_f32;

#define NORMALIZE_BLOCK                                                                                      \
    64 /* values that are summed up before they join the total, to keep its error small                      \
        */

/* The sum of what the kind of norm wants of each value of a group, less `mean`. */
static inline float normalize_f32_sum(const normalize_params_f32 *p, const float *input, int32_t power,
                                      float mean) {
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    float total = 0.0f, block = 0.0f;
    int32_t count = 0;
    for (int32_t row = 0; row < p->rows; ++row, input += stride) {
        for (int32_t i = 0; i < p->width; ++i) {
            const float value = input[i] - mean;
            block += power == 2 ? value * value : p->kind == NORMALIZE_L1 ? fabsf(value) : value;
            if (++count == NORMALIZE_BLOCK) {
                total += block;
                block = 0.0f;
                count = 0;
            }
        }
    }
    return total + block;
}

/* One group: (x - mean) * factor, then times `scale` plus `shift` (NULL: neither); both statistics may be
 * wanted too. */
static inline void normalize_f32_group(const normalize_params_f32 *p, const float *input, const float *scale,
                                       const float *shift, float *means, float *factors, float *output) {
    const float count = (float)p->rows * (float)p->width;
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    const float mean = p->kind == NORMALIZE_VARIANCE ? normalize_f32_sum(p, input, 1, 0.0f) / count : 0.0f;
    const float sum = normalize_f32_sum(p, input, p->kind == NORMALIZE_L1 ? 1 : 2, mean);
    float norm = sum;
    if (p->kind == NORMALIZE_L2) {
        norm = sqrtf(sum);
    } else if (p->kind != NORMALIZE_L1) {
        norm = sqrtf(sum / count + p->epsilon);
    }
    const float factor = norm == 0.0f && p->kind >= NORMALIZE_L1 ? 0.0f : 1.0f / norm;
    if (means != NULL) {
        *means = mean;
    }
    if (factors != NULL) {
        *factors = factor;
    }
    for (int32_t row = 0; row < p->rows; ++row, input += stride, output += stride) {
        for (int32_t i = 0; i < p->width; ++i) {
            float value = (input[i] - mean) * factor;
            value = scale != NULL ? value * scale[i] : value;
            output[i] = shift != NULL ? value + shift[i] : value;
        }
    }
}

/* `scale` and `shift` have a value for each of the groups * width places, `means` and `factors` one for each
 * of the outer * groups groups; any of them may be NULL. */
KERNEL void normalize_f32(const normalize_params_f32 *p, const float *input, const float *scale,
                          const float *shift, float *means, float *factors, float *output) {
    const ptrdiff_t sample = (ptrdiff_t)p->rows * p->groups * p->width;
    for (int32_t n = 0; n < p->outer; ++n) {
        for (int32_t g = 0; g < p->groups; ++g) {
            const ptrdiff_t at = (ptrdiff_t)g * p->width, group = (ptrdiff_t)n * p->groups + g;
            normalize_f32_group(p, input + at, scale != NULL ? scale + at : NULL,
                                shift != NULL ? shift + at : NULL, means != NULL ? means + group : NULL,
                                factors != NULL ? factors + group : NULL, output + at);
        }
        input += sample;
        output += sample;
    }
}

#endif
