/* cmd_status.c - `coalition status [FILE] [--node NODE]`: what nodes say of themselves. */
#include "node_address.h"

#include <mosaik/node.h>

#include <stdio.h>
#include <string.h>

#define NEAR_MS (72ll * 3600000) /* a ticket that ends within three days is told of */

struct input {
    const char *file, *node;
    uint32_t timeout_ms;
    bool json;
};

static const struct argp_option options[] = {
    {"node", 'n', "NODE", 0,
     "Ask this node alone: <peer hex>@host:port, a node file or a folder with one; with FILE also "
     "a "
     "member's folder beside it, or the beginning of a member's peer id",
     0},
    {"timeout", 't', "S", 0, "Seconds to wait for all of them (10)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'n':
        in->node = arg;
        return 0;
    case 'j':
        in->json = true;
        return 0;
    case 't':
        if (parse_timeout(&in->timeout_ms, arg) != 0)
            wrong_usage(state, "--timeout: seconds are wanted");
        return 0;
    case ARGP_KEY_ARG:
        if (in->file != NULL)
            wrong_usage(state, "too many arguments");
        in->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->file == NULL && in->node == NULL)
            wrong_usage(state, "a coalition file or --node is wanted");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "-";
}

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static const char *and_why(const json_t *c)
{
    return text_of(c, "why")[0] != '\0' ? "; " : "";
}

static void print_refused(const json_t *refused)
{
    const json_t *r;
    size_t i;

    json_array_foreach(refused, i, r)
        printf("    refused (%lld): %s\n", number_of(r, "count"), text_of(r, "reason"));
}

static void print_bonds(const json_t *c)
{
    const json_t *bonds = json_object_get(c, "bonds"), *m;
    size_t i;

    printf("    %lld members, %lld clients, %lld readers bound\n", number_of(bonds, "members"),
           number_of(bonds, "clients"), number_of(bonds, "readers"));
    print_refused(json_object_get(bonds, "refused"));
    json_array_foreach(json_object_get(c, "members"), i, m)
    {
        if (number_of(m, "lag") > 0)
            printf("    member %.16s is %lld entries behind\n", text_of(m, "peer"),
                   number_of(m, "lag"));
    }
}

/** What is still there, and what is promised. */
static void print_retention(const json_t *s)
{
    const json_t *r = json_object_get(s, "retention");

    if (r == NULL)
        return;
    printf("      kept from commit %lld on; promised: the newest %lld", number_of(s, "oldest"),
           number_of(r, "commits"));
    if (number_of(r, "ms") > 0)
        printf(", and %lld s", number_of(r, "ms") / 1000);
    printf(", within %lld KiB%s\n", number_of(r, "bytes") / 1024,
           json_is_true(json_object_get(r, "cut")) ? " (which cut it short)" : "");
}

/** What the disk turned, and whether the others have given it again. */
static void print_damage(const json_t *c)
{
    if (number_of(c, "damages") > 0)
        printf("    damaged (%lld), filled again from the others (%lld): %s\n",
               number_of(c, "damages"), number_of(c, "mended"), text_of(c, "damage"));
}

static void print_component(const json_t *c)
{
    const json_t *s;
    size_t i;

    printf("  %-16s %-10s term %lld, commit %lld, applied %lld, epoch %lld%s%s\n",
           text_of(c, "component"), text_of(c, "state"), number_of(c, "term"),
           number_of(c, "commit"), number_of(c, "applied"), number_of(c, "epoch"), and_why(c),
           text_of(c, "why"));
    json_array_foreach(json_object_get(c, "surfaces"), i, s)
    {
        printf("    %-6s %-14s %lld commits, certified to %lld by %lld members\n",
               text_of(s, "kind"), text_of(s, "name"), number_of(s, "index"),
               number_of(s, "certified_index"), number_of(s, "signatures"));
        print_retention(s);
    }
    print_damage(c);
    print_bonds(c);
}

static const char *short_of(const json_t *o, const char *key, char out[17])
{
    snprintf(out, 17, "%.16s", text_of(o, key));
    return out;
}

