/* uint8 <-> int8 of the same quantized number: flips the top bit. In place is safe. */
#ifndef PINGPONNX_FLIP_SIGN_H
#define PINGPONNX_FLIP_SIGN_H

#include "kernel.h"

KERNEL void flip_sign(int32_t count, const void *input, void *output) {
    const uint8_t *in = (const uint8_t *)input;
    uint8_t *out = (uint8_t *)output;
    for (int32_t i = 0; i < count; ++i) {
        out[i] = (uint8_t)(in[i] ^ 0x80u);
    }
}

#endif
