/* status_network.c - what an agent says of itself, as one JSON object: its links, what it bound,
 * its streams, whom it refused and by which clause, what lags; and the protocol "status", by which
 * anybody may ask an agent that listens (reads are open: committees.md, and nothing here is
 * secret).
 *
 * The lists are as long as the program makes them, an answer is one message: of each the first so
 * many are told, of a producer's subscribers those furthest behind, and `not_shown` counts the
 * rest. */
#include "node/status.h"
#include "streams/consumer.h"
#include "streams/producer.h"

#include <stdio.h>
#include <stdlib.h>

#define PRODUCERS_SHOWN 48u
#define SUBSCRIBERS_SHOWN 16u /* of one producer */
#define CONSUMERS_SHOWN 256u
#define BONDS_SHOWN 128u

json_t *mk_json_hex(const void *p, size_t n)
{
    char hex[65];

    mk_hex(hex, p, n);
    return json_string(hex);
}

void mk_json_u64(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

void mk_json_write(struct mk_buf *out, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);

    mk_buf_put_str(out, text);
    free(text); /* tidy: ok, jansson made it */
    json_decref(o);
}

/** A time, null for never. */
static void put_time(json_t *o, const char *key, uint64_t ms, uint64_t never)
{
    json_object_set_new(o, key, ms == never ? json_null() : json_integer((json_int_t)ms));
}

/* --- links, quotes, tickets ---------------------------------------------------------------- */

