/* lookup.c - single keys of a map, each with a proof against a fresh certificate.
 *
 * A conversation for each map, kept while keys are asked for and closed when it was idle
 * for a while (a member keeps its heads fresh for readers that are there). An answer
 * counts when its certificate is of the roster, its proof adds up to the certified root,
 * and the head is as fresh as the caller wants. A stale one is asked for again until the
 * deadline, since heads are renewed; one that does not add up costs the member its place. */
#include "group/client_int.h"
#include "group/proof.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define SILENT_MS 4000u
#define AGAIN_MS 250u
#define IDLE_MS 10000u
#define LOOKUP_MAPS_MAX 256u /* conversations of one client */
#define GETS_MAX 4096u       /* of one map */

struct get {
    struct mk_list node;
    struct mk_lookups *of;
    struct mk_get *user;
    uint64_t id;
    struct mk_buf key;
    uint64_t max_age_ms;
    uint64_t deadline_ns, again_ns;
    uint32_t timeout_ms;
    bool with_member;
    bool stale; /* the last answer was, says: */
    struct mk_fault said;
};

static void lookups_wake(struct mk_lookups *l)
{
    if (!l->client->closed)
        mk_later(l->client->env, &l->task);
}

static void get_end(struct get *g, int status, struct mk_bytes value,
                    const struct mk_certificate *c, const struct mk_fault *fault)
{
    struct mk_get *user = g->user;

    mk_list_del(&g->node);
    g->of->n_gets--;
    mk_buf_done(&g->key);
    mk_free(g);
    user->impl = NULL;
    user->cb(user, status, value, c, fault);
}

static void get_fail(struct get *g, int status, const struct mk_fault *fault)
{
    get_end(g, status, MK_BYTES(NULL, 0), NULL, fault);
}

static void get_expire(struct mk_lookups *l, struct get *g)
{
    struct mk_fault fault, why;
    int status;

    if (g->stale) {
        fault = g->said;
        get_fail(g, MK_ESTALE, &fault);
        return;
    }
    status = mk_chooser_why(&l->chooser, &why);
    if (g->with_member)
        status = MK_ETIMEDOUT;
    mk_fault(&fault, status, "no answer within %u ms; %.300s", g->timeout_ms, why.text);
    get_fail(g, status, &fault);
}

/* --- answers --------------------------------------------------------------------------- */

static void lose_member(struct mk_lookups *l, unsigned close, const char *detail, bool lied)
{
    l->conv = NULL;
    l->blocked = false;
    mk_list_each(at, &l->gets)
    {
        mk_container_of(at, struct get, node)->with_member = false;
        mk_container_of(at, struct get, node)->again_ns = 0;
    }
    mk_chooser_failed(&l->chooser, &l->peer, close, detail, lied);
    lookups_wake(l);
}

static void drop_member(struct mk_lookups *l, unsigned close, const char *detail, bool lied)
{
    char text[MK_REASON_MAX];

    snprintf(text, sizeof text, "%s%.240s", lied ? "dropped: " : "", detail);
    mk_conv_close(l->conv, close, detail);
    lose_member(l, close, text, lied);
}

/* Is the answer as fresh as it has to be? A head of which a renewal is known counts as that. */
static int check_fresh(struct mk_lookups *l, const struct get *g, const struct mk_certificate *c,
                       struct mk_fault *reterr)
{
    const struct mk_certificate *newest = c;

    mk_reader_newest(l->client->memory, &l->surface, &newest);
    if (newest->head.index != c->head.index)
        return mk_fault(reterr, MK_ESTALE, "the member is at index %llu, %llu is known",
                        (unsigned long long)c->head.index, (unsigned long long)newest->head.index);
    if (g->max_age_ms == 0)
        return 0;
    if (newest->head.epoch != mk_reader_epoch(l->client->memory))
        return mk_fault(reterr, MK_ESTALE, "the head is of epoch %llu, which is over",
                        (unsigned long long)newest->head.epoch);
    return mk_reader_fresh(newest, mk_wall_ms(l->client->env), g->max_age_ms, reterr);
}

