/* ledger.h - a component that notices one lost, doubled or reordered write among millions.
 *
 * It keeps accounts: of each a number and a digest. A write names its account and its number, which
 * must follow the account's, and the digest takes in its text. So an account whose number is n took
 * each of the writes 1 to n, once and in order, and its digest says that they were these. The text
 * of a write follows from account and number, so its author needs to remember only those. */
#ifndef TEST_LIVE_LEDGER_H
#define TEST_LIVE_LEDGER_H

#include <mosaik/machine.h>

#define LEDGER_TEXT 96u    /* bytes of a write beside account and number */
#define LEDGER_BALANCE 40u /* bytes of an answer */

#define LEDGER_WRITE_TABLE(F, S) \
    F(S, mk_u64, account)        \
    F(S, mk_u64, number)         \
    F(S, mk_blob, text)
MK_STRUCT_DECLARE(ledger_write, LEDGER_WRITE_TABLE)

struct ledger_balance {
    uint64_t number;
    struct mk_id digest; /* zero at number 0 */
};

struct mk_machine *ledger_machine_new(void);

/** The command of a write. */
void ledger_command(struct mk_buf *out, uint64_t account, uint64_t number);
/** The query of an account; its answer is a balance. */
void ledger_query(struct mk_buf *out, uint64_t account);
/** What an account holds after the write that follows. */
struct ledger_balance ledger_next(uint64_t account, const struct ledger_balance *before);
/** -1: these bytes are no balance. */
int ledger_balance_read(struct ledger_balance *ret, struct mk_bytes answer);
bool ledger_balance_eq(const struct ledger_balance *a, const struct ledger_balance *b);

#endif
