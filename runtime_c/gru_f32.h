/* float32 gated recurrent units, gates z (update), r (reset), h. `scratch` holds 5 * units values: gates, R
 * h, state.
 */
#ifndef PINGPONNX_GRU_F32_H
#define PINGPONNX_GRU_F32_H

#include "recurrent_f32.h"

static inline void gru_f32_step(const recurrent_params_f32 *p, const recurrent_lane_f32 *l, const float *x,
                                float *work) {
    const int32_t n = p->units, f = 2 * l->direction, g = f + 1;
    float *update = work, *reset = work + n, *fresh = reset + n, *kept = fresh + n;
    recurrent_f32_sums(p, l, 0, 2 * n, x, l->h, work);
    for (int32_t i = 0; i < 2 * n; ++i) {
        work[i] = recurrent_f32_activate(p, f, work[i]);
    }
    for (int32_t i = 0; i < n; ++i) {
        kept[i] = fresh[i] = 0.0f;
        if (!p->option) {
            reset[i] *= l->h[i];
        }
    }
    recurrent_f32_add(l->w, 2 * n, n, l->w_bias, x, p->inputs, fresh);
    recurrent_f32_add(l->r, 2 * n, n, l->r_bias, p->option ? l->h : reset, p->units, kept);
    for (int32_t i = 0; i < n; ++i) {
        fresh[i] = recurrent_f32_activate(p, g, fresh[i] + (p->option ? reset[i] * kept[i] : kept[i]));
    }
    for (int32_t i = 0; i < n; ++i) {
        l->h[i] = (1.0f - update[i]) * fresh[i] + update[i] * l->h[i];
    }
}

KERNEL void gru_f32(const recurrent_params_f32 *p, const float *x, const float *w, const int8_t *w_codes,
                    const float *w_scale, const float *r, const int8_t *r_codes, const float *r_scale,
                    const float *bias, const int32_t *lengths, const float *first_h, void *scratch, float *y,
                    float *h) {
    const recurrent_operands_f32 o = {
        x, {w, w_codes, w_scale}, {r, r_codes, r_scale}, bias, lengths, first_h, NULL, y, h, NULL};
    float *work = (float *)scratch;
    for (int32_t lane = 0; lane < p->directions * p->batch; ++lane) {
        const recurrent_lane_f32 l = recurrent_f32_lane(p, &o, 3, lane, work + (ptrdiff_t)4 * p->units);
        for (int32_t t = 0; t < l.steps; ++t) {
            gru_f32_step(p, &l, recurrent_f32_input(p, &l, t), work);
            recurrent_f32_store(p, &l, t);
        }
        recurrent_f32_store(p, &l, l.steps);
    }
}

#endif
