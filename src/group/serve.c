/* serve.c - the surfaces that readers are served from, who is admitted, whose turn it is.
 *
 * The map moves on with every command, while a certificate comes a round trip after its
 * head: so at each mark the map is forked (for nothing, see trie.c), and the fork whose
 * head was certified replaces the one before. Marks that are passed by a newer
 * certificate are dropped; of more than MK_SERVE_MARKS_MAX the oldest goes, its
 * certificate is then of no use here and the next one is. A stream needs no fork, and a
 * map that nobody reads is not forked: forks make every change copy its path.
 *
 * Turns: whatever may let a reader go on asks for one turn of the serve. A turn has a
 * budget of bytes; where it is used up the rest goes on in the loop's next turn, and the
 * readers rotate, so that a thousand readers who all take a snapshot neither stop
 * consensus nor each other. */
#include "group/serve_int.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define TURN_BYTES (2u << 20)          /* sent in one turn of the loop, to all readers */
#define READER_TURN_BYTES (256u << 10) /* to one */

static void serve_turn(struct mk_serve *s)
{
    size_t left = TURN_BYTES;

    for (unsigned i = s->n_readers; i > 0 && left > 0; i--) {
        struct mk_list *at = mk_list_pop(&s->readers);
        struct mk_serve_reader *r;
        size_t sent;

        if (at == NULL)
            break;
        mk_list_add_tail(&s->readers, at);
        r = mk_container_of(at, struct mk_serve_reader, node);
        sent = mk_serve_reader_turn(r, left < READER_TURN_BYTES ? left : READER_TURN_BYTES);
        if (sent >= READER_TURN_BYTES)
            mk_timer_start(s->env, &s->again, mk_now(s->env));
        left -= sent < left ? sent : left;
    }
    if (left == 0)
        mk_timer_start(s->env, &s->again, mk_now(s->env));
}

static void serve_task_cb(struct mk_task *t)
{
    serve_turn(mk_container_of(t, struct mk_serve, task));
}

static void serve_again_cb(struct mk_timer *t)
{
    serve_turn(mk_container_of(t, struct mk_serve, again));
}

void mk_serve_wake(struct mk_serve *s)
{
    if (s->n_readers > 0)
        mk_later(s->env, &s->task);
}

/* --- admission ------------------------------------------------------------------------ */

uint64_t mk_serve_expires_ms(const struct mk_serve *s)
{
    uint64_t first = UINT64_MAX;

    mk_list_each(at, &s->readers)
    {
        const struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);

        if (r->expires_ms < first)
            first = r->expires_ms;
    }
    return first;
}

static void arm_expiry(struct mk_serve *s)
{
    uint64_t first = mk_serve_expires_ms(s), wall = mk_wall_ms(s->env), wait;

    mk_timer_stop(&s->expiry);
    if (first == UINT64_MAX)
        return;
    wait = first > wall ? first - wall : 0;
    if (wait > 3600000)
        wait = 3600000; /* the wall clock may jump: look at least once an hour */
    mk_timer_start(s->env, &s->expiry, mk_now(s->env) + (wait + 1) * MK_MS);
}

/* Readers whose admission ends by until_ms. */
static void judge_again(struct mk_serve *s, uint64_t until_ms)
{
    mk_list_each(at, &s->readers)
    {
        struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);
        struct mk_verdict verdict;

        if (r->expires_ms > until_ms)
            continue;
        s->host->judge(s->host, &verdict, &r->bearer);
        r->expires_ms = verdict.expires_ms;
        if (!verdict.admitted) {
            mk_conv_close(r->conv, MK_CLOSE_EXPIRED, verdict.reason);
            mk_serve_reader_free(r);
        }
    }
    arm_expiry(s);
}

static void serve_expiry_cb(struct mk_timer *t)
{
    struct mk_serve *s = mk_container_of(t, struct mk_serve, expiry);

    judge_again(s, mk_wall_ms(s->env));
}

void mk_serve_rejudge(struct mk_serve *s, const struct mk_peer *peer)
{
    mk_list_each(at, &s->readers)
    {
        struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);

        if (peer == NULL || mk_peer_eq(&r->bearer.peer, peer))
            r->expires_ms = 0;
    }
    arm_expiry(s);
}

static void keep_bearer(struct mk_serve_reader *r, const struct mk_peer *peer,
                        const struct mk_wire_tickets *tickets)
{
    struct mk_bytes *v;

    mk_arena_done(&r->tickets_mem);
    r->tickets_mem = (struct mk_arena){0};
    v = mk_arena_take(&r->tickets_mem, (tickets->n + 1) * sizeof *v);
    for (size_t i = 0; i < tickets->n; i++)
        v[i] = MK_BYTES(mk_arena_copy(&r->tickets_mem, tickets->v[i].p, tickets->v[i].n),
                        tickets->v[i].n);
    r->bearer = (struct mk_bearer){.peer = *peer, .tickets = v, .n_tickets = tickets->n};
}

