/* agent.c - see agent.h. */
#include "agent.h"
#include "supervise.h"

#include "atlas/atlas.h"
#include "oracle/oracle.h"
#include "price-feed/price_feed.h"
#include "types/types.h"
#include <mosaik/node.h>

#include <stdio.h>
#include <string.h>

/* --- opening --------------------------------------------------------------------------- */

static size_t count_hints(const struct agent *a)
{
    size_t n = a->file.peers.n;

    for (size_t i = 0; i < COA_MODULE_KINDS; i++)
        n += a->file.modules[i].committee.n;
    return n;
}

static int open_network(struct agent *a, const struct mk_bytes *tickets, size_t n_tickets,
                        struct mk_fault *fault)
{
    struct mk_str *hints = mk_arena_take(&a->arena, (count_hints(a) + 1) * sizeof *hints);
    struct mk_network_options o = {.key = a->has_key ? &a->key : NULL,
                                   .hints = hints,
                                   .tickets = tickets,
                                   .n_tickets = n_tickets,
                                   .witness = a->attests ? &a->attest.options : NULL};

    for (size_t i = 0; i < a->file.peers.n; i++)
        hints[o.n_hints++] = a->file.peers.v[i].address;
    for (size_t k = 0; k < COA_MODULE_KINDS; k++) {
        for (size_t i = 0; i < a->file.modules[k].committee.n; i++)
            hints[o.n_hints++] = a->file.modules[k].committee.v[i].address;
    }
    return mk_network_open(a->loop, &a->net, &o, fault);
}

int load_tickets(const struct reach *r, const struct mk_bytes **ret, struct mk_arena *arena,
                 struct mk_fault *reterr)
{
    struct mk_bytes *v = mk_arena_take(arena, (r->n_tickets + 1) * sizeof *v);

    for (size_t i = 0; i < r->n_tickets; i++) {
        struct mk_fault fault = {{0}};
        struct mk_buf b = {0};
        struct mk_ticket t;
        int rv = read_named(r->tickets[i], &b, reterr);

        if (rv == 0 && mk_decode(&t, &mk_ticket_type, mk_buf_bytes(&b), arena, &fault) != 0)
            rv = mk_fault(reterr, MK_EINVALID, "%s: not a ticket: %s", r->tickets[i], fault.text);
        if (rv == 0)
            v[i] = MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n);
        mk_buf_done(&b);
        if (rv != 0)
            return rv;
    }
    *ret = v;
    return 0;
}

