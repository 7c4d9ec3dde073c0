/* read_organism.c - the organism file (spec/cli.md).
 *
 * First the fields are read as they stand into `struct input`, each with its place (read_...); then
 * they are judged together and become the config (check_..., take_...): the content by its type,
 * surfaces, what it spans. So a complaint names line and rule, and what holds of several fields (a
 * source that is not spanned, two pairs alike) is found whatever their order. What the config folds
 * is sorted here, since files need not be. */
#include <coalition/file.h>

#include "coalition/duplicates.h"
#include "coalition/referenced.h"

#include <stdlib.h>
#include <string.h>

struct span_input {
    struct mk_str role, name; /* a label alone for a lattice */
    struct mk_id stable_id;
    struct mk_opt_id content_hash;
    struct toml_place at;
};
struct spans {
    struct span_input *v;
    size_t n;
};
struct span {
    struct spans lattices, organisms;
};

struct content_input {
    bool given;
    struct toml_place at;
    struct mk_str type;
    bool has_hex;
    struct mk_bytes hex;
    struct coa_pairs pairs;
    struct coa_oracle_sources sources;
    uint8_t quorum;
};

struct surface_input {
    struct coa_surface surface;
    struct toml_place at;
};
struct surface_inputs {
    struct surface_input *v;
    size_t n;
};

struct input {
    struct mk_str name;
    struct mk_opt_id network;
    struct mk_acl_composition acl;
    struct coa_notes notes;
    struct content_input content;
    struct span span;
    struct surface_inputs surfaces;
    struct coa_publish publish;
};

/* --- values ---------------------------------------------------------------------- */

static int read_kind(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    int rv = read_expect(r, n, TOML_TEXT);

    (void)f;
    (void)ret;
    if (rv == 0 && !mk_str_is(n->text, "organism"))
        return reader_fail(r, n->at, "kind is \"%s\"; an organism file has kind = \"organism\"",
                           n->text.p);
    return rv;
}

static int read_span_id(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    struct span_input *s = ret;

    s->at = n->at;
    return read_id(r, n, f, &s->stable_id);
}

static int read_span_lattices(struct reader *r, const struct toml_node *n, const struct field *f,
                              void *ret)
{
    static const struct field fields[] = {
        {"name", read_name, offsetof(struct span_input, name), false, 0, 0},
        {"role", read_name, offsetof(struct span_input, role), false, 0, 0},
        {"stable_id", read_span_id, 0, true, 0, 0},
        {"content_hash", read_opt_id, offsetof(struct span_input, content_hash), false, 0, 0},
    };
    struct spans *s = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "[[span.lattice]]", COA_MEMBERS_MAX, FIELDS(fields), sizeof *s->v, &v,
                     &s->n);
    s->v = v;
    return rv;
}

static int read_span_organisms(struct reader *r, const struct toml_node *n, const struct field *f,
                               void *ret)
{
    static const struct field fields[] = {
        {"role", read_name, offsetof(struct span_input, role), true, 0, 0},
        {"stable_id", read_span_id, 0, true, 0, 0},
        {"content_hash", read_opt_id, offsetof(struct span_input, content_hash), false, 0, 0},
    };
    struct spans *s = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "[[span.organism]]", COA_MEMBERS_MAX, FIELDS(fields), sizeof *s->v, &v,
                     &s->n);
    s->v = v;
    return rv;
}

static int read_span(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    static const struct field fields[] = {
        {"lattice", read_span_lattices, offsetof(struct span, lattices), false, 0, 0},
        {"organism", read_span_organisms, offsetof(struct span, organisms), false, 0, 0},
    };

    (void)f;
    return read_table(r, n, "[span]", FIELDS(fields), ret);
}

/* --- content ------------------------------------------------------------------------ */

