/* consensus.h - one member of one replicated log: events in, effects out.
 *
 *   receive, timeout, submit, persisted ...        (inputs, each with the time)
 *            |
 *            v
 *   struct mk_consensus: libraft's pure step, the log's tail in memory, the guards
 *            |
 *            v
 *   mk_consensus_effects(): what to persist, send, fetch, apply; when to call again
 *
 * Pure: no clock, no I/O, no logging, no randomness but the seed. The owner (a
 * group) calls inputs, then once a turn mk_consensus_effects(), and carries out
 * what it says IN THIS ORDER:
 *
 *   1. fx.meta: append (term, vote) to the store.
 *   2. fx.persist_from: append the entries persist_from..persist_last to the store;
 *      what it holds at or above persist_from is replaced by them.
 *   3. fx.messages: encode each now (mk_consensus_encode; it is lent), send it once
 *      every (term, vote) of this and of earlier effects is durable. The entries of
 *      step 2 need not be: a follower's acknowledgement appears among the messages
 *      only after mk_consensus_persisted(), and the leader's AppendEntries may
 *      overtake its own disk.
 *   4. fx.fetch, fx.install: see "Snapshots".
 *   5. fx.commit: apply up to it (mk_consensus_entry()); the entries of type CHANGE
 *      and BARRIER carry nothing for the machine.
 *   6. fx.deadline_ms: call mk_consensus_timeout() then.
 *
 * When a batch of the store is durable: mk_consensus_persisted() with the last
 * (index, term) that was in it. An entry replaced meanwhile is told by its term.
 *
 * Server ids are the random 64-bit Raft ids of spec/committees.md; 0 is nobody.
 * Times are milliseconds of the owner's monotonic clock. */
#ifndef CONSENSUS_CONSENSUS_H
#define CONSENSUS_CONSENSUS_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

/* --- limits ------------------------------------------------------------------ */

#define MK_CONSENSUS_SERVERS_MAX 32u           /* voters and learners of a configuration */
#define MK_CONSENSUS_ENTRY_MAX (1u << 20)      /* bytes of one entry */
#define MK_CONSENSUS_APPEND_BYTES (256u << 10) /* an AppendEntries is cut above it */
#define MK_CONSENSUS_APPEND_MAX 4096u          /* entries of one message */
#define MK_CONSENSUS_INFLIGHT_MAX 4096u        /* entries sent and not yet acknowledged */
#define MK_CONSENSUS_WINDOW_MAX (2u << 20)     /* bytes of entries under way to one member */
#define MK_CONSENSUS_SUBMIT_MAX 4096u          /* entries of one submit */
#define MK_CONSENSUS_BACKLOG_BYTES                                                     \
    (64u << 20)                      /* uncommitted bytes above which submit says FULL \
                                      */
#define MK_CONSENSUS_HANDLE_MAX 128u /* bytes that name a snapshot */
#define MK_CONSENSUS_MESSAGE_MAX (MK_CONSENSUS_ENTRY_MAX + (128u << 10)) /* encoded */

/* --- blobs: bytes that a log, a message and a machine share ----------------------- */

struct mk_blob {
    uint32_t refs;
    uint32_t n;
    uint8_t p[];
};
struct mk_blob *mk_blob_new(const void *p, size_t n); /* copied; one reference, the caller's */
/** As mk_blob_new, of n bytes for the caller to fill. */
struct mk_blob *mk_blob_take(size_t n);
struct mk_blob *mk_blob_ref(struct mk_blob *b);
void mk_blob_unref(struct mk_blob *b); /* NULL is fine */

/* --- entries and configurations --------------------------------------------------- */

enum mk_entry_type {
    MK_ENTRY_COMMAND = 1, /* the machine's */
    MK_ENTRY_BARRIER = 2, /* empty; a new leader's first */
    MK_ENTRY_CHANGE = 3,  /* an encoded struct mk_configuration */
};

