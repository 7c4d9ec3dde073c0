/* tick.c - the shapes of a price feed, and a decimal's text. */
#include "price-feed/price_feed.h"

#include <stdio.h>

MK_STRUCT_DEFINE(price_pair, "Pair", PRICE_PAIR_TABLE)
MK_STRUCT_DEFINE(price_decimal, "Decimal", PRICE_DECIMAL_TABLE)
MK_STRUCT_DEFINE(price_tick, "PriceTick", PRICE_TICK_TABLE)
MK_STRUCT_DEFINE(price_quote, "Quote", PRICE_QUOTE_TABLE)
MK_SEQ_DEFINE(price_quotes, price_quote, PRICE_FEED_BATCH_MAX, MK_SEQ_NONEMPTY)
MK_ENUM_DEFINE(price_command, "PriceCommand", PRICE_COMMAND_TABLE)

void price_decimal_format(const struct price_decimal *d, char out[64])
{
    mk_u128_d left = d->mantissa < 0 ? -(mk_u128_d)d->mantissa : (mk_u128_d)d->mantissa;
    char digits[48];
    int n = 0;

    /* Least digit first; at least one before the point. */
    while (left > 0 || n <= d->scale) {
        digits[n++] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (d->mantissa < 0)
        *out++ = '-';
    while (n > 0) {
        *out++ = digits[--n];
        if (n == d->scale && n > 0)
            *out++ = '.';
    }
    *out = '\0';
}

struct mk_surface_spec price_feed_surface(const char *name)
{
    return (struct mk_surface_spec){
        .kind = MK_SURFACE_STREAM, .name = name, .value = &price_tick_type};
}

int price_feed_next_wait(struct mk_feed *f, struct price_tick *ret, uint32_t timeout_ms,
                         struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_bytes item;
    int rv = mk_feed_next_wait(f, &item, NULL, timeout_ms, arena, reterr);

    return rv != 0 ? rv : mk_decode(ret, &price_tick_type, item, arena, reterr);
}
