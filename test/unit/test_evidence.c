/* test_evidence.c - evidence.c and evidence_machine.c: what resolves a pointer, what does not, and
 * that every replica and every replay comes to the same decision. */
#include "unit.h"

#include "citer.h"
#include "collections/certificate.h"
#include "collections/surface.h"
#include "group/state.h"
#include "oracle/oracle.h"

#include <stdio.h>
#include <stdlib.h>

#define PEERS 3u

static const struct mk_surface_spec upstream_spec = {
    .kind = MK_SURFACE_STREAM, .name = "numbers", .value = &mk_u64_type};
static const struct mk_evidence_surface upstream_surface = {&upstream_spec, NULL};

/** A committee whose commits are cited, all its keys in our hand; and a group that cites. */
struct bed {
    struct mk_key keys[PEERS + 1], operator_;
    struct mk_peer peers[PEERS + 1];
    struct mk_id stable_id, deployment;
    struct mk_roster first, second;
    struct mk_surfaces upstream;
    struct mk_evidence_anchor anchor;
    struct mk_deployment record;
    struct mk_roster_change change;
    struct mk_peer_signature change_old[PEERS + 1], change_new[PEERS + 1], sigs[PEERS + 1];
    struct mk_head ended;
    struct mk_chain_link links[64];
    /* the group */
    struct mk_roster own;
    struct mk_state *s;
    uint64_t index, number;
    struct mk_applied last;
    char rule[256];
};

static int by_peer(const void *a, const void *b)
{
    return mk_peer_cmp(&((const struct mk_key *)a)->peer, &((const struct mk_key *)b)->peer);
}

static struct mk_state *state_of(struct bed *b)
{
    return mk_state_new(&(struct mk_state_options){.deployment = b->own.deployment,
                                                   .stable_id = MK_UNIVERSE,
                                                   .roster = &b->own,
                                                   .machine = citer_new(&b->anchor),
                                                   .seed = 4});
}

static void sign_record(struct bed *b)
{
    struct mk_buf m = {0};

    mk_buf_put_str(&m, "mosaik.deployment.v1");
    mk_encode(&m, &mk_deployment_type, &b->record);
    mk_sign(&b->operator_, MK_BYTES(m.p, m.n - 64), &b->record.signature);
    mk_buf_done(&m);
}

static void append(struct bed *b, uint64_t v)
{
    struct mk_buf item = {0};

    mk_encode(&item, &mk_u64_type, &v);
    mk_surface_commit(&b->upstream.v[0], &b->upstream.v[0].schema, mk_buf_bytes(&item));
    mk_buf_done(&item);
}

static struct bed *bed_new(void)
{
    static const uint64_t ids[1] = {7};
    struct bed *b = mk_alloc(sizeof *b);
    struct mk_logged genesis = {.tag = mk_logged_Genesis};
    struct mk_buf out = {0};

    for (unsigned i = 0; i < PEERS + 2; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};

        mk_key_from_seed(i <= PEERS ? &b->keys[i] : &b->operator_, seed);
    }
    qsort(b->keys, PEERS + 1, sizeof b->keys[0], by_peer);
    for (unsigned i = 0; i <= PEERS; i++)
        b->peers[i] = b->keys[i].peer;
    b->stable_id = mk_id_of_text(MK_STR("upstream"));
    b->deployment = mk_id_of_text(MK_STR("upstream, deployed"));
    b->first =
        (struct mk_roster){.deployment = b->deployment, .epoch = 1, .peers = {b->peers, PEERS}};
    mk_surfaces_init(&b->upstream, &upstream_spec, 1, &b->stable_id, &b->deployment);
    b->record = (struct mk_deployment){.stable_id = b->stable_id,
                                       .deployment = b->deployment,
                                       .content_hash = mk_id_of_text(MK_STR("content")),
                                       .version = 1,
                                       .roster = b->first,
                                       .operator= b->operator_.peer };
    sign_record(b);
    b->anchor = (struct mk_evidence_anchor){.stable_id = b->stable_id,
                                            .operator_ = {true, b->operator_.peer},
                                            .surfaces = &upstream_surface,
                                            .n_surfaces = 1};
    b->own = (struct mk_roster){
        .deployment = mk_id_of_text(MK_STR("citer")), .epoch = 1, .peers = {b->peers, 1}};
    b->s = state_of(b);
    genesis.u.genesis = (struct mk_founding){
        .deployment = b->own.deployment, .roster = b->own, .raft_ids = {ids, 1}};
    mk_buf_put_u8(&out, 0);
    mk_encode(&out, &mk_logged_type, &genesis);
    mk_state_apply(b->s, ++b->index, mk_buf_bytes(&out), &b->last);
    mk_buf_done(&out);
    return b;
}

