/* aside.c - a damaged log is put away whole, so that a member can begin anew.
 *
 *   damaged/why                  what was found
 *   damaged/000001.seg, key ...  the log as it was
 *   damaged/<group>-<index>.snap
 *
 * Nothing is deleted: whoever wants to know looks there, and removes the folder. The key of
 * the log goes last, so that a crash on the way leaves a log that cannot be opened, and is
 * put away again. What was put away earlier under the same names is replaced. */
#include "store/store_int.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "damaged"
#define WHY_MAX 4096u

struct names {
    char (*v)[128];
    size_t n, cap;
};

static void names_cb(void *arg, const char *name)
{
    struct names *ns = arg;

    if (ns->n == ns->cap) {
        ns->cap = ns->cap == 0 ? 16 : 2 * ns->cap;
        ns->v = mk_realloc(ns->v, ns->cap * sizeof *ns->v);
    }
    snprintf(ns->v[ns->n++], sizeof *ns->v, "%.127s", name);
}

/* Collected first: what is listed is about to move. */
static int list(struct mk_env *e, struct names *ns, const char *dir)
{
    int rv = mk_dir_list(e, dir, names_cb, ns);

    return rv == MK_ENOTFOUND ? 0 : rv;
}

static int move_log(struct mk_env *e, bool key)
{
    struct names ns = {0};
    char from[256], to[256];
    int rv = list(e, &ns, "log");

    for (size_t i = 0; i < ns.n && rv == 0; i++) {
        if ((strcmp(ns.v[i], "key") == 0) != key)
            continue;
        snprintf(from, sizeof from, "log/%s", ns.v[i]);
        snprintf(to, sizeof to, FOLDER "/%s", ns.v[i]);
        rv = mk_rename(e, from, to);
    }
    mk_free(ns.v);
    if (rv == 0)
        rv = mk_dir_sync(e, FOLDER);
    return rv == 0 ? mk_dir_sync(e, "log") : rv;
}

static int move_snapshots_of(struct mk_env *e, const char *group)
{
    struct names ns = {0};
    char dir[160], from[300], to[300];
    int rv;

    snprintf(dir, sizeof dir, "snap/%s", group);
    rv = list(e, &ns, dir);
    for (size_t i = 0; i < ns.n && rv == 0; i++) {
        snprintf(from, sizeof from, "%s/%s", dir, ns.v[i]);
        snprintf(to, sizeof to, FOLDER "/%s-%s", group, ns.v[i]);
        rv = mk_rename(e, from, to);
    }
    mk_free(ns.v);
    if (rv == 0)
        rv = mk_dir_sync(e, FOLDER);
    if (rv == 0)
        rv = mk_dir_sync(e, dir);
    return rv == 0 ? mk_unlink(e, dir) : rv;
}

static int move_snapshots(struct mk_env *e)
{
    struct names ns = {0};
    int rv = list(e, &ns, "snap");

    for (size_t i = 0; i < ns.n && rv == 0; i++)
        rv = move_snapshots_of(e, ns.v[i]);
    mk_free(ns.v);
    return rv == 0 ? mk_dir_sync(e, "snap") : rv;
}

int mk_store_set_aside(struct mk_env *e, const char *why, struct mk_fault *reterr)
{
    size_t n = strlen(why);
    int rv = mk_dir_lock(e);

    if (rv == 0)
        rv = mk_mkdir(e, FOLDER);
    if (rv == 0)
        rv = mk_file_store(e, FOLDER "/why", MK_BYTES(why, n < WHY_MAX ? n : WHY_MAX));
    if (rv == 0)
        rv = mk_dir_sync(e, "");
    if (rv == 0)
        rv = move_snapshots(e);
    if (rv == 0)
        rv = move_log(e, /* key= */ false);
    if (rv == 0)
        rv = move_log(e, /* key= */ true);
    return rv == 0 ? 0 : mk_fault(reterr, rv, FOLDER ": %s", mk_strerror(rv));
}

int mk_store_aside(struct mk_env *e, struct mk_buf *ret_why)
{
    return mk_file_load(e, FOLDER "/why", WHY_MAX, ret_why);
}
