/* json.c - see the header.
 *
 * A parser that keeps the first of two equal keys, and one that keeps the last,
 * read two different tickets out of one signed text; so duplicates are refused.
 * jansson bounds nesting itself; sizes are bounded by the callers' limits. */
#include "tickets/json.h"

int mk_json_object(json_t **ret, struct mk_bytes text, const char *what, struct mk_fault *reterr)
{
    json_error_t error;
    json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &error);

    if (o == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s: not JSON: %s", what, error.text);
    if (!json_is_object(o)) {
        json_decref(o);
        return mk_fault(reterr, MK_EMALFORMED, "%s: not a JSON object", what);
    }
    *ret = o;
    return 0;
}

int mk_json_str(struct mk_str *ret, const json_t *o, const char *key, struct mk_fault *reterr)
{
    const json_t *v = json_object_get(o, key);

    if (v == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s is missing", key);
    if (!json_is_string(v))
        return mk_fault(reterr, MK_EMALFORMED, "%s is not a string", key);
    *ret = (struct mk_str){json_string_value(v), json_string_length(v)};
    return 0;
}

int mk_json_seconds(uint64_t *ret, const json_t *o, const char *key, struct mk_fault *reterr)
{
    const json_t *v = json_object_get(o, key);
    json_int_t n;

    if (v == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s is missing", key);
    if (!json_is_integer(v))
        return mk_fault(reterr, MK_EMALFORMED, "%s is not a whole number of seconds", key);
    n = json_integer_value(v);
    if (n < 0 || (uint64_t)n > MK_JSON_SECONDS_MAX)
        return mk_fault(reterr, MK_EMALFORMED, "%s is out of range", key);
    *ret = (uint64_t)n;
    return 0;
}
