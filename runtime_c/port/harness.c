/* Runs a generated model over the samples of input.bin and measures it.
 *
 *   input.bin   header {magic, flags, samples}, then per sample every input in order
 *   output.bin  per sample every output in order
 *   trace.bin   with FLAG_DUMP: {NEW_SAMPLE, sample}, then {node, bytes, data} for every node
 *   result.bin  struct result, then the first sample's instructions of each node (trace build only)
 *
 * All numbers are little-endian; the reader is run.py. The file is compiled for the target and for the
 * host; on the host nothing is counted. It uses no C library and no compiler support routine, so that
 * whatever of these is in the image is there because of the model.
 */
#include "counter.h"
#include "memory.h"
#include "port.h"

#include <stddef.h>

enum { MAGIC = 0x504E4F50 };
enum { FLAG_DUMP = 1 };
#define NEW_SAMPLE 0xFFFFFFFFu
#define STACK_PAINT 0xC5C5C5C5u

enum status {
    STATUS_OK,
    STATUS_BAD_INPUT,      /* input.bin is missing or too short */
    STATUS_MODEL_FAILED,   /* detail: what run returned */
    STATUS_ARENA_OVERRUN,  /* detail: first changed byte behind a memory, which memory */
    STATUS_STACK_OVERFLOW, /* the stack met the static data */
    STATUS_FAULT,          /* detail: address, exception, CFSR */
    STATUS_FILE_FAILED,    /* an output file could not be written */
};

static struct result {
    uint32_t magic;
    uint32_t status;
    uint32_t sample;
    uint32_t detail[3];
    uint32_t stack;
    uint32_t nodes;
    uint64_t instructions;
} result;

_Static_assert(sizeof(struct result) == 40, "run.py reads it");

typedef __typeof__(PINGPONNX_RUN) *model_function;

static int output_file;

/* ------------------------------------------------------------------------------------------- ending */

static uint64_t node_instructions[PINGPONNX_NODES];

_Noreturn static void finish(enum status status, uint32_t detail) {
    result.magic = MAGIC;
    result.status = status;
    result.detail[0] = detail;
#ifdef PINGPONNX_TRACE
    result.nodes = PINGPONNX_NODES;
#endif
    const int file = port_open("result.bin", PORT_WRITE);
    if (file < 0) {
        port_exit(1);
    }
    int failed = port_write(file, &result, sizeof result);
    failed |= port_write(file, node_instructions, result.nodes * (uint32_t)sizeof node_instructions[0]);
    port_close(file);
    port_exit(failed != 0 || status != STATUS_OK ? 1 : 0);
}

static int open_for_writing(const char *name) {
    const int file = port_open(name, PORT_WRITE);
    if (file < 0) {
        finish(STATUS_FILE_FAILED, 0u);
    }
    return file;
}

static void write_all(int file, const void *data, uint32_t bytes) {
    if (port_write(file, data, bytes) != 0) {
        finish(STATUS_FILE_FAILED, 0u);
    }
}

/* ------------------------------------------------------------------------------------------- counting */

/* A stopwatch that the trace hooks stop while they work. */
static uint64_t counted;
static instant resumed;

/* A profiler (plugin/profile.c) counts what follows a store to pingponnx_port[region] for that region:
 * 0 outside the measured run, node + 1, and REGION_RUN for what in the run belongs to no node. Without
 * markers in the model it tells nodes apart by the addresses of their code. Functions in PROFILER it does
 * not count. */
#define REGION_RUN (PINGPONNX_NODES + 1u)

#ifdef PINGPONNX_HOST
#define PROFILER
#define SELECT_REGION(region) ((void)0)
#else
volatile uint8_t pingponnx_port[PINGPONNX_NODES + 2u];
#define PROFILER __attribute__((noipa, section(".pingponnx_profiler")))
#define SELECT_REGION(region) ((void)(pingponnx_port[region] = 0u))
#endif

#ifdef PINGPONNX_TRACE

