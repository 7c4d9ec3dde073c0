/* read_coalition.c - the coalition file, or its serialised form, into a config.
 *
 * The tables are read in the order of the file; what needs all of them (duplicates,
 * the Atlas catalogue, referenced organism files) comes after. */
#include <coalition/file.h>

#include "coalition/duplicates.h"
#include "coalition/read_module.h"
#include "coalition/referenced.h"

#include <string.h>

/* A stable id and where it stands. */
struct placed_id {
    struct mk_id id;
    struct toml_place at;
};

struct lattice_input {
    struct mk_str name;
    struct placed_id stable_id;
    struct mk_opt_id content_hash;
    struct coa_notes notes;
};

struct organism_input {
    struct mk_str role;
    struct placed_id stable_id;
    struct mk_opt_id content_hash;
    struct coa_notes notes;
    struct toml_place config_at;
};

struct issuer_input {
    bool shipped;
    struct mk_str name;
    struct mk_acl_composition acl;
    struct coa_notes notes;
};

struct lattice_inputs {
    struct lattice_input *v;
    size_t n;
};
struct organism_inputs {
    struct organism_input *v;
    size_t n;
};

struct input {
    struct mk_str instance_name;
    enum coa_retirement_policy policy;
    struct mk_opt_peer operator;
    struct coa_contacts peers;
    struct lattice_inputs lattices;
    struct organism_inputs organisms;
    struct module_input modules[COA_MODULE_KINDS];
    struct issuer_input issuer;
    struct coa_publish publish;
};

/* --- reading --------------------------------------------------------------------- */

static int read_placed_id(struct reader *r, const struct toml_node *n, const struct field *f,
                          void *ret)
{
    struct placed_id *id = ret;

    id->at = n->at;
    return read_id(r, n, f, &id->id);
}

static int read_config(struct reader *r, const struct toml_node *n, const struct field *f,
                       void *ret)
{
    static const struct field path = {.min = 1, .max = 4096};
    struct organism_input *o = ret;

    (void)f;
    o->config_at = n->at;
    return read_text(r, n, &path, &o->notes.config);
}

static int read_lattices(struct reader *r, const struct toml_node *n, const struct field *f,
                         void *ret)
{
    static const struct field fields[] = {
        {"name", read_name, offsetof(struct lattice_input, name), true, 0, 0},
        {"stable_id", read_placed_id, offsetof(struct lattice_input, stable_id), true, 0, 0},
        {"content_hash", read_opt_id, offsetof(struct lattice_input, content_hash), false, 0, 0},
        NOTES_FIELDS(struct lattice_input),
    };
    struct lattice_inputs *l = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "[[lattice]]", COA_MEMBERS_MAX, FIELDS(fields), sizeof *l->v, &v, &l->n);
    l->v = v;
    return rv;
}

static int read_organisms(struct reader *r, const struct toml_node *n, const struct field *f,
                          void *ret)
{
    static const struct field fields[] = {
        {"role", read_name, offsetof(struct organism_input, role), true, 0, 0},
        {"stable_id", read_placed_id, offsetof(struct organism_input, stable_id), true, 0, 0},
        {"content_hash", read_opt_id, offsetof(struct organism_input, content_hash), false, 0, 0},
        {"config", read_config, 0, false, 0, 0},
        NOTES_FIELDS(struct organism_input),
    };
    struct organism_inputs *o = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv =
        read_tables(r, n, "[[organism]]", COA_MEMBERS_MAX, FIELDS(fields), sizeof *o->v, &v, &o->n);
    o->v = v;
    return rv;
}

static int read_one_module(struct reader *r, const struct toml_node *n, const struct field *f,
                           void *ret)
{
    return read_module(r, n, (enum coa_module_kind)f->min, ret);
}

static int read_issuer(struct reader *r, const struct toml_node *n, const struct field *f,
                       void *ret)
{
    static const struct field fields[] = {
        {"name", read_name, offsetof(struct issuer_input, name), true, 0, 0},
        {"acl", read_acl, offsetof(struct issuer_input, acl), false, 0, 0},
        NOTES_FIELDS(struct issuer_input),
    };
    struct issuer_input *issuer = ret;

    (void)f;
    issuer->shipped = true;
    r->own = COA_OWN_ISSUER;
    return read_table(r, n, "[ticket_issuer]", FIELDS(fields), issuer);
}

