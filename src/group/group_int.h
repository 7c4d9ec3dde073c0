/* group_int.h - what the files of a group share. Each file owns one part of the struct
 * and is the only one to write it.
 *
 *   group.c   open, close, status, watch      apply.c   committed entries -> state, answers
 *   hub.c     protocols of a net -> groups    heads.c   marks -> heads, signatures, certificates
 *   peers.c   conversations with members      time.c    machine time: when to propose
 *   found.c   founding, lost disks            snap_*.c  snapshots: taking, giving, fetching
 *   drive.c   consensus <-> store and links   exec.c    clients
 *   pending.c commands on their way           query.c   reads
 *   reseat.c  seats: who replaces whom        epoch.c   signing a change of the roster
 *   marks.c   which entries are signed at
 *   operate.c what operators ask for          quiet.c   groups at rest (beat.c: processes)
 *   level.c   protocols, checks               mend.c    bits that turned on the disk
 *   lineage.c the chain of rosters, for who knows an old one; course.c  what became of changes
 *   candidacy.c  who stands for election when many would
 *
 * Everything that comes from outside (a message, a timer, a durable write) changes its
 * part and asks for one turn (mk_group_wake); the turn proposes, carries out the effects
 * of consensus, applies, answers. */
#ifndef GROUP_GROUP_INT_H
#define GROUP_GROUP_INT_H

#include "base/assert.h"
#include "collections/certificate.h"
#include "consensus/consensus.h"
#include "group/group.h"
#include "group/hub.h"
#include "group/serve.h"
#include "group/state.h"
#include "group/table.h"
#include "group/wire.h"

#define MK_OUTBOX_MAX                                                                             \
    (8u << 20)                    /* bytes held for a conversation; above it the peer is too slow \
                                   */
#define MK_REFUSED_RETRY_MS 2000u /* a refused or failed conversation is tried again after */
#define MK_PENDING_LIFE_MS 30000u /* a command that nobody answers is given up after */
#define MK_SIGNATURES_KEPT 8u     /* newest signatures kept of each member, a surface */
#define MK_MEMBERS_MAX (2 * MK_ROSTER_MAX + 1) /* slots: a roster, the one before, ourselves */
#define MK_PROVING_MAX 65536u                  /* clients that wait for certificates */
#define MK_SHOWINGS_MAX 16u /* peers, known or not, who show this group their rosters at once */

/* --- sending ---------------------------------------------------------------------- */

/** Messages in order, held while a conversation has no room. All zero is empty. */
struct mk_outbox {
    struct mk_conv *conv; /* NULL: what is put is dropped */
    struct mk_buf held;   /* u32le length and bytes of each */
    size_t at;
};
/** false: over MK_OUTBOX_MAX, the conversation must be closed. */
bool mk_outbox_put(struct mk_outbox *o, const struct mk_bytes *parts, size_t n);
void mk_outbox_flush(struct mk_outbox *o);
void mk_outbox_done(struct mk_outbox *o);

/* --- members ------------------------------------------------------------------------- */

struct mk_member {
    struct mk_group *g;
    unsigned i; /* its slot: for ever; roster order at the founding */
    struct mk_peer peer;
    bool remembered; /* we had a slot for it before we opened */
    bool used;       /* else a slot for whom comes next */
    bool in_roster;  /* of the newest roster applied here */
    struct mk_conv *conv;
    struct mk_outbox out;
    struct mk_buf late; /* u32le length and bytes of messages that go with the next one, or then: */
    uint64_t late_ns;   /* 0: there are none */
    bool up;            /* hello seen, admitted: messages flow */
    bool slow;          /* its messages pile up: to be dropped */
    bool lied;          /* it signed another history: to be dropped */
    bool founded;       /* it says */
    uint16_t newest;    /* protocol that it knows, as its link says */
    unsigned estranged; /* the close code, when it was refused, or refused us, for its version or
                         * for a log that it has lost; else 0 */
    bool given;         /* it was given the Founding on this conversation */
    bool refused;       /* by a clause: ours or its */
    bool turned_away;   /* it refused us when we greeted it last */
    bool shown;         /* on this link: it and we know the same roster */
    uint32_t show_ms;   /* doubles */
    uint64_t show_ns;   /* when it is shown the rosters, unless it is up */
    bool rejudge;       /* what is known of its quote changed */
    uint64_t raft_id;   /* that it named on the link; 0: not known */
    uint64_t highest_signed;
    uint64_t epoch;   /* the newest that it knows */
    bool reported;    /* highest_signed, since we opened */
    uint64_t applied; /* what it says, as this Raft id */
    uint64_t vouch_epoch;
    bool vouch_checked;
    struct mk_signature vouch; /* under the change to vouch_epoch */
    uint64_t expires_ms;       /* of its admission; unix */
    struct mk_arena tickets_mem;
    struct mk_bytes *tickets;
    size_t n_tickets;
    uint64_t retry_ns;
    uint32_t retry_ms;   /* doubles up to MK_REFUSED_RETRY_MS */
    uint64_t advance_ns; /* when its last Advance came */
    unsigned clause;
    char detail[MK_REASON_MAX];
    struct mk_list waiters;   /* answers owed to it */
    struct mk_process *rests; /* quiet.c: the group is quiet with it; NULL: not */
    bool waits;               /* somebody there waits for certificates */
    struct mk_giving *giving; /* snap_give.c; NULL: it is given no snapshot */
};

