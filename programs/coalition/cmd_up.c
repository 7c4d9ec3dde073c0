/* cmd_up.c - `coalition up FILE`: every committee that the file ships, on this machine.
 *
 *   DIR/coalition.id         the fingerprint this directory belongs to
 *   DIR/operator.key         operator of the coalition, of every component, of every member
 *   DIR/local.toml           the file an integrator on this machine binds through
 *   DIR/<organism>.toml      organism files that it names
 *   DIR/<component>-<n>/     a member: node.toml, node.key, its state, its log
 *   DIR/<component>.deployment   the signed Deployment that nodes spread
 *
 * A new directory is laid out first, whole; then every member is started as a process of
 * its own (supervise.c), the committees found themselves, and a card is published for each
 * catalogue entry. A directory that is there already is started as it is. */
#include "agent.h"
#include "emit.h"
#include "supervise.h"

#include "atlas/atlas.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMBERS_DEFAULT 3u
#define WITH_MAX 64u
#define PUBLISH_MS 20000u

struct input {
    const char *file, *dir;
    const char *with[WITH_MAX], *sources[WITH_MAX];
    unsigned n_with, n_sources;
    bool json;
};

/** A component to run: Atlas (organism NULL), or an organism. */
struct part {
    char name[80];
    const char *file_name; /* organism: its file below DIR */
    struct coa_organism_file *organism;
    struct coa_organism_ids ids;
    unsigned n;
    char addresses[MK_ROSTER_MAX][96];
    struct mk_str list[MK_ROSTER_MAX];
    struct mk_peer peers[MK_ROSTER_MAX];
    const char *source;
    char record[128]; /* path of its Deployment below DIR */
};

struct up {
    struct input in;
    char dir[PATH_MAX];
    int dir_fd; /* locked while we run */
    struct coa_coalition_file file;
    struct coa_coalition_ids ids;
    struct part parts[WITH_MAX + 1];
    unsigned n_parts;
    struct mk_key operator_;
    char operator_hex[MK_ID_HEX];
    struct children children;
    bool fresh;
    uint64_t started_ms, first_card_ms;
    struct mk_arena arena;
};

static volatile sig_atomic_t stopping;

static void on_signal(int signo)
{
    (void)signo;
    stopping = 1;
}

/* --- saying what happens ------------------------------------------------------------------- */

static void say(struct up *u, json_t *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct up *u, json_t *event, const char *fmt, ...)
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

static json_t *event_of(const char *name)
{
    json_t *o = json_object();

    json_object_set_new(o, "event", json_string(name));
    return o;
}

/* --- paths --------------------------------------------------------------------------------------
 */

static const char *below(struct up *u, const char *name)
{
    struct mk_buf b = {0};
    const char *path;

    mk_buf_printf(&b, "%s/%s", u->dir, name);
    path = mk_arena_str(&u->arena, (struct mk_str){(const char *)b.p, b.n}).p;
    mk_buf_done(&b);
    return path;
}

static int make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return complain(STATUS_CHECK, "%s: %s", path, strerror(errno));
}

