/* collections.c - components of collections, and their readers and writers (ffi.h). */
#include "ffi/ffi.h"

#include <string.h>

/* --- components ------------------------------------------------------------------------------- */

int mkf_acl(struct mk_acl_composition *ret, const uint8_t *p, size_t n, struct mk_arena *arena,
            char *err)
{
    int rv;

    *ret = (struct mk_acl_composition){{NULL, 0}};
    if (n == 0)
        return 0;
    rv = mk_decode(ret, &mk_acl_composition_type, MK_BYTES(mk_arena_copy(arena, p, n), n), arena,
                   mkf_fault(err));
    return rv == 0 ? mk_acl_check(ret, mkf_fault(err)) : rv;
}

/* What the machine borrows for as long as the agent lives. */
static struct mk_surface_spec *copy_specs(struct mkf_agent *a, struct mkf_surface *const *surfaces,
                                          size_t n)
{
    struct mk_surface_spec *specs = mk_arena_take(&a->arena, n * sizeof *specs);

    for (size_t i = 0; i < n; i++) {
        specs[i] = *mkf_spec(surfaces[i]);
        specs[i].name = mk_arena_str(&a->arena, mk_str_of(specs[i].name)).p;
    }
    return specs;
}

int mkf_component_add(struct mkf_agent *a, const char *label, const char *stable_id,
                      const char *deployment, const char *content, const char *const *addresses,
                      size_t n, struct mkf_surface *const *surfaces, size_t n_surfaces,
                      const uint8_t *acl, size_t acl_n, const char *retention, bool found,
                      char *err)
{
    struct mk_component_options o = {.label = mk_str_of(label), .n_addresses = n, .found = found};
    struct mk_acl_composition composition;
    struct mk_retention retain;
    struct mk_roster roster;
    struct mk_str *texts = NULL;
    int rv;

    if (a->node == NULL)
        return mk_fault(mkf_fault(err), MK_EINVALID, "this agent was opened without components");
    if (n_surfaces == 0 || n_surfaces > MK_SURFACES_MAX)
        return mk_fault(mkf_fault(err), MK_EINVALID, "a component has 1 to %u surfaces",
                        MK_SURFACES_MAX);
    rv = mkf_parse_id(&o.stable_id, "the stable id", stable_id, err);
    if (rv == 0)
        rv = mkf_parse_id(&o.deployment, "the deployment", deployment, err);
    if (rv == 0)
        rv = mkf_parse_id(&o.content_hash, "the content hash", content, err);
    if (rv == 0)
        rv = mkf_roster(&roster, &texts, &o.deployment, addresses, n, &a->arena, err);
    if (rv == 0)
        rv = mkf_acl(&composition, acl, acl_n, &a->arena, err);
    if (rv == 0 && retention != NULL)
        rv = mk_retention_parse(&retain, mk_str_of(retention), mkf_fault(err));
    if (rv != 0)
        return rv;
    if (retention != NULL)
        o.retain = &retain;
    o.roster = &roster;
    o.addresses = texts;
    o.acl = &composition;
    o.machine =
        mk_collections_machine_new(mk_arena_str(&a->arena, mk_str_of(label)).p, 1,
                                   copy_specs(a, surfaces, n_surfaces), (unsigned)n_surfaces);
    return mk_node_add(a->node, &o, mkf_fault(err));
}

/* --- writing ------------------------------------------------------------------------------------
 */

int mkf_write(struct mk_bond *b, const struct mkf_surface *s, const uint8_t *op, size_t n, int step,
              uint32_t timeout_ms, uint64_t *ret_version, bool *ret_changed, char *err)
{
    struct mk_arena arena = {0};
    struct mk_written written = {0};
    struct mk_op decoded;
    int rv = mk_decode(&decoded, &mk_op_type, MK_BYTES(op, n), &arena, mkf_fault(err));

    if (rv == 0)
        rv = mk_collection_write_wait(b, mkf_spec(s), &decoded,
                                      step == 0 ? MK_STEP_COMMITTED : MK_STEP_CERTIFIED, timeout_ms,
                                      &written, mkf_fault(err));
    mk_arena_done(&arena);
    if (rv != 0)
        return rv;
    *ret_version = written.version;
    *ret_changed = written.changed;
    return 0;
}

