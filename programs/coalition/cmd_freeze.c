/* cmd_freeze.c - `coalition freeze`: every id that follows from a coalition file. */
#include "print_c.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

struct input {
    struct words words; /* FILE */
    bool c, hex, explain;
};

enum { OPT_C = 'c', OPT_HEX = 'x', OPT_EXPLAIN = 'e' };

static const struct argp_option options[] = {
    OPTION_JSON("Print one JSON object"),
    {"c", OPT_C, NULL, 0, "Print a C header that declares the config", 0},
    {"hex", OPT_HEX, NULL, 0,
     "Print the serialised config; every command that needs no network reads it back", 0},
    {"explain", OPT_EXPLAIN, NULL, 0, "Print every preimage beside the id it gives", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_C:
        in->c = true;
        return 0;
    case OPT_HEX:
        in->hex = true;
        return 0;
    case OPT_EXPLAIN:
        in->explain = true;
        return 0;
    default:
        if (key == ARGP_KEY_END && in->words.json + in->c + in->hex + in->explain > 1)
            wrong_usage(state, "--json, --c, --hex and --explain exclude each other");
        return parse_words(key, arg, state, &in->words, 1, 1, "FILE is");
    }
}

/* --- JSON ------------------------------------------------------------------------- */

static json_t *json_lattices(const struct coa_lattice_refs *l)
{
    json_t *list = json_array();

    for (size_t i = 0; i < l->n; i++) {
        struct mk_member_id member = mk_member_id_of(&l->v[i].stable_id);

        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "name", json_text(l->v[i].name),
                                              "stable_id", json_id(&l->v[i].stable_id), "member_id",
                                              json_id(&member)));
    }
    return list;
}

static json_t *json_organisms(const struct coa_organism_refs *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->n; i++) {
        const struct coa_organism_ref *r = &o->v[i];
        struct mk_id fp = coa_organism_ref_fp(r);
        struct mk_member_id member = mk_member_id_of(&r->stable_id);

        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "role", json_text(r->role), "stable_id",
                            json_id(&r->stable_id), "content_hash",
                            r->content_hash.some ? json_id(&r->content_hash.v) : json_null(),
                            "fingerprint", json_id(&fp), "member_id", json_id(&member)));
    }
    return list;
}

static json_t *json_modules(const struct coa_coalition_config *c,
                            const struct coa_coalition_ids *ids)
{
    json_t *all = json_object();

    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        enum coa_module_kind kind = (enum coa_module_kind)i;
        const struct coa_module_ids *m = &ids->modules[i];

        if (!m->shipped)
            continue;
        json_object_set_new(all, coa_module_name(kind),
                            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "instance",
                                      json_text(coa_module_body(c, kind)->instance), "module_fp",
                                      json_id(&m->module_fp), "module_root",
                                      json_id(&m->module_root), "module_id", json_id(&m->module_id),
                                      "content_hash", json_id(&m->content_hash), "committee",
                                      json_id(&m->committee), "surfaces",
                                      json_surfaces(coa_module_surfaces(kind), &m->module_root)));
    }
    return all;
}

static json_t *json_freeze(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids)
{
    const struct coa_coalition_config *c = &f->config;
    struct mk_id anchors = coa_file_anchors_digest(f, ids, NULL);
    struct mk_buf serial = {0};
    json_t *all;

    coa_coalition_encode(c, &serial);
    all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "coalition_id",
                    json_id(&ids->coalition_id), "anchors_digest",
                    f->serialised ? json_null() : json_id(&anchors), "hex",
                    json_hex(serial.p, serial.n), "lattices", json_lattices(&c->lattices),
                    "organisms", json_organisms(&c->organisms), "modules", json_modules(c, ids),
                    "tickets_root", json_id(&ids->tickets_root), "ticket_issuer_fp",
                    c->ticket_issuer != NULL ? json_id(&ids->ticket_issuer_fp) : json_null());
    mk_buf_done(&serial);
    return all;
}

/* --- text --------------------------------------------------------------------------- */

static void print_id(const char *what, struct mk_str of, const struct mk_id *id)
{
    char hex[MK_ID_HEX];

    printf("%-16s %s%s%.*s\n", what, mk_id_hex(id, hex), of.n > 0 ? "  " : "", (int)of.n, of.p);
}

