/* preimage.c - see preimage.h. */
#include "coalition/preimage.h"

#include <string.h>

void coa_pre_begin(struct preimage *p, struct coa_explain *x)
{
    mk_hasher_init(&p->h);
    p->x = x;
    p->copy = (struct mk_buf){0};
    p->n = 0;
}

static void flush(struct preimage *p)
{
    mk_hasher_put(&p->h, p->stage, p->n);
    p->n = 0;
}

void coa_pre_put(struct preimage *p, const void *bytes, size_t n)
{
    if (p->x != NULL)
        mk_buf_put(&p->copy, bytes, n);
    if (p->n + n > sizeof p->stage)
        flush(p);
    if (n > sizeof p->stage) {
        mk_hasher_put(&p->h, bytes, n);
        return;
    }
    if (n > 0)
        memcpy(p->stage + p->n, bytes, n);
    p->n += n;
}

static void put_le(struct preimage *p, uint64_t v, size_t n)
{
    uint8_t le[8];

    for (size_t i = 0; i < n; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    coa_pre_put(p, le, n);
}

void coa_pre_u32le(struct preimage *p, uint32_t v)
{
    put_le(p, v, 4);
}

void coa_pre_u64le(struct preimage *p, uint64_t v)
{
    put_le(p, v, 8);
}

void coa_pre_part(struct preimage *p, const void *bytes, size_t n)
{
    coa_pre_u64le(p, n);
    coa_pre_put(p, bytes, n);
}

void coa_pre_part_id(struct preimage *p, const struct mk_id *id)
{
    coa_pre_part(p, id->b, sizeof id->b);
}

void coa_pre_part_opt_id(struct preimage *p, const struct mk_opt_id *id)
{
    coa_pre_part_id(p, id->some ? &id->v : &MK_ZERO_ID);
}

void coa_pre_put_tag(struct preimage *p, const char *tag)
{
    static const char version[] = {'|', COA_SCHEMA_VERSION};

    coa_pre_put(p, tag, strlen(tag));
    coa_pre_put(p, version, sizeof version);
}

void coa_pre_part_tag(struct preimage *p, const char *tag)
{
    coa_pre_u64le(p, strlen(tag) + 2);
    coa_pre_put_tag(p, tag);
}

void coa_pre_part_tag_text(struct preimage *p, const char *tag, struct mk_str text)
{
    coa_pre_u64le(p, strlen(tag) + 3 + text.n);
    coa_pre_put_tag(p, tag);
    coa_pre_put(p, "|", 1);
    coa_pre_put(p, text.p, text.n);
}

struct mk_id coa_pre_end(struct preimage *p, const char *what, struct mk_str subject)
{
    struct mk_id id;
    struct mk_buf label = {0};

    flush(p);
    id = mk_hasher_end(&p->h);
    if (p->x == NULL)
        return id;
    mk_buf_put_str(&label, what);
    if (subject.n > 0) {
        mk_buf_put_str(&label, " of ");
        mk_buf_put(&label, subject.p, subject.n);
    }
    mk_buf_put_u8(&label, 0);
    p->x->derived(p->x, (const char *)label.p, mk_buf_bytes(&p->copy), &id);
    mk_buf_done(&label);
    mk_buf_done(&p->copy);
    return id;
}
