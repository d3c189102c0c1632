/* A QEMU plugin that counts exactly what a firmware executes: per block of code and region how often it
 * ran and how often it was left by a taken branch; on demand also memory traffic and flash line misses.
 *
 * The firmware (port/harness.c) selects the region of what follows by a store to port + region from code
 * in the range `profiler`, which is not counted, nor are the calls of it. Regions may also be given by
 * address; what such code calls is counted for the same region. For the arguments see arguments.h.
 *
 * The file is text for profile.py. Its last line is "end": without it, it is not complete.
 */
#include "arguments.h"
#include "line_buffer.h"
#include "qemu_plugin.h"
#include "thumb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = PINGPONNX_QEMU_PLUGIN_API;

enum { OUTSIDE = 0 };
#define INHERITED UINT32_MAX /* the region of the code that was executed before */

static struct arguments arguments;

static struct span {
    struct range range;
    uint32_t region;
} *spans;
static size_t span_count;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "pingponnx profile: %s\n", what);
    _exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *const block = calloc(count, size);
    if (block == NULL) {
        fail("out of memory");
    }
    return block;
}

/* ------------------------------------------------------------------------------------------ blocks */

struct code {
    uint32_t start, bytes, instructions;
    uint32_t following; /* where execution goes on if no branch is taken */
    uint32_t region;    /* that it selects, or INHERITED */
};

struct block {
    struct block *next;
    struct code code;
    struct count {
        uint64_t executed, taken;
    } counts[]; /* by region */
};

enum { BUCKETS = 1 << 14 };
static struct block *blocks[BUCKETS];

/* QEMU may translate a block more than once, and cut it differently. */
static struct block *block_of(const struct code *code) {
    struct block **const bucket = &blocks[(code->start >> 1) % BUCKETS];
    for (struct block *b = *bucket; b != NULL; b = b->next) {
        if (memcmp(&b->code, code, sizeof *code) == 0) {
            return b;
        }
    }
    struct block *const b = allocate(1u, sizeof *b + arguments.regions * sizeof b->counts[0]);
    b->next = *bucket;
    b->code = *code;
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
    struct accesses accesses[RANGES][2]; /* loads, stores */
    uint64_t unaligned, code_misses, data_misses;
    uint32_t deepest; /* the lowest address stored to in the stack's range */
};

static struct line_buffer code_lines, data_lines; /* of flash; without capacity they do not exist */
static unsigned line_shift;

static uint32_t region;                   /* of what runs now */
static struct traffic *traffic, *current; /* by region, and that of `region`; NULL if not counted */
static uint32_t last_load, bottom;        /* `bottom`: the stack pointer when the model was called */

static uint32_t expected; /* where the last block continues unless a branch was taken */
static uint64_t nowhere, *last_taken = &nowhere;
static const struct block *last_fetched;

static void select_region(uint32_t selected) {
    region = selected;
    current = traffic == NULL ? NULL : &traffic[selected];
}

static void on_block(unsigned cpu, void *data) {
    (void)cpu;
    struct block *const b = data;
    if (b->code.region != INHERITED && region != OUTSIDE) {
        select_region(b->code.region);
    }
    if (b->code.start != expected) {
        ++*last_taken;
    }
    struct count *const count = &b->counts[region];
    count->executed++;
    last_taken = &count->taken;
    expected = b->code.following;
}

static uint32_t line_of(uint32_t address) {
    return (address >> line_shift) - (arguments.flash.low >> line_shift);
}

/* A block that fits and is run again finds its lines, and leaves them in the order they were in. */
static void on_block_fetching(unsigned cpu, void *data) {
    on_block(cpu, data);
    const struct block *const b = data;
    if (b == last_fetched || b->code.bytes == 0u || !contains(arguments.flash, b->code.start)) {
        return;
    }
    const uint32_t first = line_of(b->code.start), last = line_of(b->code.start + b->code.bytes - 1u);
    for (uint32_t line = first; line <= last; line++) {
        current->code_misses += use_line(&code_lines, line);
    }
    last_fetched = last - first < code_lines.capacity ? b : NULL;
}

