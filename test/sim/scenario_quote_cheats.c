/* Quotes between two peers of which one cheats: a prover whose quote is for something else, and an
 * asker without measure. */
#include "net/net.h"
#include "witness/wire.h"
#include "witness/witness.h"
#include "world.h"

#include <mosaik/emulator.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE 60000u

/* --- one verifier, one prover that cheats --------------------------------------------------------
 */

enum cheat { HONEST, OTHER_KEY, OTHER_NONCE, OTHER_VERIFIER, REPLAY, NOISE, TWICE, SILENT, CHEATS };

struct duel {
    struct world *w;
    struct mk_key keys[2]; /* verifier, prover */
    struct mk_emulator *emulator;
    struct mk_buf root, collateral, kept; /* kept: a quote that was good once */
    enum cheat cheat;
    unsigned asked;
    /* node 0 */
    struct mk_net *net;
    struct mk_witness *witness;
    struct mk_dial dial;
    /* node 1 */
    struct mk_env *env;
    struct mk_net *rogue;
    struct mk_service service;
};

static int duel_load(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr)
{
    struct duel *d = arg;

    (void)reterr;
    p->put(p, mk_buf_bytes(&d->collateral));
    return 0;
}

static void *verifier_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;
    struct mk_witness_options o = {
        .verifies = true, .root = mk_buf_bytes(&d->root), .load = duel_load, .load_arg = d};

    (void)node;
    mk_env_vouch(e, &d->keys[0].peer);
    assert_int_equal(
        mk_net_open(e, &d->net, &(struct mk_net_options){&d->keys[0], MK_UNIVERSE, true}), 0);
    assert_int_equal(mk_witness_open(e, d->net, &d->witness, &o, NULL), 0);
    mk_net_dial(d->net, &d->dial, &d->keys[1].peer, "n1:7000");
    return d;
}

static void verifier_destroy(void *state)
{
    struct duel *d = state;

    mk_witness_close(d->witness);
    mk_net_undial(&d->dial);
    mk_net_close(d->net);
}

static void rogue_message(struct mk_conv *c, struct mk_bytes m)
{
    (void)c; /* how it was judged */
    (void)m;
}

static void rogue_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    (void)c;
    (void)close;
    (void)detail;
}

static const struct mk_conv_cbs rogue_cbs = {.message = rogue_message, .closed = rogue_closed};

static void rogue_quote(struct duel *d, const struct mk_quote_ask *ask, struct mk_buf *ret)
{
    struct mk_peer prover = d->keys[1].peer, verifier = d->keys[0].peer;
    uint8_t nonce[32], channel[32] = {0}, data[64];

    memcpy(nonce, ask->nonce.b, sizeof nonce);
    nonce[31] ^= d->cheat == OTHER_NONCE;
    prover.b[0] ^= d->cheat == OTHER_KEY;
    verifier.b[0] ^= d->cheat == OTHER_VERIFIER;
    mk_quote_bond_data(&prover, &verifier, nonce, channel, data);
    if (d->cheat == NOISE)
        mk_buf_put_str(ret, "this is no quote");
    else if (d->cheat == REPLAY)
        mk_buf_put(ret, d->kept.p, d->kept.n);
    else
        assert_int_equal(mk_emulator_quote(d->emulator, data, ret, NULL), 0);
    if (d->cheat == HONEST)
        mk_buf_put(&d->kept, ret->p, ret->n);
}

static unsigned rogue_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                             char text[MK_REASON_MAX])
{
    struct duel *d = mk_container_of(s, struct duel, service);
    struct mk_quote_message m = {.tag = mk_quote_message_Quote};
    struct mk_buf quote = {0}, bytes = {0};
    struct mk_arena arena = {0};
    struct mk_quote_ask ask;

    (void)text;
    assert_int_equal(mk_decode(&ask, &mk_quote_ask_type, first, &arena, NULL), 0);
    d->asked++;
    c->cbs = &rogue_cbs;
    rogue_quote(d, &ask, &quote);
    m.u.quote = mk_buf_bytes(&quote);
    mk_encode(&bytes, &mk_quote_message_type, &m);
    for (unsigned i = 0; d->cheat != SILENT && i < (d->cheat == TWICE ? 2u : 1u); i++)
        assert_int_equal(mk_conv_send(c, mk_buf_bytes(&bytes)), 0);
    mk_buf_done(&quote);
    mk_buf_done(&bytes);
    mk_arena_done(&arena);
    return 0;
}