static void print_module(enum coa_module_kind kind, const struct coa_module_ids *m)
{
    struct coa_surfaces surfaces = coa_module_surfaces(kind);

    printf("%s\n", coa_module_name(kind));
    print_id("  module_fp", MK_STR(""), &m->module_fp);
    print_id("  module_root", MK_STR(""), &m->module_root);
    print_id("  module_id", MK_STR(""), &m->module_id);
    print_id("  content_hash", MK_STR(""), &m->content_hash);
    print_id("  committee", MK_STR(""), &m->committee);
    for (size_t i = 0; i < surfaces.n; i++) {
        struct mk_id id = coa_surface_id_of(&surfaces.v[i], &m->module_root);

        print_id("  surface", surfaces.v[i].name, &id);
    }
}

static void print_freeze(const struct coa_coalition_file *f, const struct coa_coalition_ids *ids)
{
    const struct coa_coalition_config *c = &f->config;
    struct mk_id anchors = coa_file_anchors_digest(f, ids, NULL);

    print_id("coalition_id", c->instance_name, &ids->coalition_id);
    if (!f->serialised)
        print_id("anchors_digest", MK_STR(""), &anchors);
    for (size_t i = 0; i < c->lattices.n; i++)
        print_id("lattice", c->lattices.v[i].name, &c->lattices.v[i].stable_id);
    for (size_t i = 0; i < c->organisms.n; i++)
        print_id("organism", c->organisms.v[i].role, &c->organisms.v[i].stable_id);
    for (unsigned i = 0; i < COA_MODULE_KINDS; i++) {
        if (ids->modules[i].shipped)
            print_module((enum coa_module_kind)i, &ids->modules[i]);
        else
            printf("%s: not shipped\n", coa_module_name((enum coa_module_kind)i));
    }
    print_id("tickets_root", MK_STR(""), &ids->tickets_root);
    if (c->ticket_issuer != NULL)
        print_id("ticket_issuer_fp", c->ticket_issuer->name, &ids->ticket_issuer_fp);
    else
        puts("ticket_issuer: none");
}

/* One block an id: what it is, its preimage in hex, the id. */
static void print_derived(struct coa_explain *x, const char *what, struct mk_bytes preimage,
                          const struct mk_id *id)
{
    char *digits = mk_alloc(2 * preimage.n + 1);
    char hex[MK_ID_HEX];

    (void)x;
    mk_hex(digits, preimage.p, preimage.n);
    printf("%s\n  H(%s)\n  = %s\n", what, digits, mk_id_hex(id, hex));
    mk_free(digits);
}

static void print_explained(const struct coa_coalition_file *f)
{
    struct coa_explain x = {.derived = print_derived};
    struct coa_coalition_ids ids;

    coa_coalition_derive(&f->config, &ids, &x);
    if (!f->serialised)
        coa_file_anchors_digest(f, &ids, &x);
}

static void print_buf(struct mk_buf *out)
{
    fwrite(out->p, 1, out->n, stdout);
    mk_buf_done(out);
}

static void print_serialised(const struct coa_coalition_config *c)
{
    struct mk_buf serial = {0};
    char *digits;

    coa_coalition_encode(c, &serial);
    digits = mk_alloc(2 * serial.n + 1);
    mk_hex(digits, serial.p, serial.n);
    puts(digits);
    mk_free(digits);
    mk_buf_done(&serial);
}

int cmd_freeze(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Print every id of a coalition file (TOML, or the hex of --hex).\v"
        "The fingerprint covers schema_version, instance_name, stable ids, roles, pins, "
        "modules and the ticket issuer; the anchors digest covers operators and first "
        "rosters.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
    struct mk_buf out = {0};
    int status;

    parse_options(&argp, argc, argv, &in);
    status = load_coalition(&f, in.words.v[0]);
    if (status != 0)
        return status;
    coa_coalition_derive(&f.config, &ids, NULL);
    if (in.words.json) {
        print_json(json_freeze(&f, &ids));
    } else if (in.c) {
        print_c(&out, &f.config);
        print_buf(&out);
    } else if (in.hex) {
        print_serialised(&f.config);
    } else if (in.explain) {
        print_explained(&f);
    } else {
        print_freeze(&f, &ids);
    }
    coa_coalition_file_done(&f);
    return STATUS_DONE;
}
