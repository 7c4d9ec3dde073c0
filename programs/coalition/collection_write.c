/* collection_write.c - the writes of all shapes as words; see collection.h.
 *
 * A table says what each takes: of a word, whether it is a key, a value, a number, and whether the
 * last ones repeat. The shape decides on the member's side too (mk_op_fits), so here it is asked
 * only to complain sooner and by name. */
#include "collection.h"

#include <stdio.h>
#include <string.h>

/* K a key, V a value, N a number, O an optional value ("-": none), B a bound ("-": none). In
 * upper case once; a lower-case group repeats, at least once. */
struct verb {
    const char *name;
    enum mk_op_tag tag;
    const char *takes;
    const char *shapes; /* when the words alone do not say it */
};

static const struct verb verbs[] = {
    {"clear", mk_op_Clear, "", NULL},           {"put", mk_op_Extend, "kv", NULL},
    {"remove", mk_op_Remove, "k", NULL},        {"exchange", mk_op_Exchange, "KOO", "map, queue"},
    {"exchange", mk_op_Exchange, "OO", "cell"}, {"add", mk_op_Add, "v", NULL},
    {"write", mk_op_Write, "V", NULL},          {"push-back", mk_op_PushBack, "v", NULL},
    {"push-front", mk_op_PushFront, "v", NULL}, {"insert", mk_op_InsertAt, "NV", NULL},
    {"set", mk_op_SetAt, "NV", NULL},           {"pop-back", mk_op_PopBack, "", NULL},
    {"pop-front", mk_op_PopFront, "", NULL},    {"remove-at", mk_op_RemoveAt, "N", NULL},
    {"swap", mk_op_Swap, "NN", NULL},           {"truncate", mk_op_Truncate, "N", NULL},
    {"enqueue", mk_op_Enqueue, "nkv", NULL},    {"reprioritise", mk_op_Reprioritise, "KN", NULL},
    {"update", mk_op_Update, "KV", NULL},       {"remove-range", mk_op_RemoveRange, "BB", NULL},
    {"append", mk_op_Append, "v", NULL},
};

const char op_help[] =
    "Writes (VALUE \"-\" of exchange: none; BOUND: a priority, both included, or \"-\"):\n"
    "  map    put KEY VALUE..., remove KEY..., exchange KEY OLD NEW, clear\n"
    "  set    add VALUE..., remove VALUE..., clear\n"
    "  cell   write VALUE, exchange OLD NEW, clear\n"
    "  once   write VALUE\n"
    "  vec    push-back VALUE..., push-front VALUE..., insert INDEX VALUE, set INDEX VALUE,\n"
    "         remove-at INDEX, swap INDEX INDEX, pop-back, pop-front, truncate LENGTH, clear\n"
    "  queue  enqueue PRIORITY KEY VALUE..., reprioritise KEY PRIORITY, update KEY VALUE,\n"
    "         exchange KEY OLD NEW, remove KEY..., remove-range BOUND BOUND, clear\n"
    "  stream append VALUE...\n";

/** What the words gave, in the order in which each kind came. */
struct taken {
    struct mk_bytes *keys, *values;
    bool *some; /* beside values: false for "-" */
    uint64_t *numbers;
    bool *bounded; /* beside numbers */
    unsigned n_keys, n_values, n_numbers;
};

static int take_value(struct taken *t, const struct mk_surface_spec *spec, const char *word,
                      bool optional, struct mk_arena *arena)
{
    unsigned i = t->n_values++;

    t->some[i] = !optional || strcmp(word, "-") != 0;
    return t->some[i] ? datum_parse(&t->values[i], spec->value, word, "VALUE", arena) : 0;
}

static int take_number(struct taken *t, const char *word, bool optional)
{
    unsigned i = t->n_numbers++;

    t->bounded[i] = !optional || strcmp(word, "-") != 0;
    if (t->bounded[i] && parse_u64(&t->numbers[i], word, UINT64_MAX) != 0)
        return complain(STATUS_USAGE, "\"%.80s\" is no number", word);
    return 0;
}

static int take(struct taken *t, const struct mk_surface_spec *spec, char kind, const char *word,
                struct mk_arena *arena)
{
    switch (kind) {
    case 'K':
    case 'k':
        /* a set's element is its own key */
        return datum_parse(&t->keys[t->n_keys++], spec->key != NULL ? spec->key : spec->value, word,
                           "KEY", arena);
    case 'N':
    case 'n':
        return take_number(t, word, false);
    case 'B':
        return take_number(t, word, true);
    default:
        return take_value(t, spec, word, kind == 'O', arena);
    }
}

static struct mk_op_bound bound(const struct taken *t, unsigned i)
{
    if (!t->bounded[i])
        return (struct mk_op_bound){.tag = mk_op_bound_Unbounded};
    return (struct mk_op_bound){.tag = mk_op_bound_Included,
                                .u.included = {.priority = t->numbers[i]}};
}

static struct mk_op_entries entries(const struct taken *t, struct mk_arena *arena)
{
    struct mk_op_entry *v = mk_arena_take(arena, (t->n_keys + 1) * sizeof *v);

