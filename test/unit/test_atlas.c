/* test_atlas.c - the rules of Atlas (spec/services.md), each applied from a log through the group's
 * pure state; and a price feed's lines and machine likewise. */
#include "unit.h"

#include "atlas/atlas.h"
#include "group/state.h"
#include "price-feed/price_feed.h"

#include <stdio.h>

struct bed {
    struct mk_key keys[3], operator_, other;
    struct mk_peer peers[3];
    struct mk_roster roster;
    struct mk_state *state;
    struct coa_atlas_member members[2];
    uint64_t index, number;
    struct mk_outcome outcome;
    struct mk_arena arena;
};

static void make_key(struct mk_key *k, uint8_t tag)
{
    uint8_t seed[32] = {tag};

    mk_key_from_seed(k, seed);
}

/** Applies a logged entry; the outcome of a command is in b->outcome. */
static void apply(struct bed *b, const struct mk_logged *l)
{
    struct mk_applied applied;
    struct mk_buf entry = {0};

    mk_buf_put_u8(&entry, 0);
    mk_encode(&entry, &mk_logged_type, l);
    mk_state_apply(b->state, ++b->index, mk_buf_bytes(&entry), &applied);
    if (l->tag == mk_logged_Execute)
        assert_int_equal(
            mk_decode(&b->outcome, &mk_outcome_type,
                      MK_BYTES(mk_arena_copy(&b->arena, applied.outcome.p, applied.outcome.n),
                               applied.outcome.n),
                      &b->arena, NULL),
            0);
    mk_buf_done(&entry);
}

static void execute(struct bed *b, const struct mk_peer *sender, const struct mk_type *t,
                    const void *command)
{
    struct mk_buf c = {0};
    struct mk_logged l = {.tag = mk_logged_Execute};

    mk_encode(&c, t, command);
    l.u.execute = (struct mk_execute){
        .sender = *sender, .session = 7, .number = ++b->number, .command = mk_buf_bytes(&c)};
    apply(b, &l);
    mk_buf_done(&c);
}

static void found(struct bed *b, struct mk_machine *machine, bool with_operator)
{
    const uint64_t raft_ids[3] = {1, 2, 3};
    struct mk_member_operator ops[1] = {{b->members[0].stable_id, b->operator_.peer}};
    struct mk_logged genesis = {.tag = mk_logged_Genesis};

    b->state =
        mk_state_new(&(struct mk_state_options){.deployment = b->roster.deployment,
                                                .stable_id = mk_id_of_text(MK_STR("atlas.stable")),
                                                .roster = &b->roster,
                                                .machine = machine});
    genesis.u.genesis = (struct mk_founding){
        .deployment = b->roster.deployment, .roster = b->roster, .raft_ids = {raft_ids, 3}};
    if (with_operator)
        genesis.u.genesis.operators = (struct mk_member_operators){ops, 1};
    mk_state_skip(b->state, ++b->index);
    apply(b, &genesis);
}

static void roster_init(struct bed *b)
{
    for (int i = 0; i < 3; i++)
        make_key(&b->keys[i], (uint8_t)(i + 1));
    make_key(&b->operator_, 10);
    make_key(&b->other, 11);
    for (int i = 0; i < 3; i++)
        b->peers[i] = b->keys[i].peer;
    for (int i = 0; i < 3; i++) {
        for (int k = i + 1; k < 3; k++) {
            if (mk_peer_cmp(&b->peers[k], &b->peers[i]) < 0) {
                struct mk_peer p = b->peers[i];

                b->peers[i] = b->peers[k];
                b->peers[k] = p;
            }
        }
    }
    b->roster = (struct mk_roster){
        .deployment = mk_id_of_text(MK_STR("deployment")), .epoch = 1, .peers = {b->peers, 3}};
}

