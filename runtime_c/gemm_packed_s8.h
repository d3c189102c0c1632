/* int8 fully connected layer with packed weights (packed_s8.h): four outputs at a time. */
#ifndef PINGPONNX_GEMM_PACKED_S8_H
#define PINGPONNX_GEMM_PACKED_S8_H

#include "packed_s8.h"

typedef struct {
    int32_t rows, in_n, out_n;
    int32_t input_zero_point, output_zero_point, low, high;
    int32_t quads; /* of a row of weights */
} gemm_packed_params_s8;

/* Adds four products to the sums. Returns the next quad's weights. */
PACKED_INLINE const uint32_t *gemm_packed_s8_quad(const uint32_t *weights, uint32_t values, int32_t pairs,
                                                  int32_t *sums) {
    const uint32_t halves[2] = {sxtb16(values), sxtb16_odd(values)};
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        int32_t *sum = sums + 4 * (i % pairs);
        const uint32_t both = weights[i];
        sum[2] = smlad(both, halves[i / pairs], sum[2]);
        sum[0] = smlad(sxtb16(both), halves[i / pairs], sum[0]);
    }
    return weights + 2 * pairs;
}

enum { GEMM_PACKED_LONG = 32 }; /* quads from which on longer rounds are worth their code */

/* Four outputs, one quad. */
#define GEMM_PACKED_QUAD(n)                                                                                  \
    "ldr %[t0], [%[x], #4 * " #n "]\n\t"                                                                     \
    "ldr %[w0], [%[w], #16 * " #n "]\n\t"                                                                    \
    "ldr %[w1], [%[w], #16 * " #n " + 4]\n\t"                                                                \
    "ldr %[w2], [%[w], #16 * " #n " + 8]\n\t"                                                                \
    "ldr %[w3], [%[w], #16 * " #n " + 12]\n\t"                                                               \
    "sxtb16 %[t1], %[t0]\n\t"                                                                                \
    "sxtb16 %[t0], %[t0], ror #8\n\t"                                                                        \
    "smlad %[s1], %[w0], %[t1], %[s1]\n\t"                                                                   \
    "sxtb16 %[w0], %[w0]\n\t"                                                                                \
    "smlad %[s0], %[w0], %[t1], %[s0]\n\t"                                                                   \
    "smlad %[s3], %[w1], %[t1], %[s3]\n\t"                                                                   \
    "sxtb16 %[w1], %[w1]\n\t"                                                                                \
    "smlad %[s2], %[w1], %[t1], %[s2]\n\t"                                                                   \
    "smlad %[s1], %[w2], %[t0], %[s1]\n\t"                                                                   \
    "sxtb16 %[w2], %[w2]\n\t"                                                                                \
    "smlad %[s0], %[w2], %[t0], %[s0]\n\t"                                                                   \
    "smlad %[s3], %[w3], %[t0], %[s3]\n\t"                                                                   \
    "sxtb16 %[w3], %[w3]\n\t"                                                                                \
    "smlad %[s2], %[w3], %[t0], %[s2]\n\t"
#define GEMM_PACKED_QUADS_4(n)                                                                               \
    GEMM_PACKED_QUAD((n)) GEMM_PACKED_QUAD((n + 1)) GEMM_PACKED_QUAD((n + 2)) GEMM_PACKED_QUAD((n + 3))
#define GEMM_PACKED_ASM(quads, text)                                                                         \
    __asm volatile(                                                                                          \
        text "add %[x], %[x], #4 * " #quads "\n\tadd %[w], %[w], #16 * " #quads                              \
        : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [w] "+r"(weights), [x] "+r"(values),   \
          [t0] "=&r"(t0), [t1] "=&r"(t1), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3)     \
        :                                                                                                    \
        : "memory")

/* Adds the products of `quads` to the sums. Returns the next quad's weights. */
PACKED_INLINE const uint32_t *gemm_packed_s8_quads(const uint32_t *weights, const int8_t *values,
                                                   int32_t quads, int32_t pairs, int32_t *sums) {
#if defined(PACKED_4X2)
    if (pairs == 2) {
        int32_t s0 = sums[0], s1 = sums[2], s2 = sums[4], s3 = sums[6];
        uint32_t t0, t1, w0, w1, w2, w3;
        const int32_t long_rounds = quads >= GEMM_PACKED_LONG ? quads / 8 : 0;
        quads -= 8 * long_rounds;
        for (int32_t i = long_rounds; i > 0; --i) {
            GEMM_PACKED_ASM(8, GEMM_PACKED_QUADS_4(0) GEMM_PACKED_QUADS_4(4));
        }
        for (int32_t i = quads / 4; i > 0; --i) {
            GEMM_PACKED_ASM(4, GEMM_PACKED_QUADS_4(0));
        }
        for (int32_t i = quads % 4; i > 0; --i) {
            GEMM_PACKED_ASM(1, GEMM_PACKED_QUAD(0));
        }
        sums[0] = s0, sums[2] = s1, sums[4] = s2, sums[6] = s3;
        return weights;
    }
#endif
#pragma GCC unroll 4
    for (int32_t quad = 0; quad < quads; ++quad) {
        weights = gemm_packed_s8_quad(weights, load_u32(values + 4 * quad), pairs, sums);
    }
    return weights;
}