static int put_file(const char *path, const struct mk_buf *b)
{
    struct mk_fault fault = {{0}};
    int rv = write_file(path, mk_buf_bytes(b), 0600, &fault);

    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static void member_name(char out[128], const struct part *p, unsigned i)
{
    snprintf(out, 128, "%s-%u", p->name, i + 1);
}

/* --- what to run
 * ----------------------------------------------------------------------------------- */

static int check_modules(struct up *u)
{
    for (unsigned k = 0; k < COA_MODULE_KINDS; k++) {
        if (k != COA_ATLAS && coa_module_body(&u->file.config, k) != NULL)
            return complain(STATUS_USAGE, "%s: it ships %s, which this build does not have",
                            u->in.file, coa_module_name(k));
    }
    return 0;
}

static int add_organism(struct up *u, const char *path)
{
    struct part *p = &u->parts[u->n_parts++];
    int rv;

    p->organism = mk_arena_take(&u->arena, sizeof *p->organism);
    rv = load_organism(p->organism, path);
    if (rv != 0)
        return rv;
    if (p->organism->content_type.p == NULL || !mk_str_is(p->organism->content_type, "price-feed"))
        return complain(STATUS_USAGE,
                        "%s: this build runs organisms of content type price-feed alone", path);
    coa_organism_derive(&p->organism->config, &p->ids, NULL);
    snprintf(p->name, sizeof p->name, "%.*s", (int)p->organism->config.name.n,
             p->organism->config.name.p);
    for (char *c = p->name; *c != '\0'; c++) {
        if (*c == '/')
            *c = '_';
    }
    p->n = p->organism->notes.committee.n > 0 ? (unsigned)p->organism->notes.committee.n : 1;
    p->source = "-";
    for (unsigned i = 0; i < u->in.n_sources; i++) {
        size_t n = p->organism->config.name.n;

        if (strncmp(u->in.sources[i], p->organism->config.name.p, n) == 0 &&
            u->in.sources[i][n] == '=')
            p->source = u->in.sources[i] + n + 1;
    }
    return 0;
}

/** A source that nobody reads is a mistaken name. */
static int check_sources(struct up *u)
{
    for (unsigned i = 0; i < u->in.n_sources; i++) {
        struct mk_str name = {u->in.sources[i], strcspn(u->in.sources[i], "=")};
        bool found = false;

        for (unsigned k = 0; k < u->n_parts; k++) {
            const struct coa_organism_file *o = u->parts[k].organism;

            found |= o != NULL && mk_str_eq(o->config.name, name);
        }
        if (!found)
            return complain(STATUS_USAGE, "--source: no organism of --with is named \"%.*s\"",
                            (int)name.n, name.p);
    }
    return 0;
}

static int collect_parts(struct up *u)
{
    int rv = check_modules(u);

    if (rv == 0 && u->file.config.atlas != NULL) {
        struct part *p = &u->parts[u->n_parts++];

        snprintf(p->name, sizeof p->name, "atlas");
        p->n = u->file.modules[COA_ATLAS].committee.n > 0
                   ? (unsigned)u->file.modules[COA_ATLAS].committee.n
                   : MEMBERS_DEFAULT;
    }
    for (unsigned i = 0; rv == 0 && i < u->in.n_with; i++)
        rv = add_organism(u, u->in.with[i]);
    if (rv == 0)
        rv = check_sources(u);
    if (rv == 0 && u->n_parts == 0)
        rv = complain(STATUS_USAGE,
                      "%s: it ships no module that could be run; name an organism with --with",
                      u->in.file);
    return rv;
}

/* --- laying out a new directory
 * -------------------------------------------------------------------------- */

static int new_key(const char *path, struct mk_key *ret)
{
    struct mk_buf b = {0};
    uint8_t seed[32];
    struct mk_fault fault = {{0}};
    FILE *f = fopen("/dev/urandom", "rb");
    bool ok = f != NULL && fread(seed, 1, sizeof seed, f) == sizeof seed;
    int rv;

    if (f != NULL)
        fclose(f);
    if (!ok)
        return complain(STATUS_CHECK, "/dev/urandom: %s", strerror(errno));
    mk_key_from_seed(ret, seed);
    mk_wipe(seed, sizeof seed);
    mk_key_format(ret, &b);
    rv = write_file(path, mk_buf_bytes(&b), 0600, &fault);
    mk_wipe(b.p, b.cap);
    mk_buf_done(&b);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static void sort_members(struct part *p)
{
    for (unsigned i = 1; i < p->n; i++) {
        for (unsigned k = i; k > 0 && mk_peer_cmp(&p->peers[k - 1], &p->peers[k]) > 0; k--) {
            struct mk_peer peer = p->peers[k];
            char address[sizeof p->addresses[0]];

            memcpy(address, p->addresses[k], sizeof address);
            p->peers[k] = p->peers[k - 1];
            memcpy(p->addresses[k], p->addresses[k - 1], sizeof address);
            p->peers[k - 1] = peer;
            memcpy(p->addresses[k - 1], address, sizeof address);
        }
    }
    for (unsigned i = 0; i < p->n; i++)
        p->list[i] = mk_str_of(p->addresses[i]);
}

/** Keys, ports and node files of one component's members. */
static int lay_out_members(struct up *u, struct part *p)
{
    char hex[MK_ID_HEX], name[128];
    int rv = 0;

    for (unsigned i = 0; rv == 0 && i < p->n; i++) {
        struct mk_key key = {0};
        struct mk_buf path = {0}, b = {0};
        uint16_t port = free_port();

        member_name(name, p, i);
        rv = make_dir(below(u, name));
        mk_buf_printf(&path, "%s/node.key%c", below(u, name), 0);
        if (rv == 0)
            rv = new_key((const char *)path.p, &key);
        p->peers[i] = key.peer;
        snprintf(p->addresses[i], sizeof p->addresses[i], "%s@127.0.0.1:%u",
                 mk_peer_hex(&key.peer, hex), port);
        mk_key_done(&key);
        mk_buf_printf(&b, "key = \"node.key\"\nlisten = \"127.0.0.1:%u\"\ndir = \"state\"\n", port);
        if (p->organism == NULL)
            mk_buf_printf(&b,
                          "components = [{ file = \"../local.toml\", component = \"%s\", "
                          "deployment = \"../%s\" }]\n",
                          p->name, p->record);
        else
            mk_buf_printf(
                &b, "components = [{ file = \"../%s\", deployment = \"../%s\", source = '%s' }]\n",
                p->file_name, p->record, p->source);
        mk_buf_clear(&path);
        mk_buf_printf(&path, "%s/node.toml%c", below(u, name), 0);
        if (rv == 0)
            rv = put_file((const char *)path.p, &b);
        mk_buf_done(&path);
        mk_buf_done(&b);
    }
    sort_members(p);
    return rv;
}

static int write_deployment(struct up *u, const struct part *p)
{
    struct mk_deployment d = {
        .stable_id = p->organism != NULL ? p->ids.stable_id : u->ids.modules[0].module_root,
        .deployment = p->organism != NULL ? p->ids.organism_id : u->ids.modules[0].module_id,
        .content_hash = p->organism != NULL ? p->ids.content_hash : u->ids.modules[0].content_hash,
        .version = 1,
        .addresses = {p->list, p->n},
        .operator= u->operator_.peer };
    struct mk_buf b = {0};
    int rv;

    d.roster =
        (struct mk_roster){.deployment = d.deployment, .epoch = 1, .peers = {p->peers, p->n}};
    mk_buf_put_str(&b, "mosaik.deployment.v1");
    mk_encode(&b, &mk_deployment_type, &d);
    b.n -= sizeof d.signature;
    mk_sign(&u->operator_, mk_buf_bytes(&b), &d.signature);
    mk_buf_clear(&b);
    mk_encode(&b, &mk_deployment_type, &d);
    rv = put_file(below(u, p->record), &b);
    mk_buf_done(&b);
    return rv;
}

static const struct part *part_of(const struct up *u, const struct mk_id *stable_id)
{
    for (unsigned i = 0; i < u->n_parts; i++) {
        if (u->parts[i].organism != NULL && mk_id_eq(&u->parts[i].ids.stable_id, stable_id))
            return &u->parts[i];
    }
    return NULL;
}

static int write_organism(struct up *u, const struct part *p)
{
    struct emit_component anchors = {
        .operator_ = u->operator_hex, .committee = p->list, .n_committee = p->n};
    struct mk_buf b = {0};
    int rv;

    emit_organism(&b, &p->organism->config, "price-feed", &anchors);
    rv = put_file(below(u, p->file_name), &b);
    mk_buf_done(&b);
    return rv;
}

/** The file an integrator binds through; read back and compared by its fingerprint. */
static int write_local(struct up *u)
{
    const struct coa_coalition_config *c = &u->file.config;
    struct emit_component *organisms =
        mk_arena_take(&u->arena, (c->organisms.n + 1) * sizeof *organisms);
    struct emit_coalition e = {.config = c, .operator_ = u->operator_hex, .organisms = organisms};
    struct coa_coalition_file back;
    struct mk_id id;
    struct mk_buf b = {0};
    int rv;

    for (size_t i = 0; i < c->organisms.n; i++) {
        const struct part *p = part_of(u, &c->organisms.v[i].stable_id);

        organisms[i].operator_ = u->operator_hex;
        if (p != NULL) {
            organisms[i].config = p->file_name;
            organisms[i].committee = p->list;
            organisms[i].n_committee = p->n;
        }
    }
    e.peers = u->parts[0].list;
    e.n_peers = u->parts[0].n;
    if (u->parts[0].organism == NULL)
        e.atlas = (struct emit_component){.operator_ = u->operator_hex,
                                          .committee = u->parts[0].list,
                                          .n_committee = u->parts[0].n};
    emit_coalition(&b, &e);
    rv = put_file(below(u, "local.toml"), &b);
    mk_buf_done(&b);
    if (rv == 0)
        rv = load_coalition(&back, below(u, "local.toml"));
    if (rv != 0)
        return rv;
    id = coa_coalition_id(&back.config);
    if (!mk_id_eq(&id, &u->ids.coalition_id))
        rv = complain(STATUS_CHECK, "%s: it does not give the same fingerprint as %s",
                      below(u, "local.toml"), u->in.file);
    coa_coalition_file_done(&back);
    return rv;
}

static int lay_out(struct up *u)
{
    struct mk_buf b = {0};
    char hex[MK_ID_HEX];
    int rv = new_key(below(u, "operator.key"), &u->operator_);

    mk_peer_hex(&u->operator_.peer, u->operator_hex);
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++)
        rv = lay_out_members(u, &u->parts[i]);
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++) {
        rv = write_deployment(u, &u->parts[i]);
        if (rv == 0 && u->parts[i].organism != NULL)
            rv = write_organism(u, &u->parts[i]);
    }
    if (rv == 0)
        rv = write_local(u);
    mk_buf_printf(&b, "%s\n", mk_id_hex(&u->ids.coalition_id, hex));
    if (rv == 0)
        rv = put_file(below(u, "coalition.id"), &b); /* last: the directory is whole */
    mk_buf_done(&b);
    return rv;
}

