/* read_node.c - the node file: what runs in one process; and which kind a file is. */
#include <coalition/file.h>
#include <mosaik/retention.h>

#include "coalition/reader.h"

#define TEXT(S, name, member, required)                         \
    {                                                           \
        name, read_text, offsetof(S, member), required, 1, 4096 \
    }

static int read_flag(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    int rv = read_expect(r, n, TOML_BOOL);

    (void)f;
    if (rv == 0)
        *(bool *)ret = n->flag;
    return rv;
}

/* What one component's keys say together, and what the others before it have said. */
static int check_component(struct reader *r, const struct coa_node_component *v, size_t i,
                           struct toml_place at)
{
    const struct coa_node_component *c = &v[i];
    const char *other = c->read_leases        ? "read_leases"
                        : c->private_         ? "private"
                        : c->source.p != NULL ? "source"
                                              : NULL;

    if (c->replica && other != NULL)
        return reader_fail(r, at,
                           "replica = true and %s: a replica is of no committee, so %s has "
                           "no meaning for it",
                           other, other);
    for (size_t j = 0; j < i; j++) {
        if (mk_str_eq(v[j].file, c->file) && mk_str_eq(v[j].component, c->component))
            return reader_fail(r, at,
                               "\"%s\"%s%s is among the components already; each stands "
                               "there once",
                               c->file.p, c->component.p != NULL ? ", " : "",
                               c->component.p != NULL ? c->component.p : "");
    }
    return 0;
}

static int read_components(struct reader *r, const struct toml_node *n, const struct field *f,
                           void *ret)
{
    static const struct field fields[] = {
        TEXT(struct coa_node_component, "file", file, true),
        TEXT(struct coa_node_component, "component", component, false),
        TEXT(struct coa_node_component, "deployment", deployment, false),
        TEXT(struct coa_node_component, "source", source, false),
        TEXT(struct coa_node_component, "retention", retention, false),
        {"replica", read_flag, offsetof(struct coa_node_component, replica), false, 0, 0},
        {"read_leases", read_flag, offsetof(struct coa_node_component, read_leases), false, 0, 0},
        {"private", read_flag, offsetof(struct coa_node_component, private_), false, 0, 0},
    };
    struct coa_node_file *file = ret;
    enum coa_module_kind kind;
    void *v = NULL;
    int rv;

    (void)f;
    rv = read_tables(r, n, "components", 1024, FIELDS(fields), sizeof *file->components, &v,
                     &file->n_components);
    if (rv != 0)
        return rv;
    file->components = v;
    for (size_t i = 0; i < file->n_components; i++) {
        struct mk_str component = file->components[i].component;
        struct mk_str retention = file->components[i].retention;
        struct mk_retention kept;
        struct mk_fault rule;

        if (retention.p != NULL && mk_retention_parse(&kept, retention, &rule) != 0)
            return reader_fail(r, n->children[i].at,
                               "retention is \"%s\": %s; like \"7d\", or \"200000 commits, 36h, "
                               "512MiB\"",
                               retention.p, rule.text);

        if (component.p != NULL && !mk_str_is(component, "ticket_issuer") &&
            coa_module_kind_of(&kind, component) != 0)
            return reader_fail(r, n->children[i].at,
                               "unknown component \"%s\"; it is atlas, almanac, chronicle, "
                               "compute, randomness or ticket_issuer, and left out for an organism "
                               "file",
                               component.p);
        rv = check_component(r, file->components, i, n->children[i].at);
        if (rv != 0)
            return rv;
    }
    return 0;
}

static int read_anchor(struct reader *r, const struct toml_node *n, const struct field *f,
                       void *ret)
{
    static const struct field fields[] = {
        TEXT(struct coa_node_file, "path", anchor_path, false),
        TEXT(struct coa_node_file, "rpc_url", anchor_rpc_url, false),
        TEXT(struct coa_node_file, "key", anchor_key, false),
    };

    (void)f;
    return read_table(r, n, "[anchor]", FIELDS(fields), ret);
}

static int read_tickets(struct reader *r, const struct toml_node *n, const struct field *f,
                        void *ret)
{
    struct coa_node_file *file = ret;
    struct mk_str *v;
    int rv;

    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    v = mk_arena_take(r->arena, n->n * sizeof *v);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_text(r, &n->children[i], f, &v[i]);
        if (rv != 0)
            return rv;
    }
    file->tickets = v;
    file->n_tickets = n->n;
    return 0;
}