static int read_pairs(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    static const struct field fields[] = {
        {"base", read_name, offsetof(struct coa_pair, base), true, 0, 0},
        {"quote", read_name, offsetof(struct coa_pair, quote), true, 0, 0},
        {"scale", read_u8, offsetof(struct coa_pair, scale), true, 0, COA_SCALE_MAX},
    };
    struct coa_pairs *pairs = ret;
    struct mk_fault rule;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "pairs", COA_PAIRS_MAX, FIELDS(fields), sizeof *pairs->v, &v, &pairs->n);
    if (rv != 0)
        return rv;
    pairs->v = v;
    for (size_t i = 0; i < pairs->n; i++) {
        struct coa_price_feed_content alone = {{&pairs->v[i], 1}};

        if (coa_price_feed_check(&alone, &rule) != 0)
            return reader_fail(r, n->children[i].at, "bad pair: %s", rule.text);
    }
    return 0;
}

static int read_operator(struct reader *r, const struct toml_node *n, const struct field *f,
                         void *ret)
{
    struct mk_opt_peer peer;
    int rv = read_opt_peer(r, n, f, &peer);

    if (rv == 0)
        *(struct mk_peer *)ret = peer.v;
    return rv;
}

static int read_sources(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    static const struct field fields[] = {
        {"stable_id", read_id, offsetof(struct coa_oracle_source, stable_id), true, 0, 0},
        {"operator", read_operator, offsetof(struct coa_oracle_source, operator), true, 0, 0},
    };
    struct coa_oracle_sources *s = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "sources", COA_ORACLE_SOURCES_MAX, FIELDS(fields), sizeof *s->v, &v,
                     &s->n);
    s->v = v;
    return rv;
}

static int read_content_hex(struct reader *r, const struct toml_node *n, const struct field *f,
                            void *ret)
{
    struct content_input *c = ret;

    c->has_hex = true;
    return read_hex(r, n, f, &c->hex);
}

static int read_content(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    static const struct field fields[] = {
        {"type", read_name, offsetof(struct content_input, type), false, 0, 0},
        {"hex", read_content_hex, 0, false, 0, COA_CONTENT_MAX},
        {"pairs", read_pairs, offsetof(struct content_input, pairs), false, 0, 0},
        {"sources", read_sources, offsetof(struct content_input, sources), false, 0, 0},
        {"quorum", read_u8, offsetof(struct content_input, quorum), false, 1,
         COA_ORACLE_SOURCES_MAX},
    };
    struct content_input *c = ret;
    int rv;

    (void)f;
    c->given = true;
    c->at = n->at;
    rv = read_table(r, n, "[content]", FIELDS(fields), c);
    if (rv != 0)
        return rv;
    if (c->has_hex && (c->type.p != NULL || c->pairs.n > 0 || c->sources.n > 0))
        return reader_fail(r, n->at,
                           "[content] has hex beside type or fields; it is one or the "
                           "other");
    if (!c->has_hex && c->type.p == NULL)
        return reader_fail(r, n->at,
                           "[content] has neither type nor hex; state one, or leave the "
                           "table out for an empty content");
    if (c->type.p == NULL)
        return 0;
    if (!mk_str_is(c->type, "price-feed") && !mk_str_is(c->type, "oracle"))
        return reader_fail(r, n->at,
                           "unknown content type \"%s\"; known are \"price-feed\" and "
                           "\"oracle\", any other content is given as hex",
                           c->type.p);
    if (c->pairs.n == 0)
        return reader_fail(r, n->at, "[content] has no pairs; a price-feed has 1 to %u",
                           COA_PAIRS_MAX);
    if (mk_str_is(c->type, "price-feed") && (c->sources.n > 0 || c->quorum > 0))
        return reader_fail(r, n->at,
                           "[content] of a price-feed has sources or a quorum; an oracle "
                           "has those");
    return 0;
}

static struct mk_str pair_name(struct reader *r, const struct coa_pair *p)
{
    struct mk_buf name = {0};
    struct mk_str copy;

    mk_buf_put(&name, p->base.p, p->base.n);
    mk_buf_put_u8(&name, '/');
    mk_buf_put(&name, p->quote.p, p->quote.n);
    copy = mk_arena_str(r->arena, (struct mk_str){(const char *)name.p, name.n});
    mk_buf_done(&name);
    return copy;
}

