/* base64url.h - base64 with the URL alphabet and no padding (RFC 4648 section 5,
 * RFC 7515 section 2), strictly: one text for one sequence of bytes. */
#ifndef CODEC_BASE64URL_H
#define CODEC_BASE64URL_H

#include <mosaik/bytes.h>
#include <mosaik/error.h>

/** Appends the text of `in` to out. */
void mk_base64url_put(struct mk_buf *out, struct mk_bytes in);

/** Appends the bytes that text stands for to out. MK_EMALFORMED, with out as it
 * was, for any other character ('=', white space, '+', '/'), an impossible
 * length, and bits after the last byte that are not zero. */
int mk_base64url_get(struct mk_buf *out, struct mk_str text);

#endif /* CODEC_BASE64URL_H */
