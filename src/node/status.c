/* status.c - what a node says of itself, as one JSON object: what its network handle says
 * (status_network.c), and each component as it runs here. */
#include "collections/certificate.h"
#include "collections/surface.h"
#include "node/node.h"
#include "node/status.h"

#include <stdio.h>

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

        json_object_set_new(m, "peer", mk_json_hex(peer.b, sizeof peer.b));
        json_object_set_new(m, "linked", json_boolean(linked));
        mk_json_u64(m, "match", match);
        mk_json_u64(m, "protocol", mk_group_newest(h->group, i));
        json_object_set_new(m, "place", json_string(mk_group_place(h->group, i)));
        if (st.state == MK_GROUP_LEADING)
            mk_json_u64(m, "lag", st.last > match ? st.last - match : 0);
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
        json_array_append_new(list, mk_json_hex(r->peers.v[i].b, sizeof r->peers.v[i].b));
    return list;
}

static void put_retained(json_t *o, const struct mk_surfaces *surfaces, unsigned i)
{
    struct mk_retained r;

    mk_surface_retained(surfaces, i, &r);
    mk_json_u64(o, "oldest", r.oldest);
    json_object_set_new(o, "retention",
                        json_pack("{s:I, s:I, s:I, s:b}", "commits", (json_int_t)r.promised.commits,
                                  "ms", (json_int_t)r.promised.ms, "bytes",
                                  (json_int_t)r.promised.bytes, "cut", r.cut));
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
        json_object_set_new(s, "surface", mk_json_hex(id.b, sizeof id.b));
        mk_json_u64(s, "index", mk_surface_index(surfaces, i));
        put_retained(s, surfaces, i);
        if (mk_group_certificate(h->group, &id, &c) == 0) {
            mk_json_u64(s, "certified_index", c->head.index);
            mk_json_u64(s, "certified_time_ms", c->head.time_ms);
            mk_json_u64(s, "signatures", c->signatures.n);
        } else {
            json_object_set_new(s, "certified_index", json_null());
            json_object_set_new(s, "certified_time_ms", json_null());
            mk_json_u64(s, "signatures", 0);
        }
        mk_json_u64(s, "uncertified_ms", mk_group_uncertified_ms(h->group, i));
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

    mk_json_u64(o, "members", st->links);
    mk_json_u64(o, "clients", st->clients);
    mk_json_u64(o, "readers", st->readers);
    json_object_set_new(o, "expires_ms",
                        expires_ms == UINT64_MAX ? json_null()
                                                 : json_integer((json_int_t)expires_ms));
    for (unsigned i = 0; mk_group_refusal(h->group, i, &r); i++)
        json_array_append_new(refused, json_pack("{s:i, s:I, s:s}", "clause", (int)r.clause,
                                                 "count", (json_int_t)r.count, "reason", r.reason));
    json_object_set_new(o, "refused", refused);
    return o;
}

/** The hash of the state at the last entry at which all members took it. */
static json_t *check_of(const struct mk_host *h)
{
    struct mk_group_check c;
    char nonce[17];
    json_t *o;

    if (!mk_group_checked(h->group, &c))
        return json_null();
    o = json_object();
    snprintf(nonce, sizeof nonce, "%016llx", (unsigned long long)c.nonce);
    mk_json_u64(o, "index", c.index);
    json_object_set_new(o, "nonce", json_string(nonce));
    json_object_set_new(o, "hash", mk_json_hex(c.hash.b, sizeof c.hash.b));
    return o;
}