struct mk_entry {
    uint64_t term;
    enum mk_entry_type type;
    struct mk_blob *blob; /* never NULL */
};

enum mk_server_role {
    MK_SERVER_LEARNER = 0, /* receives the log, counts in no majority */
    MK_SERVER_VOTER = 1,
};

struct mk_server {
    uint64_t id;
    enum mk_server_role role;
};

/** Sorted by id, distinct. */
struct mk_configuration {
    unsigned n;
    struct mk_server servers[MK_CONSENSUS_SERVERS_MAX];
};

/** NULL when id is none of c's. */
const struct mk_server *mk_configuration_find(const struct mk_configuration *c, uint64_t id);
unsigned mk_configuration_voters(const struct mk_configuration *c);
/** Sorts c. MK_EINVALID: an id is 0 or twice there, no voter, too many. */
int mk_configuration_check(struct mk_configuration *c);
/** The bytes of a CHANGE entry; index 1 of each log is one (spec/committees.md,
 * "Founding"). c must have been checked. */
void mk_configuration_encode(const struct mk_configuration *c, struct mk_buf *out);
/** Strict. MK_EMALFORMED. */
int mk_configuration_decode(struct mk_configuration *ret, struct mk_bytes b);

/** What a snapshot stands for: the log up to index. */
struct mk_snapshot_meta {
    uint64_t index;
    uint64_t term; /* of the entry at index */
    uint64_t configuration_index;
    struct mk_configuration configuration; /* as of index */
    /** Opaque to consensus: names the bytes, which travel beside (size and hash of
     * the snapshot's file). */
    uint8_t handle[MK_CONSENSUS_HANDLE_MAX];
    unsigned handle_n;
};
/** For the store's snapshot record. */
void mk_snapshot_meta_encode(const struct mk_snapshot_meta *m, struct mk_buf *out);
/** Strict. MK_EMALFORMED. */
int mk_snapshot_meta_decode(struct mk_snapshot_meta *ret, struct mk_bytes b);

/* --- the object -------------------------------------------------------------------- */

struct mk_consensus;

/** The cures of libraft's faults, by the numbers of docs/dependencies.md. */
enum mk_cure {
    MK_CURE_TRIM = 1 << 0,         /* 1: an AppendEntries that starts before our snapshot is cut */
    MK_CURE_SPLIT = 1 << 1,        /* 2: a configuration comes first in its message */
    MK_CURE_REFUSAL_TERM = 1 << 2, /* 3: the refusal of a pre-vote carries our term */
    MK_CURE_CHANGE = 1 << 3,       /* 4: a change waits until all voters hold the last one */
    MK_CURE_INSTALL = 1 << 4,      /* 5: an install during an install is dropped */
    MK_CURE_START = 1 << 5,        /* 6: no entries at start that end before the snapshot */
    MK_CURE_COMMIT = 1 << 6,       /* 7: a late AppendEntries never takes the commit index back */
    MK_CURE_SETTLE = 1 << 7,       /* 8: a second configuration means the first is committed */
    MK_CURE_REJECTION = 1 << 8,    /* 9: a late rejection of what matched stops replication */
    MK_CURE_LEARNER = 1 << 9,      /* 10: a learner votes: it may be a voter and not know it yet */
};

/** Zero in a field means its default. Defaults: pre-vote on; a silent leader is
 * replaced after 1 to 1.33 election timeouts (the first of the followers' timers, see
 * election.c), so 300-400 ms; a broken link ends the wait at once. Heartbeats of
 * 100 ms keep an idle leader with two followers near 0.1 % of a core. */
struct mk_consensus_options {
    uint64_t id; /* ours; not 0 */
    uint64_t seed;
    unsigned election_ms;  /* least; each follower draws from [this, twice this]; default 300 */
    unsigned heartbeat_ms; /* default 100; below election_ms */
    /* The longest promise that this member gives, and as leader asks for (see lease.c); 0: no
     * leases. At most two thirds of election_ms. */
    unsigned lease_ms;
    unsigned install_ms; /* a leader offers its snapshot again after this; default 10000 */
    unsigned uncured;    /* tests only: enum mk_cure bits to leave out */
};

