/* discovery.h - who is where: signed peer entries and Deployment records, spread
 * among the peers that a node knows. No registry: an entry is believed because
 * its peer signed it, a Deployment because its operator did; one hint is enough
 * to find the rest.
 *
 *   PeerEntry{network, peer, version, addresses, surfaces, deployments, expires}
 *
 * Gossip: on each link one conversation "discovery"; at its start both sides
 * exchange digests of what they hold and then what the other lacks; later each
 * new entry is passed on once. Bounded: entries a node keeps, entries a source
 * may bring a second, bytes of an entry; own entry renewed at half its life. */
#ifndef DISCOVERY_DISCOVERY_H
#define DISCOVERY_DISCOVERY_H

#include "net/net.h"
#include <mosaik/records.h>

struct mk_discovery;

#define MK_DISCOVERY_ENTRIES_MAX 16384u
#define MK_DISCOVERY_DEPLOYMENTS_MAX 4096u
#define MK_DISCOVERY_ENTRY_MAX 8192u /* encoded bytes */
#define MK_DISCOVERY_LIFE_MS 120000u /* default life of an entry */

struct mk_discovery_options {
    struct mk_id network;
    const struct mk_key *key;     /* borrowed */
    const char *const *addresses; /* "host:port" others reach us at; copied */
    size_t n_addresses;
    uint32_t life_ms;  /* 0: the default */
    bool observe_only; /* never publish an entry of our own (a reader) */
};
int mk_discovery_open(struct mk_env *e, struct mk_net *net, struct mk_discovery **ret,
                      const struct mk_discovery_options *o);
/** Publishes a departure (an entry without addresses, expired) on every link first. */
void mk_discovery_close(struct mk_discovery *d);

/** A first contact: peer and address; dialed until at least one link is up, and
 * whenever there is none. */
void mk_discovery_hint(struct mk_discovery *d, const struct mk_peer *peer, const char *address);

/** What our own entry says; re-signed and spread with a higher version. Copied. */
void mk_discovery_offer(struct mk_discovery *d, const struct mk_id *surfaces, size_t n_surfaces,
                        const struct mk_id *deployments, size_t n_deployments);

/** Spreads an operator's Deployment (pc bytes, copied, signature verified).
 * MK_ECONFLICT when another one of the same version is known (both are kept as proof). */
int mk_discovery_publish(struct mk_discovery *d, struct mk_bytes deployment,
                         struct mk_fault *reterr);

/** Peers whose fresh entry names this deployment; calls cb for each, in order of peer. */
void mk_discovery_find(struct mk_discovery *d, const struct mk_id *deployment,
                       void (*cb)(void *arg, const struct mk_peer *peer,
                                  const struct mk_str *addresses, size_t n_addresses),
                       void *arg);
/** The newest Deployment of a stable id signed by that operator; lent until the loop
 * is entered again. MK_ENOTFOUND; MK_ECONFLICT. */
int mk_discovery_deployment(struct mk_discovery *d, struct mk_deployment *ret,
                            const struct mk_id *stable_id, const struct mk_peer *operator_);

/** Something changed (an entry came, went, or a Deployment arrived). */
struct mk_discovery_watch {
    void (*changed)(struct mk_discovery_watch *w);
    struct mk_list node;
};
void mk_discovery_watch(struct mk_discovery *d, struct mk_discovery_watch *w);
void mk_discovery_unwatch(struct mk_discovery_watch *w);

/** Keeps a link to this peer while held (counted), at the addresses its entry names
 * plus the given hint (may be NULL). */
void mk_discovery_want(struct mk_discovery *d, const struct mk_peer *peer, const char *hint);
void mk_discovery_unwant(struct mk_discovery *d, const struct mk_peer *peer);
/** How the last dial of that peer ended: a close code and text ("" when up). */
void mk_discovery_diagnose(struct mk_discovery *d, const struct mk_peer *peer, unsigned *ret_close,
                           char ret_detail[MK_REASON_MAX]);

size_t mk_discovery_size(const struct mk_discovery *d);

#endif /* DISCOVERY_DISCOVERY_H */
