/* core.h - inside a member: libraft's core, its mirror, what waits to be told.
 *
 *   receive.c   messages, and the guards before the core sees them
 *   step.c      one raft_step(): event in, update collected into pending effects
 *   election.c  the clock that may run ahead: hints that end a wait
 *   quiet.c     falling quiet together, and waking
 *   read.c      rounds of PING and PONG for linearizable reads
 *   lease.c     ... and without a round, while a majority has promised
 *   change.c    submit, configurations, transfer
 *   flow.c      the bytes under way to each member
 *   snapshot.c  describe, compact, fetch, install
 *   consensus.c open, free, effects, queries
 *
 * The mirror (term, vote, commit, configuration, log) is brought up to date after
 * each step, and mk_core_check() compares it with the core's own. */
#ifndef CONSENSUS_CORE_H
#define CONSENSUS_CORE_H

#include "consensus/wire.h"

#include <raft.h>

#define MK_CORE_ROUNDS 64u /* rounds whose time of sending is known */

enum fetch_state {
    FETCH_NONE,
    FETCH_RUNNING, /* the owner is getting the bytes */
    FETCH_READY,   /* it has them; the core was not told yet, or the offer had gone stale */
};

/** What we know of another server, besides the core's progress. */
struct mk_core_peer {
    uint64_t id;
    uint64_t round;       /* leader: the highest PING it answered in this term */
    uint64_t quiet_round; /* leader: it sleeps since that round, or slept */
    uint64_t promised;    /* ... with a promise (lease.c) */
    bool up;              /* link hint */
    bool gone;            /* never waited for */
};

/** A leader's book of what it sent to one member; flow.c. */
struct mk_core_flow {
    uint64_t id;
    uint64_t match;                 /* what it holds, as counted here */
    uint64_t sent, sent_term;       /* up to here entries have left, the last one's term */
    uint64_t wanted;                /* up to here the core thinks so */
    uint64_t under_way;             /* bytes after match, up to sent */
    uint64_t mark, mark_ms;         /* an entry whose acknowledgement is timed; 0: none */
    uint64_t quickest_ms;           /* round trip, one more than that; 0: not known */
    uint64_t probed, probed_to;     /* the last question that carried entries, and up to where */
    uint64_t probed_term, again_ms; /* ... not again before */
    uint64_t mark_bytes;            /* under way when it left */
    uint64_t short_ms;              /* since when it says that it lacks what it acknowledged */
    uint32_t shorts;                /* ... and how often, with nothing else in between */
    uint32_t window, least, pause_ms;
    bool probing;  /* where its log agrees with ours is not known */
    bool starts;   /* the window doubles */
    bool was_used; /* ... if a quarter of it was under way since the mark */
    bool goes;     /* it is to lead once it has everything */
};

struct mk_consensus {
    struct raft raft;
    struct mk_consensus_options o;
    int dead; /* MK_ECORRUPT once log and core contradict each other */

    /* the mirror */
    struct mk_log log;
    struct mk_snapshot_meta snap; /* index 0: none */
    struct mk_configuration conf;
    enum mk_consensus_role role;
    uint64_t term, vote, leader, commit;
    uint64_t backlog; /* bytes after commit */

    /* change.c: what the log had a heartbeat ago, or two; leader only */
    uint64_t lately, lately_next, lately_ms;

    /* flow.c; leader only */
    struct mk_core_flow *flows;
    unsigned n_flows;
    struct mk_consensus_short shortened; /* id 0: nobody's log is */

    /* election.c */
    uint64_t now;        /* the owner's clock, never going back */
    int64_t ahead;       /* the core's clock is this much further, or behind (quiet.c) */
    uint64_t heard;      /* when the leader of this term last spoke; owner's clock */
    uint64_t hint_at;    /* stop waiting for a leader then; 0: no hint */
    unsigned hint_tries; /* since a leader was last heard */
    bool leader_lost;    /* the link to the known leader broke */
    struct mk_core_peer peers[2 * MK_CONSENSUS_SERVERS_MAX];
    unsigned n_peers;

    /* quiet.c */
    bool quiet;           /* the core's clock stands still: */
    uint64_t quiet_at;    /* since then */
    uint64_t beat;        /* when the leader's process was heard last */
    uint64_t quiet_round; /* leader: the last one asked */
    bool quiet_asked;     /* it stands: nothing else was said since */
    bool quiet_ever;      /* asked in this leadership */

    /* read.c */
    uint64_t read_round; /* the last one sent */
    uint64_t read_done;  /* the last one confirmed */
    uint64_t read_sent_ms;
    bool read_wanted; /* somebody waits for round read_round + 1 */

    /* lease.c */
    uint64_t promised_until; /* a follower votes for nobody before */
    uint64_t lease_until;    /* the leader needs no round before */
    uint64_t lease_after;    /* only rounds after this one count */
    uint64_t no_lease_term;
    uint64_t round_sent_ms[MK_CORE_ROUNDS]; /* by round; when it was first sent */
    uint64_t round_lease;                   /* the promise that the last round asks for, ms */
    bool lease_wanted;

    /* snapshot.c */
    enum fetch_state fetch;
    struct mk_snapshot_meta fetch_meta;
    uint64_t fetch_from, fetch_term;
    bool installing;
    struct mk_snapshot_meta install_meta;
    struct raft_snapshot_metadata install_raft; /* the core's, until it is told "persisted" */

    /* effects not yet taken */
    struct mk_message *out;
    unsigned n_out, cap_out;
    unsigned n_lent; /* of out, already shown by mk_consensus_effects() */
    uint64_t persist_from;
    bool fx_meta, fx_role, fx_commit, fx_fetch, fx_install;
};