static void on_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t where, void *data) {
    (void)cpu;
    (void)data;
    const uint32_t address = (uint32_t)where;
    const unsigned shift = qemu_plugin_mem_size_shift(info);
    const bool is_store = qemu_plugin_mem_is_store(info);
    const unsigned range = contains(arguments.ram, address)     ? RAM
                           : contains(arguments.flash, address) ? FLASH
                                                                : OTHER;
    struct accesses *const a = &current->accesses[range][is_store ? 1 : 0];
    a->count += shift > 2u ? 1u << (shift - 2u) : 1u;
    a->bytes += 1u << shift;
    if ((address & (shift > 2u ? 3u : (1u << shift) - 1u)) != 0u) {
        current->unaligned++;
    }
    if (is_store && address < current->deepest && contains(arguments.stack, address)) {
        current->deepest = address;
    }
    if (range == FLASH && !is_store && data_lines.capacity != 0u) {
        current->data_misses += use_line(&data_lines, line_of(address));
    }
}

/* The harness selects the regions; before it calls the model, it loads from where its stack pointer is. */
static void on_profiler_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t where, void *data) {
    (void)cpu;
    (void)data;
    const uint32_t address = (uint32_t)where;
    if (!qemu_plugin_mem_is_store(info)) {
        last_load = contains(arguments.stack, address) ? address : last_load;
    } else if (contains(arguments.port, address)) {
        bottom = region == OUTSIDE && address != arguments.port.low ? last_load : bottom;
        select_region(address - arguments.port.low);
    }
}

/* ------------------------------------------------------------------------------------- translation */

static struct opcode opcode_of(const struct qemu_plugin_insn *instruction) {
    uint8_t copy[4] = {0};
#if PINGPONNX_QEMU_PLUGIN_API >= 3
    const uint8_t *const bytes = copy;
    (void)qemu_plugin_insn_data(instruction, copy, sizeof copy);
#else
    const uint8_t *const bytes = qemu_plugin_insn_data(instruction);
    (void)copy;
#endif
    const uint32_t first = bytes[0] | (uint32_t)bytes[1] << 8;
    return (struct opcode){first, is_wide(first) ? bytes[2] | (uint32_t)bytes[3] << 8 : 0u};
}

static int compare_span(const void *key, const void *element) {
    const uint32_t address = *(const uint32_t *)key;
    const struct range range = ((const struct span *)element)->range;
    return address < range.low ? -1 : contains(range, address) ? 0 : 1;
}

static uint32_t region_of(uint32_t address) {
    if (span_count == 0u) {
        return INHERITED;
    }
    const struct span *const span = bsearch(&address, spans, span_count, sizeof spans[0], compare_span);
    return span == NULL ? INHERITED : span->region;
}

static void count_block(struct qemu_plugin_tb *tb, struct qemu_plugin_insn *first, const struct code *code) {
    struct block *const b = block_of(code);
    const qemu_plugin_vcpu_udata_cb callback = code_lines.capacity != 0u ? on_block_fetching : on_block;
    if (code->start == (uint32_t)qemu_plugin_tb_vaddr(tb)) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, callback, QEMU_PLUGIN_CB_NO_REGS, b);
    } else {
        qemu_plugin_register_vcpu_insn_exec_cb(first, callback, QEMU_PLUGIN_CB_NO_REGS, b);
    }
}

/* A block of QEMU's is divided where the region changes, and counted without a call of the profiler's code
 * at its end. Sizes are not from qemu_plugin_insn_size: QEMU 7.2 gets it wrong before an instruction that
 * straddles a page. */
static void translate_counted(struct qemu_plugin_tb *tb) {
    const size_t count = qemu_plugin_tb_n_insns(tb);
    struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0u);
    const uint32_t start = (uint32_t)qemu_plugin_tb_vaddr(tb);
    struct code code = {.start = start, .following = start, .region = region_of(start)};
    for (size_t i = 0u; i < count; i++) {
        struct qemu_plugin_insn *const instruction = qemu_plugin_tb_get_insn(tb, i);
        const uint32_t address = (uint32_t)qemu_plugin_insn_vaddr(instruction);
        const uint32_t selected = region_of(address);
        if (selected != INHERITED && selected != code.region) {
            if (i != 0u) {
                count_block(tb, first, &code);
            }
            first = instruction;
            code = (struct code){.start = address, .following = address, .region = selected};
        }
        if (traffic != NULL) {
            qemu_plugin_register_vcpu_mem_cb(instruction, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
        }
        const struct opcode opcode = opcode_of(instruction);
        code.following += is_wide(opcode.first) ? 4u : 2u;
        if (!is_call(opcode) || !contains(arguments.profiler, call_target(opcode, address))) {
            code.bytes = code.following - code.start;
            code.instructions++;
        }
    }
    count_block(tb, first, &code);
}

