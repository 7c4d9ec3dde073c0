/* group.h - one member's part of a replicated component: a deterministic machine
 * on a roster, over consensus, the store and links (spec/committees.md).
 *
 *   opened --> blank --------(Founding)---> founded <--> following / leading
 *                 \--> lost disk --(seat)--> joining --(caught up, promoted)--^
 *                 \--> outside ---(roster)----^   (no vote in any of these)
 *   damaged --(a majority of the others answers)--> lost disk
 *   any state --> failed (its disk failed; it stops and says so)
 *
 * What is acknowledged (step one) is durable on a majority and applied here.
 * What is certified (step two) carries signatures of a majority of processes. */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include "net/net.h"
#include "store/store.h"
#include "tickets/wallet.h"
#include "witness/witness.h"
#include <mosaik/machine.h>
#include <mosaik/outcome.h>
#include <mosaik/retention.h>
#include <mosaik/ticket.h>

struct mk_group;

#define MK_SESSIONS_MAX 65536u      /* a group remembers */
#define MK_SESSION_LIFE_MS 3600000u /* of machine time */
#define MK_EXECUTING_MAX 4096u      /* commands of one client conversation in flight */
#define MK_PROPOSED_MAX (8u << 20)  /* bytes proposed and not yet applied; above it, "full" */
#define MK_FOLLOWERS_MAX 1024u      /* reader conversations of one group */

struct mk_group_options {
    struct mk_id deployment; /* organism_id or module_id */
    struct mk_id stable_id;
    const struct mk_roster *roster;       /* the first roster; copied */
    const struct mk_founding *founding;   /* what the founder founds with: operators; copied. Its
                                           * raft_ids are ignored. Every member has the same one. */
    const struct mk_key *key;             /* borrowed */
    struct mk_machine *machine;           /* taken */
    const struct mk_acl_composition *acl; /* copied */
    struct mk_id own_issuer;              /* zero without */
    struct mk_issuers *issuers;           /* borrowed; may be NULL */
    struct mk_standing *standing;         /* borrowed; NULL: no organism's cards are followed */
    struct mk_witness *witness;           /* borrowed; NULL: no quotes are verified */
    const struct mk_bytes *tickets;       /* what we show to other members; copied */
    size_t n_tickets;
    const struct mk_wallet *wallet; /* borrowed; shown instead of those; NULL: they are */
    bool found;                     /* started with --found */
    bool join;                      /* may be of no roster yet: a later one will name it */
    struct mk_net *inner; /* members speak there alone; borrowed; NULL: on the net of all others */
    const struct mk_retention *retain;  /* to keep more than declared; copied; NULL: no more */
    unsigned election_ms, heartbeat_ms; /* 0: the defaults */
    unsigned lease_ms;                  /* reads under a lease: see consensus.h; 0: none */
    uint64_t snapshot_entries;          /* take one every so many entries; 0: default */
    uint32_t quiet_ms;                  /* without anything to do, before it is quiet; 0: default */
    unsigned uncured;                   /* tests: see consensus.h */
    /** Tests: called after each entry that was applied; nothing may be called back. NULL: nobody */
    void (*applied)(void *arg, uint64_t index);
    void *applied_arg;
};

/** Opens a member on its store (its records are already recovered). The net must be open; protocols
 * are served at once. Never without a store. MK_ENOTSUP: what is stored was written by another
 * machine, both named (written.h); MK_EINVALID, MK_EEXISTS. */
int mk_group_open(struct mk_env *e, struct mk_net *net, struct mk_store *store,
                  struct mk_group **ret, const struct mk_group_options *o, struct mk_fault *reterr);
/** Cancels what is in flight (MK_ECANCELED) and closes conversations. */
void mk_group_close(struct mk_group *g);
/** Has that peer a place on a network of the members' own? One that knows too little of its
 * committee (blank, outside, joining, without a leader) takes everybody: who is of it is judged
 * when it speaks. */
bool mk_group_expects(const struct mk_group *g, const struct mk_peer *peer);

/** An earlier build wrote the log and named no machine in it: it was taken for this machine's, and
 * says so from now on. */
bool mk_group_adopted(const struct mk_group *g);

enum mk_group_state {
    MK_GROUP_BLANK,
    MK_GROUP_DAMAGED,   /* what it stored has changed: it waits for a majority of the others */
    MK_GROUP_LOST_DISK, /* of the roster, its seat has another Raft id */
    MK_GROUP_OUTSIDE,   /* of no roster yet, or not any more */
    MK_GROUP_JOINING,   /* it has its seat and no vote yet */
    MK_GROUP_FOLLOWING,
    MK_GROUP_LEADING,
    MK_GROUP_FAILED
};
const char *mk_group_state_name(enum mk_group_state s);

