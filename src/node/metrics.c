/* metrics.c - a node's numbers in the text format of Prometheus (docs/metrics.md has each name).
 *
 * What there is is gathered first, a struct of plain numbers a component; tables then say which
 * number is which metric. So a metric's samples stand together, as the format wants them, and a
 * name stands once. Everything is read where it lies: a scrape costs what `coalition status` costs.
 */
#include "group/serve.h"
#include "node/node.h"
#include "streams/consumer.h"
#include "streams/producer.h"
#include <mosaik/ticket.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "coalition_"

enum kind { COUNTER, GAUGE };

struct metric {
    const char *name; /* without the prefix; counters end in _total */
    enum kind kind;
    size_t offset; /* of a uint64_t */
    const char *help;
};

/* --- writing --------------------------------------------------------------------------- */

static void head(struct mk_buf *out, const char *name, const char *type, const char *help)
{
    mk_buf_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void head_of(struct mk_buf *out, const struct metric *m)
{
    head(out, m->name, m->kind == COUNTER ? "counter" : "gauge", m->help);
}

/** A label's value: backslash, quote and newline are escaped. */
static void put_label(struct mk_buf *out, const char *name, struct mk_str value)
{
    mk_buf_printf(out, "%s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\n') {
            mk_buf_put_str(out, "\\n");
            continue;
        }
        if (value.p[i] == '\\' || value.p[i] == '"')
            mk_buf_put_u8(out, '\\');
        mk_buf_put_u8(out, (uint8_t)value.p[i]);
    }
    mk_buf_put_u8(out, '"');
}

static void put_value(struct mk_buf *out, uint64_t v)
{
    mk_buf_printf(out, " %llu\n", (unsigned long long)v);
}

static void put_plain(struct mk_buf *out, const char *name, uint64_t v)
{
    mk_buf_printf(out, PREFIX "%s", name);
    put_value(out, v);
}

/** One sample with one label. */
static void put_one(struct mk_buf *out, const char *name, const char *label, struct mk_str value,
                    uint64_t v)
{
    mk_buf_printf(out, PREFIX "%s{", name);
    put_label(out, label, value);
    mk_buf_put_u8(out, '}');
    put_value(out, v);
}

static void put_two(struct mk_buf *out, const char *name, const char *label, struct mk_str value,
                    const char *label2, struct mk_str value2, uint64_t v)
{
    mk_buf_printf(out, PREFIX "%s{", name);
    put_label(out, label, value);
    mk_buf_put_u8(out, ',');
    put_label(out, label2, value2);
    mk_buf_put_u8(out, '}');
    put_value(out, v);
}

/** The first 16 digits: a name for people and panels, not an identity. */
static struct mk_str short_hex(const void *id, char out[17])
{
    mk_hex(out, id, 8);
    return (struct mk_str){out, 16};
}

static void put_table(struct mk_buf *out, const struct metric *v, size_t n, const void *facts)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value;

        memcpy(&value, (const char *)facts + v[i].offset, sizeof value);
        head_of(out, &v[i]);
        put_plain(out, v[i].name, value);
    }
}

#define N(v) (sizeof(v) / sizeof(v)[0])

/* --- the node as a whole --------------------------------------------------------------- */

struct node_facts {
    uint64_t up_s, ready, components, http_requests;
    uint64_t links, dials, handshakes, unfinished, handshakes_refused, links_refused;
    uint64_t entries, deployments, lists, bytes, refused, expelled;
    uint64_t conversations, neighbours, displaced, comparisons, lapsed, lan_heard, lan_ignored;
    uint64_t store_healthy, frames, written, segments;
    uint64_t verifications, quotes;
};