/* --- a directory that is there already
 * ------------------------------------------------------------------------ */

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
    int rv = load_coalition(&local, below(u, "local.toml"));

    if (rv != 0)
        return rv;
    for (unsigned i = 0; rv == 0 && i < u->n_parts; i++) {
        struct part *p = &u->parts[i];
        struct coa_organism_file o;

        if (p->organism == NULL) {
            rv = take_members(u, p, &local.modules[COA_ATLAS].committee);
            continue;
        }
        if (access(below(u, p->file_name), F_OK) != 0) {
            rv = complain(STATUS_USAGE, "%s: it was laid out without %s; use another --dir", u->dir,
                          p->name);
            continue;
        }
        rv = load_organism(&o, below(u, p->file_name));
        if (rv == 0) {
            rv = take_members(u, p, &o.notes.committee);
            coa_organism_file_done(&o);
        }
    }
    coa_coalition_file_done(&local);
    if (rv == 0 && load_key(&u->operator_, below(u, "operator.key"), &fault) != 0)
        rv = complain(STATUS_CHECK, "%s", fault.text);
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

static int open_directory(struct up *u)
{
    struct mk_buf b = {0};
    struct mk_id id;
    char hex[MK_ID_HEX], other[MK_ID_HEX];
    int rv = make_dir(u->dir);

    if (rv == 0)
        rv = hold_directory(u);
    if (rv != 0)
        return rv;
    u->fresh = read_file(below(u, "coalition.id"), &b, NULL) != 0;
    if (!u->fresh && (b.n < 64 || mk_id_unhex(&id, (struct mk_str){(const char *)b.p, 64}) != 0 ||
                      !mk_id_eq(&id, &u->ids.coalition_id)))
        rv = complain(
            STATUS_USAGE, "%s: it belongs to coalition %.64s, not to %s; use another --dir", u->dir,
            b.n >= 64 ? (snprintf(other, sizeof other, "%.64s", (const char *)b.p), other) : "?",
            mk_id_hex(&u->ids.coalition_id, hex));
    mk_buf_done(&b);
    if (rv != 0)
        return rv;
    return u->fresh ? lay_out(u) : take_over(u);
}