static void *rogue_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;

    (void)node;
    mk_env_vouch(e, &d->keys[1].peer);
    assert_int_equal(
        mk_net_open(e, &d->rogue, &(struct mk_net_options){&d->keys[1], MK_UNIVERSE, true}), 0);
    d->service = (struct mk_service){.proto = "quote", .accept = rogue_accept};
    assert_int_equal(mk_net_serve(d->rogue, &d->service), 0);
    assert_int_equal(mk_net_listen(d->rogue, "n1:7000", NULL), 0);
    return d;
}

static void rogue_destroy(void *state)
{
    mk_net_close(((struct duel *)state)->rogue);
}

static const struct mk_evidence *look(struct duel *d)
{
    struct mk_attestation *a = mk_witness_attestation(d->witness);

    return a->evidence(a, &d->keys[1].peer);
}

/* On a link where the prover was asked anew. */
static bool is_judged(void *arg)
{
    struct duel *d = arg;
    const struct mk_evidence *e = look(d);

    return e != NULL && e->state != MK_EVIDENCE_PENDING && d->asked > 0;
}

static void verdict(struct duel *d, enum cheat cheat, const char *reason)
{
    d->cheat = cheat;
    d->asked = 0;
    world_break(d->w, 0, 1); /* a new link, in time */
    assert_true(world_run_until(d->w, is_judged, d, 2 * MINUTE));
    if (reason == NULL) {
        assert_int_equal(look(d)->state, MK_EVIDENCE_GOOD);
        return;
    }
    assert_int_equal(look(d)->state, MK_EVIDENCE_BAD);
    if (strstr(look(d)->reason, reason) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", reason, look(d)->reason);
}

static void test_a_quote_for_anything_else_is_refused(void **state)
{
    static const struct world_program verifier = {verifier_boot, verifier_destroy},
                                      rogue = {rogue_boot, rogue_destroy};
    struct duel d = {.w = world_new(950)};
    struct mk_measurements m = {0};
    uint8_t seed[32] = {7};
    uint64_t now_s = mk_wall_ms(world_node(d.w, 2)) / 1000;

    (void)state;
    world_hash_bytes(d.w, false);
    for (unsigned i = 0; i < 2; i++) {
        seed[1] = (uint8_t)i;
        mk_key_from_seed(&d.keys[i], seed);
    }
    assert_int_equal(mk_emulator_new(&d.emulator, seed, &m, NULL), 0);
    mk_emulator_root(d.emulator, &d.root);
    assert_int_equal(
        mk_emulator_collateral(d.emulator, now_s - 9, now_s + 86400, &d.collateral, NULL), 0);
    world_boot(d.w, 1, &rogue, &d);
    world_boot(d.w, 0, &verifier, &d);

    verdict(&d, HONEST, NULL);
    verdict(&d, OTHER_KEY, "another key");
    verdict(&d, OTHER_NONCE, "another nonce");
    verdict(&d, OTHER_VERIFIER, "its report data is not of this bond");
    verdict(&d, REPLAY, "its report data is not of this bond");
    verdict(&d, NOISE, "");
    verdict(&d, SILENT, "it showed no quote within 15 s");
    verdict(&d, HONEST, NULL);
    world_run(d.w, MINUTE);
    assert_int_equal(d.asked, 1); /* judged once a bond, however often it is looked at */
    verdict(&d, TWICE, "its answer is malformed");
    world_run(d.w, 1000);
    assert_int_equal(look(&d)->state, MK_EVIDENCE_BAD); /* its first quote counts no longer */
    world_free(d.w);
    mk_emulator_free(d.emulator);
    mk_buf_done(&d.root);
    mk_buf_done(&d.collateral);
    mk_buf_done(&d.kept);
}

/* --- one prover, one asker without measure
 * --------------------------------------------------------- */

struct asker {
    struct duel d; /* its node 0 asks, its node 1 shows quotes */
    unsigned quotes, busy, others, malformed;
};

static void greedy_message(struct mk_conv *c, struct mk_bytes m)
{
    struct asker *x = c->owner;

    (void)m;
    x->quotes++;
    mk_conv_close(c, MK_CLOSE_NONE, ""); /* not judged: the next one, please */
}

static void greedy_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct asker *x = c->owner;

    (void)detail;
    x->busy += close == MK_CLOSE_BUSY;
    x->others += close != MK_CLOSE_BUSY;
}

static const struct mk_conv_cbs greedy_cbs = {.message = greedy_message, .closed = greedy_closed};

static void ask_as(struct asker *x, const char *first, size_t n, const struct mk_conv_cbs *cbs)
{
    struct mk_conv *c;

    assert_int_equal(mk_conv_open(mk_net_link(x->d.net, &x->d.keys[1].peer), &c, "quote",
                                  MK_BYTES(first, n), cbs, x),
                     0);
}