static int pair_cmp(const void *a, const void *b)
{
    const struct coa_pair *x = a, *y = b;
    struct mk_buf left = {0}, right = {0};
    int order;

    mk_buf_put(&left, x->base.p, x->base.n);
    mk_buf_put_u8(&left, '/');
    mk_buf_put(&left, x->quote.p, x->quote.n);
    mk_buf_put(&right, y->base.p, y->base.n);
    mk_buf_put_u8(&right, '/');
    mk_buf_put(&right, y->quote.p, y->quote.n);
    order = mk_bytes_cmp(mk_buf_bytes(&left), mk_buf_bytes(&right));
    mk_buf_done(&left);
    mk_buf_done(&right);
    return order;
}

static int source_cmp(const void *a, const void *b)
{
    const struct coa_oracle_source *x = a, *y = b;

    return mk_id_cmp(&x->stable_id, &y->stable_id);
}

/** Whom an oracle observes, it spans. */
static int check_spanned(struct reader *r, const struct content_input *in,
                         const struct coa_oracle_source *s, const struct coa_organism_file *f)
{
    char hex[MK_ID_HEX];

    for (size_t i = 0; i < f->config.organisms.n; i++)
        if (mk_id_eq(&f->config.organisms.v[i].stable_id, &s->stable_id))
            return 0;
    return reader_fail(r, in->at, "[content]: the source %s is not in [[span.organism]]",
                       mk_id_hex(&s->stable_id, hex));
}

static int take_oracle(struct reader *r, const struct content_input *in,
                       const struct coa_organism_file *f, const struct coa_pairs *pairs,
                       struct mk_buf *ret)
{
    struct coa_oracle_source *sorted =
        mk_arena_copy(r->arena, in->sources.v, in->sources.n * sizeof *sorted);
    struct coa_oracle_content oracle = {
        .pairs = *pairs,
        .sources = {sorted, in->sources.n},
        .quorum = in->quorum > 0 ? in->quorum : (uint8_t)(in->sources.n / 2 + 1)};
    struct mk_fault rule;
    int rv = 0;

    qsort(sorted, in->sources.n, sizeof *sorted, source_cmp);
    if (in->sources.n == 0)
        return reader_fail(r, in->at, "[content] has no sources; an oracle has 1 to %u",
                           COA_ORACLE_SOURCES_MAX);
    for (size_t i = 0; i < in->sources.n && rv == 0; i++) {
        rv = check_spanned(r, in, &sorted[i], f);
        if (rv == 0 && i > 0 && source_cmp(&sorted[i - 1], &sorted[i]) == 0)
            rv = reader_fail(r, in->at, "[content]: a source stands twice");
    }
    if (rv == 0 && coa_oracle_check(&oracle, &rule) != 0)
        rv = reader_fail(r, in->at, "[content]: %s", rule.text);
    if (rv == 0)
        mk_encode(ret, &coa_oracle_content_type, &oracle);
    return rv;
}

static int take_price_feed(struct reader *r, const struct content_input *in,
                           const struct coa_pairs *pairs, struct mk_buf *ret)
{
    const struct coa_price_feed_content feed = {.pairs = *pairs};
    struct mk_fault rule;

    if (coa_price_feed_check(&feed, &rule) != 0)
        return reader_fail(r, in->at, "[content]: %s", rule.text);
    mk_encode(ret, &coa_price_feed_content_type, &feed);
    return 0;
}

static int take_content(struct reader *r, const struct content_input *in,
                        struct coa_organism_file *f)
{
    struct coa_pairs pairs;
    struct coa_pair *sorted;
    struct mk_buf bytes = {0};
    int rv;

