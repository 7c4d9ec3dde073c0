/* driver.c - lines from outside into commands, batched, in order.
 *
 * Lines that come while a batch is being committed gather in the next one; when that
 * one is full the input is paused, so a fast source waits instead of filling memory. A
 * line that breaks a rule is counted, said once a second at most, and skipped. What was
 * read but not committed when the process dies is lost: the source is not a log. */
#include "price-feed/price_feed.h"

#include <string.h>

struct price_driver {
    struct mk_driver driver;
    struct mk_host *host;
    struct mk_arena arena; /* content, source */
    struct coa_price_feed_content content;
    const char *source;
    struct mk_input input;
    bool open, ended;
    struct price_quote batch[PRICE_FEED_BATCH_MAX];
    size_t n_batch;
    struct mk_exec exec;
    bool committing;
    uint64_t committed, refused, lines;
    char last_refusal[200];
};

static void commit_batch(struct price_driver *d);

static void exec_cb(struct mk_exec *x, int status, const struct mk_outcome *outcome,
                    const struct mk_fault *fault)
{
    struct price_driver *d = mk_container_of(x, struct price_driver, exec);

    d->committing = false;
    if (status == MK_ECANCELED)
        return;
    if (status != 0) {
        d->refused++;
        mk_host_log(d->host, "a batch of quotes was refused: %s", fault->text);
    } else {
        d->committed += outcome->commits.n;
    }
    if (d->open && !d->ended)
        mk_input_pause(&d->input, false);
    commit_batch(d);
}

static void commit_batch(struct price_driver *d)
{
    struct price_command c = {.tag = price_command_Quotes, .u.quotes = {d->batch, d->n_batch}};
    struct mk_buf b = {0};
    int rv;

    if (d->committing || d->n_batch == 0)
        return;
    mk_encode(&b, &price_command_type, &c);
    d->exec.cb = exec_cb;
    rv = mk_host_execute(d->host, &d->exec, mk_buf_bytes(&b));
    mk_buf_done(&b);
    if (rv != 0)
        return; /* one command at a time is far below the host's queue: cannot be full */
    d->committing = true;
    d->n_batch = 0;
}

static void input_line(struct mk_input *in, struct mk_str line, int status)
{
    struct price_driver *d = mk_container_of(in, struct price_driver, input);
    struct mk_fault fault;
    int rv;

    d->lines++;
    if (status != 0)
        rv = mk_fault(&fault, status, "the line is longer than %u bytes", MK_INPUT_LINE_MAX);
    else
        rv = price_feed_parse(&d->batch[d->n_batch], &d->content, line, &fault);
    if (rv != 0) {
        d->refused++;
        if (strncmp(d->last_refusal, fault.text, sizeof d->last_refusal - 1) != 0)
            mk_host_log(d->host, "line %llu skipped: %s", (unsigned long long)d->lines, fault.text);
        memcpy(d->last_refusal, fault.text, sizeof d->last_refusal - 1);
        return;
    }
    if (++d->n_batch == PRICE_FEED_BATCH_MAX)
        mk_input_pause(&d->input, true);
    commit_batch(d);
}

static void input_end(struct mk_input *in, int status)
{
    struct price_driver *d = mk_container_of(in, struct price_driver, input);

    d->ended = true;
    mk_host_log(d->host, "the source %s ended%s after %llu lines", d->source,
                status == 0 ? "" : " with an error", (unsigned long long)d->lines);
}

static int driver_start(struct mk_driver *driver, struct mk_host *h, struct mk_fault *reterr)
{
    struct price_driver *d = mk_container_of(driver, struct price_driver, driver);
    struct mk_input_spec spec = {0};
    int rv;

    d->host = h;
    if (strncmp(d->source, "file:", 5) == 0) {
        spec.kind = MK_INPUT_FILE;
        spec.path = d->source + 5;
    } else if (strncmp(d->source, "exec:", 5) == 0) {
        spec.kind = MK_INPUT_COMMAND;
        spec.command = d->source + 5;
    } else {
        spec.kind = MK_INPUT_FD; /* standard input */
    }
    d->input.line = input_line;
    d->input.end = input_end;
    rv = mk_input_open(mk_host_loop(h), &d->input, &spec, reterr);
    d->open = rv == 0;
    return rv;
}

static void driver_status(const struct mk_driver *driver, struct mk_buf *json)
{
    const struct price_driver *d = mk_container_of(driver, struct price_driver, driver);

    mk_buf_printf(json, "\"lines\":%llu,\"committed\":%llu,\"refused\":%llu,\"ended\":%s",
                  (unsigned long long)d->lines, (unsigned long long)d->committed,
                  (unsigned long long)d->refused, d->ended ? "true" : "false");
}

static void driver_stop(struct mk_driver *driver)
{
    struct price_driver *d = mk_container_of(driver, struct price_driver, driver);

    if (d->open)
        mk_input_close(&d->input);
    mk_arena_done(&d->arena);
    mk_free(d);
}

static const struct mk_driver_ops driver_ops = {
    .start = driver_start, .status = driver_status, .stop = driver_stop};

int price_feed_driver_new(struct mk_driver **ret, struct mk_bytes content, const char *source,
                          struct mk_fault *reterr)
{
    struct price_driver *d;
    struct mk_bytes own;
    int rv;

    if (strcmp(source, "-") != 0 && strncmp(source, "file:", 5) != 0 &&
        strncmp(source, "exec:", 5) != 0)
        return mk_fault(reterr, MK_EINVALID,
                        "source: \"-\", \"file:PATH\" or \"exec:COMMAND\" is wanted");
    d = mk_alloc(sizeof *d);
    d->driver.ops = &driver_ops;
    d->source = mk_arena_str(&d->arena, mk_str_of(source)).p;
    own = MK_BYTES(mk_arena_copy(&d->arena, content.p, content.n), content.n);
    rv = mk_decode(&d->content, &coa_price_feed_content_type, own, &d->arena, reterr);
    if (rv != 0) {
        driver_stop(&d->driver);
        return rv;
    }
    *ret = &d->driver;
    return 0;
}
