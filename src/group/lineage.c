/* The chain of rosters, shown to who knows an older one (spec/committees.md, "Rosters in time").
 *
 * A conversation "group" is between peers who have a slot for each other. Who lost its disk, or was
 * away for long, knows the roster of its node file, or an old one, and of that nobody may be left:
 * the present members are strangers to it. So what it needs travels in a conversation of its own,
 * "roster", that a stranger may open too, since what is said in it proves itself:
 *
 *   opener                                        other
 *     Known(epoch, id of the newest roster) --->    older: Known(its own)
 *     <--- Known(older)                             newer: the change after ours
 *     Change(older + 1) --->                        checked, learned (reseat.c)
 *     <--- Known(older + 1)                         ... until both know the same; then it ends
 *
 * One change a message, the next one when that one was checked: nobody holds a chain. Whoever has
 * learned it has slots for the newest roster's peers, and they speak "group" as ever; a Founding
 * comes there alone, from a peer of a roster that is proven.
 *
 *   who opens   a member whose peer is linked and not up for a moment, once the group has had more
 *               than one roster, or the peer turned it away; and, once a link, to who was of an
 *               earlier roster and is of none that counts
 *   who learns  anybody, from anybody: each change is signed by a majority of the roster before
 *   who is told peers of any roster that is known here; a stranger hears only how far we are
 *
 * Failure modes: a roster of the same epoch that is another one, or a change that does not continue
 * ours: somebody's history was forked or rolled back; the conversation ends, and both name it. A
 * bad signature ends it at the first. One who says nothing is dropped after SHOW_LIFE_NS; of more
 * than MK_SHOWINGS_MAX at once the oldest that showed nothing for SHOW_WAIT_NS makes room, else the
 * next is told to come again. A peer of a build that does not
 * serve the protocol refuses it: nothing is lost, it is asked again seldom. */
#include "group/group_int.h"

#include <stdio.h>
#include <string.h>

#define SHOW_LIFE_NS (5 * MK_S) /* without a new roster, a conversation lives so long */
#define SHOW_WAIT_NS MK_S       /* ... and so long where others wait */
#define SHOW_AFTER_MS 300u      /* a linked peer that is not up after it is shown what we know */
#define SHOW_AGAIN_MS 2000u     /* and again, doubling up to */
#define FORMER_EPOCHS 256u      /* so many newest rosters are searched for a former peer */
#define OWN_MAX (2 * MK_MEMBERS_MAX) /* conversations that we open at once */

struct mk_showing {
    struct mk_list node;
    struct mk_group *g;
    struct mk_conv *conv;
    bool ours;  /* we opened it */
    bool asked; /* we said what we know, and were given nothing since */
    uint64_t until_ns;
};

static uint64_t epoch_of(const struct mk_group *g)
{
    return mk_reseat_epoch(g);
}

/* --- who it is ------------------------------------------------------------------------ */

static bool was_of(const struct mk_group *g, const struct mk_peer *peer)
{
    const struct mk_roster_change *c;
    uint64_t last = mk_state_roster(g->st)->epoch;

    if (mk_roster_has(&g->plan.roster, peer) || mk_roster_has(&g->roster, peer) ||
        mk_roster_has(mk_reseat_newest(g), peer))
        return true;
    for (uint64_t e = last; e > 0 && last - e < FORMER_EPOCHS; e--) {
        c = mk_state_change(g->st, e);
        if (c != NULL && mk_roster_has(&c->roster, peer))
            return true;
    }
    return false;
}

/* --- ends ----------------------------------------------------------------------------- */

/* Kept for the status: by whom, and what. */
static void note(struct mk_group *g, const struct mk_peer *peer, const char *what)
{
    char hex[MK_ID_HEX];

    snprintf(g->disowned, sizeof g->disowned, "rosters shown by %.8s: %.160s",
             mk_peer_hex(peer, hex), what);
    mk_group_changed(g);
}

