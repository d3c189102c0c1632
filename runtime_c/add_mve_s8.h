/* add_fast_s8.h for Helium: four values at a time. */
#ifndef PINGPONNX_ADD_MVE_S8_H
#define PINGPONNX_ADD_MVE_S8_H

#include "add_fast_s8.h"
#include "mve_s8.h"

#if defined(PINGPONNX_MVE)

/* b to the scale of the sum, and the sum to that of y. */
#if defined(PINGPONNX_ROUNDING_TFLITE)
#define ADD_MVE_SCALE(multiplier, shift)                                                                     \
    "vqrdmulh.s32 q0, q0, %q[" multiplier "]\n\t"                                                            \
    "vshr.s32 q2, q0, #31\n\t"                                                                               \
    "vadd.i32 q0, q0, q2\n\t"                                                                                \
    "vrshl.s32 q0, %[" shift "]\n\t"
#define ADD_MVE_B ADD_MVE_SCALE("mb", "shift_b")
#define ADD_MVE_Y ADD_MVE_SCALE("my", "shift_y") "vadd.i32 q0, q0, %[rounding]\n\t"
#else
#define ADD_MVE_B "vrmulh.s32 q0, q0, %q[mb]\n\t"
#define ADD_MVE_Y                                                                                            \
    "vmulh.s32 q0, q0, %q[my]\n\t"                                                                           \
    "vadd.i32 q0, q0, %[rounding]\n\t"                                                                       \
    "vshl.s32 q0, %[shift_y]\n\t"
#endif

KERNEL void add_mve_s8(const add_fast_params_s8 *p, const int8_t *a, const int8_t *b, int8_t *output) {
#if defined(PINGPONNX_ROUNDING_TFLITE)
    const int32_t left = 20, shift_y = p->shift_y, rounding = p->zero_y;
#else
    const int32_t left = 21 + p->shift_b, shift_y = p->shift_y + 1;
    const int32_t rounding = p->zero_y * (1 << -shift_y) + (1 << -shift_y >> 1);
#endif
    const int32x4_t mb = vdupq_n_s32(p->multiplier_b), my = vdupq_n_s32(p->multiplier_y);
    const int32x4_t low = vdupq_n_s32(p->low), high = vdupq_n_s32(p->high);
    __asm volatile("dlstp.32 lr, %[count]\n"
                   "1:\n\t"
                   "vldrb.s32 q0, [%[b]], #4\n\t"
                   "vmul.i32 q0, q0, %[power_b]\n\t"
                   "vldrb.s32 q1, [%[a]], #4\n\t"
                   "vadd.i32 q0, q0, %[zero_b]\n\t" ADD_MVE_B "vadd.i32 q0, q0, %[zero_a]\n\t"
                   "vmla.s32 q0, q1, %[power_a]\n\t" ADD_MVE_Y "vmax.s32 q0, q0, %q[low]\n\t"
                   "vmin.s32 q0, q0, %q[high]\n\t"
                   "vstrb.32 q0, [%[output]], #4\n\t"
                   "letp lr, 1b"
                   : [a] "+l"(a), [b] "+l"(b), [output] "+l"(output)
                   : [count] "r"(p->count), [power_a] "r"(1 << 19), [power_b] "r"(1 << left),
                     [zero_a] "r"(-p->zero_a * (1 << 19)), [zero_b] "r"(-p->zero_b * (1 << left)),
                     [rounding] "r"(rounding), [shift_b] "r"(p->shift_b), [shift_y] "r"(shift_y),
                     [mb] "w"(mb), [my] "w"(my), [low] "w"(low), [high] "w"(high)
                   : "q0", "q1", "q2", "lr", "memory");
}

#else

KERNEL void add_mve_s8(const add_fast_params_s8 *p, const int8_t *a, const int8_t *b, int8_t *output) {
    add_fast_s8(p, a, b, output);
}

#endif

#endif
