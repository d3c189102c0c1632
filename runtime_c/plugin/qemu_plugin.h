/* The few declarations of QEMU's plugin interface that profile.c uses; no glib, no QEMU headers.
 *
 * PINGPONNX_QEMU_PLUGIN_API is the interface's version to compile for:
 *   1  QEMU 6 to 8
 *   2  QEMU 9.0
 *   3  QEMU 9.1 and later: an instruction's bytes are copied out
 *   7  QEMU 11.1 and later: the translation callback gets user data instead of the plugin's id
 * QEMU refuses to load a plugin whose version it does not serve, with one exception that profile.c's
 * builder knows: 9.1 and later also take version 2, though they no longer work like it.
 */
#ifndef PINGPONNX_QEMU_PLUGIN_H
#define PINGPONNX_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef PINGPONNX_QEMU_PLUGIN_API
#error "define PINGPONNX_QEMU_PLUGIN_API"
#endif

#define QEMU_PLUGIN_EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus, max_vcpus;
    } system;
} qemu_info_t;

enum { QEMU_PLUGIN_CB_NO_REGS = 0 };
/* Both: QEMU 7.2 mistakes loads for stores where only one kind is asked for. */
enum { QEMU_PLUGIN_MEM_RW = 3 };

typedef void (*qemu_plugin_vcpu_udata_cb)(unsigned cpu, void *data);
typedef void (*qemu_plugin_vcpu_mem_cb)(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address,
                                        void *data);

/* What a plugin exports. */
extern QEMU_PLUGIN_EXPORT int qemu_plugin_version;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv);

/* Called for every block of code that QEMU translates; the callbacks below are registered from it. */
#if PINGPONNX_QEMU_PLUGIN_API >= 7
typedef void (*qemu_plugin_vcpu_tb_trans_cb)(struct qemu_plugin_tb *block, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb callback,
                                           void *data);
#else
typedef void (*qemu_plugin_vcpu_tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb callback);
#endif

/* `flags` and `access` are enumerations in QEMU, which are passed like an int. */
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, qemu_plugin_vcpu_udata_cb callback,
                                          int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
                                            qemu_plugin_vcpu_udata_cb callback, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction, qemu_plugin_vcpu_mem_cb callback,
                                      int flags, int access, void *data);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
#if PINGPONNX_QEMU_PLUGIN_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction, void *bytes, size_t size);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
#endif

unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

#endif