static int read_policy(struct reader *r, const struct toml_node *n, const struct field *f,
                       void *ret)
{
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    if (rv != 0)
        return rv;
    if (mk_str_is(n->text, "conservative"))
        *(enum coa_retirement_policy *)ret = COA_CONSERVATIVE;
    else if (mk_str_is(n->text, "lenient"))
        *(enum coa_retirement_policy *)ret = COA_LENIENT;
    else
        return reader_fail(r, n->at,
                           "retirement_policy is \"%s\"; it must be \"conservative\" or "
                           "\"lenient\"",
                           n->text.p);
    return 0;
}

static int read_kind(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    (void)ret;
    if (rv == 0 && !mk_str_is(n->text, "coalition"))
        return reader_fail(r, n->at,
                           "this is %s %s file; a coalition file, which has no kind, is expected "
                           "here",
                           n->text.p[0] == 'o' ? "an" : "a", n->text.p);
    return rv;
}

#define MODULE(kind, name)                                                              \
    {                                                                                   \
        name, read_one_module, offsetof(struct input, modules[kind]), false, kind, kind \
    }

static const struct field top_fields[] = {
    {"schema_version", read_schema_version, 0, true, 0, 0},
    {"kind", read_kind, 0, false, 0, 0},
    {"instance_name", read_name, offsetof(struct input, instance_name), true, 0, 0},
    {"retirement_policy", read_policy, offsetof(struct input, policy), false, 0, 0},
    {"operator", read_opt_peer, offsetof(struct input, operator), false, 0, 0},
    {"peers", read_contacts, offsetof(struct input, peers), false, 0, 0},
    {"lattice", read_lattices, offsetof(struct input, lattices), false, 0, 0},
    {"organism", read_organisms, offsetof(struct input, organisms), false, 0, 0},
    MODULE(COA_ATLAS, "atlas"),
    MODULE(COA_ALMANAC, "almanac"),
    MODULE(COA_CHRONICLE, "chronicle"),
    MODULE(COA_COMPUTE, "compute"),
    MODULE(COA_RANDOMNESS, "randomness"),
    {"ticket_issuer", read_issuer, offsetof(struct input, issuer), false, 0, 0},
    {"publish", read_publish, offsetof(struct input, publish), false, 0, 0},
};

/* --- from tables to the config ------------------------------------------------------ */

static int check_duplicates(struct reader *r, const struct input *in)
{
    size_t n_lattices = in->lattices.n, n = n_lattices + in->organisms.n;
    struct placed_id *all = mk_alloc(n * sizeof *all);
    struct mk_id *ids = mk_alloc(n * sizeof *ids);
    size_t earlier, later;
    int rv = 0;

    for (size_t i = 0; i < n_lattices; i++)
        all[i] = in->lattices.v[i].stable_id;
    for (size_t i = 0; i < in->organisms.n; i++)
        all[n_lattices + i] = in->organisms.v[i].stable_id;
    for (size_t i = 0; i < n; i++)
        ids[i] = all[i].id;
    if (coa_duplicates_find(ids, n, &earlier, &later)) {
        if (mk_id_eq(&ids[earlier], &ids[later]))
            rv = reader_fail(r, all[later].at,
                             "this stable_id stands twice, also in line %u; a "
                             "member stands once",
                             all[earlier].at.line);
        else
            rv = reader_fail(r, all[later].at,
                             "this stable_id has the member id (first 40 digits) "
                             "of the one in line %u; member ids are distinct",
                             all[earlier].at.line);
    }
    mk_free(all);
    mk_free(ids);
    return rv;
}

