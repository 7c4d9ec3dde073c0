/* rules.h - the rules that a decoder and mk_validate share. */
#ifndef CODEC_RULES_H
#define CODEC_RULES_H

#include <mosaik/datum.h>

/** NULL when the text keeps the rules of t (UTF-8, and MK_TEXT_NAME), else the
 * rule that it breaks. The limit is not looked at. */
const char *mk_text_rule(const struct mk_type *t, struct mk_str s);

/** The rule that two neighbours of a seq break; NULL for none. before, after
 * are what orders them as encoded: the items, or their first fields. */
const char *mk_order_rule(const struct mk_type *t, struct mk_bytes before, struct mk_bytes after);

#endif