/* --- processes
 * -----------------------------------------------------------------------------------------------------
 */

static void said_started(void *arg, struct child *c)
{
    struct up *u = arg;
    json_t *e = event_of("started");
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
    say(u, e, "started    %-20s process %d, peer %.16s", c->name, (int)c->pid, hex);
}

static void said_ended(void *arg, struct child *c)
{
    struct up *u = arg;
    json_t *e = event_of("ended");

    json_object_set_new(e, "member", json_string(c->name));
    json_object_set_new(e, "status", json_integer(c->last_status));
    say(u, e, "ended      %-20s (see %s); it is started again", c->name, c->log_path);
}

static int start_members(struct up *u)
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

            member_name(name, &u->parts[i], k);
            config = mk_arena_str(&u->arena, mk_str_of(below(u, name))).p;
            snprintf(name + strlen(name), sizeof name - strlen(name), "/node.toml");
            config = below(u, name);
            member_name(name, &u->parts[i], k);
            snprintf(name + strlen(name), sizeof name - strlen(name), "/log");
            log = below(u, name);
            member_name(name, &u->parts[i], k);
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

/* --- cards
 * ------------------------------------------------------------------------------------------------------------
 */

static struct atlas_card card_of(struct up *u, const struct coa_atlas_member *m)
{
    const struct part *p = part_of(u, &m->stable_id);
    struct atlas_card c = {.member_id = mk_member_id_of(&m->stable_id),
                           .stable_id = m->stable_id,
                           .kind = m->kind,
                           .role = m->role,
                           .status = {.tag = atlas_status_Active},
                           .version = 1};

