/* What a machine can do while it applies a command: refuse it, answer it, mutate its
 * surfaces. Each mutation that changes something is one commit and is named in the
 * outcome. A refusal must come before the first mutation; a machine that does not keep
 * to that is a mistake of ours, and stops the process rather than let replicas
 * disagree with what was told to the sender. */
#include "collections/shape.h"
#include "group/state_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mk_apply_begin(struct mk_apply *a, struct mk_state *s, uint64_t index,
                    const struct mk_peer *sender)
{
    a->s = s;
    a->index = index;
    a->sender = sender;
    mk_buf_clear(&a->refs);
    a->n_refs = 0;
    mk_buf_clear(&a->answer);
    a->mutated = a->refused = false;
    a->rule[0] = 0;
    a->changed = 0;
    a->evidence = NULL;
    a->n_evidence = 0;
    a->n_cited = 0;
}

uint64_t mk_apply_time_ms(const struct mk_apply *a)
{
    return a->s->time_ms;
}

uint64_t mk_apply_index(const struct mk_apply *a)
{
    return a->index;
}

const struct mk_peer *mk_apply_sender(const struct mk_apply *a)
{
    return a->sender;
}

const struct mk_roster *mk_apply_roster(const struct mk_apply *a)
{
    return &a->s->roster;
}

const struct mk_founding *mk_apply_founding(const struct mk_apply *a)
{
    return a->s->founded ? &a->s->founding : NULL;
}

const struct mk_id *mk_apply_deployment(const struct mk_apply *a)
{
    return &a->s->deployment;
}

const struct mk_surfaces *mk_apply_surfaces(const struct mk_apply *a)
{
    return &a->s->surfaces;
}

/* A byte cut in the middle of a character would make the outcome undecodable. */
static void cut_to_utf8(char *text)
{
    size_t n = strlen(text);

    while (n > 0 && !mk_utf8_valid(text, n))
        text[--n] = 0;
}

int mk_refuse(struct mk_apply *a, const char *fmt, ...)
{
    va_list ap;

    MK_ASSERT(!a->mutated);
    va_start(ap, fmt);
    vsnprintf(a->rule, sizeof a->rule, fmt, ap);
    va_end(ap);
    cut_to_utf8(a->rule);
    a->refused = true;
    return MK_EREFUSED;
}

void mk_answer(struct mk_apply *a, struct mk_bytes answer)
{
    MK_ASSERT(answer.n <= MK_ANSWER_MAX);
    mk_buf_clear(&a->answer);
    mk_buf_put(&a->answer, answer.p, answer.n);
}

static struct mk_surface *surface_at(struct mk_apply *a, unsigned surface)
{
    MK_ASSERT(surface < a->s->surfaces.n);
    MK_ASSERT(!a->refused);
    return &a->s->surfaces.v[surface];
}

static struct mk_surface *surface_of(struct mk_apply *a, unsigned surface,
                                     enum mk_surface_kind kind)
{
    struct mk_surface *s = surface_at(a, surface);

    MK_ASSERT(s->spec->kind == kind);
    return s;
}

static void note_commit(struct mk_apply *a, unsigned surface)
{
    const struct mk_surface *s = &a->s->surfaces.v[surface];

    a->mutated = true;
    a->changed |= 1ull << surface;
    if (a->n_refs == MK_COMMITS_MAX)
        return;
    mk_buf_put(&a->refs, s->id.b, sizeof s->id.b);
    mk_put_varint(&a->refs, s->index);
    mk_buf_put(&a->refs, s->commit.b, sizeof s->commit.b);
    a->n_refs++;
}

static int map_op(struct mk_apply *a, unsigned surface, const struct mk_map_op *op,
                  bool *ret_changed)
{
    struct mk_surface *s = surface_of(a, surface, MK_SURFACE_MAP);
    bool changed;
    int rv;

    if (s->retired)
        return MK_ERETIRED;
    rv = mk_surface_map_op(s, op, &changed);
    if (rv != 0)
        return rv;
    if (changed)
        note_commit(a, surface);
    if (ret_changed != NULL)
        *ret_changed = changed;
    return 0;
}

