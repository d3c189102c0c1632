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
    int32_t exponent; /* a product's high word has that many fraction bits, and half of the size's more */
    int32_t fraction; /* fraction bits of sums */
    int32_t step;     /* 2, or 0 where all places have the same scale and shift */
} normalize_params_s8;

/* What all values of a group have in common: products are shifted left by `up` and right by `down`. */
typedef struct {
    int32_t centre, inverse;
    int32_t up, down;
} normalize_group_s8;

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

/* How many pairs of zero bits a number starts with that is not 0. */
static inline int32_t leading_pairs(uint64_t x) {
    uint32_t word = (uint32_t)(x >> 32);
    int32_t pairs = 0;
    if (word == 0) {
        word = (uint32_t)x;
        pairs = 16;
    }
    for (int32_t bits = 16; bits >= 2; bits /= 2) {
        if (word >> (32 - bits) == 0) {
            word <<= bits;
            pairs += bits / 2;
        }
    }
    return pairs;
}

/* Once for all nodes of a model: it runs once in a group. */
static __attribute__((noinline, unused)) normalize_group_s8
normalize_group_of_s8(const normalize_params_s8 *p, int32_t sum, uint32_t squares) {
    uint64_t size = (uint64_t)p->count * squares;
    if (p->centred) {
        size -= (uint64_t)((int64_t)sum * sum);
    }
    size = (size << p->widen) + (((uint64_t)p->epsilon_high << 32) | p->epsilon_low);
    const int32_t spare = leading_pairs(size);
    const int32_t bits = max_s32(32 - spare + p->exponent, 0);
    return (normalize_group_s8){
        .centre = p->centred ? sum * (1 << p->left) : 0,
        .inverse = (int32_t)inverse_root((uint32_t)((size << 2 * spare) >> 32)),
        .up = max_s32(p->fraction - bits, 0),
        .down = max_s32(bits - p->fraction, 0),
    };
}

static inline normalize_group_s8 normalize_s8_statistics(const normalize_params_s8 *p, const int8_t *input) {
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    int32_t sum = 0;
    uint32_t squares = 0;
    for (int32_t row = 0; row < p->rows; ++row, input += stride) {
        int32_t i = 0;
#if defined(PINGPONNX_DSP)
        for (; p->centred && i + 4 <= p->width; i += 4) {
            const uint32_t values = load_u32(input + i);
            const uint32_t even = sxtb16(values), odd = sxtb16_odd(values);
            sum = smlad(odd, 0x10001u, smlad(even, 0x10001u, sum));
            squares = (uint32_t)smlad(odd, odd, smlad(even, even, (int32_t)squares));
        }
#endif
        for (; i < p->width; ++i) {
            const int32_t value = input[i] - p->zero_point;
            sum += value;
            squares += (uint32_t)(value * value);
        }
    }
    return normalize_group_of_s8(p, sum, squares);
}

/* `factor` is the inverse root times the place's scale. */
static inline int8_t normalize_s8_value(const normalize_params_s8 *p, normalize_group_s8 group, int8_t x,
                                        int32_t factor, int32_t shift) {
    const int32_t centred = (x - p->zero_point) * (p->count * (1 << p->left)) - group.centre;
    const int32_t product = (int32_t)((uint32_t)smmla(centred, factor, 0) << group.up) >> group.down;
    return (int8_t)ssat8((product + shift) >> p->fraction);
}

static inline void normalize_s8_group(const normalize_params_s8 *p, const int8_t *input,
                                      const int32_t *places, int8_t *output) {
    const ptrdiff_t stride = (ptrdiff_t)p->groups * p->width;
    const normalize_group_s8 group = normalize_s8_statistics(p, input);
    int32_t factor = smmla(group.inverse, places[0], 0), shift = places[1];
    for (int32_t row = 0; row < p->rows; ++row, input += stride, output += stride) {
        for (int32_t i = 0; i < p->width; ++i) {
            if (p->width > 1 && p->step > 0) {
                factor = smmla(group.inverse, places[2 * i], 0);
                shift = places[2 * i + 1];
            }
            output[i] = normalize_s8_value(p, group, input[i], factor, shift);
        }
    }
}

/* `places` has a scale and a shift for each of the groups * width places, or one pair for all; in the shift
 * are the output's zero point and one half, by which it is rounded. */
KERNEL void normalize_s8(const normalize_params_s8 *p, const int8_t *input, const int32_t *places,
                         int8_t *output) {
    for (int32_t n = 0; n < p->outer; ++n) {
        for (int32_t g = 0; g < p->groups; ++g) {
            const ptrdiff_t at = (ptrdiff_t)g * p->width;
            normalize_s8_group(p, input + at, places + p->step * at, output + at);
        }
        input += (ptrdiff_t)p->rows * p->groups * p->width;
        output += (ptrdiff_t)p->rows * p->groups * p->width;
    }
}

#endif
