/* int8 depthwise convolution 3x3 of stride 1 or 2 by rows, one channel after the other; at most one column or
 * row of padding on each side.
 *
 * Of every column the bytes of rows 0 and 1 make a pair of halves, those of row 2 make one with the next
 * column's: with the weights paired alike an output takes five multiplications, and every byte that is loaded
 * serves all outputs of the row that it belongs to.
 */
#ifndef PINGPONNX_DEPTHWISE3X3_S8_H
#define PINGPONNX_DEPTHWISE3X3_S8_H

#include "dsp.h"

typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    int32_t stride, pad_top, pad_left;
    int32_t input_zero_point, output_zero_point, low, high;
} depthwise3x3_params_s8;

/* One channel's constants in the table. Bytes of weights by row and column:
 * a = 00 01 10 11, b = 02 20 12 21, c = shift (16 bits) and 22 (16 bits). The bias has the zero point in it. */
#define DEPTHWISE3X3_WORDS 5

/* Weights as pairs, low half first. */
typedef struct {
    uint32_t left, centre, right; /* rows 0 and 1 of a column */
    uint32_t row2, row2_end;      /* columns 0 and 1, columns 1 and 2 of row 2 */
    int32_t bias, multiplier, shift;
} depthwise3x3_channel;

static inline uint32_t dw_pair(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
}
static inline uint32_t dw_pairt(uint32_t low, uint32_t high) {
#if defined(PINGPONNX_DSP)
    uint32_t result;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(high), "r"(low));
    return result;
#else
    return low >> 16 | (high & 0xFFFF0000u);
