/* tcb_parse.c - reads TCB infos and QE identities; see tcb.h.
 *
 * The documents are Intel's and their signature has been verified, or will be before anything
 * is read out of them; what is not understood is skipped, what is needed must be there in the
 * right form. A component's svn is a byte: of a greater number the low eight bits count, as in
 * Intel's own library. */
#include "attest/dates.h"
#include "attest/tcb.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* --- values ------------------------------------------------------------------------------- */

static int get_text(const char **ret, const json_t *o, const char *key, struct mk_fault *reterr)
{
    *ret = json_string_value(json_object_get(o, key));
    if (*ret == NULL)
        return mk_fault(reterr, MK_EMALFORMED, "%s is missing or no text", key);
    return 0;
}

static int get_hex(void *ret, size_t n, const json_t *o, const char *key, struct mk_fault *reterr)
{
    const char *text;
    int rv = get_text(&text, o, key, reterr);

    if (rv == 0 && mk_unhex(ret, n, text, strlen(text)) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "%s is not of %zu hex digits", key, 2 * n);
    return rv;
}

static int get_number(uint32_t *ret, uint32_t max, const json_t *o, const char *key,
                      struct mk_fault *reterr)
{
    const json_t *v = json_object_get(o, key);
    json_int_t n = json_integer_value(v);

    if (!json_is_integer(v) || n < 0 || n > (json_int_t)max)
        return mk_fault(reterr, MK_EMALFORMED, "%s is missing or no number up to %u", key, max);
    *ret = (uint32_t)n;
    return 0;
}

static int get_date(uint64_t *ret, const json_t *o, const char *key, struct mk_fault *reterr)
{
    const char *text;
    int rv = get_text(&text, o, key, reterr);

    if (rv == 0 && date_parse(ret, mk_str_of(text)) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "%s is no date", key);
    return rv;
}

/* An array of at most max items; it may be left out when `optional`. */
static int get_array(json_t **ret, size_t *ret_n, size_t max, const json_t *o, const char *key,
                     bool optional, struct mk_fault *reterr)
{
    json_t *a = json_object_get(o, key);

    if (a == NULL && optional) {
        *ret = NULL;
        *ret_n = 0;
        return 0;
    }
    if (!json_is_array(a))
        return mk_fault(reterr, MK_EMALFORMED, "%s is missing or no list", key);
    if (json_array_size(a) > max)
        return mk_fault(reterr, MK_ELIMIT, "%s has more than %zu items", key, max);
    *ret = a;
    *ret_n = json_array_size(a);
    return 0;
}

/* --- levels ---------------------------------------------------------------------------------- */

static int read_advisories(struct tcb_status *s, struct mk_arena *arena, const json_t *o,
                           struct mk_fault *reterr)
{
    char(*out)[MK_ADVISORY_MAX];
    json_t *list;
    int rv = get_array(&list, &s->n_advisories, MK_ADVISORIES_MAX, o, "advisoryIDs",
                       /* optional= */ true, reterr);

    if (rv != 0)
        return rv;
    out = mk_arena_take(arena, (s->n_advisories + 1) * sizeof *out);
    for (size_t i = 0; i < s->n_advisories; i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name == NULL || strlen(name) >= MK_ADVISORY_MAX)
            return mk_fault(reterr, MK_EMALFORMED, "advisoryIDs[%zu] is no advisory", i);
        snprintf(out[i], sizeof out[i], "%s", name);
    }
    s->advisories = (const char(*)[MK_ADVISORY_MAX])out;
    return 0;
}

static int read_status(struct tcb_status *s, struct mk_arena *arena, const json_t *o,
                       struct mk_fault *reterr)
{
    const char *text;
    uint64_t date;
    int rv = get_text(&text, o, "tcbStatus", reterr);

    if (rv == 0 && mk_tcb_status_parse(&s->status, mk_str_of(text)) != 0)
        rv = mk_fault(reterr, MK_EMALFORMED, "tcbStatus \"%s\" is not known", text);
    if (rv == 0)
        rv = get_date(&date, o, "tcbDate", reterr);
    if (rv != 0)
        return rv;
    date_text(date, s->date);
    return read_advisories(s, arena, o, reterr);
}

static int read_components(uint8_t ret[16], const json_t *tcb, const char *key,
                           struct mk_fault *reterr)
{
    json_t *list;
    size_t n;
    int rv = get_array(&list, &n, 16, tcb, key, /* optional= */ false, reterr);

    if (rv == 0 && n != 16)
        rv = mk_fault(reterr, MK_EMALFORMED, "%s has %zu items, not 16", key, n);
    for (size_t i = 0; rv == 0 && i < 16; i++) {
        uint32_t v = 0;

        rv = get_number(&v, UINT32_MAX, json_array_get(list, i), "svn", reterr);
        ret[i] = (uint8_t)v;
    }
    return rv;
}