/** Everything durable, as the store recovered it. A blank member gives zeros. */
struct mk_consensus_start {
    uint64_t term;
    uint64_t vote;
    const struct mk_snapshot_meta *snapshot; /* copied; NULL when there is none */
    uint64_t first_index;                    /* of entries[0]; ignored without entries */
    const struct mk_entry *entries;          /* their blobs get a reference */
    unsigned n_entries;
};

/** 0; MK_EINVALID: options; MK_ECORRUPT: what was stored cannot be a log (a gap,
 * a first entry that is no configuration, terms that go down). The first effects
 * (a deadline at least) wait to be fetched. */
int mk_consensus_open(struct mk_consensus **ret, const struct mk_consensus_options *o,
                      const struct mk_consensus_start *start, uint64_t now_ms);
void mk_consensus_free(struct mk_consensus *c); /* NULL is fine */

/* --- inputs ------------------------------------------------------------------------- */
/* MK_ECORRUPT from any of them: the log and the core contradict each other; the
 * owner must stop this member (nothing that was promised is at risk on the others). */

/** Time has come (or any time earlier; it does no harm). */
int mk_consensus_timeout(struct mk_consensus *c, uint64_t now_ms);

/** A message of server `from`, as the link vouches. bytes are untrusted: MK_EMALFORMED
 * (close the link), MK_EPROTOCOL (well-formed, but no honest member sends it: dropped). */
int mk_consensus_receive(struct mk_consensus *c, uint64_t from, struct mk_bytes bytes,
                         uint64_t now_ms);

/** Entries up to and with (index, term) are durable. Safe to call late or twice, and
 * when they have been replaced since. */
int mk_consensus_persisted(struct mk_consensus *c, uint64_t index, uint64_t term, uint64_t now_ms);

/** Proposes commands, each blob's reference is taken when 0 is returned; their
 * indices are *ret_first and the following, their term mk_consensus_term().
 * MK_ENOTLEADER (also while leadership is being transferred); MK_EFULL: the
 * backlog is over its limit; MK_ELIMIT: n or a blob is. */
int mk_consensus_submit(struct mk_consensus *c, uint64_t *ret_first, struct mk_blob **blobs,
                        unsigned n, uint64_t now_ms);

/** The link to a server came up or broke. A hint: it may end the wait for a dead
 * leader early, and costs nothing when wrong (pre-vote protects a living one).
 * Idempotent. Groups call it for every server of the configuration. */
void mk_consensus_link(struct mk_consensus *c, uint64_t id, bool up, uint64_t now_ms);

/** Hands leadership to a voter (0: a suitable one). MK_ENOTLEADER; MK_ENOTFOUND: no
 * such voter. Given up after an election timeout. */
int mk_consensus_transfer(struct mk_consensus *c, uint64_t id, uint64_t now_ms);

/** A leader that has nothing else to say tells those who hold all that is committed that it is, by
 * an AppendEntries without entries; others hear it with the heartbeat. A read's round does not
 * tell. */
void mk_consensus_tell_commit(struct mk_consensus *c, uint64_t now_ms);
/** Proposes the next configuration: one server added, removed, or with another role.
 * MK_ENOTLEADER; MK_EINVALID: not one step from the present one; MK_EFULL: not now
 * (a change is pending, nothing of this term is committed, or a voter of the new
 * configuration does not hold the present one and nearly all of the log: what the log
 * had a heartbeat ago). */
int mk_consensus_change(struct mk_consensus *c, uint64_t *ret_index,
                        const struct mk_configuration *next, uint64_t now_ms);

