/* Founding (spec/committees.md, "Founding", "Lost disks").
 *
 *   blank --(founder, --found, all linked and blank)--> draws up the Founding, stores it
 *   blank --(shown a Founding with its present id)----> stores it
 *   blank --(shown one with another id for it, or none)--> it keeps the Founding and starts
 *            with an empty log; it waits until it is given a seat (reseat.c)
 *
 * Storing: index 1 the configuration of the Raft ids, index 2 the Founding, both of
 * term 1, and the Founding as a fact, so that it can be given to whoever asks when the
 * log's beginning has gone into a snapshot. Consensus starts when that is durable; only
 * then does the founder send it. A blank member's hello is its asking.
 *
 * Failure modes: the founder dies before it stored: nothing happened. It dies after
 * some have it: they found the group with a majority of it, and give it to the rest.
 * A member draws another id between its hello and the Founding: it has lost its disk. */
#include "group/group_int.h"
#include "group/written.h"

#include <stdio.h>
#include <string.h>

#define FACT_RAFT_ID "raft-id"
#define FACT_FOUNDING "founding"
#define FACT_JOINED "joined" /* u8 1: with an empty disk, and nothing was signed since */

static bool read_raft_id(struct mk_group *g)
{
    struct mk_bytes v;
    struct mk_reader r;

    if (mk_store_get(g->disk, &v, FACT_RAFT_ID) != 0)
        return false;
    r = (struct mk_reader){v.p, v.n, false};
    g->raft_id = mk_read_u64le(&r);
    return !r.failed && g->raft_id != 0;
}

/* Only now may it be named to anyone: a member that named an id and then forgot it
 * would have lost its disk. */
static void raft_id_stored(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, founding_wait);

    if (status != 0)
        mk_group_fail(g, status, "the Raft id could not be stored");
    g->named = true;
    mk_group_wake(g);
}

static void draw_raft_id(struct mk_group *g)
{
    struct mk_buf b = {0};
    uint64_t lsn = 0;

    while (g->raft_id == 0)
        mk_entropy(g->env, &g->raft_id, sizeof g->raft_id);
    mk_buf_put_u64le(&b, g->raft_id);
    mk_store_put(g->disk, &lsn, FACT_RAFT_ID, mk_buf_bytes(&b));
    mk_buf_done(&b);
    g->founding_wait.cb = raft_id_stored;
    mk_store_wait(g->store, &g->founding_wait, lsn);
}

/* Copies the Founding's bytes into the group and decodes them there. */
static int keep_founding(struct mk_group *g, struct mk_bytes pc)
{
    const void *copy = mk_arena_copy(&g->founding_mem, pc.p, pc.n);

    return mk_decode(&g->founding, &mk_founding_type, MK_BYTES(copy, pc.n), &g->founding_mem, NULL);
}

void mk_found_open(struct mk_group *g)
{
    struct mk_bytes pc;

    g->named = read_raft_id(g);
    if (!g->named)
        draw_raft_id(g);
    if (mk_store_get(g->disk, &pc, FACT_FOUNDING) == 0 && keep_founding(g, pc) == 0)
        g->founding_known = true;
    g->sign_wait = mk_store_get(g->disk, &pc, FACT_JOINED) == 0 && pc.n == 1 && pc.p[0] == 1;
}

void mk_found_anew(struct mk_group *g)
{
    g->named = g->founding_known = false;
    g->raft_id = 0;
    draw_raft_id(g);
}

void mk_found_close(struct mk_group *g)
{
    mk_store_wait_cancel(&g->founding_wait);
    mk_arena_done(&g->founding_mem);
}

/* --- storing ------------------------------------------------------------------------------ */

static void entry_configuration(const struct mk_founding *f, struct mk_buf *out)
{
    struct mk_configuration c = {.n = (unsigned)f->raft_ids.n};

    for (unsigned i = 0; i < c.n; i++)
        c.servers[i] = (struct mk_server){f->raft_ids.v[i], MK_SERVER_VOTER};
    MK_ASSERT(mk_configuration_check(&c) == 0);
    mk_configuration_encode(&c, out);
}

static void entry_genesis(const struct mk_founding *f, struct mk_buf *out)
{
    struct mk_logged e = {.tag = mk_logged_Genesis, .u.genesis = *f};

    mk_buf_put_u8(out, 0);
    mk_encode(out, &mk_logged_type, &e);
}

