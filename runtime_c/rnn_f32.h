/* float32 recurrent network of one gate. `scratch` holds 2 * units values (new state, state). */
#ifndef PINGPONNX_RNN_F32_H
#define PINGPONNX_RNN_F32_H

#include "recurrent_f32.h"

KERNEL void rnn_f32(const recurrent_params_f32 *p, const float *x, const float *w, const int8_t *w_codes,
                    const float *w_scale, const float *r, const int8_t *r_codes, const float *r_scale,
                    const float *bias, const int32_t *lengths, const float *first_h, void *scratch, float *y,
                    float *h) {
    const recurrent_operands_f32 o = {
        x, {w, w_codes, w_scale}, {r, r_codes, r_scale}, bias, lengths, first_h, NULL, y, h, NULL};
    float *work = (float *)scratch;
    for (int32_t lane = 0; lane < p->directions * p->batch; ++lane) {
        const recurrent_lane_f32 l = recurrent_f32_lane(p, &o, 1, lane, work + p->units);
        for (int32_t t = 0; t < l.steps; ++t) {
            recurrent_f32_sums(p, &l, 0, p->units, recurrent_f32_input(p, &l, t), l.h, work);
            for (int32_t i = 0; i < p->units; ++i) {
                work[i] = recurrent_f32_activate(p, l.direction, work[i]);
            }
            memcpy(l.h, work, (size_t)p->units * sizeof(float));
            recurrent_f32_store(p, &l, t);
        }
        recurrent_f32_store(p, &l, l.steps);
    }
}

#endif
