/* status.c - what a node says of itself, as one JSON object; and the protocol "status",
 * by which anybody may ask (reads are open: committees.md, and nothing here is secret). */
#include "collections/certificate.h"
#include "node/node.h"

#include <jansson.h>

static json_t *hex_of(const void *p, size_t n)
{
    char hex[65];

    mk_hex(hex, p, n);
    return json_string(hex);
}

static void put_u64(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *members_of(const struct mk_host *h)
{
    json_t *list = json_array();
    struct mk_peer peer;
    char detail[MK_REASON_MAX];
    struct mk_group_status st;
    uint64_t match;
    bool linked;

    mk_group_glance(h->group, &st);
    for (unsigned i = 0; mk_group_member(h->group, i, &peer, &linked, &match, detail); i++) {
        json_t *m = json_object();

        json_object_set_new(m, "peer", hex_of(peer.b, sizeof peer.b));
        json_object_set_new(m, "linked", json_boolean(linked));
        put_u64(m, "match", match);
        json_object_set_new(m, "place", json_string(mk_group_place(h->group, i)));
        if (st.state == MK_GROUP_LEADING)
            put_u64(m, "lag", st.last > match ? st.last - match : 0);
        else
            json_object_set_new(m, "lag", json_null()); /* the leader knows */
        json_object_set_new(m, "detail", json_string(detail));
        json_array_append_new(list, m);
    }
    return list;
}

static json_t *roster_of(const struct mk_host *h)
{
    const struct mk_roster *r = mk_group_roster(h->group);
    json_t *list = json_array();

    for (size_t i = 0; i < r->peers.n; i++)
        json_array_append_new(list, hex_of(r->peers.v[i].b, sizeof r->peers.v[i].b));
    return list;
}

static json_t *surfaces_of(const struct mk_host *h)
{
    const struct mk_machine_ops *ops = h->machine->ops;
    const struct mk_surfaces *surfaces = mk_group_surfaces(h->group);
    const struct mk_certificate *c;
    json_t *list = json_array();

    for (unsigned i = 0; i < ops->n_surfaces; i++) {
        struct mk_id id = mk_surface_id(&ops->surfaces[i], &h->stable_id);
        json_t *s = json_object();

        json_object_set_new(s, "name", json_string(ops->surfaces[i].name));
        json_object_set_new(s, "kind", json_string(mk_surface_kind_name(ops->surfaces[i].kind)));
        json_object_set_new(s, "surface", hex_of(id.b, sizeof id.b));
        put_u64(s, "index", mk_surface_index(surfaces, i));
        if (mk_group_certificate(h->group, &id, &c) == 0) {
            put_u64(s, "certified_index", c->head.index);
            put_u64(s, "certified_time_ms", c->head.time_ms);
            put_u64(s, "signatures", c->signatures.n);
        } else {
            json_object_set_new(s, "certified_index", json_null());
            json_object_set_new(s, "certified_time_ms", json_null());
            put_u64(s, "signatures", 0);
        }
        json_array_append_new(list, s);
    }
    return list;
}

static void put_driver(json_t *o, const struct mk_host *h)
{
    struct mk_buf b = {0};
    json_t *d = NULL;

    if (h->driver != NULL && h->driver->ops->status != NULL) {
        mk_buf_put_str(&b, "{");
        h->driver->ops->status(h->driver, &b);
        mk_buf_put_str(&b, "}");
        d = json_loadb((const char *)b.p, b.n, 0, NULL);
        mk_buf_done(&b);
    }
    json_object_set_new(o, "driver", d != NULL ? d : json_null());
}

/** What is held by whose admission, and which clause refused how many. */
static json_t *bonds_of(const struct mk_host *h, const struct mk_group_status *st)
{
    json_t *o = json_object(), *refused = json_array();
    uint64_t expires_ms = mk_group_expires_ms(h->group);
    struct mk_refusal r;

    put_u64(o, "members", st->links);
    put_u64(o, "clients", st->clients);
    put_u64(o, "readers", st->readers);
    json_object_set_new(o, "expires_ms",
                        expires_ms == UINT64_MAX ? json_null()
                                                 : json_integer((json_int_t)expires_ms));
    for (unsigned i = 0; mk_group_refusal(h->group, i, &r); i++)
        json_array_append_new(refused, json_pack("{s:i, s:I, s:s}", "clause", (int)r.clause,
                                                 "count", (json_int_t)r.count, "reason", r.reason));
    json_object_set_new(o, "refused", refused);
    return o;
}

static json_t *component_of(const struct mk_host *h)
{
    struct mk_group_status st;
    json_t *o = json_object();
    struct mk_id roster;

    mk_group_status(h->group, &st);
    json_object_set_new(o, "component", json_stringn(h->label.p, h->label.n));
    json_object_set_new(o, "stable_id", hex_of(h->stable_id.b, 32));
    json_object_set_new(o, "deployment", hex_of(h->deployment.b, 32));
    json_object_set_new(o, "state", json_string(mk_group_state_name(st.state)));
    json_object_set_new(o, "leader", st.has_leader ? hex_of(st.leader.b, 32) : json_null());
    put_u64(o, "term", st.term);
    put_u64(o, "epoch", st.epoch);
    put_u64(o, "last", st.last);
    put_u64(o, "commit", st.commit);
    put_u64(o, "applied", st.applied);
    put_u64(o, "snapshot", st.snapshot);
    put_u64(o, "time_ms", st.time_ms);
    put_u64(o, "commits", st.commits);
    put_u64(o, "certificates", st.certificates);
    put_u64(o, "executed", st.executed);
    put_u64(o, "readers", st.readers);
    put_u64(o, "clients", st.clients);
    json_object_set_new(o, "why", json_string(st.why));
    json_object_set_new(o, "bonds", bonds_of(h, &st));
    roster = mk_roster_id(mk_group_roster(h->group));
    json_object_set_new(o, "roster", roster_of(h));
    json_object_set_new(o, "roster_id", hex_of(roster.b, 32));
    json_object_set_new(o, "settled", json_boolean(mk_group_settled(h->group)));
    json_object_set_new(o, "members", members_of(h));
    json_object_set_new(o, "surfaces", surfaces_of(h));
    put_driver(o, h);
    return o;
}

static json_t *links_of(const struct mk_node *n)
{
    json_t *list = json_array();

    for (struct mk_link *l = NULL; (l = mk_net_next_link(n->network->net, l)) != NULL;) {
        json_t *o = json_object();

        json_object_set_new(o, "peer", hex_of(mk_link_peer(l)->b, 32));
        json_object_set_new(o, "remote", json_string(mk_link_remote(l)));
        put_u64(o, "rtt_us", mk_link_rtt_us(l));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *attested_of(const struct mk_witness *w)
{
    const struct mk_evidence *e;
    json_t *list = json_array();
    struct mk_peer peer;

    for (unsigned i = 0; mk_witness_peer(w, i, &peer, &e); i++) {
        json_t *o = json_object();

        json_object_set_new(o, "peer", hex_of(peer.b, sizeof peer.b));
        json_object_set_new(o, "quote", json_string(mk_evidence_name(e)));
        json_object_set_new(o, "reason", json_string(e->reason));
        if (e->state == MK_EVIDENCE_GOOD) {
            char hex[2 * sizeof e->measured.mr_td.b + 1];

            mk_hex(hex, e->measured.mr_td.b, sizeof e->measured.mr_td.b);
            json_object_set_new(o, "mr_td", json_string(hex));
            put_u64(o, "expires_ms", e->expires_ms);
        }
        json_array_append_new(list, o);
    }
    return list;
}

/* What we show, and whom we believe: an emulator on either side is said aloud. */
static json_t *attestation_of(const struct mk_witness *w)
{
    struct mk_witness_status st;
    json_t *o;

    if (w == NULL)
        return json_null();
    mk_witness_status(w, &st);
    o = json_object();
    json_object_set_new(o, "source", json_string(mk_quote_source_name(st.source)));
    json_object_set_new(o, "root",
                        json_string(!st.verifies ? "none"
                                    : st.intel   ? "intel"
                                                 : "NOT INTEL"));
    json_object_set_new(
        o, "emulated", json_boolean(st.source == MK_SOURCE_EMULATOR || (st.verifies && !st.intel)));
    if (st.collateral_expires_s != UINT64_MAX)
        put_u64(o, "collateral_expires_ms", st.collateral_expires_s * 1000);
    else
        json_object_set_new(o, "collateral_expires_ms", json_null());
    put_u64(o, "verifications", st.verifications);
    put_u64(o, "quotes", st.quotes);
    json_object_set_new(o, "fault", json_string(st.fault));
    json_object_set_new(o, "peers", attested_of(w));
    return o;
}

/** The issuers whose tickets count here, and whether their revocations are known. */
static json_t *issuers_of(const struct mk_node *n)
{
    json_t *list = json_array();
    struct mk_issuer_state st;

    for (size_t i = 0; mk_issuer_book_state(n->network->issuers, i, &st, mk_wall_ms(n->env)); i++) {
        json_t *o = json_object();

        json_object_set_new(o, "root", hex_of(st.root.b, 32));
        put_u64(o, "epoch", st.epoch);
        put_u64(o, "signers", st.signers);
        put_u64(o, "list_ms", st.list_version);
        json_object_set_new(o, "fresh", json_boolean(st.fresh));
        put_u64(o, "revoked", st.revoked);
        json_array_append_new(list, o);
    }
    return list;
}

/** The tickets that this node shows; those of issuers with their end. */
static json_t *tickets_of(const struct mk_node *n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n->network->n_tickets; i++) {
        struct mk_arena arena = {0};
        struct mk_signed_ticket body;
        struct mk_claims claims;
        struct mk_ticket t;
        json_t *o = json_object();

        if (mk_decode(&t, &mk_ticket_type, n->network->tickets[i], &arena, NULL) == 0) {
            json_object_set_new(o, "class", hex_of(t.class.b, 32));
            if (mk_decode(&body, &mk_signed_ticket_type, t.data, &arena, NULL) == 0 &&
                mk_claims_parse(&claims, body.claims, NULL) == 0) {
                json_object_set_new(o, "aud", hex_of(claims.aud.b, 32));
                json_object_set_new(o, "jti", hex_of(claims.jti, sizeof claims.jti));
                put_u64(o, "expires_ms", claims.exp * 1000);
            }
        }
        json_array_append_new(list, o);
        mk_arena_done(&arena);
    }
    return list;
}

void mk_node_status(struct mk_node *n, struct mk_buf *json)
{
    struct mk_net_stats st;
    json_t *o = json_object(), *components = json_array();
    char *text;

    mk_net_stats(n->network->net, &st);
    json_object_set_new(o, "peer", hex_of(n->network->key.peer.b, 32));
    put_u64(o, "unix_ms", mk_wall_ms(n->env));
    json_object_set_new(o, "damaged",
                        n->aside.n > 0 ? json_stringn((const char *)n->aside.p, n->aside.n)
                                       : json_null());
    mk_list_each(p, &n->hosts)
        json_array_append_new(components, component_of(mk_container_of(p, struct mk_host, node)));
    json_object_set_new(o, "components", components);
    json_object_set_new(o, "links", links_of(n));
    json_object_set_new(o, "attestation", attestation_of(n->network->witness));
    json_object_set_new(o, "issuers", issuers_of(n));
    json_object_set_new(o, "tickets", tickets_of(n));
    put_u64(o, "known_peers", mk_discovery_size(n->network->discovery));
    put_u64(o, "bytes_in", st.bytes_in);
    put_u64(o, "bytes_out", st.bytes_out);
    put_u64(o, "handshakes_refused", st.handshakes_refused);
    put_u64(o, "links_refused", st.links_refused);
    text = json_dumps(o, JSON_COMPACT);
    mk_buf_put_str(json, text);
    free(text); /* tidy: ok, jansson made it */
    json_decref(o);
}

/* --- the protocol ------------------------------------------------------------------------ */

static void conv_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)m; /* the question was the opening */
    mk_conv_close(c, MK_CLOSE_MALFORMED, "status takes no messages");
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

static unsigned status_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                              char detail[MK_REASON_MAX])
{
    struct mk_node *n = mk_container_of(s, struct mk_node, status);
    struct mk_buf json = {0};
    unsigned close = 0;

    (void)first;
    c->cbs = &conv_cbs;
    mk_node_status(n, &json);
    if (mk_conv_send(c, mk_buf_bytes(&json)) != 0) {
        snprintf(detail, MK_REASON_MAX, "the status is larger than a message");
        close = MK_CLOSE_TOO_LONG;
    }
    mk_buf_done(&json);
    return close;
}

int mk_status_serve(struct mk_node *n)
{
    n->status.proto = "status";
    n->status.accept = status_accept;
    return mk_net_serve(n->network->net, &n->status);
}
