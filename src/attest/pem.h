/* pem.h - the blocks of a PEM text (RFC 7468), strictly. */
#ifndef ATTEST_PEM_H
#define ATTEST_PEM_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

enum pem_kind { PEM_CERTIFICATE, PEM_CRL };

struct pem_block {
    enum pem_kind kind;
    struct mk_bytes der; /* lent from the buffer it was decoded into */
};

/** Does text hold a block? */
bool pem_is(struct mk_bytes text);
/** Decodes the blocks of text, at most max, in order; their bytes go into `into`, which must
 * be empty and stay. Lines of base64 of any length, ended by LF or CRLF; between the blocks
 * and behind them nothing but ends of lines and zeros. MK_EMALFORMED, MK_ELIMIT. */
int pem_read(struct pem_block *ret, size_t max, size_t *ret_n, struct mk_bytes text,
             struct mk_buf *into, struct mk_fault *reterr);

#endif /* ATTEST_PEM_H */