/* Adds the products of `count` values that begin at index `from` of the weights' rows. */
PACKED_INLINE void gemm_packed_s8_sum(const uint32_t *weights, const int8_t *values, int32_t from,
                                      int32_t count, int32_t pairs, int32_t *sums) {
    const int32_t head = from % 4;
    weights += (ptrdiff_t)(from / 4) * 2 * pairs;
    if (head != 0) {
        const int32_t bytes = min_s32(4 - head, count);
        uint32_t word = 0;
        memcpy((int8_t *)&word + head, values, (size_t)bytes);
        weights = gemm_packed_s8_quad(weights, word, pairs, sums);
        values += bytes;
        count -= bytes;
    }
    weights = gemm_packed_s8_quads(weights, values, count / 4, pairs, sums);
    if (count % 4 != 0) {
        uint32_t word = 0;
        memcpy(&word, values + count / 4 * 4, (size_t)(count % 4));
        gemm_packed_s8_quad(weights, word, pairs, sums);
    }
}

/* `count` outputs of a block of one pair of channels or two. Returns the next block's constants. */
PACKED_INLINE const uint32_t *gemm_packed_s8_finish(const gemm_packed_params_s8 *p, const uint32_t *stream,
                                                    int32_t pairs, int32_t count, const int32_t *sums,
                                                    int8_t *output) {
    for (int32_t c = 0; c < count; ++c) {
        const scale_s8 scale = packed_s8_scale_of(stream, 2 * pairs, c);
        const int32_t acc = packed_s8_accumulator(sums, c, 0);
        output[c] = saturate_s8(requantize_proven(acc, scale, p->output_zero_point), p->low, p->high);
    }
    return stream + PACKED_SCALE_WORDS * 2 * pairs;
}

PACKED_INLINE const uint32_t *gemm_packed_s8_block(const gemm_packed_params_s8 *p, const int8_t *input,
                                                   const uint32_t *stream, int32_t pairs, int32_t count,
                                                   int8_t *output) {
    int32_t sums[PACKED_SUMS];
    stream = packed_s8_begin(stream, pairs, 1, sums);
    gemm_packed_s8_sum(stream, input, 0, p->in_n, pairs, sums);
    return gemm_packed_s8_finish(p, stream + (ptrdiff_t)2 * pairs * p->quads, pairs, count, sums, output);
}

PACKED_KERNEL void gemm_packed_s8(const gemm_packed_params_s8 *p, const int8_t *input, const uint32_t *stream,
                                  int8_t *output) {
    for (int32_t row = 0; row < p->rows; ++row, input += p->in_n) {
        const uint32_t *next = stream;
        int32_t left = p->out_n;
        for (; left >= 4; left -= 4, output += 4) {
            next = gemm_packed_s8_block(p, input, next, 2, 4, output);
        }
        for (; left > 0; left -= 2, output += 2) {
            next = gemm_packed_s8_block(p, input, next, 1, min_s32(left, 2), output);
        }
        output += left; /* of a last pair only one exists */
    }
}

/* A block's share of a part of the input. Returns the next block's constants. */
PACKED_INLINE const uint32_t *gemm_packed_s8_share(const gemm_packed_params_s8 *p, const int8_t *input,
                                                   int32_t from, int32_t values, int32_t first, int32_t last,
                                                   const uint32_t *stream, int32_t pairs, int32_t count,
                                                   int32_t *kept, int8_t *output) {
    int32_t sums[PACKED_SUMS];
    const uint32_t *weights = packed_s8_begin(stream, pairs, 1, sums);
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        sums[2 * i] = first ? sums[2 * i] : kept[i];
    }
    gemm_packed_s8_sum(weights, input, from, values, pairs, sums);
    for (int32_t i = 0; i < 2 * pairs; ++i) {
        kept[i] = sums[2 * i];
    }
    weights += (ptrdiff_t)2 * pairs * p->quads;
    if (last) {
        gemm_packed_s8_finish(p, weights, pairs, count, sums, output);
    }
    return weights + PACKED_SCALE_WORDS * 2 * pairs;
}

/* Part number `part` of the input, of `count` values: sums up, and after the last one makes the output. */
PACKED_KERNEL void gemm_packed_s8_part(const gemm_packed_params_s8 *p, const int8_t *input, int32_t part,
                                       int32_t count, int32_t first, int32_t last, const uint32_t *stream,
                                       int32_t *sums, int8_t *output) {
    const int32_t from = part * count;
    int32_t o = 0;
    for (; o + 4 <= p->out_n; o += 4) {
        stream = gemm_packed_s8_share(p, input, from, count, first, last, stream, 2, 4, sums + o, output + o);
    }
    for (; o < p->out_n; o += 2) {
        stream = gemm_packed_s8_share(p, input, from, count, first, last, stream, 1, min_s32(p->out_n - o, 2),
                                      sums + o, output + o);
    }
}

#endif
