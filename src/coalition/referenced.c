/* referenced.c - see referenced.h. A path in a file is relative to that file's folder. */
#include "coalition/referenced.h"

#include <string.h>

static const char *join(struct reader *r, struct mk_str path)
{
    const char *slash = strrchr(r->file, '/');
    struct mk_buf out = {0};
    const char *joined;

    if (path.p[0] != '/' && slash != NULL)
        mk_buf_put(&out, r->file, (size_t)(slash + 1 - r->file));
    mk_buf_put(&out, path.p, path.n);
    joined = mk_arena_str(r->arena, (struct mk_str){(const char *)out.p, out.n}).p;
    mk_buf_done(&out);
    return joined;
}

int referenced_load(struct reader *r, struct toml_place at, struct mk_str path,
                    const struct coa_organism_file **ret)
{
    const char *full = join(r, path);
    struct coa_organism_file *f;
    struct mk_buf bytes = {0};
    struct mk_fault why = {{0}};
    int rv;

    rv = r->loader->load(r->loader, full, &bytes, &why);
    if (rv != 0) {
        mk_buf_done(&bytes);
        return reader_fail(r, at, "cannot read %s: %s; name an organism file relative to this one",
                           full, why.text);
    }
    f = mk_alloc(sizeof *f);
    rv = coa_organism_file_parse(f, full, mk_buf_bytes(&bytes), r->reterr);
    mk_buf_done(&bytes);
    if (rv != 0) {
        mk_free(f);
        return rv;
    }
    *ret = f;
    return 0;
}

int referenced_organism(struct reader *r, struct toml_place at, struct mk_str path,
                        const struct coa_organism_ref *ref, const struct coa_organism_file **ret)
{
    const struct coa_organism_file *f;
    struct coa_organism_ids ids;
    char hex[MK_ID_HEX];
    int rv;

    rv = referenced_load(r, at, path, &f);
    if (rv != 0)
        return rv;
    coa_organism_derive(&f->config, &ids, NULL);
    if (!mk_id_eq(&ids.stable_id, &ref->stable_id))
        rv = reader_fail(r, at, "%s has another stable id than this entry; it is %s", path.p,
                         mk_id_hex(&ids.stable_id, hex));
    else if (ref->content_hash.some && !mk_id_eq(&ids.content_hash, &ref->content_hash.v))
        rv = reader_fail(r, at, "%s has another content hash than this entry pins; it is %s",
                         path.p, mk_id_hex(&ids.content_hash, hex));
    if (rv != 0)
        referenced_done(f);
    else
        *ret = f;
    return rv;
}

void referenced_done(const struct coa_organism_file *f)
{
    if (f == NULL)
        return;
    coa_organism_file_done((struct coa_organism_file *)(uintptr_t)f);
    mk_free((void *)(uintptr_t)f);
}
