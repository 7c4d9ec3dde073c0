/* check_history.c - `coalition check history FILE --model MODEL`: is what clients saw
 * the work of one thing that does one operation at a time? */
#include "check.h"

#include <mosaik/linear.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FILES_MAX 4096u

struct input {
    const char *files[FILES_MAX];
    unsigned n;
    enum mk_linear_model model;
    bool has_model, json;
    uint32_t timeout_ms; /* 0: for ever */
};

static const char *const verdicts[] = {
    [MK_LINEAR_OK] = "ok", [MK_LINEAR_REFUSED] = "refused", [MK_LINEAR_UNKNOWN] = "unknown"};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'j':
        in->json = true;
        return 0;
    case 'm':
        if (mk_linear_model_of(&in->model, mk_str_of(arg)) != 0)
            wrong_usage(state,
                        "--model is cas-register, multi-register, mutex, kv or counter, not \"%s\"",
                        arg);
        in->has_model = true;
        return 0;
    case 't':
        if (parse_timeout(&in->timeout_ms, arg) != 0)
            wrong_usage(state, "--timeout \"%s\": seconds, as 10 or 10s, or 500ms", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (in->n == FILES_MAX)
            wrong_usage(state, "at most %u files", FILES_MAX);
        in->files[in->n++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->n == 0)
            wrong_usage(state, "a FILE is missing");
        if (!in->has_model)
            wrong_usage(state, "--model MODEL is missing: what the operations are operations on");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool expired(void *arg)
{
    return now_s() > *(double *)arg;
}

static void print(const struct input *in, const char *file, const struct mk_linear_result *r,
                  double seconds)
{
    if (in->json) {
        print_json(json_pack("{s:s, s:s, s:I, s:f, s:o, s:o}", "file", file, "verdict",
                             verdicts[r->verdict], "operations", (json_int_t)r->operations,
                             "seconds", seconds, "line",
                             r->line > 0 ? json_integer(r->line) : json_null(), "reason",
                             r->why[0] != 0 ? json_string(r->why) : json_null()));
        return;
    }
    printf("%s: %s, %zu operations in %.3f s\n", file, verdicts[r->verdict], r->operations,
           seconds);
    if (r->line > 0)
        printf("  line %u: %s\n", r->line, r->why);
    else if (r->why[0] != 0)
        printf("  %s\n", r->why);
}

static int judge(const struct input *in, const char *file)
{
    struct mk_linear *h = mk_linear_new(in->model);
    struct mk_buf text = {0};
    struct mk_fault fault = {{0}};
    struct mk_linear_result r;
    double from = now_s(), until = from + in->timeout_ms / 1e3;
    int rv = read_named(file, &text, &fault), status;

    if (rv == 0) {
        rv = mk_linear_parse(h, (struct mk_str){(const char *)text.p, text.n}, &fault);
        if (rv != 0)
            status = complain(STATUS_USAGE, "%s: %s", file, fault.text);
    } else {
        status = complain(STATUS_USAGE, "%s", fault.text);
    }
    if (rv == 0) {
        mk_linear_check(h, &r,
                        &(struct mk_linear_limits){.expired = in->timeout_ms > 0 ? expired : NULL,
                                                   .arg = &until});
        print(in, file, &r, now_s() - from);
        status = r.verdict == MK_LINEAR_OK        ? STATUS_DONE
                 : r.verdict == MK_LINEAR_REFUSED ? STATUS_CHECK
                                                  : STATUS_TIMEOUT;
    }
    mk_buf_done(&text);
    mk_linear_free(h);
    return status;
}

/* Of several files the worst counts: a bad file, then a refusal, then one not known. */
static int worse(int a, int b)
{
    static const int rank[] = {
        [STATUS_DONE] = 0, [STATUS_TIMEOUT] = 1, [STATUS_CHECK] = 2, [STATUS_USAGE] = 3};

    return rank[a] > rank[b] ? a : b;
}

int check_history(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"model", 'm', "MODEL", 0,
         "What the operations are on: cas-register, multi-register, mutex, kv, counter", 0},
        {"timeout", 't', "S", 0, "End the search after S seconds; the verdict is then unknown", 0},
        OPTION_JSON("One object a file"),
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "FILE...",
        "Is the history in each FILE (- for standard input) linearizable: can each operation be "
        "given a moment between its invocation and its answer, such that all answers are "
        "right? Lines of Jepsen's log, or EDN maps. An operation that ended as :info, or not at "
        "all, may have happened at any later time or never. Ends with 1 when one is refused, 3 "
        "when one is not known in time.",
        NULL,
        NULL,
        NULL};
    static struct input in;
    int status = STATUS_DONE;

    parse_options(&argp, argc, argv, &in);
    for (unsigned i = 0; i < in.n; i++)
        status = worse(status, judge(&in, in.files[i]));
    return status;
}
