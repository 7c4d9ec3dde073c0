/* up_dir.c - the directory of `coalition up`: whose it is, and one that is there already.
 *
 * It belongs to one fingerprint for ever, and to one `up` at a time: a second one would start the
 * same members over and over. */
#include "up.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *up_below(struct up *u, const char *name)
{
    struct mk_buf b = {0};
    const char *path;

    mk_buf_printf(&b, "%s/%s", u->dir, name);
    path = mk_arena_str(&u->arena, (struct mk_str){(const char *)b.p, b.n}).p;
    mk_buf_done(&b);
    return path;
}

int up_make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return complain(STATUS_CHECK, "%s: %s", path, strerror(errno));
}

static int take_members(struct up *u, struct part *p, const struct coa_contacts *c)
{
    if (c->n == 0 || c->n > MK_ROSTER_MAX)
        return complain(STATUS_CHECK, "%s: it was not made for %s; use another --dir", u->dir,
                        p->name);
    p->n = (unsigned)c->n;
    for (unsigned i = 0; i < p->n; i++) {
        p->peers[i] = c->v[i].peer;
        snprintf(p->addresses[i], sizeof p->addresses[i], "%.*s", (int)c->v[i].address.n,
                 c->v[i].address.p);
        p->list[i] = mk_str_of(p->addresses[i]);
    }
    return 0;
}

static int take_over(struct up *u)
{
    struct coa_coalition_file local;
    struct mk_fault fault = {{0}};
    int rv = load_coalition(&local, up_below(u, "local.toml"));

    if (rv != 0)
        return rv;
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++) {
        struct part *p = &u->parts[i];
        struct coa_organism_file o;

        if (p->organism == NULL) {
            rv = take_members(u, p, &local.modules[COA_ATLAS].committee);
            continue;
        }
        if (access(up_below(u, p->file_name), F_OK) != 0) {
            rv = complain(STATUS_USAGE, "%s: it was laid out without %s; use another --dir", u->dir,
                          p->name);
            continue;
        }
        rv = load_organism(&o, up_below(u, p->file_name));
        if (rv == 0) {
            rv = take_members(u, p, &o.notes.committee);
            coa_organism_file_done(&o);
        }
    }
    coa_coalition_file_done(&local);
    if (rv == 0)
        rv = up_check_members(u);
    if (rv == 0 && load_key(&u->operator_, up_below(u, "operator.key"), &fault) != 0)
        rv = complain(STATUS_CHECK, "%s", fault.text);
    return rv;
}

/** Which emulator the members use: for a new directory the one of --tdx-emulator, made when it is
 * not there; else what the directory was laid out with. */
static int find_emulator(struct up *u)
{
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    struct mk_measurements m;
    int rv = 0;

    if (!u->fresh) {
        if (read_file(up_below(u, "tdx-emulator"), &b, NULL) == 0)
            snprintf(u->emulator, sizeof u->emulator, "%.*s", (int)strcspn((const char *)b.p, "\n"),
                     (const char *)b.p);
        else if (u->in.emulator != NULL)
            rv = complain(STATUS_USAGE,
                          "%s: it was laid out without --tdx-emulator; use another --dir", u->dir);
        mk_buf_done(&b);
        return rv;
    }
    if (u->in.emulator == NULL)
        return 0;
    if (!emulator_is_there(u->in.emulator))
        rv = emulator_lay_out(u->in.emulator, NULL, EMULATOR_DAYS * 86400u, &m, &fault);
    if (rv != 0)
        return complain_of(rv, &fault);
    if (realpath(u->in.emulator, u->emulator) == NULL || strchr(u->emulator, '\'') != NULL)
        return complain(STATUS_USAGE, "%s: its path cannot be used", u->in.emulator);
    mk_buf_printf(&b, "%s\n", u->emulator);
    if (write_file(up_below(u, "tdx-emulator"), mk_buf_bytes(&b), 0600, &fault) != 0)
        rv = complain(STATUS_CHECK, "%s", fault.text);
    mk_buf_done(&b);
    return rv;
}

/** One `up` a directory: a second one would start the same members over and over. */
static int hold_directory(struct up *u)
{
    u->dir_fd = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->dir_fd < 0)
        return complain(STATUS_CHECK, "%s: %s", u->dir, strerror(errno));
    if (flock(u->dir_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return complain(STATUS_CHECK, "%s: another `coalition up` runs in it", u->dir);
    return complain(STATUS_CHECK, "%s: %s", u->dir, strerror(errno));
}

int up_open_directory(struct up *u)
{
    struct mk_buf b = {0};
    struct mk_id id;
    char hex[MK_ID_HEX], other[MK_ID_HEX];
    int rv = up_make_dir(u->dir);

    if (rv == 0)
        rv = hold_directory(u);
    if (rv != 0)
        return rv;
    u->fresh = read_file(up_below(u, "coalition.id"), &b, NULL) != 0;
    if (!u->fresh && (b.n < 64 || mk_id_unhex(&id, (struct mk_str){(const char *)b.p, 64}) != 0 ||
                      !mk_id_eq(&id, &u->ids.coalition_id)))
        rv = complain(
            STATUS_USAGE, "%s: it belongs to coalition %.64s, not to %s; use another --dir", u->dir,
            b.n >= 64 ? (snprintf(other, sizeof other, "%.64s", (const char *)b.p), other) : "?",
            mk_id_hex(&u->ids.coalition_id, hex));
    mk_buf_done(&b);
    if (rv == 0)
        rv = find_emulator(u);
    if (rv != 0)
        return rv;
    rv = u->fresh ? up_lay_out(u) : take_over(u);
    return rv != 0 ? rv : up_issue_tickets(u);
}
