/* network.c - agents, bonds, surfaces, for other languages (ffi.h).
 *
 * An agent is a loop with one network handle on it, turned by its caller. Each function is a call
 * of the public headers with its arguments taken apart; what it gives back is lent until the
 * agent's next call. */
#include "ffi/ffi.h"

#include "types/types.h"
#include <coalition/bind.h>
#include <mosaik/issuers.h>
#include <mosaik/standing.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mkf_version(void)
{
    return "0.1.0";
}

const char *mkf_error(int code)
{
    return mk_strerror(code);
}

void mkf_lend(struct mkf_agent *a, struct mk_bytes b, struct mkf_bytes *ret)
{
    mk_buf_clear(&a->lent);
    mk_buf_put(&a->lent, b.p, b.n);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

int mkf_parse_id(struct mk_id *ret, const char *what, const char *hex, char *err)
{
    if (hex != NULL && mk_id_unhex(ret, mk_str_of(hex)) == 0)
        return 0;
    return mk_fault(mkf_fault(err), MK_EINVALID, "%s is not 64 hex digits", what);
}

/* --- agents --------------------------------------------------------------------------------- */

static int agent_start(struct mkf_agent *a, const uint8_t *seed, const char *listen,
                       const struct mk_str *hints, size_t n_hints, const struct mk_bytes *tickets,
                       size_t n_tickets, bool components, struct mk_fault *fault)
{
    struct mk_network_options net = {.listen = listen,
                                     .hints = hints,
                                     .n_hints = n_hints,
                                     .tickets = tickets,
                                     .n_tickets = n_tickets};
    struct mk_node_options node = {.listen = listen,
                                   .hints = hints,
                                   .n_hints = n_hints,
                                   .tickets = tickets,
                                   .n_tickets = n_tickets};
    int rv;

    if (seed != NULL) {
        mk_key_from_seed(&a->key, seed);
        net.key = node.key = &a->key;
    }
    if (!components)
        return mk_network_open(a->loop, &a->net, &net, fault);
    if (seed == NULL || listen == NULL)
        return mk_fault(fault, MK_EINVALID, "an agent with components needs a key and an address");
    rv = mk_node_open(a->loop, &a->node, &node, fault);
    if (rv == 0)
        a->net = mk_node_network(a->node);
    return rv;
}

int mkf_agent_open(struct mkf_agent **ret, const char *dir, const uint8_t *seed, const char *listen,
                   const char *const *hints, size_t n_hints, const struct mkf_bytes *tickets,
                   size_t n_tickets, bool components, char *err)
{
    struct mkf_agent *a = mk_alloc(sizeof *a);
    struct mk_arena arena = {0};
    struct mk_str *h = mk_arena_take(&arena, (n_hints + 1) * sizeof *h);
    struct mk_bytes *t = mk_arena_take(&arena, (n_tickets + 1) * sizeof *t);
    int rv;

    for (size_t i = 0; i < n_hints; i++)
        h[i] = mk_str_of(hints[i]);
    for (size_t i = 0; i < n_tickets; i++)
        t[i] = MK_BYTES(tickets[i].p, tickets[i].n);
    rv = mk_loop_open(&a->loop, dir, mkf_fault(err));
    if (rv == 0)
        rv = agent_start(a, seed, listen, h, n_hints, t, n_tickets, components, mkf_fault(err));
    mk_arena_done(&arena);
    if (rv != 0)
        mkf_agent_close(a);
    else
        *ret = a;
    return rv;
}

void mkf_agent_close(struct mkf_agent *a)
{
    if (a->node != NULL)
        mk_node_close(a->node);
    else
        mk_network_close(a->net);
    if (a->loop != NULL)
        mk_loop_turn(a->loop, 0); /* what closing left for the end of a turn */
    mk_loop_free(a->loop);
    mk_key_done(&a->key);
    mk_buf_done(&a->lent);
    mk_arena_done(&a->arena);
    mk_free(a);
}

int mkf_agent_tag(struct mkf_agent *a, const char *const *tags, size_t n, char *err)
{
    struct mk_str words[MK_NETWORK_TAGS_MAX];

    if (n > MK_NETWORK_TAGS_MAX)
        return mk_fault(mkf_fault(err), MK_ELIMIT, "%zu tags are more than %u", n,
                        MK_NETWORK_TAGS_MAX);
    for (size_t i = 0; i < n; i++)
        words[i] = mk_str_of(tags[i]);
    return mk_network_tag(a->net, words, n);
}

bool mkf_agent_tagged(struct mkf_agent *a, const char *peer, const char *tag_id)
{
    struct mk_id who, tag;
    struct mk_peer p;

    if (mk_id_unhex(&who, mk_str_of(peer)) != 0 || mk_id_unhex(&tag, mk_str_of(tag_id)) != 0)
        return false;
    memcpy(p.b, who.b, sizeof p.b);
    return mk_network_tagged(a->net, &p, &tag);
}

unsigned mkf_agent_peers(struct mkf_agent *a)
{
    return (unsigned)mk_network_peers(a->net);
}

int mkf_agent_sync(struct mkf_agent *a, const char *address, uint32_t timeout_ms, char *err)
{
    return mk_network_sync_wait(a->net, mk_str_of(address), timeout_ms, mkf_fault(err));
}

void mkf_agent_peer(const struct mkf_agent *a, char hex[MK_ID_HEX])
{
    mk_peer_hex(mk_network_peer(a->net), hex);
}

uint16_t mkf_agent_port(const struct mkf_agent *a)
{
    return mk_network_port(a->net);
}

int mkf_agent_renew(struct mkf_agent *a, const struct mkf_bytes *tickets, size_t n_tickets,
                    char *err)
{
    struct mk_arena arena = {0};
    struct mk_bytes *v = mk_arena_take(&arena, (n_tickets + 1) * sizeof *v);
    int rv;

    for (size_t i = 0; i < n_tickets; i++)
        v[i] = MK_BYTES(tickets[i].p, tickets[i].n);
    rv = mk_network_renew(a->net, v, n_tickets, mkf_fault(err));
    mk_arena_done(&arena);
    return rv;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void mkf_agent_run(struct mkf_agent *a, uint32_t ms)
{
    mk_loop_run_until(a->loop, never, NULL, ms);
}

void mkf_agent_status(struct mkf_agent *a, struct mkf_bytes *ret)
{
    mk_buf_clear(&a->lent);
    mk_network_status(a->net, &a->lent);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

/* --- ids -------------------------------------------------------------------------------------- */

void mkf_id(const char *text, char hex[MK_ID_HEX])
{
    struct mk_id id = mk_id_of_text(mk_str_of(text));

    mk_id_hex(&id, hex);
}

void mkf_key_peer(const uint8_t seed[32], char hex[MK_ID_HEX])
{
    struct mk_key key;

    mk_key_from_seed(&key, seed);
    mk_peer_hex(&key.peer, hex);
    mk_key_done(&key);
}

/* --- coalition files
 * ------------------------------------------------------------------------------ */

static int load(struct coa_loader *l, const char *path, struct mk_buf *ret, struct mk_fault *reterr)
{
    FILE *f = fopen(path, "rb"); /* tidy: ok, a file of the program's, not of a node's disk */
    size_t n;

    (void)l;
    if (f == NULL)
        return mk_fault(reterr, MK_ENOTFOUND, "%s: cannot be read", path);
    n = fread(mk_buf_grow(ret, COA_FILE_MAX), 1, COA_FILE_MAX, f);
    ret->n -= COA_FILE_MAX - n;
    fclose(f);
    return 0;
}

static int file_open(struct coa_coalition_file *ret, struct coa_coalition_ids *ret_ids,
                     const char *path, struct mk_fault *fault)
{
    struct coa_loader loader = {load};
    struct mk_buf bytes = {0};
    int rv = load(&loader, path, &bytes, fault);

    if (rv == 0)
        rv = coa_coalition_file_parse(ret, path, mk_buf_bytes(&bytes), &loader, fault);
    if (rv == 0)
        coa_coalition_derive(&ret->config, ret_ids, NULL);
    mk_buf_done(&bytes);
    return rv;
}

int mkf_file_id(const char *path, char hex[MK_ID_HEX], char *err)
{
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
    int rv = file_open(&f, &ids, path, mkf_fault(err));

    if (rv != 0)
        return rv;
    mk_id_hex(&ids.coalition_id, hex);
    coa_coalition_file_done(&f);
    return 0;
}

static int reference_of(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                        const char *component, struct mk_reference *ret, struct mk_arena *arena,
                        struct mk_fault *fault)
{
    enum coa_module_kind kind;

    for (size_t i = 0; i < f->config.organisms.n; i++) {
        if (!mk_str_is(f->config.organisms.v[i].role, component))
            continue;
        coa_organism_binding(f, i, ret, arena);
        return 0;
    }
    if (coa_module_kind_of(&kind, mk_str_of(component)) == 0 &&
        coa_module_reference(f, ids, kind, ret, arena) == 0)
        return 0;
    return mk_fault(fault, MK_ENOTFOUND, "the file ships no %s, and references no such role",
                    component);
}

int mkf_bind_file(struct mkf_agent *a, struct mk_bond **ret, const char *path,
                  const char *component, const char *expect, char *err)
{
    struct mk_arena arena = {0};
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
    struct mk_reference r;
    struct mk_id expected;
    int rv = file_open(&f, &ids, path, mkf_fault(err));

    if (rv != 0)
        return rv;
    if (expect != NULL) {
        rv = mkf_parse_id(&expected, "the expected fingerprint", expect, err);
        if (rv == 0 && !mk_id_eq(&expected, &ids.coalition_id))
            rv =
                mk_fault(mkf_fault(err), MK_EIDENTITY, "%s is the file of another coalition", path);
    }
    for (size_t i = 0; i < f.peers.n && rv == 0; i++)
        mk_network_hint(a->net, f.peers.v[i].address, NULL);
    if (rv == 0)
        rv = coa_know_issuers(&f, &ids, mk_network_issuers(a->net), mkf_fault(err));
    if (rv == 0)
        rv = reference_of(&f, &ids, component, &r, &arena, mkf_fault(err));
    if (rv == 0)
        rv = mk_bond_open(a->net, ret, &r, mkf_fault(err));
    coa_coalition_file_done(&f);
    mk_arena_done(&arena);
    return rv;
}

/* --- bonds ---------------------------------------------------------------------------------------
 */

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(a, b);
}

int mkf_roster(struct mk_roster *ret, struct mk_str **ret_addresses, const struct mk_id *deployment,
               const char *const *addresses, size_t n, struct mk_arena *arena, char *err)
{
    struct mk_peer *peers = mk_arena_take(arena, (n + 1) * sizeof *peers);
    struct mk_str *texts = mk_arena_take(arena, (n + 1) * sizeof *texts);

    if (n == 0 || n > MK_ROSTER_MAX)
        return mk_fault(mkf_fault(err), MK_EINVALID, "a roster has 1 to %u members", MK_ROSTER_MAX);
    for (size_t i = 0; i < n; i++) {
        struct coa_contact c;
        int rv = coa_contact_parse(&c, mk_str_of(addresses[i]), mkf_fault(err));

        if (rv != 0)
            return rv;
        peers[i] = c.peer;
        texts[i] = mk_arena_str(arena, mk_str_of(addresses[i]));
    }
    qsort(peers, n, sizeof *peers, by_peer);
    *ret = (struct mk_roster){.deployment = *deployment, .epoch = 1, .peers = {peers, n}};
    *ret_addresses = texts;
    return mk_validate(&mk_roster_type, ret, mkf_fault(err));
}

int mkf_bind(struct mkf_agent *a, struct mk_bond **ret, const char *label, const char *stable_id,
             const char *deployment, const char *content, const char *const *addresses, size_t n,
             char *err)
{
    struct mk_reference r = {.label = mk_str_of(label), .has_version0 = true, .n_addresses = n};
    struct mk_arena arena = {0};
    struct mk_str *texts = NULL;
    int rv = mkf_parse_id(&r.stable_id, "the stable id", stable_id, err);

    if (rv == 0)
        rv = mkf_parse_id(&r.deployment, "the deployment", deployment, err);
    if (rv == 0)
        rv = mkf_parse_id(&r.deployed_content, "the content hash", content, err);
    if (rv == 0)
        rv = mkf_roster(&r.roster, &texts, &r.deployment, addresses, n, &arena, err);
    r.addresses = texts;
    if (rv == 0)
        rv = mk_bond_open(a->net, ret, &r, mkf_fault(err));
    mk_arena_done(&arena);
    return rv;
}

int mkf_bond_wait(struct mk_bond *b, uint32_t timeout_ms, char *err)
{
    return mk_bond_wait(b, timeout_ms, mkf_fault(err));
}

void mkf_bond_close(struct mk_bond *b)
{
    mk_bond_close(b);
}

void mkf_bond_status(struct mkf_agent *a, const struct mk_bond *b, struct mkf_bytes *ret)
{
    mk_buf_clear(&a->lent);
    mk_bond_describe(b, &a->lent);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

void mkf_bond_trace_begin(struct mk_bond *b, uint32_t timeout_ms)
{
    mk_bond_trace_begin(b, timeout_ms);
}

void mkf_bond_trace_end(struct mkf_agent *a, struct mk_bond *b, uint32_t timeout_ms,
                        struct mkf_bytes *ret)
{
    mk_buf_clear(&a->lent);
    mk_bond_trace_end(b, timeout_ms, &a->lent);
    *ret = mkf_bytes(mk_buf_bytes(&a->lent));
}

/* --- surfaces
 * ---------------------------------------------------------------------------------------- */

struct mkf_surface {
    struct mk_surface_spec spec;
    char name[MK_NAME_MAX + 1];
};

const struct mk_type *mkf_type(const char *name)
{
    return coalition_type_named(name);
}

static int kind_of(enum mk_surface_kind *ret, const char *name)
{
    for (unsigned k = MK_SURFACE_STREAM; k <= MK_SURFACE_QUEUE; k++)
        if (strcmp(mk_surface_kind_name((enum mk_surface_kind)k), name) == 0) {
            *ret = (enum mk_surface_kind)k;
            return 0;
        }
    return MK_EINVALID;
}

int mkf_surface_new(struct mkf_surface **ret, const char *kind, const char *name, const char *key,
                    const char *value, uint64_t capacity, uint32_t retain_commits,
                    uint32_t retain_bytes, char *err)
{
    struct mk_surface_spec spec = {.key = mkf_type(key),
                                   .value = mkf_type(value),
                                   .retain_commits = retain_commits,
                                   .retain_bytes = retain_bytes,
                                   .capacity = capacity};
    struct mkf_surface *s;
    bool keyed;

    if (kind_of(&spec.kind, kind) != 0)
        return mk_fault(mkf_fault(err), MK_EINVALID, "%s is no kind of surface", kind);
    keyed = spec.kind == MK_SURFACE_MAP || spec.kind == MK_SURFACE_QUEUE;
    if (spec.value == NULL || (keyed && spec.key == NULL))
        return mk_fault(mkf_fault(err), MK_EINVALID, "a %s of %s>%s: no such type", kind,
                        key != NULL ? key : "", value);
    if (name[0] == '\0' || strlen(name) > MK_NAME_MAX)
        return mk_fault(mkf_fault(err), MK_EINVALID, "a surface's name has 1 to %u bytes",
                        MK_NAME_MAX);
    if (!keyed)
        spec.key = NULL;
    s = mk_alloc(sizeof *s);
    s->spec = spec;
    memcpy(s->name, name, strlen(name));
    s->spec.name = s->name;
    *ret = s;
    return 0;
}

void mkf_surface_free(struct mkf_surface *s)
{
    mk_free(s);
}

const struct mk_surface_spec *mkf_spec(const struct mkf_surface *s)
{
    return &s->spec;
}

int mkf_json(struct mkf_agent *a, const char *type, const uint8_t *p, size_t n,
             struct mkf_bytes *ret, char *err)
{
    const struct mk_type *t = mkf_type(type);
    struct mk_arena arena = {0};
    void *value;
    int rv;

    if (t == NULL)
        return mk_fault(mkf_fault(err), MK_EINVALID, "%s is no type that is known", type);
    value = mk_arena_take(&arena, t->size);
    rv = mk_decode(value, t, MK_BYTES(p, n), &arena, mkf_fault(err));
    if (rv == 0) {
        mk_buf_clear(&a->lent);
        mk_print_json(&a->lent, t, value);
        *ret = mkf_bytes(mk_buf_bytes(&a->lent));
    }
    mk_arena_done(&arena);
    return rv;
}