struct mk_group_status {
    enum mk_group_state state;
    uint64_t term, vote, commit, applied, last, epoch, snapshot;
    bool has_leader;
    bool quiet; /* nothing to do: it sends nothing (quiet.c) */
    struct mk_peer leader;
    unsigned links;        /* members we have a conversation with */
    unsigned refused;      /* members refused by a clause */
    uint64_t time_ms;      /* machine time */
    uint64_t certified_ms; /* machine time of the newest certificate */
    uint64_t commits, certificates, executed, answered;
    uint64_t signatures; /* heads that this member signed since it opened */
    uint64_t leased;     /* queries answered under a lease */
    unsigned readers, clients;
    uint64_t forgot;  /* how often a member had lost what it acknowledged to us, as the leader */
    uint64_t damages; /* stored bytes that were found to be others than written, since the start */
    uint64_t mended;  /* how often it was filled again from the others for that */
    char damage[160]; /* the last: file and place */
    char why[256]; /* what it waits for, in words: "no majority: 2 members refused by clause 1" */
};
void mk_group_status(const struct mk_group *g, struct mk_group_status *ret);
/** The same, but for why, links and certificates: costs nothing, changes nothing. */
void mk_group_glance(const struct mk_group *g, struct mk_group_status *ret);
/** Snapshots since the start; bytes of chunks. */
struct mk_group_snap_stats {
    uint64_t taken, installed;
    uint64_t given_bytes, fetched_bytes;
    uint64_t kept_bytes; /* fetched before a link was lost or the process ended, and used */
};
void mk_group_snap_stats(const struct mk_group *g, struct mk_group_snap_stats *ret);
struct mk_serve_stats;
/** What its readers were served (serve.h). */
void mk_group_serve_stats(const struct mk_group *g, struct mk_serve_stats *ret);
/** Per member: linked, match index (leader only), refused. Returns false past the end. */
bool mk_group_member(const struct mk_group *g, unsigned i, struct mk_peer *ret_peer,
                     bool *ret_linked, uint64_t *ret_match, char ret_detail[MK_REASON_MAX]);

/* --- the course of one write --------------------------------------------------------------- */

#define MK_TRACED_MAX 4u /* senders at once */
enum mk_trace_step {
    MK_TRACE_LOGGED, /* in this member's log */
    MK_TRACE_DURABLE,
    MK_TRACE_COMMITTED, /* known to be */
    MK_TRACE_APPLIED,
    MK_TRACE_CERTIFIED, /* a certificate was assembled here, since somebody here waited for it */
    MK_TRACE_STEPS
};
struct mk_trace {
    uint64_t index;                 /* of the log entry; 0: no command yet */
    uint64_t at_us[MK_TRACE_STEPS]; /* by this node's clock, unix; 0: not that far, or forgotten */
};
/** Notes the commands of a sender for half a minute. Of more than MK_TRACED_MAX senders the one who
 * asked longest ago is forgotten. */
void mk_group_trace(struct mk_group *g, const struct mk_peer *sender);
/** The last command of that sender since then; false: none, or nobody asked. */
bool mk_group_traced(const struct mk_group *g, const struct mk_peer *sender, struct mk_trace *ret);
const char *mk_trace_step_name(enum mk_trace_step s);

/* --- who is of it ------------------------------------------------------------------------- */

struct mk_proposal; /* wire.h: the next roster, signed by the operator or by a majority */

/** Proposes the next roster; a follower passes it on. 0: on its way (done when the roster of its
 * epoch is the present one); MK_EREFUSED, MK_EMALFORMED with the rule; MK_ENOTLEADER: later. */
int mk_group_propose(struct mk_group *g, const struct mk_proposal *p, struct mk_fault *reterr);
/** Leadership goes to a peer that votes (NULL: a suitable one); a follower passes it on. 0: on its
 * way; MK_ENOTLEADER; MK_ENOTFOUND: no such voter. */
int mk_group_transfer(struct mk_group *g, const struct mk_peer *to);
/** The newest roster applied here; lent until the loop is entered again. */
const struct mk_roster *mk_group_roster(const struct mk_group *g);
/** The certified change that led to an epoch; NULL: none, or not known here. Lent as above. */
const struct mk_roster_change *mk_group_change(const struct mk_group *g, uint64_t epoch);
/** Every peer of the roster votes, nobody else does, and the roster is certified. */
bool mk_group_settled(const struct mk_group *g);

#define MK_COURSE_MAX 48u /* steps that are remembered */
enum mk_course_step {
    MK_COURSE_SHOWN,     /* the roster of that epoch is known here, ahead of our log */
    MK_COURSE_PROPOSED,  /* it was applied: the epoch has begun */
    MK_COURSE_SIGNED,    /* this member signed the change to it */
    MK_COURSE_CERTIFIED, /* applied, with the signatures of both majorities */
    MK_COURSE_LEARNER,   /* of a Raft id, in a committed configuration */
    MK_COURSE_VOTER,
    MK_COURSE_REMOVED,
    MK_COURSE_STEPS
};
struct mk_course {
    uint64_t unix_ms; /* by this node's clock */
    enum mk_course_step step;
    uint64_t epoch;
    uint64_t raft_id; /* the last three; 0 else */
    bool peer_known;
    struct mk_peer peer; /* whose that is */
};
/** The i-th step of changes of the roster and of seats since this member opened, oldest first;
 * false past the last. */
bool mk_group_course(const struct mk_group *g, unsigned i, struct mk_course *ret);
const char *mk_course_step_name(enum mk_course_step s);

