/* pki.h - P-256 keys from a seed, and the certificates and lists that an emulated platform
 * needs. */
#ifndef EMULATOR_PKI_H
#define EMULATOR_PKI_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define EMU_FMSPC "TDXEMU" /* six bytes; no platform of Intel's has them */
#define EMU_SVN 1u         /* of every component of the platform */
#define EMU_PCE_SVN 1u

/** The key that seed gives under a label. given; NULL: OpenSSL failed. */
EVP_PKEY *emu_key(const uint8_t seed[32], const char *label);
/** x || y. 0 or MK_EIO. */
int emu_public(EVP_PKEY *key, uint8_t ret[64]);
/** ECDSA with SHA-256, r || s. 0 or MK_EIO. */
int emu_sign(EVP_PKEY *key, struct mk_bytes message, uint8_t ret[64]);

enum emu_cert { EMU_ROOT, EMU_PCK_CA, EMU_PCK, EMU_TCB_SIGNING };
/** A certificate of that kind for key, signed by issuer. given; NULL: OpenSSL failed. */
X509 *emu_certificate(enum emu_cert kind, EVP_PKEY *key, EVP_PKEY *issuer);
/** An empty revocation list of the root (or the PCK CA), DER, appended. 0 or MK_EIO. */
int emu_crl(enum emu_cert of, EVP_PKEY *issuer, uint64_t issued_s, uint64_t until_s,
            struct mk_buf *out);
/** PEM, appended. 0 or MK_EIO. */
int emu_pem(X509 *x, struct mk_buf *out);

#endif
