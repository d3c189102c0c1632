/* int8 fully connected layer for Helium (mve_s8.h). */
#ifndef PINGPONNX_GEMM_MVE_S8_H
#define PINGPONNX_GEMM_MVE_S8_H

#include "gemm_s8.h"
#include "mve_s8.h"

MVE_KERNEL void gemm_mve_s8(const gemm_params_s8 *p, const int8_t *input, const int8_t *weights,
                            const int32_t *constants, int8_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n, output += p->out_n) {
        for (int32_t o = 0; o < p->out_n; o += 4) {
            const int32_t *c = constants + o / 4 * MVE_CONSTANTS;
            const mve_s32 sums = mve_s8_dot(weights + (ptrdiff_t)o * p->in_n, p->in_n, p->in_n, input, c);
            mve_s8_store(output + o, mve_s8_requantize(sums, c, p->output_zero_point, p->low, p->high),
                         p->out_n % 4 == 0 ? 4 : p->out_n - o);
        }
    }
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
MVE_KERNEL void gemm_mve_s8_part(const gemm_params_s8 *p, const int8_t *input, int32_t part, int32_t count,
                                 int32_t first, int32_t last, const int8_t *weights, const int32_t *constants,
                                 int32_t *sums, int8_t *output) {
    const int8_t *w = weights + (ptrdiff_t)part * count;
    for (int32_t o = 0; o < p->out_n; o += 4, w += 4 * (ptrdiff_t)p->in_n, constants += MVE_CONSTANTS) {
        if (first) {
            sums[o] = constants[0], sums[o + 1] = constants[2];
            sums[o + 2] = constants[1], sums[o + 3] = constants[3];
        }
        const mve_s32 sum = mve_s8_add(mve_s8_dot(w, p->in_n, count, input, NULL), mve_s8_get(sums + o));
        mve_s8_put(sums + o, sum);
        if (last) {
            const mve_s32 y = mve_s8_requantize(sum, constants, p->output_zero_point, p->low, p->high);
            mve_s8_store(output + o, y, p->out_n % 4 == 0 ? 4 : p->out_n - o);
        }
    }
}

#endif