static void bed_free(struct bed *b)
{
    mk_state_free(b->s);
    mk_surfaces_done(&b->upstream);
    mk_free(b);
}

static struct mk_certificate sign(struct bed *b, const struct mk_head *head, unsigned who)
{
    size_t n = 0;

    for (unsigned i = 0; i <= PEERS; i++)
        if ((who >> i & 1) != 0) {
            b->sigs[n].peer = b->peers[i];
            mk_head_sign(&b->keys[i], head, &b->sigs[n++].signature);
        }
    return (struct mk_certificate){*head, {b->sigs, n}};
}

static struct mk_head head(struct bed *b, uint64_t epoch)
{
    struct mk_head h;

    mk_surface_head(&b->upstream.v[0], &h, &b->deployment, epoch, 1000);
    return h;
}

/** The commit at index, under the head as it stands, signed by who. Borrowed from the bed. */
static struct mk_exhibit exhibit(struct bed *b, uint64_t index, uint64_t epoch, unsigned who)
{
    const struct mk_surface *s = &b->upstream.v[0];
    struct mk_exhibit e = {.stable_id = b->stable_id, .record = {true, b->record}, .index = index};
    struct mk_head h = head(b, epoch);
    struct mk_commit c;

    assert_int_equal(mk_surface_commit_at(s, index, &c), 0);
    assert_int_equal(mk_surface_hash_at(s, index - 1, &e.before), 0);
    e.payload = c.payload;
    e.pointer = (struct mk_evidence_pointer){.member = mk_member_id_of(&b->stable_id),
                                             .surface = s->id,
                                             .clock = index,
                                             .commit = c.hash};
    for (uint64_t i = index + 1; i <= s->index; i++) {
        assert_int_equal(mk_surface_commit_at(s, i, &c), 0);
        b->links[i - index - 1] = (struct mk_chain_link){c.digest, mk_hash(c.payload)};
    }
    e.between = (struct mk_evidence_links){b->links, (size_t)(s->index - index)};
    e.certificate = sign(b, &h, who);
    return e;
}

static int execute(struct bed *b, struct mk_bytes command)
{
    struct mk_logged e = {
        .tag = mk_logged_Execute,
        .u.execute = {
            .sender = b->peers[0], .session = ++b->number, .number = 1, .command = command}};
    struct mk_arena arena = {0};
    struct mk_buf out = {0};
    struct mk_outcome o;

    mk_buf_put_u8(&out, 0);
    mk_encode(&out, &mk_logged_type, &e);
    mk_state_apply(b->s, ++b->index, mk_buf_bytes(&out), &b->last);
    mk_buf_done(&out);
    assert_int_equal(mk_decode(&o, &mk_outcome_type, b->last.outcome, &arena, NULL), 0);
    snprintf(b->rule, sizeof b->rule, "%.*s", (int)o.rule.n, o.rule.p);
    mk_arena_done(&arena);
    return -(int)o.status;
}

static int cite(struct bed *b, const struct mk_exhibit *v, size_t n)
{
    struct mk_buf command = {0};
    int rv;

    citer_put(&command, v, n);
    rv = execute(b, mk_buf_bytes(&command));
    mk_buf_done(&command);
    return rv;
}

