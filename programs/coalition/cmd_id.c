/* cmd_id.c - `coalition id`, `derive`, `stable-id`: ids out of texts. */
#include "program.h"

#include <coalition/identity.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct input {
    bool json;
    const char *network;
    char **texts; /* lent from argv */
    unsigned n;
    unsigned least, most;
};

enum { OPT_JSON = 'j', OPT_NETWORK = 'n' };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_NETWORK:
        in->network = arg;
        return 0;
    case ARGP_KEY_ARGS:
        in->texts = state->argv + state->next;
        in->n = (unsigned)(state->argc - state->next);
        if (in->n < in->least)
            wrong_usage(state, "an argument is missing");
        if (in->n > in->most)
            wrong_usage(state, "too many arguments");
        return 0;
    case ARGP_KEY_NO_ARGS:
        wrong_usage(state, "an argument is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

#define JSON_OPTION                                           \
    {                                                         \
        "json", OPT_JSON, NULL, 0, "Print one JSON object", 0 \
    }
static const struct argp_option plain_options[] = {JSON_OPTION, {0}};

static void print_hex(const void *p, size_t n)
{
    char hex[2 * 32 + 1];

    mk_hex(hex, p, n);
    puts(hex);
}

int cmd_id(int argc, char **argv)
{
    static const struct argp argp = {
        plain_options,
        parse,
        "TEXT...",
        "Print the id of each text: exactly 64 hex digits stand for themselves, anything else is "
        "hashed.",
        NULL,
        NULL,
        NULL};
    struct input in = {.least = 1, .most = 1u << 20};
    json_t *ids = json_array();

    parse_options(&argp, argc, argv, &in);
    for (unsigned i = 0; i < in.n; i++) {
        struct mk_id id = mk_id_of_text(mk_str_of(in.texts[i]));

        json_array_append_new(ids, json_id(&id));
        if (!in.json)
            print_hex(id.b, sizeof id.b);
    }
    if (in.json)
        print_json(json_pack("{s:O}", "ids", ids));
    json_decref(ids);
    return STATUS_DONE;
}

int cmd_derive(int argc, char **argv)
{
    static const struct argp argp = {
        plain_options,
        parse,
        "ID SEGMENT...",
        "Derive an id along a path. ID is 64 hex digits or a text, which is hashed; segments are "
        "taken as they are.",
        NULL,
        NULL,
        NULL};
    struct input in = {.least = 2, .most = 1u << 20};
    struct mk_id id;
    bool hashed;

    parse_options(&argp, argc, argv, &in);
    id = id_of_word("ID", in.texts[0], &hashed);
    for (unsigned i = 1; i < in.n; i++)
        id = mk_derive(&id, mk_str_of(in.texts[i]));
    if (in.json)
        print_json(json_pack("{s:o, s:o}", "id", json_id(&id), "hashed",
                             hashed ? json_string(in.texts[0]) : json_null()));
    else
        print_hex(id.b, sizeof id.b);
    return STATUS_DONE;
}

int cmd_stable_id(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"network", OPT_NETWORK, "ID", 0,
         "The network: 64 hex digits, or a text that is hashed (default: mosaik.universe)", 0},
        JSON_OPTION,
        {0}};
    static const struct argp argp = {
        options, parse, "NAME", "Print the stable id of a name, and its member id.",
        NULL,    NULL,  NULL};
    struct input in = {.least = 1, .most = 1};
    struct mk_id network = MK_UNIVERSE, id;
    struct mk_member_id member;
    struct mk_fault fault;
    struct mk_str name;
    bool hashed = false;

    parse_options(&argp, argc, argv, &in);
    name = mk_str_of(in.texts[0]);
    if (coa_name_check(name, &fault) != 0)
        return complain(STATUS_USAGE, "NAME: %s; `coalition stable-id --help` tells more",
                        fault.text);
    if (in.network != NULL)
        network = id_of_word("--network", in.network, &hashed);
    id = coa_stable_id(name, &network);
    member = mk_member_id_of(&id);
    if (in.json) {
        print_json(json_pack("{s:o, s:o, s:o, s:o}", "stable_id", json_id(&id), "member_id",
                             json_id(&member), "network", json_id(&network), "hashed",
                             hashed ? json_string(in.network) : json_null()));
    } else {
        print_hex(id.b, sizeof id.b);
        print_hex(member.b, sizeof member.b);
    }
    return STATUS_DONE;
}
