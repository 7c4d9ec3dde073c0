/* up_members.c - the processes of `coalition up`, and what is said of them. */
#include "up.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define AGAIN 2u             /* ends for one reason, from which on a remedy is said */
#define SPACE_MIN (8u << 20) /* a member's first segment and some */
#define INCOMPLETE                                                                            \
    "the folder of a member is incomplete: put its node.key and node.toml back from a copy, " \
    "or lay out another --dir"

void up_say(struct up *u, json_t *event, const char *fmt, ...)
{
    va_list ap;

    if (u->in.json) {
        print_json(event);
        return;
    }
    json_decref(event);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

json_t *up_event(const char *name)
{
    json_t *o = json_object();

    json_object_set_new(o, "event", json_string(name));
    return o;
}

static void said_started(void *arg, struct child *c)
{
    struct up *u = arg;
    json_t *e = up_event("started");
    struct coa_node_file node;
    struct mk_key key = {0};
    struct mk_buf b = {0};
    char hex[MK_ID_HEX] = "", path[PATH_MAX + 160], component[128];
    const char *dash = strrchr(c->name, '-');

    snprintf(component, sizeof component, "%.*s", (int)(dash - c->name), c->name);
    snprintf(path, sizeof path, "%s/%s/node.key", u->dir, c->name);
    if (load_key(&key, path, NULL) == 0)
        mk_peer_hex(&key.peer, hex);
    mk_key_done(&key);
    snprintf(path, sizeof path, "%s/%s/node.toml", u->dir, c->name);
    json_object_set_new(e, "component", json_string(component));
    json_object_set_new(e, "member", json_string(c->name));
    json_object_set_new(e, "pid", json_integer(c->pid));
    json_object_set_new(e, "peer", json_string(hex));
    json_object_set_new(e, "starts", json_integer(c->starts));
    if (read_file(path, &b, NULL) == 0 &&
        coa_node_file_parse(&node, path, mk_buf_bytes(&b), NULL) == 0) {
        json_object_set_new(e, "address", json_text(node.listen));
        coa_node_file_done(&node);
    }
    mk_buf_done(&b);
    up_say(u, e, "started    %-20s process %d, peer %.16s", c->name, (int)c->pid, hex);
}

/* What helps against an end that comes again and again. */
static const char *remedy(struct up *u, const struct child *c)
{
    struct statvfs disk;
    char name[96];

    snprintf(name, sizeof name, "%s/node.toml", c->name);
    if (access(up_below(u, name), F_OK) != 0)
        return INCOMPLETE;
    if (statvfs(u->dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < SPACE_MIN)
        return "the disk is full: make room, or use another --dir";
    return "it ends each time for this; the others go on while they are a majority";
}

static void said_ended(void *arg, struct child *c)
{
    struct up *u = arg;
    const char *helps = c->same >= AGAIN ? remedy(u, c) : "";
    uint64_t again_ms = child_pause_ms(c);
    json_t *e = up_event("ended");

    json_object_set_new(e, "member", json_string(c->name));
    json_object_set_new(e, "status", json_integer(c->last_status));
    json_object_set_new(e, "reason", json_string(c->reason));
    json_object_set_new(e, "remedy", helps[0] != '\0' ? json_string(helps) : json_null());
    json_object_set_new(e, "again_ms", json_integer((json_int_t)again_ms));
    up_say(u, e, "ended      %-20s %s; started again in %.1f s (log: %s)%s%s", c->name, c->reason,
           (double)again_ms / 1000, c->log_path, helps[0] != '\0' ? "\n           " : "", helps);
}

void up_complain_ends(struct up *u)
{
    up_tend(u);
    for (unsigned i = 0; i < u->children.n; i++) {
        const struct child *c = &u->children.v[i];

        if (c->reason[0] != '\0')
            complain(STATUS_CHECK, "%s ended: %s", c->name, c->reason);
    }
}

int up_check_members(struct up *u)
{
    static const char *const files[] = {"node.key", "node.toml"};
    char name[128];

    for (unsigned i = 0; i < u->n_parts; i++) {
        for (unsigned k = 0; k < u->parts[i].n; k++) {
            for (unsigned f = 0; f < sizeof files / sizeof files[0]; f++) {
                up_member_name(name, &u->parts[i], k);
                snprintf(name + strlen(name), sizeof name - strlen(name), "/%s", files[f]);
                if (access(up_below(u, name), F_OK) != 0)
                    return complain(STATUS_USAGE, "%s: %s; " INCOMPLETE, up_below(u, name),
                                    strerror(errno));
            }
        }
    }
    return 0;
}

int up_start_members(struct up *u)
{
    char self[PATH_MAX], name[128];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    struct mk_fault fault = {{0}};

    if (n <= 0)
        return complain(STATUS_CHECK, "/proc/self/exe: %s", strerror(errno));
    self[n] = '\0';
    for (unsigned i = 0; i < u->n_parts; i++) {
        for (unsigned k = 0; k < u->parts[i].n; k++) {
            const char *config, *log;
            struct child *c;

            up_member_name(name, &u->parts[i], k);
            config = mk_arena_str(&u->arena, mk_str_of(up_below(u, name))).p;
            snprintf(name + strlen(name), sizeof name - strlen(name), "/node.toml");
            config = up_below(u, name);
            up_member_name(name, &u->parts[i], k);
            snprintf(name + strlen(name), sizeof name - strlen(name), "/log");
            log = up_below(u, name);
            up_member_name(name, &u->parts[i], k);
            c = children_add(&u->children, name, log,
                             (const char *const[]){self, "node", config, "--found", NULL});
            c->keep_stdin = u->parts[i].source != NULL && strcmp(u->parts[i].source, "-") == 0;
            if (child_start(c, &fault) != 0)
                return complain(STATUS_CHECK, "%s", fault.text);
            said_started(u, c);
        }
    }
    return 0;
}

void up_tend(struct up *u)
{
    children_tend(&u->children, said_ended, said_started, u);
}