static void print_producer(const json_t *p)
{
    const json_t *s;
    char hex[17];
    size_t i;

    printf("  produces %s: %lld items, %lld subscribers%s, %lld retained\n",
           short_of(p, "surface", hex), number_of(p, "sent"), number_of(p, "subscribed"),
           json_is_true(json_object_get(p, "online")) ? "" : " (offline)",
           number_of(p, "retained_items"));
    json_array_foreach(json_object_get(p, "subscribers"), i, s)
    {
        if (number_of(s, "lag_items") > 0)
            printf("    subscriber %s is %lld items behind (%lld ms)%s\n", short_of(s, "peer", hex),
                   number_of(s, "lag_items"), number_of(s, "lag_ms"),
                   json_is_true(json_object_get(s, "stalled")) ? ", and does not read" : "");
    }
    if (number_of(p, "dropped") + number_of(p, "closed_slow") > 0)
        printf("    slow subscribers: %lld items dropped, %lld closed\n", number_of(p, "dropped"),
               number_of(p, "closed_slow"));
    print_refused(json_object_get(p, "refused"));
}

static void print_consumer(const json_t *c)
{
    char surface[17], producer[17];

    printf("  consumes %s of %s: ", short_of(c, "surface", surface),
           short_of(c, "producer", producer));
    if (json_is_true(json_object_get(c, "subscribed")))
        printf("%lld items, %lld behind, %lld lost\n", number_of(c, "items"),
               number_of(c, "lag_items"), number_of(c, "lost"));
    else
        printf("not subscribed: %s\n", text_of(c, "why"));
}

static void print_bond(const json_t *b)
{
    printf("  bound to %-12s %s, %lld of %lld members linked", text_of(b, "component"),
           text_of(b, "state"), number_of(b, "linked"), number_of(b, "members"));
    if (json_is_integer(json_object_get(b, "lag_ms")))
        printf(", newest certificate read is %.1f s old", (double)number_of(b, "lag_ms") / 1000);
    printf("%s%s\n", text_of(b, "why")[0] != '\0' ? "; " : "", text_of(b, "why"));
}

static void print_replica(const json_t *r)
{
    printf("  replica of %-9s ", text_of(r, "component"));
    if (json_is_integer(json_object_get(r, "age_ms")))
        printf("what it serves is %.1f s old", (double)number_of(r, "age_ms") / 1000);
    else
        printf("nothing certified yet");
    printf(", %lld readers", number_of(r, "readers"));
    if (number_of(r, "refused") > 0)
        printf(", %lld refused (%s)", number_of(r, "refused"), text_of(r, "reason"));
    printf("%s%s\n", text_of(r, "why")[0] != '\0' ? "; " : "", text_of(r, "why"));
}

static void print_streams(const json_t *node)
{
    const json_t *o;
    size_t i;

    json_array_foreach(json_object_get(node, "replicas"), i, o) print_replica(o);
    json_array_foreach(json_object_get(node, "bonds"), i, o) print_bond(o);
    json_array_foreach(json_object_get(node, "producers"), i, o) print_producer(o);
    json_array_foreach(json_object_get(node, "consumers"), i, o) print_consumer(o);
    if (number_of(node, "not_shown") > 0)
        printf("  and %lld more\n", number_of(node, "not_shown"));
}

/** In the largest unit that it has two of. */
static void print_left(const char *jti, long long s)
{
    long long n = s >= 7200 ? s / 3600 : s >= 120 ? s / 60 : s;

    printf("  ticket %s expires in %lld %s%s\n", jti, n,
           s >= 7200  ? "hour"
           : s >= 120 ? "minute"
                      : "second",
           n == 1 ? "" : "s");
}

/** What will refuse somebody soon, or does not refuse whom it should. */
static void print_admission(const json_t *node)
{
    const json_t *o;
    size_t i;

    json_array_foreach(json_object_get(node, "issuers"), i, o)
    {
        if (json_is_true(json_object_get(o, "fresh")))
            printf("  issuer %.16s: tickets revoked: %lld\n", text_of(o, "root"),
                   number_of(o, "revoked"));
        else
            printf("  issuer %.16s: no fresh revocation list, so each ticket counts until it "
                   "expires\n",
                   text_of(o, "root"));
    }
    json_array_foreach(json_object_get(node, "tickets"), i, o)
    {
        long long left = number_of(o, "expires_ms") - number_of(node, "unix_ms");

        if (number_of(o, "expires_ms") > 0 && left <= 0)
            printf("  ticket %s has expired\n", text_of(o, "jti"));
        else if (number_of(o, "expires_ms") > 0 && left < NEAR_MS)
            print_left(text_of(o, "jti"), left / 1000);
    }
}

