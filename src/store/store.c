/* store.c - opening, closing, and what was recovered; see store.h and store_int.h. */
#include "base/assert.h"
#include "store/store_int.h"

#include <stdio.h>
#include <string.h>

#define SEGMENT_BYTES (4u << 20)

static void store_free(struct mk_store *s)
{
    if (s->file != NULL)
        mk_file_close(s->file);
    if (s->old_file != NULL)
        mk_file_close(s->old_file);
    if (s->top_file != NULL)
        mk_file_close(s->top_file);
    if (s->prep_file != NULL)
        mk_file_close(s->prep_file);
    mk_free(s->zeros);
    mk_append_done(s);
    mk_slots_done(s);
    mk_stored_done(&s->state);
    mk_free(s);
}

#define FACT_DAMAGED "damaged"

const char *mk_store_damage(const struct mk_store_group *g)
{
    return g->damage;
}

int mk_store_set_damage(struct mk_store_group *g, uint64_t *ret_lsn, const char *why)
{
    if (why != g->damage)
        snprintf(g->damage, sizeof g->damage, "%s", why);
    if (g->store->read_only)
        return 0;
    return mk_store_put(g, ret_lsn, FACT_DAMAGED, MK_BYTES(g->damage, strlen(g->damage)));
}

/* It was found now, or by an earlier opening. */
static void note_damages(struct mk_store *s)
{
    for (size_t i = 0; i < s->state.n; i++) {
        struct mk_store_group *g = s->state.groups[i];
        struct mk_bytes v;

        if (g->damage[0] != 0)
            (void)mk_store_set_damage(g, NULL, g->damage); /* a store that is dead says so to all */
        else if (mk_store_get(g, &v, FACT_DAMAGED) == 0)
            snprintf(g->damage, sizeof g->damage, "%.*s", (int)v.n, (const char *)v.p);
    }
}

int mk_store_open(struct mk_env *e, struct mk_store **ret, const struct mk_store_options *o,
                  struct mk_fault *reterr)
{
    struct mk_store *s;
    int rv;

    if (!o->read_only) {
        rv = mk_dir_lock(e);
        if (rv != 0)
            return mk_fault(reterr, rv, "%s",
                            rv == MK_EINUSE ? "the directory is in use by another process, or by "
                                              "another node of this one"
                            : rv == MK_ENOTSUP ? "no directory was named to keep its log in"
                                               : "the directory cannot be locked");
    }
    s = mk_alloc(sizeof *s);
    s->env = e;
    s->read_only = o->read_only;
    s->segment_bytes = o->segment_bytes == 0 ? SEGMENT_BYTES : o->segment_bytes;
    s->next_file = 1;
    mk_append_init(s);
    rv = mk_recover(s, reterr);
    for (size_t i = 0; i < s->state.n; i++)
        s->state.groups[i]->store = s;
    if (rv == 0 && !s->read_only)
        rv = mk_snap_clean(s);
    if (rv != 0) {
        store_free(s);
        return rv;
    }
    note_damages(s);
    if (!s->read_only) {
        mk_append_opened(s);
        mk_top_opened(s);
        mk_scrub_open(s);
    }
    *ret = s;
    return 0;
}

void mk_store_closed(struct mk_store *s)
{
    void (*cb)(void *arg) = s->close_cb;
    void *arg = s->close_arg;

    if (s->writing || s->preparing)
        return;
    store_free(s);
    if (cb != NULL)
        cb(arg);
}

void mk_store_close(struct mk_store *s, void (*cb)(void *arg), void *arg)
{
    if (s == NULL)
        return;
    MK_ASSERT(!s->closing);
    s->closing = true;
    mk_timer_stop(&s->seal_timer);
    mk_scrub_close(s);
    s->close_cb = cb;
    s->close_arg = arg;
    if (mk_env_is_dead(s->env)) /* nothing calls back any more */
        s->writing = s->preparing = false;
    mk_store_closed(s);
}

const uint32_t mk_store_bucket_us[MK_STORE_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000};

void mk_store_stats(const struct mk_store *s, struct mk_store_stats *ret)
{
    *ret = s->stats;
    ret->segments = s->n_slots;
}

uint64_t mk_store_writing_ns(const struct mk_store *s)
{
    return s->writing ? s->write_ns : 0;
}

int mk_store_status(const struct mk_store *s)
{
    return s->status;
}

struct mk_store_group *mk_store_find(struct mk_store *s, const struct mk_id *id)
{
    return mk_stored_find(&s->state, id);
}

struct mk_store_group *mk_store_group(struct mk_store *s, const struct mk_id *id)
{
    struct mk_store_group *g = mk_stored_find(&s->state, id);

    if (g == NULL) {
        g = mk_stored_add(&s->state, id);
        g->store = s;
    }
    return g;
}

void mk_store_state(const struct mk_store_group *g, struct mk_store_state *ret)
{
    *ret = (struct mk_store_state){.term = g->term,
                                   .vote = g->vote,
                                   .first_index = g->first,
                                   .last_index = g->last,
                                   .snapshot_index = g->snap_index,
                                   .snapshot = mk_buf_bytes(&g->snap)};
}

int mk_store_each_entry(struct mk_store_group *g,
                        int (*cb)(void *arg, const struct mk_store_entry *e), void *arg)
{
    for (size_t i = 0; i < g->n_kept; i++) {
        const struct mk_kept *k = &g->kept[i];
        struct mk_store_entry e = {g->kept_first + i, k->term, k->type, MK_BYTES(k->p, k->n)};
        int rv = cb(arg, &e);

        if (rv != 0)
            return rv;
    }
    return 0;
}

void mk_store_on_behind(struct mk_store_group *g, bool (*cb)(void *arg, bool pressed), void *arg)
{
    g->behind = cb;
    g->behind_arg = arg;
}

void mk_store_forget(struct mk_store_group *g)
{
    mk_stored_forget(g);
}

int mk_store_get(const struct mk_store_group *g, struct mk_bytes *ret, const char *key)
{
    const struct mk_fact *f = mk_stored_fact(g, key, strlen(key));

    if (f == NULL)
        return MK_ENOTFOUND;
    *ret = mk_buf_bytes(&f->value);
    return 0;
}