#define FACT(field) offsetof(struct node_facts, field)
static const struct metric node_metrics[] = {
    {"node_up_seconds", GAUGE, FACT(up_s), "Since the node was opened."},
    {"node_ready", GAUGE, FACT(ready), "1 when /readyz answers 200."},
    {"node_components", GAUGE, FACT(components), "Components that run here."},
    {"http_requests_total", COUNTER, FACT(http_requests), "Requests of this interface."},
    {"net_links", GAUGE, FACT(links), "Links that are up."},
    {"net_dials_total", COUNTER, FACT(dials), "Connections tried."},
    {"net_handshakes", GAUGE, FACT(handshakes), "Inbound handshakes under way."},
    {"net_unfinished_bytes", GAUGE, FACT(unfinished), "Bytes of messages that have come in part."},
    {"net_handshakes_refused_total", COUNTER, FACT(handshakes_refused),
     "Inbound connections that never said who they are."},
    {"net_links_refused_total", COUNTER, FACT(links_refused),
     "Inbound connections refused after that, or before."},
    {"discovery_entries", GAUGE, FACT(entries), "Peer entries held."},
    {"discovery_deployments", GAUGE, FACT(deployments), "Deployments held."},
    {"discovery_revocation_lists", GAUGE, FACT(lists), "Lists of revoked tickets held."},
    {"discovery_held_bytes", GAUGE, FACT(bytes), "Bytes of all records held."},
    {"discovery_records_refused_total", COUNTER, FACT(refused),
     "Records that others sent and that were not taken."},
    {"discovery_expelled_total", COUNTER, FACT(expelled),
     "Conversations ended for what was sent in them."},
    {"discovery_conversations", GAUGE, FACT(conversations), "Peers that gossip with this one now."},
    {"discovery_neighbours", GAUGE, FACT(neighbours), "Of them those that this node dialed."},
    {"discovery_lan_heard_total", COUNTER, FACT(lan_heard),
     "Peers of this universe that multicast DNS told of."},
    {"discovery_lan_ignored_total", COUNTER, FACT(lan_ignored),
     "Datagrams that were none, or too many, and peers of other universes."},
    {"discovery_displaced_total", COUNTER, FACT(displaced),
     "Records that gave way in a full table."},
    {"discovery_comparisons_total", COUNTER, FACT(comparisons),
     "Rounds of comparing what is held, finished."},
    {"discovery_lapsed_total", COUNTER, FACT(lapsed),
     "Records that were announced, asked for and not given in time."},
    {"store_healthy", GAUGE, FACT(store_healthy), "0 when the log is dead."},
    {"store_frames_total", COUNTER, FACT(frames), "Frames written to the log, each with one sync."},
    {"store_written_bytes_total", COUNTER, FACT(written), "Bytes of them."},
    {"store_segments", GAUGE, FACT(segments), "Files of the log."},
    {"quote_verifications_total", COUNTER, FACT(verifications), "Quotes of others judged."},
    {"quotes_made_total", COUNTER, FACT(quotes), "Quotes made here."},
};

static void put_node(struct mk_node *n, struct mk_buf *out)
{
    struct mk_discovery_stats d;
    struct mk_store_stats s;
    struct mk_net_stats net;
    struct mk_witness_status w = {0};
    struct node_facts f;

    mk_net_stats(n->network->net, &net);
    mk_discovery_stats(n->network->discovery, &d);
    mk_store_stats(n->store, &s);
    if (n->network->witness != NULL)
        mk_witness_status(n->network->witness, &w);
    f = (struct node_facts){.up_s = (mk_now(n->env) - n->opened_ns) / MK_S,
                            .ready = mk_node_ready(n, NULL),
                            .components = n->n_hosts,
                            .http_requests = n->http_requests,
                            .links = net.links,
                            .dials = net.dials,
                            .handshakes = net.handshakes,
                            .unfinished = net.unfinished_bytes,
                            .handshakes_refused = net.handshakes_refused,
                            .links_refused = net.links_refused,
                            .entries = d.entries,
                            .deployments = d.deployments,
                            .lists = d.lists,
                            .bytes = d.bytes,
                            .refused = d.refused,
                            .expelled = d.expelled,
                            .conversations = d.conversations,
                            .neighbours = d.neighbours,
                            .displaced = d.displaced,
                            .comparisons = d.comparisons,
                            .lapsed = d.lapsed,
                            .lan_heard = d.lan_heard,
                            .lan_ignored = d.lan_ignored,
                            .store_healthy = mk_store_status(n->store) == 0,
                            .frames = s.frames,
                            .written = s.bytes,
                            .segments = s.segments,
                            .verifications = w.verifications,
                            .quotes = w.quotes};
    put_table(out, node_metrics, N(node_metrics), &f);
}

