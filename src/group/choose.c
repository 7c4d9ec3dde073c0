/* choose.c - choosing a member, and remembering why not another one.
 *
 * A member that failed is left alone for a while that doubles with each failure in a
 * row, so that a committee that refuses us is not asked a thousand times a second; a
 * link that comes up anew is not known here and changes nothing about that. A member
 * that lied is never asked again by this client: there are others, and its name was
 * reported. */
#include "group/choose.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MIN_MS 200u
#define RETRY_MAX_MS 5000u
#define EVIDENCE_MS 20u /* until a member's quote is looked for again */

static void evidence_changed(struct mk_witness_watch *w, const struct mk_peer *peer)
{
    struct mk_chooser *c = mk_container_of(w, struct mk_chooser, evidence);

    (void)peer;
    mk_later(c->env, c->task);
}

void mk_chooser_init(struct mk_chooser *c, struct mk_env *e, struct mk_net *net,
                     const struct mk_reader_memory *memory, const struct mk_component *component,
                     struct mk_client_report *report, struct mk_task *task)
{
    uint8_t seed;

    *c = (struct mk_chooser){
        .env = e, .net = net, .memory = memory, .report = report, .component = component};
    mk_entropy(e, &seed, sizeof seed);
    c->turn = seed;
    c->task = task;
    c->evidence.changed = evidence_changed;
    if (component->witness != NULL && component->acl != NULL)
        mk_witness_watch(component->witness, &c->evidence);
}

void mk_chooser_through(struct mk_chooser *c, struct mk_peers *replicas)
{
    *replicas = (struct mk_peers){c->component->through, c->component->n_through};
    c->through = replicas->n > 0 ? replicas : NULL;
}

void mk_chooser_done(struct mk_chooser *c)
{
    mk_witness_unwatch(&c->evidence);
}

static const struct mk_peers *newest_peers(const struct mk_chooser *c)
{
    if (c->through != NULL)
        return c->through;
    return &mk_reader_roster(c->memory, mk_reader_epoch(c->memory))->peers;
}

/* The entry of a peer; of more than are kept, the first is used again. */
static struct mk_choice *choice_of(struct mk_chooser *c, const struct mk_peer *peer)
{
    for (unsigned i = 0; i < c->n; i++)
        if (mk_peer_eq(&c->v[i].peer, peer))
            return &c->v[i];
    if (c->n == MK_CHOICES_MAX) {
        memmove(&c->v[0], &c->v[1], (MK_CHOICES_MAX - 1) * sizeof c->v[0]);
        c->n--;
    }
    c->v[c->n] = (struct mk_choice){.peer = *peer};
    return &c->v[c->n++];
}

static bool is_refusal(const struct mk_choice *c)
{
    return c->close == MK_CLOSE_REFUSED || c->close == MK_CLOSE_EXPIRED;
}

/* What a deployment has is fixed: it will not get the surface by being asked again. */
static bool has_no_such(const struct mk_choice *c)
{
    return c->close == MK_CLOSE_NOT_FOUND;
}

static bool is_final(const struct mk_choice *c)
{
    return c->lied || is_refusal(c) || has_no_such(c);
}

void mk_chooser_forgive(struct mk_chooser *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (is_refusal(&c->v[i]) && !c->v[i].lied)
            c->v[i] = (struct mk_choice){.peer = c->v[i].peer};
    }
}

/* Who refused the tickets that we had may admit those that we have. */
static void forget_refusals(struct mk_chooser *c)
{
    const struct mk_wallet *w = c->component->wallet;

    if (w == NULL || w->version == c->renewals)
        return;
    c->renewals = w->version;
    mk_chooser_forgive(c);
}

/* What the component's ACL wants of those who serve it. */
static void judge_host(const struct mk_chooser *c, const struct mk_peer *peer,
                       struct mk_verdict *ret)
{
    const struct mk_component *of = c->component;
    struct mk_gate gate = {.acl = of->acl, .stable_id = of->stable_id};
    struct mk_bearer bearer = {.peer = *peer};