static void forget(struct mk_showing *s)
{
    mk_list_del(&s->node);
    s->g->n_showings[s->ours]--;
    mk_free(s);
}

/* Both know the same: the member may be greeted at once. */
static void done(struct mk_showing *s)
{
    struct mk_group *g = s->g;
    struct mk_member *m = mk_member_of_peer(g, mk_link_peer(s->conv->link));

    if (m != NULL) {
        m->shown = true;
        m->retry_ns = 0;
    }
    mk_group_wake(g);
}

/* false: it is over. detail may be NULL. */
static bool finish(struct mk_showing *s, unsigned close, const char *detail)
{
    struct mk_conv *c = s->conv;

    if (close == MK_CLOSE_NONE)
        done(s);
    if (close == MK_CLOSE_CONFLICT)
        note(s->g, mk_link_peer(c->link), detail);
    forget(s);
    mk_conv_close(c, close, detail != NULL ? detail : "");
    return false;
}

/* --- saying ----------------------------------------------------------------------------- */

/* false: it is over. */
static bool say(struct mk_showing *s, const struct mk_roster_message *m)
{
    struct mk_buf b = {0};
    int rv;

    mk_encode(&b, &mk_roster_message_type, m);
    rv = mk_conv_send(s->conv, mk_buf_bytes(&b));
    mk_buf_done(&b);
    return rv == 0 || finish(s, MK_CLOSE_SLOW, "it does not read");
}

static void known_here(const struct mk_group *g, struct mk_roster_message *ret)
{
    const struct mk_roster *r = mk_reseat_newest(g);

    ret->tag = mk_roster_message_Known;
    ret->u.known = (struct mk_roster_known){g->deployment, r->epoch, mk_roster_id(r)};
}

static bool say_known(struct mk_showing *s)
{
    struct mk_roster_message m;

    s->asked = true;
    known_here(s->g, &m);
    return say(s, &m);
}

/* A forked roster is refused, and both are named. */
static bool forked(struct mk_showing *s, uint64_t epoch, const struct mk_id *ours,
                   const struct mk_id *theirs)
{
    char a[MK_ID_HEX], b[MK_ID_HEX], text[MK_REASON_MAX];

    snprintf(text, sizeof text, "two rosters of epoch %llu: %.16s and %.16s",
             (unsigned long long)epoch, mk_id_hex(ours, a), mk_id_hex(theirs, b));
    return finish(s, MK_CLOSE_CONFLICT, text);
}

/* The next one after what it knows. */
static bool give(struct mk_showing *s, const struct mk_roster_known *k)
{
    struct mk_group *g = s->g;
    const struct mk_roster_change *c = mk_state_change(g->st, k->epoch + 1);
    struct mk_roster_message m = {.tag = mk_roster_message_Change};
    char text[MK_REASON_MAX];

    if (!was_of(g, mk_link_peer(s->conv->link))) {
        snprintf(text, sizeof text, "not a peer of the roster of epoch %llu, nor of one before",
                 (unsigned long long)epoch_of(g));
        return finish(s, MK_CLOSE_REFUSED, text);
    }
    if (c == NULL)
        return finish(s, MK_CLOSE_NOT_READY, "the next roster is not certified here yet");
    if (!mk_id_eq(&c->roster.previous, &k->roster))
        return forked(s, k->epoch, &c->roster.previous, &k->roster);
    m.u.change = *c;
    s->asked = false;
    return say(s, &m);
}

/* --- hearing ------------------------------------------------------------------------------ */

static bool known_came(struct mk_showing *s, const struct mk_roster_known *k, bool first)
{
    struct mk_group *g = s->g;
    struct mk_id ours;

    if (!mk_id_eq(&k->deployment, &g->deployment))
        return finish(s, MK_CLOSE_OTHER_DEPLOYMENT, "");
    if (k->epoch < epoch_of(g))
        return give(s, k);
    if (k->epoch == epoch_of(g)) {
        ours = mk_roster_id(mk_reseat_newest(g));
        if (!mk_id_eq(&ours, &k->roster))
            return forked(s, k->epoch, &ours, &k->roster);
        return first ? say_known(s) : finish(s, MK_CLOSE_NONE, NULL);
    }
    if (s->asked)
        return finish(s, MK_CLOSE_NOT_READY, "later rosters were named, and none was shown");
    return say_known(s);
}