/** Its object, or one with "error". */
static json_t *object_of(const struct mk_status_answer *a)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;

    if (o == NULL) {
        o = json_object();
        json_object_set_new(o, "peer",
                            json_stringn(a->address.p, a->address.n < 64 ? a->address.n : 64));
        json_object_set_new(o, "error",
                            json_string(a->status != 0 ? a->fault.text : "the answer is no JSON"));
    }
    json_object_set_new(o, "address", json_text(a->address));
    return o;
}

/* What an emulator proves is nothing, and nobody shall overlook that it is on. */
static void print_attestation(const json_t *a)
{
    const json_t *p;
    size_t i;

    if (!json_is_object(a))
        return;
    if (json_is_true(json_object_get(a, "emulated")))
        printf(
            "  !!! TDX IS EMULATED OR UNDER A ROOT THAT IS NOT INTEL'S: QUOTES HERE PROVE NOTHING "
            "!!!\n");
    printf("  quotes           source %s, root %s%s%s\n", text_of(a, "source"), text_of(a, "root"),
           text_of(a, "fault")[0] != '\0' ? "; " : "", text_of(a, "fault"));
    json_array_foreach(json_object_get(a, "peers"), i, p)
    {
        printf("    %.16s %s%s%s\n", text_of(p, "peer"), text_of(p, "quote"),
               text_of(p, "reason")[0] != '\0' ? ": " : "", text_of(p, "reason"));
    }
}

static void print_node(const json_t *o)
{
    const json_t *c;
    size_t i;

    printf("node %.16s at %s%s%s\n", text_of(o, "peer"),
           strchr(text_of(o, "address"), '@') != NULL ? strchr(text_of(o, "address"), '@') + 1
                                                      : text_of(o, "address"),
           json_object_get(o, "error") != NULL ? ": " : "",
           json_object_get(o, "error") != NULL ? text_of(o, "error") : "");
    if (json_is_string(json_object_get(o, "damaged")))
        printf("  a log was put away: %s\n", text_of(o, "damaged"));
    print_attestation(json_object_get(o, "attestation"));
    json_array_foreach(json_object_get(o, "components"), i, c) print_component(c);
    print_streams(o);
    print_admission(o);
}

static void ask(struct mk_network *net, struct mk_status_answer *v, size_t n, uint32_t timeout_ms,
                json_t *nodes)
{
    mk_node_ask_all(net, v, n, timeout_ms);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(nodes, object_of(&v[i]));
        mk_buf_done(&v[i].json);
    }
}

/* --- what the coalition spans -------------------------------------------------------------- */

/** What the nodes that answered say of one component. */
struct seen {
    long long nodes; /* of its members, whatever they run */
    long long answered, commit, behind, certified_ms, uncertified_ms;
    const char *leader, *why;
    const char *other; /* another deployment of it, that members run */
};

/** How far any of them shows a certificate of that surface. */
static long long certified_to(const json_t *nodes, const char *stable_id, const char *surface)
{
    const json_t *node, *c, *x;
    size_t i, k, m;
    long long to = 0;

    json_array_foreach(nodes, i, node)
    {
        json_array_foreach(json_object_get(node, "components"), k, c)
        {
            if (strcmp(text_of(c, "stable_id"), stable_id) != 0)
                continue;
            json_array_foreach(json_object_get(c, "surfaces"), m, x)
            {
                if (strcmp(text_of(x, "surface"), surface) == 0 &&
                    number_of(x, "certified_index") > to)
                    to = number_of(x, "certified_index");
            }
        }
    }
    return to;
}

