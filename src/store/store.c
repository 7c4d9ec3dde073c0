/* store.c - groups in memory, appending, waiting. What is on disk is in slots.c.
 *
 * Every append changes memory at once and adds a record to what is gathered; the write at
 * the end of the turn makes all of it durable together. An append of an entry costs its
 * copy and a run-length note of the life it went into, nothing else: the entries
 * themselves are held by consensus. */
#include "store/store_int.h"
#include <mosaik/key.h>

const char MK_STORE_KEY_FILE[] = "log/key";

/* --- groups ----------------------------------------------------------------------------- */

struct mk_store_group *mk_store_group_new(struct mk_store *s, const struct mk_id *id)
{
    struct mk_store_group *g = mk_alloc(sizeof *g);

    if (s->n_groups == s->cap_groups) {
        s->cap_groups = s->cap_groups != 0 ? 2 * s->cap_groups : 8;
        s->groups = mk_realloc(s->groups, s->cap_groups * sizeof *s->groups);
    }
    g->store = s;
    g->id = *id;
    g->number = s->n_groups;
    g->first = 1;
    mk_list_init(&g->facts);
    s->groups[s->n_groups++] = g;
    return g;
}

struct mk_store_group *mk_store_find(struct mk_store *s, const struct mk_id *id)
{
    for (size_t i = 0; i < s->n_groups; i++) {
        if (mk_id_eq(&s->groups[i]->id, id))
            return s->groups[i];
    }
    return NULL;
}

static uint64_t appended(struct mk_store *s, uint64_t *ret_lsn)
{
    s->lsn++;
    if (ret_lsn != NULL)
        *ret_lsn = s->lsn;
    mk_later(s->env, &s->flush);
    return s->lsn;
}

struct mk_store_group *mk_store_group(struct mk_store *s, const struct mk_id *id)
{
    struct mk_store_group *g = mk_store_find(s, id);

    if (g != NULL)
        return g;
    MK_ASSERT(s->n_groups < MK_STORE_GROUPS_MAX);
    g = mk_store_group_new(s, id);
    if (!s->read_only && s->status == 0) {
        mk_record_group(&s->gathered, g);
        appended(s, NULL);
    }
    return g;
}

static bool group_empty(const struct mk_store_group *g)
{
    return g->term == 0 && g->vote == 0 && g->first > g->last && g->snapshot == 0 &&
           mk_list_empty(&g->facts);
}

void mk_store_each_group(struct mk_store *s,
                         void (*cb)(void *arg, struct mk_store_group *g, const struct mk_id *id),
                         void *arg)
{
    for (size_t i = 0; i < s->n_groups; i++) {
        if (!group_empty(s->groups[i]))
            cb(arg, s->groups[i], &s->groups[i]->id);
    }
}

void mk_store_state(const struct mk_store_group *g, struct mk_store_state *ret)
{
    *ret = (struct mk_store_state){.term = g->term,
                                   .vote = g->vote,
                                   .first_index = g->first,
                                   .last_index = g->last,
                                   .snapshot_index = g->snapshot,
                                   .snapshot = mk_buf_bytes(&g->description)};
}

int mk_store_each_entry(struct mk_store_group *g,
                        int (*cb)(void *arg, const struct mk_store_entry *e), void *arg)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < g->n_kept; i++) {
        const struct mk_kept *k = &g->kept[i];

        rv = cb(arg, &(struct mk_store_entry){.index = g->first + i,
                                              .term = k->term,
                                              .type = k->type,
                                              .bytes = {k->bytes, k->n}});
    }
    return rv;
}

void mk_group_forget(struct mk_store_group *g)
{
    for (size_t i = 0; i < g->n_kept; i++)
        mk_free(g->kept[i].bytes);
    mk_free(g->kept);
    g->kept = NULL;
    g->n_kept = g->cap_kept = 0;
    g->keeping = false;
}

void mk_store_forget(struct mk_store_group *g)
{
    mk_group_forget(g);
}

/* --- facts --------------------------------------------------------------------------------- */

struct mk_fact *mk_fact_find(const struct mk_store_group *g, const char *key)
{
    mk_list_each(p, &g->facts)
    {
        struct mk_fact *f = mk_container_of(p, struct mk_fact, node);

        if (strcmp(f->key, key) == 0)
            return f;
    }
    return NULL;
}

static void fact_free(struct mk_store_group *g, struct mk_fact *f)
{
    mk_list_del(&f->node);
    g->n_facts--;
    mk_free(f->value);
    mk_free(f);
}

/** Before the first greater key. */
static void fact_insert(struct mk_store_group *g, struct mk_fact *f)
{
    struct mk_list *at = &g->facts;

    mk_list_each(p, &g->facts)
    {
        if (strcmp(mk_container_of(p, struct mk_fact, node)->key, f->key) > 0) {
            at = p;
            break;
        }
    }
    mk_list_add_tail(at, &f->node);
    g->n_facts++;
}