static void translate(struct qemu_plugin_tb *tb) {
    if (!contains(arguments.profiler, (uint32_t)qemu_plugin_tb_vaddr(tb))) {
        translate_counted(tb);
        return;
    }
    for (size_t i = 0u; i < qemu_plugin_tb_n_insns(tb); i++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_profiler_access,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
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
    if (b->code.instructions == 0u) {
        return;
    }
    fprintf(file, "block %" PRIx32 " %" PRIu32 " %" PRIu32 "\n", b->code.start, b->code.instructions,
            b->code.bytes);
    for (uint32_t r = 0u; r < arguments.regions; r++) {
        const struct count c = b->counts[r];
        if (c.executed != 0u) {
            fprintf(file, "count %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", r, c.executed, c.taken);
        }
    }
}

static void write_traffic(FILE *file, uint32_t r) {
    const struct traffic *const t = &traffic[r];
    const uint32_t depth = t->deepest < bottom ? bottom - (t->deepest & ~3u) : 0u;
    fprintf(file, "traffic %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64, r, depth, t->unaligned,
            t->code_misses, t->data_misses);
    const struct accesses *const all = t->accesses[0];
    for (unsigned i = 0u; i < 2u * RANGES; i++) {
        fprintf(file, " %" PRIu64 " %" PRIu64, all[i].count, all[i].bytes);
    }
    fputc('\n', file);
}

/* Called by the C library's atexit: QEMU's own changed its interface. */
static void finish(void) {
    FILE *const file = fopen(arguments.out, "w");
    if (file == NULL) {
        fail("cannot write its file");
    }
    for (unsigned i = 0u; i < BUCKETS; i++) {
        for (const struct block *b = blocks[i]; b != NULL; b = b->next) {
            write_block(file, b);
        }
    }
    for (uint32_t r = 0u; traffic != NULL && r < arguments.regions; r++) {
        write_traffic(file, r);
    }
    fputs("end\n", file);
    if (fclose(file) != 0) {
        fail("cannot write its file");
    }
}

/* Sorted by address, not overlapping. */
static void read_spans(void) {
    FILE *const file = fopen(arguments.spans, "r");
    if (file == NULL) {
        fail("cannot read the spans");
    }
    size_t capacity = 0u;
    uint32_t low, high, selected;
    while (fscanf(file, "%" SCNx32 " %" SCNx32 " %" SCNu32, &low, &high, &selected) == 3) {
        if (span_count == capacity) {
            capacity = capacity == 0u ? 64u : 2u * capacity;
            spans = realloc(spans, capacity * sizeof spans[0]);
            if (spans == NULL) {
                fail("out of memory");
            }
        }
        spans[span_count++] = (struct span){{low, high - low}, selected};
    }
    (void)fclose(file);
}

static void make_buffer(struct line_buffer *buffer, uint32_t capacity) {
    buffer->capacity = capacity;
    buffer->slot_of = allocate((arguments.flash.size >> line_shift) + 2u, sizeof buffer->slot_of[0]);
    buffer->slots = allocate(capacity + 1u, sizeof buffer->slots[0]);
}

static void prepare(void) {
    arguments.port.size = arguments.regions;
    if (arguments.spans != NULL) {
        read_spans();
    }
    if (arguments.ram.size != 0u) {
        traffic = allocate(arguments.regions, sizeof traffic[0]);
        for (uint32_t r = 0u; r < arguments.regions; r++) {
            traffic[r].deepest = UINT32_MAX;
        }
    }
    if (traffic != NULL && arguments.line_bytes != 0u) {
        while (arguments.line_bytes >> (line_shift + 1u) != 0u) {
            line_shift++;
        }
        make_buffer(&code_lines, arguments.code_lines);
        make_buffer(&data_lines, arguments.data_lines);
    }
    select_region(OUTSIDE);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (!read_argument(&arguments, argv[i])) {
            fprintf(stderr, "pingponnx profile: unknown argument %s\n", argv[i]);
            return 1;
        }
    }
    if (arguments.probe) {
        printf("pingponnx profile: QEMU's plugin interface %d\n", info->version.cur);
        (void)fflush(stdout);
        _exit(0);
    }
    if (arguments.out == NULL || arguments.regions == 0u || strcmp(info->target_name, "arm") != 0) {
        return 1;
    }
    prepare();
#if PINGPONNX_QEMU_PLUGIN_API >= 7
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
#else
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
#endif
    return atexit(finish);
}
