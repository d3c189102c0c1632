/* The arguments of the profiling plugin; addresses are hexadecimal, ranges without their end.
 *
 *   out=FILE  regions=N  profiler=LOW-HIGH  port=ADDRESS    always
 *   spans=FILE                                              code whose region is fixed: LOW HIGH REGION
 *   flash=LOW-HIGH  ram=LOW-HIGH  stack=LOW-HIGH            count memory traffic, too
 *   lines=CODE-DATA-BYTES                                   and simulate buffers of so many flash lines
 *   probe=on                                                only say that QEMU could load the plugin
 */
#ifndef PINGPONNX_ARGUMENTS_H
#define PINGPONNX_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint32_t low, size;
};

static inline bool contains(struct range range, uint32_t address) {
    return address - range.low < range.size;
}

struct arguments {
    const char *out, *spans; /* argv stays valid */
    uint32_t regions;
    struct range profiler, port, flash, ram, stack;
    uint32_t code_lines, data_lines, line_bytes;
    bool probe;
};

/* Numbers separated by '-'. */
static inline void read_numbers(const char *text, int base, unsigned count, uint32_t numbers[]) {
    for (unsigned i = 0u; i < count; i++) {
        char *end;
        numbers[i] = (uint32_t)strtoul(text, &end, base);
        text = *end == '-' ? end + 1 : end;
    }
}

static inline struct range *range_named(struct arguments *arguments, const char *name, size_t length) {
    const struct {
        const char *name;
        struct range *range;
    } table[] = {
        {"profiler", &arguments->profiler}, {"flash", &arguments->flash}, {"ram", &arguments->ram},
        {"stack", &arguments->stack},       {"port", &arguments->port},
    };
    for (size_t i = 0u; i < sizeof table / sizeof table[0]; i++) {
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0) {
            return table[i].range;
        }
    }
    return NULL;
}

static inline bool read_argument(struct arguments *arguments, const char *text) {
    const char *const equals = strchr(text, '=');
    if (equals == NULL) {
        return false;
    }
    const char *const value = equals + 1;
    uint32_t numbers[3];
    struct range *const range = range_named(arguments, text, (size_t)(equals - text));
    if (range != NULL) {
        read_numbers(value, 16, 2u, numbers);
        *range = (struct range){numbers[0], numbers[1] - numbers[0]};
    } else if (strncmp(text, "out=", 4) == 0) {
        arguments->out = value;
    } else if (strncmp(text, "spans=", 6) == 0) {
        arguments->spans = value;
    } else if (strncmp(text, "regions=", 8) == 0) {
        read_numbers(value, 10, 1u, &arguments->regions);
    } else if (strncmp(text, "lines=", 6) == 0) {
        read_numbers(value, 10, 3u, numbers);
        arguments->code_lines = numbers[0];
        arguments->data_lines = numbers[1];
        arguments->line_bytes = numbers[2];
    } else {
        arguments->probe = strcmp(text, "probe=on") == 0;
        return arguments->probe;
    }
    return true;
}

#endif
