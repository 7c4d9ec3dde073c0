/* line.c - one JSON line into a quote, exactly.
 *
 * The price may be a JSON string ("1.0842", exact) or a number. A number has been through a
 * double by the time the JSON library hands it over; the shortest decimal that reads
 * back as the same double is what its writer wrote, as long as he wrote at most 15
 * digits. From there on all is integer arithmetic. */
#include "price-feed/price_feed.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRICE_DIGITS_MAX 30 /* fits 128 bits with the largest scale */

/** The shortest decimal that reads back as v. */
static void shortest(double v, char out[40]) /* tidy: ok, a JSON real comes as one */
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, v);
        if (strtod(out, NULL) == v) /* tidy: ok, only to compare, of our own text */
            return;
    }
}

/** "12.34" or "1.2e-7" with scale s into mantissa. */
static int parse_decimal(mk_i128_d *ret, const char *s, unsigned scale, struct mk_fault *reterr)
{
    mk_i128_d m = 0;
    int digits = 0, decimals = 0, exponent = 0;
    bool point = false, negative_exponent = false, some = false;

    for (; *s != '\0' && *s != 'e' && *s != 'E'; s++) {
        if (*s == '.' && !point && some) {
            point = true;
            continue;
        }
        if (*s < '0' || *s > '9')
            return mk_fault(reterr, MK_EMALFORMED, "price: a plain decimal above zero is wanted");
        some = true;
        if (m != 0 || *s != '0')
            digits++;
        if (digits > PRICE_DIGITS_MAX)
            return mk_fault(reterr, MK_EMALFORMED, "price: more than %d digits", PRICE_DIGITS_MAX);
        m = m * 10 + (*s - '0');
        decimals += point;
    }
    if (*s != '\0') {
        s++;
        negative_exponent = *s == '-';
        if (*s == '-' || *s == '+')
            s++;
        if (*s == '\0')
            return mk_fault(reterr, MK_EMALFORMED, "price: an exponent without digits");
        for (; *s != '\0'; s++) {
            if (*s < '0' || *s > '9' || exponent > 99)
                return mk_fault(reterr, MK_EMALFORMED, "price: a bad exponent");
            exponent = exponent * 10 + (*s - '0');
        }
    }
    decimals += negative_exponent ? exponent : -exponent;
    for (; decimals > (int)scale && m % 10 == 0 && m != 0; decimals--)
        m /= 10;
    if (!some || m == 0)
        return mk_fault(reterr, MK_EMALFORMED, "price: must be above zero");
    if (decimals > (int)scale)
        return mk_fault(reterr, MK_EMALFORMED,
                        "price: more than this pair's %u decimals; prices are not rounded", scale);
    for (; decimals < (int)scale; decimals++) {
        if (++digits > PRICE_DIGITS_MAX + 6)
            return mk_fault(reterr, MK_EMALFORMED, "price: too large");
        m *= 10;
    }
    *ret = m;
    return 0;
}

static int find_pair(uint16_t *ret, const struct coa_price_feed_content *c, const char *pair,
                     struct mk_fault *reterr)
{
    const char *slash = strchr(pair, '/');
    struct mk_str a, b;

    if (slash == NULL || strchr(slash + 1, '/') != NULL)
        return mk_fault(reterr, MK_EMALFORMED, "pair: \"base/quote\" is wanted");
    a = (struct mk_str){pair, (size_t)(slash - pair)};
    b = mk_str_of(slash + 1);
    for (size_t i = 0; i < c->pairs.n; i++) {
        const struct coa_pair *p = &c->pairs.v[i];

        if (mk_str_eq(p->base, a) && mk_str_eq(p->quote, b)) {
            *ret = (uint16_t)i;
            return 0;
        }
        if (mk_str_eq(p->base, b) && mk_str_eq(p->quote, a))
            return mk_fault(reterr, MK_EMALFORMED,
                            "pair: this feed has %.*s/%.*s; the other orientation is not inverted",
                            (int)b.n, b.p, (int)a.n, a.p);
    }
    return mk_fault(reterr, MK_EMALFORMED, "pair: %.60s is none of this feed's", pair);
}

static int read_price(mk_i128_d *ret, const json_t *price, unsigned scale, struct mk_fault *reterr)
{
    char text[40];

    if (json_is_string(price))
        return parse_decimal(ret, json_string_value(price), scale, reterr);
    if (json_is_integer(price)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(price));
        return parse_decimal(ret, text, scale, reterr);
    }
    if (!json_is_real(price))
        return mk_fault(reterr, MK_EMALFORMED, "price: a number or a decimal string is wanted");
    shortest(json_real_value(price), text);
    return parse_decimal(ret, text, scale, reterr);
}

int price_feed_parse(struct price_quote *ret, const struct coa_price_feed_content *content,
                     struct mk_str line, struct mk_fault *reterr)
{
    json_error_t error;
    json_t *o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);
    const json_t *pair = json_object_get(o, "pair"), *price = json_object_get(o, "price"),
                 *time_ms = json_object_get(o, "time_ms");
    struct price_quote q = {0};
    int rv;

    if (!json_is_object(o))
        rv = mk_fault(reterr, MK_EMALFORMED, "not a JSON object: %.100s",
                      o == NULL ? error.text : "another value");
    else if (json_object_size(o) != 3 || !json_is_string(pair) || price == NULL || time_ms == NULL)
        rv = mk_fault(reterr, MK_EMALFORMED, "exactly the keys pair, price and time_ms are wanted");
    else if (!json_is_integer(time_ms) || json_integer_value(time_ms) <= 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "time_ms: unix milliseconds are wanted");
    else
        rv = find_pair(&q.pair, content, json_string_value(pair), reterr);
    if (rv == 0) {
        q.time_ms = (uint64_t)json_integer_value(time_ms);
        rv = read_price(&q.mantissa, price, content->pairs.v[q.pair].scale, reterr);
    }
    json_decref(o);
    if (rv == 0)
        *ret = q;
    return rv;
}