/* --- reading
 * -------------------------------------------------------------------------------------- */

int mkf_collection_open(struct mk_bond *b, struct mk_collection **ret, const struct mkf_surface *s,
                        char *err)
{
    if (!mk_surface_keyed(mkf_spec(s)->kind))
        return mk_fault(mkf_fault(err), MK_EINVALID, "a stream is followed as a feed");
    return mk_collection_open(b, ret, mkf_spec(s), NULL, NULL);
}

void mkf_collection_close(struct mk_collection *c)
{
    mk_collection_close(c);
}

bool mkf_collection_online(const struct mk_collection *c)
{
    return mk_collection_online(c);
}

uint64_t mkf_collection_version(const struct mk_collection *c)
{
    return mk_collection_version(c);
}

int mkf_collection_wait(struct mk_collection *c, uint64_t version, uint32_t timeout_ms, char *err)
{
    return mk_collection_wait(c, version, timeout_ms, mkf_fault(err));
}

size_t mkf_collection_count(const struct mk_collection *c)
{
    const struct mk_view *v = mk_collection_view(c);

    return v != NULL ? mk_view_count(v) : 0;
}

int mkf_collection_get(const struct mk_collection *c, const uint8_t *key, size_t n,
                       struct mkf_bytes *ret)
{
    const struct mk_view *v = mk_collection_view(c);
    struct mk_bytes value;
    int rv = v != NULL ? mk_view_get(v, MK_BYTES(key, n), &value) : MK_ENOTFOUND;

    if (rv == 0)
        *ret = mkf_bytes(value);
    return rv;
}

bool mkf_collection_next(const struct mk_collection *c, uint8_t cursor[32],
                         struct mkf_bytes *ret_key, struct mkf_bytes *ret_value)
{
    const struct mk_view *v = mk_collection_view(c);
    struct mk_bytes key, value;
    struct mk_id at;

    memcpy(at.b, cursor, sizeof at.b);
    if (v == NULL || !mk_view_next(v, &at, &key, &value))
        return false;
    memcpy(cursor, at.b, sizeof at.b);
    *ret_key = mkf_bytes(key);
    *ret_value = mkf_bytes(value);
    return true;
}

int mkf_vec_at(const struct mk_collection *c, uint64_t index, struct mkf_bytes *ret)
{
    const struct mk_view *v = mk_collection_view(c);
    struct mk_bytes value;
    int rv = v != NULL ? mk_vec_at(v, index, &value) : MK_ENOTFOUND;

    if (rv == 0)
        *ret = mkf_bytes(value);
    return rv;
}

int mkf_queue_at(const struct mk_collection *c, uint64_t rank, uint64_t *ret_priority,
                 struct mkf_bytes *ret_key, struct mkf_bytes *ret_value)
{
    const struct mk_view *v = mk_collection_view(c);
    struct mk_bytes key, value;
    int rv = v != NULL ? mk_queue_at(v, rank, ret_priority, &key, &value) : MK_ENOTFOUND;

    if (rv == 0) {
        *ret_key = mkf_bytes(key);
        *ret_value = mkf_bytes(value);
    }
    return rv;
}

int mkf_queue_priority(const struct mk_collection *c, const uint8_t *key, size_t n, uint64_t *ret)
{
    const struct mk_view *v = mk_collection_view(c);

    return v != NULL ? mk_queue_priority(v, MK_BYTES(key, n), ret) : MK_ENOTFOUND;
}

int mkf_lookup(struct mkf_agent *a, struct mk_bond *b, const struct mkf_surface *s,
               const uint8_t *key, size_t n, uint64_t max_age_ms, uint32_t timeout_ms,
               struct mkf_bytes *ret, char *err)
{
    struct mk_arena arena = {0};
    struct mk_bytes value;
    int rv = mk_collection_lookup_wait(b, mkf_spec(s), MK_BYTES(key, n), max_age_ms, timeout_ms,
                                       &value, &arena, mkf_fault(err));

    if (rv == 0)
        mkf_lend(a, value, ret);
    mk_arena_done(&arena);
    return rv;
}