void mk_fact_put(struct mk_store_group *g, const char *key, struct mk_bytes value)
{
    struct mk_fact *f = mk_fact_find(g, key);

    if (value.n == 0) {
        if (f != NULL)
            fact_free(g, f);
        return;
    }
    if (f == NULL) {
        f = mk_alloc(sizeof *f);
        snprintf(f->key, sizeof f->key, "%s", key);
        fact_insert(g, f);
    }
    mk_free(f->value);
    f->value = mk_memdup(value.p, value.n);
    f->n = value.n;
}

int mk_store_get(const struct mk_store_group *g, struct mk_bytes *ret, const char *key)
{
    const struct mk_fact *f = mk_fact_find(g, key);

    if (f == NULL)
        return MK_ENOTFOUND;
    *ret = MK_BYTES(f->value, f->n);
    return 0;
}

void mk_store_each_fact(struct mk_store_group *g, const char *prefix,
                        void (*cb)(void *arg, const char *key, struct mk_bytes value), void *arg)
{
    mk_list_each(p, &g->facts)
    {
        const struct mk_fact *f = mk_container_of(p, struct mk_fact, node);

        if (strncmp(f->key, prefix, strlen(prefix)) == 0)
            cb(arg, f->key, MK_BYTES(f->value, f->n));
    }
}

/* --- what a record does to memory --------------------------------------------------------------
 */

void mk_group_entry(struct mk_store_group *g, uint64_t index, uint64_t life)
{
    if (g->first > g->last) {
        g->first = index;
        g->n_runs = 0;
    }
    while (g->n_runs > 0 && g->runs[g->n_runs - 1].from >= index)
        g->n_runs--;
    g->last = index;
    if (g->n_runs > 0 && g->runs[g->n_runs - 1].life == life)
        return;
    if (g->n_runs == g->cap_runs) {
        g->cap_runs = g->cap_runs != 0 ? 2 * g->cap_runs : 8;
        g->runs = mk_realloc(g->runs, g->cap_runs * sizeof *g->runs);
    }
    g->runs[g->n_runs++] = (struct mk_run){index, life};
}

/** Entries below first go. */
static void drop_below(struct mk_store_group *g, uint64_t first)
{
    size_t gone = 0, kept_gone = first > g->first ? (size_t)(first - g->first) : 0;

    if (kept_gone > g->n_kept)
        kept_gone = g->n_kept;
    for (size_t i = 0; i < kept_gone; i++)
        mk_free(g->kept[i].bytes);
    if (kept_gone > 0)
        memmove(g->kept, g->kept + kept_gone, (g->n_kept - kept_gone) * sizeof *g->kept);
    g->n_kept -= kept_gone;
    g->first = first;
    while (gone + 1 < g->n_runs && g->runs[gone + 1].from <= first)
        gone++;
    if (gone > 0)
        memmove(g->runs, g->runs + gone, (g->n_runs - gone) * sizeof *g->runs);
    g->n_runs -= gone;
    if (g->n_runs > 0)
        g->runs[0].from = first;
}

void mk_group_snapshot(struct mk_store_group *g, uint64_t index, struct mk_bytes description,
                       uint64_t first, bool void_log)
{
    g->snapshot = index;
    mk_buf_clear(&g->description);
    mk_buf_put(&g->description, description.p, description.n);
    if (void_log || g->last < index || g->first > g->last) {
        bool keeping = g->keeping;

        mk_group_forget(g);
        g->keeping = keeping;
        g->first = index + 1;
        g->last = index;
        g->n_runs = 0;
    } else if (first > g->first) {
        drop_below(g, first);
    }
}

void mk_group_clear(struct mk_store_group *g)
{
    bool keeping = g->keeping;

    while (!mk_list_empty(&g->facts))
        fact_free(g, mk_container_of(g->facts.next, struct mk_fact, node));
    mk_group_forget(g);
    g->keeping = keeping;
    mk_buf_clear(&g->description);
    g->term = g->vote = g->snapshot = g->last = 0;
    g->first = 1;
    g->n_runs = 0;
}

uint64_t mk_store_live(const struct mk_store *s)
{
    uint64_t life = s->life;

    for (size_t i = 0; i < s->n_groups; i++) {
        const struct mk_store_group *g = s->groups[i];

        if (g->first <= g->last && g->runs[0].life < life)
            life = g->runs[0].life;
    }
    return life;
}

/* --- appending
 * ------------------------------------------------------------------------------------ */

static int check_open(const struct mk_store *s)
{
    if (s->read_only)
        return MK_EINVALID;
    return s->status != 0 ? MK_EIO : 0;
}

