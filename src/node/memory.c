/* memory.c - what a reader must not forget: the highest Deployment version it used, and the
 * highest certified point of each surface (spec/committees.md, "Rosters in time").
 *
 *     readers/<deployment>      pc of the reader's memory
 *     versions/<stable id>      u64le
 *
 * Kept in the loop's directory; an integrator without one begins anew each time, and
 * can then only know what the members it reaches show it. A file is replaced
 * durably, which blocks for one sync, so a busy reader writes four times a second
 * at most: after a crash it may be up to a quarter of a second behind what it showed. */
#include "node/network.h"

#include <stdio.h>
#include <string.h>

#define MEMORY_EVERY_NS (250 * MK_MS)
#define MEMORY_FILE_MAX (4u << 20)

static void path_of(char out[96], const char *dir, const struct mk_id *id)
{
    char hex[MK_ID_HEX];

    snprintf(out, 96, "%s/%s", dir, mk_id_hex(id, hex));
}

struct mk_reader_memory *mk_bond_recall(struct mk_env *e, const struct mk_id *deployment)
{
    struct mk_reader_memory *m = NULL;
    struct mk_buf b = {0};
    char path[96];

    path_of(path, "readers", deployment);
    if (mk_file_load(e, path, MEMORY_FILE_MAX, &b) != 0 ||
        mk_reader_memory_decode(&m, mk_buf_bytes(&b), NULL) != 0)
        m = NULL;
    mk_buf_done(&b);
    return m;
}

void mk_bond_remember(struct mk_bond *b, bool now)
{
    struct mk_env *e = b->network->env;
    struct mk_buf out = {0};
    char path[96];

    if (b->memory != NULL)
        mk_bond_follow_roster(b);
    if (b->memory == NULL ||
        (!now && mk_now(e) - b->stored_ns < MEMORY_EVERY_NS && b->stored_ns != 0))
        return;
    if (mk_mkdir(e, "readers") != 0)
        return; /* no directory: nothing to remember in */
    if (b->stored_ns == 0)
        mk_dir_sync(e, ""); /* the folder may be new */
    b->stored_ns = mk_now(e);
    path_of(path, "readers", &b->component.deployment);
    mk_reader_memory_encode(b->memory, &out);
    mk_file_store(e, path, mk_buf_bytes(&out));
    mk_buf_done(&out);
}

uint64_t mk_bond_recall_version(struct mk_env *e, const struct mk_id *stable_id)
{
    struct mk_buf b = {0};
    struct mk_reader r;
    uint64_t version = 0;
    char path[96];

    path_of(path, "versions", stable_id);
    if (mk_file_load(e, path, 8, &b) == 0) {
        r = (struct mk_reader){.p = b.p, .n = b.n};
        version = mk_read_u64le(&r);
    }
    mk_buf_done(&b);
    return version;
}

void mk_bond_remember_version(struct mk_env *e, const struct mk_id *stable_id, uint64_t version)
{
    struct mk_buf b = {0};
    char path[96];

    if (mk_mkdir(e, "versions") != 0 || mk_dir_sync(e, "") != 0)
        return;
    path_of(path, "versions", stable_id);
    mk_buf_put_u64le(&b, version);
    mk_file_store(e, path, mk_buf_bytes(&b));
    mk_buf_done(&b);
}
