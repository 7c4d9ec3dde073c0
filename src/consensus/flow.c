/* flow.c - how much of the log is under way to each member.
 *
 * The core sends whatever a member lacks, up to thousands of entries at once, and says a
 * rejected question again with every heartbeat. Over a slow link megabytes of that pile up, and
 * heartbeats, votes and answers come late behind them: leaders step down, and the next one
 * begins again. So what the core hands over to be sent is a wish here, and goes out as the bytes
 * under way allow:
 *
 *                  match            sent          wanted           last
 *   log  ...-------|----------------|-------------|----------------|
 *                  |-- under way ---|-- waits ----|-- the core has not said it yet
 *
 *   pipelined  pieces while `under_way` is below `window`. An acknowledgement makes room. A
 *              heartbeat, which the core would anchor at `wanted`, is anchored at `sent`: so
 *              what was lost is found out as before, by a rejection.
 *   probing    where the logs agree is not known (a new leader; after a rejection): one piece of
 *              WINDOW_MIN, again only after a pause that doubles. Between them empty
 *              questions.
 *
 * The window begins at WINDOW_MIN and doubles with each round trip that used a quarter of it, until
 * an acknowledgement takes a third of an election timeout longer than the quickest ones did: then
 * something queues on the way, it is halved, and grows slowly from there. One entry always goes,
 * whatever its length.
 *
 * Safety does not rest on any of this: each message is one that the core could have sent, in an
 * order that it could have come in. Where our books and a member contradict each other (a link
 * was lost, a disk, the log was cut here) it rejects the next heartbeat, and we go back to what
 * matches.
 *
 * The core goes back there without a rejection, too: as soon as a member was silent for one
 * heartbeat, which on a long way it always is. That is no reason to say everything again
 * (docs/dependencies.md, fault 12).
 *
 * A member that has acknowledged more than it has now rejects every heartbeat from then on, and the
 * core, for which what matched matches for ever, never sends it what it lacks. Counted with its
 * acknowledgement entries would be committed that it has lost; so the owner is told who it is.
 *
 * A leader that hands over tells its successor to begin only when that one has all of
 * the log: it would refuse otherwise, and the hand-over fail. */
#include "base/assert.h"
#include "consensus/core.h"

#include <string.h>

#define WINDOW_MIN (8u << 10)
#define PIECE_MIN (4u << 10)
#define LEAST_MAX (64u << 10)
#define ENTRY_OVERHEAD 13u
#define PROBE_PAUSE_MAX_MS 4000u
#define SHORTS_MIN 3u

static uint64_t term_at(const struct mk_consensus *c, uint64_t index)
{
    return index == c->snap.index ? c->snap.term : mk_log_term(&c->log, index);
}

/* Bytes of the entries after `from`, up to `to`, as far as they are in memory. */
static uint64_t bytes_of(const struct mk_consensus *c, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;

    for (uint64_t i = from + 1 < c->log.first ? c->log.first : from + 1; i <= to; i++) {
        const struct mk_entry *e = mk_log_get(&c->log, i);

        sum += e == NULL ? 0 : e->blob->n + ENTRY_OVERHEAD;
    }
    return sum;
}

static struct mk_core_flow *flow_find(struct mk_consensus *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n_flows; i++)
        if (c->flows[i].id == id)
            return &c->flows[i];
    return NULL;
}

/* Who is of the configuration no more, is forgotten. */
static void forget_others(struct mk_consensus *c)
{
    unsigned k = 0;

    for (unsigned i = 0; i < c->n_flows; i++)
        if (mk_configuration_find(&c->conf, c->flows[i].id) != NULL)
            c->flows[k++] = c->flows[i];
    c->n_flows = k;
}

static struct mk_core_flow *flow_of(struct mk_consensus *c, uint64_t id)
{
    struct mk_core_flow *f = flow_find(c, id);

    if (f != NULL)
        return f;
    forget_others(c);
    c->flows = mk_realloc(c->flows, (c->n_flows + 1) * sizeof *c->flows);
    f = &c->flows[c->n_flows++];
    *f = (struct mk_core_flow){
        .id = id, .window = WINDOW_MIN, .least = WINDOW_MIN, .probing = true, .starts = true};
    return f;
}

void mk_core_flow_role(struct mk_consensus *c)
{
    mk_free(c->flows);
    c->flows = NULL;
    c->n_flows = 0;
    c->shortened.id = 0;
}

/* --- the window -------------------------------------------------------------------------- */

static void shrink(struct mk_core_flow *f)
{
    f->window = f->window / 2 < f->least ? f->least : f->window / 2;
    f->least -= f->least / 4;
    if (f->least < WINDOW_MIN)
        f->least = WINDOW_MIN;
    f->starts = false;
}

/* What this way has taken in a moment is no queue on it: an answer that comes late then is a
 * process's that had no processor, or a disk's. */
