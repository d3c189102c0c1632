/* A QEMU plugin that counts exactly what a firmware executes: per block of code and region how often it
 * ran and how often it was left by a taken branch; on demand also memory traffic and flash line misses.
 *
 * The firmware (harness.c, built with PINGPONNX_MARK) selects the region of what follows by a store to
 * port + region from code in the range `mark`. That code is not counted, nor are the calls of it.
 * Arguments, addresses in hexadecimal, ranges without their end:
 *
 *   out=FILE  regions=N  mark=LOW-HIGH  port=ADDRESS      always
 *   flash=LOW-HIGH  ram=LOW-HIGH  stack=LOW-HIGH          count memory traffic, too
 *   lines=CODE-DATA-BYTES                                 and simulate buffers of so many flash lines
 *   probe=on                                              only say that QEMU could load the plugin
 *
 * The file is text for profile.py. Its last line is "end": without it, it is not complete.
 */
#include "line_buffer.h"
#include "qemu_plugin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = PINGPONNX_QEMU_PLUGIN_API;

struct range {
    uint32_t low, size;
};

static const char *output;
static uint32_t regions;
static struct range mark, port, flash, ram, stack;

static bool contains(struct range range, uint32_t address) {
    return address - range.low < range.size;
}

static void *allocate(size_t count, size_t size) {
    void *const block = calloc(count, size);
    if (block == NULL) {
        fputs("pingponnx profile: out of memory\n", stderr);
        _exit(1);
    }
    return block;
}

/* ------------------------------------------------------------------------------------------ blocks */

struct block {
    struct block *next;
    uint32_t start, bytes, instructions;
    uint32_t following; /* where execution goes on if no branch is taken */
    struct count {
        uint64_t executed, taken;
    } counts[]; /* by region */
};

enum { BUCKETS = 1 << 14 };
static struct block *blocks[BUCKETS];

/* QEMU may translate a block more than once, and cut it differently. */
static struct block *block_of(uint32_t start, uint32_t bytes, uint32_t instructions, uint32_t following) {
    struct block **const bucket = &blocks[(start >> 1) % BUCKETS];
    for (struct block *b = *bucket; b != NULL; b = b->next) {
        if (b->start == start && b->bytes == bytes && b->following == following) {
            return b;
        }
    }
    struct block *const b = allocate(1u, sizeof *b + regions * sizeof b->counts[0]);
    b->next = *bucket;
    b->start = start;
    b->bytes = bytes;
    b->instructions = instructions;
    b->following = following;
    *bucket = b;
    return b;
}

/* ------------------------------------------------------------------------------------------ events */

enum { FLASH, RAM, OTHER, RANGES };

/* Counted in accesses of up to a word, so that it does not matter whether QEMU splits a doubleword. */
struct accesses {
    uint64_t count, bytes;
};

struct traffic {
    struct accesses loads[RANGES], stores[RANGES];
    uint64_t unaligned, code_misses, data_misses;
    uint32_t deepest; /* the lowest address stored to in the stack's range */
};

static struct line_buffer code_lines, data_lines; /* of flash; without capacity they do not exist */
static unsigned line_shift;

static uint32_t region;         /* of what runs now */
static struct traffic *traffic; /* by region; NULL if it is not counted */
static struct traffic *current; /* that of `region` */
static uint32_t bottom;         /* the stack pointer when the model was called */
static bool bottom_known;

static uint32_t expected; /* where the last block continues unless a branch was taken */
static uint64_t nowhere;
static uint64_t *last_taken = &nowhere;
static struct block *last_fetched;

static uint32_t line_of(uint32_t address) {
    return (address >> line_shift) - (flash.low >> line_shift);
}

static void on_block(unsigned cpu, void *data) {
    (void)cpu;
    struct block *const b = data;
    if (b->start != expected) {
        ++*last_taken;
    }
    struct count *const count = &b->counts[region];
    count->executed++;
    last_taken = &count->taken;
    expected = b->following;
}

/* A block that fits and is run again finds its lines, and leaves them in the order they were in. */
static void on_block_fetching(unsigned cpu, void *data) {
    on_block(cpu, data);
    struct block *const b = data;
    if (b == last_fetched || b->bytes == 0u || !contains(flash, b->start)) {
        return;
    }
    const uint32_t first = line_of(b->start), last = line_of(b->start + b->bytes - 1u);
    for (uint32_t line = first; line <= last; line++) {
        current->code_misses += use_line(&code_lines, line);
    }
    last_fetched = last - first < code_lines.capacity ? b : NULL;
}

static inline struct accesses *add(struct accesses *ranges, uint32_t address, unsigned shift) {
    struct accesses *const a = &ranges[contains(ram, address)     ? RAM
                                       : contains(flash, address) ? FLASH
                                                                  : OTHER];
    a->count += shift > 2u ? 1u << (shift - 2u) : 1u;
    a->bytes += 1u << shift;
    const uint32_t mask = shift > 2u ? 3u : (1u << shift) - 1u;
    current->unaligned += (address & mask) != 0u ? 1u : 0u;
    return a;
}

