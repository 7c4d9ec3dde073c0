/* test_gate.c - tickets, and each clause's admissions and refusals by name. */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/base64url.h"
#include <mosaik/issuers.h>
#include <mosaik/standing.h>

#define NOW_S UINT64_C(1800000000)
#define NOW_MS (NOW_S * 1000)
#define HOUR UINT64_C(3600)

/* --- a small world: an issuer of three, a component, a bearer ----------------------- */

struct scene {
    struct mk_key signers[3]; /* of the issuer, in roster order */
    struct mk_key stranger, bearer_key, jwt_key;
    struct mk_peer peers[3];
    struct mk_id root, other_root, component;
    struct mk_roster roster;
    struct mk_issuer_book *book;
    struct mk_acl_clause clauses[4];
    struct mk_acl_composition acl;
    struct mk_gate gate;
    struct mk_buf tickets[MK_TICKETS_MAX + 1];
    struct mk_bytes shown[MK_TICKETS_MAX + 1];
    size_t n_tickets;
    struct mk_verdict verdict;
};

static void key_of(struct mk_key *k, uint8_t n)
{
    uint8_t seed[32] = {n, 0x5a};

    mk_key_from_seed(k, seed);
}

static void sort_signers(struct mk_key k[3])
{
    for (int i = 0; i < 3; i++) {
        for (int j = i + 1; j < 3; j++) {
            if (mk_peer_cmp(&k[j].peer, &k[i].peer) < 0) {
                struct mk_key t = k[i];

                k[i] = k[j];
                k[j] = t;
            }
        }
    }
}

static int setup(void **state)
{
    struct scene *s = mk_alloc(sizeof *s);

    for (uint8_t i = 0; i < 3; i++)
        key_of(&s->signers[i], (uint8_t)(i + 1));
    sort_signers(s->signers);
    for (int i = 0; i < 3; i++)
        s->peers[i] = s->signers[i].peer;
    key_of(&s->stranger, 40);
    key_of(&s->bearer_key, 41);
    key_of(&s->jwt_key, 42);
    s->root = mk_id_of_text(MK_STR("root"));
    s->other_root = mk_id_of_text(MK_STR("other root"));
    s->component = mk_id_of_text(MK_STR("component"));
    s->roster = (struct mk_roster){
        .deployment = mk_id_of_text(MK_STR("issuer")), .epoch = 1, .peers = {s->peers, 3}};
    s->book = mk_issuer_book_new();
    assert_int_equal(mk_issuer_book_add(s->book, &s->root, &s->roster, NULL), 0);
    s->acl.clauses.v = s->clauses;
    s->gate = (struct mk_gate){.acl = &s->acl,
                               .stable_id = s->component,
                               .own_issuer = s->root,
                               .issuers = mk_issuer_book_issuers(s->book)};
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    for (size_t i = 0; i < s->n_tickets; i++)
        mk_buf_done(&s->tickets[i]);
    mk_issuer_book_free(s->book);
    mk_free(s);
    return 0;
}

static void clause(struct scene *s, struct mk_acl_clause c)
{
    s->clauses[s->acl.clauses.n++] = c;
}

static void show(struct scene *s, struct mk_bytes ticket)
{
    assert_true(s->n_tickets <= MK_TICKETS_MAX);
    mk_buf_put(&s->tickets[s->n_tickets], ticket.p, ticket.n);
    s->shown[s->n_tickets] = mk_buf_bytes(&s->tickets[s->n_tickets]);
    s->n_tickets++;
}

static struct mk_claims claims_for(const struct scene *s)
{
    return (struct mk_claims){.iss = s->root,
                              .sub = s->bearer_key.peer,
                              .aud = s->component,
                              .read = true,
                              .write = true,
                              .iat = NOW_S - HOUR,
                              .nbf = NOW_S - HOUR,
                              .exp = NOW_S + HOUR,
                              .jti = {1, 2, 3}};
}

/* How a ticket is made; zero fields mean the honest way. */
struct forge {
    const char *claims; /* instead of the formatted ones */
    const struct mk_id *class, *signed_root;
    uint64_t epoch, signed_epoch;
    unsigned n_shares;         /* 0: two, a majority */
    const struct mk_key *with; /* signs in place of the second signer */
    bool flip;                 /* one bit of the first signature */
    bool reversed;             /* the signatures' order */
};

static void forge_encode(struct mk_buf *out, const struct forge *f, const struct mk_id *class,
                         struct mk_bytes claims, struct mk_peer_signature *shares, unsigned n)
{
    struct mk_signed_ticket body = {
        .claims = claims, .epoch = f->epoch ? f->epoch : 1, .signatures = {shares, n}};
    struct mk_ticket t = {.class = *class};
    struct mk_buf data = {0};

    mk_encode(&data, &mk_signed_ticket_type, &body);
    t.data = mk_buf_bytes(&data);
    mk_encode(out, &mk_ticket_type, &t);
    mk_buf_done(&data);
}

