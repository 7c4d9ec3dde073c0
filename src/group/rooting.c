/* rooting.c - a reader that was handed a large map has a hash or two to compute for each key before
 * it can believe any of it. The loop would stand for half a second a million keys. So the map is
 * cut into subtrees, whose hashes do not depend on each other; each thread takes every second of
 * them, and the little above them is left to mk_trie_root(). Which thread is first makes no
 * difference. */
#include "group/rooting.h"

static void lane_run(struct mk_work *w)
{
    struct mk_rooting_lane *l = mk_container_of(w, struct mk_rooting_lane, work);

    for (size_t i = l->first; i < l->r->n; i += MK_ROOTING_LANES)
        mk_trie_part_hash(&l->r->parts[i]);
}

static void lane_done(struct mk_work *w)
{
    struct mk_rooting_lane *l = mk_container_of(w, struct mk_rooting_lane, work);
    struct mk_rooting *r = l->r;

    l->working = false;
    if (--r->busy > 0)
        return;
    for (size_t i = 0; i < r->n; i++)
        mk_trie_part_done(&r->parts[i]);
    r->cb(r->arg);
}

bool mk_rooting_start(struct mk_rooting *r, struct mk_env *e, struct mk_trie *t,
                      void (*cb)(void *arg), void *arg)
{
    r->env = e;
    r->cb = cb;
    r->arg = arg;
    r->n = t->count < MK_ROOTING_MIN ? 0 : mk_trie_parts(t, r->parts, MK_ROOTING_PARTS);
    if (r->n == 0)
        return false;
    r->busy = MK_ROOTING_LANES;
    for (unsigned i = 0; i < MK_ROOTING_LANES; i++) {
        r->lanes[i] = (struct mk_rooting_lane){
            .r = r, .first = i, .work = {.run = lane_run, .done = lane_done}, .working = true};
        mk_work_start(e, &r->lanes[i].work);
    }
    return true;
}

bool mk_rooting_busy(const struct mk_rooting *r)
{
    return r->busy > 0;
}

void mk_rooting_stop(struct mk_rooting *r)
{
    for (unsigned i = 0; i < MK_ROOTING_LANES && r->busy > 0; i++)
        if (r->lanes[i].working)
            mk_work_cancel(&r->lanes[i].work);
    r->busy = 0;
}