static int read_tags(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct coa_node_file *file = ret;
    struct mk_str *v;
    int rv;

    rv = read_expect(r, n, TOML_ARRAY);
    if (rv != 0)
        return rv;
    if (n->n > COA_TAGS_MAX)
        return reader_fail(r, n->at, "at most %u tags", COA_TAGS_MAX);
    v = mk_arena_take(r->arena, (n->n + 1) * sizeof *v);
    for (size_t i = 0; i < n->n; i++) {
        rv = read_text(r, &n->children[i], f, &v[i]);
        if (rv != 0)
            return rv;
    }
    file->tags = v;
    file->n_tags = n->n;
    return 0;
}

static const struct field node_fields[] = {
    TEXT(struct coa_node_file, "key", key, true),
    TEXT(struct coa_node_file, "listen", listen, true),
    TEXT(struct coa_node_file, "dir", dir, true),
    TEXT(struct coa_node_file, "http", http, false),
    TEXT(struct coa_node_file, "advertise", advertise, false),
    {"tickets", read_tickets, 0, false, 1, 4096},
    TEXT(struct coa_node_file, "lan", lan, false),
    {"tags", read_tags, 0, false, 1, 128},
    {"peers", read_contacts, offsetof(struct coa_node_file, peers), false, 0, 0},
    {"components", read_components, 0, true, 0, 0},
    {"anchor", read_anchor, 0, false, 0, 0},
    {"attest", read_attest, 0, false, 0, 0},
};

int coa_node_file_parse(struct coa_node_file *ret, const char *name, struct mk_bytes bytes,
                        struct mk_fault *reterr)
{
    struct reader r = {.file = name, .reterr = reterr};
    struct toml_node root;
    int rv;

    *ret = (struct coa_node_file){0};
    r.arena = &ret->arena;
    rv = toml_parse(&root, name, bytes, r.arena, reterr);
    if (rv == 0)
        rv = read_table(&r, &root, "the node file", FIELDS(node_fields), ret);
    reader_done(&r, &ret->warnings, NULL);
    if (rv != 0)
        coa_node_file_done(ret);
    return rv;
}

void coa_node_file_done(struct coa_node_file *f)
{
    mk_arena_done(&f->arena);
    *f = (struct coa_node_file){0};
}

int reader_no_coalition(struct reader *r, const struct toml_node *root, const char *wanted)
{
    for (size_t i = 0; i < root->n; i++) {
        if (mk_str_is(root->children[i].key, "instance_name"))
            return reader_fail(
                r, root->children[i].key_at,
                "this is a coalition file, which has an instance_name; %s file, with "
                "kind = \"%s\", is expected here",
                wanted[0] == 'o' ? "an organism" : "a lattice", wanted);
    }
    return 0;
}

static int kind_of(struct reader *r, const struct toml_node *root, enum coa_file_kind *ret)
{
    *ret = COA_FILE_COALITION;
    for (size_t i = 0; i < root->n; i++) {
        const struct toml_node *n = &root->children[i];

        if (!mk_str_is(n->key, "kind"))
            continue;
        if (n->kind == TOML_TEXT && mk_str_is(n->text, "organism"))
            *ret = COA_FILE_ORGANISM;
        else if (n->kind == TOML_TEXT && mk_str_is(n->text, "lattice"))
            *ret = COA_FILE_LATTICE;
        else if (n->kind != TOML_TEXT || !mk_str_is(n->text, "coalition"))
            return reader_fail(r, n->at,
                               "kind must be \"organism\" or \"lattice\"; a coalition "
                               "file has none");
    }
    return 0;
}

int coa_file_kind(enum coa_file_kind *ret, const char *name, struct mk_bytes bytes,
                  struct mk_fault *reterr)
{
    struct mk_arena arena = {0};
    struct reader r = {.file = name, .arena = &arena, .reterr = reterr};
    struct toml_node root;
    int rv;

    rv = toml_parse(&root, name, bytes, &arena, reterr);
    if (rv == 0)
        rv = kind_of(&r, &root, ret);
    mk_arena_done(&arena);
    return rv;
}