int agent_open(struct agent *a, const char *path, const struct reach *r)
{
    static const struct reach nobody = {0};
    struct mk_fault fault = {{0}};
    const struct mk_bytes *shown = NULL;
    int rv;

    memset(a, 0, sizeof *a);
    rv = load_coalition(&a->file, path);
    if (rv != 0)
        return rv;
    if (a->file.serialised)
        return complain(STATUS_USAGE,
                        "%s: a serialised config holds no committees; give the coalition file",
                        path);
    coa_coalition_derive(&a->file.config, &a->ids, NULL);
    r = r != NULL ? r : &nobody;
    a->through = r->through;
    a->n_through = r->n_through;
    rv = load_tickets(r, &shown, &a->arena, &fault);
    if (rv == 0 && r->key != NULL) {
        rv = load_key(&a->key, r->key, &fault);
        a->has_key = rv == 0;
    }
    if (rv == 0 && r->attest != NULL) {
        rv = attest_load(&a->attest, r->attest, &fault);
        a->attests = rv == 0;
    }
    if (rv == 0)
        rv = mk_loop_open(&a->loop, NULL, &fault);
    if (rv == 0)
        rv = open_network(a, shown, r->n_tickets, &fault);
    if (rv == 0)
        rv = coa_know_issuers(&a->file, &a->ids, mk_network_issuers(a->net), &fault);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

void agent_close(struct agent *a)
{
    mk_network_close(a->net);
    mk_loop_free(a->loop);
    attest_done(&a->attest);
    mk_key_done(&a->key);
    coa_coalition_file_done(&a->file);
    mk_arena_done(&a->arena);
}

/* --- components ---------------------------------------------------------------------------- */

static void put_feed_surfaces(struct agent *a, struct component *c)
{
    bool oracle = mk_str_is(c->organism->content_type, "oracle");
    struct coa_price_feed_content feed;
    struct coa_oracle_content sourced;
    struct mk_surface_spec *specs;
    const struct coa_pairs *pairs = oracle ? &sourced.pairs : &feed.pairs;
    const char *const *names;

    if (mk_decode(oracle ? (void *)&sourced : &feed,
                  oracle ? &coa_oracle_content_type : &coa_price_feed_content_type,
                  c->organism->config.content, &a->arena, NULL) != 0)
        return;
    names = oracle_names(pairs, &a->arena);
    specs = mk_arena_take(&a->arena, (pairs->n + 1) * sizeof *specs);
    for (size_t i = 0; i < pairs->n; i++)
        specs[i] = price_feed_surface(names[i]);
    if (oracle)
        specs[pairs->n] = oracle_latest_spec;
    c->surfaces = specs;
    c->n_surfaces = (unsigned)(pairs->n + (oracle ? 1 : 0));
}

/** The types of a surface that a file declares by its layout; false: none that this build has. */
static bool find_types(struct mk_surface_spec *spec, const struct mk_id *wanted,
                       const struct mk_id *stable_id)
{
    bool keyed = spec->kind == MK_SURFACE_MAP || spec->kind == MK_SURFACE_QUEUE;

    for (size_t v = 0; (spec->value = coalition_type_at(v)) != NULL; v++) {
        for (size_t k = 0; k == 0 || (keyed && coalition_type_at(k) != NULL); k++) {
            struct mk_id id;

            spec->key = keyed ? coalition_type_at(k) : NULL;
            id = mk_surface_id(spec, stable_id);
            if (mk_id_eq(&id, wanted))
                return true;
        }
    }
    return false;
}

static bool kind_named(enum mk_surface_kind *ret, struct mk_str name)
{
    for (unsigned k = MK_SURFACE_STREAM; k <= MK_SURFACE_QUEUE; k++) {
        *ret = (enum mk_surface_kind)k;
        if (mk_str_is(name, mk_surface_kind_name(*ret)))
            return true;
    }
    return false;
}

/** Those that its file declares beside what follows from its content. */
static void put_declared_surfaces(struct agent *a, struct component *c)
{
    const struct coa_surfaces *declared = &c->organism->surfaces;
    struct mk_surface_spec *specs =
        mk_arena_take(&a->arena, (c->n_surfaces + declared->n + 1) * sizeof *specs);
    struct coa_surface *unknown = mk_arena_take(&a->arena, (declared->n + 1) * sizeof *unknown);
    const struct mk_id *stable_id = &c->reference.stable_id;
    unsigned n = c->n_surfaces;

    if (n > 0)
        memcpy(specs, c->surfaces, n * sizeof *specs);
    for (size_t i = 0; i < declared->n; i++) {
        const struct coa_surface *s = &declared->v[i];
        struct mk_id wanted = coa_surface_id_of(s, stable_id);
        bool there = false;

        for (unsigned k = 0; k < n && !there; k++) {
            struct mk_id id = mk_surface_id(&specs[k], stable_id);

            there = mk_id_eq(&id, &wanted);
        }
        if (there)
            continue;
        specs[n] = (struct mk_surface_spec){.name = mk_arena_str(&a->arena, s->name).p};
        if (kind_named(&specs[n].kind, s->kind) && find_types(&specs[n], &wanted, stable_id))
            n++;
        else
            unknown[c->n_unknown++] = *s;
    }
    c->surfaces = specs;
    c->n_surfaces = n;
    c->unknown = unknown;
}

size_t agent_components(struct agent *a, struct component **ret)
{
    size_t n = 0, n_organisms = a->file.config.organisms.n;
    struct component *v = mk_arena_take(&a->arena, (COA_MODULE_KINDS + n_organisms) * sizeof *v);

    for (unsigned k = 0; k < COA_MODULE_KINDS; k++) {
        struct component *c = &v[n];

        if (coa_module_reference(&a->file, &a->ids, k, &c->reference, &a->arena) != 0)
            continue;
        c->is_module = true;
        c->kind = k;
        if (k == COA_ATLAS) {
            c->surfaces = atlas_surfaces;
            c->n_surfaces = 1;
        }
        n++;
    }
    for (size_t i = 0; i < n_organisms; i++) {
        struct component *c = &v[n++];

        coa_organism_binding(&a->file, i, &c->reference, &a->arena);
        c->organism = a->file.organisms[i].organism;
        if (c->organism != NULL && c->organism->content_type.p != NULL &&
            (mk_str_is(c->organism->content_type, "price-feed") ||
             mk_str_is(c->organism->content_type, "oracle")))
            put_feed_surfaces(a, c);
        if (c->organism != NULL)
            put_declared_surfaces(a, c);
    }
    *ret = v;
    return n;
}

static bool is_named(const struct component *c, const char *name)
{
    char hex[MK_ID_HEX];

    return mk_str_is(c->reference.label, name) ||
           strcmp(mk_id_hex(&c->reference.stable_id, hex), name) == 0 ||
           (c->organism != NULL && mk_str_is(c->organism->config.name, name));
}

int agent_find(struct agent *a, const char *name, struct component *ret)
{
    struct component *v;
    size_t n = agent_components(a, &v);
    struct mk_buf known = {0};
    int rv;

    for (size_t i = 0; i < n; i++) {
        if (is_named(&v[i], name)) {
            *ret = v[i];
            mk_buf_done(&known);
            return 0;
        }
        mk_buf_printf(&known, "%s%.*s", i > 0 ? ", " : "", (int)v[i].reference.label.n,
                      v[i].reference.label.p);
    }
    rv = complain(STATUS_CHECK, "%s: no such component in this coalition; it has: %.*s", name,
                  known.n > 0 ? (int)known.n : 4, known.n > 0 ? (const char *)known.p : "none");
    mk_buf_done(&known);
    return rv;
}

int agent_bond(struct agent *a, const char *name, uint32_t timeout_ms,
               struct component *ret_component, struct mk_bond **ret)
{
    struct mk_fault fault = {{0}};
    int rv = agent_find(a, name, ret_component);

    if (rv != 0)
        return rv;
    ret_component->reference.through = a->through;
    ret_component->reference.n_through = a->n_through;
    rv = mk_bond_open(a->net, ret, &ret_component->reference, &fault);
    if (rv == 0)
        rv = mk_bond_wait(*ret, timeout_ms, &fault);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static bool known(const struct mk_status_answer *v, size_t n, struct mk_str address)
{
    for (size_t i = 0; i < n; i++) {
        if (mk_str_eq(v[i].address, address))
            return true;
    }
    return false;
}

size_t agent_members(struct agent *a, struct mk_status_answer **ret)
{
    struct component *v;
    size_t n_components = agent_components(a, &v), most = 0, n = 0;

    for (size_t i = 0; i < n_components; i++)
        most += v[i].reference.n_addresses;
    *ret = mk_arena_take(&a->arena, (most + 1) * sizeof **ret);
    for (size_t i = 0; i < n_components; i++) {
        for (size_t k = 0; k < v[i].reference.n_addresses; k++) {
            if (!known(*ret, n, v[i].reference.addresses[k]))
                (*ret)[n++] = (struct mk_status_answer){.address = v[i].reference.addresses[k]};
        }
    }
    return n;
}

uint64_t deadline_in(uint32_t ms)
{
    return monotonic_ms() + ms;
}

uint32_t left_until(uint64_t deadline)
{
    uint64_t now = monotonic_ms();

    return now < deadline ? (uint32_t)(deadline - now) : 1;
}

int agent_surface(const struct component *c, const char *name, enum mk_surface_kind kind,
                  const struct mk_surface_spec **ret)
{
    struct mk_buf known = {0};
    int rv;

    for (unsigned i = 0; i < c->n_surfaces; i++) {
        if (strcmp(c->surfaces[i].name, name) == 0 && c->surfaces[i].kind == kind) {
            *ret = &c->surfaces[i];
            return 0;
        }
    }
    for (unsigned i = 0; i < c->n_surfaces; i++) {
        if (c->surfaces[i].kind == kind)
            mk_buf_printf(&known, "%s%s", known.n > 0 ? ", " : "", c->surfaces[i].name);
    }
    rv = complain(STATUS_CHECK,
                  "%.*s: no %s named \"%s\" whose types this build knows; it has: %.*s",
                  (int)c->reference.label.n, c->reference.label.p, mk_surface_kind_name(kind), name,
                  known.n > 0 ? (int)known.n : 4, known.n > 0 ? (const char *)known.p : "none");
    mk_buf_done(&known);
    return rv;
}
