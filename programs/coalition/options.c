/* options.c - see options.h. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wrong_usage(const struct argp_state *state, const char *fmt, ...)
{
    char text[800];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    exit(complain(STATUS_USAGE, "%s: %s; `%s --help` tells more", state->name, text, state->name));
}

static const struct argp_option *option_named(const struct argp *a, const char *name, size_t n)
{
    for (const struct argp_option *o = a->options; o->name != NULL || o->key != 0; o++) {
        if (o->name != NULL && strncmp(o->name, name, n) == 0 && o->name[n] == '\0')
            return o;
    }
    return NULL;
}

/** What getopt would not take: the last word that it looked at. */
static void wrong_option(const struct argp *a, const struct argp_state *state)
{
    const char *word = state->argv[state->next > 1 ? state->next - 1 : 1];
    const struct argp_option *o;

    if (word[0] != '-' && state->next < state->argc)
        word = state->argv[state->next]; /* in the middle of a cluster of letters */
    if (strncmp(word, "--", 2) != 0)
        wrong_usage(state, "%s: an option that there is not, or without its value", word);
    o = option_named(a, word + 2, strcspn(word + 2, "="));
    if (o == NULL)
        wrong_usage(state, "%s: there is no such option", word);
    wrong_usage(state, "--%s %s", o->name, o->arg != NULL ? "wants a value" : "takes no value");
}

static const struct argp *parsing; /* whose words the shim hands on */

static error_t parse_shim(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_ERROR)
        wrong_option(parsing, state);
    return parsing->parser(key, arg, state);
}

/* argp says what is wrong in two lines of its own; told to be silent, it gives no help either. So
 * help is asked for in a run of its own, and the errors are ours. */
void parse_options(const struct argp *a, int argc, char **argv, void *input)
{
    struct argp shim = *a;

    parsing = a;
    shim.parser = parse_shim;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--usage") == 0 ||
            strcmp(argv[i], "-?") == 0)
            argp_parse(a, 2, (char *[]){argv[0], argv[i], NULL}, 0, NULL, input);
    }
    if (argp_parse(&shim, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL, input) != 0)
        exit(complain(STATUS_USAGE, "%s: wrong usage; `%s --help` tells more", argv[0], argv[0]));
}

int parse_u64(uint64_t *ret, const char *text, uint64_t max)
{
    uint64_t v = 0;

    if (*text == '\0')
        return MK_EMALFORMED;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (digit > 9 || v > (max - digit) / 10)
            return MK_EMALFORMED;
        v = v * 10 + digit;
    }
    *ret = v;
    return 0;
}

int parse_timeout(uint32_t *ret_ms, const char *text)
{
    size_t n = strlen(text);
    char digits[16];
    uint64_t v, unit = 1000;

    if (n > 2 && strcmp(text + n - 2, "ms") == 0) {
        unit = 1;
        n -= 2;
    } else if (n > 1 && text[n - 1] == 's') {
        n--;
    }
    if (n >= sizeof digits)
        return MK_EMALFORMED;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (parse_u64(&v, digits, 3600000 / unit) != 0 || v == 0)
        return MK_EMALFORMED;
    *ret_ms = (uint32_t)(v * unit);
    return 0;
}

error_t parse_words(int key, char *arg, struct argp_state *state, struct words *w, unsigned least,
                    unsigned most, const char *wanted)
{
    switch (key) {
    case 'j':
        w->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (w->n == most)
            wrong_usage(state, "%s: one word too many; %s wanted", arg, wanted);
        w->v[w->n++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (w->n < least)
            wrong_usage(state, "%s wanted", wanted);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void check_verb(const struct argp_state *state, const struct words *w, const char *const *verbs)
{
    struct mk_buf list = {0};

    if (w->n == 0)
        return;
    for (const char *const *v = verbs; *v != NULL; v++) {
        if (strcmp(w->v[0], *v) == 0) {
            mk_buf_done(&list);
            return;
        }
        mk_buf_printf(&list, "%s%s", v == verbs ? "" : v[1] != NULL ? ", " : " or ", *v);
    }
    wrong_usage(state, "no command \"%s\"; %.*s is wanted", w->v[0], (int)list.n,
                (const char *)list.p);
}

error_t parse_reach(int key, char *arg, struct argp_state *state, struct reach *r)
{
    uint32_t ms;

    switch (key) {
    case 'k':
        r->key = arg;
        return 0;
    case OPTION_TRACE_KEY:
        r->trace = true;
        return 0;
    case OPTION_ATTEST_KEY:
        r->attest = arg;
        return 0;
    case OPTION_TICKET_KEY:
        if (r->n_tickets == MK_TICKETS_MAX)
            wrong_usage(state, "--ticket: at most %u", MK_TICKETS_MAX);
        r->tickets[r->n_tickets++] = arg;
        return 0;
    case OPTION_THROUGH_KEY:
        if (r->n_through == THROUGH_MAX)
            wrong_usage(state, "--through: at most %u", THROUGH_MAX);
        r->through[r->n_through++] = mk_str_of(arg);
        return 0;
    case OPTION_AGE_KEY:
        if (parse_timeout(&ms, arg) != 0)
            wrong_usage(state, "--max-age: seconds are wanted");
        r->max_age_ms = ms;
        return 0;
    case 't':
        if (parse_timeout(&r->timeout_ms, arg) != 0)
            wrong_usage(state, "--timeout: seconds are wanted");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}