    *ret = (struct mk_verdict){.admitted = true};
    if (of->acl == NULL)
        return;
    gate.attestation = of->witness != NULL ? mk_witness_attestation(of->witness) : NULL;
    mk_gate_judge(&gate, ret, &bearer, MK_SCOPE_HOST, mk_wall_ms(c->env));
}

/* May this member serve us now? Notes why not. */
static bool may_serve(struct mk_chooser *c, struct mk_choice *choice)
{
    struct mk_verdict v;

    judge_host(c, &choice->peer, &v);
    if (v.admitted)
        return true;
    if (v.pending)
        choice->retry_ns = mk_now(c->env) + EVIDENCE_MS * MK_MS;
    else
        mk_chooser_failed(c, &choice->peer, MK_CLOSE_REFUSED, v.reason, /* lied= */ false);
    snprintf(choice->detail, sizeof choice->detail, "%s", v.reason);
    return false;
}

bool mk_chooser_still(struct mk_chooser *c, const struct mk_peer *peer, char detail[MK_REASON_MAX])
{
    struct mk_verdict v;

    judge_host(c, peer, &v);
    snprintf(detail, MK_REASON_MAX, "%s", v.reason);
    return v.admitted;
}

struct mk_link *mk_chooser_pick(struct mk_chooser *c)
{
    const struct mk_peers *peers = newest_peers(c);
    uint64_t now = mk_now(c->env);
    unsigned turn = c->turn; /* a member that fails moves it */

    forget_refusals(c);
    for (size_t i = 0; i < peers->n; i++) {
        const struct mk_peer *p = &peers->v[(turn + i) % peers->n];
        struct mk_choice *choice = choice_of(c, p);
        struct mk_link *link = mk_net_link(c->net, p);

        if (link == NULL || choice->lied || choice->retry_ns > now || !may_serve(c, choice))
            continue;
        c->turn = (unsigned)((turn + i) % peers->n);
        return link;
    }
    return NULL;
}

bool mk_chooser_prefer(struct mk_chooser *c, const struct mk_peer *peer)
{
    const struct mk_peers *peers = newest_peers(c);

    for (size_t i = 0; i < peers->n; i++) {
        const struct mk_choice *choice;

        if (!mk_peer_eq(&peers->v[i], peer))
            continue;
        choice = choice_of(c, peer);
        if (choice->lied || choice->retry_ns > mk_now(c->env) || mk_net_link(c->net, peer) == NULL)
            return false;
        c->turn = (unsigned)i;
        return true;
    }
    return false;
}

uint64_t mk_chooser_retry_ns(struct mk_chooser *c)
{
    const struct mk_peers *peers = newest_peers(c);
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < peers->n; i++) {
        struct mk_choice *choice = choice_of(c, &peers->v[i]);

        if (!choice->lied && mk_net_link(c->net, &peers->v[i]) != NULL && choice->retry_ns < first)
            first = choice->retry_ns;
    }
    return first;
}

void mk_chooser_failed(struct mk_chooser *c, const struct mk_peer *peer, unsigned close,
                       const char *detail, bool lied)
{
    struct mk_choice *choice = choice_of(c, peer);
    uint64_t wait = RETRY_MIN_MS << (choice->fails < 5 ? choice->fails : 5);

    choice->fails++;
    choice->lied = lied || choice->lied;
    choice->close = close;
    choice->retry_ns = mk_now(c->env) + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS) * MK_MS;
    snprintf(choice->detail, sizeof choice->detail, "%s", detail != NULL ? detail : "");
    if (detail == NULL || detail[0] == '\0')
        snprintf(choice->detail, sizeof choice->detail, "%s", mk_close_text(close));
    c->turn++;
    if (c->report != NULL && c->report->said != NULL)
        c->report->said(c->report, peer, close, choice->detail);
}

void mk_chooser_served(struct mk_chooser *c, const struct mk_peer *peer)
{
    struct mk_choice *choice = choice_of(c, peer);

    choice->fails = 0;
    choice->retry_ns = 0;
    choice->close = MK_CLOSE_NONE;
    choice->detail[0] = '\0';
}

