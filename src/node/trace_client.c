/* trace_client.c - the course of a write, asked of the members that a bond knows (trace.c has the
 * protocol). A member that does not answer is one line of the course. */
#include "node/network.h"
#include "node/status.h"
#include <mosaik/loop.h>
#include <mosaik/node.h>
#include <string.h>

#define MEMBERS_MAX (MK_ROSTER_MAX + MK_BOND_NEWCOMERS_MAX)
#define SETTLE_MS 300u /* for the members that are behind */
#define AGAIN_MS 20u

static size_t members_of(const struct mk_bond *b, struct mk_peer *out)
{
    size_t n = 0;

    for (size_t i = 0; b->bound && i < b->component.roster.peers.n; i++)
        out[n++] = b->component.roster.peers.v[i];
    for (size_t i = 0; i < b->n_newcomers; i++)
        out[n++] = b->newcomers[i];
    return n;
}

static void ask(struct mk_bond *b, char verb, const struct mk_peer *peers,
                struct mk_status_answer *answers, size_t n, uint32_t timeout_ms)
{
    uint8_t first[33] = {(uint8_t)verb};

    memcpy(first + 1, b->reference.stable_id.b, 32);
    mk_network_ask(b->network, "trace", MK_BYTES(first, sizeof first), peers, answers, n,
                   timeout_ms);
}

void mk_bond_trace_begin(struct mk_bond *b, uint32_t timeout_ms)
{
    struct mk_status_answer *answers = mk_alloc(MEMBERS_MAX * sizeof *answers);
    struct mk_peer peers[MEMBERS_MAX];
    size_t n = members_of(b, peers);

    ask(b, 'A', peers, answers, n, timeout_ms);
    for (size_t i = 0; i < n; i++)
        mk_buf_done(&answers[i].json);
    mk_free(answers);
}

static json_t *told(struct mk_status_answer *a)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;

    if (json_is_object(o))
        return o;
    json_decref(o);
    o = json_object();
    json_object_set_new(o, "error",
                        json_string(a->status != 0 ? a->fault.text : "the answer is no object"));
    return o;
}

/** One round of questions. Given; *ret_settled: whether all that answered have applied it. */
static json_t *ask_round(struct mk_bond *b, const struct mk_peer *peers, size_t n,
                         uint32_t timeout_ms, bool *ret_settled)
{
    struct mk_status_answer *answers = mk_alloc(MEMBERS_MAX * sizeof *answers);
    json_t *list = json_array();

    *ret_settled = true;
    ask(b, 'R', peers, answers, n, timeout_ms);
    for (size_t i = 0; i < n; i++) {
        json_t *o = told(&answers[i]);

        if (answers[i].status == 0 &&
            json_object_get(json_object_get(o, "steps"), "applied") == NULL)
            *ret_settled = false;
        json_object_set_new(o, "peer", mk_json_hex(peers[i].b, sizeof peers[i].b));
        json_array_append_new(list, o);
        mk_buf_done(&answers[i].json);
    }
    mk_free(answers);
    return list;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/* A majority has the write when its sender is told; the rest a moment later. */
void mk_bond_trace_end(struct mk_bond *b, uint32_t timeout_ms, struct mk_buf *json)
{
    struct mk_env *e = b->network->env;
    uint64_t until = mk_now(e) + SETTLE_MS * MK_MS;
    struct mk_peer peers[MEMBERS_MAX];
    size_t n = members_of(b, peers);
    bool settled;
    json_t *list = ask_round(b, peers, n, timeout_ms, &settled);

    while (!settled && mk_now(e) < until) {
        json_decref(list);
        mk_loop_run_until(e, never, NULL, AGAIN_MS);
        list = ask_round(b, peers, n, timeout_ms, &settled);
    }
    mk_json_write(json, list);
}