static void got_found(struct mk_lookups *l, const struct mk_found *m)
{
    struct mk_fault fault;
    struct get *g = NULL;
    int rv;

    mk_list_each(at, &l->gets)
    {
        if (mk_container_of(at, struct get, node)->id == m->id)
            g = mk_container_of(at, struct get, node);
    }
    if (g == NULL || !g->with_member)
        return; /* timed out meanwhile */
    if (!mk_id_eq(&m->certificate.head.surface, &l->surface)) {
        drop_member(l, MK_CLOSE_CONFLICT, "a certificate of another surface", /* lied= */ true);
        return;
    }
    rv = mk_reader_believes(l->client->memory, &m->certificate, &fault);
    if (rv == 0)
        rv = mk_map_proof_check(&m->certificate.head.state, mk_buf_bytes(&g->key),
                                m->value.some ? &m->value.v : NULL, &m->proof, &fault);
    if (rv == MK_ESIGNATURE) {
        drop_member(l, MK_CLOSE_CONFLICT, fault.text, /* lied= */ true);
        return;
    }
    if (rv == MK_ENOTFOUND || rv == MK_ELIMIT) {
        drop_member(l, MK_CLOSE_NONE, fault.text, /* lied= */ false);
        return;
    }
    if (rv != 0) {
        get_fail(g, rv, &fault);
        return;
    }
    mk_chooser_served(&l->chooser, &l->peer);
    if (check_fresh(l, g, &m->certificate, &g->said) != 0) {
        g->stale = true;
        g->with_member = false;
        g->again_ns = mk_now(l->client->env) + AGAIN_MS * MK_MS;
        lookups_wake(l);
        return;
    }
    get_end(g, m->value.some ? 0 : MK_ENOTFOUND, m->value.some ? m->value.v : MK_BYTES(NULL, 0),
            &m->certificate, NULL);
}

static void lookups_message_cb(struct mk_conv *conv, struct mk_bytes bytes)
{
    struct mk_lookups *l = conv->owner;
    struct mk_client *c = l->client;
    struct mk_arena arena = {0};
    struct mk_surface_message m;
    struct mk_fault fault;
    int rv;

    mk_client_enter(c);
    mk_conv_consumed(conv, bytes.n);
    l->heard_ns = mk_now(c->env);
    rv = mk_decode(&m, &mk_surface_message_type, bytes, &arena, &fault);
    if (rv != 0) {
        drop_member(l, MK_CLOSE_MALFORMED, fault.text, /* lied= */ true);
    } else if (m.tag == mk_surface_message_Found) {
        got_found(l, &m.u.found);
    } else if (m.tag == mk_surface_message_RosterChange) {
        rv = mk_reader_learn(c->memory, &m.u.roster_change, &fault);
        if (rv != 0)
            drop_member(l, MK_CLOSE_CONFLICT, fault.text, /* lied= */ true);
    } else if (m.tag != mk_surface_message_Welcome) {
        drop_member(l, MK_CLOSE_MALFORMED, "an answer that nobody asked for", /* lied= */ true);
    }
    mk_arena_done(&arena);
    mk_client_leave(c);
}

static void lookups_writable_cb(struct mk_conv *conv)
{
    struct mk_lookups *l = conv->owner;

    l->blocked = false;
    lookups_wake(l);
}

static void lookups_closed_cb(struct mk_conv *conv, unsigned close, const char *detail)
{
    lose_member(conv->owner, close, detail, /* lied= */ false);
}

static const struct mk_conv_cbs lookups_conv_cbs = {
    .message = lookups_message_cb, .writable = lookups_writable_cb, .closed = lookups_closed_cb};

/* --- asking ------------------------------------------------------------------------------ */

