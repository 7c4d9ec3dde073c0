/* ledger.c - the machine of accounts.
 *
 * A write that comes twice (its author did not learn what became of it, and asks again) is answered
 * with the balance and changes nothing. One that leaves a gap is refused: the author has been told
 * of a write that this account does not have. */
#include "ledger.h"

#include <string.h>

MK_STRUCT_DEFINE(ledger_write, "Write", LEDGER_WRITE_TABLE)

static const struct mk_surface_spec ledger_surfaces[1] = {
    {.kind = MK_SURFACE_MAP, .name = "accounts", .key = &mk_blob_type, .value = &mk_blob_type},
};

static void u64_put(uint8_t out[8], uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t u64_get(const uint8_t in[8])
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)in[i] << 8 * i;
    return v;
}

static void balance_write(uint8_t out[LEDGER_BALANCE], const struct ledger_balance *b)
{
    u64_put(out, b->number);
    memcpy(out + 8, b->digest.b, 32);
}

int ledger_balance_read(struct ledger_balance *ret, struct mk_bytes answer)
{
    if (answer.n != LEDGER_BALANCE)
        return -1;
    ret->number = u64_get(answer.p);
    memcpy(ret->digest.b, answer.p + 8, 32);
    return 0;
}

bool ledger_balance_eq(const struct ledger_balance *a, const struct ledger_balance *b)
{
    return a->number == b->number && mk_id_eq(&a->digest, &b->digest);
}

static struct mk_id digest_of(const struct mk_id *before, struct mk_bytes text)
{
    return mk_hash_many((const struct mk_bytes[]){MK_BYTES(before->b, 32), text}, 2);
}

static struct mk_bytes text_of(uint8_t out[LEDGER_TEXT], uint64_t account, uint64_t number)
{
    for (unsigned i = 0; i < LEDGER_TEXT; i += 16) {
        u64_put(out + i, account * 0x9e3779b97f4a7c15u + i);
        u64_put(out + i + 8, number);
    }
    return MK_BYTES(out, LEDGER_TEXT);
}

struct ledger_balance ledger_next(uint64_t account, const struct ledger_balance *before)
{
    struct ledger_balance b = {.number = before->number + 1};
    uint8_t text[LEDGER_TEXT];

    b.digest = digest_of(&before->digest, text_of(text, account, b.number));
    return b;
}

void ledger_command(struct mk_buf *out, uint64_t account, uint64_t number)
{
    uint8_t text[LEDGER_TEXT];
    struct ledger_write w = {
        .account = account, .number = number, .text = text_of(text, account, number)};

    mk_encode(out, &ledger_write_type, &w);
}

void ledger_query(struct mk_buf *out, uint64_t account)
{
    uint8_t key[8];

    u64_put(key, account);
    mk_buf_put(out, key, sizeof key);
}

static struct ledger_balance balance_of(const struct mk_surfaces *s, struct mk_bytes key)
{
    struct ledger_balance b = {0};
    struct mk_bytes value;

    if (mk_map_get(s, 0, key, &value) == 0)
        (void)ledger_balance_read(&b, value);
    return b;
}

static int ledger_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    uint8_t key[8], value[LEDGER_BALANCE];
    struct mk_arena arena = {0};
    struct ledger_balance b;
    struct ledger_write w;
    struct mk_fault fault;
    bool changed;
    int rv;

    (void)m;
    rv = mk_decode(&w, &ledger_write_type, command, &arena, &fault);
    if (rv != 0) {
        rv = mk_refuse(a, "command: %.100s", fault.text);
        goto out;
    }
    u64_put(key, w.account);
    b = balance_of(mk_apply_surfaces(a), MK_BYTES(key, sizeof key));
    if (w.number != b.number && w.number != b.number + 1) {
        rv = mk_refuse(a, "account %llu is at %llu, the write is number %llu",
                       (unsigned long long)w.account, (unsigned long long)b.number,
                       (unsigned long long)w.number);
        goto out;
    }
    if (w.number == b.number + 1) {
        b.number = w.number;
        b.digest = digest_of(&b.digest, w.text);
        balance_write(value, &b);
        rv =
            mk_map_insert(a, 0, MK_BYTES(key, sizeof key), MK_BYTES(value, sizeof value), &changed);
    }
    balance_write(value, &b);
    if (rv == 0)
        mk_answer(a, MK_BYTES(value, sizeof value));
out:
    mk_arena_done(&arena);
    return rv;
}

static int ledger_ask(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                      struct mk_buf *answer, struct mk_fault *reterr)
{
    uint8_t value[LEDGER_BALANCE];
    struct ledger_balance b;

    (void)m;
    if (query.n != 8)
        return mk_fault(reterr, MK_EMALFORMED, "an account has 8 bytes");
    b = balance_of(s, query);
    balance_write(value, &b);
    mk_buf_put(answer, value, sizeof value);
    return 0;
}

static void ledger_free(struct mk_machine *m)
{
    mk_free(m);
}

static const struct mk_machine_ops ledger_ops = {.name = "test-ledger",
                                                 .version = 1,
                                                 .surfaces = ledger_surfaces,
                                                 .n_surfaces = 1,
                                                 .apply = ledger_apply,
                                                 .query = ledger_ask,
                                                 .free = ledger_free};

struct mk_machine *ledger_machine_new(void)
{
    struct mk_machine *m = mk_alloc(sizeof *m);

    m->ops = &ledger_ops;
    return m;
}
