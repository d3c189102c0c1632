/* A library to preload: counts a process's calls that change files below a folder, and at the k-th one kills
 * the process (a write gets half through), or fails it and all that follow, like a disk that is full.
 *
 * Nothing happens until faults_arm is called. Children do not get it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NEEDS_SPACE = 1, FREES_SPACE = 2 };

static char under[4096];
static size_t under_length;
static atomic_long calls;
static long fault_at;
static int fault_error; /* 0: kill */
static int fault_kinds;
static int armed;

__attribute__((constructor)) static void only_here(void) { unsetenv("LD_PRELOAD"); }

/* The k-th call from now on; error 0 kills. kinds: which calls fail after the k-th, as a sum. */
__attribute__((visibility("default"))) void faults_arm(const char *folder, long at, int error, int kinds) {
    snprintf(under, sizeof under, "%s", folder);
    under_length = strlen(under);
    atomic_store(&calls, 0);
    fault_at = at;
    fault_error = error;
    fault_kinds = kinds;
    armed = 1;
}

__attribute__((visibility("default"))) long faults_calls(void) { return atomic_load(&calls); }

static int below(const char *path) {
    char whole[8192];
    if (path != NULL && path[0] != '/') {
        char here[4096];
        snprintf(whole, sizeof whole, "%s/%s", getcwd(here, sizeof here) ? here : "", path);
        path = whole;
    }
    return path != NULL && strncmp(path, under, under_length) == 0 && path[under_length] == '/';
}

static int below_open(int file) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length <= 0) {
        return 0;
    }
    path[length] = 0;
    return path[0] == '/' && below(path); /* a pipe is none */
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

/* 1: this is the call to die at; -1: it fails; 0: it goes ahead. */
static int fault(int kind) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (fault_at == 0 || number < fault_at) {
        return 0;
    }
    if (fault_error == 0) {
        return number == fault_at;
    }
    if (fault_kinds & kind) {
        errno = fault_error;
        return -1;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define STEP(is_below, kind)                                                                                   \
    if (armed && (is_below)) {                                                                                 \
        int what = fault(kind);                                                                                \
        if (what > 0) {                                                                                        \
            die();                                                                                             \
        }                                                                                                      \
        if (what < 0) {                                                                                        \
            return -1;                                                                                         \
        }                                                                                                      \
    }

static int opened(const char *symbol, const char *path, int flags, int mode) {
    STEP((flags & (O_CREAT | O_TRUNC)) && below(path), NEEDS_SPACE)
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol))(path, flags, mode);
}

#define OPEN(name)                                                                                             \
    int name(const char *path, int flags, ...) {                                                               \
        va_list rest;                                                                                          \
        va_start(rest, flags);                                                                                 \
        int mode = va_arg(rest, int);                                                                          \
        va_end(rest);                                                                                          \
        return opened(#name, path, flags, mode);                                                               \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *data, size_t size) {
    if (armed && below_open(file)) {
        int what = fault(NEEDS_SPACE);
        if (what > 0) {
            ssize_t half = REAL(write)(file, data, size / 2);
            (void)half;
            die();
        }
        if (what < 0) {
            return -1;
        }
    }
    return REAL(write)(file, data, size);
}

int fsync(int file) {
    STEP(below_open(file), NEEDS_SPACE)
    return REAL(fsync)(file);
}

int mkdir(const char *path, mode_t mode) {
    STEP(below(path), NEEDS_SPACE)
    return REAL(mkdir)(path, mode);
}

int chmod(const char *path, mode_t mode) {
    STEP(below(path), FREES_SPACE)
    return REAL(chmod)(path, mode);
}

int rename(const char *from, const char *to) {
    STEP(below(from) || below(to), FREES_SPACE)
    return REAL(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    STEP(below(from) || below(to), FREES_SPACE)
    return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

int unlink(const char *path) {
    STEP(below(path), FREES_SPACE)
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    STEP(below(path) || (path[0] != '/' && folder >= 0 && below_open(folder)), FREES_SPACE)
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
    STEP(below(path), FREES_SPACE)
    return REAL(rmdir)(path);
}
