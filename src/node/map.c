/* map.c - a verified copy of a committee's Map: the group's follower, on a bond.
 *
 * The follower (src/group/follow.c) shows only what a certificate covers; here a
 * change is decoded into (key, value) for the owner. When the bond moves to
 * another deployment the follower is opened again there, from a fresh snapshot. */
#include "node/map.h"

static void map_end(struct mk_map *m, int status, const struct mk_fault *fault)
{
    if (m->ended != 0)
        return;
    m->ended = status;
    mk_signal_raise(&m->signal, NULL);
    if (fault != NULL)
        m->why = *fault;
    mk_follow_close(m->follow);
    m->follow = NULL;
    if (m->cbs.ended != NULL)
        m->cbs.ended(m, status, fault);
}

static void changed(struct mk_map *m, struct mk_bytes key, const struct mk_bytes *value)
{
    const struct mk_bytes none = {0};

    if (m->shape != NULL)
        m->shape->changed(m->shape, key, value);
    else if (m->cbs.changed != NULL)
        m->cbs.changed(m, key, value != NULL ? *value : none, m->version);
}

/* The owner may close the map from a callback; the rest is then for nobody. */
static void show_many(struct mk_map *m, const struct mk_map_changes *changes)
{
    const bool *gone = m->gone;

    for (size_t i = 0; i < changes->n && !*gone; i++)
        changed(m, changes->v[i].key, changes->v[i].value.some ? &changes->v[i].value.v : NULL);
}

static void show_change(struct mk_map *m, const struct mk_map_op *op)
{
    switch ((enum mk_map_op_tag)op->tag) {
    case mk_map_op_Insert:
        changed(m, op->u.insert.key, &op->u.insert.value);
        return;
    case mk_map_op_Remove:
        changed(m, op->u.remove.key, NULL);
        return;
    case mk_map_op_CompareSet:
        changed(m, op->u.compare_set.key, &op->u.compare_set.value);
        return;
    case mk_map_op_Many:
        show_many(m, &op->u.many.changes);
        return;
    case mk_map_op_Clear:
        if (m->shape != NULL)
            m->shape->cleared(m->shape);
        if (m->cbs.synced != NULL)
            m->cbs.synced(m);
        return;
    }
}

static void follow_commit(struct mk_follow *f, uint64_t index, struct mk_bytes payload, bool marker)
{
    struct mk_map *m = mk_follow_owner(f);
    struct mk_map_shape *shape = m->shape;
    struct mk_arena arena = {0};
    struct mk_map_op op;
    bool gone = false;

    m->gone = &gone;
    m->version = index;
    if (!marker && (m->cbs.changed != NULL || m->shape != NULL) &&
        mk_decode(&op, &mk_map_op_type, payload, &arena, NULL) == 0)
        show_change(m, &op);
    mk_arena_done(&arena);
    if (gone)
        return;
    m->gone = NULL;
    mk_signal_raise(&m->signal, NULL);
    if (shape != NULL)
        shape->committed(shape, index);
}

static void follow_snapshot(struct mk_follow *f, uint64_t index)
{
    struct mk_map *m = mk_follow_owner(f);

    m->version = index;
    m->synced = true;
    mk_signal_raise(&m->signal, NULL);
    mk_bond_advance(m->bond);
    if (m->shape != NULL)
        m->shape->rebuilt(m->shape);
    if (m->cbs.synced != NULL)
        m->cbs.synced(m);
}

static void follow_certified(struct mk_follow *f, const struct mk_certificate *c)
{
    struct mk_map *m = mk_follow_owner(f);

    (void)c;
    mk_bond_remember(m->bond, false);
}

static void follow_gap(struct mk_follow *f, uint64_t from, uint64_t to)
{
    (void)f;
    (void)from;
    (void)to; /* a map's gap is closed by the fresh snapshot that follows */
}

static void follow_failed(struct mk_follow *f, int status, const struct mk_fault *fault)
{
    map_end(mk_follow_owner(f), status, fault);
}

static const struct mk_follow_cbs follow_cbs = {.commit = follow_commit,
                                                .snapshot = follow_snapshot,
                                                .certified = follow_certified,
                                                .gap = follow_gap,
                                                .failed = follow_failed};

static void part_rebind(struct mk_bond_part *p)
{
    struct mk_map *m = mk_container_of(p, struct mk_map, part);
    struct mk_bond *b = m->bond;
    struct mk_follow_options o = {.surface = mk_surface_id(m->spec, &b->reference.stable_id),
                                  .kind = m->spec->kind,
                                  .schema = mk_surface_schema(m->spec),
                                  .from = mk_from_Snapshot};
    int rv;

    if (m->ended != 0)
        return;
    mk_follow_close(m->follow);
    m->follow = NULL;
    m->synced = false;
    rv = mk_follow_open(b->network->env, b->network->net, &m->follow, &b->component, b->memory, &o,
                        &follow_cbs, m, &b->report);
    if (rv != 0)
        map_end(m, rv, NULL);
}

static void part_end(struct mk_bond_part *p, int status, const struct mk_fault *fault)
{
    struct mk_map *m = mk_container_of(p, struct mk_map, part);

    map_end(m, status, fault);
    m->bond = NULL;
}

int mk_map_open(struct mk_bond *b, struct mk_map **ret, const struct mk_surface_spec *spec,
                const struct mk_map_cbs *cbs, void *owner)
{
    struct mk_map *m = mk_alloc(sizeof *m);

    MK_ASSERT(mk_surface_keyed(spec->kind));
    m->part = (struct mk_bond_part){.rebind = part_rebind, .end = part_end};
    m->bond = b;
    m->env = b->network->env;
    m->spec = spec;
    if (cbs != NULL)
        m->cbs = *cbs;
    m->owner = owner;
    mk_list_add_tail(&b->parts, &m->part.node);
    if (b->bound)
        part_rebind(&m->part);
    *ret = m;
    return 0;
}