static void put_both_ways(struct mk_buf *out, const char *name, const char *help, uint64_t in,
                          uint64_t sent)
{
    head(out, name, "counter", help);
    put_one(out, name, "direction", MK_STR("in"), in);
    put_one(out, name, "direction", MK_STR("out"), sent);
}

static void put_net(struct mk_node *n, struct mk_buf *out)
{
    struct mk_discovery_stats d;
    struct mk_net_stats net;

    mk_net_stats(n->network->net, &net);
    mk_discovery_stats(n->network->discovery, &d);
    put_both_ways(out, "net_bytes_total", "Bytes on links.", net.bytes_in, net.bytes_out);
    put_both_ways(out, "net_messages_total", "Messages of conversations.", net.messages_in,
                  net.messages_out);
    put_both_ways(out, "discovery_records_total", "Records passed on by gossip.", d.records_in,
                  d.records_out);
    head(out, "discovery_refused_total", "counter", "Records that were not taken, by reason.");
    for (unsigned i = 0; i < MK_RUMOURS; i++)
        put_one(out, "discovery_refused_total", "reason", mk_str_of(mk_rumour_name(i)),
                d.refused_by[i]);
    head(out, "net_refused_total", "counter", "Inbound connections that never came up, by code.");
    for (unsigned i = 0; i < MK_NET_CLOSES; i++) {
        if (net.refused_by[i] > 0)
            put_one(out, "net_refused_total", "code", mk_str_of(mk_close_name(i)),
                    net.refused_by[i]);
    }
}

static void put_syncs(struct mk_node *n, struct mk_buf *out)
{
    struct mk_store_stats s;
    uint64_t below = 0;

    mk_store_stats(n->store, &s);
    head(out, "store_sync_seconds", "histogram", "How long a frame's write and sync took.");
    for (unsigned i = 0; i < MK_STORE_BUCKETS; i++) {
        below += s.sync_buckets[i];
        mk_buf_printf(out, PREFIX "store_sync_seconds_bucket{le=\"%u.%06u\"} %llu\n",
                      mk_store_bucket_us[i] / 1000000, mk_store_bucket_us[i] % 1000000,
                      (unsigned long long)below);
    }
    mk_buf_printf(out, PREFIX "store_sync_seconds_bucket{le=\"+Inf\"} %llu\n",
                  (unsigned long long)s.frames);
    mk_buf_printf(out, PREFIX "store_sync_seconds_sum %llu.%09llu\n",
                  (unsigned long long)(s.sync_ns / MK_S), (unsigned long long)(s.sync_ns % MK_S));
    put_plain(out, "store_sync_seconds_count", s.frames);
}

/* --- admission ------------------------------------------------------------------------- */

static const struct metric issuer_metrics[] = {
    {"issuer_list_fresh", GAUGE, 0, "1 when revocations of the last 24 hours are known."},
    {"issuer_list_timestamp_seconds", GAUGE, 1,
     "When the newest list was signed; 0: there is none."},
    {"issuer_revoked_tickets", GAUGE, 2, "Tickets on it."},
};

static void put_issuers(struct mk_node *n, struct mk_buf *out)
{
    struct mk_issuer_state st;
    char hex[17];

    for (size_t m = 0; m < N(issuer_metrics); m++) {
        head_of(out, &issuer_metrics[m]);
        for (size_t i = 0; mk_issuer_book_state(n->network->issuers, i, &st, mk_wall_ms(n->env));
             i++) {
            const uint64_t facts[] = {st.fresh, st.list_version / 1000, st.revoked};

            put_one(out, issuer_metrics[m].name, "issuer", short_hex(st.root.b, hex),
                    facts[issuer_metrics[m].offset]);
        }
    }
}