/* The log as it was just stored: configuration and genesis, both of term 1. */
static int start_founded(struct mk_group *g, struct mk_fault *reterr)
{
    struct mk_consensus_start start = {.term = 1, .first_index = 1, .n_entries = 2};
    struct mk_buf one = {0}, two = {0};
    struct mk_entry entries[2];
    int rv;

    entry_configuration(&g->founding, &one);
    entry_genesis(&g->founding, &two);
    entries[0] = (struct mk_entry){1, MK_ENTRY_CHANGE, mk_blob_new(one.p, one.n)};
    entries[1] = (struct mk_entry){1, MK_ENTRY_COMMAND, mk_blob_new(two.p, two.n)};
    start.entries = entries;
    rv = mk_drive_open(g, &start, reterr);
    mk_blob_unref(entries[0].blob);
    mk_blob_unref(entries[1].blob);
    mk_buf_done(&one);
    mk_buf_done(&two);
    return rv;
}

/* News for who knows us as blank. */
static void tell_founded(struct mk_group *g)
{
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member_message hello = {
            .tag = mk_member_message_Hello,
            .u.hello = {.deployment = g->deployment,
                        .machine = g->machine_id,
                        .raft_id = g->raft_id,
                        .founded = true,
                        .epoch = mk_reseat_epoch(g),
                        .tickets = {g->wallet->v, g->wallet->n}},
        };

        mk_member_send(g->members[i], &hello);
    }
    mk_group_changed(g);
    mk_group_wake(g);
}

static void founding_stored(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, founding_wait);
    struct mk_fault f = {{0}};

    if (status != 0 || start_founded(g, &f) != 0) {
        mk_group_fail(g, status, f.text[0] != 0 ? f.text : "the founding could not be stored");
        return;
    }
    tell_founded(g);
}

static void store_founding(struct mk_group *g, const struct mk_founding *f)
{
    struct mk_buf pc = {0}, one = {0}, two = {0};
    uint64_t lsn = 0;

    mk_encode(&pc, &mk_founding_type, f);
    MK_ASSERT(keep_founding(g, mk_buf_bytes(&pc)) == 0);
    g->founding_known = true;
    entry_configuration(&g->founding, &one);
    entry_genesis(&g->founding, &two);
    mk_store_append(g->disk, NULL,
                    &(struct mk_store_entry){1, 1, MK_ENTRY_CHANGE, mk_buf_bytes(&one)});
    mk_store_append(g->disk, NULL,
                    &(struct mk_store_entry){2, 1, MK_ENTRY_COMMAND, mk_buf_bytes(&two)});
    mk_store_set_term(g->disk, NULL, 1, 0);
    mk_written_put(g->disk, mk_state_machine(g->st)->ops);
    mk_store_put(g->disk, &lsn, FACT_FOUNDING, mk_buf_bytes(&pc));
    g->founding_wait.cb = founding_stored;
    mk_store_wait(g->store, &g->founding_wait, lsn);
    mk_buf_done(&pc);
    mk_buf_done(&one);
    mk_buf_done(&two);
}

/* --- the founder ----------------------------------------------------------------------------- */

/* Distinct, and none is 0. */
static bool distinct(const uint64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] == 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (v[i] == v[j])
                return false;
    }
    return true;
}

/* The first peer of the roster, started with --found, linked to all, all blank. */
static bool may_found(const struct mk_group *g)
{
    if (!g->found || !g->named || g->founding_known || g->self != 0 || g->state != MK_GROUP_BLANK)
        return false;
    if (g->ahead.epoch > g->roster.epoch) /* it was founded long ago */
        return false;
    for (unsigned i = 0; i < g->n_members; i++)
        if (i != g->self &&
            (!g->members[i]->up || g->members[i]->founded || g->members[i]->raft_id == 0))
            return false;
    return true;
}

static void found(struct mk_group *g)
{
    struct mk_founding f = g->plan;
    uint64_t ids[MK_ROSTER_MAX];

    for (unsigned i = 0; i < g->n_members; i++)
        ids[i] = i == g->self ? g->raft_id : g->members[i]->raft_id;
    if (!distinct(ids, g->n_members))
        return;
    f.raft_ids = (struct mk_raft_ids){ids, g->n_members};
    store_founding(g, &f);
}