static void issue(struct scene *s, const struct mk_claims *c, struct forge f)
{
    const struct mk_id *class = f.class ? f.class : &s->root;
    uint64_t epoch = f.signed_epoch ? f.signed_epoch : f.epoch ? f.epoch : 1;
    unsigned n = f.n_shares ? f.n_shares : 2;
    struct mk_peer_signature shares[3], swap;
    struct mk_buf claims = {0}, out = {0};

    if (f.claims != NULL)
        mk_buf_put_str(&claims, f.claims);
    else
        mk_claims_format(c, &claims);
    for (unsigned i = 0; i < n; i++) {
        const struct mk_key *k = i == 1 && f.with ? f.with : &s->signers[i];

        shares[i].peer = k->peer;
        mk_ticket_sign(k, f.signed_root ? f.signed_root : class, epoch, mk_buf_bytes(&claims),
                       &shares[i].signature);
    }
    if (n > 1 && mk_peer_cmp(&shares[0].peer, &shares[1].peer) > 0) {
        swap = shares[0];
        shares[0] = shares[1];
        shares[1] = swap;
    }
    if (f.flip)
        shares[0].signature.b[5] ^= 1;
    if (f.reversed) {
        swap = shares[0];
        shares[0] = shares[1];
        shares[1] = swap;
    }
    forge_encode(&out, &f, class, mk_buf_bytes(&claims), shares, n);
    show(s, mk_buf_bytes(&out));
    mk_buf_done(&claims);
    mk_buf_done(&out);
}

static void judge_at(struct scene *s, enum mk_scope scope, uint64_t now_ms)
{
    const struct mk_bearer bearer = {s->bearer_key.peer, s->shown, s->n_tickets};

    memset(&s->verdict, 0xee, sizeof s->verdict);
    mk_gate_judge(&s->gate, &s->verdict, &bearer, scope, now_ms);
}

static void admitted(struct scene *s, enum mk_scope scope, uint64_t expires_ms)
{
    judge_at(s, scope, NOW_MS);
    if (!s->verdict.admitted)
        fail_msg("refused: %s", s->verdict.reason);
    assert_int_equal(s->verdict.expires_ms, expires_ms);
}

/* Refused by that clause, and the reason begins with its name and holds `why`. */
static void refused_now(struct scene *s, unsigned clause_no, const char *name, const char *why)
{
    char begin[64];

    assert_false(s->verdict.admitted);
    assert_int_equal(s->verdict.clause, clause_no);
    snprintf(begin, sizeof begin, "clause %u %s: ", clause_no, name);
    if (strncmp(s->verdict.reason, begin, strlen(begin)) != 0 ||
        strstr(s->verdict.reason, why) == NULL)
        fail_msg("expected \"%s...%s\", got \"%s\"", begin, why, s->verdict.reason);
}

static void refused(struct scene *s, unsigned clause_no, const char *name, const char *why)
{
    judge_at(s, MK_SCOPE_WRITE, NOW_MS);
    refused_now(s, clause_no, name, why);
}

static struct mk_acl_clause own_issuer(void)
{
    return (struct mk_acl_clause){.tag = mk_acl_clause_RecogniseOwnIssuer};
}

static struct mk_acl_clause issuer(const struct mk_id *root)
{
    struct mk_acl_clause c = {.tag = mk_acl_clause_RecogniseIssuer};

    c.u.recognise_issuer.root = *root;
    return c;
}

/* --- OPEN, PeerList, readers ---------------------------------------------------------- */

static void test_open(void **state)
{
    struct scene *s = *state;

    admitted(s, MK_SCOPE_COMMITTEE, UINT64_MAX);
    admitted(s, MK_SCOPE_WRITE, UINT64_MAX);
    admitted(s, MK_SCOPE_READ, UINT64_MAX);
}

static void test_peer_list(void **state)
{
    struct scene *s = *state;
    struct mk_peer listed[2] = {s->peers[0], s->bearer_key.peer};
    struct mk_acl_clause c = {.tag = mk_acl_clause_PeerList};

    c.u.peer_list.peers.v = listed;
    c.u.peer_list.peers.n = 2;
    clause(s, c);
    admitted(s, MK_SCOPE_WRITE, UINT64_MAX);
    s->clauses[0].u.peer_list.peers.n = 1;
    refused(s, 0, "PeerList", "not listed");
}

static void test_readers_pass_unless_gated(void **state)
{
    struct scene *s = *state;

    clause(s, own_issuer());
    admitted(s, MK_SCOPE_READ, UINT64_MAX);
    judge_at(s, MK_SCOPE_COMMITTEE, NOW_MS);
    refused_now(s, 0, "RecogniseOwnIssuer", "no ticket");
    clause(s, (struct mk_acl_clause){.tag = mk_acl_clause_GateReaders});
    judge_at(s, MK_SCOPE_READ, NOW_MS);
    refused_now(s, 0, "RecogniseOwnIssuer", "no ticket");
}

static void test_every_clause_must_admit(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);
    struct mk_acl_clause list = {.tag = mk_acl_clause_PeerList};

    list.u.peer_list.peers.v = s->peers;
    list.u.peer_list.peers.n = 3;
    clause(s, own_issuer());
    clause(s, list);
    issue(s, &c, (struct forge){0});
    refused(s, 1, "PeerList", "not listed");
}

