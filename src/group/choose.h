/* choose.h - which member a client uses now: any of the roster that has a link, was not
 * caught lying, and did not fail a moment ago. Beginning at a random one, so that many
 * clients spread; what each member said last is kept, for the text of a failure. */
#ifndef GROUP_CHOOSE_H
#define GROUP_CHOOSE_H

#include "group/client.h"

#define MK_CHOICES_MAX (4u * MK_ROSTER_MAX) /* members of all epochs that were met */

struct mk_choice {
    struct mk_peer peer;
    bool lied;         /* what it served does not add up: not asked again */
    uint64_t retry_ns; /* not before */
    unsigned fails;    /* in a row */
    unsigned close;    /* how the last attempt ended; MK_CLOSE_NONE: well, or not tried */
    char detail[MK_REASON_MAX];
};

struct mk_chooser {
    struct mk_env *env;
    struct mk_net *net;
    const struct mk_reader_memory *memory; /* whose newest roster counts */
    struct mk_client_report *report;       /* may be NULL */
    const struct mk_component *component;  /* whose ACL a member must satisfy for us */
    struct mk_choice v[MK_CHOICES_MAX];
    const struct mk_peers *through; /* instead of the roster's peers; NULL: those */
    unsigned n;
    unsigned turn;
    struct mk_witness_watch evidence;
    struct mk_task *task; /* of the client: it looks again when evidence changed */
    uint64_t renewals;    /* of the component's wallet, when it was looked at last */
};

void mk_chooser_init(struct mk_chooser *c, struct mk_env *e, struct mk_net *net,
                     const struct mk_reader_memory *memory, const struct mk_component *component,
                     struct mk_client_report *report, struct mk_task *task);
/** Chooses among the component's replicas, when it names any. */
void mk_chooser_through(struct mk_chooser *c, struct mk_peers *replicas);
void mk_chooser_done(struct mk_chooser *c);
/** Who refused is asked again, at once; who lied is not. */
void mk_chooser_forgive(struct mk_chooser *c);
/** Does the member that we use still show us what the ACL wants of it (VerifyPeerTdx)? If not,
 * detail says why. */
bool mk_chooser_still(struct mk_chooser *c, const struct mk_peer *peer, char detail[MK_REASON_MAX]);
/** The link of a member to be used now; NULL: none. */
struct mk_link *mk_chooser_pick(struct mk_chooser *c);
/** Picks `peer` from now on, if it could be picked now; false: it could not. */
bool mk_chooser_prefer(struct mk_chooser *c, const struct mk_peer *peer);
/** When one that failed may be tried again, ns; UINT64_MAX: only a new link helps. */
uint64_t mk_chooser_retry_ns(struct mk_chooser *c);
/** It failed: refused, closed, silent (lied false: tried again later), or lied. Reported. */
void mk_chooser_failed(struct mk_chooser *c, const struct mk_peer *peer, unsigned close,
                       const char *detail, bool lied);
/** It served something that adds up. */
void mk_chooser_served(struct mk_chooser *c, const struct mk_peer *peer);
/** What keeps us from any member: "no majority: 2 members refused ...; <peer>: <text>; ...".
 * Returns MK_EREFUSED when all refused, or a majority and no other can be reached; MK_ENOTFOUND
 * when none has the surface; MK_EUNREACHABLE else. */
int mk_chooser_why(struct mk_chooser *c, struct mk_fault *ret);
/** Every member of the roster lied, refused us, or has no such surface; or a majority refused us,
 * and the others cannot be reached: no use in waiting. */
bool mk_chooser_hopeless(struct mk_chooser *c);

/** What c shows, as it stands in a hello. Lent. */
struct mk_wire_tickets mk_component_tickets(const struct mk_component *c);
/** Deep copy of a component; tickets and peers into arena. */
void mk_component_copy(struct mk_component *ret, const struct mk_component *c,
                       struct mk_arena *arena);

#endif