static void carried(const struct mk_consensus *c, struct mk_core_flow *f, uint64_t ms)
{
    uint64_t least = f->mark_bytes / (ms + 1) * (c->o.election_ms / 3);

    if (least > LEAST_MAX)
        least = LEAST_MAX;
    if (least > f->least)
        f->least = (uint32_t)least;
    if (f->window < f->least)
        f->window = f->least;
}

/* One round trip has ended. */
static void measured(struct mk_consensus *c, struct mk_core_flow *f, uint64_t ms)
{
    uint64_t late;

    carried(c, f, ms);
    if (f->quickest_ms == 0 || ms + 1 < f->quickest_ms)
        f->quickest_ms = ms + 1;
    late = ms + 1 - f->quickest_ms;
    f->quickest_ms += late / 32; /* the way may have changed */
    if (late > c->o.election_ms / 3)
        shrink(f);
    else if (f->was_used)
        f->window += f->starts ? f->window : WINDOW_MIN;
    if (f->window > MK_CONSENSUS_WINDOW_MAX)
        f->window = MK_CONSENSUS_WINDOW_MAX;
    f->was_used = false;
    f->mark = 0;
}

/* The question was answered: what it carried is under way, or there. */
static void know_where(const struct mk_consensus *c, struct mk_core_flow *f)
{
    bool carried_more = f->probed <= f->match && f->match < f->probed_to;

    f->sent = f->wanted = carried_more ? f->probed_to : f->match;
    f->sent_term = carried_more ? f->probed_term : term_at(c, f->match);
    f->under_way = bytes_of(c, f->match, f->sent);
    f->probing = false;
}

/* Takes into account what the core knows to match. */
static void settle(struct mk_consensus *c, struct mk_core_flow *f)
{
    uint64_t match = mk_consensus_match(c, f->id), before = f->match, bytes;

    if (match <= before)
        return;
    f->match = match;
    if (f->probing) {
        know_where(c, f);
    } else if (match > f->sent) {
        f->sent = match;
        f->sent_term = term_at(c, match);
        f->wanted = f->wanted < match ? match : f->wanted;
        f->under_way = 0;
    } else if (before + 1 < c->log.first) { /* what went from memory meanwhile had a length, too */
        f->under_way = bytes_of(c, match, f->sent);
    } else {
        bytes = bytes_of(c, before, match);
        f->under_way -= bytes < f->under_way ? bytes : f->under_way;
    }
    if (f->mark != 0 && match >= f->mark)
        measured(c, f, c->now - f->mark_ms);
}

/* --- sending ------------------------------------------------------------------------------- */

static struct mk_message *append_message(struct mk_consensus *c, const struct mk_core_flow *f,
                                         uint64_t prev, uint64_t prev_term)
{
    struct mk_message *m = mk_core_message(c, MK_MSG_APPEND, f->id);

    m->index = prev;
    m->index_term = prev_term;
    m->commit = raft_commit_index(&c->raft);
    return m;
}

/* Fills m with entries up to index `to`: one at least, then while they fit. Returns their bytes,
 * *ret_term is the last one's. */
static uint64_t take_entries(const struct mk_consensus *c, struct mk_message *m, uint64_t to,
                             uint64_t room, uint64_t *ret_term)
{
    uint64_t bytes = 0;

    while (m->index + m->n < to && m->n < MK_CONSENSUS_APPEND_MAX) {
        const struct mk_entry *e = mk_log_get(&c->log, m->index + m->n + 1);
        uint64_t one;

        MK_ASSERT(e != NULL);
        one = e->blob->n + ENTRY_OVERHEAD;
        if (m->n > 0 && bytes + one > room)
            break;
        bytes += one;
        *ret_term = e->term;
        m->n++;
    }
    return bytes;
}

static uint64_t piece_room(const struct mk_core_flow *f)
{
    uint64_t piece = f->window / 4 < PIECE_MIN ? PIECE_MIN : f->window / 4;
    uint64_t room = f->window - f->under_way;

    if (piece > MK_CONSENSUS_APPEND_BYTES)
        piece = MK_CONSENSUS_APPEND_BYTES;
    return room < piece ? room : piece;
}

/* Sends what is wanted as far as there is room. True: something was sent. */
static bool pump(struct mk_consensus *c, struct mk_core_flow *f)
{
    bool any = false;

    while (!f->probing && f->sent < f->wanted) {
        const struct mk_entry *e = mk_log_get(&c->log, f->sent + 1);
        struct mk_message *m;

        if (e == NULL || (f->sent_term == 0 && f->sent > 0)) {
            f->sent = f->wanted; /* cut here: the member will miss it, and say so */
            f->sent_term = term_at(c, f->sent);
            f->under_way = 0;
            return any;
        }
        if (f->under_way > 0 && f->under_way + e->blob->n + ENTRY_OVERHEAD > f->window)
            return any;
        m = append_message(c, f, f->sent, f->sent_term);
        f->under_way += take_entries(c, m, f->wanted, piece_room(f), &f->sent_term);
        f->sent += m->n;
        f->was_used = f->was_used || f->under_way > f->window / 4;
        if (f->mark == 0) {
            f->mark = f->sent;
            f->mark_ms = c->now;
            f->mark_bytes = f->under_way;
        }
        any = true;
    }
    return any;
}

