/* See beat.h. Each beat costs the same, whatever the number of groups: nothing is done for a
 * group before one wakes.
 *
 * A process that was stopped itself, or was busy for long, has not heard anybody meanwhile: what
 * the others said waits in its sockets. It waits another MK_BEAT_SILENT_MS before it takes them
 * for dead, or else thousands of groups would call an election for nothing. */
#include "group/beat.h"
#include "group/hub_int.h"

#include <stdio.h>
#include <string.h>

#define BEAT_VERSION 1u
#define BEAT_NS (MK_BEAT_MS * MK_MS)
#define SILENT_NS (MK_BEAT_SILENT_MS * MK_MS)

static const struct mk_conv_cbs conv_cbs;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm(struct mk_hub *h, uint64_t at)
{
    if (h->tick.armed && h->tick_ns <= at)
        return;
    h->tick_ns = at;
    mk_timer_start(h->env, &h->tick, at);
}

struct mk_process *mk_beats_find(struct mk_hub *h, const struct mk_peer *peer)
{
    mk_list_each(at, &h->processes)
    {
        struct mk_process *p = mk_container_of(at, struct mk_process, node);

        if (mk_peer_eq(&p->peer, peer))
            return p;
    }
    return NULL;
}

static bool say(struct mk_process *p, const struct mk_beat_message *m)
{
    struct mk_buf b = {0};
    bool said;

    if (p->conv == NULL)
        return false;
    mk_encode(&b, &mk_beat_message_type, m);
    said = mk_conv_send(p->conv, mk_buf_bytes(&b)) == 0;
    mk_buf_done(&b);
    return said;
}

static const struct mk_beat_message hello = {.tag = mk_beat_message_Hello,
                                             .u.hello.version = BEAT_VERSION};

/* --- conversations ------------------------------------------------------------------------- */

static void process_open(struct mk_process *p)
{
    struct mk_link *l = mk_net_link(p->hub->net, &p->peer);
    struct mk_buf first = {0};

    if (p->conv != NULL || l == NULL || mk_peer_cmp(mk_net_self(p->hub->net), &p->peer) > 0)
        return;
    mk_encode(&first, &mk_beat_message_type, &hello);
    if (mk_conv_open(l, &p->conv, "beat", mk_buf_bytes(&first), &conv_cbs, p) != 0)
        p->conv = NULL;
    mk_buf_done(&first);
}

/* The groups that rest with it wake; those that do not are left alone. */
static void wake_all(struct mk_process *p)
{
    mk_list_each(at, &p->hub->groups)
    {
        struct mk_group *g = mk_container_of(at, struct mk_group, of_hub);

        mk_quiet_lost(g, p);
    }
    MK_ASSERT(p->resting == 0);
}

/* All who have somebody waiting for certificates say so to a process that did not know. */
static void tell_interests(struct mk_process *p)
{
    mk_list_each(at, &p->hub->groups)
    {
        struct mk_group *g = mk_container_of(at, struct mk_group, of_hub);
        struct mk_beat_message m = {.tag = mk_beat_message_Interest,
                                    .u.interest = {g->deployment, true}};

        if (g->interest_told && mk_member_of_peer(g, &p->peer) != NULL)
            say(p, &m);
    }
}

static void hello_came(struct mk_process *p)
{
    p->ready = true;
    tell_interests(p);
}

static void interest_came(struct mk_process *p, const struct mk_beat_interest *i)
{
    struct mk_group *g = mk_hub_find(p->hub, &i->deployment);
    struct mk_member *m = g == NULL ? NULL : mk_member_of_peer(g, &p->peer);

    if (m == NULL || m->waits == i->waits)
        return;
    m->waits = i->waits;
    mk_group_wake(g);
}

