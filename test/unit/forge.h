/* forge.h - a PKI of the shape of Intel's, with every key in hand, to make the quotes and the
 * collateral that no machine would give: for tests alone. */
#ifndef TEST_FORGE_H
#define TEST_FORGE_H

#include "unit.h"

#include <mosaik/attest.h>
#include <openssl/evp.h>

#define FORGE_NOW 1750000000u /* inside everything that is made by default */
#define FORGE_FROM 1700000000u
#define FORGE_TO 1800000000u

enum forge_key { FORGE_ROOT, FORGE_CA, FORGE_PCK, FORGE_TCB, FORGE_ATT, FORGE_STRANGER, N_FORGE };

/** What a certificate is made of. */
struct forge_cert {
    const char *subject, *issuer;
    enum forge_key key, signer;
    uint64_t from, to;
    unsigned serial;
    bool ca, sgx, strange_critical;
    unsigned usage; /* 0: no key usage extension; else bits as OpenSSL has them (KU_...) */
};

struct forge {
    EVP_PKEY *key[N_FORGE];
    struct forge_cert cert[4]; /* ROOT, CA, PCK, TCB: changed by tests before forge_chain() */
    struct mk_buf chain;       /* PCK, CA, root as PEM */
    struct mk_quote_root *root;
    const char *levels;    /* tcbLevels of the TCB info, JSON */
    const char *modules;   /* tdxModuleIdentities, JSON; NULL: left out */
    const char *qe_levels; /* tcbLevels of the QE identity */
    const char *fmspc, *pce_id;
    uint64_t info_from, info_to, qe_from, qe_to, list_from, list_to;
    unsigned revoked_by_root, revoked_by_ca; /* serials; 0: none */
    enum forge_key json_signer;
    bool sgx; /* collateral and quotes of SGX */
};

void forge_init(struct forge *f);
void forge_done(struct forge *f);

/** A certificate in DER; forge_pem() of several makes a chain. */
void forge_certificate(struct forge *f, const struct forge_cert *c, struct mk_buf *out);
void forge_pem(struct mk_bytes der, struct mk_buf *out);
/** Makes chain and root anew from cert[]. */
void forge_chain(struct forge *f);

/** A quote with recognisable fields, to be changed before forge_sign(). */
void forge_quote(struct forge *f, struct mk_quote *q, uint16_t version, enum mk_quote_body body);
/** Binds, signs and writes it. */
void forge_sign(struct forge *f, struct mk_quote *q, struct mk_buf *out);

/** All collateral as one JSON document of the kind with tcb_info, qe_identity, ... */
void forge_collateral(struct forge *f, struct mk_buf *out);
/** A revocation list in DER. */
void forge_list(struct forge *f, const struct forge_cert *signer, unsigned revoked,
                struct mk_buf *out);

/** Adds a document; fails the test when it is not taken, or refused, as wanted (MK_E..., 0). */
void forge_add(struct mk_collateral *c, struct mk_bytes doc, int want);
/** Judges q, signed, under f's collateral alone. */
struct mk_quote_verdict forge_judge(struct forge *f, struct mk_quote *q, uint64_t now);
/** NULL: believed; else refused, with that in the reason. */
void forge_expect(struct mk_quote_verdict v, const char *reason);

#endif /* TEST_FORGE_H */
