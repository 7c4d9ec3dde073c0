/* cmd_committee.c - `coalition committee FILE --component C`: who is of a committee; another
 * leader, another roster.
 *
 * The present roster is what a member says (status); the next one is signed over its hash, so
 * a member that lies gets a proposal that its own group refuses. Then the command waits until
 * the group says that the epoch is there and every peer of the roster votes.
 *
 * The command looks on under a fresh key. A roster is authorised by its signatures; leadership and
 * checks are by the peer of the link, so for these alone there is a second network under --key.
 * Never under a member's key: of two links of one peer the newer one stays, so that the question
 * would push the running member off. */
#include "agent.h"
#include "check_states.h"

#include <mosaik/node.h>
#include <mosaik/records.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX MK_ROSTER_MAX
#define AGAIN_MS 100u
#define ASK_AGAIN_MS 2000u
#define WAIT_MS 60000u
#define WAIT_CHECK_MS 10000u

struct input {
    const char *file, *component;
    const char *keys[KEYS_MAX];
    unsigned n_keys;
    struct mk_peer add[MK_ROSTER_MAX], remove[MK_ROSTER_MAX], to;
    unsigned n_add, n_remove;
    bool transfer, to_given, check, trace, json, timeout_given;
    uint32_t timeout_ms;
};

