/* network.h - an agent's handle on the universe, and the components it binds.
 *
 *     struct mk_network *net;
 *     mk_network_open(loop, &net, &(struct mk_network_options){.hints = hints, .n_hints = 1}, &f);
 *     struct mk_bond *atlas;
 *     mk_bond_open(net, &atlas, &reference, &f);     // returns at once
 *     mk_bond_wait(atlas, 10000, &f);                // or watch it from callbacks
 *     ... mk_map_open(), mk_feed_open(), mk_execute() on the bond ...
 *
 * One network handle an agent, however many components it binds; a member that
 * two coalitions share is bound once. Every call belongs to the loop's thread.
 * Functions named _wait, and those that say "blocks", run the loop until they are
 * done or their deadline has passed; they must not be called from a callback. */
#ifndef MOSAIK_NETWORK_H
#define MOSAIK_NETWORK_H

#include <mosaik/key.h>
#include <mosaik/loop.h>
#include <mosaik/outcome.h>
#include <mosaik/records.h>
#include <mosaik/witness.h>

struct mk_network;
struct mk_bond;
struct mk_issuer_book;

#define MK_NETWORK_TAGS_MAX 32u

struct mk_network_options {
    const struct mk_key *key;     /* borrowed; NULL: a fresh one, forgotten at the end */
    const struct mk_id *universe; /* NULL: MK_UNIVERSE */
    const char *listen;           /* "host:port"; NULL: a pure integrator, dials only */
    const char *advertise;        /* where others reach us; NULL: what listen says */
    const struct mk_str *hints;   /* "<peer hex>@host:port": cold-start contacts; copied */
    size_t n_hints;
    const struct mk_bytes *tickets; /* shown wherever we bind, and in our entry; copied. Others take
                                     * their place with mk_network_renew() */
    size_t n_tickets;
    /** Asks and answers on the local network by multicast DNS (_coalition._tcp): an interface's
     * name, or "*" for all that are up; NULL: neither. What is heard is a hint, no more. */
    const char *lan;
    const struct mk_str *tags; /* words that our entry shows: "gpu", "eu-west"; copied */
    size_t n_tags;             /* at most MK_NETWORK_TAGS_MAX */
    const struct mk_witness_options *witness; /* quotes (witness.h); NULL: none shown or judged */
    bool vouched;                             /* simulated world only */
};
/** An agent on e; options are copied but where they say borrowed. 0; MK_EINVALID, MK_EMALFORMED (an
 * address, a hint, a tag), MK_EIO (cannot listen), MK_ELIMIT, with the reason. */
int mk_network_open(struct mk_env *e, struct mk_network **ret, const struct mk_network_options *o,
                    struct mk_fault *reterr);
/** Closes the bonds too; each call in flight gets MK_ECANCELED. */
void mk_network_close(struct mk_network *n);
/** Who we are; lent until it closes. */
const struct mk_peer *mk_network_peer(const struct mk_network *n);
/** Lent; NULL: none was asked for. */
const struct mk_witness *mk_network_witness(const struct mk_network *n);
uint16_t mk_network_port(const struct mk_network *n); /* listened on; 0 when not */
/** One JSON object, for people and monitors: links, bonds and why one is not ready, producers with
 * their subscribers and lags, consumers, whom a clause refused, tickets. Its keys are in
 * docs/cli.md. Who listens answers `coalition status --node` with it. */
void mk_network_status(struct mk_network *n, struct mk_buf *json);
/** One more cold-start contact, "<peer hex>@host:port"; copied. MK_EMALFORMED with the rule. */
int mk_network_hint(struct mk_network *n, struct mk_str hint, struct mk_fault *reterr);

/* --- what peers say of themselves ---------------------------------------------------------- */
/* A signed entry each, spread by gossip: addresses, tags, surfaces, deployments, tickets. A tag is
 * the id of a word (identity.md, "Ids of texts"): mk_id_of_text(). It is what the peer claims; who
 * must not lie about it needs a ticket. An agent that dials only has an entry when it has tags. */

/** Shows these words from now on instead (copied). MK_ELIMIT. */
int mk_network_tag(struct mk_network *n, const struct mk_str *tags, size_t n_tags);
/** Does the peer's fresh entry, as far as it is known here, show this tag? */
bool mk_network_tagged(struct mk_network *n, const struct mk_peer *peer, const struct mk_id *tag);
/** Why there is no link to the peer, in words, as the last dial ended: one line, "" when there is
 * one. What `status` of a node that cannot be reached says. */