    for (unsigned i = 0; i < t->n_keys; i++)
        v[i] = (struct mk_op_entry){t->keys[i], t->values[i]};
    return (struct mk_op_entries){v, t->n_keys};
}

static struct mk_op_ranked_list ranked(const struct taken *t, struct mk_arena *arena)
{
    struct mk_op_ranked *v = mk_arena_take(arena, (t->n_keys + 1) * sizeof *v);

    for (unsigned i = 0; i < t->n_keys; i++)
        v[i] = (struct mk_op_ranked){t->numbers[i], t->keys[i], t->values[i]};
    return (struct mk_op_ranked_list){v, t->n_keys};
}

static void fill(struct mk_op *op, const struct taken *t, struct mk_arena *arena)
{
    struct mk_op_items items = {.items = {t->values, t->n_values}};

    switch ((enum mk_op_tag)op->tag) {
    case mk_op_Clear:
    case mk_op_PopBack:
    case mk_op_PopFront:
        break;
    case mk_op_Extend:
        op->u.extend.entries = entries(t, arena);
        break;
    case mk_op_Remove:
        op->u.remove.keys = (struct mk_op_keys){t->keys, t->n_keys};
        break;
    case mk_op_Exchange:
        op->u.exchange = (struct mk_op_exchange){t->n_keys > 0 ? t->keys[0] : MK_BYTES(NULL, 0),
                                                 {.some = t->some[0], .v = t->values[0]},
                                                 {.some = t->some[1], .v = t->values[1]}};
        break;
    case mk_op_Add:
        op->u.add = items;
        break;
    case mk_op_Write:
        op->u.write.value = t->values[0];
        break;
    case mk_op_PushBack:
        op->u.push_back = items;
        break;
    case mk_op_PushFront:
        op->u.push_front = items;
        break;
    case mk_op_InsertAt:
        op->u.insert_at = (struct mk_op_insert_at){t->numbers[0], t->values[0]};
        break;
    case mk_op_SetAt:
        op->u.set_at = (struct mk_op_insert_at){t->numbers[0], t->values[0]};
        break;
    case mk_op_RemoveAt:
        op->u.remove_at.index = t->numbers[0];
        break;
    case mk_op_Truncate:
        op->u.truncate.index = t->numbers[0];
        break;
    case mk_op_Swap:
        op->u.swap = (struct mk_op_swap){t->numbers[0], t->numbers[1]};
        break;
    case mk_op_Enqueue:
        op->u.enqueue.entries = ranked(t, arena);
        break;
    case mk_op_Reprioritise:
        op->u.reprioritise = (struct mk_op_priority){t->keys[0], t->numbers[0]};
        break;
    case mk_op_Update:
        op->u.update = (struct mk_op_entry){t->keys[0], t->values[0]};
        break;
    case mk_op_RemoveRange:
        op->u.remove_range = (struct mk_op_range){bound(t, 0), bound(t, 1)};
        break;
    case mk_op_Append:
        op->u.append = items;
        break;
    }
}

static bool is_shape(const struct verb *v, enum mk_surface_kind kind)
{
    struct mk_op op = {.tag = v->tag};

    return mk_op_fits(kind, &op) &&
           (v->shapes == NULL || strstr(v->shapes, mk_surface_kind_name(kind)) != NULL);
}

static const struct verb *find(const char *name, enum mk_surface_kind kind)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, name) == 0 && is_shape(&verbs[i], kind))
            return &verbs[i];
    }
    return NULL;
}

/** n words fit: exactly, or so many times over. */
static bool fits(const char *takes, unsigned n)
{
    unsigned each = (unsigned)strlen(takes);
    bool repeats = each > 0 && takes[0] >= 'a';

    return repeats ? n >= each && n % each == 0 : n == each;
}

int op_parse(struct mk_op *ret, const struct mk_surface_spec *spec, const char *const *words,
             unsigned n, struct mk_arena *arena)
{
    const struct verb *v = n > 0 ? find(words[0], spec->kind) : NULL;
    struct taken t = {.keys = mk_arena_take(arena, (n + 2) * sizeof *t.keys),
                      .values = mk_arena_take(arena, (n + 2) * sizeof *t.values),
                      .some = mk_arena_take(arena, (n + 2) * sizeof *t.some),
                      .numbers = mk_arena_take(arena, (n + 2) * sizeof *t.numbers),
                      .bounded = mk_arena_take(arena, (n + 2) * sizeof *t.bounded)};

    if (v == NULL)
        return complain(STATUS_USAGE,
                        "%s: no write of a %s; `coalition collection --help` has them",
                        n > 0 ? words[0] : "nothing", mk_surface_kind_name(spec->kind));
    if (!fits(v->takes, n - 1))
        return complain(STATUS_USAGE,
                        "%s: %u words do not fit; `coalition collection --help` "
                        "says which it takes",
                        v->name, n - 1);
    for (unsigned i = 1; i < n; i++) {
        int status = take(&t, spec, v->takes[(i - 1) % strlen(v->takes)], words[i], arena);

        if (status != 0)
            return status;
    }
    *ret = (struct mk_op){.tag = v->tag};
    fill(ret, &t, arena);
    return 0;
}
