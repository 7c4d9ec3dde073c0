/* One follow a surface; what it delivers becomes history, what it holds becomes the map that is
 * served. A follow shows nothing that no certificate covers, so at the end of a turn each
 * surface stands exactly at its follow's certificate, and the two are given to the server of
 * readers as a member's group would.
 *
 * A map that begins with a snapshot has no history before it: readers that are further behind
 * get a snapshot too. A stream whose beginning is lost begins here one commit after what the
 * member still has, whose hash is then what the first one continues.
 *
 * Failure modes: a follow that cannot go on (a conflict, a retirement) stops moving; its age
 * tells. Where all members refuse us (a ticket, a quote that ended) they are asked again from time
 * to time: what they want may be there later. */
#include "group/replica.h"

#include "base/assert.h"
#include "collections/history.h"
#include "group/hub.h"
#include "group/serve.h"

#include <stdio.h>
#include <string.h>

#define AGAIN_MS 5000u

struct part {
    struct mk_replica *of;
    unsigned i;
    struct mk_follow *follow;
    bool dirty, lost;      /* lost: the next commit's predecessor is not known */
    struct mk_timer again; /* while all refuse us */
};

struct mk_replica {
    struct mk_env *env;
    struct mk_id deployment;
    struct mk_gate gate;
    struct mk_witness_watch evidence;
    uint64_t refused;
    char reason[256];
    char why[MK_FAULT_MAX];
    struct mk_reader_memory *memory;
    struct mk_surfaces surfaces;
    struct mk_serve *serve;
    struct mk_serve_host host;
    struct mk_hub_reader hub;
    struct mk_task task;
    struct part parts[MK_SURFACES_MAX];
};

/* --- what the server of readers asks ----------------------------------------------------- */

static struct mk_replica *of_host(struct mk_serve_host *h)
{
    return mk_container_of(h, struct mk_replica, host);
}

static struct mk_surfaces *host_surfaces(struct mk_serve_host *h)
{
    return &of_host(h)->surfaces;
}

static void host_judge(struct mk_serve_host *h, struct mk_verdict *ret,
                       const struct mk_bearer *bearer)
{
    struct mk_replica *r = of_host(h);

    mk_gate_judge(&r->gate, ret, bearer, MK_SCOPE_READ, mk_wall_ms(r->env));
    if (ret->admitted || ret->pending)
        return;
    r->refused++;
    snprintf(r->reason, sizeof r->reason, "%s", ret->reason);
}

static uint64_t host_epoch(struct mk_serve_host *h)
{
    return mk_reader_epoch(of_host(h)->memory);
}

static const struct mk_roster_change *host_change(struct mk_serve_host *h, uint64_t epoch)
{
    return mk_reader_change(of_host(h)->memory, epoch);
}

static void host_interest(struct mk_serve_host *h, unsigned surface, int more)
{
    (void)h;
    (void)surface;
    (void)more; /* we are a reader ourselves: heads are renewed for us */
}

static const struct mk_certificate *host_certificate(struct mk_serve_host *h, unsigned surface)
{
    struct mk_replica *r = of_host(h);
    const struct mk_certificate *c = mk_follow_certificate(r->parts[surface].follow);

    return c != NULL && c->head.index == r->surfaces.v[surface].index ? c : NULL;
}

/* A quote was judged, or counts no longer. */
static void evidence_changed(struct mk_witness_watch *w, const struct mk_peer *peer)
{
    mk_serve_rejudge(mk_container_of(w, struct mk_replica, evidence)->serve, peer);
}

/* --- what the follows tell ----------------------------------------------------------------- */

static void part_changed(struct part *p)
{
    p->dirty = true;
    mk_later(p->of->env, &p->of->task);
}

static void on_certified(struct mk_follow *f, const struct mk_certificate *c)
{
    struct part *p = mk_follow_owner(f);

    (void)c;
    p->of->why[0] = '\0';
    part_changed(p);
}

static void on_gap(struct mk_follow *f, uint64_t from, uint64_t to)
{
    struct part *p = mk_follow_owner(f);

    (void)from;
    (void)to;
    p->lost = true;
}

/* The surface stands at a point; nothing before it is here. */
static void begin_at(struct mk_surface *s, uint64_t index, const struct mk_id *commit)
{
    s->index = index;
    s->commit = *commit;
    mk_history_reset(s->history, commit);
}

static void on_snapshot(struct mk_follow *f, uint64_t index)
{
    struct part *p = mk_follow_owner(f);
    const struct mk_certificate *c = mk_follow_certificate(f);

    MK_ASSERT(c != NULL && c->head.index == index);
    begin_at(&p->of->surfaces.v[p->i], index, &c->head.commit);
    part_changed(p);
}

static void on_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct part *p = mk_follow_owner(f);
    struct mk_surface *s = &p->of->surfaces.v[p->i];
    struct mk_id digest = s->schema;

    if (p->lost || index != s->index + 1) {
        begin_at(s, index, mk_follow_hash(f));
        p->lost = false;
        return;
    }
    if (marker)
        digest = mk_schema_digest(&mk_retirement_marker_type);
    mk_surface_commit(s, &digest, payload);
}

static void again_cb(struct mk_timer *t)
{
    mk_follow_again(mk_container_of(t, struct part, again)->follow);
}

static void on_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    struct part *p = mk_follow_owner(f);

    snprintf(p->of->why, sizeof p->of->why, "%s", fault->text); /* what we have grows old */
    p->again.cb = again_cb;
    if (status == MK_EREFUSED || status == MK_EUNREACHABLE)
        mk_timer_start(p->of->env, &p->again, mk_now(p->of->env) + AGAIN_MS * MK_MS);
}