static void give(struct mk_group *g, struct mk_member *m)
{
    struct mk_member_message msg = {.tag = mk_member_message_Founding, .u.founding = g->founding};

    m->given = mk_member_send(m, &msg);
}

void mk_found_turn(struct mk_group *g)
{
    if (may_found(g))
        found(g);
    if (g->raft == NULL)
        return;
    for (unsigned i = 0; i < g->n_members; i++) {
        struct mk_member *m = g->members[i];

        if (i != g->self && m->up && !m->founded && !m->given)
            give(g, m);
    }
}

/* --- the others ---------------------------------------------------------------------------------
 */

/* Everything but the raft_ids must equal our own files. */
static bool as_planned(const struct mk_group *g, const struct mk_founding *f)
{
    struct mk_founding bare = *f;
    struct mk_buf ours = {0}, theirs = {0};
    bool same;

    bare.raft_ids = (struct mk_raft_ids){0};
    mk_encode(&ours, &mk_founding_type, &g->plan);
    mk_encode(&theirs, &mk_founding_type, &bare);
    same = mk_bytes_eq(mk_buf_bytes(&ours), mk_buf_bytes(&theirs));
    mk_buf_done(&ours);
    mk_buf_done(&theirs);
    return same && f->raft_ids.n == f->roster.peers.n && distinct(f->raft_ids.v, f->raft_ids.n);
}

/* Has it our present id for us? Where later rosters are proven the group was founded long ago, and
 * nothing that we are told begins a log of our own: it comes from the others. */
static bool is_seated(const struct mk_group *g, const struct mk_founding *f)
{
    if (g->ahead.epoch > g->roster.epoch)
        return false;
    for (size_t i = 0; i < f->roster.peers.n; i++)
        if (mk_peer_eq(&f->roster.peers.v[i], mk_net_self(g->net)))
            return f->raft_ids.v[i] == g->raft_id;
    return false;
}

static void join_stored(struct mk_store_wait *w, int status)
{
    struct mk_group *g = mk_container_of(w, struct mk_group, founding_wait);
    struct mk_consensus_start blank = {0};
    struct mk_fault f = {{0}};

    if (status != 0 || mk_drive_open(g, &blank, &f) != 0) {
        mk_group_fail(g, status, f.text[0] != 0 ? f.text : "the founding could not be stored");
        return;
    }
    tell_founded(g);
}

/* Nothing is ours in this log: it comes from the others, from its beginning. */
static void join(struct mk_group *g, const struct mk_founding *f)
{
    struct mk_buf pc = {0};
    uint8_t yes = 1;
    uint64_t lsn = 0;

    mk_encode(&pc, &mk_founding_type, f);
    MK_ASSERT(keep_founding(g, mk_buf_bytes(&pc)) == 0);
    g->founding_known = g->sign_wait = true;
    g->state = g->members[g->self]->in_roster ? MK_GROUP_LOST_DISK : MK_GROUP_OUTSIDE;
    mk_store_put(g->disk, NULL, FACT_JOINED, MK_BYTES(&yes, 1));
    mk_written_put(g->disk, mk_state_machine(g->st)->ops);
    mk_store_put(g->disk, &lsn, FACT_FOUNDING, mk_buf_bytes(&pc));
    g->founding_wait.cb = join_stored;
    mk_store_wait(g->store, &g->founding_wait, lsn);
    mk_buf_done(&pc);
    mk_group_changed(g);
}

void mk_found_joined(struct mk_group *g)
{
    uint8_t no = 0;

    g->sign_wait = false;
    mk_store_put(g->disk, NULL, FACT_JOINED, MK_BYTES(&no, 1));
}

void mk_found_received(struct mk_group *g, struct mk_member *m, const struct mk_founding *f)
{
    if (g->founding_known || g->state == MK_GROUP_DAMAGED)
        return;
    m->founded = true;
    if (!as_planned(g, f)) {
        snprintf(m->detail, sizeof m->detail,
                 "offered a founding that is not that of our files (roster or operators differ)");
        return;
    }
    if (is_seated(g, f)) {
        store_founding(g, f);
        return;
    }
    join(g, f);
}
