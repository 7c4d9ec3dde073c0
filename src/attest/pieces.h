/* pieces.h - a document of collateral, taken apart: which pieces are in it, told by its
 * content. Nothing is verified here. */
#ifndef ATTEST_PIECES_H
#define ATTEST_PIECES_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

#define PIECES_MAX 64u /* of one document */

enum piece_kind { PIECE_CERTIFICATE, PIECE_CRL, PIECE_TCB_INFO, PIECE_QE_IDENTITY };

struct piece {
    enum piece_kind kind;
    struct mk_bytes bytes; /* DER, or the exact JSON that is signed; in the arena */
    uint8_t signature[64]; /* r || s of a JSON */
};

struct pieces {
    struct mk_arena arena;
    struct piece v[PIECES_MAX];
    size_t n;
};

/** Takes doc apart; ret must be zero at first, and is done with pieces_done() in any case. */
int pieces_read(struct pieces *ret, struct mk_bytes doc, struct mk_fault *reterr);
void pieces_done(struct pieces *p);

#endif /* ATTEST_PIECES_H */