static void lookups_open_conv(struct mk_lookups *l, struct mk_link *link)
{
    struct mk_client *c = l->client;
    struct mk_surface_hello hello = {.deployment = c->component.deployment,
                                     .stable_id = c->component.stable_id,
                                     .surface = l->surface,
                                     .epoch = mk_reader_epoch(c->memory),
                                     .from.tag = mk_from_Lookups,
                                     .tickets = mk_component_tickets(&c->component)};
    struct mk_buf first = {0};
    int rv;

    mk_encode(&first, &mk_surface_hello_type, &hello);
    l->peer = *mk_link_peer(link);
    rv = mk_conv_open(link, &l->conv, "surface", mk_buf_bytes(&first), &lookups_conv_cbs, l);
    mk_buf_done(&first);
    l->heard_ns = mk_now(c->env);
    if (rv != 0)
        lose_member(l, MK_CLOSE_LOST, mk_strerror(rv), /* lied= */ false);
}

/* Returns whether anybody waits for an answer. */
static bool lookups_send(struct mk_lookups *l)
{
    uint64_t now = mk_now(l->client->env);
    struct mk_buf b = {0};
    bool waiting = false;

    mk_list_each(at, &l->gets)
    {
        struct get *g = mk_container_of(at, struct get, node);
        struct mk_lookup m = {.id = g->id, .key = mk_buf_bytes(&g->key)};

        if (!g->with_member && g->again_ns <= now && !l->blocked) {
            mk_buf_clear(&b);
            mk_encode(&b, &mk_lookup_type, &m);
            g->with_member = mk_conv_send(l->conv, mk_buf_bytes(&b)) == 0;
            l->blocked = !g->with_member;
            if (g->with_member && !waiting)
                l->heard_ns = now;
        }
        waiting = waiting || g->with_member;
    }
    mk_buf_done(&b);
    return waiting;
}

static struct get *late_get(struct mk_lookups *l)
{
    uint64_t now = mk_now(l->client->env);

    mk_list_each(at, &l->gets)
    {
        if (mk_container_of(at, struct get, node)->deadline_ns <= now)
            return mk_container_of(at, struct get, node);
    }
    return NULL;
}

/* Both: a callback may close the client, which frees l; then nothing of it is touched. */
static void end_late(struct mk_lookups *l)
{
    struct mk_client *c = l->client;
    struct get *g;

    for (unsigned n = l->n_gets; n > 0 && !c->closed && (g = late_get(l)) != NULL; n--)
        get_expire(l, g);
}

static void end_hopeless(struct mk_lookups *l)
{
    struct mk_client *c = l->client;
    struct mk_fault fault;
    int status = mk_chooser_why(&l->chooser, &fault);

    if (status == MK_ENOTFOUND) /* of a key that means: proven absent */
        status = MK_EREFUSED;
    for (unsigned n = l->n_gets; n > 0 && !c->closed && !mk_list_empty(&l->gets); n--)
        get_fail(mk_container_of(l->gets.next, struct get, node), status, &fault);
}

static void lookups_free(struct mk_lookups *l)
{
    if (l->conv != NULL)
        mk_conv_close(l->conv, MK_CLOSE_NONE, NULL);
    mk_later_cancel(&l->task);
    mk_timer_stop(&l->timer);
    mk_list_del(&l->node);
    mk_chooser_done(&l->chooser);
    l->client->n_lookups--;
    mk_free(l);
}

static void lookups_arm(struct mk_lookups *l, bool waiting)
{
    uint64_t now = mk_now(l->client->env), at = UINT64_MAX, retry;

    mk_list_each(node, &l->gets)
    {
        struct get *g = mk_container_of(node, struct get, node);

        if (g->deadline_ns < at)
            at = g->deadline_ns;
        if (!g->with_member && g->again_ns > now && g->again_ns < at)
            at = g->again_ns;
    }
    retry = l->conv == NULL ? mk_chooser_retry_ns(&l->chooser)
            : waiting       ? l->heard_ns + SILENT_MS * MK_MS
                            : UINT64_MAX;
    if (mk_list_empty(&l->gets))
        retry = l->heard_ns + IDLE_MS * MK_MS;
    mk_timer_start(l->client->env, &l->timer, retry < at ? retry : at);
}