void mk_peers_open(struct mk_group *g);
void mk_peers_close(struct mk_group *g);
/** Opens what should be open, judges again what has expired; part of the turn. */
void mk_peers_turn(struct mk_group *g);
unsigned mk_peers_accept(struct mk_group *g, struct mk_conv *c, const struct mk_member_hello *h,
                         char detail[MK_REASON_MAX]);
void mk_peers_link_changed(struct mk_group *g, const struct mk_peer *peer);
/** Queues a message of pieces; one to a member that is not up is dropped. A member whose
 * messages pile up is dropped in the next turn. */
void mk_member_put(struct mk_member *m, const struct mk_bytes *parts, size_t n);
/** As mk_member_send(), but the message may wait a moment for another one to go with: what it
 * says is needed soon, not now, and each send wakes a process. */
void mk_member_send_late(struct mk_member *m, const struct mk_member_message *msg);
/** false: not up; the message is dropped. */
bool mk_member_send(struct mk_member *m, const struct mk_member_message *msg);
void mk_member_send_all(struct mk_group *g, const struct mk_member_message *msg);
void mk_member_drop(struct mk_member *m, unsigned close, const char *detail);
/** It and we are of different versions, or its log went back: what was said is kept for the status
 * and the log. */
void mk_member_estranged(struct mk_member *m, unsigned close, const char *detail);
/** By the Raft id that it named on the link; or NULL. */
struct mk_member *mk_member_of_raft(struct mk_group *g, uint64_t raft_id);
/** The slots are those of the roster, of the configuration, and ours. */
void mk_peers_roster(struct mk_group *g);
/** A slot for a peer, the one it has or a new one; NULL: there is none left. */
struct mk_member *mk_peers_slot(struct mk_group *g, const struct mk_peer *peer);
struct mk_member *mk_member_of_peer(struct mk_group *g, const struct mk_peer *peer);
struct mk_member *mk_member_leader(struct mk_group *g); /* NULL: not known, or ourselves */
/** When the members next need a turn, ns; UINT64_MAX: not. */
/** The gate's verdict now; a refusal is remembered. */
void mk_group_judge(struct mk_group *g, struct mk_verdict *ret, const struct mk_bearer *b,
                    enum mk_scope scope);
void mk_peers_rejudge(struct mk_group *g);
void mk_peers_retake(struct mk_group *g, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets);
uint64_t mk_peers_deadline(const struct mk_group *g);

/* --- commands on their way --------------------------------------------------------------- */

enum mk_waiter_kind { MK_WAITER_CLIENT, MK_WAITER_SUBMIT, MK_WAITER_MEMBER };

struct mk_exec_conv; /* exec.h */
struct mk_pending;

/** Who wants the answer of a command. */
struct mk_waiter {
    struct mk_list node;  /* in the pending's, then (step two) in g->proving */
    struct mk_list owner; /* in the client's or member's list of what it is owed */
    enum mk_waiter_kind kind;
    union {
        struct mk_exec_conv *client;
        struct mk_submit *submit;
        struct mk_member *member;
    };
    uint64_t id;
    bool certified;
    struct mk_pending *pending; /* NULL once it is proving */
    struct mk_buf outcome;      /* while proving */
    uint64_t surfaces;          /* while proving: bit i: needs surface i's certificate */
};