/** The first input of each call: refuses when dead, moves the clock. */
int mk_core_enter(struct mk_consensus *c, uint64_t now_ms);
/** One step; ev's time is filled in. `entries` (n of them, borrowed) are what the
 * event's entry array stands for, NULL when it has none. 0, the core's refusal as
 * MK_ENOTLEADER or MK_EFULL, or MK_ECORRUPT (dead from now on). */
int mk_core_step(struct mk_consensus *c, struct raft_event *ev, struct raft_entry *array,
                 const struct mk_entry *entries, unsigned n);
/** The leader's own way in; the entries' blobs get references of the log's. */
int mk_core_submit(struct mk_consensus *c, const struct mk_entry *entries, unsigned n);
/** Tells the core that the configuration entry at index is committed. */
int mk_core_configuration_committed(struct mk_consensus *c, uint64_t index);
bool mk_core_cured(const struct mk_consensus *c, enum mk_cure cure);
int mk_core_dead(struct mk_consensus *c);
/** True unless the mirror and the core differ; for tests and after dangerous steps. */
bool mk_core_check(const struct mk_consensus *c);

/** An array for the core with one token of memory that stands for all bytes; the
 * configurations in it are encoded for libraft. Freed with mk_core_entries_done(),
 * which leaves the token to who owns it then. */
struct raft_entry *mk_core_entries(const struct mk_entry *entries, unsigned n);
void mk_core_entries_done(struct raft_entry *array, unsigned n);

/* configuration.c */
void mk_core_configuration(struct raft_configuration *ret, const struct mk_configuration *c);
void mk_core_configuration_back(struct mk_configuration *ret, const struct raft_configuration *c);
/** As of index: from the log, else the snapshot's. *ret_index is where it stands, 0:
 * there is none. */
void mk_core_configuration_at(const struct mk_consensus *c, struct mk_configuration *ret,
                              uint64_t *ret_index, uint64_t index);

/** The term of the last entry, or of the snapshot it ends with. */
uint64_t mk_core_last_term(const struct mk_consensus *c);

/* messages to be sent */
struct mk_message *mk_core_message(struct mk_consensus *c, enum mk_message_kind kind, uint64_t to);
/** Forgets AppendEntries not yet sent whose entries the log holds no more. */
void mk_core_prune_messages(struct mk_consensus *c);

/* flow.c */
/** The core wants to say this: it, or a part of it now and the rest later, or a heartbeat. */
void mk_core_flow_append(struct mk_consensus *c, uint64_t id, const struct raft_append_entries *a);
void mk_core_flow_install(struct mk_consensus *c, uint64_t id); /* it offers a snapshot */
void mk_core_flow_timeout_now(struct mk_consensus *c, uint64_t id);
/** It lacks what comes before that: a question of ours, or a heartbeat, began there. */
void mk_core_flow_rejected(struct mk_consensus *c, uint64_t id, uint64_t index);
/** An answer: less, its log ends at `has`, before what it acknowledged. */
void mk_core_flow_held(struct mk_consensus *c, uint64_t id, uint64_t match, uint64_t has,
                       bool less);
void mk_core_flow_acked(struct mk_consensus *c, uint64_t id); /* the core has heard of it */
void mk_core_flow_link(struct mk_consensus *c, uint64_t id);
void mk_core_flow_role(struct mk_consensus *c); /* forgets everything */

/* change.c */
void mk_core_lately(struct mk_consensus *c);
/* election.c */
void mk_core_heard_leader(struct mk_consensus *c);
/** May a candidate have our vote although we know a leader? */
bool mk_core_leader_is_lost(const struct mk_consensus *c);
uint64_t mk_core_deadline(const struct mk_consensus *c);
struct mk_core_peer *mk_core_peer(struct mk_consensus *c, uint64_t id); /* NULL: table full */

/* quiet.c */
uint64_t mk_core_time(const struct mk_consensus *c); /* the core's clock */
void mk_core_wake(struct mk_consensus *c, bool tell_leader);
void mk_core_quiet_asked(struct mk_consensus *c, const struct mk_message *m);
void mk_core_quiet_ack(struct mk_consensus *c, const struct mk_message *m);
/** A heartbeat that says nothing new to a quiet follower: its leader waits for others yet. */
bool mk_core_is_heartbeat(const struct mk_consensus *c, const struct mk_message *m);
void mk_core_woken(struct mk_consensus *c, const struct mk_message *m);
/** The leader's role ended. */
void mk_core_quiet_role(struct mk_consensus *c);

/* read.c */
void mk_core_read_flush(struct mk_consensus *c);
void mk_core_read_pong(struct mk_consensus *c, uint64_t from, uint64_t round, bool promised);
void mk_core_read_timeout(struct mk_consensus *c);
void mk_core_read_role(struct mk_consensus *c);

/* lease.c */
bool mk_core_promised(const struct mk_consensus *c); /* our vote is promised away */
/** The longest promise that options may allow, in ms. */
unsigned mk_core_lease_longest(const struct mk_consensus_options *o);
void mk_core_lease_start(struct mk_consensus *c);
/** The leader asks for ms; true: granted. */
bool mk_core_promise(struct mk_consensus *c, uint64_t leader, uint64_t ms);
void mk_core_released(struct mk_consensus *c); /* the leader itself sends us to elections */
/** Round read_round begins: notes when, and which promise it asks for. */
void mk_core_lease_round(struct mk_consensus *c);
void mk_core_lease_tally(struct mk_consensus *c);
void mk_core_lease_drop(struct mk_consensus *c);
void mk_core_lease_bar(struct mk_consensus *c); /* for the rest of this term */

/* snapshot.c */
int mk_core_offered(struct mk_consensus *c, const struct mk_message *m);

#endif /* CONSENSUS_CORE_H */