static int setup(void **state)
{
    struct bed *b = mk_alloc(sizeof *b);
    struct coa_atlas_content content = {.members = {b->members, 2}};
    struct mk_machine *machine;
    struct mk_buf bytes = {0};

    roster_init(b);
    b->members[0] =
        (struct coa_atlas_member){mk_id_of_text(MK_STR("lattice")), 0, MK_STR("lattice")};
    b->members[1] = (struct coa_atlas_member){mk_id_of_text(MK_STR("oracle")), 1, MK_STR("oracle")};
    mk_encode(&bytes, &coa_atlas_content_type, &content);
    assert_int_equal(atlas_machine_new(&machine, mk_buf_bytes(&bytes), NULL), 0);
    mk_buf_done(&bytes);
    found(b, machine, true);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;

    mk_state_free(b->state);
    mk_arena_done(&b->arena);
    mk_free(b);
    return 0;
}

static struct atlas_card card(struct bed *b, unsigned member, uint64_t version)
{
    return (struct atlas_card){.member_id = mk_member_id_of(&b->members[member].stable_id),
                               .stable_id = b->members[member].stable_id,
                               .kind = b->members[member].kind,
                               .role = b->members[member].role,
                               .version = version};
}

static void publish_as(struct bed *b, struct atlas_card c, const struct mk_key *by)
{
    struct atlas_command command = {.tag = atlas_command_Publish};

    atlas_card_sign(&c, &b->roster.deployment, by);
    command.u.publish = c;
    execute(b, &b->other.peer, &atlas_command_type, &command);
}

static void publish(struct bed *b, struct atlas_card c)
{
    publish_as(b, c, &b->operator_);
}

static void assert_refused_as(const struct bed *b, int code, const char *rule)
{
    char text[MK_RULE_MAX + 1];

    snprintf(text, sizeof text, "%.*s", (int)b->outcome.rule.n, b->outcome.rule.p);
    assert_int_equal(-(int)b->outcome.status, code);
    if (strstr(text, rule) == NULL)
        fail_msg("refused with \"%s\", not with \"%s\"", text, rule);
    assert_int_equal(b->outcome.commits.n, 0);
}

static void assert_refused(const struct bed *b, const char *rule)
{
    assert_refused_as(b, MK_EREFUSED, rule);
}

static void assert_accepted(const struct bed *b, size_t commits)
{
    if (b->outcome.status != 0)
        fail_msg("refused: %.*s", (int)b->outcome.rule.n, b->outcome.rule.p);
    assert_int_equal(b->outcome.commits.n, commits);
}

static void test_accepts(void **state)
{
    struct bed *b = *state;

    publish(b, card(b, 0, 1));
    assert_accepted(b, 1);
    publish(b, card(b, 0, 1)); /* byte for byte the stored one */
    assert_accepted(b, 0);
    publish(b, card(b, 0, 5));
    assert_accepted(b, 1);
    assert_int_equal(mk_surface_index(mk_state_surfaces(b->state), 0), 2);
}

static void test_versions(void **state)
{
    struct bed *b = *state;

    publish(b, card(b, 0, 0));
    assert_refused_as(b, MK_ESTALE, "version: 0 is not above");
    publish(b, card(b, 0, (1ull << 32) + 1));
    assert_refused(b, "more than 2^32");
    publish(b, card(b, 0, 1ull << 32));
    assert_accepted(b, 1);
    publish(b, card(b, 0, 3));
    assert_refused_as(b, MK_ESTALE, "version: 3 is not above");
}

static void test_catalogue(void **state)
{
    struct bed *b = *state;
    struct atlas_card c = card(b, 0, 1);

    c.stable_id = mk_id_of_text(MK_STR("stranger"));
    publish(b, c);
    assert_refused(b, "catalogue");
    c = card(b, 0, 1);
    c.kind = 1;
    publish(b, c);
    assert_refused(b, "kind and role");
    c = card(b, 0, 1);
    c.role = MK_STR("searcher");
    publish(b, c);
    assert_refused(b, "kind and role");
    c = card(b, 0, 1);
    c.member_id.b[0] ^= 1;
    publish(b, c);
    assert_refused(b, "member_id");
}

