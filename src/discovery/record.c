/* record.c - see record.h.
 *
 * A record is read before it is verified, because reading is cheap and tells
 * whether the record is news at all; nothing that was read is acted upon before
 * mk_record_verify() said yes. Entries and Deployments end with their signature, so "the
 * encoding without the signature" is the bytes without the last 64. A list of revocations
 * is signed by a majority of an issuer's roster, which the issuer book knows. */
#include "discovery/record.h"

#include "base/assert.h"
#include "discovery/prefix.h"
#include <mosaik/issuers.h>

#include <string.h>

MK_TEXT_DEFINE(mk_entry_address, MK_ENTRY_ADDRESS_MAX, 0)
MK_SEQ_DEFINE(mk_entry_addresses, mk_entry_address, MK_ENTRY_ADDRESSES_MAX, 0)
MK_SEQ_DEFINE(mk_entry_ids, mk_id, MK_ENTRY_IDS_MAX, MK_SEQ_SORTED)
MK_SEQ_DEFINE(mk_entry_tags, mk_id, MK_ENTRY_TAGS_MAX, MK_SEQ_SORTED)
MK_SEQ_DEFINE(mk_entry_tickets, mk_ticket, MK_ENTRY_TICKETS_MAX, 0)
MK_STRUCT_DEFINE(mk_peer_entry, "PeerEntry", MK_PEER_ENTRY_TABLE)

static const char *const record_tags[] = {"mosaik.peer-entry.v2", "mosaik.deployment.v1"};
#define RECORD_SIGNATURE sizeof(struct mk_signature)

struct mk_record_key mk_record_peer_key(const struct mk_peer *peer)
{
    struct mk_record_key k = {{MK_RECORD_PEER}};

    memcpy(k.b + 1, peer->b, sizeof peer->b);
    return k;
}

struct mk_record_key mk_record_deployment_key(const struct mk_id *stable_id,
                                              const struct mk_peer *operator_)
{
    struct mk_record_key k = {{MK_RECORD_DEPLOYMENT}};

    memcpy(k.b + 1, stable_id->b, sizeof stable_id->b);
    memcpy(k.b + 33, operator_->b, sizeof operator_->b);
    return k;
}

struct mk_record_key mk_record_revocations_key(const struct mk_id *root)
{
    struct mk_record_key k = {{MK_RECORD_REVOCATIONS}};

    memcpy(k.b + 1, root->b, sizeof root->b);
    return k;
}