static void test_clauses_without_evaluator(void **state)
{
    static const struct {
        uint32_t tag;
        const char *name;
    } rows[] = {
        {mk_acl_clause_ComputeModulePin, "ComputeModulePin"},
        {mk_acl_clause_RequesterAcl, "RequesterAcl"},
        {mk_acl_clause_OwnComputeModule, "OwnComputeModule"},
        {mk_acl_clause_OwnRequesterAcl, "OwnRequesterAcl"},
    };
    struct scene *s = *state;

    s->acl.clauses.n = 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s->clauses[0] = (struct mk_acl_clause){.tag = rows[i].tag};
        refused(s, 0, rows[i].name, "no evaluator is configured in this build");
    }
    s->clauses[0] = (struct mk_acl_clause){.tag = 99};
    refused(s, 0, "unknown clause", "does not know");
}

/* --- cards of other organisms -------------------------------------------------------------- */

struct cards {
    struct mk_standing standing;
    int rv;
    struct mk_buf pc;
};

static int cards_card(struct mk_standing *base, const struct mk_id *organism, enum mk_card kind,
                      const struct mk_peer *peer, struct mk_bytes *ret, struct mk_fault *reterr)
{
    struct cards *c = mk_container_of(base, struct cards, standing);

    (void)kind;
    (void)peer;
    assert_int_equal(organism->b[0], 9);
    *ret = mk_buf_bytes(&c->pc);
    return c->rv == 0 ? 0 : mk_fault(reterr, c->rv, "as the test says");
}

static void show_score(struct cards *c, uint16_t bps, uint64_t until)
{
    struct mk_score score = {bps, until};

    c->rv = 0;
    mk_buf_clear(&c->pc);
    mk_encode(&c->pc, &mk_score_type, &score);
}

static void test_reputation(void **state)
{
    struct scene *s = *state;
    struct cards c = {.standing = {.card = cards_card}, .rv = MK_ENOTFOUND};
    struct mk_acl_clause floor = {.tag = mk_acl_clause_ReputationFloor,
                                  .u.reputation_floor = {{{9}}, 5500}};

    clause(s, floor);
    refused(s, 0, "ReputationFloor", "follows no organism");
    s->gate.standing = &c.standing;
    refused(s, 0, "ReputationFloor", "has no card");
    assert_false(s->verdict.pending);
    c.rv = MK_EUNREACHABLE;
    refused(s, 0, "ReputationFloor", "as the test says");
    assert_true(s->verdict.pending);
    c.rv = MK_EREFUSED;
    refused(s, 0, "ReputationFloor", "as the test says");
    assert_false(s->verdict.pending);
    show_score(&c, 5499, NOW_MS + 1);
    refused(s, 0, "ReputationFloor", "5499 basis points, 5500 are asked");
    assert_int_equal(s->verdict.again_ms, NOW_MS + MK_STANDING_AGAIN_MS); /* it may rise */
    show_score(&c, 9000, NOW_MS);
    refused(s, 0, "ReputationFloor", "card there ended at");
    mk_buf_put_u8(&c.pc, 0);
    refused(s, 0, "ReputationFloor", "malformed");
    show_score(&c, 5500, NOW_MS + 1);
    admitted(s, MK_SCOPE_WRITE, NOW_MS + 1);
    show_score(&c, 5500, NOW_MS + 3600000);
    admitted(s, MK_SCOPE_WRITE, NOW_MS + MK_STANDING_AGAIN_MS);
    mk_buf_done(&c.pc);
}

static void test_settlement(void **state)
{
    struct scene *s = *state;
    struct cards c = {.standing = {.card = cards_card}};
    struct mk_settlement settlement = {.valid_until_ms = NOW_MS + 5};
    struct mk_acl_clause settled = {.tag = mk_acl_clause_MarketSettlement,
                                    .u.market_settlement = {{{9}}}};

    clause(s, settled);
    s->gate.standing = &c.standing;
    mk_encode(&c.pc, &mk_settlement_type, &settlement);
    refused(s, 0, "MarketSettlement", "names no evidence");
    settlement.evidence.b[0] = 1;
    mk_buf_clear(&c.pc);
    mk_encode(&c.pc, &mk_settlement_type, &settlement);
    admitted(s, MK_SCOPE_WRITE, NOW_MS + 5);
    settlement.valid_until_ms = NOW_MS - 1;
    mk_buf_clear(&c.pc);
    mk_encode(&c.pc, &mk_settlement_type, &settlement);
    refused(s, 0, "MarketSettlement", "ended at");
    mk_buf_done(&c.pc);
}

/* --- tickets: admitted ------------------------------------------------------------------ */

static void test_ticket_admits(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    clause(s, issuer(&s->root));
    issue(s, &c, (struct forge){0});
    admitted(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000);
    admitted(s, MK_SCOPE_COMMITTEE, (NOW_S + HOUR) * 1000);
}

static void test_longest_ticket_counts(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    issue(s, &c, (struct forge){0});
    c.exp += 5 * HOUR;
    issue(s, &c, (struct forge){0});
    c.exp -= 2 * HOUR;
    issue(s, &c, (struct forge){.n_shares = 3});
    admitted(s, MK_SCOPE_WRITE, (NOW_S + 6 * HOUR) * 1000);
}

static void test_one_good_ticket_among_bad(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    show(s, MK_BYTES("junk", 4));
    issue(s, &c, (struct forge){.flip = true});
    issue(s, &c, (struct forge){0});
    issue(s, &c, (struct forge){.class = &s->other_root});
    admitted(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000);
}