static size_t count(struct mk_chooser *c, const struct mk_peers *peers,
                    bool (*is)(const struct mk_choice *c))
{
    size_t n = 0;

    for (size_t i = 0; i < peers->n; i++)
        n += is(choice_of(c, &peers->v[i]));
    return n;
}

/** A majority refused, and no other can be asked: a refused member counts as absent, so what the
 * rest would say, should it come, changes nothing. */
static bool is_shut_out(struct mk_chooser *c, const struct mk_peers *peers)
{
    if (count(c, peers, is_refusal) < peers->n / 2 + 1)
        return false;
    for (size_t i = 0; i < peers->n; i++) {
        const struct mk_peer *p = &peers->v[i];

        if (!is_final(choice_of(c, p)) &&
            (mk_net_link(c->net, p) != NULL || mk_net_first_dial(c->net, p)))
            return false;
    }
    return true;
}

int mk_chooser_why(struct mk_chooser *c, struct mk_fault *ret)
{
    const struct mk_peers *peers = newest_peers(c);
    size_t refused = count(c, peers, is_refusal);
    struct mk_buf text = {0};
    char hex[MK_ID_HEX];
    int err = is_shut_out(c, peers)                      ? MK_EREFUSED
              : count(c, peers, has_no_such) == peers->n ? MK_ENOTFOUND
                                                         : MK_EUNREACHABLE;

    if (peers->n - refused < peers->n / 2 + 1)
        mk_buf_printf(&text, "no majority: %zu members refused; ", refused);
    for (size_t i = 0; i < peers->n; i++) {
        const struct mk_choice *choice = choice_of(c, &peers->v[i]);
        const char *why = choice->detail;

        if (mk_net_link(c->net, &peers->v[i]) == NULL && !choice->lied && why[0] == '\0')
            why = "no link";
        else if (why[0] == '\0')
            why = "no answer yet";
        mk_buf_printf(&text, "%s%.8s: %s", i > 0 ? "; " : "", mk_peer_hex(&choice->peer, hex), why);
    }
    err = mk_fault(ret, err, "%.*s", (int)text.n, (const char *)text.p);
    mk_buf_done(&text);
    return err;
}

bool mk_chooser_hopeless(struct mk_chooser *c)
{
    const struct mk_peers *peers = newest_peers(c);

    forget_refusals(c);
    return count(c, peers, is_final) == peers->n || is_shut_out(c, peers);
}

struct mk_wire_tickets mk_component_tickets(const struct mk_component *c)
{
    if (c->wallet != NULL)
        return (struct mk_wire_tickets){c->wallet->v, c->wallet->n};
    return (struct mk_wire_tickets){c->tickets, c->n_tickets};
}

void mk_component_copy(struct mk_component *ret, const struct mk_component *c,
                       struct mk_arena *arena)
{
    struct mk_bytes *tickets = mk_arena_take(arena, (c->n_tickets + 1) * sizeof *tickets);

    *ret = *c;
    for (size_t i = 0; i < c->n_tickets; i++)
        tickets[i] =
            MK_BYTES(mk_arena_copy(arena, c->tickets[i].p, c->tickets[i].n), c->tickets[i].n);
    ret->tickets = tickets;
    if (c->n_through > 0)
        ret->through = mk_arena_copy(arena, c->through, c->n_through * sizeof *c->through);
    if (c->acl != NULL) {
        struct mk_acl_composition *acl = mk_arena_take(arena, sizeof *acl);
        struct mk_buf b = {0};

        mk_encode(&b, &mk_acl_composition_type, c->acl);
        MK_ASSERT(mk_decode(acl, &mk_acl_composition_type,
                            MK_BYTES(mk_arena_copy(arena, b.p, b.n), b.n), arena, NULL) == 0);
        mk_buf_done(&b);
        ret->acl = acl;
    }
    ret->roster.peers.v =
        mk_arena_copy(arena, c->roster.peers.v, c->roster.peers.n * sizeof *c->roster.peers.v);
}