void mk_network_why_not(struct mk_network *n, const struct mk_peer *peer, char ret[MK_FAULT_MAX]);
/** Peers whose fresh entry is known, without us. */
size_t mk_network_peers(struct mk_network *n);
/** An entry (pc(PeerEntry)) that came by another way than gossip. 0: news; MK_EEXISTS: this one, or
 * a newer one, is known; MK_EREFUSED: expired, from the future, no place; MK_EINVALID: of another
 * universe; MK_EMALFORMED, MK_ELIMIT, MK_ESIGNATURE. Whatever was judged by tags is judged again.
 */
int mk_network_feed(struct mk_network *n, struct mk_bytes entry, struct mk_fault *reterr);
/** Our own entry, for that; lent until the loop is entered again. MK_ENOTFOUND: there is none. */
int mk_network_entry(struct mk_network *n, struct mk_bytes *ret);
/** Compares with one peer, "<peer hex>@host:port", what each knows: after 0 both hold the entries,
 * Deployments and lists of both. Blocks. MK_EUNREACHABLE: nobody answered, another peer did, or it
 * is of another universe; MK_EREFUSED: it would not talk; reterr says which. */
int mk_network_sync_wait(struct mk_network *n, struct mk_str peer, uint32_t timeout_ms,
                         struct mk_fault *reterr);

/** The issuers this agent knows: their rosters are put there by who may say so (a file:
 * coa_know_issuers() in <coalition/bind.h>), their lists of revoked tickets come by discovery.
 * Gates of this agent's components and producers judge by it. Lent until the network closes. */
struct mk_issuer_book *mk_network_issuers(struct mk_network *n);
/** Takes a list of revocations (pc(SignedRevocations), <mosaik/issuers.h>) and spreads it. 0, also
 * when it is known; MK_EREFUSED (issuer unknown, old, from the future), MK_ESIGNATURE,
 * MK_EMALFORMED, MK_ELIMIT. */
int mk_network_revoke(struct mk_network *n, struct mk_bytes list, struct mk_fault *reterr);

/** Shows these tickets (each pc(Ticket); copied) in the place of all that were shown: to whoever is
 * linked at once, so that an admission goes on from a ticket to its successor without a gap; an
 * admission that they do not suffice for ends. 0; MK_EREFUSED: one names another peer as its
 * bearer; MK_EMALFORMED, MK_ELIMIT (MK_TICKETS_MAX, MK_TICKET_MAX): nothing has changed. */
int mk_network_renew(struct mk_network *n, const struct mk_bytes *tickets, size_t n_tickets,
                     struct mk_fault *reterr);

/* --- what a configuration knows of a component ------------------------------------------ */

/** A reference as a file or a compiled-in config has it (committees.md, "Binding a
 * reference"). Its deployment comes from `version0`, or from the highest signed
 * Deployment of `operator_`, or cannot be bound. Copied. */
struct mk_reference {
    struct mk_str label; /* role or kind, for messages */
    struct mk_id stable_id;
    struct mk_opt_id content_hash; /* a pin: another content is refused by name */
    bool has_version0;             /* the component's own file was at hand: */
    struct mk_id deployment;       /*   organism_id or module_id */
    struct mk_id deployed_content; /*   its content hash */
    struct mk_roster roster;       /*   its first roster */
    struct mk_opt_peer operator_;
    const struct mk_str *addresses; /* "<peer hex>@host:port" of committee members, or none */
    size_t n_addresses;
    const struct mk_str *through; /* "<peer hex>@host:port" of read replicas: surfaces are read
                                   * through them instead of through members; or none */
    size_t n_through;
    const struct mk_acl_composition *acl; /* as the file has it: members must show us what its
                                           * VerifyPeerTdx says; NULL: not known */
};

/* --- bonds ---------------------------------------------------------------------------------- */

enum mk_bond_state {
    MK_BOND_RESOLVING,  /* no deployment known yet */
    MK_BOND_CONNECTING, /* no member reached yet */
    MK_BOND_READY,      /* at least one member is linked, and not all that are said that they run
                         * another deployment */
    MK_BOND_FAILED,     /* cannot be bound: see the status's text */
};
struct mk_bond_status {
    enum mk_bond_state state;
    struct mk_id stable_id, deployment, content_hash;
    uint64_t version;      /* of the Deployment; 0: from a file */
    uint64_t epoch;        /* newest known */
    uint64_t certified_ms; /* machine time of the newest certificate seen here; 0: none yet */
    unsigned members, linked;
    char text[400]; /* what it waits for, or why it failed: which member said what */
};
/** Copies r. MK_EINVALID: it names neither a config nor an operator, roster.deployment differs from
 * its deployment (with has_version0), or an address of `through` is none. */