/* --- components ------------------------------------------------------------------------ */

struct component_facts {
    const struct mk_host *host;
    uint64_t leading, has_leader, failed, term, commit, applied, last, snapshot, epoch, time_s;
    uint64_t commits, certificates, certified_s, executed, answered;
    uint64_t members, clients, readers, expires_s, queued;
    uint64_t damages, mended, forgot;
    uint64_t commits_sent, snapshots_sent, lookups, fell_behind;
};

#undef FACT
#define FACT(field) offsetof(struct component_facts, field)
static const struct metric component_metrics[] = {
    {"component_leading", GAUGE, FACT(leading), "1 at the member that leads."},
    {"component_has_leader", GAUGE, FACT(has_leader), "1 when a leader is known."},
    {"component_failed", GAUGE, FACT(failed), "1 when this member has stopped."},
    {"component_term", GAUGE, FACT(term), "Raft's term."},
    {"component_commit_index", GAUGE, FACT(commit), "Entries known to be committed."},
    {"component_applied_index", GAUGE, FACT(applied), "Entries applied."},
    {"component_last_index", GAUGE, FACT(last), "Entries in the log."},
    {"component_snapshot_index", GAUGE, FACT(snapshot), "Entry of the newest snapshot."},
    {"component_damages_total", COUNTER, FACT(damages),
     "Stored records or snapshots that were found damaged."},
    {"component_mended_total", COUNTER, FACT(mended),
     "How often the member was filled again from the others for that."},
    {"component_forgot_total", COUNTER, FACT(forgot),
     "How often another member had lost what it acknowledged to this one, which led."},
    {"component_epoch", GAUGE, FACT(epoch), "Of the roster."},
    {"component_time_seconds", GAUGE, FACT(time_s), "The machine's time, unix; 0: not yet."},
    {"component_commits_total", COUNTER, FACT(commits), "Commits of all surfaces."},
    {"component_certificates_total", COUNTER, FACT(certificates), "Certificates assembled here."},
    {"component_certified_time_seconds", GAUGE, FACT(certified_s),
     "Machine time of the newest certificate."},
    {"component_executed_total", COUNTER, FACT(executed), "Commands applied since the start."},
    {"component_answered_total", COUNTER, FACT(answered), "Commands answered here."},
    {"component_members_linked", GAUGE, FACT(members), "Other members in conversation."},
    {"component_clients", GAUGE, FACT(clients), "Clients admitted."},
    {"component_readers", GAUGE, FACT(readers), "Readers admitted."},
    {"component_admission_end_seconds", GAUGE, FACT(expires_s),
     "When the first admission that is held ends, unix; 0: none does."},
    {"component_driver_queue", GAUGE, FACT(queued), "Commands of the driver that wait."},
    {"reader_commits_sent_total", COUNTER, FACT(commits_sent), "Commits sent to readers."},
    {"reader_snapshots_sent_total", COUNTER, FACT(snapshots_sent), "Snapshots sent to readers."},
    {"reader_lookups_total", COUNTER, FACT(lookups), "Keys looked up with a proof."},
    {"reader_fell_behind_total", COUNTER, FACT(fell_behind),
     "Readers that the retained history no longer reached."},
};