static void conv_message(struct mk_conv *c, struct mk_bytes bytes)
{
    struct mk_process *p = c->owner;
    struct mk_arena arena = {0};
    struct mk_beat_message m;
    size_t n = bytes.n;
    int rv = mk_decode(&m, &mk_beat_message_type, bytes, &arena, NULL);

    if (rv == 0) {
        p->heard_ns = mk_now(p->hub->env);
        if (m.tag == mk_beat_message_Hello)
            hello_came(p);
        else if (m.tag == mk_beat_message_Interest)
            interest_came(p, &m.u.interest);
    }
    mk_arena_done(&arena);
    if (p->conv == c)
        mk_conv_consumed(c, n);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_process *p = c->owner;
    struct mk_hub *h = p->hub;

    (void)close;
    (void)detail;
    if (p->conv != c)
        return;
    p->conv = NULL;
    p->ready = false;
    mk_list_each(at, &h->groups)
    {
        struct mk_group *g = mk_container_of(at, struct mk_group, of_hub);
        struct mk_member *m = mk_member_of_peer(g, &p->peer);

        if (m != NULL)
            m->waits = false;
    }
    wake_all(p);
    p->retry_ns = mk_now(h->env) + MK_BEAT_RETRY_MS * MK_MS;
    if (mk_net_link(h->net, &p->peer) != NULL)
        arm(h, p->retry_ns);
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

static bool shares_a_group(struct mk_hub *h, const struct mk_peer *peer)
{
    mk_list_each(at, &h->groups)
    {
        if (mk_member_of_peer(mk_container_of(at, struct mk_group, of_hub), peer) != NULL)
            return true;
    }
    return false;
}

static struct mk_process *process_of(struct mk_hub *h, const struct mk_peer *peer)
{
    struct mk_process *p = mk_beats_find(h, peer);

    if (p != NULL)
        return p;
    p = mk_alloc(sizeof *p);
    p->hub = h;
    p->peer = *peer;
    mk_list_add_tail(&h->processes, &p->node);
    return p;
}

static unsigned accept_beat(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                            char detail[MK_REASON_MAX])
{
    struct mk_hub *h = mk_container_of(s, struct mk_hub, beat);
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct mk_arena arena = {0};
    struct mk_beat_message m;
    struct mk_process *p;
    struct mk_conv *old;
    int rv = mk_decode(&m, &mk_beat_message_type, first, &arena, NULL);

    mk_arena_done(&arena);
    if (rv != 0 || m.tag != mk_beat_message_Hello)
        return MK_CLOSE_MALFORMED;
    if (!shares_a_group(h, peer)) {
        snprintf(detail, MK_REASON_MAX, "no group is shared with this process");
        return MK_CLOSE_REFUSED;
    }
    p = process_of(h, peer);
    old = p->conv;
    if (old != NULL) {
        conv_closed(old, MK_CLOSE_DUPLICATE, "");
        mk_conv_close(old, MK_CLOSE_DUPLICATE, "greeted anew");
    }
    p->conv = c;
    c->cbs = &conv_cbs;
    c->owner = p;
    p->heard_ns = mk_now(h->env);
    say(p, &hello);
    hello_came(p);
    return 0;
}

void mk_beats_meet(struct mk_hub *h, const struct mk_peer *peer)
{
    process_open(process_of(h, peer));
}

/* --- beats ------------------------------------------------------------------------------- */

void mk_beats_rest(struct mk_process *p, int more)
{
    uint64_t now = mk_now(p->hub->env);

    MK_ASSERT(more > 0 || p->resting > 0);
    if (p->resting == 0)
        p->heard_ns = now;
    p->resting += (unsigned)more;
    if (p->resting > 0)
        arm(p->hub, now + BEAT_NS);
}

static void process_tick(struct mk_process *p, uint64_t now)
{
    struct mk_beat_message m = {.tag = mk_beat_message_Beat, .u.beat.groups = p->resting};

    if (p->conv == NULL && p->retry_ns != 0 && now >= p->retry_ns) {
        p->retry_ns = 0;
        process_open(p);
    }
    if (p->resting == 0)
        return;
    if (now >= p->beat_ns + BEAT_NS - MK_MS && say(p, &m))
        p->beat_ns = now; /* else it does not read us, and will hear of it when it does */
    if (now >= p->heard_ns + SILENT_NS)
        wake_all(p);
}

static void tick_cb(struct mk_timer *t)
{
    struct mk_hub *h = mk_container_of(t, struct mk_hub, tick);
    uint64_t now = mk_now(h->env), next = UINT64_MAX;
    bool was_away = now >= h->tick_ns + SILENT_NS / 2;

    mk_list_each(at, &h->processes)
    {
        struct mk_process *p = mk_container_of(at, struct mk_process, node);

        if (was_away && p->resting > 0)
            p->heard_ns = now;
        process_tick(p, now);
        if (p->resting > 0)
            next = least(next, least(now + BEAT_NS, p->heard_ns + SILENT_NS));
        if (p->conv == NULL && p->retry_ns != 0 && p->retry_ns < next &&
            mk_net_link(h->net, &p->peer) != NULL)
            next = p->retry_ns;
    }
    if (next != UINT64_MAX)
        arm(h, next);
}

void mk_beats_interest(struct mk_group *g, bool waits)
{
    struct mk_beat_message m = {.tag = mk_beat_message_Interest,
                                .u.interest = {g->deployment, waits}};

    for (unsigned i = 0; i < g->n_members && g->hub != NULL; i++) {
        struct mk_process *p = i == g->self ? NULL : mk_beats_find(g->hub, &g->members[i]->peer);

        if (p != NULL && p->ready)
            say(p, &m);
    }
}

void mk_beats_open(struct mk_hub *h)
{
    int rv;

    mk_list_init(&h->processes);
    h->tick.cb = tick_cb;
    h->beat = (struct mk_service){.proto = "beat", .accept = accept_beat};
    rv = mk_net_serve(h->net, &h->beat);
    MK_ASSERT(rv == 0);
}

void mk_beats_close(struct mk_hub *h)
{
    struct mk_list *at;

    mk_timer_stop(&h->tick);
    mk_net_unserve(&h->beat);
    while ((at = mk_list_pop(&h->processes)) != NULL) {
        struct mk_process *p = mk_container_of(at, struct mk_process, node);

        if (p->conv != NULL)
            mk_conv_close(p->conv, MK_CLOSE_SHUTDOWN, "");
        mk_free(p);
    }
}