int mk_bond_open(struct mk_network *n, struct mk_bond **ret, const struct mk_reference *r,
                 struct mk_fault *reterr);
/** Calls in flight get MK_ECANCELED. What was opened on it ends, with MK_ECANCELED, and is still to
 * be closed. NULL is fine. */
void mk_bond_close(struct mk_bond *b);
/** As it is now; nothing in it is lent. */
void mk_bond_status(const struct mk_bond *b, struct mk_bond_status *ret);
/** The same with what was said about members, as one JSON object: one of `bonds` of
 * mk_network_status(). */
void mk_bond_describe(const struct mk_bond *b, struct mk_buf *json);
/** Blocks until READY (0), FAILED (its error), or MK_EUNREACHABLE: at the deadline, or as soon as
 * every member that can be reached has said that it runs another deployment (each call asks them
 * anew). reterr says which applies: nobody answered; another deployment (expected, actual);
 * retired, with the replacement; refused by clause n; no majority. */
int mk_bond_wait(struct mk_bond *b, uint32_t timeout_ms, struct mk_fault *reterr);

/** What was said about members that refused, lied or fell silent, newest first; lent until the
 * loop is entered again. false past the last. */
bool mk_bond_said(const struct mk_bond *b, unsigned i, struct mk_str *ret);

struct mk_bond_watch {
    void (*changed)(struct mk_bond_watch *w, struct mk_bond *b);
    struct mk_bond_watch *next; /* private */
};
/** Calls w->changed in a later turn when the status moved. w: memory of the caller, in place until
 * mk_bond_unwatch(); several may watch. */
void mk_bond_watch(struct mk_bond *b, struct mk_bond_watch *w);
void mk_bond_unwatch(struct mk_bond *b, struct mk_bond_watch *w);

/* --- execute and query -------------------------------------------------------------------------
 */

enum mk_step { MK_STEP_COMMITTED /* unproven */, MK_STEP_CERTIFIED };

/** One command or query in flight; memory of the caller until cb. */
struct mk_exec {
    /** Exactly once. 0: outcome, lent; MK_EREFUSED: fault names the rule or the clause;
     * MK_ESTALE: the rule, where what the sender knew is behind;
     * MK_ETIMEDOUT, MK_ECANCELED: not known. MK_EUNREACHABLE, MK_ENOMAJORITY: not executed as far
     * as is known; fault says which member said what. */
    void (*cb)(struct mk_exec *x, int status, const struct mk_outcome *outcome,
               const struct mk_fault *fault);
    void *impl;
};
/** Sends a command (copied, up to MK_COMMAND_MAX); x in place until its cb. timeout_ms from now. 0;
 * or, with no callback and nothing sent: MK_EUNREACHABLE (not bound yet: mk_bond_wait), MK_ELIMIT,
 * MK_EFULL (too many in flight), MK_ECLOSED. */
int mk_execute(struct mk_bond *b, struct mk_exec *x, struct mk_bytes command, enum mk_step step,
               uint32_t timeout_ms);
/** A read by the machine's query(), answered by one member and not certified. As above. */
int mk_query(struct mk_bond *b, struct mk_exec *x, struct mk_bytes query, enum mk_read read,
             uint32_t timeout_ms);
/** Blocks. ret (may be NULL) is copied into arena. */
int mk_execute_wait(struct mk_bond *b, struct mk_outcome *ret, struct mk_bytes command,
                    enum mk_step step, uint32_t timeout_ms, struct mk_arena *arena,
                    struct mk_fault *reterr);
/** As mk_execute_wait(). */
int mk_query_wait(struct mk_bond *b, struct mk_outcome *ret, struct mk_bytes query,
                  enum mk_read read, uint32_t timeout_ms, struct mk_arena *arena,
                  struct mk_fault *reterr);

/* --- the course of one write --------------------------------------------------------------- */

/** Asks the members of the bond's roster to note what becomes of the next commands that this agent
 * sends to the component. Blocks until each has answered or timeout_ms have passed; one that did
 * not answer is told of in the end. */
void mk_bond_trace_begin(struct mk_bond *b, uint32_t timeout_ms);
/** After the answer: what became of the last of them, appended to json as a list of objects, one a
 * member: `peer`, `index` (of the log entry, 0: not seen), `leads`, `steps`: {`logged`, `durable`,
 * `committed`, `applied`, `certified`} in microseconds of that member's own clock, those that it
 * reached; or `peer` and `error`. Blocks as above. */
void mk_bond_trace_end(struct mk_bond *b, uint32_t timeout_ms, struct mk_buf *json);

#endif /* MOSAIK_NETWORK_H */
