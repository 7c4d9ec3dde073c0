/* hash.c - H and hash_many on BLAKE3 (spec/identity.md, "Notation"). */
#include <mosaik/id.h>

#include "base/assert.h"

#include <blake3.h>
#include <string.h>

_Static_assert(sizeof(blake3_hasher) <= sizeof(struct mk_hasher), "the hasher must fit");
_Static_assert(_Alignof(blake3_hasher) <= _Alignof(struct mk_hasher), "and be aligned");

static blake3_hasher *inner(struct mk_hasher *h)
{
    return (blake3_hasher *)(void *)h->opaque;
}

void mk_hasher_init(struct mk_hasher *h)
{
    blake3_hasher_init(inner(h));
}

void mk_hasher_put(struct mk_hasher *h, const void *p, size_t n)
{
    if (n > 0)
        blake3_hasher_update(inner(h), p, n);
}

void mk_hasher_put_str(struct mk_hasher *h, const char *terminated)
{
    mk_hasher_put(h, terminated, strlen(terminated));
}

void mk_hasher_put_u64le(struct mk_hasher *h, uint64_t v)
{
    uint8_t le[8];

    for (unsigned i = 0; i < 8; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    mk_hasher_put(h, le, sizeof le);
}

struct mk_id mk_hasher_end(const struct mk_hasher *h)
{
    struct mk_id id;

    blake3_hasher_finalize((const blake3_hasher *)(const void *)h->opaque, id.b, sizeof id.b);
    return id;
}

struct mk_id mk_hash(struct mk_bytes x)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put(&h, x.p, x.n);
    return mk_hasher_end(&h);
}

struct mk_id mk_hash_many(const struct mk_bytes *parts, size_t n)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    for (size_t i = 0; i < n; i++) {
        mk_hasher_put_u64le(&h, parts[i].n);
        mk_hasher_put(&h, parts[i].p, parts[i].n);
    }
    return mk_hasher_end(&h);
}

struct mk_id mk_derive(const struct mk_id *id, struct mk_str segment)
{
    struct mk_hasher h;

    mk_hasher_init(&h);
    mk_hasher_put(&h, id->b, sizeof id->b);
    mk_hasher_put(&h, segment.p, segment.n);
    return mk_hasher_end(&h);
}