static void test_operators(void **state)
{
    struct bed *b = *state;
    struct atlas_set_operator s = {
        .member = b->members[0].stable_id, .operator= b->other.peer, .version = 1};
    struct atlas_command command = {.tag = atlas_command_SetOperator};
    struct atlas_card c = card(b, 0, 1);

    publish_as(b, c, &b->other);
    assert_refused(b, "operator: not this member's");
    publish(b, card(b, 1, 1)); /* the oracle was founded without one, and there is no default */
    assert_refused(b, "has none");

    atlas_set_operator_sign(&s, &b->roster.deployment, &b->other);
    command.u.set_operator = s;
    execute(b, &b->other.peer, &atlas_command_type, &command);
    assert_refused(b, "not by the operator before");
    s.version = 2;
    atlas_set_operator_sign(&s, &b->roster.deployment, &b->operator_);
    command.u.set_operator = s;
    execute(b, &b->other.peer, &atlas_command_type, &command);
    assert_refused(b, "version: must be 1");
    s.version = 1;
    atlas_set_operator_sign(&s, &b->roster.deployment, &b->operator_);
    command.u.set_operator = s;
    execute(b, &b->other.peer, &atlas_command_type, &command);
    assert_accepted(b, 0);
    publish(b, c);
    assert_refused(b, "operator: not this member's");
    publish_as(b, c, &b->other);
    assert_accepted(b, 1);
}

static void test_signature(void **state)
{
    struct bed *b = *state;
    struct atlas_command command = {.tag = atlas_command_Publish, .u.publish = card(b, 0, 1)};
    struct mk_id elsewhere = mk_id_of_text(MK_STR("another module"));

    atlas_card_sign(&command.u.publish, &elsewhere, &b->operator_);
    execute(b, &b->other.peer, &atlas_command_type, &command);
    assert_refused(b, "signature");
}

static void test_status(void **state)
{
    struct bed *b = *state;
    struct atlas_card c = card(b, 0, 1);

    c.successor_hint = (struct mk_opt_id){true, b->members[1].stable_id};
    publish(b, c);
    assert_refused(b, "successor_hint");
    c.status.tag = atlas_status_Retiring;
    publish(b, c);
    assert_accepted(b, 1);
    publish(b, card(b, 0, 2));
    assert_refused(b, "status: only moves forward");
}

static void test_garbage(void **state)
{
    struct bed *b = *state;
    struct mk_logged l = {.tag = mk_logged_Execute};

    l.u.execute = (struct mk_execute){.sender = b->other.peer,
                                      .session = 7,
                                      .number = ++b->number,
                                      .command = MK_BYTES("\xff\xff", 2)};
    apply(b, &l);
    assert_refused(b, "command:");
}

static void test_snapshot(void **state)
{
    struct bed *b = *state;
    struct mk_buf snapshot = {0};
    struct mk_id before, after;
    struct bed *again;

    publish(b, card(b, 0, 4));
    before = mk_state_hash(b->state);
    mk_state_snapshot(b->state, &snapshot);
    setup((void **)&again);
    assert_int_equal(mk_state_restore(again->state, mk_buf_bytes(&snapshot), NULL), 0);
    after = mk_state_hash(again->state);
    assert_memory_equal(after.b, before.b, sizeof before.b);
    again->index = b->index;
    again->number = b->number;
    publish(again, card(again, 0, 4));
    assert_accepted(again, 0);
    teardown((void **)&again);
    mk_buf_done(&snapshot);
}

/* --- the price feed --------------------------------------------------------------------------- */

static const struct coa_pair pairs[] = {{MK_STR_INIT("EUR"), MK_STR_INIT("USD"), 5},
                                        {MK_STR_INIT("JPY"), MK_STR_INIT("USD"), 0}};
static const struct coa_price_feed_content feed_content = {{pairs, 2}};

static int64_t parsed(const char *line)
{
    struct price_quote q;
    struct mk_fault fault = {{0}};

    if (price_feed_parse(&q, &feed_content, mk_str_of(line), &fault) != 0)
        fail_msg("%s: %s", line, fault.text);
    assert_int_equal(q.time_ms, 5);
    return (int64_t)q.mantissa;
}

static void refused(const char *line, const char *rule)
{
    struct price_quote q;
    struct mk_fault fault = {{0}};

    assert_int_equal(price_feed_parse(&q, &feed_content, mk_str_of(line), &fault), MK_EMALFORMED);
    if (strstr(fault.text, rule) == NULL)
        fail_msg("%s: \"%s\", not \"%s\"", line, fault.text, rule);
}

