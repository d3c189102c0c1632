/* int8 normalization of groups of values, all in integers: by mean and variance, by root mean square, or by
 * the 2-norm. Groups lie as in normalize_f32.h; the constants are made, and proven to fit, by
 * normalize_s8.py. May run in place. */
#ifndef PINGPONNX_NORMALIZE_S8_H
#define PINGPONNX_NORMALIZE_S8_H

#include "dsp.h"

typedef struct {
    int32_t outer, rows, groups, width;
    int32_t zero_point; /* of the input; 0 with `centred`, which needs none */
    int32_t centred;    /* values less their mean */
    int32_t count;      /* what a value is multiplied by before the sum is taken off */
    int32_t left;       /* bits by which that product is shifted left */
    int32_t widen;      /* bits by which the sum of squares is */
    uint32_t epsilon_high, epsilon_low;
    int32_t exponent; /* a product's high word has that many fraction bits, and half of the sum's bits more */
    int32_t fraction; /* fraction bits of `shift` */
    int32_t step;     /* 1, or 0 where all places have the same scale and shift */
} normalize_params_s8;

typedef struct {
    int32_t centre, inverse;
    int32_t drop, unit; /* low bits of products that are dropped, fraction bits that are left */
} normalize_group_s8;

/* What a place's values are multiplied by, and what is added, in the units of a group. */
typedef struct {
    int32_t factor, summand;
} normalize_place_s8;

/* 2^62 / sqrt(2^32 x) for x from 2^30 on, off by 2 at most and below 2^31: four steps of Newton's iteration
 * from a line that is 9 % off. */
static inline uint32_t inverse_root(uint32_t x) {
    uint32_t y = 2290001373u - (uint32_t)(((uint64_t)x * 1308572213u) >> 32);
    for (int32_t i = 0; i < 4; ++i) {
        const uint32_t square = (uint32_t)(((uint64_t)y * y) >> 31);
        const uint32_t product = (uint32_t)(((uint64_t)x * square) >> 32);
        y = (uint32_t)(((uint64_t)y * (((uint32_t)3 << 29) - product)) >> 30);
    }
    return y;
}

static inline normalize_group_s8 normalize_group_of_s8(const normalize_params_s8 *p, int32_t sum,
                                                       uint32_t squares) {
    uint64_t size = (uint64_t)p->count * squares;
    if (p->centred) {
        size -= (uint64_t)((int64_t)sum * sum);
    }
    size = (size << p->widen) + (((uint64_t)p->epsilon_high << 32) | p->epsilon_low);
    int32_t half = 32; /* of the bits of `size`, rounded up */
    for (int32_t bits = 32; bits >= 2; bits /= 2) {
        if (size >> (64 - bits) == 0) {
            size <<= bits;
            half -= bits / 2;
        }
    }
    const int32_t fraction = max_s32(half + p->exponent, 0);
    const int32_t unit = min_s32(fraction, p->fraction);
    return (normalize_group_s8){
        .centre = p->centred ? sum * (1 << p->left) : 0,
        .inverse = (int32_t)inverse_root((uint32_t)(size >> 32)),
        .drop = fraction - unit,
        .unit = unit,
    };
}

static inline normalize_group_s8 normalize_s8_statistics(const normalize_params_s8 *p, const int8_t *input) {
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    int32_t sum = 0;
    uint32_t squares = 0;
    for (int32_t row = 0; row < p->rows; ++row, input += stride) {
        for (int32_t i = 0; i < p->width; ++i) {
            const int32_t value = input[i] - p->zero_point;
            sum += value;
            squares += (uint32_t)(value * value);
        }
    }
    return normalize_group_of_s8(p, sum, squares);
}

static inline normalize_place_s8 normalize_s8_place(const normalize_params_s8 *p, normalize_group_s8 group,
                                                    int32_t scale, int32_t shift) {
    return (normalize_place_s8){
        .factor = smmla(group.inverse, scale, 0),
        .summand = (shift >> (p->fraction - group.unit)) + ((1 << group.unit) >> 1),
    };
}

static inline int8_t normalize_s8_value(const normalize_params_s8 *p, normalize_group_s8 group,
                                        normalize_place_s8 place, int8_t x) {
    const int32_t centred = (x - p->zero_point) * (p->count * (1 << p->left)) - group.centre;
    const int32_t product = smmla(centred, place.factor, 0);
    return (int8_t)ssat8(((product >> group.drop) + place.summand) >> group.unit);
}

static inline void normalize_s8_group(const normalize_params_s8 *p, const int8_t *input, const int32_t *scale,
                                      const int32_t *shift, int8_t *output) {
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    const normalize_group_s8 group = normalize_s8_statistics(p, input);
    normalize_place_s8 place = normalize_s8_place(p, group, *scale, *shift);
    for (int32_t row = 0; row < p->rows; ++row, input += stride, output += stride) {
        for (int32_t i = 0; i < p->width; ++i) {
            if (p->width > 1 && p->step > 0) {
                place = normalize_s8_place(p, group, scale[i], shift[i]);
            }
            output[i] = normalize_s8_value(p, group, place, input[i]);
        }
    }
}

/* `scale` and `shift` (with the output's zero point) have a value for each of the groups * width places, or
 * one for all. */
KERNEL void normalize_s8(const normalize_params_s8 *p, const int8_t *input, const int32_t *scale,
                         const int32_t *shift, int8_t *output) {
    for (int32_t n = 0; n < p->outer; ++n) {
        for (int32_t g = 0; g < p->groups; ++g) {
            const ptrdiff_t at = (ptrdiff_t)g * p->width;
            const ptrdiff_t place = p->step * at;
            normalize_s8_group(p, input + at, scale + place, shift + place, output + at);
        }
        input += (ptrdiff_t)p->rows * p->groups * p->width;
        output += (ptrdiff_t)p->rows * p->groups * p->width;
    }
}

#endif
