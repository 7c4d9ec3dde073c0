/* kv.c - the benchmark's machine and committee. */
#include "kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

MK_STRUCT_DEFINE(kv_put, "Put", KV_PUT_TABLE)

const struct mk_surface_spec kv_surfaces[1] = {
    {.kind = MK_SURFACE_MAP, .name = "kv", .key = &mk_blob_type, .value = &mk_blob_type},
};

static int kv_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct mk_arena arena = {0};
    struct mk_fault fault;
    struct kv_put put;
    bool changed;
    int rv;

    (void)m;
    if (mk_decode(&put, &kv_put_type, command, &arena, &fault) != 0)
        rv = mk_refuse(a, "command: %.100s", fault.text);
    else
        rv = mk_map_insert(a, 0, put.key, put.value, &changed);
    mk_arena_done(&arena);
    return rv;
}

static int kv_query(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                    struct mk_buf *answer, struct mk_fault *reterr)
{
    struct mk_bytes value;

    (void)m;
    if (mk_map_get(s, 0, query, &value) != 0)
        return mk_fault(reterr, MK_ENOTFOUND, "no such key");
    mk_buf_put(answer, value.p, value.n);
    return 0;
}

static void kv_free(struct mk_machine *m)
{
    mk_free(m);
}

static const struct mk_machine_ops kv_ops = {.name = "bench-kv",
                                             .version = 1,
                                             .surfaces = kv_surfaces,
                                             .n_surfaces = 1,
                                             .apply = kv_apply,
                                             .query = kv_query,
                                             .free = kv_free};

struct mk_machine *kv_machine_new(void)
{
    struct mk_machine *m = mk_alloc(sizeof *m);

    m->ops = &kv_ops;
    return m;
}

void kv_committee_init(struct kv_committee *c, unsigned n, unsigned base_port)
{
    const char *net = getenv("KV_NET");

    *c = (struct kv_committee){.n = n};
    for (unsigned i = 0; i < n; i++) {
        uint8_t seed[32] = {'b', 'e', 'n', 'c', 'h', (uint8_t)i};

        mk_key_from_seed(&c->keys[i], seed);
    }
    for (unsigned i = 0; i < n; i++) { /* sorted by peer, as a roster is */
        for (unsigned j = i + 1; j < n; j++) {
            if (mk_peer_cmp(&c->keys[j].peer, &c->keys[i].peer) < 0) {
                struct mk_key k = c->keys[i];

                c->keys[i] = c->keys[j];
                c->keys[j] = k;
            }
        }
        c->peers[i] = c->keys[i].peer;
    }
    for (unsigned i = 0; i < n; i++) {
        char hex[MK_ID_HEX];

        snprintf(c->hosts[i], sizeof c->hosts[i], "127.0.0.1");
        if (net != NULL)
            snprintf(c->hosts[i], sizeof c->hosts[i], "%.20s.%u", net, i + 1);
        snprintf(c->addresses[i], sizeof c->addresses[i], "%s@%s:%u",
                 mk_peer_hex(&c->peers[i], hex), c->hosts[i], base_port + i);
        c->address_list[i] = mk_str_of(c->addresses[i]);
    }
}

void kv_group_init(struct kv_group *g, const struct kv_committee *c, unsigned number)
{
    *g = (struct kv_group){.stable_id = mk_id_of_text(MK_STR("bench.kv"))};
    snprintf(g->label, sizeof g->label, "kv%u", number);
    g->stable_id = mk_derive(&g->stable_id, mk_str_of(g->label));
    g->deployment = mk_derive(&g->stable_id, MK_STR("deployment"));
    g->content = mk_derive(&g->stable_id, MK_STR("content"));
    g->roster = (struct mk_roster){
        .deployment = g->deployment, .epoch = 1, .peers = {(struct mk_peer *)c->peers, c->n}};
}

struct mk_reference kv_reference(const struct kv_committee *c, const struct kv_group *g)
{
    return (struct mk_reference){.label = mk_str_of(g->label),
                                 .stable_id = g->stable_id,
                                 .has_version0 = true,
                                 .deployment = g->deployment,
                                 .deployed_content = g->content,
                                 .roster = g->roster,
                                 .addresses = c->address_list,
                                 .n_addresses = c->n};
}
