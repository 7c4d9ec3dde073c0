/* exchange.c - the protocol "quote".
 *
 * Happy path, seen by the verifier: Ask with a fresh nonce; the Quote comes and is judged
 * (judge.c); Judged tells the prover, and the conversation ends. Seen by the prover: an Ask
 * comes, the quote is made (make.c), sent, and Judged is kept. When the Ask says that its
 * sender has a quote as well, and we judge quotes, we ask him too.
 *
 * Failure modes: a peer that shows none, is busy or silent leaves evidence that says so, and
 * is asked again after MK_QUOTE_AGAIN_MS when somebody wants to know; a quote that was refused
 * stays refused as long as link and collateral do. What a stranger can cost us is bounded: one
 * quote of ours at a time for a link, MK_QUOTE_ASKS_MAX in MK_QUOTE_ASKS_MS, one quote of his. */
#include "witness/witness_int.h"

#include <stdio.h>
#include <string.h>

void mk_quote_bond_data(const struct mk_peer *prover, const struct mk_peer *verifier,
                        const uint8_t nonce[32], const uint8_t channel[32], uint8_t ret[64])
{
    struct mk_buf b = {0};
    struct mk_id h;

    mk_buf_put_str(&b, "mosaik.quote.v1|");
    mk_buf_put(&b, prover->b, sizeof prover->b);
    mk_buf_put(&b, verifier->b, sizeof verifier->b);
    mk_buf_put(&b, nonce, 32);
    mk_buf_put(&b, channel, 32);
    h = mk_hash(mk_buf_bytes(&b));
    mk_wipe(b.p, b.n);
    mk_buf_done(&b);
    memcpy(ret, h.b, 32);
    memset(ret + 32, 0, 32);
}

static int bond_data(struct mk_link *l, const struct mk_peer *prover,
                     const struct mk_peer *verifier, const uint8_t nonce[32], uint8_t ret[64])
{
    uint8_t channel[32];
    int rv = mk_link_exported(l, channel);

    if (rv == 0)
        mk_quote_bond_data(prover, verifier, nonce, channel, ret);
    mk_wipe(channel, sizeof channel);
    return rv;
}

static bool send(struct mk_conv *c, const struct mk_quote_message *m)
{
    struct mk_buf b = {0};
    int rv;

    mk_encode(&b, &mk_quote_message_type, m);
    rv = mk_conv_send(c, mk_buf_bytes(&b));
    mk_buf_done(&b);
    return rv == 0;
}

/* --- the verifier ------------------------------------------------------------------------- */

static void ask_end(struct attested *a, unsigned close, const char *detail)
{
    struct mk_conv *c = a->ask;

    a->ask = NULL;
    mk_conv_close(c, close, detail);
}

static void ask_message(struct mk_conv *c, struct mk_bytes bytes)
{
    struct attested *a = c->owner;
    struct mk_arena arena = {0};
    struct mk_quote_message m;
    struct mk_fault f = {{0}};

    if (mk_decode(&m, &mk_quote_message_type, bytes, &arena, &f) != 0 ||
        m.tag != mk_quote_message_Quote || a->quote.n > 0) {
        judge_drop(a); /* of two quotes none counts */
        witness_bad(a, "its answer is malformed");
        ask_end(a, MK_CLOSE_MALFORMED, f.text);
        witness_tell(a);
    } else {
        mk_buf_put(&a->quote, m.u.quote.p, m.u.quote.n);
        if (a->quote.n == 0)
            mk_buf_put_u8(&a->quote, 0); /* refused as a quote of one byte */
        judge_queue(a);
    }
    mk_arena_done(&arena);
}

static void ask_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct attested *a = c->owner;

    if (a->ask != c)
        return;
    a->ask = NULL;
    if (a->quote.n > 0)
        return; /* it is being judged all the same */
    witness_bad(a, "it shows no quote: %s",
                detail != NULL && detail[0] != '\0' ? detail : mk_close_text(close));
    witness_tell(a);
}

static const struct mk_conv_cbs ask_cbs = {.message = ask_message, .closed = ask_closed};

void exchange_ask(struct attested *a, struct mk_link *l)
{
    struct mk_witness *w = a->w;
    struct mk_quote_ask ask = {.back = w->source != MK_SOURCE_NONE};
    struct mk_buf first = {0};
    int rv;

    mk_entropy(w->env, ask.nonce.b, sizeof ask.nonce.b);
    mk_buf_done(&a->quote);
    rv = bond_data(l, &a->peer, mk_net_self(w->net), ask.nonce.b, a->data);
    mk_encode(&first, &mk_quote_ask_type, &ask);
    if (rv == 0)
        rv = mk_conv_open(l, &a->ask, "quote", mk_buf_bytes(&first), &ask_cbs, a);
    mk_buf_done(&first);
    a->asked = true;
    if (rv != 0) {
        a->ask = NULL;
        witness_bad(a, "its quote cannot be asked for: %s", mk_strerror(rv));
        return;
    }
    a->evidence = (struct mk_evidence){.state = MK_EVIDENCE_PENDING};
    snprintf(a->evidence.reason, sizeof a->evidence.reason,
             "its quote was asked for and is not judged yet");
    a->deadline_ns = mk_now(w->env) + MK_QUOTE_WAIT_MS * MK_MS;
    a->theirs_ns = a->deadline_ns;
    witness_arm(w);
}

