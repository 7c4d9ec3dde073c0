/* cmd_collection.c - `coalition collection get|list|watch|write FILE COMPONENT SHAPE NAME ...`: a
 * collection of any shape, for operators.
 *
 * One entry is read with a proof, as `map get` is, but for a Vec's element: its identity in the
 * store is a label, not its index, so what stands at an index is read from a verified copy of the
 * whole (docs/decisions.md). */
#include "agent.h"
#include "collection.h"
#include "trace.h"

#include "types/types.h"
#include <mosaik/map.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    struct words words; /* verb, FILE, COMPONENT, SHAPE, NAME, the rest */
    struct reach reach;
    const char *key, *value;
    uint64_t capacity, count, reaches;
    uint64_t deadline;
};

enum { OPT_KEY_TYPE = 256, OPT_VALUE_TYPE, OPT_CAPACITY, OPT_REACHES };
enum { WORD_SHAPE = 3, WORD_NAME, WORD_REST };

static const struct argp_option options[] = {
    {"key-type", OPT_KEY_TYPE, "TYPE", 0, "Of a map's or queue's keys (str)", 0},
    {"type", OPT_VALUE_TYPE, "TYPE", 0, "Of the values (str)", 0},
    {"capacity", OPT_CAPACITY, "N", 0, "Of a queue that holds at most N entries", 0},
    {"reaches", OPT_REACHES, "VERSION", 0,
     "List, get of a vec: the copy has this version, as a write told it, or a later one", 0},
    {"count", 'n', "N", 0, "Watch: end after N changes", 0},
    OPTION_KEY,
    OPTION_AGE,
    OPTION_THROUGH,
    OPTION_TICKET,
    OPTION_ATTEST,
    OPTION_TRACE,
    OPTION_TIMEOUT("Seconds (10)"),
    OPTION_JSON("Print JSON: one object, or one a change"),
    {0}};

static const char *const verbs[] = {"get", "list", "watch", "write", NULL};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_KEY_TYPE:
    case OPT_VALUE_TYPE:
        if (coalition_type_named(arg) == NULL)
            wrong_usage(state,
                        "\"%s\" is no type; there are bytes, str, u64, i64, bool, f64, id, peer, "
                        "member_id, AtlasCard, PriceTick, Score, Settlement",
                        arg);
        *(key == OPT_KEY_TYPE ? &in->key : &in->value) = arg;
        return 0;
    case OPT_CAPACITY:
        if (parse_u64(&in->capacity, arg, UINT64_MAX) != 0 || in->capacity == 0)
            wrong_usage(state, "--capacity: a number above 0 is wanted");
        return 0;
    case OPT_REACHES:
        if (parse_u64(&in->reaches, arg, UINT64_MAX) != 0)
            wrong_usage(state, "--reaches: a version is wanted");
        return 0;
    case 'n':
        if (parse_u64(&in->count, arg, UINT32_MAX) != 0 || in->count == 0)
            wrong_usage(state, "--count: a number above 0 is wanted");
        return 0;
    default:
        if (parse_reach(key, arg, state, &in->reach) == 0)
            return 0;
        if (key == ARGP_KEY_END)
            check_verb(state, &in->words, verbs);
        return parse_words(key, arg, state, &in->words, 5, WORDS_MAX,
                           "get, list, watch or write, FILE, COMPONENT, SHAPE and NAME are");
    }
}

static bool is(const struct input *in, const char *verb)
{
    return strcmp(in->words.v[0], verb) == 0;
}

/** The surface that the words declare, or the component's own one of that shape and name. */
static int declare(const struct input *in, const struct component *c, struct mk_surface_spec *ret)
{
    const char *shape = in->words.v[WORD_SHAPE];
    unsigned k = MK_SURFACE_STREAM;

    while (k <= MK_SURFACE_QUEUE && strcmp(mk_surface_kind_name(k), shape) != 0)
        k++;
    if (k > MK_SURFACE_QUEUE)
        return complain(STATUS_USAGE,
                        "%s: no shape; there are map, vec, set, cell, once, queue, stream", shape);
    if (k == MK_SURFACE_STREAM && !is(in, "write"))
        return complain(STATUS_USAGE, "a stream is read with `coalition stream tail`");
    for (unsigned i = 0; i < c->n_surfaces; i++) {
        *ret = c->surfaces[i];
        if (ret->kind == k && strcmp(ret->name, in->words.v[WORD_NAME]) == 0)
            return 0;
    }
    *ret = (struct mk_surface_spec){.kind = k,
                                    .name = in->words.v[WORD_NAME],
                                    .value =
                                        coalition_type_named(in->value != NULL ? in->value : "str"),
                                    .capacity = in->capacity};
    if (k == MK_SURFACE_MAP || k == MK_SURFACE_QUEUE)
        ret->key = coalition_type_named(in->key != NULL ? in->key : "str");
    return 0;
}

