/* serve.h - the member's side of the protocol "surface": readers of a component's
 * surfaces, each served at its own pace, with nothing that no certificate covers.
 *
 *   group --marked--> fork of the map at the head      (until its certificate comes)
 *         --certified--> the fork becomes what lookups and snapshots are served from;
 *                        commits up to the head go out to every reader, then the certificate
 *
 * A reader is a cursor into the retained history: a slow one costs no memory. One that
 * falls behind it gets a fresh snapshot (map), or is told where what is left begins
 * (stream). What is queued for a reader is bounded by its credit and by one snapshot's
 * fork, which shares its nodes with the map. A surface that nobody reads costs nothing.
 *
 * The group owns the serve and tells it what happened; the serve asks through the host.
 * All calls belong to the loop's thread. */
#ifndef GROUP_SERVE_H
#define GROUP_SERVE_H

#include "collections/certificate.h"
#include "collections/surface.h"
#include "group/wire.h"
#include "net/net.h"
#include <mosaik/ticket.h>

#define MK_SERVE_READERS_MAX 1024u /* conversations at once; above it BUSY */
#define MK_SERVE_LOOKUPS_MAX 256u  /* of one reader, waiting for the first certificate */
#define MK_SERVE_MARKS_MAX 64u     /* forks of one map that wait for their certificate */

struct mk_serve;

/** What a group gives; embedded in something of its own, found again with mk_container_of(). */
struct mk_serve_host {
    /** The surfaces as of the last applied command; lent until the loop is entered again. NULL
     * while there are none (blank, installing a snapshot). */
    struct mk_surfaces *(*surfaces)(struct mk_serve_host *h);
    /** Judges a reader (scope READ). */
    void (*judge)(struct mk_serve_host *h, struct mk_verdict *ret, const struct mk_bearer *bearer);
    /** The newest epoch here, and the change that led to an epoch; NULL: not known (the first). */
    uint64_t (*epoch)(struct mk_serve_host *h);
    const struct mk_roster_change *(*change)(struct mk_serve_host *h, uint64_t epoch);
    /** A reader of this surface came (+1) or went (-1): it wants certificates and machine time. */
    void (*interest)(struct mk_serve_host *h, unsigned surface, int more);
    /** The newest certificate of a surface, lent for the call; NULL: none yet. */
    const struct mk_certificate *(*certificate)(struct mk_serve_host *h, unsigned surface);
};

int mk_serve_open(struct mk_env *e, struct mk_serve **ret,
                  struct mk_serve_host *host /* borrowed */);
/** Closes every reader's conversation with MK_CLOSE_SHUTDOWN. NULL is fine. */
void mk_serve_close(struct mk_serve *s);

/** What is known of a peer (NULL: of everybody) changed: its readers are judged again, in their own
 * turn. */
void mk_serve_rejudge(struct mk_serve *s, const struct mk_peer *peer);
/** It shows these from now on (copied), and is judged by them. */
void mk_serve_retake(struct mk_serve *s, const struct mk_peer *peer,
                     const struct mk_wire_tickets *tickets);
/** Decides on a conversation under "surface" whose first message named our deployment: 0 and c is
 * kept, or a close code with detail. As mk_service.accept; hello is lent for the call. */
unsigned mk_serve_accept(struct mk_serve *s, struct mk_conv *c,
                         const struct mk_surface_hello *hello, char detail[MK_REASON_MAX]);

/** A marked entry was applied and the head of this surface is to be signed: to be called before
 * anything further is applied, so that a map can be kept as it stands. */
void mk_serve_marked(struct mk_serve *s, unsigned surface);
/** A newer certificate of a surface was assembled (checked; copied). Neither costs anything while a
 * surface has no reader. */
void mk_serve_certified(struct mk_serve *s, unsigned surface, const struct mk_certificate *c);
/** The surfaces were replaced as a whole (a snapshot was installed): readers begin again. */
void mk_serve_replaced(struct mk_serve *s);

/** Every reader is told to find another member: this one is of the committee no more. */
void mk_serve_dismiss(struct mk_serve *s, const char *detail);

/** When the first reader's admission ends; unix ms, UINT64_MAX: none does. */
uint64_t mk_serve_expires_ms(const struct mk_serve *s);

unsigned mk_serve_readers(const struct mk_serve *s);

struct mk_serve_stats {
    unsigned readers;
    uint64_t commits_sent, snapshots_sent, lookups_answered;
    uint64_t fell_behind; /* readers that the retained history no longer reached */
};
void mk_serve_stats(const struct mk_serve *s, struct mk_serve_stats *ret);

#endif
