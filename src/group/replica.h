/* replica.h - a read replica: it is of no committee, follows a component's surfaces as any reader
 * does, and serves them to others. What it serves carries the committee's certificates, so its
 * readers believe it no more than they believe a member: they check heads, chains and
 * proofs, and say how old a head may be.
 *
 *   members --certified--> replica (own copy, held against each head) --the same bytes--> readers
 *
 * Where a member drops it or lies it goes on with another; meanwhile it serves what it has,
 * which grows older, and says how old. It takes no commands. */
#ifndef GROUP_REPLICA_H
#define GROUP_REPLICA_H

#include "group/client.h"
#include <mosaik/ticket.h>

struct mk_replica;

struct mk_replica_options {
    const struct mk_component *component; /* copied */
    const struct mk_surface_spec *specs;  /* borrowed */
    unsigned n_specs;                     /* at most MK_SURFACES_MAX */
    struct mk_reader_memory *memory;      /* borrowed; the chain and the newest heads */
    const struct mk_acl_composition *acl; /* borrowed; judges readers as members do: where it holds
                                           * GateReaders, and by quotes where it has a floor */
    struct mk_id own_issuer;              /* zero without */
    struct mk_issuers *issuers;           /* borrowed; may be NULL */
    struct mk_standing *standing;         /* borrowed; NULL: no organism's cards are followed */
    struct mk_witness *witness;           /* borrowed; NULL: no quotes are verified */
    struct mk_client_report *report;      /* borrowed, may be NULL */
};
/** Follows every surface, and serves the protocol "surface" of the deployment on this net.
 * MK_EEXISTS: this process runs or serves that deployment already. */
int mk_replica_open(struct mk_env *e, struct mk_net *net, struct mk_replica **ret,
                    const struct mk_replica_options *o);
void mk_replica_close(struct mk_replica *r);

/** How old what it serves is: the age of its oldest surface's newest certified head by this node's
 * wall clock; UINT64_MAX while a surface has none. */
uint64_t mk_replica_age_ms(const struct mk_replica *r);
unsigned mk_replica_readers(const struct mk_replica *r);
/** How many its ACL refused, and the last one's reason; lent. */
uint64_t mk_replica_refused(const struct mk_replica *r, const char **ret_reason);
/** Why it does not follow now: what the members said that all refuse it; empty: it follows, or
 * waits for a member. Lent. */
const char *mk_replica_why(const struct mk_replica *r);
/** Its own copy: the surfaces as far as they are certified. Lent until the loop is entered again.
 */
const struct mk_surfaces *mk_replica_surfaces(const struct mk_replica *r);
/** Revocations came: all readers are judged again. */
void mk_replica_rejudge(struct mk_replica *r);
/** A reader shows other tickets. */
void mk_replica_retake(struct mk_replica *r, const struct mk_peer *peer,
                       const struct mk_wire_tickets *tickets);

#endif
