/* cmd_atlas.c - `coalition atlas list|get|publish FILE ...`. */
#include "agent.h"
#include "trace.h"

#include "atlas/atlas.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct input {
    struct words words; /* list, get or publish; FILE, MEMBER */
    struct reach reach;
    const char *member, *status, *successor;
    const char *hints[ATLAS_HINTS_MAX];
    unsigned n_hints;
    uint64_t deadline; /* of all waits together */
};

enum { OPT_MEMBER = 256, OPT_STATUS, OPT_SUCCESSOR };

static const struct argp_option options[] = {
    {"key", 'k', "FILE", 0, "The operator's key (publish); whom we bind as (list, get)", 0},
    {"member", OPT_MEMBER, "ID", 0, "Publish: the member's stable id, or member id", 0},
    {"hint", 'H', "TEXT", 0, "Publish: an endpoint hint; may be repeated", 0},
    {"status", OPT_STATUS, "S", 0, "Publish: Active, Retiring or Retired", 0},
    {"successor", OPT_SUCCESSOR, "ID", 0, "Publish: the successor's stable id", 0},
    OPTION_TRACE,
    OPTION_TICKET,
    OPTION_ATTEST,
    OPTION_AGE,
    OPTION_THROUGH,
    OPTION_TIMEOUT("Seconds (10)"),
    OPTION_JSON("Print one JSON object"),
    {0}};

static const char *const verbs[] = {"list", "get", "publish", NULL};

static int member_of(struct mk_member_id *ret, const char *text)
{
    struct mk_id id;

    if (strlen(text) == 40)
        return mk_unhex(ret->b, sizeof ret->b, text, 40);
    if (mk_id_unhex(&id, mk_str_of(text)) != 0)
        return MK_EMALFORMED;
    *ret = mk_member_id_of(&id);
    return 0;
}

static void check_words(const struct argp_state *state, const struct input *in)
{
    struct mk_member_id id;

    check_verb(state, &in->words, verbs);
    if (in->words.n >= 2 && strcmp(in->words.v[0], "get") == 0 &&
        (in->words.n != 3 || member_of(&id, in->words.v[2]) != 0))
        wrong_usage(state,
                    "get FILE MEMBER: a member id (40 hex digits) or stable id (64) is wanted");
    if (in->words.n >= 2 && strcmp(in->words.v[0], "publish") == 0 &&
        (in->reach.key == NULL || in->member == NULL || member_of(&id, in->member) != 0))
        wrong_usage(state,
                    "publish FILE: --member ID (a stable id, 64 hex digits, or a member id, 40) "
                    "and --key OPERATOR_KEY are wanted");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_MEMBER:
        in->member = arg;
        return 0;
    case 'H':
        if (in->n_hints == ATLAS_HINTS_MAX || strlen(arg) > ATLAS_HINT_MAX)
            wrong_usage(state, "--hint: at most %u of %u bytes", ATLAS_HINTS_MAX, ATLAS_HINT_MAX);
        in->hints[in->n_hints++] = arg;
        return 0;
    case OPT_STATUS:
        in->status = arg;
        return 0;
    case OPT_SUCCESSOR:
        in->successor = arg;
        return 0;
    default:
        if (parse_reach(key, arg, state, &in->reach) == 0)
            return 0;
        if (key == ARGP_KEY_END)
            check_words(state, in);
        return parse_words(key, arg, state, &in->words, 2, 3,
                           "list, get or publish, and a coalition file are");
    }
}

static const char *const status_names[] = {"Active", "Retiring", "Retired"};

static json_t *card_json(const struct atlas_card *c)
{
    struct mk_buf b = {0};
    json_t *o;

    mk_print_json(&b, &atlas_card_type, c);
    o = json_loadb((const char *)b.p, b.n, 0, NULL);
    mk_buf_done(&b);
    json_object_set_new(o, "status", json_string(status_names[c->status.tag]));
    return o;
}