enum mk_where {
    MK_PENDING_WAITS,     /* no leader to give it to */
    MK_PENDING_QUEUED,    /* we lead: goes with the next batch */
    MK_PENDING_PROPOSED,  /* in our log */
    MK_PENDING_FORWARDED, /* the leader has it */
};

struct mk_pending {
    struct mk_table_node node;
    struct mk_list order; /* g->pending, by arrival */
    struct mk_list queue; /* g->queue, while QUEUED */
    enum mk_where where;
    struct mk_peer sender;
    uint64_t session, number;
    uint64_t forward_id;
    struct mk_blob *entry; /* frame byte and pc(Logged) */
    size_t command_at;     /* offset of the command in it */
    struct mk_list waiters;
    uint64_t since_ns, said_ns;
};

struct mk_waiter *mk_waiter_new(enum mk_waiter_kind kind, uint64_t id, bool certified);
void mk_waiter_free(struct mk_waiter *w);
/** Frees all waiters of an owner's list: nobody is there to hear the answers. */
void mk_waiters_forget(struct mk_group *g, struct mk_list *owner);
/** Takes w. A command of `sender`, new or known; may answer at once (in this call). 0;
 * MK_EFULL, MK_ELIMIT: w is still the caller's. */
int mk_pending_add(struct mk_group *g, const struct mk_peer *sender, uint64_t session,
                   uint64_t number, struct mk_bytes command, struct mk_waiter *w);
/** A command was applied (or found applied): whoever waits is answered. */
void mk_pending_answer(struct mk_group *g, const struct mk_peer *sender, uint64_t session,
                       uint64_t number, struct mk_bytes outcome);
/** The leader answered a forwarded one. */
void mk_pending_forwarded(struct mk_group *g, struct mk_member *m, uint64_t id,
                          const struct mk_outcome *outcome);
/** Leadership or a link changed: everything not answered finds its way anew. */
void mk_pending_reroute(struct mk_group *g);
/** Proposes what is queued; part of the turn. */
void mk_pending_turn(struct mk_group *g);
void mk_pending_old(struct mk_group *g); /* what waits long is told why; part of the turn */
void mk_pending_persisted(struct mk_group *g, uint64_t index);
void mk_pending_fail(struct mk_group *g); /* the member has failed: whoever waits is told */
void mk_pending_close(struct mk_group *g);
uint64_t mk_pending_deadline(const struct mk_group *g);
/** Proposes an entry of the group's own (an Advance). Takes blob. */
void mk_pending_extra(struct mk_group *g, struct mk_blob *blob);
/** The answer goes to one waiter; frees it, or keeps it for step two. */
void mk_waiter_answer(struct mk_group *g, struct mk_waiter *w, struct mk_bytes outcome);

/* --- clients ------------------------------------------------------------------------------- */

unsigned mk_exec_accept(struct mk_group *g, struct mk_conv *c, const struct mk_exec_hello *h,
                        char detail[MK_REASON_MAX]);
/** Step one; takes w: frees it, or keeps it for step two. */
void mk_exec_answered(struct mk_group *g, struct mk_waiter *w, struct mk_bytes outcome);
void mk_exec_unproving(struct mk_group *g, struct mk_waiter *w); /* it waits no more */
/** Tells a client, once, who leads: its command was passed on. */
void mk_exec_hint(struct mk_exec_conv *x, const struct mk_peer *leader);
/** A step one, or an answer of a query, that no waiter stands for. */
void mk_exec_plain(struct mk_exec_conv *x, uint64_t id, unsigned step, struct mk_bytes outcome);
void mk_exec_certified(struct mk_group *g, unsigned surface); /* a newer certificate is there */
void mk_exec_said(struct mk_waiter *w, const char *why);      /* step 0 */
void mk_exec_close(struct mk_group *g);
/** What is known of a peer changed: its conversations are judged again in the next turn. */
void mk_exec_rejudge(struct mk_group *g, const struct mk_peer *peer);
void mk_exec_retake(struct mk_group *g, const struct mk_peer *peer,
                    const struct mk_wire_tickets *tickets);
void mk_exec_turn(struct mk_group *g); /* expiries, and memory of those that ended */
uint64_t mk_exec_deadline(const struct mk_group *g);

/* --- reads ------------------------------------------------------------------------------------ */