static void gather(struct component_facts *f, const struct mk_host *h)
{
    uint64_t expires_ms = mk_group_expires_ms(h->group);
    struct mk_serve_stats serve;
    struct mk_group_status st;

    mk_group_status(h->group, &st);
    mk_group_serve_stats(h->group, &serve);
    *f = (struct component_facts){.host = h,
                                  .leading = st.state == MK_GROUP_LEADING,
                                  .has_leader = st.has_leader,
                                  .failed = st.state == MK_GROUP_FAILED,
                                  .term = st.term,
                                  .commit = st.commit,
                                  .applied = st.applied,
                                  .last = st.last,
                                  .snapshot = st.snapshot,
                                  .damages = st.damages,
                                  .mended = st.mended,
                                  .forgot = st.forgot,
                                  .epoch = st.epoch,
                                  .time_s = st.time_ms / 1000,
                                  .commits = st.commits,
                                  .certificates = st.certificates,
                                  .certified_s = st.certified_ms / 1000,
                                  .executed = st.executed,
                                  .answered = st.answered,
                                  .members = st.links,
                                  .clients = st.clients,
                                  .readers = st.readers,
                                  .expires_s = expires_ms == UINT64_MAX ? 0 : expires_ms / 1000,
                                  .queued = h->queued,
                                  .commits_sent = serve.commits_sent,
                                  .snapshots_sent = serve.snapshots_sent,
                                  .lookups = serve.lookups_answered,
                                  .fell_behind = serve.fell_behind};
}

static void put_refusals(struct mk_buf *out, const struct component_facts *v, size_t n)
{
    char clause[24];
    struct mk_refusal r;

    head(out, "component_refused_total", "counter",
         "Members, clients and readers refused, by clause of the ACL.");
    for (size_t k = 0; k < n; k++) {
        for (unsigned i = 0; mk_group_refusal(v[k].host->group, i, &r); i++) {
            snprintf(clause, sizeof clause, "%u", r.clause);
            put_two(out, "component_refused_total", "component", v[k].host->label, "clause",
                    mk_str_of(clause), r.count);
        }
    }
}

static void put_lags(struct mk_buf *out, const struct component_facts *v, size_t n)
{
    char detail[MK_REASON_MAX], hex[17];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    head(out, "component_member_lag", "gauge",
         "Entries that a member is behind the leader; at the leader alone.");
    for (size_t k = 0; k < n; k++) {
        for (unsigned i = 0; v[k].leading != 0 &&
                             mk_group_member(v[k].host->group, i, &peer, &linked, &match, detail);
             i++)
            put_two(out, "component_member_lag", "component", v[k].host->label, "member",
                    short_hex(peer.b, hex), v[k].last > match ? v[k].last - match : 0);
    }
}

static void put_uncertified(struct mk_buf *out, const struct component_facts *v, size_t n)
{
    head(out, "surface_uncertified_seconds", "gauge",
         "For how long the oldest commit that came in this life waits for a certificate; 0: none.");
    for (size_t k = 0; k < n; k++) {
        const struct mk_host *h = v[k].host;
        const struct mk_machine_ops *ops = h->machine->ops;

        for (unsigned i = 0; i < ops->n_surfaces; i++)
            put_two(out, "surface_uncertified_seconds", "component", h->label, "surface",
                    mk_str_of(ops->surfaces[i].name), mk_group_uncertified_ms(h->group, i) / 1000);
    }
}

static void put_surfaces(struct mk_buf *out, const struct component_facts *v, size_t n)
{
    static const char *const names[] = {"surface_commits_total", "surface_certified_index"};
    const struct mk_certificate *c;

    for (unsigned m = 0; m < 2; m++) {
        head(out, names[m], m == 0 ? "counter" : "gauge",
             m == 0 ? "Commits of a surface." : "Commits of it that a certificate covers.");
        for (size_t k = 0; k < n; k++) {
            const struct mk_host *h = v[k].host;
            const struct mk_machine_ops *ops = h->machine->ops;

            for (unsigned i = 0; i < ops->n_surfaces; i++) {
                struct mk_id id = mk_surface_id(&ops->surfaces[i], &h->stable_id);
                uint64_t certified =
                    mk_group_certificate(h->group, &id, &c) == 0 ? c->head.index : 0;

                put_two(out, names[m], "component", h->label, "surface",
                        mk_str_of(ops->surfaces[i].name),
                        m == 0 ? mk_surface_index(mk_group_surfaces(h->group), i) : certified);
            }
        }
    }
}