/* Where do our logs agree? Entries make the answer quicker, and cost when it is no. */
static void probe(struct mk_consensus *c, struct mk_core_flow *f,
                  const struct raft_append_entries *a)
{
    struct mk_message *m = append_message(c, f, a->prev_log_index, a->prev_log_term);

    if (f->probed != m->index)
        f->pause_ms = 0;
    if (a->n_entries == 0 || (f->pause_ms > 0 && c->now < f->again_ms))
        return;
    f->probed = m->index;
    f->pause_ms = f->pause_ms == 0 ? 2 * c->o.heartbeat_ms : 2 * f->pause_ms;
    if (f->pause_ms > PROBE_PAUSE_MAX_MS)
        f->pause_ms = PROBE_PAUSE_MAX_MS;
    f->again_ms = c->now + f->pause_ms;
    take_entries(c, m, m->index + a->n_entries, WINDOW_MIN, &f->probed_term);
    f->probed_to = m->index + m->n;
}

/* What was sent did not arrive, or it is given the snapshot. */
static void fall_back(struct mk_core_flow *f)
{
    if (!f->probing)
        shrink(f);
    f->probing = true;
    f->probed = f->probed_to = 0;
    f->pause_ms = 0;
    f->mark = 0;
    f->under_way = 0;
}

void mk_core_flow_append(struct mk_consensus *c, uint64_t id, const struct raft_append_entries *a)
{
    struct mk_core_flow *f = flow_of(c, id);
    bool back;

    settle(c, f);
    if (f->probing) {
        probe(c, f, a);
        return;
    }
    if (a->prev_log_index > f->wanted) {
        f->sent = a->prev_log_index;
        f->sent_term = a->prev_log_term;
        f->under_way = 0;
    }
    back = a->prev_log_index < f->wanted;
    if (f->wanted < a->prev_log_index + a->n_entries)
        f->wanted = a->prev_log_index + a->n_entries;
    if (pump(c, f) || (a->n_entries > 0 && !back))
        return;
    if (f->sent == a->prev_log_index)
        append_message(c, f, a->prev_log_index, a->prev_log_term);
    else
        append_message(c, f, f->sent, f->sent_term);
}

void mk_core_flow_rejected(struct mk_consensus *c, uint64_t id, uint64_t index)
{
    struct mk_core_flow *f = flow_find(c, id);

    if (f == NULL || f->probing || index <= f->match || index > f->sent)
        return; /* an old one */
    fall_back(f);
}

void mk_core_flow_held(struct mk_consensus *c, uint64_t id, uint64_t match, uint64_t has, bool less)
{
    struct mk_core_flow *f = flow_find(c, id);

    if (f == NULL)
        return;
    if (!less) {
        f->shorts = 0;
        return;
    }
    if (f->shorts++ == 0)
        f->short_ms = c->now;
    if (f->shorts >= SHORTS_MIN && c->now >= f->short_ms + c->o.election_ms) {
        c->shortened = (struct mk_consensus_short){id, match, has};
        f->shorts = 0;
    }
}

bool mk_consensus_short(struct mk_consensus *c, struct mk_consensus_short *ret)
{
    if (c->shortened.id == 0)
        return false;
    *ret = c->shortened;
    c->shortened.id = 0;
    return true;
}

void mk_core_flow_install(struct mk_consensus *c, uint64_t id)
{
    fall_back(flow_of(c, id));
}

/* The link broke, or is there again: a piece that was lost need not wait its pause. */
void mk_core_flow_link(struct mk_consensus *c, uint64_t id)
{
    struct mk_core_flow *f = flow_find(c, id);

    if (f == NULL)
        return;
    f->window = f->least = WINDOW_MIN;
    f->quickest_ms = 0;
    f->starts = true;
    f->pause_ms = 0;
    f->mark = 0;
    f->shorts = 0;
}

/* --- handing over -------------------------------------------------------------------------- */

static bool hand_over(struct mk_consensus *c, const struct mk_core_flow *f)
{
    struct mk_message *m;

    if (f->match < mk_log_last(&c->log))
        return false;
    m = mk_core_message(c, MK_MSG_TIMEOUT_NOW, f->id);
    m->index = mk_log_last(&c->log);
    m->index_term = mk_core_last_term(c);
    return true;
}

void mk_core_flow_timeout_now(struct mk_consensus *c, uint64_t id)
{
    struct mk_core_flow *f = flow_of(c, id);

    settle(c, f);
    f->goes = !hand_over(c, f);
}

void mk_core_flow_acked(struct mk_consensus *c, uint64_t id)
{
    struct mk_core_flow *f = flow_find(c, id);

    if (f == NULL || c->role != MK_ROLE_LEADER)
        return;
    settle(c, f);
    pump(c, f);
    if (f->goes)
        f->goes = raft_transferee(&c->raft) == id && !hand_over(c, f);
}
