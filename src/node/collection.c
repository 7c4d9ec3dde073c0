/* collection.c - a shape at a reader: a followed map, and beside it the order that a Vec or
 * a queue needs, moved by the same verified changes.
 *
 * Changes are told one by one after the whole batch was verified, so in between the orders
 * are behind the trie; the owner is told of the last one only, when both agree. */
#include "node/map.h"

#include "collections/view.h"
#include <mosaik/collection.h>

struct mk_collection {
    struct mk_map_shape shape;
    struct mk_map *map;
    struct mk_view view;
    struct mk_collection_cbs cbs;
    void *owner;
    uint64_t version; /* that the view is at */
    struct mk_trie none;
};

static struct mk_collection *of_shape(struct mk_map_shape *s)
{
    return mk_container_of(s, struct mk_collection, shape);
}

static void shape_rebuilt(struct mk_map_shape *s)
{
    struct mk_collection *c = of_shape(s);

    c->view.map = mk_map_trie(c->map);
    c->version = c->map->version;
    mk_view_rebuild(&c->view);
}

static void shape_changed(struct mk_map_shape *s, struct mk_bytes key, const struct mk_bytes *value)
{
    if (value != NULL)
        mk_view_put(&of_shape(s)->view, key, *value);
    else
        mk_view_remove(&of_shape(s)->view, key);
}

static void shape_cleared(struct mk_map_shape *s)
{
    mk_view_clear(&of_shape(s)->view);
}

static void shape_committed(struct mk_map_shape *s, uint64_t version)
{
    struct mk_collection *c = of_shape(s);

    if (version < mk_map_certified(c->map))
        return; /* more of this batch comes */
    c->version = version;
    if (c->cbs.updated != NULL)
        c->cbs.updated(c, version);
}

static void map_synced(struct mk_map *m)
{
    struct mk_collection *c = mk_map_owner(m);

    if (c->cbs.synced != NULL && c->version == m->version)
        c->cbs.synced(c);
}

static void map_ended(struct mk_map *m, int status, const struct mk_fault *fault)
{
    struct mk_collection *c = mk_map_owner(m);

    mk_view_clear(&c->view);
    c->view.map = &c->none;
    if (c->cbs.ended != NULL)
        c->cbs.ended(c, status, fault);
}

int mk_collection_open(struct mk_bond *b, struct mk_collection **ret,
                       const struct mk_surface_spec *spec, const struct mk_collection_cbs *cbs,
                       void *owner)
{
    static const struct mk_map_cbs map_cbs = {.synced = map_synced, .ended = map_ended};
    struct mk_collection *c = mk_alloc(sizeof *c);
    int rv;

    c->shape = (struct mk_map_shape){.rebuilt = shape_rebuilt,
                                     .changed = shape_changed,
                                     .cleared = shape_cleared,
                                     .committed = shape_committed};
    mk_view_init(&c->view, spec->kind, &c->none);
    if (cbs != NULL)
        c->cbs = *cbs;
    c->owner = owner;
    rv = mk_map_open(b, &c->map, spec, &map_cbs, c);
    if (rv != 0) {
        mk_free(c);
        return rv;
    }
    c->map->shape = &c->shape;
    *ret = c;
    return 0;
}

void mk_collection_close(struct mk_collection *c)
{
    if (c == NULL)
        return;
    mk_map_close(c->map);
    mk_view_done(&c->view);
    mk_free(c);
}

struct mk_map *mk_collection_map(const struct mk_collection *c)
{
    return c->map;
}

void *mk_collection_owner(const struct mk_collection *c)
{
    return c->owner;
}

bool mk_collection_online(const struct mk_collection *c)
{
    return mk_map_synced(c->map);
}

uint64_t mk_collection_version(const struct mk_collection *c)
{
    return c->version;
}

uint64_t mk_collection_time_ms(const struct mk_collection *c)
{
    return mk_map_time_ms(c->map);
}

