/* Committees of a swarm whose members demand quotes of each other, from an emulated
 * authority. */
#include "attested.h"

#include <mosaik/emulator.h>
#include <string.h>

/* One authority for all runs of the process: certificates have random signatures, whose lengths
 * differ, and two runs of a seed must not. */
static struct {
    struct mk_emulator *emulator;
    struct mk_buf root, collateral;
    struct mk_acl_clause clause;
    struct mk_acl_composition acl;
} authority;

static void authority_open(void)
{
    uint8_t seed[32] = "the authority of the swarm";
    struct mk_measurements measured = {.mr_td = {{1, 2, 3}}};
    struct mk_fault f = {{0}};

    if (authority.emulator != NULL)
        return;
    if (mk_emulator_new(&authority.emulator, seed, &measured, &f) != 0 ||
        mk_emulator_collateral(authority.emulator, 1600000000, 2500000000, &authority.collateral,
                               &f) != 0)
        cluster_violation("%s", f.text);
    mk_emulator_root(authority.emulator, &authority.root);
    authority.clause.tag = mk_acl_clause_VerifyPeerTdx;
    authority.clause.u.verify_peer_tdx.measurements = measured;
    authority.acl.clauses = (struct mk_acl_clauses){&authority.clause, 1};
}

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    (void)arg;
    (void)reterr;
    p->put(p, mk_buf_bytes(&authority.collateral));
    return 0;
}

static void attest(void *arg, unsigned member, struct mk_witness_options *ret)
{
    (void)arg;
    (void)member;
    *ret = (struct mk_witness_options){.source = MK_SOURCE_EMULATOR,
                                       .emulator = authority.emulator,
                                       .verifies = true,
                                       .root = mk_buf_bytes(&authority.root),
                                       .load = load};
}

void attested_plan(struct plan *p)
{
    authority_open();
    p->o.acl = &authority.acl;
    p->o.attest = attest;
}