static struct {
    unsigned node;
    instant stopped;
    uint32_t pairs;     /* begin/end pairs seen */
    uint64_t pair_cost; /* what a pair adds to `counted` */
    uint64_t node_cost; /* what it adds to its node */
    int counting;       /* the first sample */
    int dumping, file;  /* FLAG_DUMP; trace.bin */
} trace;

PROFILER void pingponnx_node_begin(unsigned node) {
    const instant paused = now();
    counted += instructions_between(resumed, paused);
    trace.node = node;
    trace.pairs++;
    SELECT_REGION(node + 1u);
    resumed = now();
}

PROFILER void pingponnx_node_stop(void) {
    trace.stopped = now();
    SELECT_REGION(REGION_RUN);
}

void pingponnx_node_end(unsigned node, const void *data, unsigned bytes) {
    const uint64_t spent = instructions_between(resumed, trace.stopped);
    counted += spent;
    if (trace.counting != 0 && trace.node < PINGPONNX_NODES) {
        node_instructions[trace.node] += spent - trace.node_cost;
    }
    if (trace.dumping != 0) {
        const uint32_t head[2] = {node, bytes};
        write_all(trace.file, head, sizeof head);
        write_all(trace.file, data, bytes);
    }
    resumed = now();
}

#endif

/* ------------------------------------------------------------------------------------ one measured call */

#ifdef PINGPONNX_HOST

static int measured_call(model_function function) {
    resumed = now();
    const int returned = function(PINGPONNX_ARGUMENTS);
    counted += instructions_between(resumed, now());
    return returned;
}

#else

static uint32_t run_region; /* REGION_RUN, but 0 while calibrating */

/* Runs the function on a painted stack; leaves the instructions of the call in `counted`, the harness's
 * own constant share included, and the bytes below this frame that the function wrote in result.stack.
 * Painting is one statement of assembly because it has to reach exactly down from the stack pointer. */
PROFILER static int measured_call(model_function function) {
    uint32_t *position = pingponnx_stack_limit;
    __asm volatile("b 2f\n"
                   "1: str %1, [%0]\n\t"
                   "adds %0, %0, #4\n"
                   "2: cmp %0, sp\n\t"
                   "bne 1b"
                   : "+l"(position)
                   : "l"(STACK_PAINT)
                   : "cc", "memory");
    const uint32_t *const frame = position;
    counted = 0u;
    (void)*(const volatile uint32_t *)frame; /* this address is the stack pointer, the profiler notes */
    SELECT_REGION(run_region);
    resumed = now();
    const int returned = function(PINGPONNX_ARGUMENTS);
    const instant paused = now();
    SELECT_REGION(0u);
    counted += instructions_between(resumed, paused);
    const uint32_t *deepest = pingponnx_stack_limit;
    while (deepest < frame && *(const volatile uint32_t *)deepest == STACK_PAINT) {
        deepest++;
    }
    result.stack = (uint32_t)frame - (uint32_t)deepest;
    if (deepest == pingponnx_stack_limit) {
        finish(STATUS_STACK_OVERFLOW, 0u);
    }
    return returned;
}

#endif

/* ---------------------------------------------------------------------------------------- calibration */

static uint64_t call_cost; /* what the harness adds to every measured call */

#ifndef PINGPONNX_HOST

/* Two instructions. */
__attribute__((naked)) static int empty_model(void) {
    __asm volatile("movs r0, #0\n\tbx lr");
}

#ifdef PINGPONNX_TRACE
/* Three instructions and one empty node, marked as the compiler marks a model's. */
__attribute__((naked)) static int one_empty_node(void) {
    __asm volatile("push {r4, lr}\n\t"
                   "movs r0, #0\n\t"
                   "bl pingponnx_node_begin\n\t"
                   "bl pingponnx_node_stop\n\t"
                   "movs r2, #0\n\t"
                   "movs r1, #0\n\t"
                   "movs r0, #0\n\t"
                   "bl pingponnx_node_end\n\t"
                   "movs r0, #0\n\t"
                   "pop {r4, pc}");
}
#endif

/* A function called with the model's arguments, which it leaves alone. */
#define LIKE_MODEL(function) ((model_function)(void (*)(void))(function))

