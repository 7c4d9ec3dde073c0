/* record.h - one signed record, a peer entry, a Deployment or an issuer's list of revoked
 * tickets, as gossip and table see it: a key, a version, a life, and bytes. */
#ifndef DISCOVERY_RECORD_H
#define DISCOVERY_RECORD_H

#include "discovery/discovery.h"
#include <mosaik/key.h>

enum mk_record_kind { MK_RECORD_PEER, MK_RECORD_DEPLOYMENT, MK_RECORD_REVOCATIONS };
#define MK_RECORD_KINDS 3u

/** Kind, then the peer and zeros, the stable id and the operator, or the issuer's root and zeros.
 * Orders records. */
#define MK_RECORD_KEY 65u
struct mk_record_key {
    uint8_t b[MK_RECORD_KEY];
};

struct mk_record_key mk_record_peer_key(const struct mk_peer *peer);
struct mk_record_key mk_record_deployment_key(const struct mk_id *stable_id,
                                              const struct mk_peer *operator_);
struct mk_record_key mk_record_revocations_key(const struct mk_id *root);
int mk_record_key_cmp(const struct mk_record_key *a, const struct mk_record_key *b);

/** What a record's bytes say, before anybody believes them. */
struct mk_record_head {
    enum mk_record_kind kind;
    struct mk_record_key key;
    struct mk_peer signer; /* zero: a roster signs it */
    struct mk_id root;     /* of revocations: whose roster */
    uint64_t version;
    uint64_t expires_ms; /* UINT64_MAX: never */
    bool departed;
    uint32_t group;    /* of an entry: that of its first address (prefix.h); 0: it has none */
    struct mk_id tags; /* of an entry: hash of its tags */
    struct mk_id
        hash; /* of the bytes; of revocations: of the list, whoever of the roster signed it */
};

size_t mk_record_max(enum mk_record_kind kind); /* bytes */
/** Reads and checks everything but the signature. MK_ELIMIT: too long; MK_EINVALID:
 * another network; MK_EMALFORMED. */
int mk_record_read(struct mk_record_head *ret, enum mk_record_kind kind, struct mk_bytes bytes,
                   const struct mk_id *network, struct mk_fault *reterr);
/** The one signature of bytes that mk_record_read accepted (a roster's: mk_issuer_book_verify).
 * 0 or MK_ESIGNATURE. */
int mk_record_verify(const struct mk_record_head *head, struct mk_bytes bytes);

/** Signs e (its signature is set) and appends it to out. */
void mk_record_sign_entry(struct mk_peer_entry *e, const struct mk_key *key, struct mk_buf *out);

/** Is that an address of an entry: printable, "host:port" by its shape? */
bool mk_record_address_valid(struct mk_str address);

#endif /* DISCOVERY_RECORD_H */