static int read_level(struct tcb_level *l, struct tcb_info *t, const json_t *o,
                      struct mk_fault *reterr)
{
    const json_t *tcb = json_object_get(o, "tcb");
    uint32_t pce_svn;
    int rv = get_number(&pce_svn, UINT16_MAX, tcb, "pcesvn", reterr);

    if (rv == 0)
        rv = read_components(l->sgx, tcb, "sgxtcbcomponents", reterr);
    if (rv == 0 && t->head.tee == MK_TEE_TDX)
        rv = read_components(l->tdx, tcb, "tdxtcbcomponents", reterr);
    if (rv != 0)
        return rv;
    l->pce_svn = (uint16_t)pce_svn;
    return read_status(&l->s, &t->arena, o, reterr);
}

static int read_svn_levels(struct svn_level **ret, size_t *ret_n, struct mk_arena *arena,
                           const json_t *o, struct mk_fault *reterr)
{
    struct svn_level *levels;
    json_t *list;
    size_t n;
    int rv = get_array(&list, &n, TCB_LEVELS_MAX, o, "tcbLevels", /* optional= */ false, reterr);

    if (rv != 0)
        return rv;
    levels = mk_arena_take(arena, (n + 1) * sizeof *levels);
    for (size_t i = 0; rv == 0 && i < n; i++) {
        const json_t *item = json_array_get(list, i);
        uint32_t svn = 0;

        rv = get_number(&svn, UINT16_MAX, json_object_get(item, "tcb"), "isvsvn", reterr);
        levels[i].isv_svn = (uint16_t)svn;
        if (rv == 0)
            rv = read_status(&levels[i].s, arena, item, reterr);
    }
    *ret = levels;
    *ret_n = n;
    return rv;
}

/* --- the head ------------------------------------------------------------------------------- */

static int read_head(struct tcb_head *h, const json_t *o, uint32_t version, const char *sgx,
                     const char *tdx, struct mk_fault *reterr)
{
    const char *id;
    uint32_t v;
    int rv = get_text(&id, o, "id", reterr);

    if (rv == 0)
        rv = get_number(&v, UINT16_MAX, o, "version", reterr);
    if (rv != 0)
        return rv;
    if (v != version)
        return mk_fault(reterr, MK_ENOTSUP, "version %u is not known, %u is", v, version);
    if (strcmp(id, sgx) != 0 && strcmp(id, tdx) != 0)
        return mk_fault(reterr, MK_ENOTSUP, "id \"%s\" is neither %s nor %s", id, sgx, tdx);
    h->tee = strcmp(id, tdx) == 0 ? MK_TEE_TDX : MK_TEE_SGX;
    rv = get_number(&h->evaluation, UINT32_MAX, o, "tcbEvaluationDataNumber", reterr);
    if (rv == 0)
        rv = get_date(&h->span.from, o, "issueDate", reterr);
    h->issued = h->span.from;
    return rv != 0 ? rv : get_date(&h->span.to, o, "nextUpdate", reterr);
}

static json_t *load(struct mk_bytes json, const char *what, struct mk_fault *reterr)
{
    json_error_t where;
    json_t *o = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, &where);

    if (o != NULL && json_is_object(o))
        return o;
    mk_fault(reterr, MK_EMALFORMED, "%s: no JSON object: %s", what,
             o == NULL ? where.text : "it is something else");
    json_decref(o);
    return NULL;
}

/* --- TCB info ------------------------------------------------------------------------------- */

static int read_module(struct tdx_module *m, const json_t *o, struct mk_fault *reterr)
{
    int rv = get_hex(m->mr_signer, sizeof m->mr_signer, o, "mrsigner", reterr);

    if (rv == 0)
        rv = get_hex(m->attributes, sizeof m->attributes, o, "attributes", reterr);
    return rv != 0 ? rv : get_hex(m->mask, sizeof m->mask, o, "attributesMask", reterr);
}

/* "TDX_03": the module's major version in hex. */
static int read_module_id(struct tdx_module *m, const json_t *o, struct mk_fault *reterr)
{
    const char *id;
    int rv = get_text(&id, o, "id", reterr);

    if (rv == 0 &&
        (strncasecmp(id, "TDX_", 4) != 0 || mk_unhex(&m->version, 1, id + 4, strlen(id) - 4) != 0))
        rv = mk_fault(reterr, MK_EMALFORMED, "\"%s\" is no TDX module", id);
    return rv;
}

