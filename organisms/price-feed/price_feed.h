/* price_feed.h - a standalone organism that turns lines of prices into certified streams
 * (spec/services.md, "Feeds"): one Stream<PriceTick> a pair, surface `base/quote`.
 *
 *     {"pair":"EUR/USD","price":"1.0842","time_ms":1700000000000}
 *
 * base is the bytewise lesser symbol; a line in the other orientation is refused, never
 * inverted. A price with more decimals than the pair's scale is refused, never rounded.
 * The surfaces are committee streams: the same group, log, marks and certificates as
 * any other, with a roster of one. */
#ifndef ORGANISMS_PRICE_FEED_H
#define ORGANISMS_PRICE_FEED_H

#include <coalition/modules.h>
#include <mosaik/feed.h>
#include <mosaik/machine.h>
#include <mosaik/node.h>

#define PRICE_FEED_BATCH_MAX 256u /* quotes of one command */

/* --- shapes -------------------------------------------------------------------------- */

#define PRICE_PAIR_TABLE(F, S) \
    F(S, mk_name, base)        \
    F(S, mk_name, quote)
MK_STRUCT_DECLARE(price_pair, PRICE_PAIR_TABLE)
#define PRICE_DECIMAL_TABLE(F, S) \
    F(S, mk_i128, mantissa)       \
    F(S, mk_u8, scale)
MK_STRUCT_DECLARE(price_decimal, PRICE_DECIMAL_TABLE)
#define PRICE_TICK_TABLE(F, S)      \
    F(S, mk_u64, timestamp_ms)      \
    F(S, price_pair, pair)          \
    F(S, price_decimal, price)      \
    F(S, price_decimal, confidence) \
    F(S, mk_b32, source_set_digest) \
    F(S, mk_u8, source_count)       \
    F(S, mk_bool, stale)            \
    F(S, mk_u64, seq)
MK_STRUCT_DECLARE(price_tick, PRICE_TICK_TABLE)

/** What a member commits: quotes in order, of pairs by their number in the content. */
#define PRICE_QUOTE_TABLE(F, S) \
    F(S, mk_u16, pair)          \
    F(S, mk_i128, mantissa)     \
    F(S, mk_u64, time_ms)
MK_STRUCT_DECLARE(price_quote, PRICE_QUOTE_TABLE)
MK_SEQ_DECLARE(price_quotes, price_quote)
#define PRICE_COMMAND_TABLE(F, S) F(S, Quotes, 0, price_quotes, quotes)
MK_ENUM_DECLARE(price_command, PRICE_COMMAND_TABLE)

/* --- running it ------------------------------------------------------------------------- */

/** The machine for an organism's content (pc(PriceFeedContent), copied). */
int price_feed_machine_new(struct mk_machine **ret, struct mk_bytes content,
                           const struct mk_id *stable_id, struct mk_fault *reterr);
/** The driver: reads lines and commits them. source: "-" (standard input), "file:PATH" (followed as
 * it grows) or "exec:COMMAND"; copied. MK_EINVALID, MK_EMALFORMED. */
int price_feed_driver_new(struct mk_driver **ret, struct mk_bytes content, const char *source,
                          struct mk_fault *reterr);

/** One line, as above, into a quote. MK_EMALFORMED with the rule: what the line broke. */
int price_feed_parse(struct price_quote *ret, const struct coa_price_feed_content *content,
                     struct mk_str line, struct mk_fault *reterr);
/** The decimal text of a price: mantissa x 10^-scale, all its decimals. */
void price_decimal_format(const struct price_decimal *d, char out[64]);

/* --- reading it ---------------------------------------------------------------------------- */

/** The spec of a pair's surface: name is "base/quote", borrowed. */
struct mk_surface_spec price_feed_surface(const char *name);
/** Blocks for the next tick of a followed pair (see mk_feed_next_wait). */
int price_feed_next_wait(struct mk_feed *f, struct price_tick *ret, uint32_t timeout_ms,
                         struct mk_arena *arena, struct mk_fault *reterr);

#endif /* ORGANISMS_PRICE_FEED_H */
