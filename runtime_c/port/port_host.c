/* The port on a computer with a C library. */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES = 4 }; /* input, output, trace, result */
static FILE *files[FILES];

int port_open(const char *name, int mode) {
    for (int i = 0; i < FILES; i++) {
        if (files[i] == NULL) {
            files[i] = fopen(name, mode == PORT_WRITE ? "wb" : "rb");
            return files[i] != NULL ? i : -1;
        }
    }
    return -1;
}

uint32_t port_read(int file, void *data, uint32_t bytes) {
    return (uint32_t)fread(data, 1, bytes, files[file]);
}

int port_write(int file, const void *data, uint32_t bytes) {
    return fwrite(data, 1, bytes, files[file]) == bytes ? 0 : -1;
}

void port_close(int file) {
    (void)fclose(files[file]);
    files[file] = NULL;
}

_Noreturn void port_exit(int code) {
    exit(code);
}
