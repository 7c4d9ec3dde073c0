/* net_bed.h - peers side by side for tests of src/net: in the simulated world
 * (vouched, or real TLS on simulated streams) or on this machine's loopback. */
#ifndef NET_BED_H
#define NET_BED_H

#include "unit.h"

#include "base/assert.h"
#include "net/chan.h"
#include "net/frame.h"
#include "net/net.h"
#include "world.h"
#include <mosaik/loop.h>

#include <stdio.h>

enum bed_kind { BED_VOUCHED, BED_SIM_TLS, BED_LIVE };

#define BED_PEERS 4u
#define BED_CONVS 128u

struct bed;

struct bed_conv {
    struct mk_conv *c; /* NULL once over */
    struct bed_peer *owner;
    struct mk_buf got; /* the messages, joined */
    uint64_t n_got;
    uint64_t n_writable;
    size_t last_n;
    unsigned last_at; /* of bed->n_messages */
    bool greedy;      /* does not give credit back */
    bool over;
    unsigned close;
    char detail[MK_REASON_MAX];
};

struct bed_peer {
    struct bed *bed;
    unsigned i;
    struct mk_env *env;
    struct mk_key key;
    struct mk_net *net;
    struct mk_net_watch watch;
    struct mk_service echo, sink, closed_shop;
    unsigned n_up, n_down;
    struct mk_peer last_up;
    unsigned down_close;
    char down_detail[MK_REASON_MAX];
    struct bed_conv convs[BED_CONVS]; /* accepted ones first come */
    unsigned n_convs;
    bool greedy; /* new conversations are */
    char address[64];
};

struct bed {
    enum bed_kind kind;
    struct world *w;
    struct mk_env *live;
    unsigned n_messages; /* delivered so far */
    uint32_t handshake_ms;
    struct bed_peer peers[BED_PEERS];
};

struct bed *bed_new(enum bed_kind kind);
struct bed *bed_new_seed(enum bed_kind kind, uint64_t seed);
void bed_free(struct bed *b);
/** An env where no net is: for strangers. */
struct mk_env *bed_stranger_env(struct bed *b, unsigned i);
/** Opens peer i's net (key from byte key), listening, serving "echo" (sends every message
 * back), "sink" (keeps them) and "shop" (refuses with REFUSED, "no clause fits"). */
struct bed_peer *bed_open_as(struct bed *b, unsigned i, uint8_t key, struct mk_id network);
struct bed_peer *bed_open(struct bed *b, unsigned i);
void bed_close(struct bed_peer *p);
/** Turns until cond; false: not within ms, which are virtual in the simulation; on loopback a
 * minute at least. */
bool bed_until(struct bed *b, bool (*cond)(void *arg), void *arg, uint32_t ms);
/** Turns for so long. */
void bed_run(struct bed *b, uint32_t ms);
/** Opens a conversation from p to the peer of l; the slot in p->convs. */
struct bed_conv *bed_talk(struct bed_peer *p, struct mk_link *l, const char *proto,
                          const char *first);
/** Dials and waits for both sides to be up. */
struct mk_link *bed_link(struct bed_peer *a, struct bed_peer *b, struct mk_dial *d);

#endif
