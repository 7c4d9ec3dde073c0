/* cmd_bind.c - `coalition bind FILE...`: bind as an integrator and say, surface by surface, what
 * was admitted, and for what was not, which rule refused. */
#include "agent.h"

#include <mosaik/retention.h>
#include <mosaik/feed.h>
#include <mosaik/map.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 32u
#define READ_MS                                                                      \
    3000u /* a linked member answers a reader at once; it may wait for a certificate \
           */

struct input {
    char *files[FILES_MAX];
    unsigned n_files;
    struct reach reach;
    bool write, json;
};

static const struct argp_option options[] = {
    OPTION_KEY,
    OPTION_TICKET,
    OPTION_ATTEST,
    {"write", 'w', NULL, 0, "Ask for admission to write, too", 0},
    OPTION_TIMEOUT("Seconds for each component (10)"),
    OPTION_JSON("Print one JSON object"),
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'w':
        in->write = true;
        return 0;
    case 'j':
        in->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->n_files == FILES_MAX)
            wrong_usage(state, "at most %u files", FILES_MAX);
        in->files[in->n_files++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->n_files == 0)
            wrong_usage(state, "a coalition file is missing");
        return 0;
    default:
        return parse_reach(key, arg, state, &in->reach);
    }
}

/* --- one surface ------------------------------------------------------------------------ */

struct tried {
    bool done;
    char text[420];
};

static void stream_item(struct mk_feed *f, uint64_t index, struct mk_bytes item)
{
    struct tried *t = mk_feed_owner(f);

    (void)index;
    (void)item;
    t->done = true;
}

static void stream_ended(struct mk_feed *f, int status, const struct mk_fault *fault)
{
    struct tried *t = mk_feed_owner(f);

    snprintf(t->text, sizeof t->text, "%s", fault != NULL ? fault->text : mk_strerror(status));
    t->done = true;
}

static bool tried_done(void *arg)
{
    return ((struct tried *)arg)->done;
}

/** "admitted", or which rule refused. */
static void try_read(struct agent *a, struct mk_bond *bond, const struct mk_surface_spec *spec,
                     struct tried *t)
{
    static const struct mk_feed_cbs cbs = {.item = stream_item, .ended = stream_ended};
    struct mk_fault fault = {{0}};
    struct mk_str said;
    struct mk_feed *f;
    struct mk_map *m;

    if (mk_surface_keyed(spec->kind)) {
        mk_map_open(bond, &m, spec, NULL, NULL);
        if (mk_map_wait(m, 0, READ_MS, &fault) != 0)
            snprintf(t->text, sizeof t->text, "%s", fault.text);
        mk_map_close(m);
    } else {
        mk_feed_open(bond, &f, spec, &(struct mk_feed_options){.from = MK_FEED_OLDEST}, &cbs, t);
        /* No item within the time is no refusal: the stream may be silent. */
        mk_loop_run_until(a->loop, tried_done, t, READ_MS);
        if (!t->done && mk_bond_said(bond, 0, &said))
            snprintf(t->text, sizeof t->text, "%.*s", (int)said.n, said.p);
        mk_feed_close(f);
    }
    if (t->text[0] == '\0')
        snprintf(t->text, sizeof t->text, "admitted");
}

/** By an empty command; a query would not tell, for who may not write may still ask. */
static void try_write(struct mk_bond *bond, struct tried *t)
{
    struct mk_arena arena = {0};
    struct mk_outcome outcome;
    struct mk_fault fault = {{0}};
    int rv = mk_execute_wait(bond, &outcome, MK_BYTES(NULL, 0), MK_STEP_COMMITTED, READ_MS, &arena,
                             &fault);
    bool machine = rv == MK_EREFUSED && strstr(fault.text, "clause ") == NULL;

    /* Whatever the machine thinks of an empty command: it came past the door. */
    if (rv == 0 || rv == MK_ESTALE || machine)
        snprintf(t->text, sizeof t->text, "admitted");
    else
        snprintf(t->text, sizeof t->text, "%s",
                 fault.text[0] != '\0' ? fault.text : mk_strerror(rv));
    mk_arena_done(&arena);
}

/* --- one component -------------------------------------------------------------------------- */

static const char *const state_names[] = {"resolving", "connecting", "ready", "failed"};

/** What the member that reaches back furthest promises and still has; null when none says. */
static json_t *retention_json(struct mk_bond *bond, const struct mk_surface_spec *spec)
{
    struct mk_retained v[MK_ROSTER_MAX];
    size_t n = 0;

    if (mk_retention_wait(bond, spec, READ_MS, v, &n, NULL) != 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:i}", "oldest", (json_int_t)v[0].oldest, "commits",
                     (json_int_t)v[0].promised.commits, "ms", (json_int_t)v[0].promised.ms, "bytes",
                     (json_int_t)v[0].promised.bytes, "members", (int)n);
}