/** Answers a client (x) or member (m) under id, now or when leadership was confirmed. */
void mk_query_start(struct mk_group *g, struct mk_exec_conv *x, struct mk_member *m, uint64_t id,
                    enum mk_read read, struct mk_bytes query);
void mk_query_confirmed(struct mk_group *g, uint64_t ticket, uint64_t index);
void mk_query_applied(struct mk_group *g);
void mk_query_forwarded(struct mk_group *g, uint64_t id, const struct mk_outcome *outcome);
void mk_query_role_changed(struct mk_group *g);
void mk_query_forget(struct mk_group *g, const struct mk_exec_conv *x, const struct mk_member *m);
void mk_query_close(struct mk_group *g);
void mk_query_turn(struct mk_group *g);
uint64_t mk_query_deadline(const struct mk_group *g);

/* --- heads --------------------------------------------------------------------------------------
 */

struct mk_kept_signature {
    bool have, verified;
    struct mk_head head;
    struct mk_signature signature;
};

/** Commits of a surface that no certificate covers: see overdue.c. */
struct mk_waiting {
    uint64_t seen;              /* the newest commit that was noted */
    uint64_t oldest, oldest_ns; /* the oldest without a certificate, when it came; 0: none */
    uint64_t newest, newest_ns; /* the first of the last turn's, when they came */
};

/** Nothing that is there now waits: it came with a snapshot, or by an earlier life. */
void mk_overdue_forget(struct mk_group *g);
/** Entries were applied in this turn. */
void mk_overdue_applied(struct mk_group *g);

/** What is known of one surface's heads. */
struct mk_seal {
    struct mk_head own[MK_SIGNATURES_KEPT]; /* ring, computed at marks */
    unsigned n_own;                         /* ever */
    unsigned signed_n;                      /* own heads signed, as n_own counts */
    struct mk_kept_signature *kept;         /* [member][MK_SIGNATURES_KEPT], ring by kept_n */
    unsigned *kept_n;
    bool has_certificate;
    struct mk_certificate certificate;
    struct mk_peer_signature signatures[MK_ROSTER_MAX];
    unsigned interest; /* who waits for certificates of this surface */
    bool ask;          /* try to assemble one in this turn */
    struct mk_waiting wait;
};

void mk_heads_open(struct mk_group *g);
void mk_heads_close(struct mk_group *g);
/** The surfaces of the bits are due; called right after the marked entry was applied. */
void mk_heads_marked(struct mk_group *g, uint64_t surfaces);
/** Signs what is due now, if it was put off. */
void mk_heads_hurry(struct mk_group *g);
/** Computes the heads that are due; called before the next entry is applied. */
void mk_heads_settle(struct mk_group *g);
void mk_heads_received(struct mk_group *g, struct mk_member *m,
                       const struct mk_head_signatures *signatures);
/** A member came up: it gets our newest. */
void mk_heads_greet(struct mk_group *g, struct mk_member *m);
/** Tries to assemble a newer certificate of the surface. */
void mk_heads_assemble(struct mk_group *g, unsigned surface);
/** Somebody waits for certificates of a surface (+1), or does not any more (-1). */
void mk_heads_interest(struct mk_group *g, unsigned surface, int more);
void mk_heads_turn(struct mk_group *g);
void mk_heads_replaced(struct mk_group *g); /* a snapshot was installed */
void mk_heads_epoch(struct mk_group *g);    /* a new epoch began: the heads of the old one go */
/** There are more slots than before. */
void mk_heads_members(struct mk_group *g, unsigned before);
void mk_heads_slot_free(struct mk_group *g, unsigned member);
/** The change of the present epoch is certified: so may be its heads. */
void mk_heads_ask_all(struct mk_group *g);

/* --- seats, epochs, operators -------------------------------------------------------------- */

void mk_reseat_open(struct mk_group *g); /* what is durable of rosters */
/** The state's roster or seats changed, or it was replaced as a whole. */
void mk_reseat_applied(struct mk_group *g);
/** An entry that others wait for was applied: they are told, once it is durable. */
void mk_reseat_say(struct mk_group *g);
void mk_reseat_greet(struct mk_group *g, struct mk_member *m);
void mk_reseat_received(struct mk_group *g, struct mk_member *m, uint64_t index);
/** A later epoch, from anybody: checked, and its peers may be linked with. 0; MK_ESIGNATURE,
 * MK_EMALFORMED: not the next one, or not signed by both majorities; MK_ELIMIT. */
