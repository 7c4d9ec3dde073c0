/* jws.h - a compact JWS taken apart; nothing in it is believed yet. */
#ifndef TICKETS_JWS_H
#define TICKETS_JWS_H

#include <mosaik/jws.h>

struct mk_jws {
    char alg[12];            /* as the header says */
    struct mk_bytes message; /* what is signed; lent from the token */
    struct mk_str payload;   /* base64url; lent from the token */
    struct mk_buf signature;
};

/** Splits it, reads the header, decodes the signature. On success mk_jws_done(). */
int mk_jws_open(struct mk_jws *ret, struct mk_bytes token, struct mk_fault *reterr);
void mk_jws_done(struct mk_jws *j);
/** 0; MK_EINVALID: the key is no point of its curve; MK_ESIGNATURE. key has the algorithm's length.
 */
int mk_jws_signature_check(enum mk_jws_alg alg, struct mk_bytes key, const struct mk_jws *j);
/** Appends the payload: only after its signature was checked. */
int mk_jws_payload(struct mk_buf *ret, const struct mk_jws *j, struct mk_fault *reterr);

#endif
