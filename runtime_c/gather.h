/* Gather and scatter values of any size; indices outside their axis are moved to its ends. */
#ifndef PINGPONNX_GATHER_H
#define PINGPONNX_GATHER_H

#include "kernel.h"

typedef struct {
    int32_t outer, length, count, bytes; /* of the slice that an index stands for */
} gather_params;

typedef struct {
    int32_t shape[6]; /* of the indices */
    int32_t step[6];  /* of the data, in values; 0 along the axis of the indices */
    int32_t length, along, bytes;
} elements_params;

typedef struct {
    int32_t batches, count, depth;
    int32_t length[6], step[6]; /* of the indexed axes, steps in bytes */
    int32_t batch_bytes, bytes;
} tuples_params;

/* Counted from the back when negative. */
static inline ptrdiff_t index_inside(int64_t index, int32_t length) {
    index += index < 0 ? length : 0;
    return (ptrdiff_t)(index < 0 ? 0 : index >= length ? length - 1 : index);
}

/* Where the element at `index` of the indices is along the other axes; moves the index on. */
static inline ptrdiff_t element_place(const elements_params *p, int32_t *index) {
    ptrdiff_t place = 0;
    for (int32_t axis = 0; axis < 6; ++axis) {
        place += (ptrdiff_t)index[axis] * p->step[axis];
    }
    for (int32_t axis = 5; axis >= 0 && ++index[axis] == p->shape[axis]; --axis) {
        index[axis] = 0;
    }
    return place;
}

static inline int32_t element_count(const elements_params *p) {
    return p->shape[0] * p->shape[1] * p->shape[2] * p->shape[3] * p->shape[4] * p->shape[5];
}

#define PINGPONNX_GATHER(s, t)                                                                               \
    KERNEL void gather_##s(const gather_params *p, const void *data, const t *indices, void *output) {       \
        const uint8_t *in = (const uint8_t *)data;                                                           \
        uint8_t *out = (uint8_t *)output;                                                                    \
        for (int32_t o = 0; o < p->outer; ++o, in += (ptrdiff_t)p->length * p->bytes) {                      \
            for (int32_t i = 0; i < p->count; ++i, out += p->bytes) {                                        \
                memcpy(out, in + index_inside(indices[i], p->length) * p->bytes, (size_t)p->bytes);          \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL void gather_elements_##s(const elements_params *p, const void *data, const t *indices,            \
                                    void *output) {                                                          \
        int32_t index[6] = {0};                                                                              \
        uint8_t *out = (uint8_t *)output;                                                                    \
        const int32_t count = element_count(p);                                                              \
        for (int32_t i = 0; i < count; ++i, out += p->bytes) {                                               \
            const ptrdiff_t at = element_place(p, index) + index_inside(indices[i], p->length) * p->along;   \
            memcpy(out, (const uint8_t *)data + at * p->bytes, (size_t)p->bytes);                            \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL void scatter_elements_##s(const elements_params *p, int32_t bytes, const void *data,              \
                                     const t *indices, const void *updates, void *output) {                  \
        int32_t index[6] = {0};                                                                              \
        const uint8_t *in = (const uint8_t *)updates;                                                        \
        const int32_t count = element_count(p);                                                              \
        memcpy(output, data, (size_t)bytes);                                                                 \
        for (int32_t i = 0; i < count; ++i, in += p->bytes) {                                                \
            const ptrdiff_t at = element_place(p, index) + index_inside(indices[i], p->length) * p->along;   \
            memcpy((uint8_t *)output + at * p->bytes, in, (size_t)p->bytes);                                 \
        }                                                                                                    \
    }                                                                                                        \
    static inline ptrdiff_t tuple_place_##s(const tuples_params *p, const t *tuple) {                        \
        ptrdiff_t at = 0;                                                                                    \
        for (int32_t k = 0; k < p->depth; ++k) {                                                             \
            at += index_inside(tuple[k], p->length[k]) * p->step[k];                                         \
        }                                                                                                    \
        return at;                                                                                           \
    }                                                                                                        \
    KERNEL void gather_nd_##s(const tuples_params *p, const void *data, const t *indices, void *output) {    \
        const uint8_t *in = (const uint8_t *)data;                                                           \
        uint8_t *out = (uint8_t *)output;                                                                    \
        for (int32_t b = 0; b < p->batches; ++b, in += p->batch_bytes) {                                     \
            for (int32_t i = 0; i < p->count; ++i, out += p->bytes, indices += p->depth) {                   \
                memcpy(out, in + tuple_place_##s(p, indices), (size_t)p->bytes);                             \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    KERNEL void scatter_nd_##s(const tuples_params *p, int32_t bytes, const void *data, const t *indices,    \
                               const void *updates, void *output) {                                          \
        const uint8_t *in = (const uint8_t *)updates;                                                        \
        memcpy(output, data, (size_t)bytes);                                                                 \
        for (int32_t i = 0; i < p->count; ++i, in += p->bytes, indices += p->depth) {                        \
            memcpy((uint8_t *)output + tuple_place_##s(p, indices), in, (size_t)p->bytes);                   \
        }                                                                                                    \
    }

PINGPONNX_GATHER(s32, int32_t)
PINGPONNX_GATHER(s64, int64_t)

#undef PINGPONNX_GATHER

#endif