void mk_serve_retake(struct mk_serve *s, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets)
{
    struct mk_peer who = *peer;

    mk_list_each(at, &s->readers)
    {
        struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);

        if (mk_peer_eq(&r->bearer.peer, &who))
            keep_bearer(r, &who, tickets);
    }
    mk_serve_rejudge(s, &who);
}

/* Which surface, and can it be read as asked? */
static unsigned check_hello(struct mk_serve *s, const struct mk_surface_hello *hello,
                            unsigned *ret_surface, char detail[MK_REASON_MAX])
{
    struct mk_surfaces *surfaces = s->host->surfaces(s->host);
    struct mk_surface *found;
    char hex[MK_ID_HEX];
    bool map;

    if (surfaces == NULL) {
        snprintf(detail, MK_REASON_MAX, "this member is not founded or installs a snapshot");
        return MK_CLOSE_NOT_READY;
    }
    found = mk_surfaces_find(surfaces, &hello->surface);
    if (found == NULL) {
        snprintf(detail, MK_REASON_MAX, "surface %.16s is not one of this component",
                 mk_id_hex(&hello->surface, hex));
        return MK_CLOSE_NOT_FOUND;
    }
    map = mk_surface_keyed(found->spec->kind);
    if (map ? hello->from.tag == mk_from_Oldest || hello->from.tag == mk_from_Newest
            : hello->from.tag == mk_from_Snapshot || hello->from.tag == mk_from_Lookups) {
        snprintf(detail, MK_REASON_MAX, "%s is a %s and cannot be read like that",
                 found->spec->name, mk_surface_kind_name(found->spec->kind));
        return MK_CLOSE_MALFORMED;
    }
    *ret_surface = (unsigned)(found - surfaces->v);
    return 0;
}

unsigned mk_serve_accept(struct mk_serve *s, struct mk_conv *c,
                         const struct mk_surface_hello *hello, char detail[MK_REASON_MAX])
{
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct mk_bearer bearer = {
        .peer = *peer, .tickets = hello->tickets.v, .n_tickets = hello->tickets.n};
    struct mk_serve_reader *r;
    struct mk_verdict verdict;
    unsigned surface = 0, close;

    s->host->judge(s->host, &verdict, &bearer);
    if (!verdict.admitted) {
        snprintf(detail, MK_REASON_MAX, "%.250s", verdict.reason);
        return verdict.pending ? MK_CLOSE_NOT_READY : MK_CLOSE_REFUSED;
    }
    if (s->n_readers >= MK_SERVE_READERS_MAX) {
        snprintf(detail, MK_REASON_MAX, "%u readers are served already", s->n_readers);
        return MK_CLOSE_BUSY;
    }
    close = check_hello(s, hello, &surface, detail);
    if (close != 0)
        return close;
    r = mk_alloc(sizeof *r);
    r->serve = s;
    r->conv = c;
    r->surface = surface;
    r->from = hello->from;
    r->epoch = hello->epoch;
    r->expires_ms = verdict.expires_ms;
    keep_bearer(r, peer, &hello->tickets);
    c->cbs = &mk_serve_reader_cbs;
    c->owner = r;
    mk_list_add_tail(&s->readers, &r->node);
    s->n_readers++;
    arm_expiry(s);
    if (s->v == NULL)
        s->v = mk_alloc(MK_SURFACES_MAX * sizeof *s->v);
    if (s->v[surface].n_readers++ == 0)
        mk_serve_begin(s, surface);
    s->host->interest(s->host, surface, +1);
    mk_serve_wake(s);
    return 0;
}

/* --- what the group tells --------------------------------------------------------------- */

static struct mk_mark *mark_at(struct mk_served *v, unsigned i)
{
    MK_ASSERT(i < v->n_marks);
    return &v->marks[(v->first + i) % MK_SERVE_MARKS_MAX];
}

static void drop_mark(struct mk_served *v)
{
    mk_trie_done(&mark_at(v, 0)->map);
    v->first = (v->first + 1) % MK_SERVE_MARKS_MAX;
    v->n_marks--;
}

void mk_serve_marked(struct mk_serve *s, unsigned surface)
{
    struct mk_surfaces *surfaces = s->host->surfaces(s->host);
    struct mk_served *v;
    struct mk_surface *now;

    MK_ASSERT(surfaces != NULL && surface < surfaces->n);
    if (s->v == NULL)
        return;
    v = &s->v[surface];
    now = &surfaces->v[surface];
    if (v->n_readers == 0 || !mk_surface_keyed(now->spec->kind))
        return;
    if (v->n_marks > 0 && mark_at(v, v->n_marks - 1)->index == now->index)
        return; /* a renewal: the state is the same */
    if (v->marks == NULL)
        v->marks = mk_alloc(MK_SERVE_MARKS_MAX * sizeof *v->marks);
    if (v->n_marks == MK_SERVE_MARKS_MAX)
        drop_mark(v);
    v->n_marks++;
    *mark_at(v, v->n_marks - 1) = (struct mk_mark){.index = now->index, .commit = now->commit};
    mk_trie_fork(&mark_at(v, v->n_marks - 1)->map, &now->map);
}

