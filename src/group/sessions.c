/* Happy path: look (NEW), apply, keep. A retry: look (REPEATED), answer.
 *
 * Three limits decide what is forgotten, all from the log: an hour of machine time,
 * the number of sessions, the bytes of their answers. Whoever comes back after that with a
 * number above 1 is told `unknown`, which is the truth: his command may or may not be
 * committed. */
#include "group/sessions.h"
#include "base/assert.h"
#include "base/planted.h"
#include "group/group.h"

#include <string.h>

#define SESSION_COST 128u /* bytes counted for a session besides its answer */

void mk_sessions_init(struct mk_sessions *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->table.seed = s->peers.seed = seed;
    mk_list_init(&s->order);
}

static void count_bytes(struct mk_sessions *s, struct mk_session *x, size_t less, size_t more)
{
    s->bytes = s->bytes - less + more;
    x->owner->bytes = x->owner->bytes - less + more;
}

static void session_free(struct mk_sessions *s, struct mk_session *x)
{
    count_bytes(s, x, SESSION_COST + x->n, 0);
    mk_list_del(&x->of_peer);
    if (--x->owner->n == 0) {
        mk_table_del(&s->peers, &x->owner->node);
        mk_free(x->owner);
    }
    mk_list_del(&x->order);
    mk_table_del(&s->table, &x->node);
    mk_free(x->outcome);
    mk_free(x);
}

static struct mk_session *oldest(const struct mk_sessions *s)
{
    if (mk_list_empty(&s->order))
        return NULL;
    return mk_container_of(s->order.next, struct mk_session, order);
}

void mk_sessions_done(struct mk_sessions *s)
{
    if (s->order.next == NULL)
        return;
    while (!mk_list_empty(&s->order))
        session_free(s, oldest(s));
    mk_table_done(&s->table);
    mk_table_done(&s->peers);
}

static struct mk_session *find(const struct mk_sessions *s, const struct mk_peer *peer,
                               uint64_t session, uint64_t hash)
{
    for (struct mk_table_node *n = mk_table_first(&s->table, hash); n; n = mk_table_next(n)) {
        struct mk_session *x = mk_container_of(n, struct mk_session, node);

        if (x->id == session && mk_peer_eq(&x->peer, peer))
            return x;
    }
    return NULL;
}

enum mk_session_verdict mk_sessions_look(const struct mk_sessions *s, const struct mk_peer *peer,
                                         uint64_t session, uint64_t number,
                                         struct mk_bytes *ret_outcome)
{
    struct mk_session *x = find(s, peer, session, mk_table_hash(&s->table, peer, session, 0));

    if (x == NULL)
        return number <= 1 ? MK_SESSION_NEW : MK_SESSION_UNKNOWN;
    if (number > x->number)
        return MK_SESSION_NEW;
    if (number < x->number)
        return MK_SESSION_UNKNOWN;
    *ret_outcome = MK_BYTES(x->outcome, x->n);
    return MK_SESSION_REPEATED;
}

static void set_outcome(struct mk_sessions *s, struct mk_session *x, struct mk_bytes outcome)
{
    MK_ASSERT(outcome.n <= UINT32_MAX);
    count_bytes(s, x, x->n, outcome.n);
    if (outcome.n > x->cap || outcome.n * 4 < x->cap) {
        mk_free(x->outcome);
        x->outcome = mk_alloc(outcome.n + 1);
        x->cap = (uint32_t)outcome.n;
    }
    if (outcome.n > 0)
        memcpy(x->outcome, outcome.p, outcome.n);
    x->n = (uint32_t)outcome.n;
}

static struct mk_session_peer *owner_of(struct mk_sessions *s, const struct mk_peer *peer)
{
    uint64_t hash = mk_table_hash(&s->peers, peer, 0, 0);
    struct mk_session_peer *p;

    for (struct mk_table_node *n = mk_table_first(&s->peers, hash); n; n = mk_table_next(n)) {
        p = mk_container_of(n, struct mk_session_peer, node);
        if (mk_peer_eq(&p->peer, peer))
            return p;
    }
    p = mk_alloc(sizeof *p);
    p->peer = *peer;
    mk_list_init(&p->order);
    mk_table_add(&s->peers, &p->node, hash);
    return p;
}