static void on_load(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t where, void *data) {
    (void)cpu;
    (void)data;
    const uint32_t address = (uint32_t)where;
    const struct accesses *const a = add(current->loads, address, qemu_plugin_mem_size_shift(info));
    if (data_lines.capacity != 0u && a == &current->loads[FLASH]) {
        current->data_misses += use_line(&data_lines, line_of(address));
    }
}

static void on_store(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t where, void *data) {
    (void)cpu;
    (void)data;
    const uint32_t address = (uint32_t)where;
    (void)add(current->stores, address, qemu_plugin_mem_size_shift(info));
    if (address < current->deepest && contains(stack, address)) {
        current->deepest = address;
    }
}

/* The code in `mark` selects regions, and before it calls the model pushes registers. */
static void on_mark(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t where, void *data) {
    (void)cpu;
    (void)info;
    (void)data;
    const uint32_t address = (uint32_t)where;
    if (contains(port, address)) {
        region = address - port.low;
        current = traffic == NULL ? NULL : &traffic[region];
        bottom_known = region != 0u;
    } else if (region == 0u && contains(stack, address) && (!bottom_known || address < bottom)) {
        bottom = address;
        bottom_known = true;
    }
}

/* ------------------------------------------------------------------------------------- translation */

struct opcode {
    uint32_t first, second; /* halfwords */
};

static struct opcode opcode_of(const struct qemu_plugin_insn *instruction) {
    uint8_t copy[4] = {0};
#if PINGPONNX_QEMU_PLUGIN_API >= 3
    const uint8_t *const bytes = copy;
    (void)qemu_plugin_insn_data(instruction, copy, sizeof copy);
#else
    const uint8_t *const bytes = qemu_plugin_insn_data(instruction);
    (void)copy;
#endif
    const struct opcode narrow = {bytes[0] | (uint32_t)bytes[1] << 8, 0u};
    if (narrow.first < 0xE800u) {
        return narrow;
    }
    return (struct opcode){narrow.first, bytes[2] | (uint32_t)bytes[3] << 8};
}

/* Not qemu_plugin_insn_size: QEMU 7.2 gets it wrong before an instruction that straddles a page. */
static uint32_t size_of(struct opcode opcode) {
    return opcode.first < 0xE800u ? 2u : 4u;
}

/* Whether it is a BL (encoding T1) of the code in `mark`. */
static bool calls_mark(struct opcode opcode, uint32_t address) {
    if ((opcode.first & 0xF800u) != 0xF000u || (opcode.second & 0xD000u) != 0xD000u) {
        return false;
    }
    const uint32_t sign = opcode.first >> 10 & 1u;
    const uint32_t i1 = (opcode.second >> 13 & 1u) ^ sign ^ 1u;
    const uint32_t i2 = (opcode.second >> 11 & 1u) ^ sign ^ 1u;
    uint32_t offset = (opcode.first & 0x3FFu) << 12 | (opcode.second & 0x7FFu) << 1;
    offset |= i1 << 23 | i2 << 22 | (sign != 0u ? 0xFF000000u : 0u);
    return contains(mark, address + 4u + offset);
}

static void translate(struct qemu_plugin_tb *tb) {
    const uint32_t start = (uint32_t)qemu_plugin_tb_vaddr(tb);
    const uint32_t instructions = (uint32_t)qemu_plugin_tb_n_insns(tb);
    const bool counted = !contains(mark, start);
    uint32_t bytes = 0u, calls = 0u;
    for (uint32_t i = 0u; i < instructions; i++) {
        struct qemu_plugin_insn *const instruction = qemu_plugin_tb_get_insn(tb, i);
        if (!counted) {
            qemu_plugin_register_vcpu_mem_cb(instruction, on_mark, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                             NULL);
        } else if (traffic != NULL) {
            qemu_plugin_register_vcpu_mem_cb(instruction, on_load, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_R,
                                             NULL);
            qemu_plugin_register_vcpu_mem_cb(instruction, on_store, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                             NULL);
        }
        const struct opcode opcode = opcode_of(instruction);
        calls = calls_mark(opcode, (uint32_t)qemu_plugin_insn_vaddr(instruction)) ? 1u : 0u;
        bytes += size_of(opcode);
    }
    if (counted) { /* without the call of a marker at its end */
        struct block *const b = block_of(start, bytes - 4u * calls, instructions - calls, start + bytes);
        qemu_plugin_register_vcpu_tb_exec_cb(tb, code_lines.capacity != 0u ? on_block_fetching : on_block,
                                             QEMU_PLUGIN_CB_NO_REGS, b);
    }
}