static void test_build_and_check(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s), back;
    struct mk_buf claims = {0}, ticket = {0};
    struct mk_peer_signature shares[3];

    mk_claims_format(&c, &claims);
    for (int i = 0; i < 3; i++) { /* given in any order */
        shares[2 - i].peer = s->peers[i];
        mk_ticket_sign(&s->signers[i], &s->root, 1, mk_buf_bytes(&claims),
                       &shares[2 - i].signature);
    }
    assert_int_equal(mk_ticket_build(&ticket, &s->root, 1, mk_buf_bytes(&claims), shares, 3, NULL),
                     0);
    assert_int_equal(mk_ticket_check(&back, mk_buf_bytes(&ticket), s->gate.issuers, &s->root,
                                     &s->component, &s->bearer_key.peer, MK_SCOPE_WRITE, NOW_MS,
                                     NULL),
                     0);
    assert_memory_equal(back.jti, c.jti, 16);
    shares[1] = shares[0];
    assert_int_equal(mk_ticket_build(&ticket, &s->root, 1, mk_buf_bytes(&claims), shares, 2, NULL),
                     MK_EINVALID);
    assert_int_equal(mk_ticket_build(&ticket, &s->root, 1, mk_buf_bytes(&claims), shares, 0, NULL),
                     MK_EINVALID);
    mk_buf_done(&claims);
    mk_buf_done(&ticket);
}

/* --- tickets: refused, each for its own reason ---------------------------------------------- */

static void refused_ticket(void **state, struct mk_claims c, struct forge f, const char *why)
{
    struct scene *s = *state;

    if (s->acl.clauses.n == 0)
        clause(s, own_issuer());
    for (size_t i = 0; i < s->n_tickets; i++)
        mk_buf_done(&s->tickets[i]);
    s->n_tickets = 0;
    issue(s, &c, f);
    refused(s, 0, "RecogniseOwnIssuer", why);
}

static void test_refused_signatures(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    refused_ticket(state, c, (struct forge){.n_shares = 1}, "1 signatures are no majority");
    refused_ticket(state, c, (struct forge){.flip = true}, "does not verify");
    refused_ticket(state, c, (struct forge){.with = &s->stranger}, "not of the roster");
    refused_ticket(state, c, (struct forge){.with = &s->signers[0]}, "");
    refused_ticket(state, c, (struct forge){.reversed = true}, "");
    refused_ticket(state, c, (struct forge){.signed_root = &s->other_root}, "does not verify");
}

static void test_refused_epochs(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);
    struct mk_roster second = s->roster;

    refused_ticket(state, c, (struct forge){.epoch = 2}, "issuer unknown");
    second.epoch = 2;
    second.peers.n = 1;
    assert_int_equal(mk_issuer_book_add(s->book, &s->root, &second, NULL), 0);
    refused_ticket(state, c, (struct forge){.epoch = 2, .signed_epoch = 1, .n_shares = 1},
                   "does not verify");
    refused_ticket(state, c, (struct forge){.epoch = 2}, "not of the roster");
}

static void test_refused_claims(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s), d = c;

    d.iss = s->other_root;
    refused_ticket(state, d, (struct forge){0}, "iss is");
    d = c;
    d.aud = s->root;
    refused_ticket(state, d, (struct forge){0}, "another component");
    d = c;
    d.sub = s->stranger.peer;
    refused_ticket(state, d, (struct forge){0}, "another peer");
    d = c;
    d.write = false;
    refused_ticket(state, d, (struct forge){0}, "does not allow to write");
    refused_ticket(state, c, (struct forge){.claims = "{}"}, "iss is missing");
}

static void test_refused_scope_of_a_reader(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, (struct mk_acl_clause){.tag = mk_acl_clause_GateReaders});
    clause(s, own_issuer());
    c.read = false;
    issue(s, &c, (struct forge){0});
    judge_at(s, MK_SCOPE_READ, NOW_MS);
    refused_now(s, 1, "RecogniseOwnIssuer", "does not allow to read");
    c.read = true;
    c.write = false;
    issue(s, &c, (struct forge){0});
    admitted(s, MK_SCOPE_READ, (NOW_S + HOUR) * 1000);
}

static void test_refused_times(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    issue(s, &c, (struct forge){0});
    judge_at(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000 - 1);
    assert_true(s->verdict.admitted);
    judge_at(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000); /* at expires_ms itself: no skew */
    refused_now(s, 0, "RecogniseOwnIssuer", "ticket expired at 2027-01-15T09:00:00Z");
    assert_true(s->verdict.again_ms == UINT64_MAX); /* time will not heal it */
    judge_at(s, MK_SCOPE_WRITE, (NOW_S - HOUR) * 1000 - 30000);
    assert_true(s->verdict.admitted);
    judge_at(s, MK_SCOPE_WRITE, (NOW_S - HOUR) * 1000 - 30001);
    refused_now(s, 0, "RecogniseOwnIssuer", "not valid before 2027-01-15T07:00:00Z");
    assert_int_equal(s->verdict.again_ms, (NOW_S - HOUR) * 1000 - 30000);
}