static bool change_came(struct mk_showing *s, const struct mk_roster_change *c)
{
    struct mk_group *g = s->g;
    struct mk_fault f = {{0}};

    if (c->roster.epoch <= epoch_of(g)) /* somebody else showed it meanwhile */
        return say_known(s);
    if (mk_reseat_learn(g, c, &f) != 0)
        return finish(s, MK_CLOSE_CONFLICT, f.text);
    s->until_ns = mk_now(g->env) + SHOW_LIFE_NS;
    return say_known(s);
}

static bool hear(struct mk_showing *s, struct mk_bytes bytes)
{
    struct mk_arena arena = {0};
    struct mk_roster_message m;
    struct mk_fault f = {{0}};
    bool goes_on;

    if (mk_decode(&m, &mk_roster_message_type, bytes, &arena, &f) != 0)
        goes_on = finish(s, MK_CLOSE_MALFORMED, f.text);
    else if (m.tag == mk_roster_message_Known)
        goes_on = known_came(s, &m.u.known, false);
    else
        goes_on = change_came(s, &m.u.change);
    mk_arena_done(&arena);
    return goes_on;
}

static void conv_message(struct mk_conv *c, struct mk_bytes bytes)
{
    size_t n = bytes.n;

    if (hear(c->owner, bytes))
        mk_conv_consumed(c, n);
}

static void conv_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct mk_showing *s = c->owner;

    if (close == MK_CLOSE_NONE)
        done(s);
    if (close == MK_CLOSE_CONFLICT && detail != NULL)
        note(s->g, mk_link_peer(c->link), detail);
    forget(s);
}

static const struct mk_conv_cbs conv_cbs = {.message = conv_message, .closed = conv_closed};

/* --- opening ------------------------------------------------------------------------------- */

static struct mk_showing *showing_new(struct mk_group *g, bool ours)
{
    struct mk_showing *s = mk_alloc(sizeof *s);

    s->g = g;
    s->ours = ours;
    s->until_ns = mk_now(g->env) + SHOW_LIFE_NS;
    mk_list_add_tail(&g->showings, &s->node);
    g->n_showings[ours]++;
    return s;
}

static bool is_shown(const struct mk_group *g, const struct mk_peer *peer, bool ours)
{
    mk_list_each(at, &g->showings)
    {
        const struct mk_showing *s = mk_container_of(at, struct mk_showing, node);

        if (s->ours == ours && mk_peer_eq(mk_link_peer(s->conv->link), peer))
            return true;
    }
    return false;
}

static void open_with(struct mk_group *g, struct mk_link *l)
{
    struct mk_roster_message m;
    struct mk_showing *s;
    struct mk_buf first = {0};

    if (g->n_showings[true] >= OWN_MAX || is_shown(g, mk_link_peer(l), true))
        return;
    s = showing_new(g, true);
    s->asked = true;
    known_here(g, &m);
    mk_encode(&first, &mk_roster_message_type, &m);
    if (mk_conv_open(l, &s->conv, "roster", mk_buf_bytes(&first), &conv_cbs, s) != 0)
        forget(s);
    mk_buf_done(&first);
}

/* false: all that are heard now showed something just now. */
static bool make_room(struct mk_group *g)
{
    struct mk_showing *oldest = NULL;

    mk_list_each(at, &g->showings)
    {
        struct mk_showing *s = mk_container_of(at, struct mk_showing, node);

        if (!s->ours && (oldest == NULL || s->until_ns < oldest->until_ns))
            oldest = s;
    }
    if (oldest == NULL || mk_now(g->env) + SHOW_LIFE_NS < oldest->until_ns + SHOW_WAIT_NS)
        return false;
    finish(oldest, MK_CLOSE_BUSY, "others wait");
    return true;
}

