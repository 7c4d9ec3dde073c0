/* read_attest.c - [attest] of a node file, and the file that holds nothing else. */
#include <coalition/file.h>

#include "coalition/reader.h"
#include <mosaik/attest.h>

#define PUBLISHED_FILES_MAX 64u

#define TEXT(name, member)                                                   \
    {                                                                        \
        name, read_text, offsetof(struct coa_attest, member), false, 1, 4096 \
    }

static int read_texts(struct reader *r, const struct toml_node *n, const struct field *f,
                      struct mk_str **ret, size_t *ret_n)
{
    int rv = read_expect(r, n, TOML_ARRAY);

    if (rv != 0)
        return rv;
    if (n->n > PUBLISHED_FILES_MAX)
        return reader_fail(r, n->at, "at most %u entries", PUBLISHED_FILES_MAX);
    *ret = mk_arena_take(r->arena, (n->n + 1) * sizeof **ret);
    for (size_t i = 0; rv == 0 && i < n->n; i++)
        rv = read_text(r, &n->children[i], f, &(*ret)[i]);
    *ret_n = n->n;
    return rv;
}

static int read_published(struct reader *r, const struct toml_node *n, const struct field *f,
                          void *ret)
{
    struct coa_attest *a = ret;
    struct mk_str *v = NULL;
    int rv = read_texts(r, n, f, &v, &a->n_published);

    a->published = v;
    return rv;
}

/* Names of TCB statuses into bits; Revoked is never accepted. */
static int read_statuses(struct reader *r, const struct toml_node *n, const struct field *f,
                         void *ret)
{
    struct coa_attest *a = ret;
    struct mk_str *v = NULL;
    size_t count = 0;
    int rv = read_texts(r, n, f, &v, &count);

    for (size_t i = 0; rv == 0 && i < count; i++) {
        unsigned s = MK_TCB_UpToDate;

        while (s < MK_TCB_Revoked && !mk_str_is(v[i], mk_tcb_status_name(s)))
            s++;
        if (s == MK_TCB_Revoked)
            return reader_fail(r, n->children[i].at,
                               "\"%s\" is no TCB status that can be accepted; these are UpToDate, "
                               "SWHardeningNeeded, ConfigurationNeeded, "
                               "ConfigurationAndSWHardeningNeeded, OutOfDate, "
                               "OutOfDateConfigurationNeeded, TDRelaunchAdvised, "
                               "TDRelaunchAdvisedConfigurationNeeded",
                               v[i].p);
        a->statuses |= 1u << s;
    }
    if (rv == 0 && count == 0)
        rv = reader_fail(r, n->at, "at least one TCB status is wanted");
    return rv;
}

static const struct field attest_fields[] = {
    TEXT("source", source),
    TEXT("tsm", tsm),
    TEXT("emulator", emulator),
    TEXT("root", root),
    TEXT("collateral", collateral),
    TEXT("fetch", fetch),
    {"reload_s", read_u32, offsetof(struct coa_attest, reload_s), false, 1, 86400},
    {"tcb", read_statuses, 0, false, 1, 64},
    {"published", read_published, 0, false, 1, 4096},
};

static int check(struct reader *r, const struct toml_node *n, const struct coa_attest *a)
{
    bool emulator = a->source.p != NULL && mk_str_is(a->source, "emulator");

    if (a->source.p != NULL && !emulator && !mk_str_is(a->source, "configfs-tsm"))
        return reader_fail(r, n->at, "source is \"configfs-tsm\" or \"emulator\", not \"%s\"",
                           a->source.p);
    if (emulator != (a->emulator.p != NULL))
        return reader_fail(r, n->at, "emulator = DIR and source = \"emulator\" need each other");
    if (a->fetch.p != NULL && a->collateral.p == NULL)
        return reader_fail(r, n->at, "fetch renews collateral = DIR, which is not stated");
    return 0;
}

int read_attest(struct reader *r, const struct toml_node *n, const struct field *f, void *ret)
{
    struct coa_attest *a = mk_arena_take(r->arena, sizeof *a);
    struct coa_node_file *file = ret;
    int rv = read_table(r, n, "[attest]", FIELDS(attest_fields), a);

    (void)f;
    file->attest = a;
    return rv == 0 ? check(r, n, a) : rv;
}

int coa_attest_file_parse(struct coa_attest *ret, const char *name, struct mk_bytes bytes,
                          struct mk_arena *arena, struct mk_fault *reterr)
{
    struct reader r = {.file = name, .arena = arena, .reterr = reterr};
    struct coa_warnings warnings;
    struct toml_node root;
    int rv = toml_parse(&root, name, bytes, arena, reterr);

    *ret = (struct coa_attest){0};
    if (rv == 0)
        rv = read_table(&r, &root, "the attest file", FIELDS(attest_fields), ret);
    if (rv == 0)
        rv = check(&r, &root, ret);
    reader_done(&r, &warnings, NULL);
    return rv;
}