static void test_refused_foreign_class(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    issue(s, &c, (struct forge){.class = &s->other_root});
    refused(s, 0, "RecogniseOwnIssuer",
            "tickets of an earlier issuer end when the issuer is rotated");
    issue(s, &c, (struct forge){.flip = true}); /* the right class: its reason is told */
    refused(s, 0, "RecogniseOwnIssuer", "does not verify");
    s->gate.own_issuer = MK_ZERO_ID;
    refused(s, 0, "RecogniseOwnIssuer", "not started for a coalition");
}

static void test_refused_sizes(void **state)
{
    struct scene *s = *state;
    uint8_t *huge = mk_alloc(MK_TICKET_MAX + 1);

    clause(s, own_issuer());
    memcpy(huge, s->root.b, 32);
    show(s, MK_BYTES(huge, MK_TICKET_MAX + 1));
    refused(s, 0, "RecogniseOwnIssuer", "longer than");
    mk_free(huge);
    while (s->n_tickets <= MK_TICKETS_MAX)
        show(s, MK_BYTES("x", 1));
    refused(s, 0, "RecogniseOwnIssuer", "at most 8");
}

/* Every ticket that differs from a good one in any one byte is refused. */
static void test_every_changed_byte(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, own_issuer());
    issue(s, &c, (struct forge){0});
    for (size_t i = 0; i < s->tickets[0].n; i++) {
        s->tickets[0].p[i] ^= 0x04;
        judge_at(s, MK_SCOPE_WRITE, NOW_MS);
        assert_false(s->verdict.admitted);
        s->tickets[0].p[i] ^= 0x04;
    }
    admitted(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000);
    for (size_t n = 0; n < s->tickets[0].n; n++) {
        s->shown[0].n = n;
        judge_at(s, MK_SCOPE_WRITE, NOW_MS);
        assert_false(s->verdict.admitted);
    }
}

/* --- other issuers ------------------------------------------------------------------------- */

static void test_recognise_issuer(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    clause(s, issuer(&s->other_root));
    c.iss = s->other_root;
    issue(s, &c, (struct forge){.class = &s->other_root});
    refused(s, 0, "RecogniseIssuer", "issuer unknown");
    assert_int_equal(mk_issuer_book_add(s->book, &s->other_root, &s->roster, NULL), 0);
    admitted(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000);
    s->gate.issuers = NULL;
    refused(s, 0, "RecogniseIssuer", "issuer unknown");
}

static void test_recognise_any_issuer(void **state)
{
    struct scene *s = *state;
    struct mk_id roots[2] = {s->other_root, s->root};
    struct mk_acl_clause any = {.tag = mk_acl_clause_RecogniseAnyIssuer};
    struct mk_claims c = claims_for(s);

    any.u.recognise_any_issuer.roots.v = roots;
    any.u.recognise_any_issuer.roots.n = 2;
    clause(s, any);
    refused(s, 0, "RecogniseAnyIssuer", "no ticket");
    issue(s, &c, (struct forge){0});
    admitted(s, MK_SCOPE_WRITE, (NOW_S + HOUR) * 1000);
    s->clauses[0].u.recognise_any_issuer.roots.n = 1;
    refused(s, 0, "RecogniseAnyIssuer", "it is of issuer");
}

/* --- claims ---------------------------------------------------------------------------------- */

#define HEX32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX16 "00112233445566778899aabbccddeeff"
#define CLAIMS(aud, exp, iat, iss, jti, nbf, scope, sub)                            \
    "{\"aud\":" aud ",\"exp\":" exp ",\"iat\":" iat ",\"iss\":" iss ",\"jti\":" jti \
    ",\"nbf\":" nbf ",\"scope\":" scope ",\"sub\":" sub "}"
#define Q(x) "\"" x "\""
#define GOOD CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32))

static void test_claims_text(void **state)
{
    struct mk_claims c;
    struct mk_buf out = {0};

    (void)state;
    assert_int_equal(mk_claims_parse(&c, MK_BYTES(GOOD, strlen(GOOD)), NULL), 0);
    assert_true(c.read && !c.write && c.exp == 200 && c.iat == 100 && c.nbf == 100);
    mk_claims_format(&c, &out);
    assert_int_equal(out.n, strlen(GOOD));
    assert_memory_equal(out.p, GOOD, out.n);
    mk_buf_done(&out);
}

