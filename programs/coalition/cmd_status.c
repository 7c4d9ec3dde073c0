/* cmd_status.c - `coalition status [FILE] [--node ADDR]`: what nodes say of themselves. */
#include "agent.h"

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
    {"node", 'n', "ADDR", 0, "Ask this node: <peer hex>@host:port", 0},
    {"timeout", 't', "S", 0, "Seconds to wait for all of them (3)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;
    struct mk_peer peer;

    switch (key) {
    case 'n':
        if (strlen(arg) < 66 || arg[64] != '@' ||
            mk_peer_unhex(&peer, (struct mk_str){arg, 64}) != 0)
            wrong_usage(state, "--node: <64 hex digits>@host:port is wanted");
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
        if ((in->file == NULL) == (in->node == NULL))
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

static void print_bonds(const json_t *c)
{
    const json_t *bonds = json_object_get(c, "bonds"), *r, *m;
    size_t i;

    printf("    %lld members, %lld clients, %lld readers bound\n", number_of(bonds, "members"),
           number_of(bonds, "clients"), number_of(bonds, "readers"));
    json_array_foreach(json_object_get(bonds, "refused"), i, r)
        printf("    refused (%lld): %s\n", number_of(r, "count"), text_of(r, "reason"));
    json_array_foreach(json_object_get(c, "members"), i, m)
    {
        if (number_of(m, "lag") > 0)
            printf("    member %.16s is %lld entries behind\n", text_of(m, "peer"),
                   number_of(m, "lag"));
    }
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
    }
    print_bonds(c);
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
            printf("  ticket %s expires in %lld hours\n", text_of(o, "jti"), left / 3600000);
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
    print_attestation(json_object_get(o, "attestation"));
    json_array_foreach(json_object_get(o, "components"), i, c) print_component(c);
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

static void ask_all(struct agent *a, const struct input *in, json_t *nodes)
{
    struct mk_status_answer *v;
    size_t n = agent_members(a, &v);

    ask(a->net, v, n, in->timeout_ms, nodes);
}

static int ask_one(const struct input *in, json_t *nodes)
{
    struct mk_status_answer answer = {.address = mk_str_of(in->node)};
    struct mk_fault fault = {{0}};
    struct mk_network *net = NULL;
    struct mk_env *loop = NULL;
    int rv = mk_loop_open(&loop, NULL, &fault);

    if (rv == 0)
        rv = mk_network_open(loop, &net, &(struct mk_network_options){0}, &fault);
    if (rv == 0)
        ask(net, &answer, 1, in->timeout_ms, nodes);
    mk_network_close(net);
    mk_loop_free(loop);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

int cmd_status(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse,
                                     "[FILE]",
                                     "What nodes say of themselves: components, roles, terms, "
                                     "indices, certificates, links. FILE: every "
                                     "committee member that the coalition file names.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct input in = {.timeout_ms = 3000};
    json_t *nodes = json_array(), *o, *node;
    struct agent a;
    size_t i, silent = 0;
    int rv;

    parse_options(&argp, argc, argv, &in);
    if (in.file != NULL) {
        rv = agent_open(&a, in.file, NULL);
        if (rv == 0)
            ask_all(&a, &in, nodes);
        agent_close(&a);
    } else {
        rv = ask_one(&in, nodes);
    }
    json_array_foreach(nodes, i, node) silent += json_object_get(node, "error") != NULL;
    if (rv == 0 && in.json) {
        o = json_object();
        json_object_set(o, "nodes", nodes);
        print_json(o);
    } else if (rv == 0) {
        json_array_foreach(nodes, i, node) print_node(node);
    }
    if (rv == 0 && silent == json_array_size(nodes))
        rv = in.json ? STATUS_TIMEOUT : complain(STATUS_TIMEOUT, "no node answered");
    json_decref(nodes);
    return rv;
}
