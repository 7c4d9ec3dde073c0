/* judge.c - see judge.h. */
#include "streams/judge.h"
#include "base/assert.h"

#include <stdio.h>

#define JUDGE_LOOK_MS 1000u

void mk_judge_init(struct mk_judge *j, const struct mk_acl_composition *acl,
                   const struct mk_id *stable_id, const struct mk_id *own_issuer,
                   struct mk_issuers *issuers, struct mk_attestation *attestation)
{
    static const struct mk_acl_composition open = {0};
    struct mk_buf b = {0};
    int rv;

    *j = (struct mk_judge){.gate = {.acl = &j->acl,
                                    .stable_id = *stable_id,
                                    .own_issuer = *own_issuer,
                                    .issuers = issuers,
                                    .attestation = attestation}};
    mk_encode(&b, &mk_acl_composition_type, acl != NULL ? acl : &open);
    rv = mk_decode(&j->acl, &mk_acl_composition_type,
                   MK_BYTES(mk_arena_copy(&j->arena, b.p, b.n), b.n), &j->arena, NULL);
    MK_ASSERT(rv == 0);
    mk_buf_done(&b);
}

void mk_judge_done(struct mk_judge *j)
{
    mk_arena_done(&j->arena);
}

bool mk_judge_reads(const struct mk_judge *j, enum mk_scope scope)
{
    if (j->rule != NULL)
        return true;
    for (size_t i = 0; i < j->acl.clauses.n; i++)
        if (scope != MK_SCOPE_READ || j->acl.clauses.v[i].tag == mk_acl_clause_GateReaders)
            return true;
    return false;
}

void mk_shown_init(struct mk_shown *s, const struct mk_peer *peer,
                   const struct mk_stream_tickets *tickets)
{
    struct mk_bytes *copies;

    *s = (struct mk_shown){.expires_ms = UINT64_MAX};
    copies = mk_arena_take(&s->arena, (tickets->n + 1) * sizeof *copies);
    for (size_t i = 0; i < tickets->n; i++)
        copies[i] =
            MK_BYTES(mk_arena_copy(&s->arena, tickets->v[i].p, tickets->v[i].n), tickets->v[i].n);
    s->bearer = (struct mk_bearer){.peer = *peer, .tickets = copies, .n_tickets = tickets->n};
}

void mk_shown_done(struct mk_shown *s)
{
    mk_arena_done(&s->arena);
}

void mk_shown_retake(struct mk_shown *s, const struct mk_stream_tickets *tickets)
{
    struct mk_peer peer = s->bearer.peer;

    mk_shown_done(s);
    mk_shown_init(s, &peer, tickets);
    s->expires_ms = 0; /* to be judged */
}

int mk_judge(const struct mk_judge *j, struct mk_shown *s, enum mk_scope scope, uint64_t now_ms,
             const struct mk_link *l, char reason[256])
{
    struct mk_verdict v;
    char why[256] = "";

    mk_gate_judge(&j->gate, &v, &s->bearer, scope, now_ms);
    s->pending = v.pending;
    if (!v.admitted) {
        s->clause = (int)v.clause;
        snprintf(reason, 256, "%s", v.reason);
        return MK_EREFUSED;
    }
    if (j->rule != NULL)
        j->rule->unknown = false;
    if (j->rule != NULL &&
        !j->rule->admits(j->rule, &s->bearer, l != NULL ? mk_link_rtt_us(l) : 0, why)) {
        why[sizeof why - 1] = 0;
        s->clause = j->rule->unknown ? MK_BY_UNKNOWN : MK_BY_RULE;
        snprintf(reason, 256, "rule: %.240s", why[0] != 0 ? why : "the program does not admit it");
        return MK_EREFUSED;
    }
    s->expires_ms = v.expires_ms;
    return 0;
}

uint64_t mk_judge_next(struct mk_env *e, uint64_t expires_ms)
{
    uint64_t wall = mk_wall_ms(e), left = expires_ms > wall ? expires_ms - wall : 0;

    return mk_now(e) + (left < JUDGE_LOOK_MS ? left : JUDGE_LOOK_MS) * MK_MS;
}