#endif
}
#if defined(PINGPONNX_DSP)
#define DW_SMLA(name, op)                                                                                    \
    static inline int32_t name(uint32_t a, uint32_t b, int32_t sum) {                                        \
        int32_t result;                                                                                      \
        __asm(op " %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));                             \
        return result;                                                                                       \
    }
DW_SMLA(dw_smlabb, "smlabb")
DW_SMLA(dw_smlabt, "smlabt")
DW_SMLA(dw_smlatb, "smlatb")
#else
static inline int32_t dw_smlabb(uint32_t a, uint32_t b, int32_t sum) {
    return smlad(a & 0xFFFFu, b, sum);
}
static inline int32_t dw_smlabt(uint32_t a, uint32_t b, int32_t sum) {
    return smlad(a & 0xFFFFu, b >> 16, sum);
}
static inline int32_t dw_smlatb(uint32_t a, uint32_t b, int32_t sum) {
    return smlad(a >> 16, b & 0xFFFFu, sum);
}
#endif

static inline int8_t dw_value(const depthwise3x3_params_s8 *p, const depthwise3x3_channel *k, int32_t acc) {
    return (int8_t)ssat8(smmlar(acc, k->multiplier, p->output_zero_point));
}

static inline void dw_line1(const depthwise3x3_params_s8 *p, const int8_t *r0, const int8_t *r1,
                            const int8_t *r2, const depthwise3x3_channel *k, int8_t *out) {
    const int32_t step = p->channels;
    const int32_t zero = p->input_zero_point;
    const uint32_t padding = dw_pair(zero, zero);
    const int32_t virtual_end = p->out_w - p->pad_left + 2 > p->in_w;
    uint32_t v0 = padding, v1, e;
    if (p->pad_left == 0) {
        v0 = dw_pair(*r0, *r1);
        e = dw_pair(r2[0], r2[step]);
        r0 += step, r1 += step, r2 += step;
    } else {
        e = dw_pair(zero, *r2);
    }
    v1 = dw_pair(*r0, *r1);
    r0 += step, r1 += step, r2 += step;
    int32_t first = smlad(e, k->row2, smlad(v1, k->centre, smlad(v0, k->left, k->bias)));
    int32_t second = dw_smlatb(e, k->row2, smlad(v1, k->left, k->bias));
    const int32_t even = p->out_w % 2 == 0;
    for (int32_t i = p->out_w / 2 - (even && virtual_end); i > 0; --i) {
        v0 = dw_pair(r0[0], r1[0]);
        v1 = dw_pair(r0[step], r1[step]);
        e = dw_pair(r2[0], r2[step]);
        r0 += 2 * step, r1 += 2 * step, r2 += 2 * step;
        first = dw_smlabt(e, k->row2_end, smlad(v0, k->right, first));
        second = smlad(e, k->row2_end, smlad(v1, k->right, smlad(v0, k->centre, second)));
        out[0] = dw_value(p, k, first);
        out[step] = dw_value(p, k, second);
        out += 2 * step;
        first = smlad(e, k->row2, smlad(v1, k->centre, smlad(v0, k->left, k->bias)));
        second = dw_smlatb(e, k->row2, smlad(v1, k->left, k->bias));
    }
    if (even && virtual_end) {
        v0 = dw_pair(r0[0], r1[0]);
        e = dw_pair(r2[0], zero);
        first = dw_smlabt(e, k->row2_end, smlad(v0, k->right, first));
        second = smlad(e, k->row2_end, smlad(padding, k->right, smlad(v0, k->centre, second)));
        out[0] = dw_value(p, k, first);
        out[step] = dw_value(p, k, second);
    } else if (!even) {
        v0 = virtual_end ? padding : dw_pair(r0[0], r1[0]);
        e = virtual_end ? padding : (uint32_t)(int32_t)r2[0];
        first = dw_smlabt(e, k->row2_end, smlad(v0, k->right, first));
        out[0] = dw_value(p, k, first);
    }
}

static inline void dw_line2(const depthwise3x3_params_s8 *p, const int8_t *r0, const int8_t *r1,
                            const int8_t *r2, const depthwise3x3_channel *k, int8_t *out) {
    const int32_t step = p->channels;
    const int32_t zero = p->input_zero_point;
    const uint32_t padding = dw_pair(zero, zero);
    const int32_t virtual_end = 2 * p->out_w - p->pad_left + 1 > p->in_w;
    uint32_t v0 = padding, e = padding;
    if (p->pad_left == 0) {
        v0 = dw_pair(*r0, *r1);
        e = (uint32_t)(int32_t)*r2;
        r0 += step, r1 += step, r2 += step;
    }
    int32_t acc = dw_smlabb(e, k->row2, smlad(v0, k->left, k->bias));
    for (int32_t i = p->out_w - virtual_end; i > 0; --i) {
        v0 = dw_pair(r0[0], r1[0]);
        const uint32_t v1 = dw_pair(r0[step], r1[step]);
        e = dw_pair(r2[0], r2[step]);
        r0 += 2 * step, r1 += 2 * step, r2 += 2 * step;
        acc = smlad(e, k->row2_end, smlad(v1, k->right, smlad(v0, k->centre, acc)));
        *out = dw_value(p, k, acc);
        out += step;
        acc = dw_smlatb(e, k->row2, smlad(v1, k->left, k->bias));
    }
    if (virtual_end) {
        v0 = dw_pair(r0[0], r1[0]);
        e = dw_pair(r2[0], zero);
        acc = smlad(e, k->row2_end, smlad(padding, k->right, smlad(v0, k->centre, acc)));
        *out = dw_value(p, k, acc);
    }
}

/* One output row from three input rows; NULL: padding, never the one in the middle. */
KERNEL void depthwise3x3_s8_row(const depthwise3x3_params_s8 *p, const int8_t *const *rows,
                                const int32_t *table, int8_t *output) {
    const int8_t *middle = rows[1];
    const int8_t *top = rows[0] != NULL ? rows[0] : middle;
    const int8_t *bottom = rows[2] != NULL ? rows[2] : middle;
    const uint32_t padding = dw_pair(p->input_zero_point, p->input_zero_point);
    for (int32_t c = 0; c < p->channels; ++c, table += DEPTHWISE3X3_WORDS) {
        depthwise3x3_channel k;
        k.left = sxtb16((uint32_t)table[0]);
        k.centre = sxtb16_odd((uint32_t)table[0]);
        k.right = sxtb16((uint32_t)table[1]);
        k.row2 = sxtb16_odd((uint32_t)table[1]);
        k.row2_end = dw_pairt(k.row2, (uint32_t)table[2]);
        k.bias = table[3];
        k.multiplier = table[4];
        if (top == middle) {
            k.bias = dw_smlabb(k.left, padding, dw_smlabb(k.centre, padding, dw_smlabb(k.right, padding, k.bias)));
            k.left &= 0xFFFF0000u, k.centre &= 0xFFFF0000u, k.right &= 0xFFFF0000u;
        }
        if (bottom == middle) {
            k.bias = dw_smlabb(k.row2, padding, smlad(k.row2_end, padding, k.bias));
            k.row2 = 0, k.row2_end = 0;
        }
        if (p->stride == 1) {
            dw_line1(p, top + c, middle + c, bottom + c, &k, output + c);
        } else {
            dw_line2(p, top + c, middle + c, bottom + c, &k, output + c);
        }
    }
}

KERNEL void depthwise3x3_s8(const depthwise3x3_params_s8 *p, const int8_t *input, const int32_t *table,
                            int8_t *output) {
    const int32_t in_row = p->in_w * p->channels;
    for (int32_t y = 0; y < p->out_h; ++y) {
        const int8_t *rows[3];
        window_rows_s8(rows, 3, input, y * p->stride - p->pad_top, p->in_h, in_row);
        depthwise3x3_s8_row(p, rows, table, output);
        output += (ptrdiff_t)p->out_w * p->channels;
    }
}

#endif