int mk_record_key_cmp(const struct mk_record_key *a, const struct mk_record_key *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

size_t mk_record_max(enum mk_record_kind kind)
{
    static const size_t max[MK_RECORD_KINDS] = {MK_DISCOVERY_ENTRY_MAX, MK_DISCOVERY_DEPLOYMENT_MAX,
                                                MK_REVOCATIONS_BYTES_MAX};

    return max[kind];
}

bool mk_record_address_valid(struct mk_str address)
{
    bool colon = false;

    if (address.n < 3 || address.n > MK_ENTRY_ADDRESS_MAX)
        return false;
    for (size_t i = 0; i < address.n; i++) {
        if (address.p[i] <= 0x20 || address.p[i] >= 0x7f)
            return false;
        colon = colon || (address.p[i] == ':' && i > 0 && i + 1 < address.n);
    }
    return colon;
}

static int record_read_entry(struct mk_record_head *h, struct mk_bytes bytes,
                             const struct mk_id *network, struct mk_arena *arena,
                             struct mk_fault *reterr)
{
    struct mk_peer_entry e;
    int rv = mk_decode(&e, &mk_peer_entry_type, bytes, arena, reterr);

    if (rv != 0)
        return rv;
    if (!mk_id_eq(&e.network, network))
        return mk_fault(reterr, MK_EINVALID, "an entry of another network");
    for (size_t i = 0; i < e.addresses.n; i++) {
        if (!mk_record_address_valid(e.addresses.v[i]))
            return mk_fault(reterr, MK_EMALFORMED, "an entry with an address that is none");
    }
    h->key = mk_record_peer_key(&e.peer);
    h->signer = e.peer;
    h->version = e.version;
    h->expires_ms = e.expires_ms;
    h->departed = e.addresses.n + e.tags.n + e.surfaces.n + e.deployments.n + e.tickets.n == 0;
    h->group = e.addresses.n > 0 ? mk_address_group(e.addresses.v[0]) : 0;
    h->tags = mk_hash(MK_BYTES(e.tags.v, e.tags.n * sizeof *e.tags.v));
    h->hash = mk_hash(bytes);
    return 0;
}

static int record_read_deployment(struct mk_record_head *h, struct mk_bytes bytes,
                                  struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_deployment d;
    int rv = mk_decode(&d, &mk_deployment_type, bytes, arena, reterr);

    if (rv != 0)
        return rv;
    if (!mk_id_eq(&d.roster.deployment, &d.deployment))
        return mk_fault(reterr, MK_EMALFORMED, "a Deployment with the roster of another one");
    if (d.version == 0)
        return mk_fault(reterr, MK_EMALFORMED, "a Deployment of version 0, which is the file's");
    h->key = mk_record_deployment_key(&d.stable_id, &d.operator);
    h->signer = d.operator;
    h->version = d.version;
    h->expires_ms = UINT64_MAX;
    h->departed = false;
    h->hash = mk_hash(bytes);
    return 0;
}

static int record_read_revocations(struct mk_record_head *h, struct mk_bytes bytes,
                                   struct mk_arena *arena, struct mk_fault *reterr)
{
    struct mk_signed_revocations body;
    struct mk_ticket_revocations list;
    int rv = mk_decode(&body, &mk_signed_revocations_type, bytes, arena, reterr);

    if (rv == 0)
        rv = mk_decode(&list, &mk_ticket_revocations_type, body.list, arena, reterr);
    if (rv != 0)
        return rv;
    if (list.version > UINT64_MAX - MK_REVOCATION_LIFE_MS)
        return mk_fault(reterr, MK_EMALFORMED, "a revocation list without a time");
    h->key = mk_record_revocations_key(&list.root);
    h->root = list.root;
    h->version = list.version;
    h->expires_ms = list.version + MK_REVOCATION_LIFE_MS;
    h->hash = mk_hash(body.list);
    return 0;
}

static int record_read_any(struct mk_record_head *h, struct mk_bytes bytes,
                           const struct mk_id *network, struct mk_arena *arena,
                           struct mk_fault *reterr)
{
    switch (h->kind) {
    case MK_RECORD_PEER:
        return record_read_entry(h, bytes, network, arena, reterr);
    case MK_RECORD_DEPLOYMENT:
        return record_read_deployment(h, bytes, arena, reterr);
    case MK_RECORD_REVOCATIONS:
        return record_read_revocations(h, bytes, arena, reterr);
    }
    return MK_EMALFORMED;
}

int mk_record_read(struct mk_record_head *ret, enum mk_record_kind kind, struct mk_bytes bytes,
                   const struct mk_id *network, struct mk_fault *reterr)
{
    struct mk_record_head h = {.kind = kind};
    struct mk_arena arena = {0};
    int rv;

    if (bytes.n > mk_record_max(kind))
        return mk_fault(reterr, MK_ELIMIT, "a record over %zu bytes", mk_record_max(kind));
    rv = record_read_any(&h, bytes, network, &arena, reterr);
    mk_arena_done(&arena);
    if (rv != 0)
        return rv;
    *ret = h;
    return 0;
}

int mk_record_verify(const struct mk_record_head *head, struct mk_bytes bytes)
{
    struct mk_buf message = {0};
    struct mk_signature sig;
    int rv;

    MK_ASSERT(head->kind != MK_RECORD_REVOCATIONS);
    MK_ASSERT(bytes.n > RECORD_SIGNATURE); /* it was read */
    mk_buf_put_str(&message, record_tags[head->kind]);
    mk_buf_put(&message, bytes.p, bytes.n - RECORD_SIGNATURE);
    memcpy(sig.b, bytes.p + bytes.n - RECORD_SIGNATURE, sizeof sig.b);
    rv = mk_verify(&head->signer, mk_buf_bytes(&message), &sig);
    mk_buf_done(&message);
    return rv == 0 ? 0 : MK_ESIGNATURE;
}

void mk_record_sign_entry(struct mk_peer_entry *e, const struct mk_key *key, struct mk_buf *out)
{
    struct mk_buf message = {0};

    MK_ASSERT(mk_peer_eq(&e->peer, &key->peer));
    mk_buf_put_str(&message, record_tags[MK_RECORD_PEER]);
    mk_encode(&message, &mk_peer_entry_type, e);
    message.n -= RECORD_SIGNATURE;
    mk_sign(key, mk_buf_bytes(&message), &e->signature);
    mk_buf_done(&message);
    mk_encode(out, &mk_peer_entry_type, e);
}