#define MK_REFUSALS_MAX 8u /* clauses that are told apart */
struct mk_refusal {
    unsigned clause;  /* index in the ACL */
    uint64_t count;   /* since the start: peers, clients and readers it refused */
    char reason[256]; /* the last one's */
};
/** The i-th clause that refused somebody; false past the last. */
bool mk_group_refusal(const struct mk_group *g, unsigned i, struct mk_refusal *ret);
/** When the first admission that is held now ends; unix ms, UINT64_MAX: none does. */
uint64_t mk_group_expires_ms(const struct mk_group *g);
/** Revocations came: whoever is admitted (members, clients, readers) is judged again at the end of
 * this turn, and closed with the clause that refuses it. */
void mk_group_rejudge(struct mk_group *g);

struct mk_wire_tickets;
/** Peer shows these tickets from now on (copied): what it holds here is judged by them at the end
 * of this turn. */
void mk_group_retake(struct mk_group *g, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets);

/** The i-th member's place, as mk_group_member() counts: "voter", "learner", "leaving" (it votes
 * and is not of the roster), "joining" (of the roster, no vote yet) or "none". */
const char *mk_group_place(const struct mk_group *g, unsigned i);
/** May this peer ask for another leader? The operator that the Founding names, and members. */
bool mk_group_obeys(const struct mk_group *g, const struct mk_peer *peer);

/** Something of the status changed (role, leader, commit, certificate). */
struct mk_group_watch {
    void (*changed)(struct mk_group_watch *w);
    struct mk_list node;
};
void mk_group_watch(struct mk_group *g, struct mk_group_watch *w);
void mk_group_unwatch(struct mk_group_watch *w);

/* --- for drivers in this process (a feed, an almanac): no network hop --------------------- */

/** A command in flight; memory of the caller until cb. */
struct mk_submit {
    /** status 0 with the outcome; MK_EREFUSED with outcome->rule; MK_ENOTLEADER (not applied);
     * MK_ETIMEDOUT, MK_ECANCELED (not known). outcome lent, NULL for the last three. */
    void (*cb)(struct mk_submit *s, int status, const struct mk_outcome *outcome);
    void *impl;
};
/** Commits a command in this member's name (sender = our peer), forwarding to the leader if need
 * be. session, number as in committees.md; the caller retries with the same pair after an unknown
 * outcome. MK_EFULL, MK_ELIMIT, MK_ENOMAJORITY return at once. */
int mk_group_submit(struct mk_group *g, struct mk_submit *s, uint64_t session, uint64_t number,
                    struct mk_bytes command);

/** Read access to surfaces and certificates of this member. Lent until the loop is entered again.
 */
const struct mk_surfaces *mk_group_surfaces(const struct mk_group *g);
int mk_group_certificate(const struct mk_group *g, const struct mk_id *surface,
                         const struct mk_certificate **ret);
/** For how long, in ms, the oldest commit of its i-th surface that came here in this life waits for
 * a certificate; 0: none does. Assembles what can be; where one is overdue by a second the members
 * are asked to sign anew, as for a reader. */
uint64_t mk_group_uncertified_ms(struct mk_group *g, unsigned surface);
/** Proof of misbehaviour seen by this member: see certificate.h. */
bool mk_group_conflict(const struct mk_group *g, const struct mk_certificate **a,
                       const struct mk_certificate **b, struct mk_peers *ret_guilty);
/** The protocol that the group works at (base/protocol.h): what is replicated is of it. */
uint16_t mk_group_level(const struct mk_group *g);
/** The newest protocol that the i-th member knows, as mk_group_member() counts; 0: not known, it
 * never was linked. */
uint16_t mk_group_newest(const struct mk_group *g, unsigned i);
/** The i-th member refused us, or we refused it, for its version, or because it has forgotten what
 * it acknowledged: what was said, in ret. */
bool mk_group_estranged(const struct mk_group *g, unsigned i, char ret[MK_REASON_MAX]);
/** For what, of one of them: MK_CLOSE_OTHER_VERSION, MK_CLOSE_FORGOT; 0: there is none. */
unsigned mk_group_has_estranged(const struct mk_group *g);
/** Commits a Check: each member takes the hash of its state at that entry. 0: on its way;
 * MK_ENOTSUP: the group works at an earlier protocol, reterr says whom it waits for;
 * MK_ENOTLEADER. */
int mk_group_check(struct mk_group *g, uint64_t nonce, struct mk_fault *reterr);
struct mk_group_check {
    uint64_t index, nonce; /* the entry, and the number it was asked for under */
    struct mk_id hash;
};
/** The last one that was applied here since the start; false: none was. */
bool mk_group_checked(const struct mk_group *g, struct mk_group_check *ret);
/** A state hash over machine, sessions, time and surfaces at `applied` (tests, on demand). */
struct mk_id mk_group_state_hash(struct mk_group *g);

/* --- pieces shared with replay: apply a committed log without a group ----------------------- */
struct mk_state; /* see state.h: machine + surfaces + sessions + time, from the log alone */

#endif /* GROUP_GROUP_H */
