/* options.h - the words of a command: argp with one line for what is wrong, and the options that
 * several commands share. */
#ifndef PROGRAMS_OPTIONS_H
#define PROGRAMS_OPTIONS_H

#include <mosaik/ticket.h>

#include <argp.h>
#include <stdbool.h>

/** Parses argv with a: on --help it prints and ends the program with 0, on wrong usage with 2. */
void parse_options(const struct argp *a, int argc, char **argv, void *input);
/** For a parser that finds the words wrong: one line with the rule and where help is; ends the
 * program with 2. */
void wrong_usage(const struct argp_state *state, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/** A number, all of the text: 0 or MK_EMALFORMED. */
int parse_u64(uint64_t *ret, const char *text, uint64_t max);
/** "10" (seconds) or "10s", "500ms" into ms. */
int parse_timeout(uint32_t *ret_ms, const char *text);

/* Parsers end with `return parse_words(...)` or `return parse_reach(...)`, which know what is left.
 */

#define OPTION_JSON(what)             \
    {                                 \
        "json", 'j', NULL, 0, what, 0 \
    }

/** The words that are no options, in order, and --json. */
#define WORDS_MAX 132u
struct words {
    const char *v[WORDS_MAX];
    unsigned n;
    bool json;
};
/** wanted: what is said when there are not least to most words. */
error_t parse_words(int key, char *arg, struct argp_state *state, struct words *w, unsigned least,
                    unsigned most, const char *wanted);

/** At the end of the words: the first is one of those of the list (ends with NULL), else the
 * program ends with 2 and a line that has them. */
void check_verb(const struct argp_state *state, const struct words *w, const char *const *verbs);

#define TIMEOUT_MS_DEFAULT 10000u

/** Who reaches out, with what, and for how long. */
#define THROUGH_MAX 8u
struct reach {
    const char *key;    /* a path; NULL: a fresh key */
    const char *attest; /* a path; NULL: no quotes are shown or judged */
    const char *tickets[MK_TICKETS_MAX];
    unsigned n_tickets;
    struct mk_str through[THROUGH_MAX]; /* replicas to read through */
    unsigned n_through;
    uint32_t timeout_ms;
    uint64_t max_age_ms;
    bool trace; /* of a command that writes */
};
enum {
    OPTION_TICKET_KEY = 1024,
    OPTION_AGE_KEY,
    OPTION_ATTEST_KEY,
    OPTION_TRACE_KEY,
    OPTION_THROUGH_KEY
};
#define OPTION_THROUGH                                                                           \
    {                                                                                            \
        "through", OPTION_THROUGH_KEY, "ADDR", 0,                                                \
            "Read through this replica, <peer hex>@host:port, instead of members; may be given " \
            "again",                                                                             \
            0                                                                                    \
    }
#define OPTION_KEY                                               \
    {                                                            \
        "key", 'k', "FILE", 0, "Our key; a fresh one without", 0 \
    }
#define OPTION_TICKET                                                                  \
    {                                                                                  \
        "ticket", OPTION_TICKET_KEY, "FILE", 0, "A ticket to show; may be repeated", 0 \
    }
#define OPTION_ATTEST                                                                             \
    {                                                                                             \
        "attest", OPTION_ATTEST_KEY, "FILE", 0, "TDX quotes: what we show and whom we believe", 0 \
    }
#define OPTION_AGE                                                                          \
    {                                                                                       \
        "max-age", OPTION_AGE_KEY, "S", 0, "How old the certified head may be (any age)", 0 \
    }
#define OPTION_TRACE                                                                              \
    {                                                                                             \
        "trace", OPTION_TRACE_KEY, NULL, 0,                                                       \
            "Of a write: when each member had it logged, durable, committed, applied, certified", \
            0                                                                                     \
    }
#define OPTION_TIMEOUT(what)            \
    {                                   \
        "timeout", 't', "S", 0, what, 0 \
    }
error_t parse_reach(int key, char *arg, struct argp_state *state, struct reach *r);

#endif