static void assert_refused(struct bed *b, const struct mk_exhibit *e, const char *why)
{
    struct mk_surface *own = &mk_state_surfaces(b->s)->v[CITER_SUMS];
    uint64_t before = own->index;

    if (cite(b, e, 1) != MK_EREFUSED || strstr(b->rule, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", b->rule, why);
    assert_int_equal(own->index, before);
    assert_int_equal(b->last.n_cited, 1);
    assert_false(b->last.cited[0].resolved);
}

static uint64_t last_sum(struct bed *b)
{
    struct mk_surface *own = &mk_state_surfaces(b->s)->v[CITER_SUMS];
    struct mk_arena arena = {0};
    struct citer_sum sum;
    struct mk_commit c;
    uint64_t v;

    assert_int_equal(mk_surface_commit_at(own, own->index, &c), 0);
    assert_int_equal(mk_decode(&sum, &citer_sum_type, c.payload, &arena, NULL), 0);
    v = sum.sum;
    mk_arena_done(&arena);
    return v;
}

static void test_resolved(void **state)
{
    struct bed *b = bed_new();
    struct mk_exhibit e;

    (void)state;
    for (uint64_t v = 10; v < 15; v++)
        append(b, v);
    e = exhibit(b, 3, 1, 3);
    if (cite(b, &e, 1) != 0)
        fail_msg("%s", b->rule);
    assert_int_equal(last_sum(b), 12);
    assert_int_equal(b->last.n_cited, 1);
    assert_true(b->last.cited[0].resolved);
    e = exhibit(b, 5, 1, 6); /* the certified commit itself */
    assert_int_equal(cite(b, &e, 1), 0);
    assert_int_equal(last_sum(b), 14);
    e = exhibit(b, 1, 1, 7); /* the first of all */
    assert_int_equal(cite(b, &e, 1), 0);
    assert_int_equal(last_sum(b), 10);
    b->anchor.operator_.some = false; /* by a roster that the machine's own configuration holds */
    b->anchor.first = &b->first;
    e.record.some = false;
    assert_int_equal(cite(b, &e, 1), 0);
    bed_free(b);
}

static void test_unresolved(void **state)
{
    struct bed *b = bed_new();
    struct mk_exhibit e, x;
    struct mk_deployment good = b->record;
    struct mk_id other = {{1}};

    (void)state;
    for (uint64_t v = 10; v < 15; v++)
        append(b, v);
    e = exhibit(b, 3, 1, 3);
    x = e, x.pointer.clock = 4;
    assert_refused(b, &x, "its clock is 4, that of the commit 3");
    x = e, x.pointer.commit = other;
    assert_refused(b, &x, "the commit beside it has another hash");
    x = e, x.pointer.surface = other;
    assert_refused(b, &x, "a surface that is not cited here");
    x = e, x.pointer.member.b[0] ^= 1;
    assert_refused(b, &x, "another member");
    x = e, x.stable_id = other;
    assert_refused(b, &x, "none that is listened to here");
    x = e, x.payload = MK_BYTES("\x07", 1);
    assert_refused(b, &x, "the commit beside it has another hash");
    x = e, x.before = other;
    assert_refused(b, &x, "the commit beside it has another hash");
    x = e, x.marker = true;
    assert_refused(b, &x, "no clock of its own");
    x = e, x.between.n--;
    assert_refused(b, &x, "do not reach the certified head");
    b->links[0].payload.b[0] ^= 1;
    assert_refused(b, &e, "of another history");
    b->links[0].payload.b[0] ^= 1;
    x = e, x.certificate.signatures.n = 1;
    assert_refused(b, &x, "not resolved");
    b->sigs[0].signature.b[5] ^= 1;
    assert_refused(b, &e, "not resolved");
    e = exhibit(b, 3, 2, 3); /* of an epoch that nothing leads to */
    assert_refused(b, &e, "epoch 2");
    e = exhibit(b, 3, 1, 3);
    x = e, x.record.some = false;
    assert_refused(b, &x, "without its member's Deployment");
    x = e, x.record.v.signature.b[0] ^= 1;
    assert_refused(b, &x, "not signed by that operator");
    b->record.operator= b->peers[0];
    x = e, x.record.v = b->record;
    assert_refused(b, &x, "another operator");
    b->record = good;
    b->anchor.content_hash = (struct mk_opt_id){true, other};
    assert_refused(b, &e, "another content than the pinned");
    b->anchor.content_hash.some = false;
    if (cite(b, &e, 1) != 0)
        fail_msg("%s", b->rule); /* and what is right is still accepted */
    bed_free(b);
}

/* Each pointer has its own piece, in order, and nothing is left over. */
static void test_what_came_beside(void **state)
{
    struct bed *b = bed_new();
    struct mk_exhibit two[2], swapped[2];
    struct citer_command c;
    struct mk_evidence_pointer pointers[2];
    struct mk_buf inner = {0}, command = {0};
    struct mk_chain_link links[64];
    struct mk_peer_signature sigs[PEERS];

    (void)state;
    for (uint64_t v = 10; v < 15; v++)
        append(b, v);
    two[0] = exhibit(b, 2, 1, 3);
    memcpy(links, b->links, sizeof links);
    memcpy(sigs, b->sigs, sizeof sigs);
    two[0].between.v = links;
    two[0].certificate.signatures.v = sigs;
    two[1] = exhibit(b, 4, 1, 3);
    assert_int_equal(cite(b, two, 2), 0);
    assert_int_equal(last_sum(b), 11 + 13);
    assert_int_equal(b->last.n_cited, 2);
    pointers[0] = two[0].pointer;
    pointers[1] = two[1].pointer;
    c.pointers = (struct citer_pointers){pointers, 2};
    mk_encode(&inner, &citer_command_type, &c);
    mk_evidenced_put(&command, mk_buf_bytes(&inner), two, 1);
    assert_int_equal(execute(b, mk_buf_bytes(&command)), MK_EREFUSED);
    assert_non_null(strstr(b->rule, "nothing came beside the command"));
    swapped[0] = two[1];
    swapped[1] = two[0];
    mk_buf_clear(&command);
    mk_evidenced_put(&command, mk_buf_bytes(&inner), swapped, 2);
    assert_int_equal(execute(b, mk_buf_bytes(&command)), MK_EREFUSED);
    assert_non_null(strstr(b->rule, "of another pointer"));
    mk_buf_clear(&inner);
    mk_buf_clear(&command);
    c.pointers.n = 1;
    mk_encode(&inner, &citer_command_type, &c);
    mk_evidenced_put(&command, mk_buf_bytes(&inner), two, 2);
    assert_int_equal(execute(b, mk_buf_bytes(&command)), MK_EREFUSED);
    assert_non_null(strstr(b->rule, "2 pieces for 1 pointers"));
    assert_int_equal(execute(b, mk_buf_bytes(&inner)), MK_EREFUSED); /* bare */
    assert_non_null(strstr(b->rule, "not a command with its evidence"));
    mk_buf_done(&inner);
    mk_buf_done(&command);
    bed_free(b);
}

/* --- rosters in time ------------------------------------------------------------------------ */

/** Epoch 2 of the upstream: peers 1 to 3 in place of 0 to 2. */
static void new_epoch(struct bed *b)
{
    struct mk_buf m = {0};

    b->ended = head(b, 1);
    b->second = (struct mk_roster){.deployment = b->deployment,
                                   .epoch = 2,
                                   .previous = mk_roster_id(&b->first),
                                   .peers = {b->peers + 1, PEERS}};
    b->change = (struct mk_roster_change){.roster = b->second, .heads = {&b->ended, 1}};
    mk_roster_change_message(&m, &b->change);
    for (unsigned i = 0; i < 2; i++) {
        b->change_old[i].peer = b->peers[i];
        mk_sign(&b->keys[i], mk_buf_bytes(&m), &b->change_old[i].signature);
        b->change_new[i].peer = b->peers[i + 1];
        mk_sign(&b->keys[i + 1], mk_buf_bytes(&m), &b->change_new[i].signature);
    }
    mk_buf_done(&m);
    b->change.old = (struct mk_peer_signatures){b->change_old, 2};
    b->change.new = (struct mk_peer_signatures){b->change_new, 2};
}

static void test_rosters(void **state)
{
    struct bed *b = bed_new();
    struct mk_exhibit e;

    (void)state;
    for (uint64_t v = 10; v < 15; v++)
        append(b, v);
    new_epoch(b);
    append(b, 15);
    e = exhibit(b, 6, 2, 12);
    e.chain = (struct mk_roster_changes){&b->change, 1};
    if (cite(b, &e, 1) != 0)
        fail_msg("%s", b->rule);
    e.chain.n = 0; /* the machine knows the way now */
    if (cite(b, &e, 1) != 0)
        fail_msg("%s", b->rule);
    append(b, 16); /* keys of an epoch that is over sign on */
    e = exhibit(b, 7, 1, 3);
    assert_refused(b, &e, "old epoch 1");
    bed_free(b);
}

static void test_two_histories(void **state)
{
    struct bed *b = bed_new(), *other = bed_new();
    struct mk_exhibit e;

    (void)state;
    append(b, 10);
    append(other, 99);
    e = exhibit(b, 1, 1, 3);
    assert_int_equal(cite(b, &e, 1), 0);
    e = exhibit(other, 1, 1, 3);
    assert_refused(b, &e, "two certified heads");
    e = exhibit(b, 1, 1, 3); /* nobody can tell which half is right */
    assert_refused(b, &e, "two certified heads");
    bed_free(other);
    bed_free(b);
}

/* --- the same decision everywhere ------------------------------------------------------------- */

static void test_snapshot(void **state)
{
    struct bed *b = bed_new();
    struct mk_buf image = {0}, again = {0};
    struct mk_fault fault;
    struct mk_state *restored;
    struct mk_exhibit e;
    struct mk_id x, y;

    (void)state;
    append(b, 10);
    new_epoch(b);
    append(b, 11);
    e = exhibit(b, 2, 2, 6);
    e.chain = (struct mk_roster_changes){&b->change, 1};
    assert_int_equal(cite(b, &e, 1), 0);
    mk_state_snapshot(b->s, &image);
    restored = state_of(b);
    if (mk_state_restore(restored, mk_buf_bytes(&image), &fault) != 0)
        fail_msg("%s", fault.text);
    mk_state_snapshot(restored, &again);
    assert_int_equal(image.n, again.n);
    assert_memory_equal(image.p, again.p, image.n);
    x = mk_state_hash(b->s);
    y = mk_state_hash(restored);
    assert_true(mk_id_eq(&x, &y));
    mk_state_free(b->s);
    b->s = restored; /* and it remembers that epoch 1 is over */
    append(b, 12);
    e = exhibit(b, 3, 1, 3);
    assert_refused(b, &e, "old epoch 1");
    mk_buf_done(&image);
    mk_buf_done(&again);
    bed_free(b);
}

static void test_book_bytes(void **state)
{
    struct mk_evidence_book book = {0};
    struct mk_fault fault;

    (void)state;
    assert_int_equal(mk_evidence_book_restore(&book, MK_BYTES("\x00", 1), &fault), 0);
    assert_int_equal(mk_evidence_book_restore(&book, MK_BYTES("", 0), &fault), MK_EMALFORMED);
    assert_int_equal(mk_evidence_book_restore(&book, MK_BYTES("\x01", 1), &fault), MK_EMALFORMED);
    assert_int_equal(mk_evidence_book_restore(&book, MK_BYTES("\x00\x00", 2), &fault),
                     MK_EMALFORMED);
    assert_int_equal(mk_evidence_book_restore(&book, MK_BYTES("\xff\xff\xff\x7f", 4), &fault),
                     MK_EMALFORMED);
    mk_evidence_book_done(&book);
}

/* --- clocks
 * --------------------------------------------------------------------------------------- */

static void test_clocks(void **state)
{
    static const struct mk_surface_spec changes = {
        .kind = MK_SURFACE_MAP, .name = "changes", .key = &mk_u64_type, .value = &mk_advance_type};
    const struct mk_evidence_surface by_field = {&changes, "unix_ms"}, by_index = {&changes, NULL},
                                     by_nothing = {&changes, "peer"};
    struct mk_advance v = {.unix_ms = 77};
    struct mk_retirement_marker m = {
        .effective_at = {.tag = mk_retirement_instant_AtTick, .u.at_tick = {.tick = 9}},
        .reason = {.tag = mk_retirement_reason_Retired}};
    struct mk_map_op op = {.tag = mk_map_op_Insert};
    struct mk_buf value = {0}, b = {0};
    uint64_t clock;

    (void)state;
    mk_encode(&value, &mk_advance_type, &v);
    op.u.insert = (struct mk_map_insert_op){MK_BYTES("\x01", 1), mk_buf_bytes(&value)};
    mk_encode(&b, &mk_map_op_type, &op);
    assert_int_equal(mk_evidence_clock(&by_field, 5, false, mk_buf_bytes(&b), &clock), 0);
    assert_int_equal(clock, 77);
    assert_int_equal(mk_evidence_clock(&by_index, 5, false, mk_buf_bytes(&b), &clock), 0);
    assert_int_equal(clock, 5);
    assert_int_equal(mk_evidence_clock(&by_nothing, 5, false, mk_buf_bytes(&b), &clock),
                     MK_ENOTFOUND);
    mk_buf_clear(&b);
    op = (struct mk_map_op){.tag = mk_map_op_Clear};
    mk_encode(&b, &mk_map_op_type, &op);
    assert_int_equal(mk_evidence_clock(&by_field, 5, false, mk_buf_bytes(&b), &clock),
                     MK_ENOTFOUND);
    mk_buf_clear(&b);
    mk_encode(&b, &mk_retirement_marker_type, &m);
    assert_int_equal(mk_evidence_clock(&by_field, 5, true, mk_buf_bytes(&b), &clock), 0);
    assert_int_equal(clock, 9);
    mk_buf_done(&value);
    mk_buf_done(&b);
}

/* --- the oracle
 * ----------------------------------------------------------------------------------- */

/* What its files declare is what its machine has. */
static void test_oracle_layout(void **state)
{
    struct mk_id schema = mk_surface_schema(&oracle_latest_spec);
    struct mk_id text =
        mk_hash(MK_BYTES(COA_ORACLE_LATEST_LAYOUT, strlen(COA_ORACLE_LATEST_LAYOUT)));

    (void)state;
    assert_true(mk_id_eq(&schema, &text));
}

static void test_oracle_content(void **state)
{
    static const struct coa_pair pairs[2] = {{MK_STR_INIT("EUR"), MK_STR_INIT("USD"), 5},
                                             {MK_STR_INIT("GBP"), MK_STR_INIT("USD"), 5}};
    static const struct coa_oracle_source sources[2] = {{{{1}}, {{1}}}, {{{2}}, {{2}}}};
    struct coa_oracle_content c = {{pairs, 2}, {sources, 2}, 2};
    struct mk_machine *m;
    struct mk_buf b = {0};

    (void)state;
    mk_encode(&b, &coa_oracle_content_type, &c);
    assert_int_equal(oracle_machine_new(&m, mk_buf_bytes(&b), NULL), 0);
    assert_int_equal(m->ops->n_surfaces, 3);
    assert_string_equal(m->ops->surfaces[0].name, "EUR/USD");
    assert_string_equal(m->ops->surfaces[2].name, "latest");
    assert_string_equal(m->ops->name, "oracle+evidence");
    m->ops->free(m);
    mk_buf_clear(&b);
    c.quorum = 3;
    mk_encode(&b, &coa_oracle_content_type, &c);
    assert_int_equal(oracle_machine_new(&m, mk_buf_bytes(&b), NULL), MK_EMALFORMED);
    mk_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolved),         cmocka_unit_test(test_unresolved),
        cmocka_unit_test(test_what_came_beside), cmocka_unit_test(test_rosters),
        cmocka_unit_test(test_two_histories),    cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_book_bytes),       cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_oracle_layout),    cmocka_unit_test(test_oracle_content),
    };

    return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
