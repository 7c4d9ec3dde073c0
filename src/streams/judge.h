/* judge.h - the validator that either side of a subscription has over the other: an
 * AclComposition of its own, kept with what it needs. */
#ifndef STREAMS_JUDGE_H
#define STREAMS_JUDGE_H

#include "net/net.h"
#include "streams/wire.h"

struct mk_judge {
    struct mk_acl_composition acl;
    struct mk_arena arena; /* of acl */
    struct mk_gate gate;
    struct mk_stream_rule *rule; /* NULL: none; set after mk_judge_init() */
};
/** acl is copied; NULL: OPEN. j must stay in place. */
void mk_judge_init(struct mk_judge *j, const struct mk_acl_composition *acl,
                   const struct mk_id *stable_id, const struct mk_id *own_issuer,
                   struct mk_issuers *issuers, struct mk_attestation *attestation);
void mk_judge_done(struct mk_judge *j);

/** Whether anything that a bearer shows can matter for that scope. */
bool mk_judge_reads(const struct mk_judge *j, enum mk_scope scope);

/** What the other side shows, kept to be judged again. */
struct mk_shown {
    struct mk_bearer bearer;
    struct mk_arena arena;
    uint64_t expires_ms; /* UINT64_MAX: never */
    bool pending;        /* refused for now only: a quote is on its way */
    int clause;          /* that refused it last; MK_BY_RULE, MK_BY_UNKNOWN */
};
/** Copies. */
void mk_shown_init(struct mk_shown *s, const struct mk_peer *peer,
                   const struct mk_stream_tickets *tickets);
void mk_shown_done(struct mk_shown *s);
/** Others in their place; the same peer. */
void mk_shown_retake(struct mk_shown *s, const struct mk_stream_tickets *tickets);
/** 0, and s->expires_ms; MK_EREFUSED with the clause in reason, and s->pending. l is the link to
 * the bearer; NULL when there is none any more. */
int mk_judge(const struct mk_judge *j, struct mk_shown *s, enum mk_scope scope, uint64_t now_ms,
             const struct mk_link *l, char reason[256]);
/** When to look whether the wall clock has come to expires_ms: in a second at the latest,
 * since it may jump. */
uint64_t mk_judge_next(struct mk_env *e, uint64_t expires_ms);

#endif