static void put_components(struct mk_node *n, struct mk_buf *out)
{
    struct component_facts *v = mk_alloc((n->n_hosts + 1) * sizeof *v);
    size_t n_facts = 0;

    mk_list_each(p, &n->hosts) gather(&v[n_facts++], mk_container_of(p, struct mk_host, node));
    for (size_t m = 0; m < N(component_metrics); m++) {
        head_of(out, &component_metrics[m]);
        for (size_t k = 0; k < n_facts; k++) {
            uint64_t value;

            memcpy(&value, (const char *)&v[k] + component_metrics[m].offset, sizeof value);
            put_one(out, component_metrics[m].name, "component", v[k].host->label, value);
        }
    }
    put_refusals(out, v, n_facts);
    put_lags(out, v, n_facts);
    put_surfaces(out, v, n_facts);
    put_uncertified(out, v, n_facts);
    mk_free(v);
}

/* --- producers' own streams, and what is consumed ---------------------------------------- */

struct stream_facts {
    struct mk_producer_stats st;
    uint64_t subscribers;
};

#undef FACT
#define FACT(field) offsetof(struct stream_facts, field)
static const struct metric stream_metrics[] = {
    {"stream_items_total", COUNTER, FACT(st.sent), "Items sent."},
    {"stream_bytes_total", COUNTER, FACT(st.bytes), "Bytes of them."},
    {"stream_delivered_total", COUNTER, FACT(st.delivered), "Items handed to subscribers' links."},
    {"stream_dropped_total", COUNTER, FACT(st.dropped), "Items skipped for slow subscribers."},
    {"stream_closed_slow_total", COUNTER, FACT(st.closed_slow),
     "Subscribers closed for being slow."},
    {"stream_refused_total", COUNTER, FACT(st.refused), "Subscriptions refused."},
    {"stream_expired_total", COUNTER, FACT(st.expired), "Subscribers whose admission ended."},
    {"stream_missed_total", COUNTER, FACT(st.missed),
     "Items gone before a subscriber came back for them."},
    {"stream_subscribers", GAUGE, FACT(subscribers), "Subscribers now."},
    {"stream_lag_items", GAUGE, FACT(st.lag_items_max), "How far the last subscriber is behind."},
    {"stream_retained_bytes", GAUGE, FACT(st.retained_bytes), "Bytes kept for subscribers."},
};

static void put_streams(struct mk_node *n, struct mk_buf *out)
{
    char hex[17];

    for (size_t m = 0; m < N(stream_metrics); m++) {
        head_of(out, &stream_metrics[m]);
        mk_list_each(p, &n->network->streams.producers)
        {
            const struct mk_producer *producer = mk_container_of(p, struct mk_producer, node);
            struct stream_facts f;
            uint64_t value;

            mk_producer_stats(producer, &f.st);
            f.subscribers = f.st.subscribers;
            memcpy(&value, (const char *)&f + stream_metrics[m].offset, sizeof value);
            put_one(out, stream_metrics[m].name, "surface",
                    short_hex(producer->options.surface.b, hex), value);
        }
    }
}

static void put_stream_refusals(struct mk_node *n, struct mk_buf *out)
{
    struct mk_stream_refusal r;
    char hex[17], clause[24];

    head(out, "stream_refused_by_total", "counter",
         "Subscriptions refused, and ended, by what refused them.");
    mk_list_each(p, &n->network->streams.producers)
    {
        const struct mk_producer *producer = mk_container_of(p, struct mk_producer, node);

        for (unsigned i = 0; mk_producer_refusal(producer, i, &r); i++) {
            const char *name = mk_refused_by(r.clause);

            snprintf(clause, sizeof clause, "%d", r.clause);
            put_two(out, "stream_refused_by_total", "surface",
                    short_hex(producer->options.surface.b, hex), "clause",
                    mk_str_of(name != NULL ? name : clause), r.count);
        }
    }
}