/** What became of the last changes of the roster. */
static json_t *course_of(const struct mk_host *h)
{
    json_t *list = json_array();
    struct mk_course x;

    for (unsigned i = 0; mk_group_course(h->group, i, &x); i++) {
        json_t *o = json_object();

        mk_json_u64(o, "unix_ms", x.unix_ms);
        mk_json_u64(o, "epoch", x.epoch);
        json_object_set_new(o, "step", json_string(mk_course_step_name(x.step)));
        json_object_set_new(o, "of", x.peer_known ? mk_json_hex(x.peer.b, 32) : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *component_of(const struct mk_host *h)
{
    struct mk_group_status st;
    json_t *o = json_object();
    struct mk_id roster;

    mk_group_status(h->group, &st);
    json_object_set_new(o, "component", json_stringn(h->label.p, h->label.n));
    json_object_set_new(o, "stable_id", mk_json_hex(h->stable_id.b, 32));
    json_object_set_new(o, "deployment", mk_json_hex(h->deployment.b, 32));
    json_object_set_new(o, "private", json_boolean(h->inner != NULL));
    json_object_set_new(o, "state", json_string(mk_group_state_name(st.state)));
    json_object_set_new(o, "leader", st.has_leader ? mk_json_hex(st.leader.b, 32) : json_null());
    mk_json_u64(o, "term", st.term);
    mk_json_u64(o, "epoch", st.epoch);
    mk_json_u64(o, "last", st.last);
    mk_json_u64(o, "commit", st.commit);
    mk_json_u64(o, "applied", st.applied);
    mk_json_u64(o, "snapshot", st.snapshot);
    mk_json_u64(o, "damages", st.damages);
    mk_json_u64(o, "mended", st.mended);
    mk_json_u64(o, "forgot", st.forgot);
    json_object_set_new(o, "damage", json_string(st.damage));
    mk_json_u64(o, "time_ms", st.time_ms);
    mk_json_u64(o, "protocol", mk_group_level(h->group));
    json_object_set_new(o, "check", check_of(h));
    mk_json_u64(o, "leased", st.leased);
    mk_json_u64(o, "commits", st.commits);
    mk_json_u64(o, "certificates", st.certificates);
    mk_json_u64(o, "executed", st.executed);
    mk_json_u64(o, "readers", st.readers);
    mk_json_u64(o, "clients", st.clients);
    json_object_set_new(o, "why", json_string(st.why));
    json_object_set_new(o, "bonds", bonds_of(h, &st));
    roster = mk_roster_id(mk_group_roster(h->group));
    json_object_set_new(o, "roster", roster_of(h));
    json_object_set_new(o, "roster_id", mk_json_hex(roster.b, 32));
    json_object_set_new(o, "settled", json_boolean(mk_group_settled(h->group)));
    json_object_set_new(o, "members", members_of(h));
    json_object_set_new(o, "course", course_of(h));
    json_object_set_new(o, "surfaces", surfaces_of(h));
    put_driver(o, h);
    return o;
}

/** A component that is served to readers, of another committee: how old what it serves is. */
static json_t *replica_of(const struct mk_mirror *m)
{
    json_t *o = json_object(), *surfaces = json_array();
    const struct mk_machine_ops *ops = m->machine->ops;
    const char *reason = "";
    uint64_t age = UINT64_MAX;

    json_object_set_new(o, "component", json_stringn(m->label.p, m->label.n));
    json_object_set_new(o, "stable_id", mk_json_hex(m->stable_id.b, 32));
    json_object_set_new(o, "deployment",
                        m->bond->bound ? mk_json_hex(m->bond->component.deployment.b, 32)
                                       : json_null());
    if (m->replica != NULL)
        age = mk_replica_age_ms(m->replica);
    json_object_set_new(o, "age_ms",
                        age == UINT64_MAX ? json_null() : json_integer((json_int_t)age));
    mk_json_u64(o, "epoch", m->bond->bound ? mk_reader_epoch(m->bond->memory) : 0);
    mk_json_u64(o, "members_linked", mk_bond_linked(m->bond));
    mk_json_u64(o, "readers", m->replica != NULL ? mk_replica_readers(m->replica) : 0);
    mk_json_u64(o, "refused", m->replica != NULL ? mk_replica_refused(m->replica, &reason) : 0);
    json_object_set_new(o, "reason", json_string(reason));
    json_object_set_new(o, "why",
                        json_string(m->replica != NULL ? mk_replica_why(m->replica) : ""));
    for (unsigned i = 0; m->replica != NULL && i < ops->n_surfaces; i++)
        json_array_append_new(
            surfaces, json_pack("{s:s, s:s, s:I}", "name", ops->surfaces[i].name, "kind",
                                mk_surface_kind_name(ops->surfaces[i].kind), "index",
                                (json_int_t)mk_surface_index(mk_replica_surfaces(m->replica), i)));
    json_object_set_new(o, "surfaces", surfaces);
    return o;
}

void mk_node_status(struct mk_node *n, struct mk_buf *json)
{
    json_t *o = mk_network_json(n->network), *components = json_array(), *replicas = json_array();

    mk_json_u64(o, "oldest_protocol", mk_net_protocols(n->network->net).oldest);
    mk_json_u64(o, "newest_protocol", mk_net_protocols(n->network->net).newest);
    json_object_set_new(o, "damaged",
                        n->aside.n > 0 ? json_stringn((const char *)n->aside.p, n->aside.n)
                                       : json_null());
    mk_list_each(p, &n->hosts)
        json_array_append_new(components, component_of(mk_container_of(p, struct mk_host, node)));
    json_object_set_new(o, "components", components);
    mk_list_each(p, &n->mirrors)
        json_array_append_new(replicas, replica_of(mk_container_of(p, struct mk_mirror, node)));
    json_object_set_new(o, "replicas", replicas);
    mk_json_write(json, o);
}

static void tell(void *arg, struct mk_buf *json)
{
    mk_node_status(arg, json);
}

static void retake(void *arg, const struct mk_peer *peer, const struct mk_wire_tickets *tickets)
{
    struct mk_node *n = arg;

    mk_list_each(p, &n->hosts)
        mk_group_retake(mk_container_of(p, struct mk_host, node)->group, peer, tickets);
    mk_list_each(p, &n->mirrors)
    {
        struct mk_mirror *m = mk_container_of(p, struct mk_mirror, node);

        if (m->replica != NULL)
            mk_replica_retake(m->replica, peer, tickets);
    }
}

void mk_status_serve(struct mk_node *n)
{
    n->network->retake = retake;
    n->network->tell = tell;
    n->network->tell_arg = n;
}
