/* json.h - JSON from strangers, read strictly with jansson. */
#ifndef TICKETS_JSON_H
#define TICKETS_JSON_H

#include <jansson.h>
#include <mosaik/bytes.h>
#include <mosaik/error.h>

/** Unix seconds above this (the end of year 9999) are refused, so that
 * milliseconds and differences cannot overflow. */
#define MK_JSON_SECONDS_MAX 253402300799ull

/** One JSON object that fills `text`: no duplicate keys, no trailing bytes, no
 * NUL in a string. *ret is given: json_decref(). MK_EMALFORMED; `what` names the
 * thing in reterr. */
int mk_json_object(json_t **ret, struct mk_bytes text, const char *what, struct mk_fault *reterr);

/** The string under key, lent until o goes. MK_EMALFORMED: absent, or no string. */
int mk_json_str(struct mk_str *ret, const json_t *o, const char *key, struct mk_fault *reterr);
/** The whole seconds under key: an integer, 0 to MK_JSON_SECONDS_MAX. */
int mk_json_seconds(uint64_t *ret, const json_t *o, const char *key, struct mk_fault *reterr);

#endif /* TICKETS_JSON_H */
