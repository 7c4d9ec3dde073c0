/* status_client.c - asking nodes what they say of themselves, or of a command.
 *
 * All are dialed at once; each is asked as soon as there is a link to it, and the one deadline is
 * everybody's: a node that is silent does not hold up what the others said. */
#include "node/network.h"
#include <mosaik/node.h>
#include <string.h>

struct question {
    struct mk_network *network;
    struct mk_status_answer *answer;
    struct mk_peer peer;
    struct mk_conv *conv;
    bool wanted, asked, done;
};

struct questions {
    const char *proto;
    struct mk_bytes first;
    struct question *v;
    size_t n;
};

static void question_end(struct question *q, int status)
{
    q->answer->status = status;
    q->done = true;
}

static void answer_message(struct mk_conv *c, struct mk_bytes m)
{
    struct question *q = c->owner;

    if (q->done)
        return;
    mk_buf_put(&q->answer->json, m.p, m.n);
    question_end(q, 0);
}

static void answer_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct question *q = c->owner;

    q->conv = NULL;
    if (!q->done)
        question_end(q, mk_fault(&q->answer->fault, MK_EUNREACHABLE, "%s%s%s", mk_close_text(close),
                                 detail[0] != '\0' ? ": " : "", detail));
}

static const struct mk_conv_cbs answer_cbs = {.message = answer_message, .closed = answer_closed};

/** Between two turns of the loop: those that are linked by now are asked. */
static bool questions_done(void *arg)
{
    struct questions *all = arg;
    bool done = true;

    for (size_t i = 0; i < all->n; i++) {
        struct question *q = &all->v[i];
        struct mk_link *l = q->done || q->asked ? NULL : mk_net_link(q->network->net, &q->peer);
        int rv;

        if (l != NULL) {
            q->asked = true;
            rv = mk_conv_open(l, &q->conv, all->proto, all->first, &answer_cbs, q);
            if (rv != 0)
                question_end(q, mk_fault(&q->answer->fault, rv, "%s", mk_strerror(rv)));
        }
        done &= q->done;
    }
    return done;
}

static void question_begin(struct question *q, struct mk_network *n, struct mk_status_answer *a)
{
    char host_port[MK_HOST_PORT_MAX];
    int rv = mk_net_parse_address(&q->peer, host_port, a->address, &a->fault);

    q->network = n;
    q->answer = a;
    a->json = (struct mk_buf){0};
    if (rv != 0) {
        question_end(q, rv);
        return;
    }
    mk_discovery_want(n->discovery, &q->peer, host_port);
    q->wanted = true;
}

/** After the deadline, or the answer. */
static void question_finish(struct question *q, uint32_t timeout_ms)
{
    char detail[MK_REASON_MAX];
    unsigned close;

    if (!q->done && q->asked) {
        question_end(q, mk_fault(&q->answer->fault, MK_ETIMEDOUT,
                                 "linked, but no answer within %u ms", timeout_ms));
    } else if (!q->done) {
        mk_discovery_diagnose(q->network->discovery, &q->peer, &close, detail);
        question_end(q, mk_fault(&q->answer->fault, MK_EUNREACHABLE, "%s%s%s", mk_close_text(close),
                                 detail[0] != '\0' ? ": " : "", detail));
    }
    if (q->conv != NULL)
        mk_conv_close(q->conv, MK_CLOSE_NONE, NULL);
    if (q->wanted)
        mk_discovery_unwant(q->network->discovery, &q->peer);
}

/** Asks all of them, and ends each. */
static void ask(struct mk_network *n, struct questions *all, uint32_t timeout_ms)
{
    mk_loop_run_until(n->env, questions_done, all, timeout_ms);
    for (size_t i = 0; i < all->n; i++)
        question_finish(&all->v[i], timeout_ms);
    mk_free(all->v);
}

void mk_network_ask(struct mk_network *n, const char *proto, struct mk_bytes first,
                    const struct mk_peer *peers, struct mk_status_answer *answers, size_t n_answers,
                    uint32_t timeout_ms)
{
    struct questions all = {.proto = proto,
                            .first = first,
                            .v = mk_alloc((n_answers + 1) * sizeof *all.v),
                            .n = n_answers};

    for (size_t i = 0; i < n_answers; i++) {
        answers[i] = (struct mk_status_answer){.status = 0};
        all.v[i] = (struct question){
            .network = n, .answer = &answers[i], .peer = peers[i], .wanted = true};
        mk_discovery_want(n->discovery, &peers[i], NULL);
    }
    ask(n, &all, timeout_ms);
}

static void ask_all(struct mk_network *n, const char *proto, struct mk_bytes first,
                    struct mk_status_answer *answers, size_t n_answers, uint32_t timeout_ms)
{
    struct questions all = {.proto = proto,
                            .first = first,
                            .v = mk_alloc((n_answers + 1) * sizeof *all.v),
                            .n = n_answers};

    for (size_t i = 0; i < n_answers; i++)
        question_begin(&all.v[i], n, &answers[i]);
    ask(n, &all, timeout_ms);
}

void mk_node_ask_all(struct mk_network *n, struct mk_status_answer *answers, size_t n_answers,
                     uint32_t timeout_ms)
{
    ask_all(n, "status", MK_BYTES(NULL, 0), answers, n_answers, timeout_ms);
}

int mk_node_ask_status(struct mk_network *n, struct mk_str address, uint32_t timeout_ms,
                       struct mk_buf *json, struct mk_fault *reterr)
{
    struct mk_status_answer a = {.address = address};

    mk_node_ask_all(n, &a, 1, timeout_ms);
    mk_buf_put(json, a.json.p, a.json.n);
    mk_buf_done(&a.json);
    if (a.status != 0 && reterr != NULL)
        *reterr = a.fault;
    return a.status;
}
