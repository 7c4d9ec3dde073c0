/* cmd_node.c - `coalition node CONFIG`: one node in the foreground. */
#include "attest.h"
#include "components.h"
#include "program.h"

#include "atlas/atlas.h"
#include "oracle/oracle.h"
#include "price-feed/price_feed.h"
#include <coalition/bind.h>
#include <mosaik/standing.h>
#include <mosaik/loop.h>
#include <mosaik/node.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define YIELD_MS 2000u /* to hand over leadership before it stops */

struct input {
    const char *config;
    bool found, join, set_aside, log_json;
};

struct running {
    struct coa_node_file file;
    const char *config;
    struct mk_arena arena;
    struct mk_key key;
    struct mk_env *loop;
    struct mk_node *node;
    struct attest attest; /* empty without [attest] */
    bool found, join, set_aside, log_json;
    struct component_use use;            /* what is done with each component */
    bool drives;                         /* components get their drivers */
    struct mk_fault failed;              /* why the node ended by itself */
    struct stat tickets[MK_TICKETS_MAX]; /* as they were when they were read */
    bool stop;
};

static void log_json(json_t *taken)
{
    char *text = json_dumps(taken, JSON_COMPACT);

    fprintf(stderr, "%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(taken);
}

/** For people and for machines: `component: text`, or one JSON object. */
static void log_line(void *arg, const struct mk_log_line *line)
{
    const struct running *r = arg;
    struct timespec now;

    if (!r->log_json) {
        fprintf(stderr, "%.*s%s%s\n", (int)line->component.n, line->component.p,
                line->component.n > 0 ? ": " : "", line->text);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    log_json(json_pack("{s:I, s:s, s:s, s:s%, s:s}", "unix_ms",
                       (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, "level",
                       line->warning ? "warning" : "info", "event", line->event, "component",
                       line->component.p != NULL ? line->component.p : "", line->component.n,
                       "text", line->text));
}

static void say(struct running *r, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct running *r, const char *event, const char *fmt, ...)
{
    struct mk_log_line line = {.event = event};
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    line.text = text;
    log_line(r, &line);
}

static void warn(struct running *r, const char *event, const char *what, const char *why)
{
    struct mk_log_line line = {.event = event, .warning = true};
    char text[512];

    snprintf(text, sizeof text, "%s: %.400s", what, why);
    line.text = text;
    log_line(r, &line);
}

static void stop_cb(void *arg, int signo)
{
    struct running *r = arg;

    (void)signo;
    r->stop = true;
}

static void failed_cb(void *arg, const char *why)
{
    struct running *r = arg;

    snprintf(r->failed.text, sizeof r->failed.text, "%s", why);
    r->stop = true;
}

static bool is_stopped(void *arg)
{
    return ((struct running *)arg)->stop;
}

/** path as seen from the folder of the node file; lent from the arena. */
static const char *beside(struct running *r, struct mk_str path)
{
    const char *slash = strrchr(r->config, '/');
    struct mk_buf b = {0};
    const char *joined;

    if (path.n > 0 && path.p[0] != '/' && slash != NULL)
        mk_buf_put(&b, r->config, (size_t)(slash - r->config) + 1);
    mk_buf_put(&b, path.p, path.n);
    joined = mk_arena_str(&r->arena, (struct mk_str){(const char *)b.p, b.n}).p;
    mk_buf_done(&b);
    return joined;
}

static int load_bytes(struct running *r, struct mk_str path, struct mk_bytes *ret,
                      struct mk_arena *arena, struct mk_fault *fault)
{
    struct mk_buf b = {0};
    int rv = read_named(beside(r, path), &b, fault);

    if (rv == 0)
        *ret = MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n);
    mk_buf_done(&b);
    return rv;
}

/* --- tickets, at the start and when their files change --------------------------------------- */

#define TICKETS_LOOK_MS 2000u

static int read_tickets(struct running *r, const struct mk_bytes **ret, struct mk_arena *arena,
                        struct mk_fault *fault)
{
    struct mk_bytes *v = mk_arena_take(arena, (r->file.n_tickets + 1) * sizeof *v);
    int rv = 0;

    for (size_t i = 0; i < r->file.n_tickets && rv == 0; i++) {
        if (stat(beside(r, r->file.tickets[i]), &r->tickets[i]) != 0)
            memset(&r->tickets[i], 0, sizeof r->tickets[i]); /* reading it says why */
        rv = load_bytes(r, r->file.tickets[i], &v[i], arena, fault);
    }
    *ret = v;
    return rv;
}

static bool tickets_changed(struct running *r)
{
    for (size_t i = 0; i < r->file.n_tickets; i++) {
        const struct stat *was = &r->tickets[i];
        struct stat is;

        if (stat(beside(r, r->file.tickets[i]), &is) != 0)
            continue; /* it is being replaced, or gone: what we have counts on */
        if (is.st_ino != was->st_ino || is.st_size != was->st_size ||
            is.st_mtim.tv_sec != was->st_mtim.tv_sec || is.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
            return true;
    }
    return false;
}

/** All of the new ones or none of them: with a file that is no ticket, what was shown is. */
static void renew_tickets(struct running *r)
{
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    const struct mk_bytes *tickets;
    int rv = read_tickets(r, &tickets, &arena, &fault);

    if (rv == 0)
        rv = mk_network_renew(mk_node_network(r->node), tickets, r->file.n_tickets, &fault);
    if (rv == 0)
        say(r, "tickets", "the tickets' files changed: the new ones are shown");
    else
        warn(r, "tickets", "the tickets' files changed, and the old ones go on", fault.text);
    mk_arena_done(&arena);
}

static void run_until_stopped(struct running *r)
{
    while (!mk_loop_run_until(r->loop, is_stopped, r, TICKETS_LOOK_MS)) {
        if (tickets_changed(r))
            renew_tickets(r);
    }
}

static void put_addresses(struct running *r, struct mk_component_options *o,
                          const struct coa_contacts *c)
{
    struct mk_str *v = mk_arena_take(&r->arena, (c->n + 1) * sizeof *v);

    for (size_t i = 0; i < c->n; i++)
        v[i] = mk_arena_str(&r->arena, c->v[i].address);
    o->addresses = v;
    o->n_addresses = c->n;
}

/** What the node file says, else what is published beside the component where that can be kept to
 * the letter; a text for people ("a week of routes") promises nothing here. */
static void put_retention(struct running *r, const struct coa_node_component *nc,
                          const struct coa_notes *notes, struct mk_component_options *o)
{
    struct mk_str text = nc->retention.p != NULL ? nc->retention : notes->retention;
    struct mk_retention *kept = mk_arena_take(&r->arena, sizeof *kept);

    if (text.p != NULL && mk_retention_parse(kept, text, NULL) == 0)
        o->retain = kept;
}

static struct mk_id inner_of(const struct coa_node_component *nc, const struct mk_id *deployment)
{
    return nc->private_ ? mk_derive(deployment, MK_STR("private")) : MK_ZERO_ID;
}

/* --- a module of a coalition ------------------------------------------------------------- */

static int compare_operators(const void *a, const void *b)
{
    const struct mk_member_operator *x = a, *y = b;

    return mk_id_cmp(&x->member, &y->member);
}

/** What Atlas is founded with: the operators that the file states. */
static struct mk_founding atlas_founding(struct running *r, const struct coa_coalition_file *f,
                                         const struct mk_roster *roster)
{
    const struct coa_coalition_config *c = &f->config;
    struct mk_member_operator *v =
        mk_arena_take(&r->arena, (c->lattices.n + c->organisms.n + 1) * sizeof *v);
    struct mk_founding founding = {
        .deployment = roster->deployment, .roster = *roster, .default_operator = f->operator};
    size_t n = 0;

    for (size_t i = 0; i < c->lattices.n; i++) {
        if (f->lattices[i].operator.some)
            v[n++] =
                (struct mk_member_operator){c->lattices.v[i].stable_id, f->lattices[i].operator.v };
    }
    for (size_t i = 0; i < c->organisms.n; i++) {
        const struct coa_notes *o = &f->organisms[i];

        if (o->operator.some)
            v[n++] = (struct mk_member_operator){c->organisms.v[i].stable_id, o->operator.v };
    }
    qsort(v, n, sizeof *v, compare_operators);
    founding.operators = (struct mk_member_operators){v, n};
    return founding;
}

/** A machine for the module that the node file names; kind and first roster. */
static int open_module(struct running *r, const struct coa_node_component *nc,
                       const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                       enum coa_module_kind *ret_kind, struct mk_roster *ret_roster,
                       struct mk_machine **ret, struct mk_fault *fault)
{
    if (coa_module_kind_of(ret_kind, nc->component) != 0 || *ret_kind != COA_ATLAS)
        return mk_fault(fault, MK_ENOTSUP, "%s: component \"%.*s\": this build runs atlas alone",
                        r->config, (int)nc->component.n, nc->component.p);
    if (f->config.atlas == NULL || !coa_first_roster(f, ids, COA_ATLAS, ret_roster, &r->arena))
        return mk_fault(fault, MK_EINVALID,
                        "%s: the coalition file ships no atlas, or states no committee for it",
                        r->config);
    return atlas_machine_new(ret, f->config.atlas->body.content, fault);
}

/** Organisms whose cards a component may judge by: those that the coalition file says how to bind.
 */
static int follow_organisms(struct running *r, const struct coa_coalition_file *f,
                            const struct mk_acl_composition *acl, struct mk_fault *fault)
{
    int rv = 0;

    for (size_t i = 0; i < acl->clauses.n && rv == 0; i++) {
        const struct mk_acl_clause *c = &acl->clauses.v[i];
        const struct mk_id *named =
            c->tag == mk_acl_clause_ReputationFloor    ? &c->u.reputation_floor.organism
            : c->tag == mk_acl_clause_MarketSettlement ? &c->u.market_settlement.organism
                                                       : NULL;

        for (size_t j = 0; named != NULL && j < f->config.organisms.n && rv == 0; j++) {
            struct mk_reference ref;

            if (!mk_id_eq(&f->config.organisms.v[j].stable_id, named))
                continue;
            coa_organism_binding(f, j, &ref, &r->arena);
            rv = mk_network_follow(mk_node_network(r->node), &ref, fault);
        }
    }
    return rv;
}

static int add_module(struct running *r, const struct coa_node_component *nc,
                      struct mk_component_options *o, struct mk_fault *fault)
{
    struct coa_coalition_file *f = mk_arena_take(&r->arena, sizeof *f);
    struct coa_coalition_ids ids;
    struct mk_roster roster;
    struct mk_founding founding;
    enum coa_module_kind kind;
    int rv = load_coalition(f, beside(r, nc->file));

    if (rv != 0)
        return MK_EMALFORMED;
    coa_coalition_derive(&f->config, &ids, NULL);
    if (r->node != NULL)
        rv = coa_know_issuers(f, &ids, mk_network_issuers(mk_node_network(r->node)), fault);
    if (rv == 0)
        rv = open_module(r, nc, f, &ids, &kind, &roster, &o->machine, fault);
    if (rv == 0) {
        founding = atlas_founding(r, f, &roster);
        o->label = nc->component;
        o->stable_id = ids.modules[kind].module_root;
        o->content_hash = ids.modules[kind].content_hash;
        o->deployment = ids.modules[kind].module_id;
        o->roster = &roster;
        o->founding = &founding;
        o->acl = &f->config.atlas->body.acl;
        if (r->node != NULL)
            rv = follow_organisms(r, f, o->acl, fault);
        o->own_issuer = f->config.ticket_issuer != NULL ? ids.tickets_root : MK_ZERO_ID;
        put_addresses(r, o, &f->modules[kind].committee);
        put_retention(r, nc, &f->modules[kind], o);
        o->inner = inner_of(nc, &o->deployment);
        if (rv == 0)
            rv = r->use.use(r->use.arg, o, fault);
    }
    coa_coalition_file_done(f);
    return rv;
}

/* --- an organism ---------------------------------------------------------------------------- */

/** The machine, and the driver where one is wanted, of an organism of a known content type. */
static int open_organism(struct running *r, const struct coa_node_component *nc,
                         const struct coa_organism_file *f, const struct mk_id *stable_id,
                         struct mk_component_options *o, struct mk_fault *fault)
{
    const char *source = nc->source.p != NULL ? mk_arena_str(&r->arena, nc->source).p : "-";
    bool oracle = f->content_type.p != NULL && mk_str_is(f->content_type, "oracle");
    int rv;

    if (oracle)
        rv = oracle_machine_new(&o->machine, f->config.content, fault);
    else if (f->content_type.p != NULL && mk_str_is(f->content_type, "price-feed"))
        rv = price_feed_machine_new(&o->machine, f->config.content, stable_id, fault);
    else
        rv = mk_fault(fault, MK_ENOTSUP,
                      "%.*s: this build runs organisms of content type price-feed and oracle",
                      (int)nc->file.n, nc->file.p);
    if (rv != 0 || !r->drives || nc->replica)
        return rv;
    return oracle ? oracle_driver_new(&o->driver, f->config.content, fault)
                  : price_feed_driver_new(&o->driver, f->config.content, source, fault);
}

static int add_organism(struct running *r, const struct coa_node_component *nc,
                        struct mk_component_options *o, struct mk_fault *fault)
{
    struct coa_organism_file *f = mk_arena_take(&r->arena, sizeof *f);
    struct coa_organism_ids ids;
    struct mk_founding founding;
    struct mk_roster roster;
    int rv = load_organism(f, beside(r, nc->file));

    if (rv != 0)
        return MK_EMALFORMED;
    coa_organism_derive(&f->config, &ids, NULL);
    if (!coa_organism_first_roster(f, &ids.organism_id, &roster, &r->arena))
        rv = mk_fault(fault, MK_EINVALID, "%.*s: the organism file states no committee",
                      (int)nc->file.n, nc->file.p);
    else
        rv = open_organism(r, nc, f, &ids.stable_id, o, fault);
    if (rv == 0) {
        o->label = f->config.name;
        o->stable_id = ids.stable_id;
        o->content_hash = ids.content_hash;
        o->deployment = ids.organism_id;
        o->roster = &roster;
        founding = (struct mk_founding){.deployment = roster.deployment,
                                        .roster = roster,
                                        .default_operator = f->notes.operator};
        o->founding = &founding;
        o->acl = &f->config.acl;
        put_addresses(r, o, &f->notes.committee);
        put_retention(r, nc, &f->notes, o);
        o->inner = inner_of(nc, &o->deployment);
        rv = r->use.use(r->use.arg, o, fault);
    }
    coa_organism_file_done(f);
    return rv;
}

/* --- the node --------------------------------------------------------------------------------- */

static int add_components(struct running *r, struct mk_fault *fault)
{
    for (size_t i = 0; i < r->file.n_components; i++) {
        const struct coa_node_component *nc = &r->file.components[i];
        struct mk_component_options o = {.found = r->found,
                                         .join = r->join,
                                         .replica = nc->replica,
                                         .read_leases = nc->read_leases};
        int rv = 0;

        if (nc->deployment.p != NULL)
            rv = load_bytes(r, nc->deployment, &o.record, &r->arena, fault);
        if (rv == 0)
            rv = nc->component.p != NULL ? add_module(r, nc, &o, fault)
                                         : add_organism(r, nc, &o, fault);
        if (rv != 0)
            return rv;
    }
    return 0;
}

static int add_to_node(void *arg, struct mk_component_options *o, struct mk_fault *fault)
{
    struct running *r = arg;

    return mk_node_add(r->node, o, fault);
}

int each_component(const char *config, const struct coa_node_file *file, struct component_use u,
                   struct mk_fault *fault)
{
    struct running r = {.file = *file, .config = config, .use = u};
    int rv;

    rv = add_components(&r, fault);
    mk_arena_done(&r.arena);
    return rv;
}

static int open_node(struct running *r, struct mk_fault *fault)
{
    const struct mk_bytes *tickets;
    struct mk_str *hints = mk_arena_take(&r->arena, (r->file.peers.n + 1) * sizeof *hints);
    struct mk_node_options o = {.key = &r->key,
                                .listen = r->file.listen.p,
                                .advertise = r->file.advertise.p,
                                .hints = hints,
                                .n_hints = r->file.peers.n,
                                .lan = r->file.lan.p,
                                .tags = r->file.tags,
                                .n_tags = r->file.n_tags,
                                .n_tickets = r->file.n_tickets,
                                .http = r->file.http.p,
                                .log = log_line,
                                .log_arg = r,
                                .failed = failed_cb,
                                .failed_arg = r};
    int rv;

    for (size_t i = 0; i < r->file.peers.n; i++)
        hints[i] = r->file.peers.v[i].address;
    rv = read_tickets(r, &tickets, &r->arena, fault);
    if (rv != 0)
        return rv;
    o.tickets = tickets;
    if (r->file.attest != NULL) {
        rv = attest_open(&r->attest, r->file.attest, r->config, /* of_node= */ true, fault);
        if (rv != 0)
            return rv;
        o.witness = &r->attest.options;
    }
    rv = load_key(&r->key, beside(r, r->file.key), fault);
    if (rv == 0)
        rv = mk_loop_open(&r->loop, beside(r, r->file.dir), fault);
    if (rv == 0)
        rv = mk_node_open(r->loop, &r->node, &o, fault);
    if (rv == MK_EINUSE) { /* the store knows no name of its directory */
        struct mk_fault why = *fault;

        mk_fault(fault, rv, "%s: %s", beside(r, r->file.dir), why.text);
    }
    return rv;
}

static void close_all(struct running *r)
{
    mk_node_close(r->node);
    if (r->loop != NULL)
        mk_loop_turn(r->loop, 0); /* what closing left for the end of a turn */
    mk_loop_free(r->loop);
    attest_done(&r->attest);
    mk_key_done(&r->key);
    r->node = NULL;
    r->loop = NULL;
}

static int open_all(struct running *r, struct mk_fault *fault)
{
    int rv = open_node(r, fault);

    return rv == 0 ? add_components(r, fault) : rv;
}

/* The log or a snapshot is damaged, and we are told to begin anew in that case. */
static int open_anew(struct running *r, struct mk_fault *fault)
{
    struct mk_fault why = *fault;
    int rv;

    close_all(r);
    rv = mk_loop_open(&r->loop, beside(r, r->file.dir), fault);
    if (rv == 0)
        rv = mk_node_set_aside(r->loop, why.text, fault);
    mk_loop_free(r->loop);
    r->loop = NULL;
    return rv == 0 ? open_all(r, fault) : rv;
}

static int run_node(struct running *r)
{
    struct mk_fault fault = {{0}};
    char hex[MK_ID_HEX];
    int rv;

    r->use = (struct component_use){add_to_node, r};
    r->drives = true;
    rv = open_all(r, &fault);
    if (rv == MK_ECORRUPT && r->set_aside)
        rv = open_anew(r, &fault);
    if (rv == 0) {
        mk_loop_on_signal(r->loop, stop_cb, r);
        say(r, "listening", "node %s listens on %.*s:%u", mk_peer_hex(&r->key.peer, hex),
            (int)(strrchr(r->file.listen.p, ':') - r->file.listen.p), r->file.listen.p,
            mk_node_port(r->node));
        if (r->file.http.p != NULL)
            say(r, "http", "operators' HTTP on port %u", mk_node_http_port(r->node));
        run_until_stopped(r);
        say(r, "stopping", "node %s stops", hex);
        if (r->failed.text[0] == '\0')
            mk_node_yield(r->node, YIELD_MS);
    }
    close_all(r);
    if (rv == 0 && r->failed.text[0] != '\0')
        return complain(STATUS_CHECK, "%s", r->failed.text);
    if (rv == 0)
        return STATUS_DONE;
    if (rv == MK_ECORRUPT && !r->set_aside)
        return complain(
            status_of(rv),
            "%s\nwhile a majority of the other members is well: start this one once with "
            "--set-aside, which puts its log into %s/damaged; they fill it again",
            fault.text, beside(r, r->file.dir));
    return fault.text[0] != '\0' ? complain_of(rv, &fault) : (int)status_of(rv);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'f':
        in->found = true;
        return 0;
    case 'j':
        in->join = true;
        return 0;
    case 'l':
        if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
            wrong_usage(state, "--log is \"%s\"; it must be text or json", arg);
        in->log_json = arg[0] == 'j';
        return 0;
    case 'a':
        in->set_aside = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->config != NULL)
            wrong_usage(state, "too many arguments");
        in->config = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->config == NULL)
            wrong_usage(state, "a node file is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A shell's usual 1,024 are fewer than the links that a node may have (MK_NET_LINKS_MAX). */
static void use_all_descriptors(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &l); /* what was there goes on to count */
}

int cmd_node(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"found", 'f', NULL, 0, "Found the committees that are new: once, on every first member",
         0},
        {"join", 'j', NULL, 0,
         "Run a member that its committee's first roster does not name: a later one will", 0},
        {"log", 'l', "FORMAT", 0, "The log's lines: text, or json (one object a line)", 0},
        {"set-aside", 'a', NULL, 0,
         "If the log is damaged, put it away and begin anew from the other members: only while a "
         "majority of each committee is well",
         0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "CONFIG",
        "Run one node in the foreground: its key, its listen address, the components "
        "whose committees it is on. Ends on SIGINT or SIGTERM.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct running r = {0};
    struct mk_buf b = {0};
    struct mk_fault fault = {{0}};
    int rv;

    parse_options(&argp, argc, argv, &in);
    use_all_descriptors();
    r.config = in.config;
    r.found = in.found;
    r.join = in.join;
    r.log_json = in.log_json;
    r.set_aside = in.set_aside;
    rv = read_file(in.config, &b, &fault);
    if (rv == 0)
        rv = coa_node_file_parse(&r.file, in.config, mk_buf_bytes(&b), &fault);
    mk_buf_done(&b);
    if (rv != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    rv = run_node(&r);
    coa_node_file_done(&r.file);
    mk_arena_done(&r.arena);
    return rv;
}