static void test_claims_refused(void **state)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"", "not JSON"},
        {"[]", "not a JSON object"},
        {GOOD "x", "not JSON"},
        {"{\"aud\":1,\"aud\":2}", "duplicate"},
        {"{\"extra\":1}", "unknown key extra"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32) ",\"x\":0"),
         "unknown key x"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", Q("read"),
                Q(HEX32) ",\"\\u0061ud\":" Q(HEX32)),
         "duplicate"},
        {CLAIMS(Q("0x" HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "aud is not 64 hex digits"},
        {CLAIMS(Q(HEX32), "\"200\"", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "exp is not a whole number"},
        {CLAIMS(Q(HEX32), "200.0", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "exp is not a whole number"},
        {CLAIMS(Q(HEX32), "200", "-1", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "iat is out of range"},
        {CLAIMS(Q(HEX32), "253402300800", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "exp is out of range"},
        {CLAIMS(Q(HEX32), "99999999999999999999", "100", Q(HEX32), Q(HEX16), "100", Q("read"),
                Q(HEX32)),
         "not JSON"},
        {CLAIMS(Q(HEX32), "100", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "exp is not after"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "200", Q("read"), Q(HEX32)),
         "exp is not after"},
        {CLAIMS(Q(HEX32), "7776101", "100", Q(HEX32), Q(HEX16), "100", Q("read"), Q(HEX32)),
         "more than 90 days"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX32), "100", Q("read"), Q(HEX32)),
         "jti is not 32 hex digits"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", Q("write read"), Q(HEX32)),
         "scope is not"},
        {CLAIMS(Q(HEX32), "200", "100", Q(HEX32), Q(HEX16), "100", "[\"read\"]", Q(HEX32)),
         "scope is not a string"},
        {"{\"sub\":\"\\u0000\"}", "not JSON"},
    };
    struct mk_fault fault;
    struct mk_claims c;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fault.text[0] = '\0';
        assert_int_equal(mk_claims_parse(&c, MK_BYTES(rows[i].json, strlen(rows[i].json)), &fault),
                         MK_EMALFORMED);
        if (strstr(fault.text, rows[i].why) == NULL)
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, fault.text, rows[i].why);
    }
}

static void test_claims_each_key_is_required(void **state)
{
    static const char *const keys[] = {"aud", "exp", "iat", "iss", "jti", "nbf", "scope", "sub"};
    char json[sizeof GOOD + 8], why[32], find[16], *at, *end;
    struct mk_fault fault;
    struct mk_claims c;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        memcpy(json, GOOD, sizeof GOOD);
        snprintf(find, sizeof find, "\"%s\":", keys[i]);
        at = strstr(json, find);
        assert_non_null(at);
        end = i < 7 ? strchr(at, ',') + 1 : strchr(at, '}');
        if (i == 7)
            at--; /* the comma before */
        memmove(at, end, strlen(end) + 1);
        assert_int_equal(mk_claims_parse(&c, MK_BYTES(json, strlen(json)), &fault), MK_EMALFORMED);
        snprintf(why, sizeof why, "%s is missing", keys[i]);
        assert_string_equal(fault.text, why);
    }
}

static void test_90_days_exactly(void **state)
{
    static const char json[] =
        CLAIMS(Q(HEX32), "7776100", "100", Q(HEX32), Q(HEX16), "100", Q("read write"), Q(HEX32));
    struct mk_claims c;

    (void)state;
    assert_int_equal(mk_claims_parse(&c, MK_BYTES(json, sizeof json - 1), NULL), 0);
    assert_true(c.read && c.write);
}

/* --- JWT ---------------------------------------------------------------------------------------
 */

static void show_jwt(struct scene *s, const char *payload)
{
    struct mk_buf token = {0}, out = {0};
    struct mk_ticket t = {.class = mk_id_of_text(MK_STR("jwt"))};
    struct mk_signature sig;

    mk_base64url_put(&token, MK_BYTES("{\"alg\":\"EdDSA\"}", 15));
    mk_buf_put_str(&token, ".");
    mk_base64url_put(&token, MK_BYTES(payload, strlen(payload)));
    mk_sign(&s->jwt_key, mk_buf_bytes(&token), &sig);
    mk_buf_put_str(&token, ".");
    mk_base64url_put(&token, MK_BYTES(sig.b, sizeof sig.b));
    t.data = mk_buf_bytes(&token);
    mk_encode(&out, &mk_ticket_type, &t);
    show(s, mk_buf_bytes(&out));
    mk_buf_done(&token);
    mk_buf_done(&out);
}

/* %s in order: aud, sub. */
static void show_jwt_of(struct scene *s, const char *format)
{
    char aud[MK_ID_HEX], sub[MK_ID_HEX];
    struct mk_buf payload = {0};
    const char *values[] = {mk_id_hex(&s->component, aud), mk_peer_hex(&s->bearer_key.peer, sub)};

    for (const char *p = format; *p != '\0'; p++) {
        if (*p == '@')
            mk_buf_put_str(&payload, values[0]);
        else if (*p == '#')
            mk_buf_put_str(&payload, values[1]);
        else
            mk_buf_put_u8(&payload, (uint8_t)*p);
    }
    mk_buf_put_u8(&payload, 0);
    show_jwt(s, (char *)payload.p);
    mk_buf_done(&payload);
}

static void jwt_clause(struct scene *s)
{
    struct mk_acl_clause c = {.tag = mk_acl_clause_RequireJwt};

    c.u.require_jwt.issuer = MK_STR("https://id.example");
    c.u.require_jwt.algorithm = MK_STR("EdDSA");
    c.u.require_jwt.key = MK_BYTES(s->jwt_key.peer.b, 32);
    clause(s, c);
}

#define JWT_ISS "\"iss\":\"https://id.example\""
#define JWT_GOOD "{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600}"

static void test_jwt_admits(void **state)
{
    struct scene *s = *state;

    jwt_clause(s);
    show_jwt_of(s, JWT_GOOD);
    admitted(s, MK_SCOPE_WRITE, UINT64_C(1800003600000));
    show_jwt_of(s, "{" JWT_ISS ",\"aud\":[\"x\",\"@\"],\"sub\":\"#\",\"exp\":1800007200,\"nbf\":"
                   "1800000030,\"iat\":1,\"groups\":[\"any\"]}");
    admitted(s, MK_SCOPE_WRITE, UINT64_C(1800007200000));
}

