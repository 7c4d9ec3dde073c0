#include "citer.h"

MK_SEQ_DEFINE(citer_pointers, mk_evidence_pointer, 64, 0)
MK_STRUCT_DEFINE(citer_command, "Cite", CITER_COMMAND_TABLE)
MK_STRUCT_DEFINE(citer_sum, "Sum", CITER_SUM_TABLE)

const struct mk_surface_spec citer_specs[1] = {
    {.kind = MK_SURFACE_STREAM, .name = "sums", .value = &citer_sum_type}};

struct citer {
    struct mk_machine machine;
    const struct mk_evidence_anchor *anchor;
};

static uint64_t number(struct mk_bytes pc)
{
    struct mk_arena arena = {0};
    uint64_t v = 0;

    if (mk_decode(&v, &mk_u64_type, pc, &arena, NULL) != 0)
        v = 0;
    mk_arena_done(&arena);
    return v;
}

static int citer_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct mk_arena arena = {0};
    struct citer_command c;
    struct citer_sum sum = {0};
    struct mk_buf item = {0};
    const struct mk_resolved *v;
    size_t n;

    (void)m;
    if (mk_decode(&c, &citer_command_type, command, &arena, NULL) != 0) {
        mk_arena_done(&arena);
        return mk_refuse(a, "command: not a citation");
    }
    v = mk_apply_evidence(a, &n);
    for (size_t i = 0; i < n; i++)
        sum.sum += number(v[i].payload);
    sum.of = c.pointers;
    mk_encode(&item, &citer_sum_type, &sum);
    mk_stream_append(a, CITER_SUMS, mk_buf_bytes(&item));
    mk_buf_done(&item);
    mk_arena_done(&arena);
    return 0;
}

static void citer_free(struct mk_machine *m)
{
    mk_free(m);
}

static const struct mk_machine_ops ops = {.name = "citer",
                                          .version = 1,
                                          .surfaces = citer_specs,
                                          .n_surfaces = 1,
                                          .apply = citer_apply,
                                          .free = citer_free};

static int anchor(const struct mk_machine *inner, const struct mk_apply *a,
                  const struct mk_id *stable_id, struct mk_evidence_anchor *ret)
{
    const struct citer *c = (const struct citer *)inner;

    (void)a;
    if (!mk_id_eq(stable_id, &c->anchor->stable_id))
        return MK_ENOTFOUND;
    *ret = *c->anchor;
    return 0;
}

static int cites(const struct mk_machine *inner, struct mk_bytes command,
                 struct mk_evidence_pointer ret[MK_EVIDENCE_MAX], size_t *ret_n)
{
    struct mk_arena arena = {0};
    struct citer_command c;
    int rv = mk_decode(&c, &citer_command_type, command, &arena, NULL);

    (void)inner;
    if (rv == 0 && c.pointers.n > MK_EVIDENCE_MAX)
        rv = MK_ELIMIT;
    *ret_n = rv == 0 ? c.pointers.n : 0;
    for (size_t i = 0; i < *ret_n; i++)
        ret[i] = c.pointers.v[i];
    mk_arena_done(&arena);
    return rv;
}

struct mk_machine *citer_new(const struct mk_evidence_anchor *of)
{
    static const struct mk_evidence_hooks hooks = {anchor, cites};
    struct citer *c = mk_alloc(sizeof *c);

    c->machine.ops = &ops;
    c->anchor = of;
    return mk_evidenced_machine_new(&c->machine, &hooks);
}

void citer_put(struct mk_buf *out, const struct mk_exhibit *v, size_t n)
{
    struct mk_evidence_pointer pointers[MK_EVIDENCE_MAX];
    struct mk_buf command = {0};
    struct citer_command c = {.pointers = {pointers, n}};

    for (size_t i = 0; i < n; i++)
        pointers[i] = v[i].pointer;
    mk_encode(&command, &citer_command_type, &c);
    mk_evidenced_put(out, mk_buf_bytes(&command), v, n);
    mk_buf_done(&command);
}