    f->config.content = in->hex;
    f->content_type = in->type;
    if (in->type.p == NULL)
        return 0;
    sorted = mk_arena_copy(r->arena, in->pairs.v, in->pairs.n * sizeof *sorted);
    qsort(sorted, in->pairs.n, sizeof *sorted, pair_cmp);
    pairs = (struct coa_pairs){sorted, in->pairs.n};
    rv = mk_str_is(in->type, "oracle") ? take_oracle(r, in, f, &pairs, &bytes)
                                       : take_price_feed(r, in, &pairs, &bytes);
    f->config.content = MK_BYTES(mk_arena_copy(r->arena, bytes.p, bytes.n), bytes.n);
    mk_buf_done(&bytes);
    return rv;
}

/* --- surfaces ------------------------------------------------------------------------- */

static int read_surfaces(struct reader *r, const struct toml_node *n, const struct field *f,
                         void *ret)
{
    static const struct field fields[] = {
        {"kind", read_name, offsetof(struct surface_input, surface.kind), true, 0, 0},
        {"name", read_name, offsetof(struct surface_input, surface.name), true, 0, 0},
        {"layout", read_text, offsetof(struct surface_input, surface.layout), true, 1, 65536},
    };
    struct surface_inputs *s = ret;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "[[surface]]", COA_PAIRS_MAX, FIELDS(fields), sizeof *s->v, &v, &s->n);
    s->v = v;
    for (size_t i = 0; i < s->n && rv == 0; i++)
        s->v[i].at = n->children[i].at;
    return rv;
}

static int check_surface(struct reader *r, const struct surface_input *in)
{
    const struct coa_surface *s = &in->surface;
    bool two = memchr(s->layout.p, '>', s->layout.n) != NULL;
    bool wants_two = mk_str_is(s->kind, "map") || mk_str_is(s->kind, "queue");
    struct mk_fault rule;

    if (!coa_surface_kind_known(s->kind))
        return reader_fail(r, in->at,
                           "unknown surface kind \"%s\"; known are stream, map, vec, "
                           "set, cell, once, queue",
                           s->kind.p);
    if (coa_layout_check(s->layout, &rule) != 0)
        return reader_fail(r, in->at, "the layout of %s is not canonical: %s", s->name.p,
                           rule.text);
    if (two != wants_two)
        return reader_fail(r, in->at, "the layout of %s must have %s", s->name.p,
                           wants_two ? "two types, K>V" : "one type");
    return 0;
}

static int take_surfaces(struct reader *r, const struct input *in, struct coa_organism_file *f)
{
    bool oracle = in->content.type.p != NULL && mk_str_is(in->content.type, "oracle");
    size_t n = in->content.pairs.n + (oracle ? 1 : 0) + in->surfaces.n;
    struct coa_surface *v = mk_arena_take(r->arena, n * sizeof *v);
    size_t at = 0;
    int rv;

    for (; at < in->content.pairs.n; at++) {
        v[at].kind = MK_STR("stream");
        v[at].name = pair_name(r, &in->content.pairs.v[at]);
        v[at].layout = mk_str_of(COA_PRICE_TICK_LAYOUT);
    }
    if (oracle)
        v[at++] = (struct coa_surface){MK_STR("map"), MK_STR("latest"),
                                       mk_str_of(COA_ORACLE_LATEST_LAYOUT)};
    for (size_t i = 0; i < in->surfaces.n; i++) {
        rv = check_surface(r, &in->surfaces.v[i]);
        if (rv != 0)
            return rv;
        for (size_t k = 0; k < at; k++) {
            if (mk_str_eq(v[k].name, in->surfaces.v[i].surface.name))
                return reader_fail(r, in->surfaces.v[i].at,
                                   "a surface named %s stands already; "
                                   "names are distinct",
                                   v[k].name.p);
        }
        v[at++] = in->surfaces.v[i].surface;
    }
    f->surfaces = (struct coa_surfaces){v, n};
    return 0;
}

/* --- the file -------------------------------------------------------------------------- */