int mk_reseat_learn(struct mk_group *g, const struct mk_roster_change *c, struct mk_fault *reterr);
/** The newest roster that is known here, applied or not; lent until another one is. */
const struct mk_roster *mk_reseat_newest(const struct mk_group *g);
/** What we are (voter, joining, outside); as leader, the next step. Part of the turn. */
void mk_reseat_turn(struct mk_group *g);
/** Something that steps depend on is another: links, ids, the role. */
void mk_reseat_look(struct mk_group *g);
uint64_t mk_reseat_deadline(const struct mk_group *g);
void mk_reseat_close(struct mk_group *g);
/** A change was certified: whoever does not know it is given it. */
void mk_reseat_certified(struct mk_group *g);
uint64_t mk_reseat_epoch(const struct mk_group *g); /* the newest that is known here */
/** Up, but not with the Raft id of its seat. */
bool mk_reseat_lost_disk(const struct mk_group *g, const struct mk_member *m);

/** Somebody shows what it knows; takes c when it is 0. */
unsigned mk_lineage_accept(struct mk_group *g, struct mk_conv *c, const struct mk_roster_known *k,
                           char detail[MK_REASON_MAX]);
void mk_lineage_link(struct mk_member *m); /* its link came up or went */
/** A link came up, of a peer without a slot. */
void mk_lineage_meet(struct mk_group *g, struct mk_link *l);
/** Shows a member what we know of rosters, when it is time; part of its turn. */
void mk_lineage_offer(struct mk_member *m);
uint64_t mk_lineage_due(const struct mk_member *m); /* when that is; UINT64_MAX: not */
void mk_lineage_turn(struct mk_group *g);
uint64_t mk_lineage_deadline(const struct mk_group *g);
void mk_lineage_close(struct mk_group *g);

void mk_epoch_turn(struct mk_group *g);
/** A change is under way, and a majority of the roster before it has signed it. */
bool mk_epoch_left(struct mk_group *g);
void mk_epoch_greet(struct mk_group *g, struct mk_member *m);
void mk_epoch_received(struct mk_group *g, struct mk_member *m,
                       const struct mk_change_signature *s);

/* --- versions --------------------------------------------------------------------------------
 */

void mk_level_turn(struct mk_group *g); /* as leader: the next protocol, when all know it */
uint64_t mk_level_deadline(const struct mk_group *g);
/** A hello: its group's level as it knows it, the newest protocol of its link. 0, or the close
 * code that refuses it, with both numbers. */
unsigned mk_level_judge(const struct mk_member *m, uint16_t theirs, uint16_t newest,
                        char detail[MK_REASON_MAX]);
/** The log goes on at a protocol that is not known here. */
void mk_level_beyond(struct mk_group *g, uint16_t level);
void mk_level_checked(struct mk_group *g, uint64_t index, uint64_t nonce);

/* --- the rest
 * -------------------------------------------------------------------------------------- */

void mk_found_open(struct mk_group *g);
void mk_found_turn(struct mk_group *g);
void mk_found_received(struct mk_group *g, struct mk_member *m, const struct mk_founding *f);
void mk_found_close(struct mk_group *g);
/** Nothing is stored any more: draws another Raft id. */
void mk_found_anew(struct mk_group *g);
/** It has caught up with what it may have signed before its disk was lost. */
void mk_found_joined(struct mk_group *g);

/** Founded: starts consensus, from what is durable. */
int mk_drive_open(struct mk_group *g, const struct mk_consensus_start *start,
                  struct mk_fault *reterr);
int mk_drive_recover(struct mk_group *g, struct mk_fault *reterr);
void mk_drive_received(struct mk_group *g, struct mk_member *m, struct mk_bytes raft);
void mk_drive_turn(struct mk_group *g);
void mk_drive_link(struct mk_group *g, struct mk_member *m, bool up);
void mk_drive_close(struct mk_group *g);
uint64_t mk_drive_now_ms(const struct mk_group *g);

