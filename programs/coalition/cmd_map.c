/* cmd_map.c - `coalition map get|list|watch FILE COMPONENT MAP [KEY]`: any map whose types this
 * build knows. Keys are given and printed as the hex of their encoding. */
#include "agent.h"
#include "collection.h"

#include <mosaik/map.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    struct words words; /* get, list or watch; FILE, COMPONENT, MAP, KEY */
    struct reach reach;
    uint64_t count;
};

static const struct argp_option options[] = {
    {"count", 'n', "N", 0, "Watch: end after N changes", 0},
    OPTION_KEY,
    OPTION_AGE,
    OPTION_THROUGH,
    OPTION_TICKET,
    OPTION_ATTEST,
    OPTION_TIMEOUT("Seconds (10)"),
    OPTION_JSON("Print JSON: one object, or one a change"),
    {0}};

static const char *const verbs[] = {"get", "list", "watch", NULL};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    if (key == 'n') {
        if (parse_u64(&in->count, arg, UINT32_MAX) != 0 || in->count == 0)
            wrong_usage(state, "--count: a number above 0 is wanted");
        return 0;
    }
    if (parse_reach(key, arg, state, &in->reach) == 0)
        return 0;
    if (key == ARGP_KEY_END)
        check_verb(state, &in->words, verbs);
    if (key == ARGP_KEY_END && in->words.n == 4 && strcmp(in->words.v[0], "get") == 0)
        wrong_usage(state,
                    "get FILE COMPONENT MAP KEY: a key, as the hex of its encoding, is wanted");
    return parse_words(key, arg, state, &in->words, 4, 5,
                       "get, list or watch, FILE, COMPONENT and MAP are");
}

static json_t *entry_json(const struct mk_surface_spec *spec, struct mk_bytes key,
                          struct mk_bytes value)
{
    json_t *o = json_object();

    json_object_set_new(o, "key", json_hex(key.p, key.n));
    json_object_set_new(o, "value", value.p != NULL ? datum_json(spec->value, value) : json_null());
    return o;
}

static void print_entry(const struct mk_surface_spec *spec, struct mk_bytes key,
                        struct mk_bytes value, bool json)
{
    json_t *o = entry_json(spec, key, value);
    char *text;

    if (json) {
        print_json(o);
    } else {
        text = json_dumps(json_object_get(o, "value"), JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%s %s\n", json_string_value(json_object_get(o, "key")), text);
        free(text);
        json_decref(o);
    }
    flush_output();
}

struct watch {
    const struct input *in;
    const struct mk_surface_spec *spec;
    struct mk_env *loop;
    uint64_t n;
    int status;
    struct mk_fault fault;
};

static void map_changed(struct mk_map *m, struct mk_bytes key, struct mk_bytes value,
                        uint64_t version)
{
    struct watch *w = mk_map_owner(m);

    (void)version;
    print_entry(w->spec, key, value, w->in->words.json);
    if (++w->n == w->in->count)
        mk_loop_stop(w->loop);
}

static void map_ended(struct mk_map *m, int status, const struct mk_fault *fault)
{
    struct watch *w = mk_map_owner(m);

    w->status = status;
    if (fault != NULL)
        w->fault = *fault;
    mk_loop_stop(w->loop);
}

static void stop_cb(void *arg, int signo)
{
    (void)signo;
    mk_loop_stop(arg);
}

static int watch(struct agent *a, struct mk_bond *bond, const struct mk_surface_spec *spec,
                 const struct input *in)
{
    static const struct mk_map_cbs cbs = {.changed = map_changed, .ended = map_ended};
    struct watch w = {.in = in, .spec = spec, .loop = a->loop};
    struct mk_map *m;

    mk_map_open(bond, &m, spec, &cbs, &w);
    mk_loop_on_signal(a->loop, stop_cb, a->loop);
    mk_loop_run(a->loop);
    if (w.status == 0)
        mk_map_close(m);
    return w.status != 0 ? complain_of(w.status, &w.fault) : 0;
}

static int list(struct mk_bond *bond, const struct mk_surface_spec *spec, const struct input *in)
{
    struct mk_fault fault = {{0}};
    struct mk_id cursor = {{0}};
    struct mk_bytes key, value;
    json_t *entries = json_array(), *o;
    struct mk_map *m;
    int rv;

    mk_map_open(bond, &m, spec, NULL, NULL);
    rv = mk_map_wait(m, in->reach.max_age_ms, in->reach.timeout_ms, &fault);
    while (rv == 0 && mk_map_each(m, &cursor, &key, &value)) {
        if (in->words.json)
            json_array_append_new(entries, entry_json(spec, key, value));
        else
            print_entry(spec, key, value, false);
    }
    if (rv == 0 && in->words.json) {
        o = json_object();
        json_object_set(o, "entries", entries);
        json_object_set_new(o, "version", json_integer((json_int_t)mk_map_version(m)));
        print_json(o);
    }
    json_decref(entries);
    mk_map_close(m);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static int get(struct agent *a, struct mk_bond *bond, const struct mk_surface_spec *spec,
               const struct input *in)
{
    uint8_t key[MK_KEY_MAX];
    struct mk_bytes value;
    struct mk_fault fault = {{0}};
    size_t n;
    int rv;

    n = strlen(in->words.v[4]) / 2;
    if (n > sizeof key || mk_unhex(key, n, in->words.v[4], strlen(in->words.v[4])) != 0)
        return complain(STATUS_USAGE, "%s: hex digits, two a byte, are wanted", in->words.v[4]);
    rv = mk_map_lookup_wait(bond, spec, MK_BYTES(key, n), in->reach.max_age_ms,
                            in->reach.timeout_ms, &value, &a->arena, &fault);
    if (rv == MK_ENOTFOUND)
        return complain(STATUS_CHECK, "%s: not there, and the committee proved it", in->words.v[4]);
    if (rv != 0)
        return complain_of(rv, &fault);
    print_entry(spec, MK_BYTES(key, n), value, in->words.json);
    return 0;
}

int cmd_map(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "get FILE COMPONENT MAP KEY\nlist FILE COMPONENT MAP\nwatch FILE COMPONENT MAP",
        "Read a committee's map: with proofs (get), a verified copy (list), changes as they "
        "are certified (watch).",
        NULL,
        NULL,
        NULL};
    struct input in = {.reach.timeout_ms = TIMEOUT_MS_DEFAULT};
    const struct mk_surface_spec *spec = NULL;
    struct component c;
    struct mk_bond *bond;
    struct agent a;
    uint64_t deadline;
    int rv;

    parse_options(&argp, argc, argv, &in);
    deadline = deadline_in(in.reach.timeout_ms);
    rv = agent_open(&a, in.words.v[1], &in.reach);
    if (rv == 0)
        rv = agent_find(&a, in.words.v[2], &c);
    if (rv == 0)
        rv = agent_surface(&c, in.words.v[3], MK_SURFACE_MAP, &spec);
    if (rv == 0)
        rv = agent_bond(&a, in.words.v[2], in.reach.timeout_ms, &c, &bond);
    in.reach.timeout_ms = left_until(deadline);
    if (rv == 0 && strcmp(in.words.v[0], "get") == 0)
        rv = get(&a, bond, spec, &in);
    else if (rv == 0 && strcmp(in.words.v[0], "list") == 0)
        rv = list(bond, spec, &in);
    else if (rv == 0)
        rv = watch(&a, bond, spec, &in);
    agent_close(&a);
    return rv;
}