static const struct mk_follow_cbs follow_cbs = {.certified = on_certified,
                                                .gap = on_gap,
                                                .snapshot = on_snapshot,
                                                .commit = on_commit,
                                                .failed = on_failed};

static void publish(struct mk_replica *r, struct part *p)
{
    const struct mk_certificate *c = mk_follow_certificate(p->follow);
    struct mk_surface *s = &r->surfaces.v[p->i];

    if (c == NULL || c->head.index != s->index || !mk_id_eq(&c->head.commit, &s->commit))
        return;
    if (mk_surface_keyed(s->spec->kind)) {
        mk_trie_done(&s->map);
        mk_trie_fork(&s->map, mk_follow_map(p->follow));
    }
    mk_serve_marked(r->serve, p->i);
    mk_serve_certified(r->serve, p->i, c);
}

static void publish_cb(struct mk_task *t)
{
    struct mk_replica *r = mk_container_of(t, struct mk_replica, task);

    for (unsigned i = 0; i < r->surfaces.n; i++) {
        if (!r->parts[i].dirty)
            continue;
        r->parts[i].dirty = false;
        publish(r, &r->parts[i]);
    }
}

/* --- open and close ----------------------------------------------------------------------------
 */

static int follow_all(struct mk_replica *r, struct mk_net *net, const struct mk_replica_options *o)
{
    for (unsigned i = 0; i < r->surfaces.n; i++) {
        const struct mk_surface *s = &r->surfaces.v[i];
        struct mk_follow_options f = {.surface = s->id,
                                      .kind = s->spec->kind,
                                      .schema = s->schema,
                                      .from = mk_surface_keyed(s->spec->kind) ? mk_from_Snapshot
                                                                              : mk_from_Oldest};
        int rv;

        r->parts[i].of = r;
        r->parts[i].i = i;
        rv = mk_follow_open(r->env, net, &r->parts[i].follow, o->component, o->memory, &f,
                            &follow_cbs, &r->parts[i], o->report);
        if (rv != 0)
            return rv;
    }
    return 0;
}

int mk_replica_open(struct mk_env *e, struct mk_net *net, struct mk_replica **ret,
                    const struct mk_replica_options *o)
{
    struct mk_replica *r = mk_alloc(sizeof *r);
    int rv;

    MK_ASSERT(o->n_specs <= MK_SURFACES_MAX);
    r->env = e;
    r->deployment = o->component->deployment;
    r->gate = (struct mk_gate){.acl = o->acl,
                               .stable_id = o->component->stable_id,
                               .own_issuer = o->own_issuer,
                               .issuers = o->issuers,
                               .standing = o->standing,
                               .attestation =
                                   o->witness != NULL ? mk_witness_attestation(o->witness) : NULL};
    r->memory = o->memory;
    r->task.cb = publish_cb;
    r->host = (struct mk_serve_host){host_surfaces, host_judge,    host_epoch,
                                     host_change,   host_interest, host_certificate};
    mk_surfaces_init(&r->surfaces, o->specs, o->n_specs, &o->component->stable_id, &r->deployment);
    rv = mk_serve_open(e, &r->serve, &r->host);
    if (rv == 0) {
        r->hub.deployment = r->deployment;
        r->hub.serve = r->serve;
        rv = mk_hub_add_reader(e, net, &r->hub);
    }
    if (rv == 0)
        rv = follow_all(r, net, o);
    if (rv != 0) {
        mk_replica_close(r);
        return rv;
    }
    r->evidence.changed = evidence_changed;
    if (o->witness != NULL)
        mk_witness_watch(o->witness, &r->evidence);
    *ret = r;
    return 0;
}

void mk_replica_close(struct mk_replica *r)
{
    if (r == NULL)
        return;
    mk_witness_unwatch(&r->evidence);
    mk_hub_remove_reader(&r->hub);
    mk_serve_close(r->serve);
    for (unsigned i = 0; i < r->surfaces.n; i++) {
        mk_timer_stop(&r->parts[i].again);
        mk_follow_close(r->parts[i].follow);
    }
    mk_later_cancel(&r->task);
    mk_surfaces_done(&r->surfaces);
    mk_free(r);
}

uint64_t mk_replica_age_ms(const struct mk_replica *r)
{
    uint64_t now = mk_wall_ms(r->env), oldest = 0;

    for (unsigned i = 0; i < r->surfaces.n; i++) {
        const struct mk_certificate *c = mk_follow_certificate(r->parts[i].follow);

        if (c == NULL)
            return UINT64_MAX;
        if (c->head.time_ms < now && now - c->head.time_ms > oldest)
            oldest = now - c->head.time_ms;
    }
    return oldest;
}

unsigned mk_replica_readers(const struct mk_replica *r)
{
    return mk_serve_readers(r->serve);
}

const char *mk_replica_why(const struct mk_replica *r)
{
    return r->why;
}

uint64_t mk_replica_refused(const struct mk_replica *r, const char **ret_reason)
{
    *ret_reason = r->reason;
    return r->refused;
}

const struct mk_surfaces *mk_replica_surfaces(const struct mk_replica *r)
{
    return &r->surfaces;
}

void mk_replica_rejudge(struct mk_replica *r)
{
    mk_serve_rejudge(r->serve, NULL);
}

void mk_replica_retake(struct mk_replica *r, const struct mk_peer *peer,
                       const struct mk_wire_tickets *tickets)
{
    mk_serve_retake(r->serve, peer, tickets);
}