/** These entries are proposed, n > 0 of them, some marked already: marks those that are due. */
void mk_marks_set(struct mk_group *g, struct mk_blob **batch, unsigned n);
void mk_marks_leads(struct mk_group *g); /* we lead from now on */
/** What was marked last was not proposed after all; so many entries were without a mark before. */
void mk_marks_refused(struct mk_group *g, unsigned unmarked);
void mk_marks_interest(struct mk_group *g, int more);
void mk_marks_turn(struct mk_group *g);
uint64_t mk_marks_deadline(const struct mk_group *g);

struct mk_process; /* beat.h */
/** Something happened: it is not idle. */
void mk_quiet_stir(struct mk_group *g);
void mk_quiet_ask(struct mk_group *g);  /* a leader that is idle; part of the turn */
void mk_quiet_turn(struct mk_group *g); /* it fell quiet, or woke */
/** It said something: its process lives. */
void mk_quiet_said(struct mk_member *m);
/** Called before anything that may wake: how long was the leader's process silent? */
void mk_quiet_heard(struct mk_group *g);
/** That process is silent, or gone: a group that rests with it wakes. */
void mk_quiet_lost(struct mk_group *g, struct mk_process *p);
uint64_t mk_quiet_deadline(const struct mk_group *g);
void mk_quiet_close(struct mk_group *g);

void mk_apply_turn(struct mk_group *g);

void mk_time_open(struct mk_group *g);
void mk_time_turn(struct mk_group *g);
void mk_time_received(struct mk_group *g, struct mk_member *m, const struct mk_advance *a);
void mk_time_applied(struct mk_group *g);
uint64_t mk_time_deadline(const struct mk_group *g);

/** Stored bytes are not what they were: file and place. It is told; who calls does what helps. */
void mk_group_damaged(struct mk_group *g, const char *what);
/* mend.c */
/** Opens as damaged: nothing that is stored is used. */
void mk_mend_begin(struct mk_group *g, const char *why);
/** The leader says that we acknowledged more than we have: stops, and is damaged at the next start.
 */
void mk_mend_forgot(struct mk_member *m, const char *detail);
void mk_mend_close(struct mk_group *g);
void mk_mend_turn(struct mk_group *g);
void mk_mend_answered(struct mk_group *g, uint64_t id, const struct mk_outcome *o);
uint64_t mk_mend_deadline(const struct mk_group *g);
/* snap_take.c */
void mk_snap_turn(struct mk_group *g); /* takes one when it is time */
/** The one at hand is not to be trusted: the next turn takes another, of the state in memory. */
void mk_snap_again(struct mk_group *g);
/** Our entries hold the log's oldest slot (mk_store_on_behind()). */
bool mk_snap_behind(void *group, bool pressed);
void mk_snap_take_stop(struct mk_group *g); /* forgets the one that is being taken */
/* snap_give.c */
void mk_snap_wanted(struct mk_group *g, struct mk_member *m, const struct mk_snap_want *w);
void mk_snap_give_stop(struct mk_member *m);
void mk_snap_give_old(struct mk_group *g); /* forgets those that nobody asks for any more */
uint64_t mk_snap_give_deadline(const struct mk_group *g);
bool mk_snap_gives(const struct mk_group *g);
/* snap_fetch.c */
#define MK_SNAP_HANDLE 40u /* bytes: u64le size, root */
void mk_snap_fetch(struct mk_group *g, const struct mk_snapshot_meta *meta, uint64_t from);
void mk_snap_install(struct mk_group *g, const struct mk_snapshot_meta *meta);
void mk_snap_chunk_received(struct mk_group *g, struct mk_member *m, const struct mk_snap_chunk *c);
void mk_snap_link_lost(struct mk_group *g, struct mk_member *m);
void mk_snap_fetch_stop(struct mk_group *g);
void mk_snap_stalled(struct mk_group *g); /* part of the turn */
uint64_t mk_snap_deadline(const struct mk_group *g);
int mk_snap_recover(struct mk_group *g, const struct mk_snapshot_meta *meta,
                    struct mk_fault *reterr);

/* --- the group
 * ------------------------------------------------------------------------------------------ */

struct mk_group {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_store *store;
    struct mk_store_group *disk;
    struct mk_hub *hub;
    struct mk_list of_hub;
    struct mk_table_node of_table;
    struct mk_net *outer;    /* where clients and readers come; net itself unless members have a net
                              * of their own */
    struct mk_hub_door door; /* on outer, then */
    struct mk_net_watch net_watch;
    struct mk_witness_watch witness_watch;
    struct mk_task turn;
    struct mk_timer timer;
    uint64_t timer_ns; /* what it is set to */