static void print_card(const struct atlas_card *c)
{
    char hex[41];

    mk_hex(hex, c->member_id.b, sizeof c->member_id.b);
    printf("%s  %-10.*s %-8s version %llu\n", hex, (int)c->role.n, c->role.p,
           status_names[c->status.tag], (unsigned long long)c->version);
    for (size_t i = 0; i < c->endpoint_hints.n; i++)
        printf("    %.*s\n", (int)c->endpoint_hints.v[i].n, c->endpoint_hints.v[i].p);
}

static int list(struct agent *a, struct mk_bond *bond, const struct input *in)
{
    struct mk_fault fault = {{0}};
    struct atlas_card card;
    struct mk_map *m;
    struct mk_id cursor = {{0}};
    json_t *cards = json_array(), *o;
    int rv = atlas_read(bond, &m, NULL, NULL);

    if (rv == 0)
        rv = mk_map_wait(m, in->reach.max_age_ms, left_until(in->deadline), &fault);
    while (rv == 0 && atlas_next(m, &cursor, &card, &a->arena)) {
        if (in->words.json)
            json_array_append_new(cards, card_json(&card));
        else
            print_card(&card);
    }
    if (rv == 0 && in->words.json) {
        o = json_object();
        json_object_set(o, "cards", cards);
        json_object_set_new(o, "version", json_integer((json_int_t)mk_map_version(m)));
        json_object_set_new(o, "time_ms", json_integer((json_int_t)mk_map_time_ms(m)));
        print_json(o);
    }
    json_decref(cards);
    mk_map_close(m);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static int get(struct agent *a, struct mk_bond *bond, const struct input *in)
{
    struct mk_member_id member;
    struct mk_fault fault = {{0}};
    struct atlas_card card;
    int rv;

    member_of(&member, in->words.v[2]); /* parse() looked */
    rv = atlas_get_wait(bond, &member, in->reach.max_age_ms, left_until(in->deadline), &card,
                        &a->arena, &fault);
    if (rv == MK_ENOTFOUND)
        return complain(STATUS_CHECK, "%s: there is no card, and the committee proved it",
                        in->words.v[2]);
    if (rv != 0)
        return complain_of(rv, &fault);
    if (in->words.json)
        print_json(card_json(&card));
    else
        print_card(&card);
    return 0;
}

/* --- publish -------------------------------------------------------------------------------- */

static const struct coa_atlas_member *entry_of(struct agent *a, const struct mk_member_id *member)
{
    struct coa_atlas_members m =
        coa_atlas_catalogue(&a->file.config.lattices, &a->file.config.organisms, &a->arena);

    for (size_t i = 0; i < m.n; i++) {
        struct mk_member_id id = mk_member_id_of(&m.v[i].stable_id);

        if (memcmp(id.b, member->b, sizeof id.b) == 0)
            return &m.v[i];
    }
    return NULL;
}

static int fill_card(struct agent *a, const struct input *in, const struct coa_atlas_member *m,
                     struct atlas_card *c)
{
    struct mk_str *hints = mk_arena_take(&a->arena, (in->n_hints + 1) * sizeof *hints);

    c->member_id = mk_member_id_of(&m->stable_id);
    c->stable_id = m->stable_id;
    c->kind = m->kind;
    c->role = m->role;
    for (unsigned i = 0; i < in->n_hints; i++)
        hints[i] = mk_str_of(in->hints[i]);
    if (in->n_hints > 0)
        c->endpoint_hints = (struct atlas_hints){hints, in->n_hints};
    if (in->status != NULL) {
        unsigned i = 0;

        while (i < 3 && strcasecmp(in->status, status_names[i]) != 0)
            i++;
        if (i == 3)
            return complain(STATUS_USAGE,
                            "--status is \"%s\"; it must be Active, Retiring or Retired",
                            in->status);
        c->status.tag = i;
    }
    if (in->successor != NULL) {
        c->successor_hint.some = true;
        if (mk_id_unhex(&c->successor_hint.v, mk_str_of(in->successor)) != 0)
            return complain(STATUS_USAGE, "--successor: 64 hex digits are wanted");
    }
    c->version++;
    return 0;
}

/** The stored card with what was asked changed, signed: the one to publish next. */
static int next_card(struct agent *a, struct mk_bond *bond, const struct input *in,
                     const struct coa_atlas_member *m, struct atlas_card *ret)
{
    const struct mk_member_id member = mk_member_id_of(&m->stable_id);
    struct mk_fault fault = {{0}};
    int rv = atlas_get_wait(bond, &member, 0, left_until(in->deadline), ret, &a->arena, &fault);

    if (rv == MK_ENOTFOUND)
        memset(ret, 0, sizeof *ret);
    else if (rv != 0)
        return complain_of(rv, &fault);
    rv = fill_card(a, in, m, ret);
    if (rv == 0)
        atlas_card_sign(ret, &a->ids.modules[COA_ATLAS].module_id, &a->key);
    return rv;
}

/** Did it end without a word on whether the card was committed? */
static int complain_unpublished(int rv, const struct mk_fault *fault)
{
    if (status_of(rv) != STATUS_TIMEOUT)
        return complain_of(rv, fault);
    return complain(STATUS_TIMEOUT,
                    "%s; whether the card was committed is not known: `atlas get` tells, and "
                    "publishing it again does no harm",
                    fault->text);
}

static int publish(struct agent *a, struct mk_bond *bond, const struct input *in)
{
    const struct coa_atlas_member *m;
    struct atlas_card card;
    struct mk_fault fault = {{0}};
    struct mk_member_id member;
    json_t *o, *course = NULL;
    int rv;

    member_of(&member, in->member); /* parse() looked */
    m = entry_of(a, &member);
    if (m == NULL)
        return complain(STATUS_CHECK, "%s: not in this coalition's catalogue", in->member);
    trace_begin(bond, &in->reach, left_until(in->deadline));
    for (;;) {
        rv = next_card(a, bond, in, m, &card);
        if (rv != 0)
            return rv;
        rv = atlas_publish_wait(bond, &card, left_until(in->deadline), &fault);
        /* A member that was just started again, or was stopped for a while, gave the card that it
         * has: certified, and behind the stored one. */
        if (rv != MK_ESTALE || left_until(in->deadline) <= 1)
            break;
        mk_loop_turn(a->loop, 50);
    }
    if (rv != 0)
        return complain_unpublished(rv, &fault);
    course = trace_end(bond, &in->reach, left_until(in->deadline));
    if (!in->words.json) {
        print_card(&card);
        trace_print(course);
        json_decref(course);
        return 0;
    }
    o = json_object();
    json_object_set_new(o, "member_id", json_hex(card.member_id.b, sizeof card.member_id.b));
    json_object_set_new(o, "version", json_integer((json_int_t)card.version));
    if (course != NULL)
        json_object_set_new(o, "trace", course);
    print_json(o);
    return 0;
}

int cmd_atlas(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "list FILE\nget FILE MEMBER\npublish FILE",
        "The coalition's directory. What is printed is covered by a certificate of the "
        "Atlas committee; a card that is absent is proven absent.",
        NULL,
        NULL,
        NULL};
    struct input in = {.reach.timeout_ms = TIMEOUT_MS_DEFAULT};
    struct component c;
    struct mk_bond *bond;
    struct agent a;
    int rv;

    parse_options(&argp, argc, argv, &in);
    in.deadline = deadline_in(in.reach.timeout_ms);
    rv = agent_open(&a, in.words.v[1], &in.reach);
    if (rv == 0)
        rv = agent_bond(&a, "atlas", in.reach.timeout_ms, &c, &bond);
    if (rv == 0 && strcmp(in.words.v[0], "list") == 0)
        rv = list(&a, bond, &in);
    else if (rv == 0 && strcmp(in.words.v[0], "get") == 0)
        rv = get(&a, bond, &in);
    else if (rv == 0)
        rv = publish(&a, bond, &in);
    agent_close(&a);
    return rv;
}
