/* Happy path: look (NEW), apply, keep. A retry: look (REPEATED), answer.
 *
 * Three limits decide what is forgotten, all from the log: an hour of machine time,
 * the number of sessions, the bytes of their answers. Whoever comes back after that
 * is told `unknown`, which is the truth: his command may or may not be committed. */
#include "group/sessions.h"
#include "base/assert.h"
#include "base/planted.h"
#include "group/group.h"

#include <string.h>

#define SESSION_COST 128u /* bytes counted for a session besides its answer */

void mk_sessions_init(struct mk_sessions *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->table.seed = seed;
    mk_list_init(&s->order);
}

static void session_free(struct mk_sessions *s, struct mk_session *x)
{
    s->bytes -= SESSION_COST + x->n;
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
    s->bytes = s->bytes - x->n + outcome.n;
    if (outcome.n > x->cap || outcome.n * 4 < x->cap) {
        mk_free(x->outcome);
        x->outcome = mk_alloc(outcome.n + 1);
        x->cap = (uint32_t)outcome.n;
    }
    if (outcome.n > 0)
        memcpy(x->outcome, outcome.p, outcome.n);
    x->n = (uint32_t)outcome.n;
}

void mk_sessions_keep(struct mk_sessions *s, const struct mk_peer *peer, uint64_t session,
                      uint64_t number, uint64_t now_ms, struct mk_bytes outcome)
{
    uint64_t hash = mk_table_hash(&s->table, peer, session, 0);
    struct mk_session *x = find(s, peer, session, hash);

    if (x == NULL) {
        x = mk_alloc(sizeof *x);
        x->peer = *peer;
        x->id = session;
        mk_table_add(&s->table, &x->node, hash);
        mk_list_init(&x->order);
        s->bytes += SESSION_COST;
    }
    x->number = number;
    x->used_ms = now_ms;
    mk_list_del(&x->order);
    mk_list_add_tail(&s->order, &x->order);
    set_outcome(s, x, outcome);
    while (s->table.n > MK_SESSIONS_MAX || s->bytes > MK_SESSIONS_BYTES_MAX) {
        if (oldest(s) == x)
            break;
        session_free(s, oldest(s));
    }
}

/** Sessions used before the machine had a time begin to age when it gets one. */
static void begin_to_age(struct mk_sessions *s, uint64_t now_ms)
{
    mk_list_each(at, &s->order)
    {
        struct mk_session *x = mk_container_of(at, struct mk_session, order);

        if (x->used_ms != 0)
            return;
        x->used_ms = now_ms;
    }
}

void mk_sessions_expire(struct mk_sessions *s, uint64_t now_ms)
{
    struct mk_session *x;

    begin_to_age(s, now_ms);
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