    /* options */
    struct mk_arena mem;
    struct mk_id deployment, stable_id, machine_id;
    struct mk_roster roster;
    struct mk_founding plan; /* raft_ids empty */
    const struct mk_key *key;
    struct mk_acl_composition acl;
    struct mk_gate gate;
    struct mk_refusal refusals[MK_REFUSALS_MAX]; /* admission.c */
    unsigned n_refusals;
    const struct mk_wallet *wallet; /* what we show; own_wallet, or the network's */
    struct mk_wallet own_wallet;
    bool found;
    unsigned election_ms, heartbeat_ms, lease_ms, uncured;
    void (*applied)(void *arg, uint64_t index);
    void *applied_arg;
    uint64_t snapshot_entries;

    enum mk_group_state state;
    char failure[160];
    uint64_t raft_id;
    unsigned n_members, self;
    struct mk_member *members[MK_MEMBERS_MAX];
    struct mk_list watches;

    /* found.c */
    bool named;          /* our Raft id is durable: it may be named on links */
    bool founding_known; /* durable here, or being made so */
    bool adopted;        /* the log named no machine; ours stands there now (written.h) */
    struct mk_founding founding;
    struct mk_arena founding_mem;
    struct mk_store_wait founding_wait;
    /* reseat.c */
    bool join;              /* may be of no roster yet */
    struct mk_roster ahead; /* the newest that is known, while it is newer than what is applied */
    struct mk_arena ahead_mem;
    bool sign_wait;         /* we came with an empty disk: nothing is signed */
    uint64_t notable, said; /* entries that others wait for: applied, told */
    struct mk_store_wait notable_wait;
    bool notable_waiting;
    uint64_t seat_ns, step_ns; /* when the last seat was proposed; when to look again */

    /* lineage.c */
    struct mk_list showings;
    unsigned n_showings[2]; /* theirs, ours */
    char disowned[200];     /* rosters that were refused last: by whom, and why */

    /* epoch.c */
    uint64_t vouched; /* epoch of the change that we signed */
    uint64_t change_ns;

    /* drive.c */
    struct mk_consensus *raft;
    uint64_t meta_lsn;
    struct mk_list held; /* messages that wait for meta_lsn */
    struct mk_store_wait held_wait;
    bool held_waiting;
    struct mk_list persists;
    uint64_t commit, last_term;
    enum mk_consensus_role role;
    uint64_t leader;
    uint64_t deadline_ms;
    bool drove;            /* in this turn: something was written or said */
    unsigned apply_waited; /* turns, for that */
    uint64_t persisted_ns; /* when entries were durable here last */
    struct mk_buf scratch;
    uint64_t yielded_ns; /* when a leader whose disk hangs last handed over */
    uint64_t nudge_ns;   /* tell followers of the commit then; 0: no need */

    /* candidacy.c */
    struct {
        struct mk_list node; /* in line, when it waits */
        bool waits, stands;
        bool tried; /* since it stands */
        bool awake; /* counted so */
        uint64_t since_ns;
        uint64_t late_for, until_ms; /* the timer that was seen late, and what it is given */
    } candidacy;

    /* quiet.c */
    unsigned quiet_ms;
    uint64_t quiet_ns; /* when to ask whether all are idle */
    bool quiet;
    /* marks.c */
    unsigned unmarked;      /* entries proposed since the last mark */
    uint64_t mark_ns;       /* they get one then */
    bool mark_queued;       /* an entry that is nothing but a mark waits to be proposed */
    uint64_t mark_again_ns; /* one was refused: not before */
    unsigned interest;      /* who waits here for certificates of any surface */
    uint64_t interest_ns;
    bool interest_told; /* the others know that somebody does, or did a moment ago */

    /* apply.c */
    struct mk_state *st;
    uint64_t caught_up; /* entries up to it were in the log when we opened */
    uint64_t n_commits, n_executed, n_answered;

    /* level.c */
    uint64_t level_ns; /* propose a Level then at the earliest */
    struct mk_group_check check;

    /* pending.c */
    struct mk_table pending_table;
    struct mk_list pending; /* by arrival */
    struct mk_list queue;
    struct mk_list extras;
    size_t pending_bytes;
    uint64_t batch_last; /* last index of the batch that our disk has not got yet; 0: none */
    uint64_t forward_ids;
    uint64_t old_ns;
    bool reroute, queue_full;

