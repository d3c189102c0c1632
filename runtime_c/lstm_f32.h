/* float32 long short-term memory, gates i (input), o (output), f (forget), c (cell). `scratch` holds 6 *
 * units values (gates, state, cell); peepholes are those of i, o and f.
 */
#ifndef PINGPONNX_LSTM_F32_H
#define PINGPONNX_LSTM_F32_H

#include "recurrent_f32.h"

static inline void lstm_f32_step(const recurrent_params_f32 *p, const recurrent_lane_f32 *l, const float *x,
                                 const float *peephole, float *work) {
    const int32_t n = p->units, f = 3 * l->direction;
    recurrent_f32_sums(p, l, 0, 4 * n, x, l->h, work);
    for (int32_t i = 0; i < n; ++i) {
        const float before = l->c[i];
        const float in_peep = peephole != NULL ? peephole[i] * before : 0.0f;
        const float forget_peep = peephole != NULL ? peephole[2 * n + i] * before : 0.0f;
        const float in = recurrent_f32_activate(p, f, work[i] + in_peep);
        const float forget =
            p->option ? 1.0f - in : recurrent_f32_activate(p, f, work[2 * n + i] + forget_peep);
        const float cell = forget * before + in * recurrent_f32_activate(p, f + 1, work[3 * n + i]);
        const float out_peep = peephole != NULL ? peephole[n + i] * cell : 0.0f;
        const float out = recurrent_f32_activate(p, f, work[n + i] + out_peep);
        l->c[i] = cell;
        l->h[i] = out * recurrent_f32_function(p, f + 2, cell); /* no sum: not clipped */
    }
}

KERNEL void lstm_f32(const recurrent_params_f32 *p, const float *x, const float *w, const int8_t *w_codes,
                     const float *w_scale, const float *r, const int8_t *r_codes, const float *r_scale,
                     const float *bias, const int32_t *lengths, const float *first_h, const float *first_c,
                     const float *peephole, void *scratch, float *y, float *h, float *c) {
    const recurrent_operands_f32 o = {
        x, {w, w_codes, w_scale}, {r, r_codes, r_scale}, bias, lengths, first_h, first_c, y, h, c};
    float *work = (float *)scratch;
    const size_t size = (size_t)p->units * sizeof(float);
    for (int32_t lane = 0; lane < p->directions * p->batch; ++lane) {
        const recurrent_lane_f32 l = recurrent_f32_lane(p, &o, 4, lane, work + (ptrdiff_t)4 * p->units);
        const float *peep = peephole != NULL ? peephole + (ptrdiff_t)3 * p->units * l.direction : NULL;
        const ptrdiff_t n = lane % p->batch;
        if (first_c != NULL) {
            memcpy(l.c, first_c + (ptrdiff_t)l.direction * p->state_direction + n * p->state_sample, size);
        } else {
            memset(l.c, 0, size);
        }
        for (int32_t t = 0; t < l.steps; ++t) {
            lstm_f32_step(p, &l, recurrent_f32_input(p, &l, t), peep, work);
            recurrent_f32_store(p, &l, t);
        }
        recurrent_f32_store(p, &l, l.steps);
    }
}

#endif