static void put_head(struct mk_store_group *g, enum mk_record_kind kind)
{
    mk_buf_put_u8(&g->store->gathered, (uint8_t)kind);
    mk_put_varint(&g->store->gathered, g->number);
}

int mk_store_append(struct mk_store_group *g, uint64_t *ret_lsn, const struct mk_store_entry *e)
{
    struct mk_buf *b = &g->store->gathered;
    int rv = check_open(g->store);

    if (rv != 0)
        return rv;
    if (e->bytes.n > MK_STORE_ENTRY_MAX)
        return MK_ELIMIT;
    if (e->index == 0 || e->type == 0 ||
        (g->first <= g->last && (e->index < g->first || e->index > g->last + 1)))
        return MK_EINVALID;
    put_head(g, MK_RECORD_ENTRY);
    mk_put_varint(b, e->index);
    mk_put_varint(b, e->term);
    mk_buf_put_u8(b, e->type);
    mk_put_varint(b, e->bytes.n);
    mk_buf_put(b, e->bytes.p, e->bytes.n);
    mk_group_forget(g); /* recovered entries end where new ones begin */
    mk_group_entry(g, e->index, g->store->life);
    appended(g->store, ret_lsn);
    return 0;
}

int mk_store_set_term(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t term, uint64_t vote)
{
    int rv = check_open(g->store);

    if (rv != 0)
        return rv;
    g->term = term;
    g->vote = vote;
    mk_record_term(&g->store->gathered, g);
    appended(g->store, ret_lsn);
    return 0;
}

int mk_store_put(struct mk_store_group *g, uint64_t *ret_lsn, const char *key,
                 struct mk_bytes value)
{
    int rv = check_open(g->store);

    if (rv != 0)
        return rv;
    if (value.n > MK_STORE_VALUE_MAX || *key == '\0' || strlen(key) > MK_STORE_KEY_MAX ||
        (g->n_facts >= MK_STORE_FACTS_MAX && mk_fact_find(g, key) == NULL))
        return MK_ELIMIT;
    mk_fact_put(g, key, value);
    mk_record_fact(&g->store->gathered, g, key, value);
    appended(g->store, ret_lsn);
    return 0;
}

int mk_store_set_snapshot(struct mk_store_group *g, uint64_t *ret_lsn, uint64_t index,
                          struct mk_bytes description, uint64_t first_index, bool void_log)
{
    struct mk_buf *b = &g->store->gathered;
    int rv = check_open(g->store);

    if (rv != 0)
        return rv;
    if (description.n > MK_STORE_VALUE_MAX)
        return MK_ELIMIT;
    if (index == 0 || first_index > index + 1)
        return MK_EINVALID;
    put_head(g, MK_RECORD_SNAPSHOT);
    mk_put_varint(b, index);
    mk_put_varint(b, first_index);
    mk_buf_put_u8(b, void_log);
    mk_put_varint(b, description.n);
    mk_buf_put(b, description.p, description.n);
    mk_group_snapshot(g, index, description, first_index, void_log);
    g->prune_lsn = appended(g->store, ret_lsn);
    g->prune_below = index;
    return 0;
}

int mk_store_remove(struct mk_store_group *g, uint64_t *ret_lsn)
{
    int rv = check_open(g->store);

    if (rv != 0)
        return rv;
    put_head(g, MK_RECORD_REMOVE);
    mk_group_clear(g);
    g->prune_lsn = appended(g->store, ret_lsn);
    g->prune_below = UINT64_MAX;
    return 0;
}

/* --- waiting
 * ------------------------------------------------------------------------------------------ */

static void tell_waits(struct mk_task *t)
{
    struct mk_store *s = mk_container_of(t, struct mk_store, tell);

    /* A callback may add or cancel waits, so each round begins at the front. */
    for (bool again = true; again;) {
        again = false;
        mk_list_each(p, &s->waits)
        {
            struct mk_store_wait *w = mk_container_of(p, struct mk_store_wait, node);

            if (w->lsn > s->durable && s->status == 0)
                continue;
            mk_list_del(&w->node);
            w->cb(w, w->lsn <= s->durable ? 0 : s->status);
            again = true;
            break;
        }
    }
}

void mk_store_wait(struct mk_store *s, struct mk_store_wait *w, uint64_t lsn)
{
    w->lsn = lsn;
    mk_list_add_tail(&s->waits, &w->node);
    if (lsn <= s->durable || s->status != 0)
        mk_later(s->env, &s->tell);
}

void mk_store_wait_cancel(struct mk_store_wait *w)
{
    if (w->node.next != NULL)
        mk_list_del(&w->node);
}

void mk_store_written(struct mk_store *s)
{
    s->durable = s->flying_lsn;
    if (s->keep_next > s->keep_life)
        s->keep_life = s->keep_next;
    for (size_t i = 0; i < s->n_groups; i++) {
        struct mk_store_group *g = s->groups[i];

        if (g->prune_lsn != 0 && g->prune_lsn <= s->durable) {
            g->prune_lsn = 0;
            mk_snap_prune(g, g->prune_below);
        }
    }
    mk_later(s->env, &s->tell);
}