static json_t *surfaces_json(struct agent *a, struct mk_bond *bond, const struct component *c,
                             const struct input *in)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < c->n_surfaces; i++) {
        struct mk_id id = mk_surface_id(&c->surfaces[i], &c->reference.stable_id);
        struct tried t = {0}, w = {0};
        json_t *s = json_object();

        try_read(a, bond, &c->surfaces[i], &t);
        json_object_set_new(s, "name", json_string(c->surfaces[i].name));
        json_object_set_new(s, "kind", json_string(mk_surface_kind_name(c->surfaces[i].kind)));
        json_object_set_new(s, "surface", json_id(&id));
        json_object_set_new(s, "retention", retention_json(bond, &c->surfaces[i]));
        json_object_set_new(s, "read", json_string(t.text));
        if (in->write)
            try_write(bond, &w);
        json_object_set_new(s, "write", in->write ? json_string(w.text) : json_null());
        json_array_append_new(list, s);
    }
    for (unsigned i = 0; i < c->n_unknown; i++) {
        struct mk_id id = coa_surface_id_of(&c->unknown[i], &c->reference.stable_id);

        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:n, s:o, s:n}", "name", json_text(c->unknown[i].name),
                            "kind", json_text(c->unknown[i].kind), "surface", json_id(&id),
                            "retention", "read",
                            json_sprintf("not tried: its types, %.*s, are none of this build's",
                                         (int)c->unknown[i].layout.n, c->unknown[i].layout.p),
                            "write"));
    }
    return list;
}

/** Why a component that is bound shows no surface; empty where it does. */
static const char *no_surface(const struct component *c)
{
    if (c->n_surfaces + c->n_unknown > 0)
        return "";
    return c->organism == NULL && !c->is_module
               ? "no surface is known here: the coalition file has no `config` of it"
               : "its file declares no surface";
}

/** *ret_status: 0, or the exit status that it deserves. */
static json_t *component_json(struct agent *a, const struct component *c, const struct input *in,
                              int *ret_status)
{
    struct mk_fault fault = {{0}};
    struct mk_bond_status st = {0};
    struct mk_bond *bond = NULL;
    json_t *o = json_object();
    int rv = mk_bond_open(a->net, &bond, &c->reference, &fault);

    json_object_set_new(o, "component", json_text(c->reference.label));
    json_object_set_new(o, "stable_id", json_id(&c->reference.stable_id));
    if (rv == 0)
        rv = mk_bond_wait(bond, in->reach.timeout_ms, &fault);
    if (rv == 0) {
        json_object_set_new(o, "surfaces", surfaces_json(a, bond, c, in));
        snprintf(fault.text, sizeof fault.text, "%s", no_surface(c));
    } else
        json_object_set_new(o, "surfaces", json_array());
    if (bond != NULL)
        mk_bond_status(bond, &st);
    else
        st.state = MK_BOND_FAILED;
    json_object_set_new(o, "state", json_string(state_names[st.state]));
    json_object_set_new(o, "text", json_string(fault.text));
    json_object_set_new(o, "deployment", json_id(&st.deployment));
    json_object_set_new(o, "version", json_integer((json_int_t)st.version));
    json_object_set_new(o, "epoch", json_integer((json_int_t)st.epoch));
    json_object_set_new(o, "certified_ms",
                        st.certified_ms > 0 ? json_integer((json_int_t)st.certified_ms)
                                            : json_null());
    json_object_set_new(o, "members", json_integer(st.members));
    json_object_set_new(o, "linked", json_integer(st.linked));
    mk_bond_close(bond);
    *ret_status = status_of(rv);
    return o;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "-";
}

static void print_component(const json_t *o)
{
    const json_t *s;
    size_t i;

    printf("  %-14s %-10s version %lld, epoch %lld, %lld of %lld members linked%s%s\n",
           text_of(o, "component"), text_of(o, "state"),
           (long long)json_integer_value(json_object_get(o, "version")),
           (long long)json_integer_value(json_object_get(o, "epoch")),
           (long long)json_integer_value(json_object_get(o, "linked")),
           (long long)json_integer_value(json_object_get(o, "members")),
           text_of(o, "text")[0] != '\0' ? "\n    " : "", text_of(o, "text"));
    json_array_foreach(json_object_get(o, "surfaces"), i, s)
    {
        printf("    %-6s %-16s read: %s", text_of(s, "kind"), text_of(s, "name"),
               text_of(s, "read"));
        if (json_is_string(json_object_get(s, "write")))
            printf("; write: %s", text_of(s, "write"));
        if (json_is_object(json_object_get(s, "retention")))
            printf("; kept from commit %lld on", (long long)json_integer_value(json_object_get(
                                                     json_object_get(s, "retention"), "oldest")));
        putchar('\n');
    }
}

