/* The state as bytes: what a snapshot file holds, what a member that was away installs,
 * and (but for the surfaces, which have hashes of their own) what the state hash covers.
 * Fixed-width integers, every part with its length; the order is the order below. First
 * comes what is small, as one part (the numbers, the sessions, the machine's own), then the
 * surfaces, which may be gigabytes and are read and filled as they come. */
#include "group/image.h"
#include "group/state_int.h"

#include <string.h>

#define FIRST_MAX (256u << 20) /* bytes of the first part: sessions are 64 MiB at most */

/* The form of protocol 1, and the one that says first which protocol its group works at. */
#define IMAGE_MAGIC "mosaik.state.v3\n"
#define IMAGE_MAGIC_LEVEL "mosaik.state.v4\n"
#define IMAGE_MAGIC_N (sizeof IMAGE_MAGIC - 1)

static void put_part(struct mk_buf *out, struct mk_bytes part)
{
    mk_buf_put_u64le(out, part.n);
    mk_buf_put(out, part.p, part.n);
}

static void put_magic(const struct mk_state *s, struct mk_buf *out)
{
    mk_buf_put_str(out, s->level > 1 ? IMAGE_MAGIC_LEVEL : IMAGE_MAGIC);
}

static void put_scalars(const struct mk_state *s, struct mk_buf *out)
{
    if (s->level > 1)
        mk_buf_put_u64le(out, s->level);
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

/* --- freezing and reading ---------------------------------------------------------------- */

struct mk_image {
    struct mk_buf first; /* freed once it was read */
    struct mk_surfaces_frozen *surfaces;
};

struct mk_image *mk_state_freeze(struct mk_state *s)
{
    struct mk_image *i = mk_alloc(sizeof *i);
    struct mk_buf first = {0};

    put_scalars(s, &first);
    put_machine(s, &first);
    put_magic(s, &i->first);
    put_part(&i->first, mk_buf_bytes(&first));
    mk_buf_done(&first);
    i->surfaces = mk_surfaces_freeze(&s->surfaces);
    return i;
}

bool mk_image_read(struct mk_image *i, struct mk_buf *out, size_t full)
{
    mk_buf_put(out, i->first.p, i->first.n);
    mk_buf_done(&i->first);
    return mk_surfaces_frozen_read(i->surfaces, out, full);
}

void mk_image_free(struct mk_image *i)
{
    if (i == NULL)
        return;
    mk_buf_done(&i->first);
    mk_surfaces_thaw(i->surfaces);
    mk_free(i);
}

void mk_state_snapshot(struct mk_state *s, struct mk_buf *out)
{
    struct mk_image *i = mk_state_freeze(s);

    while (mk_image_read(i, out, SIZE_MAX))
        ;
    mk_image_free(i);
}

struct mk_id mk_state_hash(struct mk_state *s)
{
    struct mk_buf b = {0};
    struct mk_id h;

    put_magic(s, &b);
    put_scalars(s, &b);
    h = mk_surfaces_hash(&s->surfaces);
    mk_buf_put(&b, h.b, sizeof h.b);
    put_machine(s, &b);
    h = mk_hash(mk_buf_bytes(&b));
    mk_buf_done(&b);
    return h;
}

/* --- filling -------------------------------------------------------------------------------- */

struct mk_filling {
    struct mk_buf first; /* magic, length, part, as far as they came */
    bool have_first;
    struct mk_surfaces surfaces;
    struct mk_surfaces_filler *filler;
};

struct mk_filling *mk_state_fill(const struct mk_state *s)
{
    const struct mk_machine_ops *ops = s->machine->ops;
    struct mk_filling *f = mk_alloc(sizeof *f);

    mk_surfaces_init(&f->surfaces, ops->surfaces, ops->n_surfaces, &s->stable_id, &s->deployment);
    mk_surfaces_retain(&f->surfaces, &s->retain, &s->time_ms);
    f->filler = mk_surfaces_fill(&f->surfaces);
    return f;
}

void mk_filling_free(struct mk_filling *f)
{
    if (f == NULL)
        return;
    mk_buf_done(&f->first);
    mk_surfaces_fill_free(f->filler);
    mk_surfaces_done(&f->surfaces);
    mk_free(f);
}

static bool is_leveled(const uint8_t *magic)
{
    _Static_assert(sizeof IMAGE_MAGIC == sizeof IMAGE_MAGIC_LEVEL, "forms are told by one length");
    return memcmp(magic, IMAGE_MAGIC_LEVEL, IMAGE_MAGIC_N) == 0;
}

/* The number of a form that another build writes; 0: it is none. */
static char other_form(const uint8_t *magic)
{
    const size_t at = IMAGE_MAGIC_N - 2;
    bool is_form = memcmp(magic, IMAGE_MAGIC, at) == 0 && magic[at + 1] == '\n';

    return is_form && magic[at] >= '0' && magic[at] <= '9' ? (char)magic[at] : 0;
}

/* How many bytes magic, length and part have together; 0: not known yet. */
static int first_size(const struct mk_buf *b, uint64_t *ret)
{
    size_t head = IMAGE_MAGIC_N;
    struct mk_reader r = {b->p + head, b->n - head, false};
    uint64_t n;

    *ret = 0;
    if (b->n < head + 8)
        return 0;
    n = mk_read_u64le(&r);
    if (memcmp(b->p, IMAGE_MAGIC, head) != 0 && !is_leveled(b->p))
        return other_form(b->p) != 0 ? MK_ENOTSUP : MK_EMALFORMED;
    if (n > FIRST_MAX)
        return MK_EMALFORMED;
    *ret = head + 8 + n;
    return 0;
}

/* Takes what belongs to the first part off the front of *piece. */
static int put_first(struct mk_filling *f, struct mk_bytes *piece, struct mk_fault *reterr)
{
    uint64_t whole = 0, head = IMAGE_MAGIC_N + 8;
    int rv;

    while (piece->n > 0 && !f->have_first) {
        uint64_t want = whole > 0 ? whole : head, n;

        n = want > f->first.n ? want - f->first.n : 0;
        n = n > piece->n ? piece->n : n;
        mk_buf_put(&f->first, piece->p, n);
        *piece = MK_BYTES(piece->p + n, piece->n - n);
        rv = first_size(&f->first, &whole);
        if (rv == MK_ENOTSUP)
            return mk_fault(
                reterr, rv,
                "snapshot: it is of form %c, %s build's; this build understands forms 3 "
                "and 4: start that build, or give this member an empty directory, "
                "which it fills from the others",
                other_form(f->first.p), other_form(f->first.p) < '3' ? "an earlier" : "a later");
        if (rv != 0)
            return mk_fault(reterr, rv, "snapshot: not a state of this component");
        f->have_first = whole > 0 && f->first.n == whole;
    }
    return 0;
}

int mk_filling_put(struct mk_filling *f, struct mk_bytes piece, struct mk_fault *reterr)
{
    int rv = f->have_first ? 0 : put_first(f, &piece, reterr);

    return rv != 0 || piece.n == 0 ? rv : mk_surfaces_fill_put(f->filler, piece, reterr);
}

static struct mk_bytes get_part(struct mk_reader *in)
{
    uint64_t n = mk_read_u64le(in);

    return mk_read_bytes(in, n > in->n ? in->n + 1 : n);
}

struct heads {
    uint64_t index[MK_SURFACES_MAX], time_ms[MK_SURFACES_MAX];
};

/* Which protocol the image is of. */
static int get_level(struct mk_state *s, struct mk_reader *in, bool leveled,
                     struct mk_fault *reterr)
{
    uint64_t level = leveled ? mk_read_u64le(in) : 1;

    if (in->failed || level < (leveled ? 2 : 1) || level > UINT16_MAX)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: no protocol");
    if (level > s->newest)
        return mk_fault(reterr, MK_ENOTSUP,
                        "snapshot: the group works at protocol %u; this build knows protocols up "
                        "to %u",
                        (unsigned)level, s->newest);
    s->level = (uint16_t)level;
    return 0;
}

static int get_scalars(struct mk_state *s, struct mk_reader *in, struct heads *heads)
{
    struct mk_bytes founding;

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

static int take_first(struct mk_state *s, struct mk_bytes first, bool leveled, struct heads *heads,
                      struct mk_fault *reterr)
{
    struct mk_reader in = {first.p, first.n, false};
    uint64_t seed = s->sessions.table.seed;
    struct mk_bytes own;
    int rv;

    s->founded = false;
    rv = get_level(s, &in, leveled, reterr);
    if (rv != 0)
        return rv;
    if (get_scalars(s, &in, heads) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: not a state of this component");
    mk_sessions_done(&s->sessions);
    mk_sessions_init(&s->sessions, seed);
    if (!mk_sessions_restore(&s->sessions, &in))
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: bad sessions");
    own = get_part(&in);
    if (in.failed || in.n != 0)
        return mk_fault(reterr, MK_EMALFORMED, "snapshot: bad end of its first part");
    if (s->machine->ops->restore == NULL)
        return own.n == 0 ? 0 : mk_fault(reterr, MK_EMALFORMED, "snapshot: the machine keeps none");
    return s->machine->ops->restore(s->machine, own, reterr);
}

static int take(struct mk_filling *f, struct mk_state *s, struct mk_fault *reterr)
{
    size_t head = IMAGE_MAGIC_N + 8;
    struct mk_surfaces_filler *filler = f->filler;
    struct mk_surfaces old = s->surfaces;
    struct heads heads;
    int rv;

    f->filler = NULL;
    rv = mk_surfaces_fill_end(filler, reterr);
    if (rv == 0 && !f->have_first)
        rv = mk_fault(reterr, MK_EMALFORMED, "snapshot: cut short");
    if (rv == 0)
        rv = take_first(s, MK_BYTES(f->first.p + head, f->first.n - head), is_leveled(f->first.p),
                        &heads, reterr);
    if (rv != 0)
        return rv;
    s->surfaces = f->surfaces;
    f->surfaces = old;
    for (unsigned i = 0; i < s->surfaces.n; i++) {
        s->surfaces.v[i].head_index = heads.index[i];
        s->surfaces.v[i].head_time_ms = heads.time_ms[i];
    }
    return 0;
}

int mk_filling_take(struct mk_filling *f, struct mk_state *s, struct mk_fault *reterr)
{
    int rv = take(f, s, reterr);

    mk_filling_free(f);
    return rv;
}

int mk_state_restore(struct mk_state *s, struct mk_bytes snapshot, struct mk_fault *reterr)
{
    struct mk_filling *f = mk_state_fill(s);
    int rv = mk_filling_put(f, snapshot, reterr);

    if (rv == 0)
        return mk_filling_take(f, s, reterr);
    mk_filling_free(f);
    return rv;
}