/* --- entries ----------------------------------------------------------------------------- */

/** One line, or one object: of an entry of a list when `into` is given. */
static void print_entry(json_t *taken, bool json, json_t *into)
{
    const char *key;
    json_t *value;
    bool first = true;

    if (into != NULL) {
        json_array_append_new(into, taken);
        return;
    }
    if (json) {
        print_json(taken);
        flush_output();
        return;
    }
    json_object_foreach(taken, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        printf("%s%s", first ? "" : " ", text);
        free(text);
        first = false;
    }
    printf("\n");
    json_decref(taken);
    flush_output();
}

static json_t *value_entry(const struct mk_surface_spec *spec, struct mk_bytes value)
{
    json_t *o = json_object();

    json_object_set_new(o, "value", datum_json(spec->value, value));
    return o;
}

static json_t *vec_entry(const struct mk_surface_spec *spec, uint64_t index, struct mk_bytes value)
{
    json_t *o = json_object();

    json_object_set_new(o, "index", json_integer((json_int_t)index));
    json_object_set_new(o, "value", datum_json(spec->value, value));
    return o;
}

static json_t *queue_entry(const struct mk_surface_spec *spec, uint64_t priority,
                           struct mk_bytes key, struct mk_bytes value)
{
    json_t *o = json_object();

    json_object_set_new(o, "priority", json_integer((json_int_t)priority));
    json_object_set_new(o, "key", datum_json(spec->key, key));
    json_object_set_new(o, "value", datum_json(spec->value, value));
    return o;
}

static json_t *map_entry(const struct mk_surface_spec *spec, struct mk_bytes key,
                         struct mk_bytes value)
{
    json_t *o = json_object();

    json_object_set_new(o, "key", datum_json(spec->key, key));
    json_object_set_new(o, "value", datum_json(spec->value, value));
    return o;
}

/** All of a view in its own order: a vec's by index, a queue's by priority. */
static void print_view(const struct mk_surface_spec *spec, const struct mk_view *v, bool json,
                       json_t *into)
{
    struct mk_id cursor = {{0}};
    struct mk_bytes key, value;
    uint64_t priority;

    for (uint64_t i = 0; spec->kind == MK_SURFACE_VEC && mk_vec_at(v, i, &value) == 0; i++)
        print_entry(vec_entry(spec, i, value), json, into);
    for (uint64_t i = 0;
         spec->kind == MK_SURFACE_QUEUE && mk_queue_at(v, i, &priority, &key, &value) == 0; i++)
        print_entry(queue_entry(spec, priority, key, value), json, into);
    if (spec->kind == MK_SURFACE_VEC || spec->kind == MK_SURFACE_QUEUE)
        return;
    while (mk_view_next(v, &cursor, &key, &value))
        print_entry(spec->key != NULL ? map_entry(spec, key, value) : value_entry(spec, value),
                    json, into);
}

/* --- get ----------------------------------------------------------------------------------- */