static void test_lines(void **state)
{
    (void)state;
    assert_int_equal(parsed("{\"pair\":\"EUR/USD\",\"price\":\"1.0842\",\"time_ms\":5}"), 108420);
    assert_int_equal(parsed("{\"pair\":\"EUR/USD\",\"price\":1.0842,\"time_ms\":5}"), 108420);
    assert_int_equal(parsed("{\"pair\":\"EUR/USD\",\"price\":1,\"time_ms\":5}"), 100000);
    assert_int_equal(parsed("{\"pair\":\"EUR/USD\",\"price\":1e-5,\"time_ms\":5}"), 1);
    assert_int_equal(parsed("{\"pair\":\"JPY/USD\",\"price\":\"7.000\",\"time_ms\":5}"), 7);
    refused("{\"pair\":\"EUR/USD\",\"price\":\"1.084201\",\"time_ms\":5}", "not rounded");
    refused("{\"pair\":\"USD/EUR\",\"price\":\"1\",\"time_ms\":5}", "not inverted");
    refused("{\"pair\":\"EUR/GBP\",\"price\":\"1\",\"time_ms\":5}", "none of this feed's");
    refused("{\"pair\":\"EURUSD\",\"price\":\"1\",\"time_ms\":5}", "base/quote");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"0.0\",\"time_ms\":5}", "above zero");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"-1\",\"time_ms\":5}", "plain decimal");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"1e\",\"time_ms\":5}", "exponent");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"1\",\"time_ms\":0}", "time_ms");
    refused("{\"pair\":\"EUR/USD\",\"price\":true,\"time_ms\":5}", "a number or a decimal");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"1\"}", "exactly the keys");
    refused("{\"pair\":\"EUR/USD\",\"price\":\"1\",\"time_ms\":5,\"x\":1}", "exactly the keys");
    refused("[1]", "not a JSON object");
    refused("nonsense", "not a JSON object");
}

static void test_decimals(void **state)
{
    char text[64];

    (void)state;
    price_decimal_format(&(struct price_decimal){108420, 5}, text);
    assert_string_equal(text, "1.08420");
    price_decimal_format(&(struct price_decimal){7, 5}, text);
    assert_string_equal(text, "0.00007");
    price_decimal_format(&(struct price_decimal){-12, 1}, text);
    assert_string_equal(text, "-1.2");
    price_decimal_format(&(struct price_decimal){0, 0}, text);
    assert_string_equal(text, "0");
}

static void test_ticks(void **state)
{
    struct bed *b = mk_alloc(sizeof *b);
    struct mk_id stable_id = mk_id_of_text(MK_STR("feed"));
    struct price_quote quotes[2] = {{0, 108420, 9}, {0, 108421, 10}};
    struct price_command command = {.tag = price_command_Quotes, .u.quotes = {quotes, 2}};
    struct mk_machine *machine;
    struct mk_buf content = {0};
    struct price_tick tick;
    struct mk_bytes item;

    (void)state;
    roster_init(b);
    mk_encode(&content, &coa_price_feed_content_type, &feed_content);
    assert_int_equal(price_feed_machine_new(&machine, mk_buf_bytes(&content), &stable_id, NULL), 0);
    found(b, machine, false);
    execute(b, &b->other.peer, &price_command_type, &command);
    assert_refused(b, "only a member of the feed's own committee");
    b->number = 0; /* another sender's session begins */
    execute(b, &b->peers[0], &price_command_type, &command);
    assert_accepted(b, 2);
    assert_int_equal(mk_stream_get(mk_state_surfaces(b->state), 0, 2, &item), 0);
    assert_int_equal(mk_decode(&tick, &price_tick_type, item, &b->arena, NULL), 0);
    assert_int_equal(tick.seq, 2);
    assert_int_equal((int64_t)tick.price.mantissa, 108421);
    assert_true(tick.stale);
    assert_int_equal(tick.source_count, 1);
    quotes[0].pair = 2;
    execute(b, &b->peers[0], &price_command_type, &command);
    assert_refused(b, "pair: number 2");
    quotes[0].pair = 1;
    quotes[0].mantissa = 0;
    execute(b, &b->peers[0], &price_command_type, &command);
    assert_refused(b, "price: must be above zero");
    mk_buf_done(&content);
    teardown((void **)&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_catalogue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operators, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_ticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