void mk_map_close(struct mk_map *m)
{
    if (m == NULL)
        return;
    if (m->gone != NULL)
        *m->gone = true;
    mk_signal_close(&m->signal);
    mk_follow_close(m->follow);
    if (m->bond != NULL)
        mk_list_del(&m->part.node);
    mk_free(m);
}

void *mk_map_owner(const struct mk_map *m)
{
    return m->owner;
}

bool mk_map_synced(const struct mk_map *m)
{
    return m->synced && m->follow != NULL;
}

uint64_t mk_map_version(const struct mk_map *m)
{
    return m->version;
}

uint64_t mk_map_time_ms(const struct mk_map *m)
{
    const struct mk_certificate *c = m->follow != NULL ? mk_follow_certificate(m->follow) : NULL;

    return c != NULL ? c->head.time_ms : 0;
}

size_t mk_map_size(const struct mk_map *m)
{
    return mk_map_synced(m) ? mk_follow_map(m->follow)->count : 0;
}

int mk_map_read(const struct mk_map *m, struct mk_bytes key, struct mk_bytes *ret_value)
{
    return mk_map_synced(m) ? mk_trie_get(mk_follow_map(m->follow), key, ret_value) : MK_ENOTFOUND;
}

bool mk_map_each(const struct mk_map *m, struct mk_id *cursor, struct mk_bytes *ret_key,
                 struct mk_bytes *ret_value)
{
    return mk_map_synced(m) && mk_trie_next(mk_follow_map(m->follow), cursor, ret_key, ret_value);
}

const struct mk_trie *mk_map_trie(const struct mk_map *m)
{
    return mk_follow_map(m->follow);
}

uint64_t mk_map_certified(const struct mk_map *m)
{
    const struct mk_certificate *c = mk_follow_certificate(m->follow);

    return c != NULL ? c->head.index : 0;
}

/* --- blocking ------------------------------------------------------------------------------- */

struct fresh_wait {
    struct mk_map *map;
    uint64_t max_age_ms;
};

static bool is_fresh(const struct mk_map *m, uint64_t max_age_ms, struct mk_fault *reterr)
{
    const struct mk_certificate *c = mk_map_synced(m) ? mk_follow_certificate(m->follow) : NULL;

    return c != NULL && (max_age_ms == 0 || mk_reader_fresh(c, mk_wall_ms(m->bond->network->env),
                                                            max_age_ms, reterr) == 0);
}

static bool fresh_or_ended(void *arg)
{
    const struct fresh_wait *w = arg;

    return w->map->ended != 0 || is_fresh(w->map, w->max_age_ms, NULL);
}

int mk_map_wait(struct mk_map *m, uint64_t max_age_ms, uint32_t timeout_ms, struct mk_fault *reterr)
{
    struct fresh_wait w = {m, max_age_ms};
    struct mk_bond_status st;

    if (m->ended == 0)
        mk_loop_run_until(m->bond->network->env, fresh_or_ended, &w, timeout_ms);
    if (m->ended != 0) {
        if (reterr != NULL)
            *reterr = m->why;
        return m->ended;
    }
    if (is_fresh(m, max_age_ms, reterr))
        return 0;
    if (mk_map_synced(m))
        return MK_ESTALE; /* reterr says the age */
    mk_bond_status(m->bond, &st);
    return mk_fault(reterr, MK_ETIMEDOUT, "no certified snapshot of %s within %u ms: %s",
                    m->spec->name, timeout_ms,
                    st.text[0] != '\0'            ? st.text
                    : m->bond->said[0][0] != '\0' ? m->bond->said[0]
                                                  : "members are linked, none served one");
}

struct get_wait {
    struct mk_get get;
    struct mk_wait wait;
    struct mk_bytes *ret;
    struct mk_arena *arena;
};

static void get_cb(struct mk_get *g, int status, struct mk_bytes value,
                   const struct mk_certificate *c, const struct mk_fault *fault)
{
    struct get_wait *w = mk_container_of(g, struct get_wait, get);

    (void)c;
    w->wait.done = true;
    w->wait.status = status;
    if (fault != NULL)
        w->wait.fault = *fault;
    if (status == 0)
        *w->ret = MK_BYTES(mk_arena_copy(w->arena, value.p, value.n), value.n);
}

int mk_map_lookup_wait(struct mk_bond *b, const struct mk_surface_spec *spec, struct mk_bytes key,
                       uint64_t max_age_ms, uint32_t timeout_ms, struct mk_bytes *ret,
                       struct mk_arena *arena, struct mk_fault *reterr)
{
    struct get_wait w = {.get = {.cb = get_cb}, .ret = ret, .arena = arena};
    struct mk_id surface = mk_surface_id(spec, &b->reference.stable_id);
    int rv = b->bound ? mk_client_get(b->client, &w.get, &surface, key, max_age_ms, timeout_ms)
                      : MK_EUNREACHABLE;

    if (rv != 0)
        return mk_fault(reterr, rv, "%.*s: %s", (int)b->reference.label.n, b->reference.label.p,
                        mk_strerror(rv));
    while (!w.wait.done)
        mk_loop_run_until(b->network->env, mk_wait_done, &w.wait, timeout_ms);
    mk_bond_remember(b, false);
    if (reterr != NULL)
        *reterr = w.wait.fault;
    return w.wait.status;
}
