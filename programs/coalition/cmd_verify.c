/* cmd_verify.c - `coalition verify`: the integrator's checks before he relies on a file.
 *
 * Fingerprint round trip: what the operator published against what the file gives.
 * Anchors: the same for operators and first rosters, which the fingerprint does not
 * cover. Members: each operator's own handshake against what the coalition says of
 * its member. Nothing here proves who wrote what; it finds copies that drifted. */
#include "program.h"

#include <stdio.h>
#include <string.h>

#define MEMBER_FILES_MAX 1024u

struct input {
    const char *file;
    struct mk_id published;
    bool has_published;
    struct mk_id anchors;
    bool has_anchors;
    const char *members[MEMBER_FILES_MAX];
    unsigned n_members;
    bool json;
};

struct check {
    const struct coa_coalition_file *f;
    json_t *differences;
};

enum { OPT_JSON = 'j', OPT_ANCHORS = 'a', OPT_MEMBER = 'm' };

static const struct argp_option options[] = {
    {"anchors", OPT_ANCHORS, "HEX", 0, "The published anchors digest", 0},
    {"member", OPT_MEMBER, "FILE", 0,
     "The handshake JSON (or organism file) of a member's own operator; more FILEs may follow", 0},
    {"json", OPT_JSON, NULL, 0, "Print one JSON object", 0},
    {0}};

static void take_id(struct argp_state *state, struct mk_id *ret, const char *what, const char *arg)
{
    if (mk_id_unhex(ret, mk_str_of(arg)) != 0)
        wrong_usage(state, "%s is \"%s\"; it must be exactly 64 hex digits, without 0x", what, arg);
}