#if PINGPONNX_QEMU_PLUGIN_API >= 7
static void on_translation(struct qemu_plugin_tb *tb, void *data) {
    (void)data;
    translate(tb);
}
#else
static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    translate(tb);
}
#endif

/* ----------------------------------------------------------------------------------- start and end */

static void write_block(FILE *file, const struct block *b) {
    if (b->instructions == 0u) {
        return;
    }
    fprintf(file, "block %" PRIx32 " %" PRIu32 " %" PRIu32 "\n", b->start, b->instructions, b->bytes);
    for (uint32_t r = 0u; r < regions; r++) {
        if (b->counts[r].executed != 0u) {
            fprintf(file, "count %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", r, b->counts[r].executed,
                    b->counts[r].taken);
        }
    }
}

static void write_traffic(FILE *file, uint32_t r) {
    const struct traffic *const t = &traffic[r];
    const uint32_t depth = t->deepest < bottom ? bottom - (t->deepest & ~3u) : 0u;
    fprintf(file, "traffic %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64, r, depth, t->unaligned,
            t->code_misses, t->data_misses);
    for (unsigned i = 0u; i < RANGES; i++) {
        fprintf(file, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, t->loads[i].count, t->loads[i].bytes,
                t->stores[i].count, t->stores[i].bytes);
    }
    fputc('\n', file);
}

/* The C library's atexit calls it: QEMU's own changed its interface. */
static void finish(void) {
    FILE *const file = fopen(output, "w");
    if (file == NULL) {
        perror(output);
        return;
    }
    for (unsigned i = 0u; i < BUCKETS; i++) {
        for (const struct block *b = blocks[i]; b != NULL; b = b->next) {
            write_block(file, b);
        }
    }
    for (uint32_t r = 0u; traffic != NULL && r < regions; r++) {
        write_traffic(file, r);
    }
    fputs("end\n", file);
    if (fclose(file) != 0) {
        perror(output);
    }
}

static void make_buffer(struct line_buffer *buffer) {
    if (buffer->capacity != 0u) {
        buffer->slot_of = allocate((flash.size >> line_shift) + 2u, sizeof buffer->slot_of[0]);
        buffer->slots = allocate(buffer->capacity + 1u, sizeof buffer->slots[0]);
    }
}

static struct range read_range(const char *text) {
    char *end;
    const uint32_t low = (uint32_t)strtoul(text, &end, 16);
    return (struct range){low, *end == '-' ? (uint32_t)strtoul(end + 1, NULL, 16) - low : 0u};
}

static void read_lines(const char *text) {
    char *end;
    code_lines.capacity = (uint32_t)strtoul(text, &end, 10);
    data_lines.capacity = (uint32_t)strtoul(*end == '-' ? end + 1 : end, &end, 10);
    for (unsigned long bytes = strtoul(*end == '-' ? end + 1 : end, NULL, 10); bytes > 1u; bytes /= 2u) {
        line_shift++;
    }
}

static bool read_argument(const char *argument) {
    static const struct {
        const char *name;
        struct range *range;
    } ranges[] = {{"mark=", &mark}, {"port=", &port}, {"flash=", &flash}, {"ram=", &ram}, {"stack=", &stack}};
    const char *const value = strchr(argument, '=') + 1;
    for (unsigned i = 0u; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (strncmp(argument, ranges[i].name, strlen(ranges[i].name)) == 0) {
            *ranges[i].range = read_range(value);
            return true;
        }
    }
    if (strncmp(argument, "out=", 4) == 0) {
        output = strdup(value);
    } else if (strncmp(argument, "regions=", 8) == 0) {
        regions = (uint32_t)strtoul(value, NULL, 10);
    } else if (strncmp(argument, "lines=", 6) == 0) {
        read_lines(value);
    } else {
        return false;
    }
    return true;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    if (strcmp(info->target_name, "arm") != 0) {
        return 1;
    }
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "probe=on") == 0) {
            printf("pingponnx profile: QEMU's plugin interface %d\n", info->version.cur);
            fflush(stdout);
            _exit(0);
        }
        if (strchr(argv[i], '=') == NULL || !read_argument(argv[i])) {
            fprintf(stderr, "pingponnx profile: unknown argument %s\n", argv[i]);
            return 1;
        }
    }
    port.size = regions;
    if (output == NULL || regions == 0u) {
        return 1;
    }
    if (ram.size != 0u) {
        traffic = allocate(regions, sizeof traffic[0]);
        current = &traffic[0];
        for (uint32_t r = 0u; r < regions; r++) {
            traffic[r].deepest = UINT32_MAX;
        }
        make_buffer(&code_lines);
        make_buffer(&data_lines);
    }
#if PINGPONNX_QEMU_PLUGIN_API >= 7
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
#else
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
#endif
    return atexit(finish);
}