    if (p != NULL) {
        c.content_hash = (struct mk_opt_id){true, p->ids.content_hash};
        c.endpoint_hints = (struct atlas_hints){p->list, p->n};
    }
    atlas_card_sign(&c, &u->ids.modules[COA_ATLAS].module_id, &u->operator_);
    return c;
}

static void tend(struct up *u)
{
    children_tend(&u->children, said_ended, said_started, u);
}

/** One card for each catalogue entry; a newer one that is there already stays. */
static int publish_cards(struct up *u, struct agent *a)
{
    struct coa_atlas_members m =
        coa_atlas_catalogue(&u->file.config.lattices, &u->file.config.organisms, &u->arena);
    struct component atlas;
    struct mk_bond *bond;
    struct mk_fault fault = {{0}};
    int rv;

    if (u->file.config.atlas == NULL || (!u->fresh && m.n > 0))
        return 0;
    rv = agent_find(a, "atlas", &atlas);
    if (rv == 0 && mk_bond_open(a->net, &bond, &atlas.reference, &fault) != 0)
        rv = complain(STATUS_CHECK, "%s", fault.text);
    for (size_t i = 0; rv == 0 && i < m.n && !stopping; i++) {
        struct atlas_card c = card_of(u, &m.v[i]);
        int err = atlas_publish_wait(bond, &c, PUBLISH_MS, &fault);

        tend(u);
        if (err != 0)
            rv = complain(status_of(err), "card of %.*s: %s", (int)m.v[i].role.n, m.v[i].role.p,
                          fault.text);
        if (i == 0)
            u->first_card_ms = monotonic_ms() - u->started_ms;
    }
    return rv;
}

/* --- running
 * -----------------------------------------------------------------------------------------------------------
 */