static int take_members(struct reader *r, const struct input *in, struct coa_coalition_file *f)
{
    size_t n_lattices = in->lattices.n, n_organisms = in->organisms.n;
    struct coa_lattice_ref *lattices = mk_arena_take(r->arena, n_lattices * sizeof *lattices);
    struct coa_organism_ref *organisms = mk_arena_take(r->arena, n_organisms * sizeof *organisms);
    struct coa_notes *lattice_notes = mk_arena_take(r->arena, n_lattices * sizeof *lattice_notes);
    struct coa_notes *notes = mk_arena_take(r->arena, n_organisms * sizeof *notes);
    int rv;

    for (size_t i = 0; i < n_lattices; i++) {
        const struct lattice_input *l = &in->lattices.v[i];

        lattices[i] = (struct coa_lattice_ref){l->name, l->stable_id.id, l->content_hash};
        lattice_notes[i] = l->notes;
    }
    for (size_t i = 0; i < n_organisms; i++) {
        const struct organism_input *o = &in->organisms.v[i];

        organisms[i] = (struct coa_organism_ref){o->role, o->stable_id.id, o->content_hash};
        notes[i] = o->notes;
        if (o->notes.config.p == NULL || r->loader == NULL)
            continue;
        rv = referenced_organism(r, o->config_at, o->notes.config, &organisms[i],
                                 &notes[i].organism);
        if (rv != 0)
            return rv;
    }
    f->config.lattices = (struct coa_lattice_refs){lattices, n_lattices};
    f->config.organisms = (struct coa_organism_refs){organisms, n_organisms};
    f->lattices = lattice_notes;
    f->organisms = notes;
    return 0;
}

static void set_module(struct coa_coalition_config *c, enum coa_module_kind kind,
                       struct coa_module_config *body)
{
    switch (kind) { /* each config type is its body alone */
    case COA_ATLAS:
        c->atlas = mk_container_of(body, struct coa_atlas_config, body);
        break;
    case COA_ALMANAC:
        c->almanac = mk_container_of(body, struct coa_almanac_config, body);
        break;
    case COA_CHRONICLE:
        c->chronicle = mk_container_of(body, struct coa_chronicle_config, body);
        break;
    case COA_COMPUTE:
        c->compute = mk_container_of(body, struct coa_compute_config, body);
        break;
    case COA_RANDOMNESS:
        c->randomness = mk_container_of(body, struct coa_randomness_config, body);
        break;
    default:
        break;
    }
}

static int take_modules(struct reader *r, const struct input *in, struct coa_coalition_file *f)
{
    struct coa_atlas_members members = {0};
    int rv;

    if (in->modules[COA_ATLAS].shipped)
        members = coa_atlas_catalogue(&f->config.lattices, &f->config.organisms, r->arena);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        struct coa_module_config *body;

        if (!in->modules[i].shipped)
            continue;
        body = mk_arena_take(r->arena, sizeof *body);
        rv = module_body(r, &in->modules[i], (enum coa_module_kind)i, members, body);
        if (rv != 0)
            return rv;
        set_module(&f->config, (enum coa_module_kind)i, body);
        f->modules[i] = in->modules[i].notes;
    }
    return 0;
}

static int take_all(struct reader *r, const struct input *in, struct coa_coalition_file *f)
{
    int rv;

    f->config.schema_version = COA_SCHEMA_VERSION;
    f->config.seed = COA_ROOT_SEED;
    f->config.instance_name = in->instance_name;
    f->config.retirement_policy = in->policy;
    f->operator= in->operator;
    f->peers = in->peers;
    f->publish = in->publish;
    rv = check_duplicates(r, in);
    if (rv == 0)
        rv = take_members(r, in, f);
    if (rv == 0)
        rv = take_modules(r, in, f);
    if (rv == 0 && in->issuer.shipped) {
        struct coa_ticket_issuer_config issuer = {in->issuer.name, in->issuer.acl};

        f->config.ticket_issuer = mk_arena_copy(r->arena, &issuer, sizeof issuer);
        f->issuer = in->issuer.notes;
    }
    return rv;
}

/* --- the two forms --------------------------------------------------------------------- */

static int parse_toml(struct coa_coalition_file *f, const char *name, struct mk_bytes bytes,
                      struct coa_loader *loader, struct mk_fault *reterr)
{
    struct reader r = {.file = name, .arena = &f->arena, .loader = loader, .reterr = reterr};
    struct input *in = mk_arena_take(&f->arena, sizeof *in);
    struct toml_node root;
    int rv;