static void take_member(struct argp_state *state, struct input *in, const char *arg)
{
    if (in->n_members == MEMBER_FILES_MAX)
        wrong_usage(state, "at most %u member files are read", MEMBER_FILES_MAX);
    in->members[in->n_members++] = arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *in = state->input;

    switch (key) {
    case OPT_JSON:
        in->json = true;
        return 0;
    case OPT_ANCHORS:
        take_id(state, &in->anchors, "--anchors", arg);
        in->has_anchors = true;
        return 0;
    case OPT_MEMBER:
        take_member(state, in, arg);
        return 0;
    case ARGP_KEY_ARG:
        if (in->file == NULL) {
            in->file = arg;
        } else if (!in->has_published) {
            take_id(state, &in->published, "HEX", arg);
            in->has_published = true;
        } else if (in->n_members > 0) {
            take_member(state, in, arg);
        } else {
            wrong_usage(state, "FILE and HEX are expected, no more");
        }
        return 0;
    case ARGP_KEY_END:
        if (!in->has_published)
            wrong_usage(state, "FILE and HEX, the published fingerprint, are expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void differ(struct check *c, const char *path, json_t *published, json_t *computed)
{
    json_t *where = json_string(path);

    if (where == NULL) /* a file's name need not be UTF-8; the difference stands all the same */
        where = json_string("member file");
    json_array_append_new(c->differences, json_pack("{s:o, s:o, s:o}", "path", where, "published",
                                                    published, "computed", computed));
}

static bool compare(struct check *c, const char *path, const struct mk_id *published,
                    const struct mk_id *computed)
{
    if (mk_id_eq(published, computed))
        return true;
    differ(c, path, json_id(published), json_id(computed));
    return false;
}

/* --- members ------------------------------------------------------------------------- */

/* What a member's operator says of it. */
struct statement {
    struct mk_id stable_id;
    struct mk_opt_id content_hash;
    bool lattice;
    char name[MK_NAME_MAX + 1]; /* "" when not stated */
};

static int take_hex(struct mk_id *ret, const json_t *object, const char *key)
{
    const char *digits = json_string_value(json_object_get(object, key));

    if (digits == NULL)
        return MK_ENOTFOUND;
    return mk_id_unhex(ret, mk_str_of(digits));
}

static int read_handshake(struct statement *ret, const char *path, struct mk_bytes bytes)
{
    json_error_t where;
    json_t *o = json_loadb((const char *)bytes.p, bytes.n, JSON_REJECT_DUPLICATES, &where);
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *kind = json_string_value(json_object_get(o, "kind"));
    int status = 0;

    if (o == NULL) {
        status = complain(STATUS_USAGE,
                          "%s:%d:%d: not JSON: %s; a member's handshake is JSON or "
                          "an organism file",
                          path, where.line, where.column, where.text);
    } else if (take_hex(&ret->stable_id, o, "stable_id") != 0) {
        status = complain(STATUS_USAGE,
                          "%s:1:1: no stable_id of 64 hex digits; a handshake states "
                          "its stable_id",
                          path);
    } else {
        ret->content_hash.some = take_hex(&ret->content_hash.v, o, "content_hash") == 0;
        ret->lattice = kind != NULL && strcmp(kind, "lattice") == 0;
        snprintf(ret->name, sizeof ret->name, "%s", name != NULL ? name : "");
    }
    json_decref(o);
    return status;
}

static int read_organism(struct statement *ret, const char *path, struct mk_bytes bytes)
{
    struct coa_organism_file f;
    struct coa_organism_ids ids;
    struct mk_fault fault;

    if (coa_organism_file_parse(&f, path, bytes, &fault) != 0)
        return complain(STATUS_USAGE, "%s", fault.text);
    coa_organism_derive(&f.config, &ids, NULL);
    ret->stable_id = ids.stable_id;
    ret->content_hash = (struct mk_opt_id){true, ids.content_hash};
    snprintf(ret->name, sizeof ret->name, "%s", f.config.name.p);
    coa_organism_file_done(&f);
    return 0;
}

static int read_statement(struct statement *ret, const char *path)
{
    struct mk_buf bytes = {0};
    struct mk_fault fault;
    size_t i = 0;
    int status;

    *ret = (struct statement){0};
    if (read_file(path, &bytes, &fault) != 0) {
        mk_buf_done(&bytes);
        return complain(STATUS_USAGE, "%s", fault.text);
    }
    while (i < bytes.n && strchr(" \t\r\n", bytes.p[i]) != NULL && bytes.p[i] != 0)
        i++;
    if (i < bytes.n && bytes.p[i] == '{')
        status = read_handshake(ret, path, mk_buf_bytes(&bytes));
    else
        status = read_organism(ret, path, mk_buf_bytes(&bytes));
    mk_buf_done(&bytes);
    return status;
}

static void check_pin(struct check *c, const char *list, size_t i, const struct statement *s,
                      const struct mk_opt_id *pin)
{
    char path[64];

    if (!pin->some || !s->content_hash.some)
        return;
    snprintf(path, sizeof path, "%s[%zu].content_hash", list, i);
    compare(c, path, &s->content_hash.v, &pin->v);
}

/* The member that the statement is about: by its stable id, else a lattice by its name. */
static void check_member(struct check *c, const char *file, const struct statement *s)
{
    const struct coa_coalition_config *config = &c->f->config;
    char path[512];

    for (size_t i = 0; i < config->lattices.n; i++) {
        const struct coa_lattice_ref *l = &config->lattices.v[i];

        if (mk_id_eq(&l->stable_id, &s->stable_id)) {
            check_pin(c, "lattices", i, s, &l->content_hash);
            return;
        }
    }
    for (size_t i = 0; i < config->organisms.n; i++) {
        const struct coa_organism_ref *o = &config->organisms.v[i];

        if (mk_id_eq(&o->stable_id, &s->stable_id)) {
            check_pin(c, "organisms", i, s, &o->content_hash);
            return;
        }
    }
    for (size_t i = 0; i < config->lattices.n; i++) {
        if (s->lattice && mk_str_is(config->lattices.v[i].name, s->name)) {
            snprintf(path, sizeof path, "lattices[%zu].stable_id", i);
            differ(c, path, json_id(&s->stable_id), json_id(&config->lattices.v[i].stable_id));
            return;
        }
    }
    snprintf(path, sizeof path, "member %s", file);
    differ(c, path, json_id(&s->stable_id), json_null());
}

/* --- all of it --------------------------------------------------------------------------- */

static const char *check_anchors(struct check *c, const struct input *in,
                                 const struct coa_coalition_ids *ids)
{
    struct mk_id computed;

    if (!in->has_anchors || c->f->serialised)
        return "unchecked";
    computed = coa_file_anchors_digest(c->f, ids, NULL);
    return compare(c, "anchors_digest", &in->anchors, &computed) ? "ok" : "differ";
}

static void print_text(const struct check *c, const char *anchors)
{
    size_t others = strcmp(anchors, "differ") == 0 ? 1 : 0; /* the anchors are said beside */
    size_t i;
    json_t *d;

    printf("fingerprint and members: %s\nanchors: %s\n",
           json_array_size(c->differences) == others ? "ok" : "differ", anchors);
    json_array_foreach(c->differences, i, d)
    {
        const char *computed = json_string_value(json_object_get(d, "computed"));

        printf("%s\n  published %s\n  computed  %s\n",
               json_string_value(json_object_get(d, "path")),
               json_string_value(json_object_get(d, "published")),
               computed != NULL ? computed : "(no such member in the coalition)");
    }
}

int cmd_verify(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE HEX",
        "Compare a coalition file with what was published: its fingerprint, its anchors, and what "
        "each member's own operator says. FILE may be the serialised config; then its anchors are "
        "unchecked.",
        NULL,
        NULL,
        NULL};
    struct input in = {0};
    struct coa_coalition_file f;
    struct coa_coalition_ids ids;
    struct check c = {.f = &f, .differences = json_array()};
    const char *anchors;
    bool ok;
    int status;

    parse_options(&argp, argc, argv, &in);
    status = load_coalition(&f, in.file);
    if (status != 0) {
        json_decref(c.differences);
        return status;
    }
    coa_coalition_derive(&f.config, &ids, NULL);
    compare(&c, "coalition_id", &in.published, &ids.coalition_id);
    anchors = check_anchors(&c, &in, &ids);
    for (unsigned i = 0; i < in.n_members && status == 0; i++) {
        struct statement s;

        status = read_statement(&s, in.members[i]);
        if (status == 0)
            check_member(&c, in.members[i], &s);
    }
    ok = json_array_size(c.differences) == 0;
    if (status == 0 && in.json)
        print_json(json_pack("{s:b, s:s, s:O}", "ok", ok, "anchors", anchors, "differences",
                             c.differences));
    else if (status == 0)
        print_text(&c, anchors);
    json_decref(c.differences);
    coa_coalition_file_done(&f);
    return status != 0 ? status : ok ? STATUS_DONE : STATUS_CHECK;
}