int mk_map_insert(struct mk_apply *a, unsigned surface, struct mk_bytes key, struct mk_bytes value,
                  bool *ret_changed)
{
    struct mk_map_op op = {.tag = mk_map_op_Insert, .u.insert = {key, value}};

    if (key.n > MK_KEY_MAX || value.n > MK_VALUE_MAX)
        return MK_ELIMIT;
    return map_op(a, surface, &op, ret_changed);
}

int mk_map_remove(struct mk_apply *a, unsigned surface, struct mk_bytes key, bool *ret_changed)
{
    struct mk_map_op op = {.tag = mk_map_op_Remove, .u.remove = {key}};

    if (key.n > MK_KEY_MAX)
        return MK_ELIMIT;
    return map_op(a, surface, &op, ret_changed);
}

int mk_map_compare_set(struct mk_apply *a, unsigned surface, struct mk_bytes key,
                       const struct mk_bytes *expect, struct mk_bytes value, bool *ret_changed)
{
    struct mk_map_op op = {.tag = mk_map_op_CompareSet,
                           .u.compare_set = {.key = key, .value = value}};

    if (key.n > MK_KEY_MAX || value.n > MK_VALUE_MAX)
        return MK_ELIMIT;
    if (expect != NULL && expect->n > MK_VALUE_MAX)
        return MK_EREFUSED; /* no such value can be there */
    if (expect != NULL)
        op.u.compare_set.expect = (struct mk_opt_map_op_value){.some = true, .v = *expect};
    return map_op(a, surface, &op, ret_changed);
}

int mk_map_clear(struct mk_apply *a, unsigned surface, bool *ret_changed)
{
    return map_op(a, surface, &(struct mk_map_op){.tag = mk_map_op_Clear}, ret_changed);
}

void mk_stream_append(struct mk_apply *a, unsigned surface, struct mk_bytes item)
{
    struct mk_surface *s = surface_of(a, surface, MK_SURFACE_STREAM);

    MK_ASSERT(item.n <= MK_VALUE_MAX);
    if (s->retired)
        return;
    mk_surface_commit(s, &s->schema, item);
    note_commit(a, surface);
}

int mk_collection_apply(struct mk_apply *a, unsigned surface, const struct mk_op *op,
                        struct mk_written *ret, struct mk_fault *reterr)
{
    struct mk_surface *s = surface_at(a, surface);
    bool changed;
    int rv;

    if (s->retired)
        return mk_fault(reterr, MK_ERETIRED, "%s is retired", s->spec->name);
    rv = mk_shape_apply(s, op, &changed, reterr);
    if (rv != 0)
        return rv;
    if (changed) /* of several appended items the last one stands for all */
        note_commit(a, surface);
    *ret = (struct mk_written){.version = s->index, .changed = changed};
    return 0;
}

struct mk_id mk_machine_signature(const struct mk_machine_ops *ops)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put_str(&h, "mosaik.machine.v1");
    mk_hasher_put_u64le(&h, strlen(ops->name));
    mk_hasher_put_str(&h, ops->name);
    mk_hasher_put_u64le(&h, ops->version);
    for (unsigned i = 0; i < ops->n_surfaces; i++) {
        struct mk_id schema = mk_surface_schema(&ops->surfaces[i]);

        mk_hasher_put_u64le(&h, (uint64_t)ops->surfaces[i].kind);
        mk_hasher_put_u64le(&h, strlen(ops->surfaces[i].name));
        mk_hasher_put_str(&h, ops->surfaces[i].name);
        mk_hasher_put(&h, schema.b, sizeof schema.b);
        if (ops->surfaces[i].capacity > 0)
            mk_hasher_put_u64le(&h, ops->surfaces[i].capacity);
    }
    return mk_hasher_end(&h);
}

void mk_outcome_put(struct mk_buf *out, int err, const char *rule, struct mk_bytes refs,
                    size_t n_refs, struct mk_bytes answer)
{
    size_t rule_n = strlen(rule);

    mk_put_varint(out, (uint64_t)-err);
    mk_put_varint(out, rule_n);
    mk_buf_put(out, rule, rule_n);
    mk_put_varint(out, n_refs);
    mk_buf_put(out, refs.p, refs.n);
    mk_put_varint(out, answer.n);
    mk_buf_put(out, answer.p, answer.n);
}

void mk_outcome_plain(struct mk_buf *out, int err, const char *rule)
{
    mk_outcome_put(out, err, rule, MK_BYTES(NULL, 0), 0, MK_BYTES(NULL, 0));
}
