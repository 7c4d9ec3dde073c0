/* id.c - ids compared, printed, read. */
#include <mosaik/id.h>

#include <mosaik/error.h>

#include <string.h>

const struct mk_id MK_ZERO_ID = {{0}};

/* H("mosaik.universe"); a test recomputes it. */
const struct mk_id MK_UNIVERSE = {{0xb8, 0x2b, 0x6f, 0x3b, 0x4a, 0x1e, 0x53, 0xd2, 0xd5, 0x65, 0x23,
                                   0xf5, 0xa7, 0xb1, 0x97, 0x4e, 0x38, 0x42, 0xac, 0x37, 0xa0, 0x68,
                                   0xcc, 0x30, 0x22, 0x86, 0x06, 0x5a, 0x88, 0x53, 0xcf, 0x43}};

bool mk_id_is_zero(const struct mk_id *a)
{
    return mk_id_eq(a, &MK_ZERO_ID);
}

bool mk_id_eq(const struct mk_id *a, const struct mk_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

int mk_id_cmp(const struct mk_id *a, const struct mk_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

bool mk_peer_eq(const struct mk_peer *a, const struct mk_peer *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

int mk_peer_cmp(const struct mk_peer *a, const struct mk_peer *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

char *mk_id_hex(const struct mk_id *a, char out[MK_ID_HEX])
{
    mk_hex(out, a->b, sizeof a->b);
    return out;
}

char *mk_peer_hex(const struct mk_peer *a, char out[MK_ID_HEX])
{
    mk_hex(out, a->b, sizeof a->b);
    return out;
}

int mk_id_unhex(struct mk_id *ret, struct mk_str digits)
{
    return mk_unhex(ret->b, sizeof ret->b, digits.p, digits.n);
}

int mk_peer_unhex(struct mk_peer *ret, struct mk_str digits)
{
    return mk_unhex(ret->b, sizeof ret->b, digits.p, digits.n);
}

struct mk_id mk_id_of_text(struct mk_str s)
{
    struct mk_id id;

    if (mk_id_unhex(&id, s) == 0)
        return id;
    return mk_hash(MK_BYTES(s.p, s.n));
}

struct mk_member_id mk_member_id_of(const struct mk_id *stable_id)
{
    struct mk_member_id m;

    memcpy(m.b, stable_id->b, sizeof m.b);
    return m;
}
