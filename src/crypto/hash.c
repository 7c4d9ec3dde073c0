/* hash.c - H and hash_many on BLAKE3 (spec/identity.md, "Notation").
 *
 * Nearly all that is hashed here is shorter than BLAKE3's chunk of 1,024 bytes (a trie's node has
 * 69), and a hasher's state of 1.9 KiB costs more than the compression of a block or two. One
 * chunk needs no such state: it is a chain of the library's compression function over its
 * blocks, with flags on the first and on the last (BLAKE3 paper, 2.4 and 2.5). */
#include <mosaik/id.h>

#include "base/assert.h"
#include "crypto/hashes.h"
#include "crypto/shorthash.h"

#include <blake3.h>
#include <blake3_impl.h>
#include <sodium.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words leave as they lie");
_Static_assert(MK_HASH_EACH_MAX <= BLAKE3_CHUNK_LEN, "one chunk each");
_Static_assert(sizeof(struct mk_id) == BLAKE3_OUT_LEN, "outputs lie side by side");
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

/* n <= BLAKE3_CHUNK_LEN */
static struct mk_id hash_chunk(const uint8_t *p, size_t n)
{
    uint8_t last[BLAKE3_BLOCK_LEN] = {0}, flags = CHUNK_START;
    struct mk_id id;
    uint32_t cv[8];

    memcpy(cv, IV, sizeof cv);
    for (; n > BLAKE3_BLOCK_LEN; n -= BLAKE3_BLOCK_LEN, p += BLAKE3_BLOCK_LEN) {
        blake3_compress_in_place(cv, p, BLAKE3_BLOCK_LEN, /* counter= */ 0, flags);
        flags = 0;
    }
    if (n > 0)
        memcpy(last, p, n);
    flags |= CHUNK_END | ROOT;
    blake3_compress_in_place(cv, last, (uint8_t)n, /* counter= */ 0, flags);
    memcpy(id.b, cv, sizeof id.b);
    return id;
}

struct mk_id mk_hash(struct mk_bytes x)
{
    struct mk_hasher h;

    if (x.n <= BLAKE3_CHUNK_LEN)
        return hash_chunk(x.p, x.n);
    mk_hasher_init(&h);
    mk_hasher_put(&h, x.p, x.n);
    return mk_hasher_end(&h);
}

/* The library takes several inputs in step as long as all have whole blocks; what is left of each
 * ends by itself. */
void mk_hash_each(struct mk_id *ret, const uint8_t *const *inputs, size_t n, size_t len)
{
    size_t whole = len / BLAKE3_BLOCK_LEN, rest = len % BLAKE3_BLOCK_LEN;
    uint8_t ends = rest == 0 ? CHUNK_END | ROOT : 0;

    MK_ASSERT(len <= MK_HASH_EACH_MAX);
    if (whole == 0) {
        for (size_t i = 0; i < n; i++)
            ret[i] = hash_chunk(inputs[i], len);
        return;
    }
    blake3_hash_many(inputs, n, whole, IV, /* counter= */ 0, /* increment_counter= */ false,
                     /* flags= */ 0, CHUNK_START, ends, ret[0].b);
    for (size_t i = 0; i < n && rest > 0; i++) {
        uint8_t last[BLAKE3_BLOCK_LEN] = {0};
        uint32_t cv[8];

        memcpy(cv, ret[i].b, sizeof cv);
        memcpy(last, inputs[i] + whole * BLAKE3_BLOCK_LEN, rest);
        blake3_compress_in_place(cv, last, (uint8_t)rest, /* counter= */ 0, CHUNK_END | ROOT);
        memcpy(ret[i].b, cv, sizeof cv);
    }
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

uint64_t mk_shorthash(const uint8_t key[MK_SHORTHASH_KEY], struct mk_bytes x)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t ret = 0;

    crypto_shorthash(out, x.p, x.n, key);
    for (unsigned i = 0; i < sizeof out; i++)
        ret |= (uint64_t)out[i] << 8 * i;
    return ret;
}
