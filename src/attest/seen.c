/* seen.c - the newest that was ever seen of each document: its issue date and, of signed JSON, its
 * tcbEvaluationDataNumber. Documents are kept in memory alone; this outlives the process, so that
 * whoever writes into the collateral's directory cannot go back over a restart either.
 *
 * Its bytes: a version, the root's id, a count, then kind, key, date and number of each, ascending.
 */
#include "attest/collateral.h"

#include "attest/dates.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_VERSION 1u

static int seen_cmp(const void *a, const void *b)
{
    const struct seen_item *x = a, *y = b;
    int order = (x->kind > y->kind) - (x->kind < y->kind);

    return order != 0 ? order : memcmp(x->key, y->key, sizeof x->key);
}

static struct seen_item *find(const struct mk_collateral *c, const struct seen_item *of)
{
    return c->n_seen == 0 ? NULL : bsearch(of, c->seen, c->n_seen, sizeof *c->seen, seen_cmp);
}

int seen_check(const struct mk_collateral *c, const struct seen_item *fresh, const char *what,
               struct mk_fault *reterr)
{
    const struct seen_item *known = find(c, fresh);
    char date[DATE_MAX];

    if (known == NULL)
        return 0;
    if (fresh->issued < known->issued)
        return mk_fault(reterr, MK_ESTALE, "%s: older than the one of %s, which was seen here",
                        what, date_text(known->issued, date));
    if (fresh->evaluation < known->evaluation)
        return mk_fault(reterr, MK_ESTALE,
                        "%s: its tcbEvaluationDataNumber is %u, %u was seen here", what,
                        fresh->evaluation, known->evaluation);
    return 0;
}

int seen_note(struct mk_collateral *c, const struct seen_item *fresh, struct mk_fault *reterr)
{
    struct seen_item *known = find(c, fresh);

    if (known == NULL && c->n_seen == SEEN_MAX)
        return mk_fault(reterr, MK_ELIMIT, "collateral: more than %u documents were seen",
                        SEEN_MAX);
    if (known != NULL) {
        *known = *fresh;
        return 0;
    }
    c->seen = mk_realloc(c->seen, (c->n_seen + 1) * sizeof *c->seen);
    c->seen[c->n_seen++] = *fresh;
    qsort(c->seen, c->n_seen, sizeof *c->seen, seen_cmp);
    return 0;
}

void mk_collateral_seen(const struct mk_collateral *c, struct mk_buf *out)
{
    uint8_t id[32];

    signer_id(&c->root->cert, id);
    mk_buf_put_u8(out, SEEN_VERSION);
    mk_buf_put(out, id, sizeof id);
    mk_buf_put_u32le(out, (uint32_t)c->n_seen);
    for (size_t i = 0; i < c->n_seen; i++) {
        mk_buf_put_u8(out, c->seen[i].kind);
        mk_buf_put(out, c->seen[i].key, sizeof c->seen[i].key);
        mk_buf_put_u64le(out, c->seen[i].issued);
        mk_buf_put_u64le(out, c->seen[i].evaluation);
    }
}

static int recall_item(struct mk_collateral *c, struct mk_reader *r)
{
    struct seen_item item = {.kind = mk_read_u8(r)};
    struct mk_bytes key = mk_read_bytes(r, sizeof item.key);
    uint64_t evaluation;

    item.issued = mk_read_u64le(r);
    evaluation = mk_read_u64le(r);
    if (r->failed || evaluation > UINT32_MAX || item.kind >= SEEN_KINDS)
        return MK_EMALFORMED;
    memcpy(item.key, key.p, sizeof item.key);
    item.evaluation = (uint32_t)evaluation;
    if (c->n_seen > 0 && seen_cmp(&c->seen[c->n_seen - 1], &item) >= 0)
        return MK_EMALFORMED;
    return seen_note(c, &item, NULL);
}

int mk_collateral_recall(struct mk_collateral *c, struct mk_bytes seen, struct mk_fault *reterr)
{
    struct mk_reader r = {.p = seen.p, .n = seen.n};
    unsigned version = mk_read_u8(&r);
    struct mk_bytes root = mk_read_bytes(&r, 32), n = mk_read_bytes(&r, 4);
    uint8_t id[32];
    uint32_t count;
    int rv = 0;

    signer_id(&c->root->cert, id);
    if (r.failed || version != SEEN_VERSION || memcmp(root.p, id, sizeof id) != 0)
        return mk_fault(reterr, MK_EMALFORMED, "what was seen of collateral: not of this root");
    count =
        (uint32_t)n.p[0] | (uint32_t)n.p[1] << 8 | (uint32_t)n.p[2] << 16 | (uint32_t)n.p[3] << 24;
    for (uint32_t i = 0; i < count && rv == 0; i++)
        rv = recall_item(c, &r);
    if (rv == 0 && r.n == 0)
        return 0;
    mk_free(c->seen);
    c->seen = NULL;
    c->n_seen = 0;
    return mk_fault(reterr, MK_EMALFORMED, "what was seen of collateral: damaged");
}
