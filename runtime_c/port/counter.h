/* Counting instructions by QEMU's virtual time; on the host nothing is counted.
 *
 * QEMU's -icount advances virtual time by exactly 2^PINGPONNX_ICOUNT_SHIFT ns an instruction, so that a
 * free-running counter of the board counts instructions. PINGPONNX_COUNTER, PINGPONNX_COUNTER_100HZ (two
 * registers) and PINGPONNX_COUNTER_HZ come from the board's description in targets.toml.
 */
#ifndef PINGPONNX_COUNTER_H
#define PINGPONNX_COUNTER_H

#include <stdint.h>

/* `ticks` is exact but wraps every 2^32 ticks, which is 671 million instructions at 25 MHz and shift 8;
 * `centiseconds` tells how often that happened. It wraps itself after 497 days of virtual time, which is
 * 10^14 instructions: no run is too long to be counted. */
typedef struct {
    uint32_t ticks;
    uint32_t centiseconds;
} instant;

/* a * b by shifts: a 64-bit product calls libgcc on cores without UMULL. */
static inline uint64_t multiply(uint64_t a, uint32_t b) {
    uint64_t product = 0;
    for (; b != 0u; b >>= 1) {
        product += (b & 1u) != 0u ? a : 0u;
        a += a;
    }
    return product;
}

#ifdef PINGPONNX_HOST

static inline instant now(void) {
    return (instant){0u, 0u};
}

static inline uint64_t instructions_between(instant from, instant to) {
    return to.ticks - from.ticks;
}

#else

/* The order does not matter: a centisecond is much longer than these two instructions. */
static inline instant now(void) {
    const uint32_t centiseconds = *(const volatile uint32_t *)PINGPONNX_COUNTER_100HZ;
    const uint32_t ticks = *(const volatile uint32_t *)PINGPONNX_COUNTER;
    return (instant){ticks, centiseconds};
}

/* Each reading is floored to a tick, so that the difference is wrong by less than one tick. That is less
 * than half an instruction's time (targets.py checks it), hence rounding gives the exact number. */
static inline uint64_t instructions_between(instant from, instant to) {
    const uint32_t ticks_low = to.ticks - from.ticks;
    const uint64_t estimate = multiply(to.centiseconds - from.centiseconds, PINGPONNX_COUNTER_HZ / 100u);
    const int32_t correction = (int32_t)(ticks_low - (uint32_t)estimate);
    const uint64_t ticks = estimate + (uint64_t)(int64_t)correction;
    const uint64_t half = (uint64_t)1 << (PINGPONNX_ICOUNT_SHIFT - 1);
    return (multiply(ticks, 1000000000u / PINGPONNX_COUNTER_HZ) + half) >> PINGPONNX_ICOUNT_SHIFT;
}

#endif
#endif