void exchange_judged(struct attested *a)
{
    struct mk_quote_message m = {.tag = mk_quote_message_Judged};

    if (a->ask == NULL)
        return;
    m.u.judged.believed = a->evidence.state == MK_EVIDENCE_GOOD;
    m.u.judged.reason = mk_str_of(m.u.judged.believed ? "" : a->evidence.reason);
    send(a->ask, &m);
    ask_end(a, MK_CLOSE_NONE, "");
}

/* --- the prover --------------------------------------------------------------------------- */

static void proof_end(struct attested *a, unsigned close, const char *detail)
{
    struct mk_conv *c = a->proof;

    make_forget(a);
    a->proof = NULL;
    mk_conv_close(c, close, detail);
}

static void keep_judged(struct attested *a, const struct mk_quote_judged *j)
{
    a->proof_sent = false; /* one word on each quote: all that it admits is judged anew */
    a->theirs = j->believed ? THEIRS_BELIEVED : THEIRS_REFUSED;
    snprintf(a->theirs_why, sizeof a->theirs_why, "%.*s", (int)j->reason.n, j->reason.p);
    if (a->evidence.state != MK_EVIDENCE_GOOD)
        return;
    judge_grade(a);
    witness_tell(a);
}

static void proof_message(struct mk_conv *c, struct mk_bytes bytes)
{
    struct attested *a = c->owner;
    struct mk_arena arena = {0};
    struct mk_quote_message m;
    struct mk_fault f = {{0}};

    if (!a->proof_sent || mk_decode(&m, &mk_quote_message_type, bytes, &arena, &f) != 0 ||
        m.tag != mk_quote_message_Judged)
        proof_end(a, MK_CLOSE_MALFORMED, f.text);
    else
        keep_judged(a, &m.u.judged);
    mk_arena_done(&arena);
}

static void proof_closed(struct mk_conv *c, unsigned close, const char *detail)
{
    struct attested *a = c->owner;

    (void)close;
    (void)detail;
    if (a->proof != c)
        return;
    make_forget(a);
    a->proof = NULL;
}

static const struct mk_conv_cbs proof_cbs = {.message = proof_message, .closed = proof_closed};

/* One more of his, in time? */
static bool may_ask(struct attested *a)
{
    uint64_t now = mk_now(a->w->env);

    if (now - a->asks_ns >= MK_QUOTE_ASKS_MS * MK_MS) {
        a->asks_ns = now;
        a->n_asks = 0;
    }
    return a->n_asks++ < MK_QUOTE_ASKS_MAX;
}

static unsigned take_ask(struct mk_witness *w, struct mk_conv *c, const struct mk_quote_ask *ask,
                         char detail[MK_REASON_MAX])
{
    struct attested *a = attested_get(w, mk_link_peer(c->link));

    if (ask->back && w->verifies && !a->asked)
        exchange_ask(a, c->link);
    if (w->source == MK_SOURCE_NONE) {
        snprintf(detail, MK_REASON_MAX, "this node has no source of quotes");
        return MK_CLOSE_NOT_FOUND;
    }
    if (a->proof != NULL || w->n_to_make >= MK_QUOTES_MAKING_MAX || !may_ask(a)) {
        snprintf(detail, MK_REASON_MAX, "too many quotes are asked for");
        return MK_CLOSE_BUSY;
    }
    if (bond_data(c->link, mk_net_self(w->net), &a->peer, ask->nonce.b, a->our_data) != 0) {
        snprintf(detail, MK_REASON_MAX, "the channel exports nothing");
        return MK_CLOSE_NOT_READY;
    }
    c->cbs = &proof_cbs;
    c->owner = a;
    a->proof = c;
    a->proof_sent = false;
    a->theirs_ns = mk_now(w->env) + MK_QUOTE_WAIT_MS * MK_MS;
    make_queue(a);
    witness_arm(w);
    return 0;
}

unsigned exchange_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                         char detail[MK_REASON_MAX])
{
    struct mk_witness *w = mk_container_of(s, struct mk_witness, service);
    struct mk_arena arena = {0};
    struct mk_quote_ask ask;
    struct mk_fault f = {{0}};
    unsigned close = MK_CLOSE_MALFORMED;

    if (mk_decode(&ask, &mk_quote_ask_type, first, &arena, &f) == 0)
        close = take_ask(w, c, &ask, detail);
    else
        snprintf(detail, MK_REASON_MAX, "%.200s", f.text);
    mk_arena_done(&arena);
    return close;
}

void exchange_made(struct attested *a, int status, struct mk_bytes quote, const char *why)
{
    struct mk_quote_message m = {.tag = mk_quote_message_Quote};

    m.u.quote = quote;
    if (status != 0) {
        proof_end(a, MK_CLOSE_NOT_READY, why);
        return;
    }
    a->proof_sent = true;
    a->theirs_ns = mk_now(a->w->env) + MK_QUOTE_WAIT_MS * MK_MS;
    if (!send(a->proof, &m))
        proof_end(a, MK_CLOSE_BUSY, "the link is full");
}

void exchange_end(struct attested *a)
{
    if (a->ask != NULL)
        ask_end(a, MK_CLOSE_SHUTDOWN, "");
    if (a->proof != NULL)
        proof_end(a, MK_CLOSE_SHUTDOWN, "");
}