static const struct field top_fields[] = {
    {"schema_version", read_schema_version, 0, true, 0, 0},
    {"kind", read_kind, 0, true, 0, 0},
    {"name", read_name, offsetof(struct input, name), true, 0, 0},
    {"network", read_network, offsetof(struct input, network), false, 0, 0},
    {"acl", read_acl, offsetof(struct input, acl), false, 0, 0},
    {"content", read_content, offsetof(struct input, content), false, 0, 0},
    {"span", read_span, offsetof(struct input, span), false, 0, 0},
    {"surface", read_surfaces, offsetof(struct input, surfaces), false, 0, 0},
    {"publish", read_publish, offsetof(struct input, publish), false, 0, 0},
    NOTES_FIELDS(struct input),
};

static int take_span(struct reader *r, const struct span *in, struct coa_organism_config *c)
{
    size_t n = in->lattices.n + in->organisms.n, earlier, later;
    struct coa_lattice_ref *l = mk_arena_take(r->arena, in->lattices.n * sizeof *l);
    struct coa_organism_ref *o = mk_arena_take(r->arena, in->organisms.n * sizeof *o);
    struct mk_id *ids = mk_arena_take(r->arena, n * sizeof *ids);

    for (size_t i = 0; i < in->lattices.n; i++) {
        const struct span_input *s = &in->lattices.v[i];
        struct mk_str label = s->name.p != NULL ? s->name : s->role;

        l[i] = (struct coa_lattice_ref){label.p != NULL ? label : MK_STR("lattice"), s->stable_id,
                                        s->content_hash};
        ids[i] = s->stable_id;
    }
    for (size_t i = 0; i < in->organisms.n; i++) {
        const struct span_input *s = &in->organisms.v[i];

        o[i] = (struct coa_organism_ref){s->role, s->stable_id, s->content_hash};
        ids[in->lattices.n + i] = s->stable_id;
    }
    c->lattices = (struct coa_lattice_refs){l, in->lattices.n};
    c->organisms = (struct coa_organism_refs){o, in->organisms.n};
    if (coa_duplicates_find(ids, n, &earlier, &later))
        return reader_fail(r,
                           later < in->lattices.n ? in->lattices.v[later].at
                                                  : in->organisms.v[later - in->lattices.n].at,
                           "this stable_id, or its member id, stands twice in the span; a member "
                           "stands once");
    return 0;
}

static int take_all(struct reader *r, const struct input *in, struct coa_organism_file *f)
{
    int rv;

    f->config.name = in->name;
    f->network = in->network.some ? in->network.v : MK_UNIVERSE;
    f->config.network = mk_arena_copy(r->arena, &f->network, sizeof f->network);
    f->config.acl = in->acl;
    f->notes = in->notes;
    f->publish = in->publish;
    rv = take_span(r, &in->span, &f->config);
    if (rv == 0)
        rv = take_content(r, &in->content, f);
    if (rv == 0)
        rv = take_surfaces(r, in, f);
    return rv;
}

int coa_organism_file_parse(struct coa_organism_file *ret, const char *name, struct mk_bytes bytes,
                            struct mk_fault *reterr)
{
    struct reader r = {.file = name, .reterr = reterr, .own = COA_OWN_FORBIDDEN};
    struct toml_node root;
    struct input *in;
    int rv;

    *ret = (struct coa_organism_file){0};
    r.arena = &ret->arena;
    in = mk_arena_take(r.arena, sizeof *in);
    rv = toml_parse(&root, name, bytes, r.arena, reterr);
    if (rv == 0)
        rv = reader_no_coalition(&r, &root, "organism");
    if (rv == 0)
        rv = read_table(&r, &root, "the organism file", FIELDS(top_fields), in);
    if (rv == 0)
        rv = take_all(&r, in, ret);
    reader_done(&r, &ret->warnings, &ret->foreign);
    if (rv != 0)
        coa_organism_file_done(ret);
    return rv;
}

void coa_organism_file_done(struct coa_organism_file *f)
{
    mk_arena_done(&f->arena);
    *f = (struct coa_organism_file){0};
}

bool coa_organism_first_roster(const struct coa_organism_file *f, const struct mk_id *organism_id,
                               struct mk_roster *ret, struct mk_arena *arena)
{
    return coa_roster_of(&f->notes.committee, organism_id, ret, arena);
}
