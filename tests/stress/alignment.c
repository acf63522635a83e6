/* A plugin of QEMU's that counts accesses to memory, and those of them whose address is
 * no multiple of their size, or of `element` bytes where they are longer: a vector of
 * floats may begin at any float.
 *
 * At its end a process writes "ADDRESS ACCESSES UNALIGNED" to the file `out`, a line for
 * each instruction that it ran. Used as `file=alignment.so,out=FILE,element=BYTES`. No
 * package of Debian 12 has QEMU's header: what is used of it is declared here. */

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };

typedef void (*translation_function)(plugin_id, struct qemu_plugin_tb *);
typedef void (*access_function)(unsigned, uint32_t, uint64_t, void *);
typedef void (*exit_function)(plugin_id, void *);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translation_function);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, access_function, int,
                                      int, void *);
unsigned qemu_plugin_mem_size_shift(uint32_t);
void qemu_plugin_register_atexit_cb(plugin_id, exit_function, void *);

int qemu_plugin_version = 1;

/* One translation of an instruction; QEMU may translate it again. */
struct place {
    struct place *next;
    uint64_t address, accesses, unaligned;
};

static struct place *places;
static const char *out;
static uint64_t element;

static void count(unsigned cpu, uint32_t access, uint64_t address, void *data)
{
    struct place *place = data;
    uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(access);
    uint64_t rest = address % (size < element ? size : element);

    __atomic_fetch_add(&place->accesses, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&place->unaligned, rest != 0, __ATOMIC_RELAXED);
}

/* QEMU translates in one thread at a time. */
static void translate(plugin_id id, struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        struct place *place = calloc(1, sizeof *place);

        place->address = qemu_plugin_insn_vaddr(instruction);
        place->next = places;
        places = place;
        qemu_plugin_register_vcpu_mem_cb(instruction, count, NO_REGISTERS,
                                         READ_AND_WRITE, place);
    }
}

static void write_counts(plugin_id id, void *data)
{
    FILE *file = fopen(out, "w");

    for (struct place *place = places; place; place = place->next)
        if (place->accesses)
            fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", place->address,
                    place->accesses, place->unaligned);
    fclose(file);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    out = strdup(strchr(argv[0], '=') + 1);
    element = strtoull(strchr(argv[1], '=') + 1, NULL, 10);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, write_counts, NULL);
    return 0;
}