const struct mk_view *mk_collection_view(const struct mk_collection *c)
{
    return mk_collection_online(c) ? &c->view : NULL;
}

/* --- blocking --------------------------------------------------------------------------------- */

struct version_wait {
    const struct mk_collection *c;
    uint64_t version;
};

static bool reached_or_ended(void *arg)
{
    const struct version_wait *w = arg;

    return w->c->map->ended != 0 || (mk_collection_online(w->c) && w->c->version >= w->version);
}

int mk_collection_wait(struct mk_collection *c, uint64_t version, uint32_t timeout_ms,
                       struct mk_fault *reterr)
{
    struct version_wait w = {c, version};

    if (!mk_collection_online(c) && c->map->ended == 0) {
        int rv = mk_map_wait(c->map, 0, timeout_ms, reterr);

        if (rv != 0)
            return rv;
    }
    if (c->map->ended == 0)
        mk_loop_run_until(c->map->bond->network->env, reached_or_ended, &w, timeout_ms);
    if (c->map->ended != 0) {
        if (reterr != NULL)
            *reterr = c->map->why;
        return c->map->ended;
    }
    if (reached_or_ended(&w))
        return 0;
    return mk_fault(reterr, MK_ETIMEDOUT, "%s is at version %llu, not at %llu, after %u ms",
                    c->map->spec->name, (unsigned long long)c->version, (unsigned long long)version,
                    timeout_ms);
}

int mk_collection_lookup_wait(struct mk_bond *b, const struct mk_surface_spec *spec,
                              struct mk_bytes key, uint64_t max_age_ms, uint32_t timeout_ms,
                              struct mk_bytes *ret, struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_bytes stored;
    struct mk_id element;
    int rv;

    if (!mk_surface_keyed(spec->kind))
        return mk_fault(reterr, MK_EINVALID, "%s is a stream; it has no keys", spec->name);
    if (spec->kind == MK_SURFACE_SET)
        key = mk_element_key(&element, key);
    rv = mk_map_lookup_wait(b, spec, key, max_age_ms, timeout_ms, &stored, arena, reterr);
    if (rv != 0)
        return rv;
    if (spec->kind == MK_SURFACE_QUEUE)
        mk_ranked_read(stored, ret);
    else
        *ret = stored;
    return 0;
}

/* --- writing ------------------------------------------------------------------------------------
 */

void mk_collection_command_put(struct mk_buf *out, const struct mk_surface_spec *spec,
                               const struct mk_op *op)
{
    struct mk_collection_command c = {
        .surface = mk_str_of(spec->name), .op = *op, .spec = mk_surface_id(spec, &MK_ZERO_ID)};

    mk_encode(out, &mk_collection_command_type, &c);
}

int mk_written_read(struct mk_written *ret, struct mk_bytes answer, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    int rv = mk_decode(ret, &mk_written_type, answer, &arena, reterr);

    mk_arena_done(&arena);
    return rv;
}

int mk_collection_write_wait(struct mk_bond *b, const struct mk_surface_spec *spec,
                             const struct mk_op *op, enum mk_step step, uint32_t timeout_ms,
                             struct mk_written *ret, struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct mk_buf command = {0};
    struct mk_outcome outcome;
    int rv = mk_validate(&mk_op_type, op, reterr);

    if (rv == 0 && !mk_op_fits(spec->kind, op))
        rv = mk_fault(reterr, MK_EINVALID, "%s: a %s has no such operation", spec->name,
                      mk_surface_kind_name(spec->kind));
    if (rv == 0) {
        mk_collection_command_put(&command, spec, op);
        rv = mk_execute_wait(b, &outcome, mk_buf_bytes(&command), step, timeout_ms, &arena, reterr);
    }
    if (rv == 0)
        rv = mk_written_read(ret, outcome.answer, reterr);
    mk_buf_done(&command);
    mk_arena_done(&arena);
    return rv;
}