static const struct argp_option options[] = {
    {"component", 'c', "C", 0, "A module's kind, or an organism's role or name", 0},
    {"add", 'a', "PEER", 0, "The next roster has this peer; its node runs already, with --join", 0},
    {"remove", 'r', "PEER", 0, "The next roster has not", 0},
    {"transfer", 'l', "PEER", OPTION_ARG_OPTIONAL, "Hand leadership over, to this member", 0},
    {"check", 'x', NULL, 0,
     "Every member takes the hash of its state at one entry; 1 when they are not equal", 0},
    {"trace", 'T', NULL, 0, "Print also when each member saw each step of the last changes", 0},
    {"key", 'k', "FILE", 0,
     "The operator's key; or, for a roster, repeated, those of a majority of the members", 0},
    {"timeout", 't', "S", 0, "Seconds to wait until it is done (60; --check: 10)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0}};

static void take_peer(struct argp_state *state, struct mk_peer *ret, const char *arg)
{
    size_t n = strcspn(arg, "@");

    if (n != 64 || mk_peer_unhex(ret, (struct mk_str){arg, 64}) != 0)
        wrong_usage(state, "\"%s\" is no peer: 64 hex digits are wanted", arg);
}

static void take_one_of(struct argp_state *state, struct mk_peer *v, unsigned *n, const char *arg)
{
    if (*n == MK_ROSTER_MAX)
        wrong_usage(state, "at most %u peers", MK_ROSTER_MAX);
    take_peer(state, &v[(*n)++], arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case 'c':
        in->component = arg;
        return 0;
    case 'a':
        take_one_of(state, in->add, &in->n_add, arg);
        return 0;
    case 'r':
        take_one_of(state, in->remove, &in->n_remove, arg);
        return 0;
    case 'l':
        in->transfer = true;
        if (arg != NULL) {
            in->to_given = true;
            take_peer(state, &in->to, arg);
        }
        return 0;
    case 'x':
        in->check = true;
        return 0;
    case 'T':
        in->trace = true;
        return 0;
    case 'k':
        if (in->n_keys == KEYS_MAX)
            wrong_usage(state, "at most %u keys", KEYS_MAX);
        in->keys[in->n_keys++] = arg;
        return 0;
    case 't':
        if (parse_timeout(&in->timeout_ms, arg) != 0)
            wrong_usage(state, "--timeout: seconds are wanted");
        in->timeout_given = true;
        return 0;
    case 'j':
        in->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (in->file != NULL)
            wrong_usage(state, "too many arguments");
        in->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (in->file == NULL || in->component == NULL)
            wrong_usage(state, "a coalition file and --component are wanted");
        if ((in->transfer || in->check || in->n_add + in->n_remove > 0) && in->n_keys == 0)
            wrong_usage(state, "--key is missing: the operator's");
        if (in->check && (in->transfer || in->n_add + in->n_remove > 0))
            wrong_usage(state, "--check is a command of its own");
        if (in->transfer && in->n_add + in->n_remove > 0)
            wrong_usage(state, "--transfer and another roster are two commands");
        if (!in->timeout_given)
            in->timeout_ms = in->check ? WAIT_CHECK_MS : WAIT_MS;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- what a member says ---------------------------------------------------------------- */

struct view {
    json_t *course;          /* [{peer, unix_ms, epoch, step, of}] of all who answered; owned */
    json_t *status;          /* of the member that knows most; owned */
    const json_t *component; /* in it */
    struct mk_str address;   /* of the leader when it is known, else of that member */
};

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static const json_t *component_in(const json_t *status, const struct mk_id *deployment)
{
    char hex[MK_ID_HEX];
    const json_t *c;
    size_t i;

    mk_id_hex(deployment, hex);
    json_array_foreach(json_object_get(status, "components"), i, c)
    {
        if (strcmp(text_of(c, "deployment"), hex) == 0)
            return c;
    }
    return NULL;
}

/* A leader's word counts most, then a later epoch, then a longer log. */
static bool knows_more(const json_t *a, const json_t *b)
{
    bool leads_a = strcmp(text_of(a, "state"), "leading") == 0;
    bool leads_b = strcmp(text_of(b, "state"), "leading") == 0;

    if (leads_a != leads_b)
        return leads_a;
    if (number_of(a, "epoch") != number_of(b, "epoch"))
        return number_of(a, "epoch") > number_of(b, "epoch");
    return number_of(a, "applied") > number_of(b, "applied");
}

static void view_done(struct view *v)
{
    json_decref(v->status);
    json_decref(v->course);
    *v = (struct view){0};
}

static void add_course(json_t *all, const json_t *status, const json_t *component)
{
    json_t *step;
    size_t i;

    json_array_foreach(json_object_get(component, "course"), i, step)
    {
        json_object_set(step, "peer", json_object_get(status, "peer"));
        json_array_append(all, step);
    }
}

static void view_take(struct view *v, const struct component *c, struct mk_status_answer *a)
{
    json_t *o = a->status == 0 ? json_loadb((const char *)a->json.p, a->json.n, 0, NULL) : NULL;
    const json_t *mine = o == NULL ? NULL : component_in(o, &c->reference.deployment);

    if (v->course == NULL)
        v->course = json_array();
    add_course(v->course, o, mine);
    if (mine == NULL || (v->component != NULL && !knows_more(mine, v->component))) {
        json_decref(o);
        return;
    }
    json_decref(v->status);
    *v = (struct view){v->course, o, mine, a->address};
}

static bool look(struct agent *a, const struct component *c, struct view *v, uint32_t timeout_ms)
{
    size_t n = c->reference.n_addresses;
    struct mk_status_answer *answers = mk_alloc((n + 1) * sizeof *answers);

    view_done(v);
    for (size_t i = 0; i < n; i++)
        answers[i].address = c->reference.addresses[i];
    mk_node_ask_all(a->net, answers, n, timeout_ms < 3000 ? timeout_ms : 3000);
    for (size_t i = 0; i < n; i++) {
        view_take(v, c, &answers[i]);
        mk_buf_done(&answers[i].json);
    }
    mk_free(answers);
    return v->component != NULL;
}

/* --- the next roster ---------------------------------------------------------------------- */

static int cmp_peers(const void *a, const void *b)
{
    return mk_peer_cmp(a, b);
}

static bool among(const struct mk_peer *v, size_t n, const struct mk_peer *p)
{
    for (size_t i = 0; i < n; i++)
        if (mk_peer_eq(&v[i], p))
            return true;
    return false;
}

static int next_roster(const struct input *in, const struct component *c, const struct view *v,
                       struct mk_roster *ret, struct mk_peer peers[2 * MK_ROSTER_MAX])
{
    const json_t *x;
    size_t i, n = 0;

    *ret = (struct mk_roster){.deployment = c->reference.deployment,
                              .epoch = (uint64_t)number_of(v->component, "epoch") + 1};
    if (mk_id_unhex(&ret->previous, mk_str_of(text_of(v->component, "roster_id"))) != 0)
        return complain(STATUS_CHECK, "the member at %.*s does not say its roster",
                        (int)v->address.n, v->address.p);
    json_array_foreach(json_object_get(v->component, "roster"), i, x)
    {
        const char *hex = json_string_value(x);

        if (n == MK_ROSTER_MAX || hex == NULL || mk_peer_unhex(&peers[n], mk_str_of(hex)) != 0)
            return complain(STATUS_CHECK, "the member at %.*s says a malformed roster",
                            (int)v->address.n, v->address.p);
        n += !among(in->remove, in->n_remove, &peers[n]);
    }
    for (i = 0; i < in->n_add; i++)
        if (!among(peers, n, &in->add[i]))
            peers[n++] = in->add[i];
    if (n == 0 || n > MK_ROSTER_MAX)
        return complain(STATUS_USAGE, "a roster has 1 to %u peers, this would have %zu",
                        MK_ROSTER_MAX, n);
    qsort(peers, n, sizeof *peers, cmp_peers);
    ret->peers = (struct mk_peers){peers, n};
    return 0;
}

static bool done(const struct view *v, uint64_t epoch, const struct input *in)
{
    char hex[MK_ID_HEX];

    if (in->transfer) {
        if (!in->to_given)
            return text_of(v->component, "leader")[0] != '\0';
        mk_peer_hex(&in->to, hex);
        return strcmp(text_of(v->component, "leader"), hex) == 0;
    }
    return (uint64_t)number_of(v->component, "epoch") >= epoch &&
           json_is_true(json_object_get(v->component, "settled"));
}

/* A turn of the loop ends with whatever comes; members are not asked all the time. */
static void pause_before_asking(struct agent *a)
{
    uint64_t until = deadline_in(AGAIN_MS);

    while (left_until(until) > 1)
        mk_loop_turn(a->loop, left_until(until));
}

static int wait_done(struct agent *a, const struct component *c, struct view *v,
                     const struct input *in, uint64_t epoch, uint64_t deadline)
{
    while (look(a, c, v, left_until(deadline)) && !done(v, epoch, in)) {
        if (left_until(deadline) <= 1)
            return complain(STATUS_TIMEOUT, "it is on its way, but not done within %u ms: %s",
                            in->timeout_ms, text_of(v->component, "why"));
        pause_before_asking(a);
    }
    return v->component != NULL ? 0 : complain(STATUS_TIMEOUT, "no member answers any more");
}

/* A refusal that passes by itself is asked again: no leader now, a replacement under way. */
static bool is_passing(int rv)
{
    return rv == MK_ENOTLEADER;
}

/* asker is for a transfer alone. */
static int ask_once(struct agent *a, struct mk_network *asker, const struct component *c,
                    const struct view *v, const struct input *in, const struct mk_key *keys,
                    const struct mk_roster *next, uint64_t deadline, struct mk_fault *reterr)
{
    if (in->transfer)
        return mk_node_transfer(asker, v->address, &c->reference.deployment,
                                in->to_given ? &in->to : NULL, left_until(deadline), reterr);
    return mk_node_propose(a->net, v->address, next, keys, in->n_keys, left_until(deadline),
                           reterr);
}

/* Looks on until the epoch has begun, or it is time to ask again. */
static bool begins(struct agent *a, const struct component *c, struct view *v, uint64_t epoch,
                   uint64_t again, uint64_t deadline)
{
    do {
        pause_before_asking(a);
        if (!look(a, c, v, left_until(deadline)))
            return true; /* nobody is there to be asked */
        if ((uint64_t)number_of(v->component, "epoch") >= epoch)
            return true;
    } while (left_until(again) > 1 && left_until(deadline) > 1);
    return left_until(deadline) <= 1;
}

/* A member that does not lead passes a proposal on, and the leader may refuse it for what passes (a
 * peer is not linked yet, a replacement is under way) without anybody's hearing of it: so it is
 * asked again until the epoch begins. Asking twice does no harm. */
static int ask_for_it(struct agent *a, struct mk_network *asker, const struct component *c,
                      struct view *v, const struct input *in, const struct mk_key *keys,
                      uint64_t deadline)
{
    struct mk_peer peers[2 * MK_ROSTER_MAX];
    struct mk_fault fault = {{0}};
    struct mk_roster next = {0};
    bool asked = false;
    int rv, status = in->transfer ? 0 : next_roster(in, c, v, &next, peers);

    if (status != 0)
        return status;
    do {
        rv = ask_once(a, asker, c, v, in, keys, &next, deadline, &fault);
        if (rv != 0 && !is_passing(rv))
            break;
        asked = asked || rv == 0;
    } while (!(in->transfer && asked) &&
             !begins(a, c, v, in->transfer ? UINT64_MAX : next.epoch,
                     deadline_in(rv == 0 ? ASK_AGAIN_MS : AGAIN_MS), deadline));
    if (!asked)
        return complain_of(rv, &fault);
    return wait_done(a, c, v, in, next.epoch, deadline);
}

/* --- as whom ------------------------------------------------------------------------------- */

/* Does the file name this peer as a member, or the present roster? */
static bool is_member(struct agent *a, const struct view *v, const struct mk_peer *peer)
{
    char hex[MK_ID_HEX];
    struct mk_status_answer *named;
    size_t i, n = agent_members(a, &named);
    const json_t *x;

    mk_peer_hex(peer, hex);
    for (i = 0; i < n; i++)
        if (named[i].address.n >= 64 && memcmp(named[i].address.p, hex, 64) == 0)
            return true;
    json_array_foreach(json_object_get(v->component, "roster"), i, x)
    {
        if (json_is_string(x) && strcmp(json_string_value(x), hex) == 0)
            return true;
    }
    return false;
}

static int open_asker(const struct input *in, struct agent *a, const struct view *v,
                      const struct mk_key *key, struct mk_network **ret)
{
    struct mk_fault fault = {{0}};
    int rv;

    if (is_member(a, v, &key->peer))
        return complain(STATUS_USAGE,
                        "%s: a running member's key must not be used from a second process, its "
                        "links would be lost to it; give the operator's key",
                        in->keys[0]);
    rv = mk_network_open(a->loop, ret, &(struct mk_network_options){.key = key}, &fault);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

/* --- telling ------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;

    return (number_of(x, "unix_ms") > number_of(y, "unix_ms")) -
           (number_of(x, "unix_ms") < number_of(y, "unix_ms"));
}

/* In the order of the members' clocks. */
static void print_course(const json_t *course)
{
    size_t n = json_array_size(course);
    const json_t **v = mk_alloc((n + 1) * sizeof *v);

    for (size_t i = 0; i < n; i++)
        v[i] = json_array_get(course, i);
    qsort(v, n, sizeof *v, by_time);
    for (size_t i = 0; i < n; i++) {
        const char *of = text_of(v[i], "of");

        printf("  +%9.3f s  %.16s  epoch %lld  %s%s%.16s\n",
               (double)(number_of(v[i], "unix_ms") - number_of(v[0], "unix_ms")) / 1000,
               text_of(v[i], "peer"), number_of(v[i], "epoch"), text_of(v[i], "step"),
               of[0] != '\0' ? " " : "", of);
    }
    mk_free(v);
}

static void print_view(const struct input *in, const struct view *v)
{
    const json_t *c = v->component, *m;
    size_t i;

    if (in->json) {
        json_t *o = json_pack("{s:s, s:I, s:b, s:O, s:O, s:s, s:O}", "component",
                              text_of(c, "component"), "epoch", (json_int_t)number_of(c, "epoch"),
                              "settled", json_is_true(json_object_get(c, "settled")), "leader",
                              json_object_get(c, "leader"), "roster", json_object_get(c, "roster"),
                              "why", text_of(c, "why"), "members", json_object_get(c, "members"));

        if (in->trace)
            json_object_set(o, "trace", v->course);
        print_json(o);
        return;
    }
    printf("%s: epoch %lld, %s%s%s\n", text_of(c, "component"), number_of(c, "epoch"),
           json_is_true(json_object_get(c, "settled")) ? "every member votes" : "changing",
           text_of(c, "why")[0] != '\0' ? "; " : "", text_of(c, "why"));
    json_array_foreach(json_object_get(c, "members"), i, m)
    {
        bool leads = strcmp(text_of(m, "peer"), text_of(c, "leader")) == 0;

        printf("  %s  %-8s %s%s%s%s\n", text_of(m, "peer"), text_of(m, "place"),
               json_is_true(json_object_get(m, "linked")) ? "linked" : "away",
               leads ? ", leads" : "", text_of(m, "detail")[0] != '\0' ? ", " : "",
               text_of(m, "detail"));
    }
    if (in->trace)
        print_course(v->course);
}

static int act(const struct input *in, struct agent *a, const struct component *c, struct view *v,
               const struct mk_key *keys, uint64_t deadline)
{
    struct mk_network *asker = NULL;
    int status = 0;

    if (in->check || in->transfer)
        status = open_asker(in, a, v, &keys[0], &asker);
    if (status != 0)
        return status;
    if (in->check)
        status = check_states(&(struct checking){a, asker, &c->reference, in->json, deadline},
                              v->address);
    else if (in->transfer || in->n_add + in->n_remove > 0)
        status = ask_for_it(a, asker, c, v, in, keys, deadline);
    mk_network_close(asker);
    return status;
}

static int run(const struct input *in, struct agent *a, const struct mk_key *keys)
{
    uint64_t deadline = deadline_in(in->timeout_ms);
    struct component c;
    struct view v = {0};
    int status = agent_find(a, in->component, &c);

    if (status != 0)
        return status;
    if (c.reference.n_addresses == 0)
        return complain(STATUS_USAGE, "%s: %s states no committee", in->file, in->component);
    if (!look(a, &c, &v, left_until(deadline)))
        return complain(STATUS_TIMEOUT, "no member of %s answers", in->component);
    status = act(in, a, &c, &v, keys, deadline);
    if (status == 0 && !in->check)
        print_view(in, &v);
    view_done(&v);
    return status;
}

int cmd_committee(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Who is of a component's committee, and which of them vote. With --add and --remove: "
        "another roster, from the next epoch on; with --transfer: another leader. Both wait until "
        "it is done. With --check: do all members have the same state?\v"
        "A member that lost its disk needs none of this: it is given its seat again by itself.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct mk_key keys[KEYS_MAX];
    struct mk_fault fault = {{0}};
    struct agent a;
    unsigned n = 0;
    int rv = 0, status;

    parse_options(&argp, argc, argv, &in);
    while (n < in.n_keys && (rv = load_key(&keys[n], in.keys[n], &fault)) == 0)
        n++;
    if (rv == 0) {
        status = agent_open(&a, in.file, NULL);
        if (status == 0)
            status = run(&in, &a, keys);
        agent_close(&a);
    } else {
        status = complain_of(rv, &fault);
    }
    while (n > 0)
        mk_key_done(&keys[--n]);
    return status;
}
