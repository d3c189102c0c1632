/* What RNN, GRU and LSTM share: walking through the steps of every sample in every direction.
 *
 * A lane is one direction of one sample. Matrices are `direction, gate unit, value`; they are float32, or
 * int8 codes with a scale per row, which are multiplied as they are read. The state of a lane lies where the
 * last one is wanted, or in the work space.
 */
#ifndef PINGPONNX_RECURRENT_F32_H
#define PINGPONNX_RECURRENT_F32_H

#include "kernel.h"

enum {
    RECURRENT_SIGMOID,
    RECURRENT_TANH,
    RECURRENT_RELU,
    RECURRENT_AFFINE,
    RECURRENT_LEAKY_RELU,
    RECURRENT_THRESHOLDED_RELU,
    RECURRENT_SCALED_TANH,
    RECURRENT_HARD_SIGMOID,
    RECURRENT_ELU,
    RECURRENT_SOFTSIGN,
    RECURRENT_SOFTPLUS
};

typedef struct {
    int32_t steps, batch, inputs, units, directions;
    int32_t reverse;          /* the first direction goes from the last step to the first */
    int32_t x_step, x_sample; /* values from one to the next */
    int32_t y_step, y_direction, y_sample;
    int32_t state_direction, state_sample;
    int32_t option; /* GRU: linear_before_reset, LSTM: input_forget */
    float clip;     /* of the sums that activations are given */
    int32_t activation[6];
    float alpha[6], beta[6]; /* by direction, then as ONNX lists them */
} recurrent_params_f32;

typedef struct {
    const float *real;
    const int8_t *codes; /* NULL: the matrix is real */
    const float *scale;
} recurrent_matrix_f32;

/* What a kernel is given; NULL for what is left out. */
typedef struct {
    const float *x;
    recurrent_matrix_f32 w, r;
    const float *bias;
    const int32_t *lengths;
    const float *first_h, *first_c;
    float *y, *h, *c;
} recurrent_operands_f32;

typedef struct {
    int32_t direction, steps, backward;
    const float *x;
    recurrent_matrix_f32 w, r;
    const float *w_bias, *r_bias;
    float *y, *h, *c;
} recurrent_lane_f32;

static inline recurrent_matrix_f32 recurrent_f32_row(recurrent_matrix_f32 m, ptrdiff_t row,
                                                     ptrdiff_t columns) {
    const ptrdiff_t at = row * columns;
    const recurrent_matrix_f32 moved = {m.real != NULL ? m.real + at : NULL,
                                        m.codes != NULL ? m.codes + at : NULL,
                                        m.scale != NULL ? m.scale + row : NULL};
    return moved;
}

#define RECURRENT_ROWS 4 /* that share every value they are multiplied by */

/* Adds to `sums` the products of up to RECURRENT_ROWS rows from `row` on with `count` values. */
static inline void recurrent_f32_rows(recurrent_matrix_f32 m, ptrdiff_t row, int32_t rows,
                                      const float *values, int32_t count, float *sums) {
    float total[RECURRENT_ROWS] = {0.0f};
    for (int32_t i = 0; i < count; ++i) {
        for (int32_t k = 0; k < rows; ++k) {
            const ptrdiff_t at = (row + k) * count + i;
            total[k] += (m.codes != NULL ? (float)m.codes[at] : m.real[at]) * values[i];
        }
    }
    for (int32_t k = 0; k < rows; ++k) {
        sums[k] += m.codes != NULL ? total[k] * m.scale[row + k] : total[k];
    }
}

/* Adds matrix times values plus bias to `sums`, for `rows` rows from `row` on. */
static inline void recurrent_f32_add(recurrent_matrix_f32 m, ptrdiff_t row, int32_t rows, const float *bias,
                                     const float *values, int32_t count, float *sums) {
    const int32_t whole = rows - rows % RECURRENT_ROWS;
    for (int32_t k = 0; k < whole; k += RECURRENT_ROWS) {
        recurrent_f32_rows(m, row + k, RECURRENT_ROWS, values, count, sums + k);
    }
    for (int32_t k = whole; k < rows; ++k) {
        recurrent_f32_rows(m, row + k, 1, values, count, sums + k);
    }
    for (int32_t k = 0; bias != NULL && k < rows; ++k) {
        sums[k] += bias[row + k];
    }
}