/* The map of this head becomes the certified one; false when no fork of it is left. */
static bool promote(struct mk_served *v, const struct mk_surface *now, const struct mk_head *head)
{
    if (v->certified && v->certificate.head.index == head->index)
        return true; /* renewed */
    while (v->n_marks > 0 && mark_at(v, 0)->index < head->index)
        drop_mark(v);
    if (v->n_marks > 0 && mark_at(v, 0)->index == head->index) {
        mk_trie_done(&v->map);
        v->map = mark_at(v, 0)->map;
        mark_at(v, 0)->map = (struct mk_trie){0};
        drop_mark(v);
        return true;
    }
    if (now->index != head->index)
        return false;
    mk_trie_done(&v->map);
    mk_trie_fork(&v->map, &now->map);
    return true;
}

void mk_serve_certified(struct mk_serve *s, unsigned surface, const struct mk_certificate *c)
{
    struct mk_surfaces *surfaces = s->host->surfaces(s->host);
    struct mk_served *v;
    struct mk_surface *now;
    struct mk_id here;

    if (surfaces == NULL || s->v == NULL)
        return;
    v = &s->v[surface];
    if (v->n_readers == 0)
        return;
    MK_ASSERT(surface < surfaces->n);
    MK_ASSERT(c->signatures.n <= MK_ROSTER_MAX);
    now = &surfaces->v[surface];
    /* What we have not applied, or have otherwise, we cannot serve. */
    if (mk_surface_hash_at(now, c->head.index, &here) != 0 || !mk_id_eq(&here, &c->head.commit))
        return;
    if (mk_surface_keyed(now->spec->kind) && !promote(v, now, &c->head))
        return;
    v->certified = true;
    v->certificate.head = c->head;
    for (size_t i = 0; i < c->signatures.n; i++)
        v->signatures[i] = c->signatures.v[i];
    v->certificate.signatures = (struct mk_peer_signatures){v->signatures, c->signatures.n};
    mk_serve_wake(s);
}

static void served_done(struct mk_served *v)
{
    while (v->n_marks > 0)
        drop_mark(v);
    mk_free(v->marks);
    mk_trie_done(&v->map);
    *v = (struct mk_served){.n_readers = v->n_readers};
}

/* Where nothing was written since the newest certificate, it serves at once; else the next
 * one will, whose mark is seen here. */
void mk_serve_begin(struct mk_serve *s, unsigned surface)
{
    const struct mk_certificate *c = s->host->certificate(s->host, surface);

    if (c != NULL)
        mk_serve_certified(s, surface, c);
}

void mk_serve_end(struct mk_serve *s, unsigned surface)
{
    served_done(&s->v[surface]);
}

void mk_serve_replaced(struct mk_serve *s)
{
    for (unsigned i = 0; i < MK_SURFACES_MAX && s->v != NULL; i++)
        served_done(&s->v[i]);
    mk_list_each(at, &s->readers)
        mk_serve_reader_restart(mk_container_of(at, struct mk_serve_reader, node));
}

void mk_serve_dismiss(struct mk_serve *s, const char *detail)
{
    mk_list_each(at, &s->readers)
    {
        struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);

        mk_conv_close(r->conv, MK_CLOSE_NOT_READY, detail);
        mk_serve_reader_free(r);
    }
}

/* --- open and close ------------------------------------------------------------------------ */

int mk_serve_open(struct mk_env *e, struct mk_serve **ret, struct mk_serve_host *host)
{
    struct mk_serve *s = mk_alloc(sizeof *s);

    s->env = e;
    s->host = host;
    s->task.cb = serve_task_cb;
    s->again.cb = serve_again_cb;
    s->expiry.cb = serve_expiry_cb;
    mk_list_init(&s->readers);
    *ret = s;
    return 0;
}

void mk_serve_close(struct mk_serve *s)
{
    if (s == NULL)
        return;
    mk_list_each(at, &s->readers)
    {
        struct mk_serve_reader *r = mk_container_of(at, struct mk_serve_reader, node);

        mk_conv_close(r->conv, MK_CLOSE_SHUTDOWN, "this member closes");
        mk_serve_reader_free(r);
    }
    mk_later_cancel(&s->task);
    mk_timer_stop(&s->again);
    mk_timer_stop(&s->expiry);
    for (unsigned i = 0; i < MK_SURFACES_MAX && s->v != NULL; i++)
        served_done(&s->v[i]);
    mk_buf_done(&s->scratch);
    mk_free(s->v);
    mk_free(s);
}

unsigned mk_serve_readers(const struct mk_serve *s)
{
    return s->n_readers;
}

void mk_serve_stats(const struct mk_serve *s, struct mk_serve_stats *ret)
{
    *ret = s->stats;
    ret->readers = s->n_readers;
}
