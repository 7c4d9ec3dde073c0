/* read_lattice.c - the lattice file: a name, a chain, six organism files. */
#include <coalition/file.h>

#include "coalition/referenced.h"

const char *const COA_LATTICE_ORGANISM_NAMES[COA_LATTICE_ORGANISMS] = {
    "zipnet", "unseal", "offer", "atelier", "relay", "tally"};

struct path_input {
    struct mk_str path;
    struct toml_place at;
};
struct input {
    struct mk_str name;
    uint64_t chain_id;
    struct path_input paths[COA_LATTICE_ORGANISMS];
    struct coa_notes notes;
    struct coa_publish publish;
};

static int read_kind(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    (void)ret;
    if (rv == 0 && !mk_str_is(n->text, "lattice"))
        return reader_fail(r, n->at, "kind is \"%s\"; a lattice file has kind = \"lattice\"",
                           n->text.p);
    return rv;
}

static int read_path(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct path_input *p = ret;

    p->at = n->at;
    return read_text(r, n, f, &p->path);
}

#define ORGANISM(i, name)                                                \
    {                                                                    \
        name, read_path, offsetof(struct input, paths[i]), true, 1, 4096 \
    }

static const struct field top_fields[] = {
    {"schema_version", read_schema_version, 0, true, 0, 0},
    {"kind", read_kind, 0, true, 0, 0},
    {"name", read_name, offsetof(struct input, name), true, 0, 0},
    {"chain_id", read_u64, offsetof(struct input, chain_id), true, 0, INT64_MAX},
    ORGANISM(0, "zipnet"),
    ORGANISM(1, "unseal"),
    ORGANISM(2, "offer"),
    ORGANISM(3, "atelier"),
    ORGANISM(4, "relay"),
    ORGANISM(5, "tally"),
    {"publish", read_publish, offsetof(struct input, publish), false, 0, 0},
    NOTES_FIELDS(struct input),
};

static int take_all(struct reader *r, const struct input *in, struct coa_lattice_file *f)
{
    struct mk_id *ids[COA_LATTICE_ORGANISMS] = {&f->config.zipnet, &f->config.unseal,
                                                &f->config.offer,  &f->config.atelier,
                                                &f->config.relay,  &f->config.tally};
    int rv;

    f->config.name = in->name;
    f->config.chain_id = in->chain_id;
    f->notes = in->notes;
    f->publish = in->publish;
    for (unsigned i = 0; i < COA_LATTICE_ORGANISMS; i++) {
        f->paths[i] = in->paths[i].path;
        rv = referenced_load(r, in->paths[i].at, in->paths[i].path, &f->organisms[i]);
        if (rv != 0)
            return rv;
        *ids[i] = coa_organism_id(&f->organisms[i]->config);
    }
    return 0;
}

int coa_lattice_file_parse(struct coa_lattice_file *ret, const char *name, struct mk_bytes bytes,
                           struct coa_loader *loader, struct mk_fault *reterr)
{
    struct reader r = {.file = name, .loader = loader, .reterr = reterr};
    struct toml_node root;
    struct input *in;
    int rv;

    *ret = (struct coa_lattice_file){0};
    r.arena = &ret->arena;
    in = mk_arena_take(r.arena, sizeof *in);
    rv = toml_parse(&root, name, bytes, r.arena, reterr);
    if (rv == 0)
        rv = reader_no_coalition(&r, &root, "lattice");
    if (rv == 0)
        rv = read_table(&r, &root, "the lattice file", FIELDS(top_fields), in);
    if (rv == 0)
        rv = take_all(&r, in, ret);
    reader_done(&r, &ret->warnings, NULL);
    if (rv != 0)
        coa_lattice_file_done(ret);
    return rv;
}

void coa_lattice_file_done(struct coa_lattice_file *f)
{
    for (unsigned i = 0; i < COA_LATTICE_ORGANISMS; i++)
        referenced_done(f->organisms[i]);
    mk_arena_done(&f->arena);
    *f = (struct coa_lattice_file){0};
}