static void ask_once(struct asker *x, const char *first, size_t n)
{
    ask_as(x, first, n, &greedy_cbs);
}

/* Judges what it was shown, and judges it again. */
static void chatty_message(struct mk_conv *c, struct mk_bytes quote)
{
    struct asker *x = c->owner;
    struct mk_quote_message m = {.tag = mk_quote_message_Judged, .u.judged = {.believed = true}};
    struct mk_buf b = {0};

    (void)quote;
    x->quotes++;
    mk_encode(&b, &mk_quote_message_type, &m);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mk_conv_send(c, mk_buf_bytes(&b)), 0);
    mk_buf_done(&b);
}

static void chatty_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct asker *x = c->owner;

    (void)detail;
    x->malformed += close == MK_CLOSE_MALFORMED;
}

static const struct mk_conv_cbs chatty_cbs = {.message = chatty_message, .closed = chatty_closed};

static void *asker_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;

    (void)node;
    mk_env_vouch(e, &d->keys[0].peer);
    assert_int_equal(
        mk_net_open(e, &d->net, &(struct mk_net_options){&d->keys[0], MK_UNIVERSE, true}), 0);
    mk_net_dial(d->net, &d->dial, &d->keys[1].peer, "n1:7000");
    return d;
}

static void asker_destroy(void *state)
{
    struct duel *d = state;

    mk_net_undial(&d->dial);
    mk_net_close(d->net);
}

static void *prover_boot(struct mk_env *e, unsigned node, void *arg)
{
    struct duel *d = arg;
    struct mk_witness_options o = {.source = MK_SOURCE_EMULATOR, .emulator = d->emulator};

    (void)node;
    mk_env_vouch(e, &d->keys[1].peer);
    assert_int_equal(
        mk_net_open(e, &d->rogue, &(struct mk_net_options){&d->keys[1], MK_UNIVERSE, true}), 0);
    assert_int_equal(mk_witness_open(e, d->rogue, &d->witness, &o, NULL), 0);
    assert_int_equal(mk_net_listen(d->rogue, "n1:7000", NULL), 0);
    return d;
}

static void prover_destroy(void *state)
{
    struct duel *d = state;

    mk_witness_close(d->witness);
    mk_net_close(d->rogue);
}

static bool is_linked(void *arg)
{
    struct duel *d = arg;

    return mk_net_link(d->net, &d->keys[1].peer) != NULL;
}

static void test_quotes_are_not_for_the_asking(void **state)
{
    static const struct world_program asker = {asker_boot, asker_destroy},
                                      prover = {prover_boot, prover_destroy};
    struct asker x = {.d = {.w = world_new(960)}};
    struct mk_measurements m = {0};
    char ask[33] = {0}; /* pc(QuoteAsk): a nonce, and false */
    uint8_t seed[32] = {9};

    (void)state;
    world_hash_bytes(x.d.w, false);
    for (unsigned i = 0; i < 2; i++) {
        seed[1] = (uint8_t)i;
        mk_key_from_seed(&x.d.keys[i], seed);
    }
    assert_int_equal(mk_emulator_new(&x.d.emulator, seed, &m, NULL), 0);
    world_boot(x.d.w, 1, &prover, &x.d);
    world_boot(x.d.w, 0, &asker, &x.d);
    assert_true(world_run_until(x.d.w, is_linked, &x.d, 20000));

    ask_once(&x, ask, sizeof ask);
    ask_once(&x, ask, sizeof ask); /* beside it: one at a time */
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, 1);
    assert_int_equal(x.busy, 1);
    for (unsigned i = 0; i < 20; i++) {
        ask_once(&x, ask, sizeof ask);
        world_run(x.d.w, 500);
    }
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX);
    assert_int_equal(x.quotes + x.busy, 22);
    world_run(x.d.w, MK_QUOTE_ASKS_MS);
    ask_once(&x, ask, sizeof ask);
    ask_once(&x, "no ask", 6);
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX + 1);
    assert_int_equal(x.others, 1);
    ask_as(&x, ask, sizeof ask, &chatty_cbs);
    world_run(x.d.w, 1000);
    assert_int_equal(x.quotes, MK_QUOTE_ASKS_MAX + 2);
    assert_int_equal(x.malformed, 1); /* one word on each quote */
    world_free(x.d.w);
    mk_emulator_free(x.d.emulator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quote_for_anything_else_is_refused),
        cmocka_unit_test(test_quotes_are_not_for_the_asking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
