/* What the harness needs from the machine below it: files and an exit.
 *
 * Two implementations: port_semihosting.c (Cortex-M, QEMU or a debug probe) and port_host.c (stdio).
 */
#ifndef PINGPONNX_PORT_H
#define PINGPONNX_PORT_H

#include <stdint.h>

enum { PORT_READ = 0, PORT_WRITE = 1 };

/* Opens a file of the current folder; negative when that fails. */
int port_open(const char *name, int mode);
/* The number of bytes that could be read. */
uint32_t port_read(int file, void *data, uint32_t bytes);
/* 0 when all bytes were written. */
int port_write(int file, const void *data, uint32_t bytes);
void port_close(int file);
_Noreturn void port_exit(int code);

#ifndef PINGPONNX_HOST

/* What the linker script knows. */
extern uint32_t pingponnx_stack_limit[]; /* end of the static data: the stack must stay above it */
extern uint32_t pingponnx_stack_top[];

/* Called by the start-up code: the harness's main, and its end after a fault. */
int main(void);
_Noreturn void pingponnx_fault(uint32_t frame, uint32_t exception);

#endif
#endif
