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

/* What does not fit the stage, or must be kept. */
static void put_slow(struct preimage *p, const void *bytes, size_t n)
{
    if (p->x != NULL)
        mk_buf_put(&p->copy, bytes, n);
    while (n > 0) {
        size_t room = sizeof p->stage - p->n;
        size_t part = n < room ? n : room;

        if (p->n == 0 && n >= sizeof p->stage) {
            mk_hasher_put(&p->h, bytes, n);
            return;
        }
        memcpy(p->stage + p->n, bytes, part);
        p->n += part;
        bytes = (const uint8_t *)bytes + part;
        n -= part;
        if (p->n == sizeof p->stage)
            flush(p); /* whole, so that the hash works on many chunks at once */
    }
}

/* In line where n is known, so that the common pieces are a few moves. */
static inline __attribute__((always_inline)) void put(struct preimage *p, const void *bytes,
                                                      size_t n)
{
    if (p->x != NULL || n == 0 || n > sizeof p->stage - p->n) {
        put_slow(p, bytes, n);
        return;
    }
    memcpy(p->stage + p->n, bytes, n);
    p->n += n;
}

void coa_pre_put(struct preimage *p, const void *bytes, size_t n)
{
    put(p, bytes, n);
}

void coa_pre_u32le(struct preimage *p, uint32_t v)
{
    const uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    put(p, le, sizeof le);
}

void coa_pre_u64le(struct preimage *p, uint64_t v)
{
    uint8_t le[8];

    for (unsigned i = 0; i < sizeof le; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    put(p, le, sizeof le);
}

void coa_pre_part(struct preimage *p, const void *bytes, size_t n)
{
    coa_pre_u64le(p, n);
    put(p, bytes, n);
}

void coa_pre_part_id(struct preimage *p, const struct mk_id *id)
{
    coa_pre_u64le(p, sizeof id->b);
    put(p, id->b, sizeof id->b);
}

void coa_pre_part_opt_id(struct preimage *p, const struct mk_opt_id *id)
{
    coa_pre_part_id(p, id->some ? &id->v : &MK_ZERO_ID);
}

void coa_pre_put_tag(struct preimage *p, const char *tag)
{
    static const char version[] = {'|', COA_SCHEMA_VERSION};

    put(p, tag, strlen(tag));
    put(p, version, sizeof version);
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
    put(p, "|", 1);
    put(p, text.p, text.n);
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