/** Waits until the committee of each part has a leader that answers: by a bond that is ready. */
static int wait_ready(struct up *u, struct agent *a)
{
    for (unsigned i = 0; i < u->n_parts && !stopping; i++) {
        struct component c;
        struct mk_bond *bond;
        struct mk_fault fault = {{0}};
        char hex[MK_ID_HEX];
        const char *name =
            u->parts[i].organism != NULL ? mk_id_hex(&u->parts[i].ids.stable_id, hex) : "atlas";

        if (u->parts[i].organism != NULL && part_of(u, &u->parts[i].ids.stable_id) != NULL) {
            struct component *v;
            size_t n = agent_components(a, &v);
            bool referenced = false;

            for (size_t k = 0; k < n; k++)
                referenced |= mk_id_eq(&v[k].reference.stable_id, &u->parts[i].ids.stable_id);
            if (!referenced)
                continue; /* runs beside the coalition, which does not name it */
        }
        if (agent_find(a, name, &c) != 0 ||
            mk_bond_open(a->net, &bond, &c.reference, &fault) != 0 ||
            mk_bond_wait(bond, PUBLISH_MS, &fault) != 0)
            return complain(STATUS_TIMEOUT, "%s: %s", u->parts[i].name, fault.text);
        mk_bond_close(bond);
        tend(u);
    }
    return 0;
}

/** Roles of the file's organisms that nobody runs here: whole, as a list and as a text. */
static json_t *absent_of(const struct up *u, struct mk_buf *text)
{
    const struct coa_organism_refs *organisms = &u->file.config.organisms;
    json_t *roles = json_array();

    for (size_t i = 0; i < organisms->n; i++) {
        if (part_of(u, &organisms->v[i].stable_id) != NULL)
            continue;
        mk_buf_printf(text, "%s%.*s", text->n > 0 ? ", " : "", (int)organisms->v[i].role.n,
                      organisms->v[i].role.p);
        json_array_append_new(roles, json_text(organisms->v[i].role));
    }
    return roles;
}

static void say_ready(struct up *u)
{
    const char *local = below(u, "local.toml");
    json_t *e = event_of("ready"), *roles;
    struct mk_buf advice = {0}, absent = {0};
    char hex[MK_ID_HEX];
    uint64_t ms = monotonic_ms() - u->started_ms;

    mk_id_hex(&u->ids.coalition_id, hex);
    roles = absent_of(u, &absent);
    mk_buf_printf(&advice, "  coalition status %s\n", local);
    if (absent.n == 0)
        mk_buf_printf(&advice, "  coalition bind %s\n", local);
    if (u->file.config.atlas != NULL)
        mk_buf_printf(&advice, "  coalition atlas list %s\n", local);
    if (absent.n > 0)
        mk_buf_printf(
            &advice,
            "\nnot run here: %.*s. With --with ORGANISM.toml, in another --dir, it would be; "
            "until then\n`coalition bind` finds nobody there and ends with 1.\n",
            (int)absent.n, (const char *)absent.p);
    json_object_set_new(e, "coalition_id", json_string(hex));
    json_object_set_new(e, "file", json_string(local));
    json_object_set_new(e, "ms", json_integer((json_int_t)ms));
    json_object_set_new(e, "first_card_ms", json_integer((json_int_t)u->first_card_ms));
    json_object_set_new(e, "absent", roles);
    say(u, e, "ready      after %llu ms\n\n%.*s\nCtrl-C stops it.", (unsigned long long)ms,
        (int)advice.n, (const char *)advice.p);
    mk_buf_done(&advice);
    mk_buf_done(&absent);
}

static int run(struct up *u)
{
    struct agent a;
    int rv;

    u->started_ms = monotonic_ms();
    rv = start_members(u);
    if (rv == 0)
        rv = agent_open(&a, below(u, "local.toml"), NULL, NULL, 0);
    if (rv == 0) {
        rv = publish_cards(u, &a);
        if (rv == 0)
            rv = wait_ready(u, &a);
        if (rv == 0 && !stopping)
            say_ready(u);
        while (rv == 0 && !stopping) {
            mk_loop_turn(a.loop, 200);
            tend(u);
        }
        agent_close(&a);
    }
    children_stop(&u->children, 10000);
    if (stopping)
        say(u, event_of("stopped"), "stopped");
    return stopping ? STATUS_DONE : rv;
}

