/* discovery_bed.h - nodes with discovery in the simulated world, and a rogue that
 * speaks the gossip protocol by hand. */
#ifndef DISCOVERY_BED_H
#define DISCOVERY_BED_H

#include "unit.h"

#include "discovery/discovery_int.h"
#include "world.h"
#include <mosaik/key.h>

#include <stdio.h>

#define BED_NODES 24u
#define BED_NONE (~0u)

struct bed_plan { /* how node i is started, now and after a crash */
    unsigned hint;
    bool observe;
    uint32_t life_ms;
};

struct bed_node { /* what runs; gone after a crash */
    struct mk_key key;
    struct mk_env *env;
    struct mk_net *net;
    struct mk_discovery *d;
    struct mk_discovery_watch watch;
    unsigned n_changed;
};

struct bed {
    struct world *w;
    struct bed_plan plans[BED_NODES];
    unsigned n;      /* nodes 0 .. n-1 are honest */
    uint64_t shared; /* for conditions */
};

struct bed *bed_new(uint64_t seed);
void bed_free(struct bed *b);
/** Starts honest node i with this first contact (BED_NONE: none). */
void bed_start(struct bed *b, unsigned i, unsigned hint, uint32_t life_ms);
void bed_observe(struct bed *b, unsigned i, unsigned hint);
/** n nodes, each with the one before as its hint. */
void bed_chain(struct bed *b, unsigned n, uint32_t life_ms);
struct bed_node *bed_at(struct bed *b, unsigned i);
struct mk_discovery *bed_d(struct bed *b, unsigned i);
struct mk_peer bed_peer(unsigned i);
void bed_key(struct mk_key *k, unsigned i);
/** Runs until every honest node that is up sees that many others. */
bool bed_until_all_see(struct bed *b, size_t n, uint64_t ms);
bool bed_all_see(struct bed *b, size_t n);
bool bed_sees(struct bed *b, unsigned i, unsigned other);
/** A signed Deployment; appended to out. */
void bed_deployment(struct mk_buf *out, const char *name, const struct mk_key *operator_,
                    uint64_t version, const char *content);
/** A signed entry of key's peer, as text fields say; zero fields: honest ones. */
struct bed_entry {
    const struct mk_id *network;
    uint64_t version, expires_ms;
    const char *address;
    size_t n_surfaces;
};
void bed_entry(struct mk_buf *out, const struct mk_key *key, struct bed_entry e);

/* --- the rogue ------------------------------------------------------------------------ */

struct bed_rogue {
    struct mk_key key;
    struct mk_env *env;
    struct mk_net *net;
    struct mk_dial dial;
    struct mk_service service;
    struct mk_conv *conv;
    struct mk_buf got; /* messages, each with a u32le length before it */
    unsigned closes, last_close;
    char last_detail[MK_REASON_MAX];
};

/** Node i becomes a rogue, linked to node `to` with an open conversation. */
struct bed_rogue *bed_rogue(struct bed *b, unsigned i, unsigned to);
void bed_rogue_free(struct bed_rogue *r);
int bed_rogue_send(struct bed_rogue *r, const struct mk_buf *message);
/** A RECORDS message of one record. */
int bed_rogue_record(struct bed_rogue *r, enum mk_record_kind kind, struct mk_bytes bytes);
bool bed_until_closed(struct bed *b, struct bed_rogue *r, uint64_t ms);

#endif
