/* replay.c - see replay.h: a read-only store, a state, nothing else.
 *
 * Entries are committed or will be replaced; whatever is stored is applied in order. */
#include "group/image.h"
#include "group/written.h"
#include "base/assert.h"
#include "consensus/consensus.h"
#include "env/env.h"
#include "store/store.h"
#include <mosaik/replay.h>

#include <inttypes.h>
#include <string.h>

/** The commits of one surface that the log and its snapshot's history hold. */
struct made {
    uint64_t first; /* index of v[0] */
    struct mk_id *v;
    size_t n, cap;
};

struct mk_replay {
    struct mk_id stable_id;
    struct made made[MK_SURFACES_MAX];
    struct mk_replay_cite *cites;
    size_t n_cites, cap_cites;
    struct mk_store *store;
    struct mk_store_group *group;
    struct mk_state *state;
    struct mk_store_state stored;
    uint64_t began; /* index of the snapshot it began with */
    struct mk_replay_step *steps;
    size_t n_steps, cap_steps;
    struct mk_fault *reterr;
};

static int fill(void *arg, struct mk_bytes chunk, struct mk_fault *reterr)
{
    return mk_filling_put(arg, chunk, reterr);
}

/** Notes the commits of every surface that were not noted yet. */
static void note_made(struct mk_replay *r)
{
    const struct mk_surfaces *s = mk_state_surfaces(r->state);

    for (unsigned i = 0; i < s->n; i++) {
        const struct mk_surface *x = &s->v[i];
        struct made *m = &r->made[i];

        if (m->n == 0)
            m->first = mk_surface_oldest(x);
        for (uint64_t at = m->first + m->n; at <= x->index; at++) {
            struct mk_id hash;

            if (m->n == m->cap) {
                m->cap = m->cap == 0 ? 64 : 2 * m->cap;
                m->v = mk_realloc(m->v, m->cap * sizeof *m->v);
            }
            hash = mk_surface_hash_at(x, at, &hash) == 0 ? hash : MK_ZERO_ID;
            m->v[m->n++] = hash;
        }
    }
}

static void note_cites(struct mk_replay *r, uint64_t entry, const struct mk_applied *a)
{
    for (unsigned i = 0; i < a->n_cited; i++) {
        struct mk_replay_cite *c;

        if (r->n_cites == r->cap_cites) {
            r->cap_cites = r->cap_cites == 0 ? 64 : 2 * r->cap_cites;
            r->cites = mk_realloc(r->cites, r->cap_cites * sizeof *r->cites);
        }
        c = &r->cites[r->n_cites++];
        *c = (struct mk_replay_cite){
            .entry = entry, .pointer = a->cited[i].pointer, .resolved = a->cited[i].resolved};
        memcpy(c->why, a->cited[i].why, sizeof c->why);
    }
}

static int begin_with_snapshot(struct mk_replay *r)
{
    struct mk_filling *f = mk_state_fill(r->state);
    int rv = mk_snap_each(r->group, r->stored.snapshot_index, MK_SNAP_MAX, fill, f, r->reterr);

    r->began = r->stored.snapshot_index;
    if (rv == 0)
        return mk_filling_take(f, r->state, r->reterr);
    mk_filling_free(f);
    if (rv == MK_ENOTFOUND)
        rv = mk_fault(r->reterr, MK_ECORRUPT, "the snapshot of entry %" PRIu64 ": it is missing",
                      r->stored.snapshot_index);
    return rv;
}

static void note_step(struct mk_replay *r, const struct mk_store_entry *e)
{
    if (r->n_steps == r->cap_steps) {
        r->cap_steps = r->cap_steps == 0 ? 256 : 2 * r->cap_steps;
        r->steps = mk_realloc(r->steps, r->cap_steps * sizeof *r->steps);
    }
    r->steps[r->n_steps++] = (struct mk_replay_step){
        .index = e->index,
        .term = e->term,
        .hash = mk_surfaces_hash(mk_state_surfaces(r->state)),
        .state = e->index % MK_REPLAY_STATE_EVERY == 0 ? mk_state_hash(r->state) : MK_ZERO_ID,
    };
}

static int apply_entry(void *arg, const struct mk_store_entry *e)
{
    struct mk_replay *r = arg;
    struct mk_applied a;

    if (e->index <= mk_state_index(r->state))
        return 0; /* kept behind the snapshot, for followers */
    if (e->index != mk_state_index(r->state) + 1)
        return mk_fault(r->reterr, MK_ECORRUPT, "entry %" PRIu64 " is missing",
                        mk_state_index(r->state) + 1);
    if (e->type == MK_ENTRY_COMMAND) {
        mk_state_apply(r->state, e->index, e->bytes, &a);
        note_made(r);
        note_cites(r, e->index, &a);
    } else {
        mk_state_skip(r->state, e->index);
    }
    note_step(r, e);
    return 0;
}

