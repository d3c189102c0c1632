/* The memories that a generated model computes in, and what watches their ends. harness_model.h, which
 * entry.py writes for the model, defines them: an arena, a state, or the arena's banks. */
#ifndef PINGPONNX_MEMORY_H
#define PINGPONNX_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define CANARY_BYTES 64u
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* What the model computes in; a canary directly behind it shows whether it stays there. */
struct memory {
    void *start;
    uint32_t bytes;
    uint8_t *canary;
};

/* An input or output. */
struct port {
    uint8_t *start;
    uint32_t bytes;
};

/* MEMORY defines one, PLACE is the object, WATCHED the struct memory of it. */
#ifdef PINGPONNX_HOST
#define MEMORY(type, name)                                                                                   \
    static struct {                                                                                          \
        type object;                                                                                         \
        uint8_t canary[CANARY_BYTES];                                                                        \
    } name
#define PLACE(name) name.object
#define WATCHED(name) {&name.object, sizeof name.object, name.canary}
#else
/* The linker script puts sections of these names in their order. */
#define MEMORY(type, name)                                                                                   \
    static type name __attribute__((section(".bss." #name)));                                                \
    static uint8_t name##_canary[CANARY_BYTES] __attribute__((section(".bss." #name ".canary")))
#define PLACE(name) name
#define WATCHED(name) {&name, sizeof name, name##_canary}
#endif

#include "harness_model.h"

/* A model must not rely on what its memory held before: every sample starts from the same rubbish. */
static void paint_memories(void) {
    for (uint32_t m = 0; m < LENGTH(memories); m++) {
        volatile uint8_t *const bytes = memories[m].start;
        for (uint32_t i = 0; i < memories[m].bytes; i++) {
            bytes[i] = 0x5Au;
        }
    }
}

#if defined(PINGPONNX_HOST) && defined(__SANITIZE_ADDRESS__)

/* The sanitizer watches the canaries: it also sees reads, and names the line. */
void __asan_poison_memory_region(const volatile void *address, size_t bytes);
static void paint_canaries(void) {
    for (uint32_t m = 0; m < LENGTH(memories); m++) {
        __asan_poison_memory_region(memories[m].canary, CANARY_BYTES);
    }
}
static int32_t first_overrun(uint32_t *memory) {
    (void)memory;
    return -1;
}

#else

static uint8_t canary_byte(uint32_t i) {
    return (uint8_t)(0xA7u ^ (i * 29u));
}

static void paint_canaries(void) {
    for (uint32_t m = 0; m < LENGTH(memories); m++) {
        volatile uint8_t *const canary = memories[m].canary;
        for (uint32_t i = 0; i < CANARY_BYTES; i++) {
            canary[i] = canary_byte(i);
        }
    }
}

/* The first changed byte behind a memory, whose index is left in *memory; -1 when there is none. */
static int32_t first_overrun(uint32_t *memory) {
    for (uint32_t m = 0; m < LENGTH(memories); m++) {
        const volatile uint8_t *const canary = memories[m].canary;
        for (uint32_t i = 0; i < CANARY_BYTES; i++) {
            if (canary[i] != canary_byte(i)) {
                *memory = m;
                return (int32_t)i;
            }
        }
    }
    return -1;
}

#endif
#endif