static void lookups_advance(struct mk_lookups *l)
{
    struct mk_client *c = l->client;
    uint64_t now = mk_now(c->env);
    struct mk_link *link;
    char detail[MK_REASON_MAX];
    bool waiting = false;

    if (l->conv != NULL && !mk_chooser_still(&l->chooser, &l->peer, detail))
        drop_member(l, MK_CLOSE_EXPIRED, detail, /* lied= */ false);
    end_late(l);
    if (c->closed)
        return; /* by a callback; it freed l */
    if (mk_list_empty(&l->gets) && now >= l->heard_ns + IDLE_MS * MK_MS) {
        lookups_free(l);
        return;
    }
    if (l->conv == NULL && !mk_list_empty(&l->gets)) {
        link = mk_chooser_pick(&l->chooser);
        if (link != NULL) {
            lookups_open_conv(l, link);
        } else if (mk_chooser_hopeless(&l->chooser)) {
            end_hopeless(l);
            if (c->closed)
                return;
        }
    }
    if (l->conv != NULL)
        waiting = lookups_send(l);
    if (waiting && now >= l->heard_ns + SILENT_MS * MK_MS) {
        drop_member(l, MK_CLOSE_NONE, "silent: no answer", /* lied= */ false);
        return; /* which asked for another turn */
    }
    lookups_arm(l, waiting);
}

static void lookups_task_cb(struct mk_task *t)
{
    struct mk_lookups *l = mk_container_of(t, struct mk_lookups, task);
    struct mk_client *c = l->client;

    mk_client_enter(c);
    lookups_advance(l);
    mk_client_leave(c);
}

static void lookups_timer_cb(struct mk_timer *t)
{
    lookups_task_cb(&mk_container_of(t, struct mk_lookups, timer)->task);
}

void mk_lookups_link_up(struct mk_client *c)
{
    mk_list_each(at, &c->lookups) lookups_wake(mk_container_of(at, struct mk_lookups, node));
}

void mk_lookups_close(struct mk_client *c)
{
    struct mk_fault fault;

    mk_fault(&fault, MK_ECANCELED, "%s", mk_strerror(MK_ECANCELED));
    while (!mk_list_empty(&c->lookups)) {
        struct mk_lookups *l = mk_container_of(c->lookups.next, struct mk_lookups, node);

        while (!mk_list_empty(&l->gets))
            get_fail(mk_container_of(l->gets.next, struct get, node), MK_ECANCELED, &fault);
        lookups_free(l);
    }
}

static struct mk_lookups *lookups_of(struct mk_client *c, const struct mk_id *surface)
{
    struct mk_lookups *l;

    mk_list_each(at, &c->lookups)
    {
        l = mk_container_of(at, struct mk_lookups, node);
        if (mk_id_eq(&l->surface, surface))
            return l;
    }
    if (c->n_lookups >= LOOKUP_MAPS_MAX)
        return NULL;
    l = mk_alloc(sizeof *l);
    l->client = c;
    l->surface = *surface;
    mk_list_init(&l->gets);
    l->task.cb = lookups_task_cb;
    l->timer.cb = lookups_timer_cb;
    mk_chooser_init(&l->chooser, c->env, c->net, c->memory, &c->component, c->chooser.report,
                    &l->task);
    mk_chooser_through(&l->chooser, &l->through);
    mk_list_add_tail(&c->lookups, &l->node);
    c->n_lookups++;
    return l;
}

int mk_client_get(struct mk_client *c, struct mk_get *user, const struct mk_id *surface,
                  struct mk_bytes key, uint64_t max_age_ms, uint32_t timeout_ms)
{
    struct mk_lookups *l;
    struct get *g;

    if (c->closed)
        return MK_ECLOSED;
    if (key.n > MK_KEY_MAX)
        return MK_ELIMIT;
    l = lookups_of(c, surface);
    if (l == NULL || l->n_gets >= GETS_MAX)
        return MK_EFULL;
    g = mk_alloc(sizeof *g);
    g->user = user;
    g->id = ++l->ids;
    mk_buf_put(&g->key, key.p, key.n);
    g->max_age_ms = max_age_ms;
    g->timeout_ms = timeout_ms;
    g->deadline_ns = mk_now(c->env) + timeout_ms * MK_MS;
    user->impl = g;
    mk_list_add_tail(&l->gets, &g->node);
    g->of = l;
    l->n_gets++;
    lookups_wake(l);
    return 0;
}
