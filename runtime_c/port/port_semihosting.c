/* Files and exit through Arm semihosting: one breakpoint instruction that QEMU (or a probe) serves. */
#include "port.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20,
};
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5 };
#define ADP_STOPPED_APPLICATION_EXIT 0x20026u

static int call(int operation, const uint32_t *arguments) {
    register int r0 __asm("r0") = operation;
    register const uint32_t *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int port_open(const char *name, int mode) {
    uint32_t length = 0;
    while (name[length] != '\0') {
        length++;
    }
    const uint32_t how = mode == PORT_WRITE ? MODE_WRITE_BINARY : MODE_READ_BINARY;
    const uint32_t arguments[3] = {(uint32_t)name, how, length};
    return call(SYS_OPEN, arguments);
}

uint32_t port_read(int file, void *data, uint32_t bytes) {
    if (bytes == 0u) {
        return 0u;
    }
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)data, bytes};
    return bytes - (uint32_t)call(SYS_READ, arguments); /* the answer is how many are missing */
}

int port_write(int file, const void *data, uint32_t bytes) {
    if (bytes == 0u) {
        return 0;
    }
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)data, bytes};
    return call(SYS_WRITE, arguments);
}

void port_close(int file) {
    const uint32_t arguments[1] = {(uint32_t)file};
    (void)call(SYS_CLOSE, arguments);
}

_Noreturn void port_exit(int code) {
    const uint32_t arguments[2] = {ADP_STOPPED_APPLICATION_EXIT, (uint32_t)code};
    (void)call(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}