static struct mk_session *session_new(struct mk_sessions *s, const struct mk_peer *peer,
                                      uint64_t session, uint64_t hash)
{
    struct mk_session *x = mk_alloc(sizeof *x);

    x->peer = *peer;
    x->id = session;
    x->owner = owner_of(s, peer);
    x->owner->n++;
    mk_list_init(&x->order);
    mk_list_init(&x->of_peer);
    mk_table_add(&s->table, &x->node, hash);
    count_bytes(s, x, 0, SESSION_COST);
    return x;
}

void mk_sessions_keep(struct mk_sessions *s, const struct mk_peer *peer, uint64_t session,
                      uint64_t number, uint64_t now_ms, struct mk_bytes outcome)
{
    uint64_t hash = mk_table_hash(&s->table, peer, session, 0);
    struct mk_session *x = find(s, peer, session, hash);

    if (x == NULL)
        x = session_new(s, peer, session, hash);
    x->number = number;
    x->used_ms = now_ms;
    mk_list_del(&x->order);
    mk_list_add_tail(&s->order, &x->order);
    mk_list_del(&x->of_peer);
    mk_list_add_tail(&x->owner->order, &x->of_peer);
    set_outcome(s, x, outcome);
}

static struct mk_session *last_used(const struct mk_sessions *s)
{
    return mk_container_of(s->order.prev, struct mk_session, order);
}

/* More than it would have if all peers had as many. */
static bool is_greedy(const struct mk_sessions *s, const struct mk_session_peer *p)
{
    return p->n > MK_SESSIONS_MAX / s->peers.n || p->bytes > MK_SESSIONS_BYTES_MAX / s->peers.n;
}

void mk_sessions_trim(struct mk_sessions *s, bool fair)
{
    while (s->table.n > MK_SESSIONS_MAX || s->bytes > MK_SESSIONS_BYTES_MAX) {
        struct mk_session *newest = last_used(s), *x = oldest(s);

        if (fair && newest->owner->n > 1 && is_greedy(s, newest->owner))
            x = mk_container_of(newest->owner->order.next, struct mk_session, of_peer);
        if (x == newest)
            return;
        session_free(s, x);
    }
}

void mk_sessions_age(struct mk_sessions *s, uint64_t was_ms, uint64_t used_ms)
{
    for (struct mk_list *at = s->order.prev; at != &s->order; at = at->prev) {
        struct mk_session *x = mk_container_of(at, struct mk_session, order);

        if (x->used_ms != was_ms)
            return;
        x->used_ms = used_ms;
    }
}

void mk_sessions_expire(struct mk_sessions *s, uint64_t now_ms)
{
    struct mk_session *x;

    while ((x = oldest(s)) != NULL && now_ms >= MK_SESSION_LIFE_MS &&
           x->used_ms <= now_ms - MK_SESSION_LIFE_MS)
        session_free(s, x);
}

void mk_sessions_snapshot(const struct mk_sessions *s, struct mk_buf *out)
{
    mk_buf_put_u64le(out, s->table.n);
    mk_list_each(at, &s->order)
    {
        const struct mk_session *x = mk_container_of(at, struct mk_session, order);

        mk_buf_put(out, x->peer.b, sizeof x->peer.b);
        mk_buf_put_u64le(out, x->id);
        mk_buf_put_u64le(out, x->number);
        mk_buf_put_u64le(out, x->used_ms);
        mk_buf_put_u64le(out, x->n);
        mk_buf_put(out, x->outcome, x->n);
    }
}

bool mk_sessions_restore(struct mk_sessions *s, struct mk_reader *in)
{
    uint64_t n = mk_read_u64le(in);

    for (uint64_t i = 0; i < n && !in->failed; i++) {
        struct mk_bytes peer = mk_read_bytes(in, sizeof(struct mk_peer));
        uint64_t id = mk_read_u64le(in), number = mk_read_u64le(in), used = mk_read_u64le(in);
        uint64_t len = mk_read_u64le(in);
        struct mk_bytes outcome = mk_read_bytes(in, len > SIZE_MAX / 2 ? SIZE_MAX / 2 : len);
        struct mk_peer p;

        if (in->failed)
            break;
        memcpy(p.b, peer.p, sizeof p.b);
        if (!MK_PLANTED(LOST_SESSIONS))
            mk_sessions_keep(s, &p, id, number, used, outcome);
    }
    return !in->failed;
}