/** This server has lost its disk, or left for ever: a change need not wait for it, as long as a
 * majority of the new configuration holds the present one. Nothing else depends on it. */
void mk_consensus_gone(struct mk_consensus *c, uint64_t id);

/** Starts a linearizable read: *ret_ticket. When fx.reads_done reaches it, leadership
 * was confirmed by a majority after this call, and the machine may answer once it
 * has applied fx.read_index. Lost when the role changes. MK_ENOTLEADER.
 *
 * Calls of one turn share a round of messages; no disk is involved. */
int mk_consensus_read(struct mk_consensus *c, uint64_t *ret_ticket, uint64_t now_ms);
/** The same, under a leader's lease where there is one: then *ret_ticket is 0, and the machine
 * may answer once it has applied mk_consensus_commit(); now_ms must be the clock's present time,
 * not that of the turn. It rests on the drift of clocks being bounded: lease.c. Without
 * a lease (none was asked for lately, or options.lease_ms is 0) it is mk_consensus_read(), and
 * asks for one. */
int mk_consensus_read_leased(struct mk_consensus *c, uint64_t *ret_ticket, uint64_t now_ms);

/* --- quiet -------------------------------------------------------------------------- */
/* A group with nothing to do needs no heartbeats: see quiet.c. The owner asks for it when
 * nothing happened for a while, and says that the leader's process lives, or is silent. */

/** A leader asks all it has links to to fall quiet with it; mk_consensus_is_quiet() once they
 * have. A member that is quiet has no deadline (UINT64_MAX) until something wakes it: submit,
 * change, read, transfer, most messages, a link that comes or goes, mk_consensus_wake().
 * MK_ENOTLEADER; MK_EFULL: not now, something is under way, or somebody does not agree yet. */
int mk_consensus_rest(struct mk_consensus *c, uint64_t now_ms);
bool mk_consensus_is_quiet(const struct mk_consensus *c);
/** The process of that server was heard at that time. Counts for a quiet follower whose leader
 * it is; call it before whatever may wake such a one. */
void mk_consensus_heard(struct mk_consensus *c, uint64_t id, uint64_t at_ms);
/** Its timers run again, from when the leader's process was heard last. */
void mk_consensus_wake(struct mk_consensus *c, uint64_t now_ms);

/* --- snapshots ---------------------------------------------------------------------- */
/* Taking one: mk_consensus_describe() when the machine is frozen at index; write the
 * file; fill in handle; make the store's snapshot record durable; then
 * mk_consensus_compact().
 *
 * Getting one: fx.fetch says whose, and its handle. Fetch the bytes and make the file
 * durable, then call mk_consensus_fetched(); fx.install then asks to make the
 * reference durable (the stored log is void: the record replaces it) and to restore
 * the machine; then mk_consensus_installed(). A fetch that fails, or whose file goes before
 * fx.install asked for it, is forgotten with mk_consensus_fetch_failed(), and offered again. */

/** What a snapshot of the state at index (committed, still in memory, or the last
 * snapshot's) would be; handle empty. MK_ENOTFOUND. */
int mk_consensus_describe(const struct mk_consensus *c, struct mk_snapshot_meta *ret,
                          uint64_t index);
/** The snapshot is durable: the log before it goes, but for `trailing` entries, kept
 * for followers that are a little behind. MK_EINVALID: not newer than the last,
 * not committed, or an install is under way. mk_consensus_first() tells the store
 * what may go. */
int mk_consensus_compact(struct mk_consensus *c, const struct mk_snapshot_meta *m,
                         unsigned trailing, uint64_t now_ms);
int mk_consensus_fetched(struct mk_consensus *c, uint64_t index, uint64_t now_ms);
void mk_consensus_fetch_failed(struct mk_consensus *c, uint64_t index);
/** After mk_consensus_fetch_failed(): the leader need not wait for install_ms to offer its newest
 * snapshot. Without effect when there was no such failure, or no leader is known. */