struct consumer_facts {
    struct mk_consumer_stats st;
    uint64_t subscribed;
};

#undef FACT
#define FACT(field) offsetof(struct consumer_facts, field)
static const struct metric consumer_metrics[] = {
    {"consumer_subscribed", GAUGE, FACT(subscribed), "1 while it is subscribed."},
    {"consumer_items_total", COUNTER, FACT(st.items), "Items delivered to the program."},
    {"consumer_lost_total", COUNTER, FACT(st.lost), "Items that never will come."},
    {"consumer_refusals_total", COUNTER, FACT(st.refusals), "Times that either side refused."},
    {"consumer_lag_items", GAUGE, FACT(st.lag_items), "Items the producer has and we do not."},
};

static void put_consumers(struct mk_node *n, struct mk_buf *out)
{
    char surface[17], producer[17];

    for (size_t m = 0; m < N(consumer_metrics); m++) {
        head_of(out, &consumer_metrics[m]);
        mk_list_each(p, &n->network->streams.consumers)
        {
            const struct mk_consumer *c = mk_container_of(p, struct mk_consumer, node);
            struct consumer_facts f;
            uint64_t value;

            mk_consumer_stats(c, &f.st);
            f.subscribed = f.st.subscribed;
            memcpy(&value, (const char *)&f + consumer_metrics[m].offset, sizeof value);
            put_two(out, consumer_metrics[m].name, "surface",
                    short_hex(c->options.surface.b, surface), "producer",
                    short_hex(c->options.producer.b, producer), value);
        }
    }
}

/* --- what is bound, what is shown ------------------------------------------------------------ */

struct bond_facts {
    uint64_t ready, linked, certified_s;
};

#undef FACT
#define FACT(field) offsetof(struct bond_facts, field)
static const struct metric bond_metrics[] = {
    {"bond_ready", GAUGE, FACT(ready), "1 while a member of what is bound is linked."},
    {"bond_members_linked", GAUGE, FACT(linked), "Members of it that are linked."},
    {"bond_certified_time_seconds", GAUGE, FACT(certified_s),
     "Machine time of the newest certificate seen."},
};

static void put_bonds(struct mk_node *n, struct mk_buf *out)
{
    for (size_t m = 0; m < N(bond_metrics); m++) {
        head_of(out, &bond_metrics[m]);
        mk_list_each(p, &n->network->bonds)
        {
            const struct mk_bond *b = mk_container_of(p, struct mk_bond, node);
            struct mk_bond_status st;
            struct bond_facts f;
            uint64_t value;

            mk_bond_status(b, &st);
            f = (struct bond_facts){st.state == MK_BOND_READY, st.linked, st.certified_ms / 1000};
            memcpy(&value, (const char *)&f + bond_metrics[m].offset, sizeof value);
            put_one(out, bond_metrics[m].name, "component", b->reference.label, value);
        }
    }
}

/** The tickets shown: a monitor warns before the first of them ends. */
static void put_tickets(struct mk_node *n, struct mk_buf *out)
{
    const struct mk_wallet *w = &n->network->wallet;
    char hex[17];

    head(out, "ticket_end_seconds", "gauge", "When a ticket that this node shows ends.");
    for (size_t i = 0; i < w->n; i++) {
        struct mk_claims claims;

        if (mk_shown_claims(w->v[i], &claims))
            put_one(out, "ticket_end_seconds", "jti", short_hex(claims.jti, hex), claims.exp);
    }
}

void mk_node_metrics(struct mk_node *n, struct mk_buf *out)
{
    put_node(n, out);
    put_net(n, out);
    put_syncs(n, out);
    put_issuers(n, out);
    put_components(n, out);
    put_streams(n, out);
    put_stream_refusals(n, out);
    put_consumers(n, out);
    put_bonds(n, out);
    put_tickets(n, out);
}
