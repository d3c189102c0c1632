/* A fully associative buffer of memory lines that replaces the least recently used one, in constant time. */
#ifndef PINGPONNX_LINE_BUFFER_H
#define PINGPONNX_LINE_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

/* `slot_of` finds a line's slot, 0 for none. The slots are a ring: from slot 0, which holds no line, over
 * the most recently used one to the least recently used one. All zero is empty. */
struct line_buffer {
    uint32_t capacity, used;
    uint16_t *slot_of;
    struct line_slot {
        uint32_t line;
        uint16_t next, previous;
    } *slots; /* capacity + 1 */
};

/* Uses a line; 1 when it had to be fetched. */
static inline uint32_t use_line(struct line_buffer *buffer, uint32_t line) {
    struct line_slot *const slots = buffer->slots;
    uint16_t slot = buffer->slot_of[line];
    const bool miss = slot == 0u;
    if (!miss && slot == slots[0].next) {
        return 0u;
    }
    if (miss && buffer->used < buffer->capacity) {
        slot = (uint16_t)++buffer->used;
    } else {
        if (miss) {
            slot = slots[0].previous;
            buffer->slot_of[slots[slot].line] = 0u;
        }
        slots[slots[slot].previous].next = slots[slot].next;
        slots[slots[slot].next].previous = slots[slot].previous;
    }
    slots[slot] = (struct line_slot){line, slots[0].next, 0u};
    slots[slots[0].next].previous = slot;
    slots[0].next = slot;
    buffer->slot_of[line] = slot;
    return miss ? 1u : 0u;
}

#endif
