/* 8-bit codes, signed or not, for operators that take both. */
#ifndef PINGPONNX_INTEGER_CODES_H
#define PINGPONNX_INTEGER_CODES_H

#include "kernel.h"

/* Value number i of an array of int8_t, or of uint8_t; 0 of none, as zero points may be left out. */
static inline int32_t code_at(const void *codes, ptrdiff_t i, int32_t is_signed) {
    if (codes == NULL) {
        return 0;
    }
    return is_signed ? ((const int8_t *)codes)[i] : ((const uint8_t *)codes)[i];
}

#endif
