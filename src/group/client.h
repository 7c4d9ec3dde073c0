/* client.h - the two client sides of a group, for those who are in no committee:
 * executing commands and following surfaces. Each checks what it is given:
 * nothing counts that no certificate of the roster covers.
 *
 * A client is given the deployment's first roster (from a file or a Deployment)
 * and finds members through links that somebody keeps (discovery, mk_net_dial). It
 * uses any member that has a link, leaves one that refuses, lies or falls silent
 * (naming it), and goes on with another. */
#ifndef GROUP_CLIENT_H
#define GROUP_CLIENT_H

#include "collections/certificate.h"
#include "collections/trie.h"
#include "group/wire.h"
#include "net/net.h"
#include "tickets/wallet.h"
#include "witness/witness.h"

/** What both sides need to know of the component. Copied by the opens below. */
struct mk_component {
    struct mk_id deployment;
    struct mk_id stable_id;
    struct mk_roster roster;        /* the first, or the newest known */
    const struct mk_bytes *tickets; /* ours, to be shown */
    size_t n_tickets;
    const struct mk_wallet *wallet; /* borrowed; shown instead of those; NULL: they are shown */
    const struct mk_peer
        *through; /* surfaces are read through these, not through members: replicas */
    size_t n_through;
    const struct mk_acl_composition *acl; /* what it says of those who serve; NULL: not known */
    struct mk_witness *witness;           /* borrowed; NULL: we verify no quotes */
};

/** What happened to a member, for people: "<peer>: dropped: snapshot does not add up ...". */
struct mk_client_report {
    void (*said)(struct mk_client_report *r, const struct mk_peer *peer, unsigned close,
                 const char *text);
};

/* --- execute and query -------------------------------------------------------------------- */

struct mk_client;
int mk_client_open(
    struct mk_env *e, struct mk_net *net, struct mk_client **ret, const struct mk_component *c,
    struct mk_reader_memory *memory /* borrowed, shared by readers of this deployment */,
    struct mk_client_report *report /* borrowed, may be NULL */);
void mk_client_close(struct mk_client *c);

enum mk_want { MK_WANT_COMMITTED /* unproven */, MK_WANT_CERTIFIED };

struct mk_call {
    /** Exactly once, from the loop (MK_ECANCELED: from mk_client_close()).
     *   0              outcome, lent; proven when certified was asked for and there are commits.
     *   MK_EREFUSED    fault has the machine's rule, or the clause that refused us.
     *   MK_ETIMEDOUT   not known; fault says what the member that has it waits for.
     *   MK_EUNKNOWN    not known: the group has forgotten the session, or the proof.
     *   MK_EUNREACHABLE, MK_ENOMAJORITY  not executed as far as is known; fault says which member
     *                  said what.
     *   MK_ECONFLICT   two certificates exclude each other: see the reader's memory.
     * Others are the machine's. outcome is NULL unless the status is 0. */
    void (*cb)(struct mk_call *c, int status, const struct mk_outcome *outcome,
               const struct mk_fault *fault);
    void *impl;
};
/** Retries under one (session, number) until an answer or the deadline: no second commit. command
 * is copied. MK_ELIMIT: longer than MK_COMMAND_MAX; MK_EFULL: MK_CALLS_MAX in flight. */
#define MK_CALLS_MAX 4096u
int mk_client_execute(struct mk_client *c, struct mk_call *call, struct mk_bytes command,
                      enum mk_want want, uint32_t timeout_ms);
int mk_client_query(struct mk_client *c, struct mk_call *call, struct mk_bytes query,
                    enum mk_read read, uint32_t timeout_ms);

/* --- following a surface -------------------------------------------------------------------- */

struct mk_follow;

/** In the order of one delivery: certified, gap, snapshot, commit...; the state of the follow
 * (map, certificate) is already that of the certificate in all of them. A callback may close or
 * pause the follow. */
struct mk_follow_cbs {
    /** A newer certificate was accepted, and what it covers was held against it. Before any of that
     * is shown, so that the owner can first keep the reader's memory durably. May be NULL. */
    void (*certified)(struct mk_follow *f, const struct mk_certificate *c);
    /** Commits from..to are lost to the follower (the retained history did not reach back): told,
     * never hidden. Streams only: a map's gap is closed by a fresh snapshot. May be NULL. */
    void (*gap)(struct mk_follow *f, uint64_t from, uint64_t to);
    /** Map only: a verified snapshot is in place, at this index. May be NULL. */
    void (*snapshot)(struct mk_follow *f, uint64_t index);
    /** Certified commits in order (never one that no certificate covers). For a map, pc(MapOp); for
     * a stream, the item; a marker is pc(RetirementMarker). Lent. */
    void (*commit)(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker);
    /** It cannot go on: MK_ERETIRED (after the marker's commit), MK_ECONFLICT (the proof is in the
     * reader's memory), MK_ENOTFOUND when no member has such a surface, MK_EREFUSED or
     * MK_EUNREACHABLE when every member refused or lied. Nothing follows; the owner ends it with
     * mk_follow_close(), here or later, or, of those last two, tries mk_follow_again() later. */
    void (*failed)(struct mk_follow *f, int status, const struct mk_fault *fault);
};

struct mk_follow_options {
    struct mk_id surface;
    enum mk_surface_kind kind;
    struct mk_id schema;   /* digest of the surface's types */
    enum mk_from_tag from; /* mk_from_Snapshot for maps; Oldest, Newest or After for streams */
    struct mk_from_after after;
};
int mk_follow_open(struct mk_env *e, struct mk_net *net, struct mk_follow **ret,
                   const struct mk_component *c, struct mk_reader_memory *memory,
                   const struct mk_follow_options *o, const struct mk_follow_cbs *cbs, void *owner,
                   struct mk_client_report *report);
void mk_follow_close(struct mk_follow *f);
/** After failed() with MK_EREFUSED or MK_EUNREACHABLE, and not from there: the members that refused
 * are asked again, and it goes on from where it stands, which it has kept. */
void mk_follow_again(struct mk_follow *f);
void *mk_follow_owner(const struct mk_follow *f);
/** While a commit is delivered: its hash, and the one that it continues. */
const struct mk_id *mk_follow_hash(const struct mk_follow *f);
const struct mk_id *mk_follow_before(const struct mk_follow *f);
/** Behind which commit the next one will be delivered; false: nothing is verified yet. */
bool mk_follow_position(const struct mk_follow *f, uint64_t *ret_index, struct mk_id *ret_commit);
/** Pauses delivery: credit is not given back, the member's queue for us stays bounded. */
void mk_follow_pause(struct mk_follow *f, bool paused);
/** The follower's own verified map; lent until the loop is entered again. */
const struct mk_trie *mk_follow_map(const struct mk_follow *f);
/** The newest certificate it stands on; NULL before the first. */
const struct mk_certificate *mk_follow_certificate(const struct mk_follow *f);

/** One key, with a proof of presence or absence against a certificate at most max_age_ms old
 * (0: of any age). */
struct mk_get {
    /** 0 (present, value lent), MK_ENOTFOUND (proven absent), MK_ESTALE, MK_ETIMEDOUT, ... */
    void (*cb)(struct mk_get *g, int status, struct mk_bytes value, const struct mk_certificate *c,
               const struct mk_fault *fault);
    void *impl;
};
int mk_client_get(struct mk_client *c, struct mk_get *g, const struct mk_id *surface,
                  struct mk_bytes key, uint64_t max_age_ms, uint32_t timeout_ms);

#endif /* GROUP_CLIENT_H */