static int replay(struct mk_replay *r, struct mk_env *e, const struct mk_replay_options *o)
{
    struct mk_store_options so = {.read_only = true};
    int rv = mk_store_open(e, &r->store, &so, r->reterr);

    if (rv != 0)
        return rv;
    r->group = mk_store_find(r->store, &o->deployment);
    if (r->group != NULL)
        mk_store_state(r->group, &r->stored);
    if (r->group != NULL &&
        mk_store_damage(r->group)[0] != 0) /* then none of its entries is read */
        return mk_fault(r->reterr, MK_ECORRUPT, "%s", mk_store_damage(r->group));
    if (r->group == NULL || (r->stored.last_index == 0 && r->stored.snapshot_index == 0))
        return mk_fault(r->reterr, MK_ENOTFOUND, "nothing of this component is stored here");
    rv = mk_written_check(r->group, o->machine->ops, r->reterr);
    if (rv != 0 && rv != MK_ENOTFOUND)
        return rv;
    rv = r->stored.snapshot_index > 0 ? begin_with_snapshot(r) : 0;
    if (rv == 0)
        note_made(r);
    return rv != 0 ? rv : mk_store_each_entry(r->group, apply_entry, r);
}

int mk_replay_open(struct mk_env *e, struct mk_replay **ret, const struct mk_replay_options *o,
                   struct mk_fault *reterr)
{
    struct mk_replay *r = mk_alloc(sizeof *r);
    struct mk_state_options so = {.deployment = o->deployment,
                                  .stable_id = o->stable_id,
                                  .roster = o->roster,
                                  .machine = o->machine};
    int rv;

    r->reterr = reterr;
    r->stable_id = o->stable_id;
    r->state = mk_state_new(&so);
    rv = replay(r, e, o);
    if (r->group != NULL)
        mk_store_forget(r->group);
    r->reterr = NULL;
    if (rv != 0) {
        mk_replay_close(r);
        return rv;
    }
    *ret = r;
    return 0;
}

void mk_replay_close(struct mk_replay *r)
{
    if (r == NULL)
        return;
    mk_state_free(r->state);
    mk_store_close(r->store, NULL, NULL);
    mk_free(r->steps);
    for (unsigned i = 0; i < MK_SURFACES_MAX; i++)
        mk_free(r->made[i].v);
    mk_free(r->cites);
    mk_free(r);
}

uint64_t mk_replay_snapshot(const struct mk_replay *r)
{
    return r->began;
}

size_t mk_replay_steps(const struct mk_replay *r, const struct mk_replay_step **ret)
{
    *ret = r->steps;
    return r->n_steps;
}

unsigned mk_replay_surfaces(const struct mk_replay *r)
{
    return mk_state_surfaces(r->state)->n;
}

void mk_replay_surface(struct mk_replay *r, struct mk_replay_surface *ret, unsigned i)
{
    const struct mk_surface *s;
    struct mk_head head;

    MK_ASSERT(i < mk_replay_surfaces(r));
    s = &mk_state_surfaces(r->state)->v[i];
    mk_state_head(r->state, i, &head);
    *ret = (struct mk_replay_surface){.kind = mk_surface_kind_name(s->spec->kind),
                                      .name = s->spec->name,
                                      .index = head.index,
                                      .commit = head.commit,
                                      .state = head.state};
}

bool mk_replay_differ(const struct mk_replay *a, const struct mk_replay *b,
                      struct mk_replay_step *ret_a, struct mk_replay_step *ret_b)
{
    size_t i = 0, k = 0;

    while (i < a->n_steps && k < b->n_steps) {
        const struct mk_replay_step *x = &a->steps[i], *y = &b->steps[k];

        i += x->index <= y->index;
        k += y->index <= x->index;
        if (x->index != y->index || x->term != y->term ||
            (mk_id_eq(&x->hash, &y->hash) && mk_id_eq(&x->state, &y->state)))
            continue; /* another term: one of the two was never committed */
        *ret_a = *x;
        *ret_b = *y;
        return true;
    }
    return false;
}

size_t mk_replay_cites(const struct mk_replay *r, const struct mk_replay_cite **ret)
{
    *ret = r->cites;
    return r->n_cites;
}

const struct mk_id *mk_replay_stable_id(const struct mk_replay *r)
{
    return &r->stable_id;
}

int mk_replay_find(const struct mk_replay *r, const struct mk_id *surface,
                   const struct mk_id *commit, uint64_t *ret_index)
{
    const struct mk_surfaces *s = mk_state_surfaces(r->state);

    for (unsigned i = 0; i < s->n; i++) {
        const struct made *m = &r->made[i];

        if (!mk_id_eq(&s->v[i].id, surface))
            continue;
        for (size_t k = 0; k < m->n; k++)
            if (mk_id_eq(&m->v[k], commit)) {
                *ret_index = m->first + k;
                return 0;
            }
        if (m->first <= 1)
            return MK_ENOTFOUND;
        *ret_index = m->first;
        return MK_ESTALE;
    }
    return MK_EINVALID;
}
