/* What has to be read off Thumb instructions. */
#ifndef PINGPONNX_THUMB_H
#define PINGPONNX_THUMB_H

#include <stdbool.h>
#include <stdint.h>

struct opcode {
    uint32_t first, second; /* halfwords; the second of a 16-bit instruction is 0 */
};

static inline bool is_wide(uint32_t first_halfword) {
    return first_halfword >= 0xE800u;
}

static inline bool is_call(struct opcode opcode) { /* BL, encoding T1 */
    return (opcode.first & 0xF800u) == 0xF000u && (opcode.second & 0xD000u) == 0xD000u;
}

/* Where a BL goes. */
static inline uint32_t call_target(struct opcode opcode, uint32_t address) {
    const uint32_t sign = opcode.first >> 10 & 1u;
    const uint32_t i1 = (opcode.second >> 13 & 1u) ^ sign ^ 1u;
    const uint32_t i2 = (opcode.second >> 11 & 1u) ^ sign ^ 1u;
    const uint32_t low = (opcode.first & 0x3FFu) << 12 | (opcode.second & 0x7FFu) << 1;
    return address + 4u + ((sign != 0u ? 0xFF000000u : 0u) | i1 << 23 | i2 << 22 | low);
}

#endif