static void test_jwt_refused(void **state)
{
    static const struct {
        const char *payload, *why;
    } rows[] = {
        {"no json", "not JSON"},
        {"[1]", "not a JSON object"},
        {"{" JWT_ISS "," JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600}", "duplicate"},
        {"{\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600}", "iss is missing"},
        {"{\"iss\":\"https://id.example/\",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600}",
         "another issuer"},
        {"{" JWT_ISS ",\"sub\":\"#\",\"exp\":1800003600}", "aud is missing"},
        {"{" JWT_ISS ",\"aud\":\"#\",\"sub\":\"#\",\"exp\":1800003600}", "another component"},
        {"{" JWT_ISS ",\"aud\":[],\"sub\":\"#\",\"exp\":1800003600}", "another component"},
        {"{" JWT_ISS ",\"aud\":{\"@\":1},\"sub\":\"#\",\"exp\":1800003600}", "another component"},
        {"{" JWT_ISS ",\"aud\":[\"@\",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],\"sub\":\"#\"}",
         "more than 16"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"exp\":1800003600}", "sub is missing"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"@\",\"exp\":1800003600}", "another peer"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\"}", "exp is missing"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800000000}", "token expired at"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1.9e9}", "exp is not a whole number"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600,\"nbf\":1800000031}",
         "not valid before"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600,\"nbf\":\"0\"}",
         "nbf is not a whole number"},
        {"{" JWT_ISS ",\"aud\":\"@\",\"sub\":\"#\",\"exp\":1800003600,\"iat\":-4}",
         "iat is out of range"},
    };
    struct scene *s = *state;

    jwt_clause(s);
    refused(s, 0, "RequireJwt", "no ticket");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t j = 0; j < s->n_tickets; j++)
            mk_buf_done(&s->tickets[j]);
        s->n_tickets = 0;
        show_jwt_of(s, rows[i].payload);
        refused(s, 0, "RequireJwt", rows[i].why);
    }
}

static void test_jwt_refused_keys(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);

    jwt_clause(s);
    issue(s, &c, (struct forge){0});
    refused(s, 0, "RequireJwt", "shows no JWT");
    show_jwt_of(s, JWT_GOOD);
    s->clauses[0].u.require_jwt.key = MK_BYTES(s->stranger.peer.b, 32);
    refused(s, 0, "RequireJwt", "signature does not verify");
    s->clauses[0].u.require_jwt.key.n = 31;
    refused(s, 0, "RequireJwt", "is none for EdDSA");
    s->clauses[0].u.require_jwt.algorithm = MK_STR("HS256");
    refused(s, 0, "RequireJwt", "algorithm is not supported");
    s->clauses[0].u.require_jwt.algorithm = MK_STR("ES256");
    s->clauses[0].u.require_jwt.key = MK_BYTES(
        "\x03\x7f\xcd\xce\x27\x70\xf6\xc4\x5d\x41\x83\xcb\xee\x6f\xdb\x4b\x7b\x58\x07\x33\x35\x7b"
        "\xe9\xef\x13\xba\xcf\x6e\x3c\x7b\xd1\x54\x45",
        33);
    refused(s, 0, "RequireJwt", "alg is not ES256");
}

/* --- revocation ----------------------------------------------------------------------------------
 */

static int revoke(struct scene *s, uint64_t version, const struct mk_b16 *jti, size_t n,
                  unsigned n_shares, uint64_t now_ms)
{
    struct mk_ticket_revocations list = {
        .root = s->root, .epoch = 1, .version = version, .jti = {jti, n}};
    struct mk_peer_signature shares[3];
    struct mk_buf body = {0}, out = {0};
    int rv;

    mk_encode(&body, &mk_ticket_revocations_type, &list);
    for (unsigned i = 0; i < n_shares; i++) {
        shares[i].peer = s->peers[i];
        mk_revocations_sign(&s->signers[i], &s->root, 1, mk_buf_bytes(&body), &shares[i].signature);
    }
    assert_int_equal(mk_revocations_build(&out, mk_buf_bytes(&body), shares, n_shares, NULL), 0);
    rv = mk_issuer_book_revoke(s->book, mk_buf_bytes(&out), now_ms, NULL);
    mk_buf_done(&body);
    mk_buf_done(&out);
    return rv;
}