static int read_modules(struct tcb_info *t, const json_t *o, struct mk_fault *reterr)
{
    json_t *list;
    int rv = read_module(&t->module, json_object_get(o, "tdxModule"), reterr);

    if (rv == 0)
        rv = get_array(&list, &t->n_modules, TCB_MODULES_MAX, o, "tdxModuleIdentities",
                       /* optional= */ true, reterr);
    if (rv != 0)
        return rv;
    t->modules = mk_arena_take(&t->arena, (t->n_modules + 1) * sizeof *t->modules);
    for (size_t i = 0; rv == 0 && i < t->n_modules; i++) {
        const json_t *item = json_array_get(list, i);
        struct tdx_module *m = &t->modules[i];

        rv = read_module_id(m, item, reterr);
        if (rv == 0)
            rv = read_module(m, item, reterr);
        if (rv == 0)
            rv = read_svn_levels(&m->levels, &m->n_levels, &t->arena, item, reterr);
    }
    return rv;
}

static int read_levels(struct tcb_info *t, const json_t *o, struct mk_fault *reterr)
{
    json_t *list;
    int rv = get_array(&list, &t->n_levels, TCB_LEVELS_MAX, o, "tcbLevels", /* optional= */ false,
                       reterr);

    if (rv != 0)
        return rv;
    t->levels = mk_arena_take(&t->arena, (t->n_levels + 1) * sizeof *t->levels);
    for (size_t i = 0; rv == 0 && i < t->n_levels; i++)
        rv = read_level(&t->levels[i], t, json_array_get(list, i), reterr);
    return rv;
}

static int read_info(struct tcb_info *t, const json_t *o, struct mk_fault *reterr)
{
    int rv = read_head(&t->head, o, 3, "SGX", "TDX", reterr);

    if (rv == 0)
        rv = get_hex(t->fmspc, sizeof t->fmspc, o, "fmspc", reterr);
    if (rv == 0)
        rv = get_hex(t->pce_id, sizeof t->pce_id, o, "pceId", reterr);
    if (rv == 0 && t->head.tee == MK_TEE_TDX)
        rv = read_modules(t, o, reterr);
    return rv != 0 ? rv : read_levels(t, o, reterr);
}

int tcb_info_parse(struct tcb_info **ret, struct mk_bytes json, struct mk_fault *reterr)
{
    struct mk_fault why = {{0}};
    struct tcb_info *t;
    json_t *o = load(json, "TCB info", reterr);
    int rv;

    if (o == NULL)
        return MK_EMALFORMED;
    t = mk_alloc(sizeof *t);
    rv = read_info(t, o, &why);
    json_decref(o);
    if (rv != 0) {
        tcb_info_free(t);
        return mk_fault(reterr, rv, "TCB info: %s", why.text);
    }
    *ret = t;
    return 0;
}

void tcb_info_free(struct tcb_info *t)
{
    if (t == NULL)
        return;
    mk_arena_done(&t->arena);
    mk_free(t);
}

/* --- QE identity ---------------------------------------------------------------------------- */

static int read_identity(struct qe_identity *q, const json_t *o, struct mk_fault *reterr)
{
    uint32_t prod_id = 0;
    int rv = read_head(&q->head, o, 2, "QE", "TD_QE", reterr);

    if (rv == 0)
        rv = get_hex(q->misc_select, sizeof q->misc_select, o, "miscselect", reterr);
    if (rv == 0)
        rv = get_hex(q->misc_mask, sizeof q->misc_mask, o, "miscselectMask", reterr);
    if (rv == 0)
        rv = get_hex(q->attributes, sizeof q->attributes, o, "attributes", reterr);
    if (rv == 0)
        rv = get_hex(q->mask, sizeof q->mask, o, "attributesMask", reterr);
    if (rv == 0)
        rv = get_hex(q->mr_signer, sizeof q->mr_signer, o, "mrsigner", reterr);
    if (rv == 0)
        rv = get_number(&prod_id, UINT16_MAX, o, "isvprodid", reterr);
    q->isv_prod_id = (uint16_t)prod_id;
    return rv != 0 ? rv : read_svn_levels(&q->levels, &q->n_levels, &q->arena, o, reterr);
}

int qe_identity_parse(struct qe_identity **ret, struct mk_bytes json, struct mk_fault *reterr)
{
    struct mk_fault why = {{0}};
    struct qe_identity *q;
    json_t *o = load(json, "QE identity", reterr);
    int rv;

    if (o == NULL)
        return MK_EMALFORMED;
    q = mk_alloc(sizeof *q);
    rv = read_identity(q, o, &why);
    json_decref(o);
    if (rv != 0) {
        qe_identity_free(q);
        return mk_fault(reterr, rv, "QE identity: %s", why.text);
    }
    *ret = q;
    return 0;
}

void qe_identity_free(struct qe_identity *q)
{
    if (q == NULL)
        return;
    mk_arena_done(&q->arena);
    mk_free(q);
}