static int get_at(struct mk_bond *bond, const struct mk_surface_spec *spec, const struct input *in)
{
    struct mk_fault fault = {{0}};
    struct mk_collection *c;
    struct mk_bytes value;
    uint64_t index;
    int rv;

    if (parse_u64(&index, in->words.v[WORD_REST], UINT64_MAX) != 0)
        return complain(STATUS_USAGE, "%s: no index", in->words.v[WORD_REST]);
    mk_collection_open(bond, &c, spec, NULL, NULL);
    rv = mk_collection_wait(c, in->reaches, left_until(in->deadline), &fault);
    if (rv == 0) {
        rv = mk_vec_at(mk_collection_view(c), index, &value);
        if (rv == 0)
            print_entry(vec_entry(spec, index, value), in->words.json, NULL);
        else
            mk_fault(&fault, rv, "%" PRIu64 ": not there; the vec has %zu elements", index,
                     mk_view_count(mk_collection_view(c)));
    }
    mk_collection_close(c);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

static json_t *proven_entry(const struct mk_surface_spec *spec, struct mk_bytes key,
                            struct mk_bytes value)
{
    struct mk_reader r = {.p = value.p, .n = value.n};
    uint64_t priority;

    if (spec->kind == MK_SURFACE_MAP)
        return map_entry(spec, key, value);
    if (spec->kind != MK_SURFACE_QUEUE)
        return value_entry(spec, value);
    priority = mk_read_varint(&r);
    return queue_entry(spec, priority, key, MK_BYTES(r.p, r.n));
}

static int get_proven(struct agent *a, struct mk_bond *bond, const struct mk_surface_spec *spec,
                      const struct input *in)
{
    struct mk_bytes key = {NULL, 0}, value;
    struct mk_fault fault = {{0}};
    bool keyless = spec->kind == MK_SURFACE_CELL || spec->kind == MK_SURFACE_ONCE;
    int rv = 0;

    if (!keyless)
        rv = datum_parse(&key, spec->key != NULL ? spec->key : spec->value, in->words.v[WORD_REST],
                         "KEY", &a->arena);
    if (rv != 0)
        return rv;
    if (spec->kind == MK_SURFACE_QUEUE) /* with the priority, which stands before the value */
        rv = mk_map_lookup_wait(bond, spec, key, in->reach.max_age_ms, left_until(in->deadline),
                                &value, &a->arena, &fault);
    else
        rv = mk_collection_lookup_wait(bond, spec, key, in->reach.max_age_ms,
                                       left_until(in->deadline), &value, &a->arena, &fault);
    if (rv == MK_ENOTFOUND)
        return complain(STATUS_CHECK, "%s: not there, and the committee proved it",
                        keyless ? spec->name : in->words.v[WORD_REST]);
    if (rv != 0)
        return complain_of(rv, &fault);
    print_entry(proven_entry(spec, key, value), in->words.json, NULL);
    return 0;
}

/* --- list and watch -------------------------------------------------------------------------- */

static int list(struct mk_bond *bond, const struct mk_surface_spec *spec, const struct input *in)
{
    struct mk_fault fault = {{0}};
    struct mk_collection *c;
    json_t *entries = in->words.json ? json_array() : NULL, *o;
    int rv;

    mk_collection_open(bond, &c, spec, NULL, NULL);
    rv = mk_collection_wait(c, in->reaches, left_until(in->deadline), &fault);
    if (rv == 0)
        print_view(spec, mk_collection_view(c), in->words.json, entries);
    if (rv == 0 && entries != NULL) {
        o = json_object();
        json_object_set(o, "entries", entries);
        json_object_set_new(o, "version", json_integer((json_int_t)mk_collection_version(c)));
        json_object_set_new(o, "time_ms", json_integer((json_int_t)mk_collection_time_ms(c)));
        print_json(o);
    }
    json_decref(entries);
    mk_collection_close(c);
    return rv != 0 ? complain_of(rv, &fault) : 0;
}

struct watch {
    const struct input *in;
    const struct mk_surface_spec *spec;
    struct mk_env *loop;
    uint64_t n;
    int status;
    struct mk_fault fault;
};

/** The whole at each version that a certificate covers: of a small collection, by a person. */
static void show(struct watch *w, struct mk_collection *c)
{
    json_t *entries = json_array(), *o = json_object();
    uint64_t version = mk_collection_version(c);

    if (w->in->count > 0 && w->n >= w->in->count) {
        json_decref(entries);
        json_decref(o);
        return;
    }
    print_view(w->spec, mk_collection_view(c), true, entries);
    json_object_set_new(o, "version", json_integer((json_int_t)version));
    if (w->in->words.json) {
        json_object_set_new(o, "entries", entries);
        print_json(o);
        flush_output();
    } else {
        json_decref(entries);
        json_decref(o);
        printf("version %" PRIu64 ", %zu entries\n", version, mk_view_count(mk_collection_view(c)));
        print_view(w->spec, mk_collection_view(c), false, NULL);
        flush_output();
    }
    if (++w->n == w->in->count)
        mk_loop_stop(w->loop);
}

static void synced(struct mk_collection *c)
{
    show(mk_collection_owner(c), c);
}

static void updated(struct mk_collection *c, uint64_t version)
{
    (void)version;
    show(mk_collection_owner(c), c);
}

static void ended(struct mk_collection *c, int status, const struct mk_fault *fault)
{
    struct watch *w = mk_collection_owner(c);

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
    static const struct mk_collection_cbs cbs = {
        .synced = synced, .updated = updated, .ended = ended};
    struct watch w = {.in = in, .spec = spec, .loop = a->loop};
    struct mk_collection *c;

    mk_collection_open(bond, &c, spec, &cbs, &w);
    mk_loop_on_signal(a->loop, stop_cb, a->loop);
    mk_loop_run(a->loop);
    if (w.status == 0)
        mk_collection_close(c);
    return w.status != 0 ? complain_of(w.status, &w.fault) : 0;
}

/* --- write ----------------------------------------------------------------------------------- */

static int complain_unwritten(int rv, const struct mk_fault *fault)
{
    if (status_of(rv) != STATUS_TIMEOUT)
        return complain_of(rv, fault);
    return complain(STATUS_TIMEOUT,
                    "%s; whether it was committed is not known: `collection list` tells",
                    fault->text[0] != '\0' ? fault->text : mk_strerror(rv));
}

static int write_one(struct agent *a, struct mk_bond *bond, const struct mk_surface_spec *spec,
                     const struct input *in)
{
    struct mk_fault fault = {{0}};
    struct mk_written written;
    json_t *o, *course;
    struct mk_op op;
    int rv = op_parse(&op, spec, in->words.v + WORD_REST, in->words.n - WORD_REST, &a->arena);

    if (rv != 0)
        return rv;
    trace_begin(bond, &in->reach, left_until(in->deadline));
    rv = mk_collection_write_wait(bond, spec, &op, MK_STEP_CERTIFIED, left_until(in->deadline),
                                  &written, &fault);
    if (rv != 0)
        return complain_unwritten(rv, &fault);
    course = trace_end(bond, &in->reach, left_until(in->deadline));
    if (!in->words.json) {
        printf("version %" PRIu64 "%s\n", written.version, written.changed ? "" : ", unchanged");
        trace_print(course);
        json_decref(course);
        return 0;
    }
    o = json_object();
    json_object_set_new(o, "version", json_integer((json_int_t)written.version));
    json_object_set_new(o, "changed", json_boolean(written.changed));
    if (course != NULL)
        json_object_set_new(o, "trace", course);
    print_json(o);
    return 0;
}

/** Words that get takes beside the name. */
static int check_words(const struct input *in, const struct mk_surface_spec *spec)
{
    bool keyless = spec->kind == MK_SURFACE_CELL || spec->kind == MK_SURFACE_ONCE;
    unsigned wanted = is(in, "get") && !keyless ? WORD_REST + 1 : WORD_REST;

    if (is(in, "write") || in->words.n == wanted)
        return 0;
    return complain(STATUS_USAGE, "%s of a %s takes %s", in->words.v[0],
                    mk_surface_kind_name(spec->kind),
                    wanted == WORD_REST            ? "nothing beside its name"
                    : spec->kind == MK_SURFACE_VEC ? "an index"
                    : spec->kind == MK_SURFACE_SET ? "an element"
                                                   : "a key");
}

int cmd_collection(int argc, char **argv)
{
    struct argp argp = {options,
                        parse,
                        "get FILE COMPONENT SHAPE NAME [KEY|INDEX|ELEMENT]\n"
                        "list FILE COMPONENT SHAPE NAME\nwatch FILE COMPONENT SHAPE NAME\n"
                        "write FILE COMPONENT SHAPE NAME WRITE...",
                        NULL,
                        NULL,
                        NULL,
                        NULL};
    struct input in = {.reach.timeout_ms = TIMEOUT_MS_DEFAULT};
    struct mk_surface_spec spec;
    struct component c;
    struct mk_bond *bond;
    struct mk_buf doc = {0};
    struct agent a;
    int rv;

    mk_buf_printf(&doc,
                  "A committee's collection: SHAPE is map, vec, set, cell, once or queue. One "
                  "entry with a proof (get; a vec's through a verified copy), a verified copy "
                  "(list), the whole at each version (watch), a write, certified (write).\v%s",
                  op_help);
    mk_buf_put_u8(&doc, 0);
    argp.doc = (const char *)doc.p;
    parse_options(&argp, argc, argv, &in);
    mk_buf_done(&doc);
    in.deadline = deadline_in(in.reach.timeout_ms);
    rv = agent_open(&a, in.words.v[1], &in.reach);
    if (rv == 0)
        rv = agent_find(&a, in.words.v[2], &c);
    if (rv == 0)
        rv = declare(&in, &c, &spec);
    if (rv == 0)
        rv = check_words(&in, &spec);
    if (rv == 0)
        rv = agent_bond(&a, in.words.v[2], left_until(in.deadline), &c, &bond);
    if (rv == 0 && is(&in, "get"))
        rv = spec.kind == MK_SURFACE_VEC ? get_at(bond, &spec, &in)
                                         : get_proven(&a, bond, &spec, &in);
    else if (rv == 0 && is(&in, "list"))
        rv = list(bond, &spec, &in);
    else if (rv == 0 && is(&in, "watch"))
        rv = watch(&a, bond, &spec, &in);
    else if (rv == 0)
        rv = write_one(&a, bond, &spec, &in);
    agent_close(&a);
    return rv;
}
