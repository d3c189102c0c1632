/* int8 x * scale + shift per channel, with a fused clamp: the high word of one product, rounded once. May run
 * in place. */
#ifndef PINGPONNX_SCALE_SHIFT_S8_H
#define PINGPONNX_SCALE_SHIFT_S8_H

#include "requantize_s8.h"

typedef struct {
    int32_t pixels, channels;
    int32_t zero_point, fraction, low, high;
} scale_shift_params_s8;

#define SCALE_SHIFT_S8_LEFT 23

/* `factors` has a factor and a summand for each channel, see scale_shift.py. */
KERNEL void scale_shift_s8(const scale_shift_params_s8 *p, const int8_t *input, const int32_t *factors,
                           int8_t *output) {
    for (int32_t i = 0; i < p->pixels; ++i) {
        for (int32_t c = 0; c < p->channels; ++c) {
            const int32_t steps = (*input++ - p->zero_point) * (1 << SCALE_SHIFT_S8_LEFT);
            const int32_t sum = smmla(steps, factors[2 * c], factors[2 * c + 1]);
            *output++ = saturate_s8(sum >> p->fraction, p->low, p->high);
        }
    }
}

#endif
