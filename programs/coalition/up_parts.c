/* up_parts.c - what `coalition up` is to run: Atlas, when the file ships it, and the organisms
 * that --with names. */
#include "up.h"

#include <stdio.h>
#include <string.h>

const struct part *up_part_of(const struct up *u, const struct mk_id *stable_id)
{
    for (unsigned i = 0; i < u->n_parts; i++) {
        if (u->parts[i].organism != NULL && mk_id_eq(&u->parts[i].ids.stable_id, stable_id))
            return &u->parts[i];
    }
    return NULL;
}

void up_member_name(char out[128], const struct part *p, unsigned i)
{
    snprintf(out, 128, "%s-%u", p->name, i + 1);
}

static int check_modules(struct up *u)
{
    for (unsigned k = 0; k < COA_MODULE_KINDS; k++) {
        if (k != COA_ATLAS && coa_module_body(&u->file.config, k) != NULL)
            return complain(STATUS_USAGE, "%s: it ships %s, which this build does not have",
                            u->in.file, coa_module_name(k));
    }
    return 0;
}

static int add_organism(struct up *u, const char *path)
{
    struct part *p = &u->parts[u->n_parts++];
    int rv;

    p->organism = mk_arena_take(&u->arena, sizeof *p->organism);
    rv = load_organism(p->organism, path);
    if (rv != 0)
        return rv;
    if (p->organism->content_type.p == NULL || !mk_str_is(p->organism->content_type, "price-feed"))
        return complain(STATUS_USAGE,
                        "%s: `up` runs organisms of content type price-feed alone (an oracle names "
                        "its sources' operators, and `up` makes its own)",
                        path);
    coa_organism_derive(&p->organism->config, &p->ids, NULL);
    snprintf(p->name, sizeof p->name, "%.*s", (int)p->organism->config.name.n,
             p->organism->config.name.p);
    for (char *c = p->name; *c != '\0'; c++) {
        if (*c == '/')
            *c = '_';
    }
    p->n = p->organism->notes.committee.n > 0 ? (unsigned)p->organism->notes.committee.n : 1;
    p->source = "-";
    for (unsigned i = 0; i < u->in.n_sources; i++) {
        size_t n = p->organism->config.name.n;

        if (strncmp(u->in.sources[i], p->organism->config.name.p, n) == 0 &&
            u->in.sources[i][n] == '=')
            p->source = u->in.sources[i] + n + 1;
    }
    return 0;
}

/** A source that nobody reads is a mistaken name. */
static int check_sources(struct up *u)
{
    for (unsigned i = 0; i < u->in.n_sources; i++) {
        struct mk_str name = {u->in.sources[i], strcspn(u->in.sources[i], "=")};
        bool found = false;

        for (unsigned k = 0; k < u->n_parts; k++) {
            const struct coa_organism_file *o = u->parts[k].organism;

            found |= o != NULL && mk_str_eq(o->config.name, name);
        }
        if (!found)
            return complain(STATUS_USAGE, "--source: no organism of --with is named \"%.*s\"",
                            (int)name.n, name.p);
    }
    return 0;
}

static void name_files(struct up *u)
{
    for (unsigned i = 0; i < u->n_parts; i++) {
        struct part *p = &u->parts[i];
        struct mk_buf b = {0};

        snprintf(p->record, sizeof p->record, "%s.deployment", p->name);
        mk_buf_printf(&b, "%s.toml", p->name);
        p->file_name = mk_arena_str(&u->arena, (struct mk_str){(const char *)b.p, b.n}).p;
        mk_buf_done(&b);
    }
}

int up_collect_parts(struct up *u)
{
    int rv = check_modules(u);

    if (rv == 0 && u->file.config.atlas != NULL) {
        struct part *p = &u->parts[u->n_parts++];

        snprintf(p->name, sizeof p->name, "atlas");
        p->n = u->file.modules[COA_ATLAS].committee.n > 0
                   ? (unsigned)u->file.modules[COA_ATLAS].committee.n
                   : MEMBERS_DEFAULT;
    }
    for (unsigned i = 0; rv == 0 && i < u->in.n_with; i++)
        rv = add_organism(u, u->in.with[i]);
    if (rv == 0)
        rv = check_sources(u);
    if (rv == 0 && u->n_parts == 0)
        rv = complain(STATUS_USAGE,
                      "%s: it ships no module that could be run; name an organism with --with",
                      u->in.file);
    name_files(u);
    return rv;
}
