/* The state as bytes: what a snapshot file holds, what a member that was away installs,
 * and (but for the surfaces, which have hashes of their own) what the state hash covers.
 * Fixed-width integers, every part with its length; the order is the order below. */
#include "group/state_int.h"

#include <string.h>

#define IMAGE_MAGIC "mosaik.state.v2\n"

static void put_part(struct mk_buf *out, struct mk_bytes part)
{
    mk_buf_put_u64le(out, part.n);
    mk_buf_put(out, part.p, part.n);
}

static void put_scalars(const struct mk_state *s, struct mk_buf *out)
{
    mk_buf_put_str(out, IMAGE_MAGIC);
    mk_buf_put_u64le(out, s->index);
    mk_buf_put_u64le(out, s->time_ms);
    mk_rosters_snapshot(s, out);
    put_part(out, s->founded ? mk_buf_bytes(&s->founding_pc) : MK_BYTES(NULL, 0));
    mk_buf_put_u64le(out, s->surfaces.n);
    for (unsigned i = 0; i < s->surfaces.n; i++) {
        mk_buf_put_u64le(out, s->surfaces.v[i].head_index);
        mk_buf_put_u64le(out, s->surfaces.v[i].head_time_ms);
    }
}

static void put_machine(const struct mk_state *s, struct mk_buf *out)
{
    struct mk_buf own = {0};

    mk_sessions_snapshot(&s->sessions, out);
    if (s->machine->ops->snapshot != NULL)
        s->machine->ops->snapshot(s->machine, &own);
    put_part(out, mk_buf_bytes(&own));
    mk_buf_done(&own);
}

void mk_state_snapshot(struct mk_state *s, struct mk_buf *out)
{
    struct mk_buf surfaces = {0};

    put_scalars(s, out);
    mk_surfaces_snapshot(&s->surfaces, &surfaces);
    put_part(out, mk_buf_bytes(&surfaces));
    mk_buf_done(&surfaces);
    put_machine(s, out);
}

struct mk_id mk_state_hash(struct mk_state *s)
{
    struct mk_buf b = {0};
    struct mk_id h;

    put_scalars(s, &b);
    h = mk_surfaces_hash(&s->surfaces);
    mk_buf_put(&b, h.b, sizeof h.b);
    put_machine(s, &b);
    h = mk_hash(mk_buf_bytes(&b));
    mk_buf_done(&b);
    return h;
}

static struct mk_bytes get_part(struct mk_reader *in)
{
    uint64_t n = mk_read_u64le(in);

    return mk_read_bytes(in, n > in->n ? in->n + 1 : n);
}

struct heads {
    uint64_t index[MK_SURFACES_MAX], time_ms[MK_SURFACES_MAX];
};

static int get_scalars(struct mk_state *s, struct mk_reader *in, struct heads *heads)
{
    struct mk_bytes magic = mk_read_bytes(in, sizeof IMAGE_MAGIC - 1), founding;

    if (in->failed || memcmp(magic.p, IMAGE_MAGIC, magic.n) != 0)
        return MK_EMALFORMED;
    s->index = mk_read_u64le(in);
    s->time_ms = mk_read_u64le(in);
    if (mk_rosters_restore(s, in) != 0)
        return MK_EMALFORMED;
    founding = get_part(in);
    if (in->failed || (founding.n > 0 && mk_state_found(s, founding) != 0))
        return MK_EMALFORMED;
    if (mk_read_u64le(in) != s->surfaces.n)
        return MK_EMALFORMED;
    for (unsigned i = 0; i < s->surfaces.n; i++) {
        heads->index[i] = mk_read_u64le(in);
        heads->time_ms[i] = mk_read_u64le(in);
    }
    return in->failed ? MK_EMALFORMED : 0;
}

static int restore_surfaces(struct mk_state *s, struct mk_bytes image, const struct heads *heads,
                            struct mk_fault *reterr)
{
    const struct mk_machine_ops *ops = s->machine->ops;
    int rv;

    mk_surfaces_done(&s->surfaces);
    mk_surfaces_init(&s->surfaces, ops->surfaces, ops->n_surfaces, &s->stable_id, &s->deployment);
    rv = mk_surfaces_restore(&s->surfaces, image, reterr);
    if (rv != 0)
        return rv;
    for (unsigned i = 0; i < s->surfaces.n; i++) {
        s->surfaces.v[i].head_index = heads->index[i];
        s->surfaces.v[i].head_time_ms = heads->time_ms[i];
    }
    return 0;
}

int mk_state_restore(struct mk_state *s, struct mk_bytes snapshot, struct mk_fault *reterr)
{
    struct mk_reader in = {snapshot.p, snapshot.n, false};
    uint64_t seed = s->sessions.table.seed;
    struct mk_bytes surfaces, own;
    struct heads heads;
    int rv;

    s->founded = false;
    rv = get_scalars(s, &in, &heads);
    if (rv != 0)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: not a state of this component");
    surfaces = get_part(&in);
    if (in.failed)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: cut short");
    rv = restore_surfaces(s, surfaces, &heads, reterr);
    if (rv != 0)
        return rv;
    mk_sessions_done(&s->sessions);
    mk_sessions_init(&s->sessions, seed);
    if (!mk_sessions_restore(&s->sessions, &in))
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: bad sessions");
    own = get_part(&in);
    if (in.failed || in.n != 0)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: bad end");
    if (s->machine->ops->restore == NULL)
        return own.n == 0 ? 0 : mk_fault(reterr, MK_EMALFORMED, "snapshot: the machine keeps none");
    return s->machine->ops->restore(s->machine, own, reterr);
}