int mk_consensus_ask_again(struct mk_consensus *c, uint64_t now_ms);
int mk_consensus_installed(struct mk_consensus *c, uint64_t index, uint64_t now_ms);

/* --- effects ------------------------------------------------------------------------ */

enum mk_consensus_role {
    MK_ROLE_FOLLOWER,
    MK_ROLE_CANDIDATE,
    MK_ROLE_LEADER,
};

struct mk_message; /* see wire.h; opaque to the owner */

struct mk_effects {
    bool meta; /* persist term and vote before any message leaves */
    uint64_t term, vote;
    uint64_t persist_from; /* 0: none */
    uint64_t persist_last;
    unsigned n_messages; /* mk_consensus_encode(0 .. n-1) */
    bool role_changed;   /* role, term or leader is another: see the queries */
    bool commit_changed;
    uint64_t commit;
    const struct mk_snapshot_meta *fetch; /* NULL: nothing new to fetch; lent */
    uint64_t fetch_from;
    const struct mk_snapshot_meta *install; /* NULL: none; lent */
    uint64_t reads_done;                    /* tickets up to it are confirmed */
    uint64_t read_index;                    /* for all of them */
    uint64_t deadline_ms;
};

/** Everything since the last call. What it lends, its messages too, is valid until
 * the next input or call. */
void mk_consensus_effects(struct mk_consensus *c, struct mk_effects *ret);
/** Appends the i-th message's bytes to out; returns to whom. */
uint64_t mk_consensus_encode(const struct mk_consensus *c, unsigned i, struct mk_buf *out);

/* --- queries ------------------------------------------------------------------------ */

enum mk_consensus_role mk_consensus_role(const struct mk_consensus *c);
uint64_t mk_consensus_term(const struct mk_consensus *c);
uint64_t mk_consensus_vote(const struct mk_consensus *c);
uint64_t mk_consensus_leader(const struct mk_consensus *c); /* 0: not known */
uint64_t mk_consensus_commit(const struct mk_consensus *c);
uint64_t mk_consensus_stored(const struct mk_consensus *c); /* durable here up to it */
uint64_t mk_consensus_first(const struct mk_consensus *c);  /* in memory; last + 1 when empty */
uint64_t mk_consensus_last(const struct mk_consensus *c);
uint64_t mk_consensus_snapshot(const struct mk_consensus *c); /* index of the last one, or 0 */
bool mk_consensus_installing(const struct mk_consensus *c);
/** True when the leader has committed an entry of its own term. */
bool mk_consensus_ready(const struct mk_consensus *c);
/** Leader only: how far a server's durable log agrees; 0 when not known. */
uint64_t mk_consensus_match(const struct mk_consensus *c, uint64_t id);
/** A member's log that ends before what it acknowledged in this term: its disk lost what it said
 * was durable, or an old copy was put back. What it voted is as doubtful. */
struct mk_consensus_short {
    uint64_t id;       /* 0: none */
    uint64_t had, has; /* the last entry: acknowledged, and now */
};
/** Leader only; told once. A member is believed to be short when it has said so to every question
 * for an election timeout, so what only came late is not taken for it. */
bool mk_consensus_short(struct mk_consensus *c, struct mk_consensus_short *ret);
/** Lent until the next input; NULL when not in memory. */
const struct mk_entry *mk_consensus_entry(const struct mk_consensus *c, uint64_t index);
/** The configuration in use (its change may be uncommitted), lent until the next
 * input; n is 0 on a blank member. */
const struct mk_configuration *mk_consensus_configuration(const struct mk_consensus *c);
/** The index of the last configuration that is committed. */
uint64_t mk_consensus_changed_at(const struct mk_consensus *c);
/** The index of a change not yet committed, or 0. */
uint64_t mk_consensus_changing(const struct mk_consensus *c);

#endif /* CONSENSUS_CONSENSUS_H */