    rv = toml_parse(&root, name, bytes, &f->arena, reterr);
    if (rv == 0)
        rv = read_table(&r, &root, "the coalition file", FIELDS(top_fields), in);
    if (rv == 0)
        rv = take_all(&r, in, f);
    reader_done(&r, &f->warnings, &f->foreign);
    return rv;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The bytes without white space around, when they are hex digits alone. */
static bool hex_only(struct mk_bytes bytes, struct mk_str *ret)
{
    while (bytes.n > 0 && is_space(bytes.p[0]))
        bytes = (struct mk_bytes){bytes.p + 1, bytes.n - 1};
    while (bytes.n > 0 && is_space(bytes.p[bytes.n - 1]))
        bytes.n--;
    for (size_t i = 0; i < bytes.n; i++) {
        if (strchr("0123456789abcdefABCDEF", bytes.p[i]) == NULL || bytes.p[i] == 0)
            return false;
    }
    *ret = (struct mk_str){(const char *)bytes.p, bytes.n};
    return bytes.n > 0;
}

static int parse_hex(struct coa_coalition_file *f, const char *name, struct mk_str digits,
                     struct mk_fault *reterr)
{
    uint8_t *raw = mk_arena_take(&f->arena, digits.n / 2);
    struct mk_fault inner;
    int rv;

    f->serialised = true;
    if (mk_unhex(raw, digits.n / 2, digits.p, digits.n) != 0)
        return mk_fault(reterr, MK_EMALFORMED,
                        "%s:1:1: a serialised config is pairs of hex "
                        "digits; there is an odd number",
                        name);
    rv = coa_coalition_decode(&f->config, MK_BYTES(raw, digits.n / 2), &f->arena, &inner);
    return rv == 0 ? 0
                   : mk_fault(reterr, rv, "%s:1:1: not a serialised config: %s", name, inner.text);
}

int coa_coalition_file_parse(struct coa_coalition_file *ret, const char *name,
                             struct mk_bytes bytes, struct coa_loader *loader,
                             struct mk_fault *reterr)
{
    struct mk_str digits;
    int rv;

    *ret = (struct coa_coalition_file){0};
    if (bytes.n <= COA_SERIALISED_MAX && hex_only(bytes, &digits))
        rv = parse_hex(ret, name, digits, reterr);
    else
        rv = parse_toml(ret, name, bytes, loader, reterr);
    if (rv != 0)
        coa_coalition_file_done(ret);
    return rv;
}

static void done_notes(const struct coa_notes *notes, size_t n)
{
    for (size_t i = 0; notes != NULL && i < n; i++)
        referenced_done(notes[i].organism);
}

void coa_coalition_file_done(struct coa_coalition_file *f)
{
    done_notes(f->organisms, f->organisms == NULL ? 0 : f->config.organisms.n);
    mk_arena_done(&f->arena);
    *f = (struct coa_coalition_file){0};
}

/* --- rosters ----------------------------------------------------------------------------- */

bool coa_roster_of(const struct coa_contacts *committee, const struct mk_id *deployment,
                   struct mk_roster *ret, struct mk_arena *arena)
{
    struct mk_peer *peers;

    if (committee->n == 0)
        return false;
    peers = mk_arena_take(arena, committee->n * sizeof *peers);
    for (size_t i = 0; i < committee->n; i++)
        peers[i] = committee->v[i].peer;
    *ret =
        (struct mk_roster){.deployment = *deployment, .epoch = 1, .peers = {peers, committee->n}};
    return true;
}

bool coa_first_roster(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids,
                      unsigned component, struct mk_roster *ret, struct mk_arena *arena)
{
    if (component == COA_ANCHOR_ISSUER)
        return coa_roster_of(&f->issuer.committee, &ids->issuer_deployment, ret, arena);
    if (component >= COA_MODULE_KINDS)
        return false;
    return coa_roster_of(&f->modules[component].committee, &ids->modules[component].module_id, ret,
                         arena);
}

struct mk_id coa_file_anchors_digest(const struct coa_coalition_file *f,
                                     const struct coa_coalition_ids *ids, struct coa_explain *x)
{
    struct coa_anchors anchors = {.operator= f->operator};
    struct mk_roster rosters[COA_ANCHORS];
    struct mk_arena arena = {0};
    struct mk_id digest;

    for (unsigned i = 0; i < COA_ANCHORS; i++) {
        if (coa_first_roster(f, ids, i, &rosters[i], &arena))
            anchors.rosters[i] = &rosters[i];
    }
    digest = coa_anchors_digest(&ids->coalition_id, &anchors, x);
    mk_arena_done(&arena);
    return digest;
}