/* --- the command
 * ------------------------------------------------------------------------------------------------------------
 */

static const struct argp_option options[] = {
    {"with", 'w', "FILE", 0, "An organism file to run too; may be repeated", 0},
    {"source", 's', "NAME=SOURCE", 0,
     "Where an organism reads: - (standard input), file:PATH or exec:COMMAND; by its name", 0},
    {"dir", 'd', "DIR", 0, "Where everything is kept (coalition-<instance name>)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object an event", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'w':
        if (in->n_with == WITH_MAX)
            wrong_usage(state, "--with: at most %u", WITH_MAX);
        in->with[in->n_with++] = arg;
        return 0;
    case 's':
        if (in->n_sources == WITH_MAX || strchr(arg, '=') == NULL || strchr(arg, '\'') != NULL)
            wrong_usage(state, "--source: NAME=SOURCE is wanted, without single quotes");
        in->sources[in->n_sources++] = arg;
        return 0;
    case 'd':
        in->dir = arg;
        return 0;
    case 'j':
        in->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->file != NULL)
            wrong_usage(state, "too many arguments");
        in->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->file == NULL)
            wrong_usage(state, "a coalition file is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int choose_dir(struct up *u)
{
    char name[160];

    snprintf(name, sizeof name, "coalition-%.128s", u->file.config.instance_name.p);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == '/')
            *c = '_';
    }
    if (snprintf(u->dir, sizeof u->dir, "%s", u->in.dir != NULL ? u->in.dir : name) >=
        PATH_MAX - 300)
        return complain(STATUS_USAGE, "--dir: the path is too long");
    return 0;
}

static void name_files(struct up *u)
{
    for (unsigned i = 0; i < u->n_parts; i++) {
        struct part *p = &u->parts[i];
        struct mk_buf b = {0};

        snprintf(p->record, sizeof p->record, "%s.deployment", p->name);
        mk_buf_printf(&b, "%s.toml", p->name);
        p->file_name = mk_arena_str(&u->arena, (struct mk_str){(const char *)b.p, b.n}).p;
        mk_buf_done(&b);
    }
}

int cmd_up(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Run every committee that the coalition file ships on this machine, as real "
        "processes over TLS on loopback, with keys and operators made for it. DIR/local.toml "
        "is the file to bind through.",
        NULL,
        NULL,
        NULL};
    struct sigaction sa = {.sa_handler = on_signal};
    struct up *u = mk_alloc(sizeof *u);
    char hex[MK_ID_HEX];
    json_t *e;
    int rv;

    u->dir_fd = -1;
    parse_options(&argp, argc, argv, &u->in);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    rv = load_coalition(&u->file, u->in.file);
    if (rv == 0) {
        coa_coalition_derive(&u->file.config, &u->ids, NULL);
        rv = choose_dir(u);
    }
    if (rv == 0)
        rv = collect_parts(u);
    name_files(u);
    if (rv == 0)
        rv = open_directory(u);
    if (rv == 0) {
        e = event_of("coalition");
        json_object_set_new(e, "coalition_id", json_string(mk_id_hex(&u->ids.coalition_id, hex)));
        json_object_set_new(e, "dir", json_string(u->dir));
        say(u, e, "coalition  %s  %.*s\ndirectory  %s", hex, (int)u->file.config.instance_name.n,
            u->file.config.instance_name.p, u->dir);
        rv = run(u);
    }
    for (unsigned i = 0; i < u->n_parts; i++) {
        if (u->parts[i].organism != NULL)
            coa_organism_file_done(u->parts[i].organism);
    }
    children_free(&u->children);
    if (u->dir_fd >= 0)
        close(u->dir_fd);
    coa_coalition_file_done(&u->file);
    mk_key_done(&u->operator_);
    mk_arena_done(&u->arena);
    mk_free(u);
    return rv;
}
