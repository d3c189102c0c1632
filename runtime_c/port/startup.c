/* Start-up for every Cortex-M core, v6-M to v8.1-M. No clock or memory set-up: QEMU's boards need none. */
#include "port.h"

extern uint32_t pingponnx_data_load[], pingponnx_data_start[], pingponnx_data_end[];
extern uint32_t pingponnx_bss_start[], pingponnx_bss_end[];

#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR_UNALIGN_TRP (1u << 3)
#define CCR_LOB (1u << 19)
#define CPACR_CP10_CP11_FULL (0xFu << 20)

_Noreturn void pingponnx_reset(void);

/* The faulting code's stack may be exhausted, which may be the very reason of the fault: the report runs
 * on a fresh one. */
__attribute__((naked)) static void fault_entry(void) {
    __asm volatile("mrs r0, msp\n\t"
                   "mrs r1, ipsr\n\t"
                   "ldr r2, =pingponnx_stack_top\n\t"
                   "mov sp, r2\n\t"
                   "ldr r3, =pingponnx_fault\n\t"
                   "bx r3\n\t"
                   ".ltorg");
}

typedef void (*vector)(void);

/* Stack top and reset, then the 14 system exceptions; no interrupt is ever enabled. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector reset;
    vector exceptions[14];
} vectors = {
    pingponnx_stack_top,
    pingponnx_reset,
    {fault_entry, fault_entry, fault_entry, fault_entry, fault_entry, fault_entry, fault_entry, fault_entry,
     fault_entry, fault_entry, fault_entry, fault_entry, fault_entry, fault_entry},
};

static void enable_core_features(void) {
#if __ARM_ARCH == 6
    /* v6-M code runs on a v7-M board here. A real v6-M core has no unaligned accesses: make them fault. */
    CCR |= CCR_UNALIGN_TRP;
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= CPACR_CP10_CP11_FULL;
#endif
#if defined(__ARM_ARCH_8_1M_MAIN__)
    CCR |= CCR_LOB; /* low-overhead loops */
#endif
    __asm volatile("dsb\n\tisb" ::: "memory");
}

_Noreturn void pingponnx_reset(void) {
    enable_core_features();
    const uint32_t *source = pingponnx_data_load;
    for (uint32_t *word = pingponnx_data_start; word < pingponnx_data_end; word++) {
        *word = *source++;
    }
    for (uint32_t *word = pingponnx_bss_start; word < pingponnx_bss_end; word++) {
        *word = 0u;
    }
    port_exit(main());
}