void mk_store_fail(struct mk_store *s, int status)
{
    if (s->status == 0)
        s->status = status == MK_ENOSPACE ? MK_ENOSPACE : MK_EIO;
    mk_later(s->env, &s->tell);
}

int mk_store_status(const struct mk_store *s)
{
    return s->status;
}

uint64_t mk_store_durable(const struct mk_store *s)
{
    return s->durable;
}

void mk_store_flush(struct mk_store *s)
{
    mk_slots_write(s);
}

uint64_t mk_store_pending(const struct mk_store *s)
{
    return s->gathered.n + (s->flying ? s->out.n : 0);
}

static void flush_cb(struct mk_task *t)
{
    mk_slots_write(mk_container_of(t, struct mk_store, flush));
}

/* --- opening, closing
 * -------------------------------------------------------------------------------------- */

static void store_free(struct mk_store *s)
{
    for (size_t i = 0; i < s->n_groups; i++) {
        struct mk_store_group *g = s->groups[i];

        mk_group_clear(g);
        mk_group_forget(g);
        mk_buf_done(&g->description);
        mk_free(g->runs);
        mk_free(g);
    }
    mk_free(s->groups);
    mk_slots_close(s);
    mk_buf_done(&s->gathered);
    mk_buf_done(&s->out);
    mk_wipe(s->key, sizeof s->key);
    mk_free(s);
}

static int load_key(struct mk_store *s, struct mk_fault *reterr)
{
    struct mk_buf b = {0};
    int rv = mk_file_load(s->env, MK_STORE_KEY_FILE, sizeof s->key, &b);

    if (rv == 0 && b.n == sizeof s->key) {
        memcpy(s->key, b.p, b.n);
    } else if (rv == 0) {
        rv = mk_fault(reterr, MK_ECORRUPT, "%s: %zu bytes, 32 are right", MK_STORE_KEY_FILE, b.n);
    } else if (rv == MK_ENOTFOUND && !s->read_only) {
        mk_entropy(s->env, s->key, sizeof s->key);
        rv = mk_file_store(s->env, MK_STORE_KEY_FILE, MK_BYTES(s->key, sizeof s->key));
    }
    mk_buf_done(&b);
    return rv;
}

static int open_directory(struct mk_store *s, struct mk_fault *reterr)
{
    int rv = 0;

    if (!s->read_only) {
        rv = mk_dir_lock(s->env);
        if (rv != 0)
            return mk_fault(reterr, rv, "another process has this directory");
        rv = mk_mkdir(s->env, "log");
        if (rv == 0)
            rv = mk_mkdir(s->env, "snap");
        if (rv == 0)
            rv = mk_dir_sync(s->env, "");
    }
    if (rv == 0)
        rv = load_key(s, reterr);
    if (rv == 0)
        rv = mk_store_recover(s, reterr);
    return rv;
}

int mk_store_open(struct mk_env *e, struct mk_store **ret, const struct mk_store_options *o,
                  struct mk_fault *reterr)
{
    struct mk_store *s = mk_alloc(sizeof *s);
    int rv;

    s->env = e;
    s->read_only = o->read_only;
    s->slot_bytes = o->segment_bytes != 0 ? o->segment_bytes : MK_SLOT_BYTES;
    mk_list_init(&s->waits);
    s->flush.cb = flush_cb;
    s->tell.cb = tell_waits;
    if (reterr != NULL)
        reterr->text[0] = '\0';
    rv = open_directory(s, reterr);
    if (rv != 0) {
        if (reterr != NULL && reterr->text[0] == '\0')
            mk_fault(reterr, rv, "the log: %s", mk_strerror(rv));
        store_free(s);
        return rv;
    }
    *ret = s;
    return 0;
}

void mk_store_maybe_free(struct mk_store *s)
{
    void (*cb)(void *arg) = s->closed;
    void *arg = s->closed_arg;

    if (!s->closing || s->flying || s->spare_flying)
        return;
    store_free(s);
    if (cb != NULL)
        cb(arg);
}

static void close_cb(struct mk_task *t)
{
    mk_store_maybe_free(mk_container_of(t, struct mk_store, flush));
}

void mk_store_close(struct mk_store *s, void (*cb)(void *arg), void *arg)
{
    if (s == NULL)
        return;
    s->closing = true;
    s->closed = cb;
    s->closed_arg = arg;
    mk_later_cancel(&s->tell);
    mk_later_cancel(&s->flush);
    if (s->flying || s->spare_flying)
        return; /* the write's callback frees */
    s->flush.cb = close_cb;
    mk_later(s->env, &s->flush);
}