static void look_at(struct seen *s, const json_t *nodes, const json_t *c)
{
    long long commit = number_of(c, "commit");
    const json_t *surface;
    size_t i;

    s->behind = s->answered == 0 || commit < s->behind ? commit : s->behind;
    s->commit = commit > s->commit ? commit : s->commit;
    s->answered++;
    if (json_is_string(json_object_get(c, "leader")))
        s->leader = text_of(c, "leader");
    if (text_of(c, "why")[0] != '\0')
        s->why = text_of(c, "why");
    json_array_foreach(json_object_get(c, "surfaces"), i, surface)
    {
        long long waits = number_of(surface, "uncertified_ms");

        if (number_of(surface, "certified_time_ms") > s->certified_ms)
            s->certified_ms = number_of(surface, "certified_time_ms");
        if (waits > s->uncertified_ms &&
            number_of(surface, "index") >
                certified_to(nodes, text_of(c, "stable_id"), text_of(surface, "surface")))
            s->uncertified_ms = waits;
    }
}

static bool is_member(const struct component *c, const char *address)
{
    for (size_t i = 0; i < c->reference.n_addresses; i++) {
        if (mk_str_is(c->reference.addresses[i], address))
            return true;
    }
    return false;
}

/** Without an operator, who might have signed a newer one, the file says what deployment it is. */
static bool is_other(const struct component *c, const json_t *running)
{
    char hex[MK_ID_HEX];

    return c->reference.has_version0 && !c->reference.operator_.some &&
           strcmp(text_of(running, "deployment"), mk_id_hex(&c->reference.deployment, hex)) != 0;
}

static struct seen look(const json_t *nodes, const struct component *of, const char *stable_id)
{
    struct seen s = {0};
    const json_t *node, *c;
    size_t i, k;

    json_array_foreach(nodes, i, node)
    {
        if (json_object_get(node, "error") == NULL && is_member(of, text_of(node, "address")))
            s.nodes++;
        json_array_foreach(json_object_get(node, "components"), k, c)
        {
            if (strcmp(text_of(c, "stable_id"), stable_id) != 0)
                continue;
            if (is_other(of, c))
                s.other = text_of(c, "deployment");
            else
                look_at(&s, nodes, c);
        }
    }
    return s;
}

static json_t *why_of(const struct component *c, const struct seen *s)
{
    const char *why = c->reference.n_addresses == 0 ? "the file names none of its members"
                      : s->answered > 0             ? s->leader == NULL ? "it has no leader" : ""
                      : s->other != NULL
                          ? "its members run another deployment of it than the file's"
                      : s->nodes > 0 ? "its members answered, and none runs it"
                                     : "no member answered";
    const char *more = s->other != NULL && s->answered == 0 ? s->other : s->why;

    return json_sprintf("%s%s%s", why, why[0] != '\0' && more != NULL ? ": " : "",
                        more != NULL ? more : "");
}

static json_t *spanned_one(const struct component *c, const json_t *nodes)
{
    char hex[MK_ID_HEX];
    struct seen s = look(nodes, c, mk_id_hex(&c->reference.stable_id, hex));
    json_t *o = json_object();

    json_object_set_new(o, "component", json_text(c->reference.label));
    json_object_set_new(o, "stable_id", json_string(hex));
    json_object_set_new(o, "module", json_boolean(c->is_module));
    json_object_set_new(o, "members", json_integer((json_int_t)c->reference.n_addresses));
    json_object_set_new(o, "answered", json_integer(s.answered));
    json_object_set_new(o, "leader", s.leader != NULL ? json_string(s.leader) : json_null());
    json_object_set_new(o, "commit", s.answered > 0 ? json_integer(s.commit) : json_null());
    json_object_set_new(o, "lag", s.answered > 0 ? json_integer(s.commit - s.behind) : json_null());
    json_object_set_new(o, "certified_ms",
                        s.certified_ms > 0 ? json_integer(s.certified_ms) : json_null());
    json_object_set_new(o, "lag_ms", s.answered > 0 ? json_integer(s.uncertified_ms) : json_null());
    json_object_set_new(o, "why", why_of(c, &s));
    return o;
}

static json_t *spanned_of(struct agent *a, const json_t *nodes)
{
    struct component *v;
    size_t n = agent_components(a, &v);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, spanned_one(&v[i], nodes));
    return list;
}