/** What members showed us, when we judge quotes: null without --attest. */
static json_t *quotes_of(const struct agent *a)
{
    const struct mk_evidence *e;
    json_t *list = json_array();
    struct mk_peer peer;

    if (!a->attests) {
        json_decref(list);
        return json_null();
    }
    for (unsigned i = 0; mk_witness_peer(mk_network_witness(a->net), i, &peer, &e); i++)
        json_array_append_new(list, json_pack("{s:o, s:s, s:s}", "peer", json_id(&peer), "quote",
                                              mk_evidence_name(e), "reason", e->reason));
    return list;
}

static void print_quotes(const struct agent *a, const json_t *quotes)
{
    struct mk_witness_status st;
    const json_t *q;
    size_t i;

    if (!a->attests)
        return;
    mk_witness_status(mk_network_witness(a->net), &st);
    if (!st.intel)
        puts("  !!! THE ROOT OF --attest IS NOT INTEL'S: QUOTES HERE PROVE NOTHING !!!");
    json_array_foreach(quotes, i, q)
    {
        printf("  quote of %.16s: %s%s%s\n", text_of(q, "peer"), text_of(q, "quote"),
               text_of(q, "reason")[0] != '\0' ? ": " : "", text_of(q, "reason"));
    }
}

/* A component that refused or cannot be bound at all outweighs one that was not reached. */
static int worse_of(int a, int b)
{
    if (a == STATUS_DONE || b == STATUS_DONE)
        return a == STATUS_DONE ? b : a;
    return a == STATUS_TIMEOUT && b == STATUS_TIMEOUT ? STATUS_TIMEOUT : STATUS_CHECK;
}

/** Binds all of one file's components; the exit status of those that are not ready. */
static int bind_file(struct agent *a, const char *path, const struct input *in, json_t *coalitions)
{
    struct component *v;
    size_t n = agent_components(a, &v);
    json_t *o = json_object(), *components = json_array(), *quotes;
    int all = STATUS_DONE;

    json_object_set_new(o, "file", json_string(path));
    json_object_set_new(o, "coalition_id", json_id(&a->ids.coalition_id));
    if (!in->json) {
        char hex[MK_ID_HEX];

        printf("%s  %s\n", path, mk_id_hex(&a->ids.coalition_id, hex));
    }
    for (size_t i = 0; i < n; i++) {
        int status = STATUS_CHECK;
        json_t *c;

        if (!v[i].reference.has_version0 && !v[i].reference.operator_.some) {
            c = json_object();
            json_object_set_new(c, "component", json_text(v[i].reference.label));
            json_object_set_new(c, "stable_id", json_id(&v[i].reference.stable_id));
            json_object_set_new(c, "state", json_string("failed"));
            json_object_set_new(
                c, "text",
                json_string(
                    "the file states neither its config nor its operator: it cannot be bound"));
            json_object_set_new(c, "surfaces", json_array());
        } else {
            c = component_json(a, &v[i], in, &status);
        }
        all = worse_of(all, status);
        if (!in->json)
            print_component(c);
        json_array_append_new(components, c);
    }
    json_object_set_new(o, "components", components);
    quotes = quotes_of(a);
    if (!in->json)
        print_quotes(a, quotes);
    json_object_set_new(o, "quotes", quotes);
    json_array_append_new(coalitions, o);
    return all;
}

int cmd_bind(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE...",
        "Bind every component that the coalition files name, as an integrator would, and "
        "say what was admitted. Ends with 1 when a component could not be bound, "
        "with 3 when all of those were not reachable in time.",
        NULL,
        NULL,
        NULL};
    struct input in = {.reach.timeout_ms = TIMEOUT_MS_DEFAULT};
    json_t *o = json_object(), *coalitions = json_array();
    int all = STATUS_DONE;
    char hex[MK_ID_HEX];
    int rv = 0;

    parse_options(&argp, argc, argv, &in);
    for (unsigned i = 0; rv == 0 && i < in.n_files; i++) {
        struct agent a;

        rv = agent_open(&a, in.files[i], &in.reach);
        if (rv == 0) {
            all = worse_of(all, bind_file(&a, in.files[i], &in, coalitions));
            json_object_set_new(o, "peer", json_string(mk_peer_hex(mk_network_peer(a.net), hex)));
        }
        agent_close(&a);
    }
    json_object_set(o, "coalitions", coalitions);
    json_decref(coalitions);
    if (rv == 0 && in.json)
        print_json(o);
    else
        json_decref(o);
    return rv != 0 ? rv : all;
}