unsigned mk_lineage_accept(struct mk_group *g, struct mk_conv *c, const struct mk_roster_known *k,
                           char detail[MK_REASON_MAX])
{
    const struct mk_peer *peer = mk_link_peer(c->link);
    struct mk_showing *s;

    if (g->state == MK_GROUP_FAILED)
        return MK_CLOSE_NOT_READY;
    if (k->epoch <= epoch_of(g) && !was_of(g, peer)) {
        snprintf(detail, MK_REASON_MAX, "not a peer of the roster of epoch %llu, nor of one before",
                 (unsigned long long)epoch_of(g));
        return MK_CLOSE_REFUSED;
    }
    if (is_shown(g, peer, false))
        return MK_CLOSE_DUPLICATE;
    if (g->n_showings[false] >= MK_SHOWINGS_MAX && !make_room(g)) {
        snprintf(detail, MK_REASON_MAX, "%u others show rosters now", MK_SHOWINGS_MAX);
        return MK_CLOSE_BUSY;
    }
    s = showing_new(g, false);
    s->conv = c;
    c->cbs = &conv_cbs;
    c->owner = s;
    known_came(s, k, true);
    return 0;
}

/* --- the turn ---------------------------------------------------------------------------------
 */

void mk_lineage_link(struct mk_member *m)
{
    m->shown = false;
    m->show_ms = SHOW_AFTER_MS;
    m->show_ns = mk_now(m->g->env) + SHOW_AFTER_MS * MK_MS;
}

void mk_lineage_meet(struct mk_group *g, struct mk_link *l)
{
    if (g->state != MK_GROUP_FAILED && epoch_of(g) > g->plan.roster.epoch &&
        was_of(g, mk_link_peer(l)))
        open_with(g, l);
}

static bool wanted(const struct mk_member *m)
{
    const struct mk_group *g = m->g;

    return m->used && !m->up && !m->shown && g->state != MK_GROUP_FAILED &&
           (m->turned_away || epoch_of(g) > g->plan.roster.epoch) &&
           mk_net_link(g->net, &m->peer) != NULL;
}

uint64_t mk_lineage_due(const struct mk_member *m)
{
    return wanted(m) ? m->show_ns : UINT64_MAX;
}

void mk_lineage_offer(struct mk_member *m)
{
    struct mk_group *g = m->g;

    if (!wanted(m) || mk_now(g->env) < m->show_ns)
        return;
    m->show_ms = m->show_ms == 0 ? SHOW_AFTER_MS : m->show_ms * 2;
    if (m->show_ms > SHOW_AGAIN_MS)
        m->show_ms = SHOW_AGAIN_MS;
    m->show_ns = mk_now(g->env) + m->show_ms * MK_MS;
    open_with(g, mk_net_link(g->net, &m->peer));
}

void mk_lineage_turn(struct mk_group *g)
{
    mk_list_each(at, &g->showings)
    {
        struct mk_showing *s = mk_container_of(at, struct mk_showing, node);

        if (mk_now(g->env) >= s->until_ns)
            finish(s, MK_CLOSE_IDLE, "no roster came for too long");
    }
}

uint64_t mk_lineage_deadline(const struct mk_group *g)
{
    uint64_t at = UINT64_MAX;

    mk_list_each(node, &g->showings)
    {
        const struct mk_showing *s = mk_container_of(node, struct mk_showing, node);

        at = s->until_ns < at ? s->until_ns : at;
    }
    return at;
}

void mk_lineage_close(struct mk_group *g)
{
    struct mk_list *at;

    while ((at = mk_list_pop(&g->showings)) != NULL) {
        struct mk_showing *s = mk_container_of(at, struct mk_showing, node);

        mk_conv_close(s->conv, MK_CLOSE_SHUTDOWN, "");
        mk_free(s);
    }
}
