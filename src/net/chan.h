/* chan.h - the secure channel under a link: bytes of the connection in,
 * plaintext out, and the other way; at the end of its handshake the identity of
 * the other side. It owns no socket: the link feeds it and sends what it leaves
 * in `wire`.
 *
 *     socket -> in -> [ step / read ] -> plaintext -> frames
 *     socket <- wire <- [   write   ] <- plaintext <- frames
 *
 * Two implementations: TLS 1.3 (tls.c), and none at all where the simulated
 * world vouches for the other end (vouch.c). */
#ifndef NET_CHAN_H
#define NET_CHAN_H

#include "env/env.h"
#include <mosaik/key.h>

struct mk_chan;

struct mk_chan_ops {
    /** Goes on with the handshake on what is in `in`; sets ready and peer at its
     * end. 0; MK_EPROTOCOL with the reason in `why`. */
    int (*step)(struct mk_chan *c);
    /** Decrypts from `in`. *ret_n is 0 when there is no whole record left.
     * 0; MK_EPROTOCOL with the reason in `why`. Takes all of `in` by the time
     * that it answers 0 bytes. */
    int (*read)(struct mk_chan *c, uint8_t *out, size_t cap, size_t *ret_n);
    /** Encrypts all of p into `wire`, in as few records as it can. */
    int (*write)(struct mk_chan *c, const uint8_t *p, size_t n);
    /** Leaves the end-of-data mark in `wire`. */
    void (*finish)(struct mk_chan *c);
    /** 32 bytes that both ends of this very channel can compute and nobody else; zeros
     * where there is no secret. Only once ready. MK_EIO. */
    int (*exported)(struct mk_chan *c, uint8_t ret[32]);
    void (*free)(struct mk_chan *c);
};

struct mk_chan {
    const struct mk_chan_ops *ops;
    const uint8_t *in; /* lent by the link while it calls step and read */
    size_t in_n;
    struct mk_buf *wire; /* the net's; the link sends and clears it after each call */
    bool ready;
    struct mk_peer peer; /* once ready */
    char why[128];
};

/** The world vouches: ready at once. NULL when it does not. */
struct mk_chan *mk_chan_vouched(struct mk_sock *s, struct mk_buf *wire);

/** The TLS side of a net: its certificate and settings. */
struct mk_tls;
int mk_tls_open(struct mk_tls **ret, const struct mk_key *key);
void mk_tls_close(struct mk_tls *t); /* NULL is fine; after its channels */
struct mk_chan *mk_chan_tls(struct mk_tls *t, bool dialer, struct mk_buf *wire);

#endif /* NET_CHAN_H */
