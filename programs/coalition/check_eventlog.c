/* check_eventlog.c - `coalition check eventlog LOG --quote QUOTE`: replays an event log and
 * compares it with the quote's registers. The quote is only read here: `check tdx` says
 * whether it is to be believed. */
#include "check.h"

#include <mosaik/attest.h>

#include <stdio.h>
#include <string.h>

struct input {
    const char *log, *quote;
    bool json;
};

enum { OPT_JSON = 'j', OPT_QUOTE = 'q' };

static const struct argp_option options[] = {
    {"quote", OPT_QUOTE, "QUOTE", 0, "The quote whose registers the log must give", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_QUOTE:
        in->quote = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (in->log != NULL)
            wrong_usage(state, "one LOG is expected");
        in->log = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->log == NULL || in->quote == NULL)
            wrong_usage(state, "LOG and --quote QUOTE are expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* 0 when the log gives the quote's registers. */
static int compare(struct mk_eventlog_result *r, struct mk_bytes log, struct mk_bytes quote,
                   struct mk_fault *reterr)
{
    struct mk_quote q;
    int rv = mk_eventlog_replay(r, log, reterr);

    if (rv == 0)
        rv = mk_quote_parse(&q, quote, reterr);
    if (rv != 0)
        return rv;
    if (q.tee != MK_TEE_TDX)
        return mk_fault(reterr, MK_EREFUSED, "an SGX quote has no RTMRs");
    for (unsigned i = 0; i < 4; i++) {
        if (memcmp(r->rtmr[i], q.td.rtmr[i], sizeof r->rtmr[i]) != 0)
            return mk_fault(reterr, MK_EREFUSED, "the log does not give the quote's rtmr%u", i);
    }
    return 0;
}

static json_t *registers(const struct mk_eventlog_result *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < 4 && r->n_events > 0; i++)
        json_array_append_new(list, json_hex(r->rtmr[i], sizeof r->rtmr[i]));
    return list;
}

int check_eventlog(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "LOG --quote QUOTE",
        "Replay an event log (CCEL, TCG2; SHA-384) to the RTMRs and compare them with a quote's.",
        NULL,
        NULL,
        NULL};
    struct mk_eventlog_result r = {0};
    struct mk_buf log = {0}, quote = {0};
    struct mk_fault fault = {{0}};
    struct input in = {0};
    int status, rv;

    parse_options(&argp, argc, argv, &in);
    status = read_raw_or_hex(in.log, &log);
    if (status == STATUS_DONE)
        status = read_raw_or_hex(in.quote, &quote);
    if (status == STATUS_DONE) {
        rv = compare(&r, mk_buf_bytes(&log), mk_buf_bytes(&quote), &fault);
        print_item(json_pack("{s:s, s:o, s:o, s:i}", "verdict", rv == 0 ? "ok" : "refused",
                             "reason", rv == 0 ? json_null() : json_string(fault.text), "rtmr",
                             registers(&r), "events", (int)r.n_events),
                   in.json);
        status = rv == 0 ? STATUS_DONE : STATUS_CHECK;
    }
    mk_buf_done(&log);
    mk_buf_done(&quote);
    return status;
}