static void calibrate(void) {
    (void)measured_call(LIKE_MODEL(empty_model));
    call_cost = counted - 2u;
#ifdef PINGPONNX_TRACE
    trace.counting = 1;
    (void)measured_call(LIKE_MODEL(one_empty_node));
    trace.pair_cost = counted - call_cost - 3u;
    trace.node_cost = node_instructions[0];
    trace.counting = 0;
    trace.pairs = 0u;
    node_instructions[0] = 0u;
#endif
}

#endif

/* ------------------------------------------------------------------------------------------- samples */

static void read_inputs(int file) {
    for (uint32_t i = 0; i < LENGTH(pingponnx_inputs); i++) {
        const uint32_t bytes = pingponnx_inputs[i].bytes;
        if (port_read(file, pingponnx_inputs[i].start, bytes) != bytes) {
            finish(STATUS_BAD_INPUT, i);
        }
    }
}

static void write_outputs(void) {
    for (uint32_t i = 0; i < LENGTH(pingponnx_outputs); i++) {
        write_all(output_file, pingponnx_outputs[i].start, pingponnx_outputs[i].bytes);
    }
}

/* The first sample is the measured one; painting megabytes of stack for each would only cost time. */
static int run_first(void) {
#ifdef PINGPONNX_TRACE
    trace.counting = 1;
#endif
#ifndef PINGPONNX_HOST
    run_region = REGION_RUN;
#endif
    const int returned = measured_call(PINGPONNX_RUN);
    result.instructions = counted - call_cost;
#ifdef PINGPONNX_TRACE
    result.instructions -= multiply(trace.pair_cost, trace.pairs);
    trace.counting = 0;
#endif
    return returned;
}

static void run_sample(int input_file, uint32_t sample) {
    result.sample = sample;
    paint_memories();
    read_inputs(input_file);
#ifdef PINGPONNX_TRACE
    if (trace.dumping != 0) {
        const uint32_t head[2] = {NEW_SAMPLE, sample};
        write_all(trace.file, head, sizeof head);
    }
#endif
    const int returned = sample == 0u ? run_first() : PINGPONNX_RUN(PINGPONNX_ARGUMENTS);
    const int32_t overrun = first_overrun(&result.detail[1]);
    if (overrun >= 0) {
        finish(STATUS_ARENA_OVERRUN, (uint32_t)overrun);
    }
    if (returned != 0) {
        finish(STATUS_MODEL_FAILED, (uint32_t)returned);
    }
    write_outputs();
}

int main(void) {
    uint32_t header[3];
    const int input_file = port_open("input.bin", PORT_READ);
    if (input_file < 0 || port_read(input_file, header, sizeof header) != sizeof header ||
        header[0] != MAGIC) {
        finish(STATUS_BAD_INPUT, 0u);
    }
    output_file = open_for_writing("output.bin");
#ifndef PINGPONNX_HOST
    calibrate();
#endif
#ifdef PINGPONNX_TRACE
    trace.dumping = (header[1] & FLAG_DUMP) != 0u;
    if (trace.dumping != 0) {
        trace.file = open_for_writing("trace.bin");
    }
#endif
    paint_canaries();
    for (uint32_t sample = 0; sample < header[2]; sample++) {
        run_sample(input_file, sample);
    }
    port_close(input_file);
    port_close(output_file);
#ifdef PINGPONNX_TRACE
    if (trace.dumping != 0) {
        port_close(trace.file);
    }
#endif
    finish(STATUS_OK, 0u);
}

#ifndef PINGPONNX_HOST
_Noreturn void pingponnx_fault(uint32_t frame, uint32_t exception) {
    uint32_t address = 0u;
    if (frame >= (uint32_t)pingponnx_stack_limit && frame <= (uint32_t)pingponnx_stack_top - 32u) {
        address = ((const uint32_t *)frame)[6]; /* stacked: r0-r3, r12, lr, pc, psr */
    }
    result.detail[1] = exception;
    result.detail[2] = *(const volatile uint32_t *)0xE000ED28u; /* CFSR; zero on v6-M */
    finish(STATUS_FAULT, address);
}
#endif
