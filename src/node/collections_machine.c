/* collections_machine.c - a component that is nothing but collections: each command is one
 * write to one of its surfaces, and all its state is in them. */
#include <mosaik/collection.h>

struct collections {
    struct mk_machine machine;
    struct mk_machine_ops ops;           /* its own, as the surfaces are the caller's */
    struct mk_id specs[MK_SURFACES_MAX]; /* what writers must take them for */
};

static int surface_number(const struct mk_machine_ops *ops, struct mk_str name, unsigned *ret)
{
    for (unsigned i = 0; i < ops->n_surfaces; i++)
        if (mk_str_is(name, ops->surfaces[i].name)) {
            *ret = i;
            return 0;
        }
    return MK_ENOTFOUND;
}

static int write_to(struct mk_apply *a, unsigned surface, const struct mk_op *op)
{
    struct mk_written written;
    struct mk_buf out = {0};
    struct mk_fault fault;
    int rv = mk_collection_apply(a, surface, op, &written, &fault);

    if (rv == MK_EREFUSED)
        return mk_refuse(a, "%s", fault.text);
    if (rv != 0)
        return rv;
    mk_encode(&out, &mk_written_type, &written);
    mk_answer(a, mk_buf_bytes(&out));
    mk_buf_done(&out);
    return 0;
}

static int collections_apply(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command)
{
    struct collections *all = mk_container_of(m, struct collections, machine);
    struct mk_arena arena = {0};
    struct mk_collection_command c;
    struct mk_fault fault;
    unsigned surface;
    int rv = mk_decode(&c, &mk_collection_command_type, command, &arena, &fault);

    if (rv != 0)
        rv = mk_refuse(a, "not a write to a collection: %.100s", fault.text);
    else if (surface_number(m->ops, c.surface, &surface) != 0)
        rv = mk_refuse(a, "no surface has the name %.*s", (int)c.surface.n, c.surface.p);
    else if (!mk_id_eq(&all->specs[surface], &c.spec)) /* no reader could decode what it writes */
        rv = mk_refuse(a, "%.*s is of another kind or has other types than the writer takes it for",
                       (int)c.surface.n, c.surface.p);
    else
        rv = write_to(a, surface, &c.op);
    mk_arena_done(&arena);
    return rv;
}

static void collections_free(struct mk_machine *m)
{
    mk_free(m);
}

struct mk_machine *mk_collections_machine_new(const char *name, uint32_t version,
                                              const struct mk_surface_spec *specs, unsigned n)
{
    struct collections *c = mk_alloc(sizeof *c);

    c->ops = (struct mk_machine_ops){.name = name,
                                     .version = version,
                                     .surfaces = specs,
                                     .n_surfaces = n,
                                     .apply = collections_apply,
                                     .free = collections_free};
    c->machine.ops = &c->ops;
    for (unsigned i = 0; i < n && i < MK_SURFACES_MAX; i++)
        c->specs[i] = mk_surface_id(&specs[i], &MK_ZERO_ID);
    return &c->machine;
}
