/* Shapes, clamps and counts of pooling. */
#ifndef PINGPONNX_POOL_PARAMS_H
#define PINGPONNX_POOL_PARAMS_H

#include "kernel.h"

#define PINGPONNX_POOL_GEOMETRY                                                                              \
    int32_t batch, in_h, in_w, in_c;                                                                         \
    int32_t out_h, out_w, out_c;                                                                             \
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;                                  \
    int32_t pad_top, pad_left

/* Padding that the mean counts as values; the smallest and largest number of values of any window. */
#define PINGPONNX_POOL_COUNTS                                                                                \
    int32_t count_top, count_left, count_bottom, count_right;                                                \
    int32_t min_count, max_count

typedef struct {
    PINGPONNX_POOL_GEOMETRY;
    int32_t low, high;
} max_pool_params_s8;

typedef struct {
    PINGPONNX_POOL_GEOMETRY;
    float low, high;
} max_pool_params_f32;

typedef struct {
    PINGPONNX_POOL_GEOMETRY;
    PINGPONNX_POOL_COUNTS;
    int32_t input_zero_point, output_zero_point, low, high;
} avg_pool_params_s8;

typedef struct {
    PINGPONNX_POOL_GEOMETRY;
    PINGPONNX_POOL_COUNTS;
    float low, high;
} avg_pool_params_f32;

/* Input rows that one output row needs. */
#define POOL_WINDOW_ROWS(p) (((p)->kernel_h - 1) * (p)->dilation_h + 1)

/* The taps first + k * dilation that are at least 0 begin with this k. */
static inline int32_t pool_first_tap(int32_t first, int32_t dilation) {
    return first >= 0 ? 0 : (dilation - 1 - first) / dilation;
}

/* The taps that are below `size` end before this k. */
static inline int32_t pool_end_tap(int32_t first, int32_t dilation, int32_t kernel, int32_t size) {
    return first >= size ? 0 : min_s32(kernel, (size - first + dilation - 1) / dilation);
}

/* Taps inside the input and its counted padding, along one axis. */
static inline int32_t pool_count_taps(int32_t first, int32_t dilation, int32_t kernel, int32_t size,
                                      int32_t before, int32_t after) {
    return max_s32(0, pool_end_tap(first, dilation, kernel, size + after) -
                          pool_first_tap(first + before, dilation));
}

/* What the sum of the window at output (y, x) is divided by: a constant unless windows differ. */
#define POOL_COUNT(p, y, x)                                                                                  \
    ((p)->min_count == (p)->max_count                                                                        \
         ? (p)->min_count                                                                                    \
         : pool_count_taps((y) * (p)->stride_h - (p)->pad_top, (p)->dilation_h, (p)->kernel_h, (p)->in_h,    \
                           (p)->count_top, (p)->count_bottom) *                                              \
               pool_count_taps((x) * (p)->stride_w - (p)->pad_left, (p)->dilation_w, (p)->kernel_w,          \
                               (p)->in_w, (p)->count_left, (p)->count_right))

#endif