    /* exec.c, query.c */
    struct mk_list clients, dead_clients, proving, queries;
    unsigned n_clients, n_proving, n_queries;
    uint64_t n_leased; /* queries answered under a lease */
    uint64_t exec_expires_ms, queries_ns;

    /* heads.c */
    struct mk_seal *seals;
    struct mk_timer sign_timer;
    uint64_t marked; /* surfaces whose heads of the last mark are not computed yet, as bits */
    uint64_t highest_signed;
    bool conflicted;
    struct mk_certificate conflict[2];
    struct mk_peers guilty;
    struct mk_arena conflict_mem;
    uint64_t n_certificates, n_signed, certified_ms;

    /* time.c */
    uint64_t clock_base_ms, clock_mono_ns, clock_slew_ns;
    int64_t clock_offset_ms;
    bool clock_stepped; /* the wall clock is far from ours: a restart would take it over */
    bool linked_once, advance_wanted;
    uint64_t advance_ns, advance_ms; /* our last proposal */
    unsigned readers;

    /* snap_*.c */
    struct mk_snapping *snapping;
    struct mk_fetching *fetching;
    struct mk_installing *installing;
    uint64_t snapshot_at;    /* index of the last one */
    uint64_t snapshot_bytes; /* its size */
    uint64_t log_bytes;      /* of the entries that were applied since */
    bool snapshot_again;
    bool behind; /* our entries hold the log's oldest slot: one without entries after it */
    bool snapshot_vacates; /* ... and no entry below it is kept */
    uint64_t moved_ns;     /* when an entry was applied last */
    struct mk_group_snap_stats snaps;

    char damage[160]; /* what was found last: file and place */
    uint64_t n_damages, n_mended;
    uint64_t n_forgot; /* others, to us as the leader */
    bool forgot;       /* we did; it is being put down */
    struct mk_store_wait forgot_wait;

    /* mend.c */
    uint64_t mend_ns;    /* when to ask again */
    uint64_t mend_asked; /* questions after it are the present ones */
    bool mending;        /* it began anew, and does not vote yet */
    unsigned trailing;

    struct mk_tracing *tracing; /* trace.c; NULL: nobody asked */
    /* course.c */
    struct mk_coursing *coursing; /* NULL: nothing happened */
    void *places;                 /* who votes, as it was told last */
    unsigned n_places;
    uint64_t course_at; /* index of the configuration that was looked at */
    struct mk_serve *serve;
    struct mk_serve_host serve_host;
    bool changed, stopped;
};

/* operate.c */
void mk_operate_turn(struct mk_group *g); /* a leader whose disk hangs hands over */

/* --- elections (candidacy.c) ---------------------------------------------------------------- */

#define MK_CANDIDATES_MAX 32u /* groups of a process that stand for election at once */
/** The timer of a member that does not lead has ended: may it stand? False: it waits in line, and
 * gets a turn when it may. */
bool mk_candidacy_may(struct mk_group *g);
/** When its timer is to be looked at, ms; UINT64_MAX: it has none. */
uint64_t mk_candidacy_deadline(const struct mk_group *g);
/** After consensus had its say: a place that is needed no more is given to the next. */
void mk_candidacy_turn(struct mk_group *g);
void mk_candidacy_close(struct mk_group *g);
/** Before it leaves the hub. */
void mk_candidacy_gone(struct mk_group *g);

/** Only while g->tracing: at the end of a turn, and when a command was applied. */
void mk_trace_turn(struct mk_group *g);
void mk_trace_command(struct mk_group *g, uint64_t index, const struct mk_applied *a);
void mk_trace_close(struct mk_group *g);

/** A step of the change to an epoch. */
void mk_course_epoch(struct mk_group *g, enum mk_course_step step, uint64_t epoch);
void mk_course_turn(struct mk_group *g);
void mk_course_close(struct mk_group *g);

/** Asks for a turn. */
void mk_group_wake(struct mk_group *g);
void mk_group_changed(struct mk_group *g); /* tells the watches */
/** This member stops: its disk failed, or its log and consensus contradict each other. */
void mk_group_fail(struct mk_group *g, int err, const char *what);
bool mk_group_leads(const struct mk_group *g);
void mk_group_why(const struct mk_group *g, char out[256]);

#endif