static void test_revocation(void **state)
{
    struct scene *s = *state;
    struct mk_claims c = claims_for(s);
    struct mk_b16 jti[2] = {{{1, 2, 3}}, {{9}}};
    uint64_t day = UINT64_C(86400000), exp_ms;

    c.exp = NOW_S + 72 * HOUR;
    exp_ms = c.exp * 1000;
    clause(s, own_issuer());
    issue(s, &c, (struct forge){0});
    assert_false(mk_issuer_book_is_fresh(s->book, &s->root, NOW_MS));
    assert_int_equal(revoke(s, NOW_MS, jti + 1, 1, 2, NOW_MS), 0); /* another ticket's */
    admitted(s, MK_SCOPE_WRITE, exp_ms);
    assert_int_equal(revoke(s, NOW_MS + 1, jti, 2, 1, NOW_MS), MK_ESIGNATURE); /* no majority */
    assert_int_equal(revoke(s, NOW_MS + 1, jti, 2, 2, NOW_MS), 0);
    refused(s, 0, "RecogniseOwnIssuer", "revoked");
    assert_true(mk_issuer_book_is_fresh(s->book, &s->root, NOW_MS + day));
    /* a day later it counts no more, as the specification has it */
    judge_at(s, MK_SCOPE_WRITE, NOW_MS + 1 + day);
    assert_true(s->verdict.admitted);
    assert_false(mk_issuer_book_is_fresh(s->book, &s->root, NOW_MS + 1 + day));
}

static void test_revocation_versions(void **state)
{
    struct scene *s = *state;
    struct mk_b16 jti[1] = {{{1, 2, 3}}};
    uint64_t day = UINT64_C(86400000);

    assert_int_equal(revoke(s, NOW_MS + 30001, jti, 1, 2, NOW_MS), MK_EREFUSED);
    assert_int_equal(revoke(s, NOW_MS - day, jti, 1, 2, NOW_MS), MK_EREFUSED);
    assert_int_equal(revoke(s, NOW_MS, jti, 1, 2, NOW_MS), 0);
    assert_int_equal(revoke(s, NOW_MS, jti, 1, 3, NOW_MS), MK_EEXISTS);
    assert_int_equal(revoke(s, NOW_MS - 1, jti, 0, 2, NOW_MS), MK_EEXISTS);
    assert_int_equal(revoke(s, NOW_MS, jti, 0, 2, NOW_MS), MK_ECONFLICT);
    s->root = s->other_root;
    assert_int_equal(revoke(s, NOW_MS + 5, jti, 1, 2, NOW_MS), MK_EREFUSED);
}

static void test_revocation_fits(void **state)
{
    struct scene *s = *state;
    struct mk_b16 *jti = mk_alloc(MK_REVOCATIONS_MAX * sizeof *jti);

    for (size_t i = 0; i < MK_REVOCATIONS_MAX; i++)
        jti[i] = (struct mk_b16){{(uint8_t)(i >> 8), (uint8_t)i}};
    assert_int_equal(revoke(s, NOW_MS, jti, 60000, 2, NOW_MS), 0);
    mk_free(jti);
}

static void test_book_of_rosters(void **state)
{
    struct scene *s = *state;
    struct mk_issuers *view = mk_issuer_book_issuers(s->book);
    struct mk_roster r = s->roster;

    assert_int_equal(mk_issuer_book_add(s->book, &s->root, &r, NULL), 0); /* again */
    r.peers.n = 2;
    assert_int_equal(mk_issuer_book_add(s->book, &s->root, &r, NULL), MK_ECONFLICT);
    r.peers.n = 0;
    assert_int_equal(mk_issuer_book_add(s->book, &s->other_root, &r, NULL), MK_EINVALID);
    r.peers.n = 3;
    for (r.epoch = 2; r.epoch <= MK_ISSUER_EPOCHS_MAX + 1; r.epoch++)
        assert_int_equal(mk_issuer_book_add(s->book, &s->root, &r, NULL), 0);
    assert_null(view->roster(view, &s->root, 1)); /* the oldest went */
    assert_non_null(view->roster(view, &s->root, 2));
    r.epoch = 1;
    assert_int_equal(mk_issuer_book_add(s->book, &s->root, &r, NULL), MK_ELIMIT);
    for (uint8_t i = 0; i < 255; i++)
        assert_int_equal(mk_issuer_book_add(s->book, &(struct mk_id){{i, 1}}, &r, NULL), 0);
    assert_int_equal(mk_issuer_book_add(s->book, &s->other_root, &r, NULL), MK_ELIMIT);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_open),
        SCENE(test_peer_list),
        SCENE(test_readers_pass_unless_gated),
        SCENE(test_every_clause_must_admit),
        SCENE(test_clauses_without_evaluator),
        SCENE(test_reputation),
        SCENE(test_settlement),
        SCENE(test_ticket_admits),
        SCENE(test_longest_ticket_counts),
        SCENE(test_one_good_ticket_among_bad),
        SCENE(test_build_and_check),
        SCENE(test_refused_signatures),
        SCENE(test_refused_epochs),
        SCENE(test_refused_claims),
        SCENE(test_refused_scope_of_a_reader),
        SCENE(test_refused_times),
        SCENE(test_refused_foreign_class),
        SCENE(test_refused_sizes),
        SCENE(test_every_changed_byte),
        SCENE(test_recognise_issuer),
        SCENE(test_recognise_any_issuer),
        cmocka_unit_test(test_claims_text),
        cmocka_unit_test(test_claims_refused),
        cmocka_unit_test(test_claims_each_key_is_required),
        cmocka_unit_test(test_90_days_exactly),
        SCENE(test_jwt_admits),
        SCENE(test_jwt_refused),
        SCENE(test_jwt_refused_keys),
        SCENE(test_revocation),
        SCENE(test_revocation_versions),
        SCENE(test_revocation_fits),
        SCENE(test_book_of_rosters),
    };

    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
