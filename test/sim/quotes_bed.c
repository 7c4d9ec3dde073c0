/* quotes_bed.c - see quotes_bed.h. */
#include "quotes_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void bed_measure(struct mk_b48 *r, uint8_t n)
{
    memset(r->b, n, sizeof r->b);
}

uint64_t bed_wall_s(struct cluster *c)
{
    return mk_wall_ms(world_node(c->w, 0)) / 1000;
}

void bed_emulate(struct bed *b, unsigned i)
{
    uint8_t seed[32] = "an authority for all";

    mk_emulator_free(b->emulators[i]);
    assert_int_equal(mk_emulator_new(&b->emulators[i], seed, &b->measured[i], NULL), 0);
}

static int load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct bed *b = arg;

    (void)reterr;
    if (b->collateral.n > 0)
        p->put(p, mk_buf_bytes(&b->collateral));
    if (b->policy != NULL)
        p->policy(p, b->policy, b->measured, b->n_published);
    return 0;
}

void bed_attest(void *arg, unsigned i, struct mk_witness_options *ret)
{
    struct bed *b = arg;

    *ret = (struct mk_witness_options){
        .source = MK_SOURCE_EMULATOR,
        .emulator = b->emulators[i],
        .verifies = !b->blind[i],
        .root = b->intel ? MK_BYTES(NULL, 0) : mk_buf_bytes(&b->root),
        .published = b->measured,
        .n_published = b->published ? 1 : 0,
        .load = load,
        .load_arg = b,
        .fetch = b->fetch,
    };
}

struct bed *bed_new(uint32_t tag)
{
    struct bed *b = mk_alloc(sizeof *b);

    for (unsigned i = 0; i < 3; i++) {
        bed_measure(&b->measured[i].mr_td, 1);
        bed_emulate(b, i);
    }
    mk_emulator_root(b->emulators[0], &b->root);
    b->clauses[0].tag = tag;
    b->clauses[0].u.require_tdx.measurements = b->measured[0];
    b->acl.clauses = (struct mk_acl_clauses){b->clauses, 1};
    return b;
}

struct bed *bed_floor(unsigned level)
{
    struct bed *b = bed_new(mk_acl_clause_AttestationFloor);

    memset(&b->clauses[0].u, 0, sizeof b->clauses[0].u);
    b->clauses[0].u.attestation_floor.level = (uint8_t)level;
    return b;
}

uint64_t bed_begins_s(uint64_t seed)
{
    struct world *w = world_new(seed);
    uint64_t now_s = mk_wall_ms(world_node(w, 0)) / 1000;

    world_free(w);
    return now_s;
}

void bed_renew(struct bed *b, uint64_t until_s)
{
    mk_buf_clear(&b->collateral);
    assert_int_equal(
        mk_emulator_collateral(b->emulators[0], until_s - 86400, until_s, &b->collateral, NULL), 0);
}

void bed_start(struct bed *b, const struct cluster_options *with)
{
    struct cluster_options o = *with;

    if (b->collateral.n == 0)
        bed_renew(b, bed_begins_s(o.seed) + 86400);
    o.acl = &b->acl;
    o.attest = bed_attest;
    o.attest_arg = b;
    b->c = cluster_new(&o);
    world_hash_bytes(b->c->w, false); /* ECDSA draws numbers of OpenSSL's own */
}

void bed_free(struct bed *b)
{
    cluster_free(b->c);
    for (unsigned i = 0; i < 3; i++)
        mk_emulator_free(b->emulators[i]);
    mk_buf_done(&b->root);
    mk_buf_done(&b->collateral);
    mk_free(b);
}

static const char *detail(struct bed *b, unsigned of, unsigned about)
{
    static char text[MK_REASON_MAX];
    struct mk_peer peer;
    uint64_t match;
    bool linked;

    text[0] = '\0';
    mk_group_member(cluster_group(b->c, of), about, &peer, &linked, &match, text);
    return text;
}

/* Somebody refused `about`, and said this. */
static bool told(struct bed *b, unsigned about, const char *what)
{
    for (unsigned i = 0; i < b->c->n; i++)
        if (i != about && strstr(detail(b, i, about), what) != NULL)
            return true;
    return false;
}

void bed_says(struct bed *b, unsigned about, const char *what)
{
    if (told(b, about, what))
        return;
    for (unsigned i = 0; i < b->c->n; i++)
        print_message("# of %u: %s\n", i, detail(b, i, about));
    fail_msg("nobody said \"%s\" of member %u", what, about);
}

void bed_says_why(struct bed *b, const char *what)
{
    struct mk_group_status st;

    for (unsigned i = 0; i < b->c->n; i++) {
        cluster_status(b->c, i, &st);
        if (strstr(st.why, what) != NULL)
            return;
    }
    for (unsigned i = 0; i < b->c->n; i++) {
        cluster_status(b->c, i, &st);
        print_message("# %u: %s\n", i, st.why);
    }
    fail_msg("nobody waits with \"%s\"", what);
}

struct mk_witness_status bed_status(struct bed *b, unsigned i)
{
    struct mk_witness_status st;

    mk_witness_status(cluster_process(b->c, i)->witness, &st);
    return st;
}
