/* up_members.c - the processes of `coalition up`, and what is said of them. */
#include "up.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static void said_ended(void *arg, struct child *c)
{
    struct up *u = arg;
    json_t *e = up_event("ended");

    json_object_set_new(e, "member", json_string(c->name));
    json_object_set_new(e, "status", json_integer(c->last_status));
    up_say(u, e, "ended      %-20s (see %s); it is started again", c->name, c->log_path);
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