static void print_spanned(const json_t *s)
{
    printf("%s %-12s %lld of %lld members answered",
           json_is_true(json_object_get(s, "module")) ? "module  " : "organism",
           text_of(s, "component"), number_of(s, "answered"), number_of(s, "members"));
    if (number_of(s, "answered") > 0)
        printf(", commit %lld, the last of them %lld entries behind", number_of(s, "commit"),
               number_of(s, "lag"));
    if (number_of(s, "lag_ms") > 0)
        printf(", a commit of %.1f s ago is not certified", (double)number_of(s, "lag_ms") / 1000);
    else if (number_of(s, "answered") > 0)
        printf(", nothing waits for a certificate");
    printf("%s%s\n", text_of(s, "why")[0] != '\0' ? "; " : "", text_of(s, "why"));
}

/** Every member that the file names, and what it spans; or one of them alone. */
static int ask_of_file(const struct input *in, json_t *nodes, json_t **ret_spanned)
{
    struct mk_status_answer *v, one = {0};
    struct agent a;
    int rv = agent_open(&a, in->file, NULL);

    if (rv == 0 && in->node != NULL) {
        rv = node_address(&a, in->file, in->node, &a.arena, &one.address);
        if (rv == 0)
            ask(a.net, &one, 1, in->timeout_ms, nodes);
    } else if (rv == 0) {
        size_t n = agent_members(&a, &v);

        ask(a.net, v, n, in->timeout_ms, nodes);
        *ret_spanned = spanned_of(&a, nodes);
    }
    agent_close(&a);
    return rv;
}

static int ask_one(const struct input *in, json_t *nodes)
{
    struct mk_status_answer answer = {0};
    struct mk_arena arena = {0};
    struct mk_fault fault = {{0}};
    struct mk_network *net = NULL;
    struct mk_env *loop = NULL;
    int rv, status = node_address(NULL, NULL, in->node, &arena, &answer.address);

    if (status != 0) {
        mk_arena_done(&arena);
        return status;
    }
    rv = mk_loop_open(&loop, NULL, &fault);
    if (rv == 0)
        rv = mk_network_open(loop, &net, &(struct mk_network_options){0}, &fault);
    if (rv == 0)
        ask(net, &answer, 1, in->timeout_ms, nodes);
    mk_network_close(net);
    mk_loop_free(loop);
    mk_arena_done(&arena);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

/** Nodes answered, and none runs anything of what the file spans. */
static int complain_unspanned(const struct input *in, const json_t *spanned)
{
    const json_t *s;
    size_t i;

    json_array_foreach(spanned, i, s)
    {
        if (number_of(s, "answered") > 0)
            return 0;
    }
    if (json_array_size(spanned) == 0 || in->json)
        return json_array_size(spanned) == 0 ? 0 : STATUS_CHECK;
    return complain(STATUS_CHECK, "no node that answered runs a component of %s", in->file);
}

int cmd_status(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse,
                                     "[FILE]",
                                     "What nodes say of themselves: components, roles, terms, "
                                     "indices, certificates, links; what is bound, whom which "
                                     "clause refused, what lags. FILE: every committee member that "
                                     "the coalition file names, or --node of them.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct input in = {.timeout_ms = TIMEOUT_MS_DEFAULT};
    json_t *nodes = json_array(), *spanned = NULL, *o, *node;
    size_t i, silent = 0;
    int rv;

    parse_options(&argp, argc, argv, &in);
    rv = in.file != NULL ? ask_of_file(&in, nodes, &spanned) : ask_one(&in, nodes);
    json_array_foreach(nodes, i, node) silent += json_object_get(node, "error") != NULL;
    if (rv == 0 && in.json) {
        o = json_object();
        json_object_set(o, "nodes", nodes);
        if (spanned != NULL)
            json_object_set(o, "spanned", spanned);
        print_json(o);
    } else if (rv == 0) {
        json_array_foreach(spanned, i, node) print_spanned(node);
        json_array_foreach(nodes, i, node) print_node(node);
    }
    if (rv == 0 && silent == json_array_size(nodes))
        rv = in.json ? STATUS_TIMEOUT : complain(STATUS_TIMEOUT, "no node answered");
    else if (rv == 0)
        rv = complain_unspanned(&in, spanned);
    json_decref(nodes);
    json_decref(spanned);
    return rv;
}