/* Activation number `index` of the node. */
static inline float recurrent_f32_function(const recurrent_params_f32 *p, int32_t index, float x) {
    const float alpha = p->alpha[index], beta = p->beta[index];
    switch (p->activation[index]) {
    case RECURRENT_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    case RECURRENT_TANH:
        return tanhf(x);
    case RECURRENT_RELU:
        return x > 0.0f ? x : 0.0f;
    case RECURRENT_AFFINE:
        return alpha * x + beta;
    case RECURRENT_LEAKY_RELU:
        return x < 0.0f ? alpha * x : x;
    case RECURRENT_THRESHOLDED_RELU:
        return x >= alpha ? x : 0.0f;
    case RECURRENT_SCALED_TANH:
        return alpha * tanhf(beta * x);
    case RECURRENT_HARD_SIGMOID:
        return clamp_f32(alpha * x + beta, 0.0f, 1.0f);
    case RECURRENT_ELU:
        return x < 0.0f ? alpha * expm1f(x) : x;
    case RECURRENT_SOFTSIGN:
        return x / (1.0f + fabsf(x));
    default:
        return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
    }
}

/* The same of a sum, which is clipped. */
static inline float recurrent_f32_activate(const recurrent_params_f32 *p, int32_t index, float sum) {
    return recurrent_f32_function(p, index, clamp_f32(sum, -p->clip, p->clip));
}

/* Lane number `lane` of `gates` gates, its state at the beginning; without lengths all steps are walked. */
static inline recurrent_lane_f32 recurrent_f32_lane(const recurrent_params_f32 *p,
                                                    const recurrent_operands_f32 *o, int32_t gates,
                                                    int32_t lane, float *work) {
    const int32_t d = lane / p->batch, n = lane % p->batch;
    const ptrdiff_t rows = (ptrdiff_t)gates * p->units;
    const ptrdiff_t state = (ptrdiff_t)d * p->state_direction + (ptrdiff_t)n * p->state_sample;
    const size_t size = (size_t)p->units * sizeof(float);
    recurrent_lane_f32 l;
    l.direction = d;
    l.steps = o->lengths != NULL ? min_s32(max_s32(o->lengths[n], 0), p->steps) : p->steps;
    l.backward = d == 1 || p->reverse;
    l.x = o->x + (ptrdiff_t)n * p->x_sample;
    l.w = recurrent_f32_row(o->w, d * rows, p->inputs);
    l.r = recurrent_f32_row(o->r, d * rows, p->units);
    l.w_bias = o->bias != NULL ? o->bias + d * 2 * rows : NULL;
    l.r_bias = l.w_bias != NULL ? l.w_bias + rows : NULL;
    l.y = o->y != NULL ? o->y + (ptrdiff_t)d * p->y_direction + (ptrdiff_t)n * p->y_sample : NULL;
    l.h = o->h != NULL ? o->h + state : work;
    l.c = o->c != NULL ? o->c + state : work + p->units;
    if (o->first_h != NULL) {
        memcpy(l.h, o->first_h + state, size);
    } else {
        memset(l.h, 0, size);
    }
    return l;
}

/* The values of step number `t` of the lane. */
static inline const float *recurrent_f32_input(const recurrent_params_f32 *p, const recurrent_lane_f32 *l,
                                               int32_t t) {
    return l->x + (ptrdiff_t)(l->backward ? l->steps - 1 - t : t) * p->x_step;
}

/* W x + bias and R h + bias, summed up, for `rows` rows from `row` on. */
static inline void recurrent_f32_sums(const recurrent_params_f32 *p, const recurrent_lane_f32 *l,
                                      ptrdiff_t row, int32_t rows, const float *x, const float *h,
                                      float *sums) {
    memset(sums, 0, (size_t)rows * sizeof(float));
    recurrent_f32_add(l->w, row, rows, l->w_bias, x, p->inputs, sums);
    recurrent_f32_add(l->r, row, rows, l->r_bias, h, p->units, sums);
}

/* Stores the state after step number `t`; after the last step, zeros for what lies beyond the lane's length.
 */
static inline void recurrent_f32_store(const recurrent_params_f32 *p, const recurrent_lane_f32 *l,
                                       int32_t t) {
    if (l->y == NULL) {
        return;
    }
    const size_t size = (size_t)p->units * sizeof(float);
    if (t < l->steps) {
        memcpy(l->y + (ptrdiff_t)(l->backward ? l->steps - 1 - t : t) * p->y_step, l->h, size);
        return;
    }
    for (int32_t beyond = l->steps; beyond < p->steps; ++beyond) {
        memset(l->y + (ptrdiff_t)beyond * p->y_step, 0, size);
    }
}

#endif
