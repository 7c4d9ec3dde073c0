/* net_rogue.h - a stranger: speaks to a net with frames, or bytes, of its own. */
#ifndef NET_ROGUE_H
#define NET_ROGUE_H

#include "net_bed.h"

#define ROGUE_FRAMES 4096u

struct rogue {
    struct bed *bed;
    struct mk_env *env;
    struct mk_connect connect;
    struct mk_listener listener;
    struct mk_sock *sock;
    struct mk_key key;
    struct mk_tls *tls;
    struct mk_chan *chan;           /* NULL: raw bytes */
    struct mk_buf wire, plain, out; /* out: plaintext to send */
    bool raw, connected, refused, ended, answers_pings, no_hello, mute;
    uint8_t instance[MK_FRAME_INSTANCE];
    unsigned n_frames[16]; /* by type */
    uint32_t goaway, closed_conv, closed_code;
    char text[MK_REASON_MAX];
    uint64_t raw_in;
};

/** A rogue on node i with a key made of key bytes. raw: no channel at all. */
struct rogue *rogue_new(struct bed *b, unsigned i, uint8_t key, bool raw);
void rogue_dial(struct rogue *r, const char *address);
/** Waits for a dial at `port` (simulated worlds only). */
void rogue_listen(struct rogue *r, const char *address);
/** Sends r->out and clears it. */
void rogue_send(struct rogue *r);
void rogue_send_raw(struct rogue *r, const void *p, size_t n);
/** Dials p, says hello, and waits until the link is up on its side. */
void rogue_link(struct rogue *r, struct bed_peer *p);
/** Waits until p has told why, and ended; checks the code. */
void rogue_expect(struct rogue *r, unsigned goaway);
void rogue_free(struct rogue *r);

#endif