static json_t *links_of(const struct mk_network *n)
{
    json_t *list = json_array();

    for (struct mk_link *l = NULL; (l = mk_net_next_link(n->net, l)) != NULL;) {
        json_t *o = json_object();

        json_object_set_new(o, "peer", mk_json_hex(mk_link_peer(l)->b, 32));
        json_object_set_new(o, "remote", json_string(mk_link_remote(l)));
        mk_json_u64(o, "rtt_us", mk_link_rtt_us(l));
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

        json_object_set_new(o, "peer", mk_json_hex(peer.b, sizeof peer.b));
        json_object_set_new(o, "quote", json_string(mk_evidence_name(e)));
        json_object_set_new(o, "reason", json_string(e->reason));
        if (e->state == MK_EVIDENCE_GOOD) {
            char hex[2 * sizeof e->measured.mr_td.b + 1];

            mk_hex(hex, e->measured.mr_td.b, sizeof e->measured.mr_td.b);
            json_object_set_new(o, "mr_td", json_string(hex));
            mk_json_u64(o, "expires_ms", e->expires_ms);
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
        mk_json_u64(o, "collateral_expires_ms", st.collateral_expires_s * 1000);
    else
        json_object_set_new(o, "collateral_expires_ms", json_null());
    mk_json_u64(o, "verifications", st.verifications);
    mk_json_u64(o, "quotes", st.quotes);
    json_object_set_new(o, "fault", json_string(st.fault));
    json_object_set_new(o, "peers", attested_of(w));
    return o;
}

/** The issuers whose tickets count here, and whether their revocations are known. */
static json_t *issuers_of(const struct mk_network *n)
{
    json_t *list = json_array();
    struct mk_issuer_state st;

    for (size_t i = 0; mk_issuer_book_state(n->issuers, i, &st, mk_wall_ms(n->env)); i++) {
        json_t *o = json_object();

        json_object_set_new(o, "root", mk_json_hex(st.root.b, 32));
        mk_json_u64(o, "epoch", st.epoch);
        mk_json_u64(o, "signers", st.signers);
        mk_json_u64(o, "list_ms", st.list_version);
        json_object_set_new(o, "fresh", json_boolean(st.fresh));
        mk_json_u64(o, "revoked", st.revoked);
        json_array_append_new(list, o);
    }
    return list;
}

/* What its entry shows: ids of words. */
static json_t *tags_of(const struct mk_network *n)
{
    json_t *list = json_array();
    struct mk_peer_entry e;

    if (mk_discovery_entry(n->discovery, &e, &n->key.peer) == 0) {
        for (size_t i = 0; i < e.tags.n; i++)
            json_array_append_new(list, mk_json_hex(e.tags.v[i].b, sizeof e.tags.v[i].b));
    }
    return list;
}

bool mk_shown_claims(struct mk_bytes ticket, struct mk_claims *ret)
{
    struct mk_arena arena = {0};
    struct mk_signed_ticket body;
    struct mk_ticket t;
    bool is_issuers = mk_decode(&t, &mk_ticket_type, ticket, &arena, NULL) == 0 &&
                      mk_decode(&body, &mk_signed_ticket_type, t.data, &arena, NULL) == 0 &&
                      mk_claims_parse(ret, body.claims, NULL) == 0;

    mk_arena_done(&arena);
    return is_issuers;
}

/** The tickets that this node shows; those of issuers with their end. */
static json_t *tickets_of(const struct mk_network *n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n->wallet.n; i++) {
        struct mk_arena arena = {0};
        struct mk_claims claims;
        struct mk_ticket t;
        json_t *o = json_object();

        if (mk_decode(&t, &mk_ticket_type, n->wallet.v[i], &arena, NULL) == 0)
            json_object_set_new(o, "class", mk_json_hex(t.class.b, 32));
        if (mk_shown_claims(n->wallet.v[i], &claims)) {
            json_object_set_new(o, "aud", mk_json_hex(claims.aud.b, 32));
            json_object_set_new(o, "jti", mk_json_hex(claims.jti, sizeof claims.jti));
            mk_json_u64(o, "expires_ms", claims.exp * 1000);
        }
        json_array_append_new(list, o);
        mk_arena_done(&arena);
    }
    return list;
}

/* --- producers' own streams ---------------------------------------------------------------- */

static json_t *subscriber_of(const struct mk_subscriber_stats *st)
{
    json_t *o = json_object();

    json_object_set_new(o, "peer", mk_json_hex(st->peer.b, sizeof st->peer.b));
    mk_json_u64(o, "since_ms", st->since_ms);
    mk_json_u64(o, "delivered", st->delivered);
    mk_json_u64(o, "dropped", st->dropped);
    mk_json_u64(o, "missed", st->missed);
    mk_json_u64(o, "lag_items", st->lag_items);
    mk_json_u64(o, "lag_bytes", st->lag_bytes);
    mk_json_u64(o, "lag_ms", st->lag_ms);
    json_object_set_new(o, "stalled", json_boolean(st->stalled));
    put_time(o, "expires_ms", st->expires_ms, UINT64_MAX);
    return o;
}

static int further_behind(const void *a, const void *b)
{
    const struct mk_subscriber_stats *x = a, *y = b;

    return x->lag_items > y->lag_items ? -1 : x->lag_items < y->lag_items;
}

static json_t *subscribers_of(const struct mk_producer *p, unsigned *not_shown)
{
    struct mk_subscriber_stats *v = mk_alloc((p->stats.subscribers + 1) * sizeof *v);
    json_t *list = json_array();
    unsigned n = 0;

    mk_list_each(pos, &p->subscribers)
        mk_subscriber_describe(mk_container_of(pos, struct mk_subscriber, node), &v[n++]);
    qsort(v, n, sizeof *v, further_behind);
    for (unsigned i = 0; i < n && i < SUBSCRIBERS_SHOWN; i++)
        json_array_append_new(list, subscriber_of(&v[i]));
    *not_shown += n > SUBSCRIBERS_SHOWN ? n - SUBSCRIBERS_SHOWN : 0;
    mk_free(v);
    return list;
}

const char *mk_refused_by(int clause)
{
    return clause == MK_BY_RULE      ? "rule"
           : clause == MK_BY_LIMIT   ? "limit"
           : clause == MK_BY_UNKNOWN ? "unknown"
                                     : NULL;
}

static json_t *by_what(int clause)
{
    const char *name = mk_refused_by(clause);

    return name != NULL ? json_string(name) : json_integer(clause);
}

static json_t *refusals_of(const struct mk_producer *p)
{
    json_t *list = json_array();
    struct mk_stream_refusal r;

    for (unsigned i = 0; mk_producer_refusal(p, i, &r); i++) {
        json_t *o = json_object();

        json_object_set_new(o, "clause", by_what(r.clause));
        mk_json_u64(o, "count", r.count);
        json_object_set_new(o, "peer", mk_json_hex(r.peer.b, sizeof r.peer.b));
        json_object_set_new(o, "reason", json_string(r.reason));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *producer_of(const struct mk_producer *p, unsigned *not_shown)
{
    struct mk_producer_stats st;
    json_t *o = json_object();

    mk_producer_stats(p, &st);
    json_object_set_new(o, "surface", mk_json_hex(p->options.surface.b, 32));
    json_object_set_new(o, "online", json_boolean(mk_producer_is_online(p)));
    mk_json_u64(o, "sent", st.sent);
    mk_json_u64(o, "bytes", st.bytes);
    mk_json_u64(o, "delivered", st.delivered);
    mk_json_u64(o, "dropped", st.dropped);
    mk_json_u64(o, "missed", st.missed);
    mk_json_u64(o, "closed_slow", st.closed_slow);
    mk_json_u64(o, "expired", st.expired);
    mk_json_u64(o, "retained_items", st.retained_items);
    mk_json_u64(o, "retained_bytes", st.retained_bytes);
    mk_json_u64(o, "lag_items", st.lag_items_max);
    mk_json_u64(o, "subscribed", st.subscribers);
    json_object_set_new(o, "subscribers", subscribers_of(p, not_shown));
    json_object_set_new(o, "refused", refusals_of(p));
    return o;
}

static json_t *producers_of(const struct mk_network *n, unsigned *not_shown)
{
    json_t *list = json_array();

    mk_list_each(p, &n->streams.producers)
    {
        if (json_array_size(list) < PRODUCERS_SHOWN)
            json_array_append_new(
                list, producer_of(mk_container_of(p, struct mk_producer, node), not_shown));
        else
            ++*not_shown;
    }
    return list;
}

static json_t *consumer_of(const struct mk_consumer *c)
{
    struct mk_consumer_stats st;
    json_t *o = json_object();

    mk_consumer_stats(c, &st);
    json_object_set_new(o, "surface", mk_json_hex(c->options.surface.b, 32));
    json_object_set_new(o, "producer", mk_json_hex(c->options.producer.b, 32));
    json_object_set_new(o, "subscribed", json_boolean(st.subscribed));
    json_object_set_new(o, "why", json_string(mk_consumer_why(c)));
    json_object_set_new(o, "paused", json_boolean(c->paused));
    mk_json_u64(o, "items", st.items);
    mk_json_u64(o, "lost", st.lost);
    mk_json_u64(o, "newest", st.newest);
    mk_json_u64(o, "lag_items", st.lag_items);
    mk_json_u64(o, "refusals", st.refusals);
    mk_json_u64(o, "restarts", st.restarts);
    return o;
}

static json_t *consumers_of(const struct mk_network *n, unsigned *not_shown)
{
    json_t *list = json_array();

    mk_list_each(p, &n->streams.consumers)
    {
        if (json_array_size(list) < CONSUMERS_SHOWN)
            json_array_append_new(list, consumer_of(mk_container_of(p, struct mk_consumer, node)));
        else
            ++*not_shown;
    }
    return list;
}

/* --- what is bound ------------------------------------------------------------------------- */

const char *mk_bond_state_name(enum mk_bond_state s)
{
    switch (s) {
    case MK_BOND_RESOLVING:
        return "resolving";
    case MK_BOND_CONNECTING:
        return "connecting";
    case MK_BOND_READY:
        return "ready";
    case MK_BOND_FAILED:
        break;
    }
    return "failed";
}

static json_t *said_of(const struct mk_bond *b)
{
    json_t *list = json_array();
    struct mk_str s;

    for (unsigned i = 0; mk_bond_said(b, i, &s); i++)
        json_array_append_new(list, json_stringn(s.p, s.n));
    return list;
}

static json_t *bond_of(const struct mk_bond *b)
{
    struct mk_bond_status st;
    json_t *o = json_object();
    uint64_t now = mk_wall_ms(b->network->env);

    mk_bond_status(b, &st);
    json_object_set_new(o, "component", json_stringn(b->reference.label.p, b->reference.label.n));
    json_object_set_new(o, "stable_id", mk_json_hex(st.stable_id.b, 32));
    json_object_set_new(o, "deployment", b->bound ? mk_json_hex(st.deployment.b, 32) : json_null());
    json_object_set_new(o, "state", json_string(mk_bond_state_name(st.state)));
    json_object_set_new(o, "why", json_string(st.state == MK_BOND_READY ? "" : st.text));
    mk_json_u64(o, "version", st.version);
    mk_json_u64(o, "epoch", st.epoch);
    mk_json_u64(o, "members", st.members);
    mk_json_u64(o, "linked", st.linked);
    put_time(o, "certified_ms", st.certified_ms, 0);
    if (st.certified_ms > 0)
        mk_json_u64(o, "lag_ms", now > st.certified_ms ? now - st.certified_ms : 0);
    else
        json_object_set_new(o, "lag_ms", json_null());
    json_object_set_new(o, "said", said_of(b));
    return o;
}

void mk_bond_describe(const struct mk_bond *b, struct mk_buf *json)
{
    mk_json_write(json, bond_of(b));
}

static json_t *bonds_of(const struct mk_network *n, unsigned *not_shown)
{
    json_t *list = json_array();

    mk_list_each(p, &n->bonds)
    {
        if (json_array_size(list) < BONDS_SHOWN)
            json_array_append_new(list, bond_of(mk_container_of(p, struct mk_bond, node)));
        else
            ++*not_shown;
    }
    return list;
}

json_t *mk_network_json(struct mk_network *n)
{
    json_t *o = json_object();
    unsigned not_shown = 0;
    struct mk_net_stats st;

    mk_net_stats(n->net, &st);
    json_object_set_new(o, "peer", mk_json_hex(n->key.peer.b, 32));
    mk_json_u64(o, "unix_ms", mk_wall_ms(n->env));
    json_object_set_new(o, "links", links_of(n));
    json_object_set_new(o, "bonds", bonds_of(n, &not_shown));
    json_object_set_new(o, "producers", producers_of(n, &not_shown));
    json_object_set_new(o, "consumers", consumers_of(n, &not_shown));
    mk_json_u64(o, "not_shown", not_shown);
    json_object_set_new(o, "attestation", attestation_of(n->witness));
    json_object_set_new(o, "issuers", issuers_of(n));
    json_object_set_new(o, "tickets", tickets_of(n));
    json_object_set_new(o, "tags", tags_of(n));
    mk_json_u64(o, "known_peers", mk_discovery_size(n->discovery));
    mk_json_u64(o, "bytes_in", st.bytes_in);
    mk_json_u64(o, "bytes_out", st.bytes_out);
    mk_json_u64(o, "handshakes_refused", st.handshakes_refused);
    mk_json_u64(o, "links_refused", st.links_refused);
    json_object_set_new(o, "last_refusal", json_string(st.last_refusal));
    return o;
}

void mk_network_status(struct mk_network *n, struct mk_buf *json)
{
    if (n->tell != NULL)
        n->tell(n->tell_arg, json);
    else
        mk_json_write(json, mk_network_json(n));
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
    struct mk_network *n = mk_container_of(s, struct mk_network, status);
    struct mk_buf json = {0};
    unsigned close = 0;

    (void)first;
    c->cbs = &conv_cbs;
    mk_network_status(n, &json);
    if (mk_conv_send(c, mk_buf_bytes(&json)) != 0) {
        snprintf(detail, MK_REASON_MAX, "the status is larger than a message");
        close = MK_CLOSE_TOO_LONG;
    }
    mk_buf_done(&json);
    return close;
}

int mk_network_status_serve(struct mk_network *n)
{
    n->status = (struct mk_service){.proto = "status", .accept = status_accept};
    return mk_net_serve(n->net, &n->status);
}
