/* network.h - what the files of src/node share: the network handle, its bonds, and
 * what hangs on a bond. */
#ifndef NODE_NETWORK_H
#define NODE_NETWORK_H

#include "base/assert.h"
#include "base/signal.h"
#include "discovery/discovery.h"
#include "env/env.h"
#include "group/client.h"
#include "net/net.h"
#include "streams/streams.h"
#include "witness/witness.h"
#include <mosaik/issuers.h>
#include <mosaik/network.h>

#define MK_HOST_PORT_MAX 256u /* bytes of "host:port" */
#define MK_BOND_SAID_MAX 8u   /* remembered lines about members */

struct mk_network {
    struct mk_env *env;
    struct mk_key key;
    struct mk_id universe;
    struct mk_net *net;
    struct mk_discovery *discovery;
    struct mk_issuer_book *issuers;
    uint64_t lists_seen; /* of the book's changes: kept, and the streams were judged by them */
    struct mk_task recall;
    struct mk_wallet wallet; /* our tickets */
    struct mk_arena arena;   /* of the tickets */
    struct mk_list bonds;
    struct mk_streams streams;
    struct mk_id *surfaces, *deployments; /* what the node's hosts offer */
    size_t n_surfaces, n_deployments;
    struct mk_witness *witness; /* NULL: none */
    struct mk_witness_watch evidence;
    struct mk_net_watch links;
    struct mk_discovery_watch records;
    uint64_t tags_seen;             /* mk_discovery_tags_seq() by which streams were judged */
    struct mk_standings *standings; /* standing.c */
    struct mk_signal signal;        /* what is known of others changed */
    struct mk_service status;       /* protocol "status"; served by who listens */
    void (*tell)(void *arg, struct mk_buf *json); /* NULL: what mk_network_json() says */
    struct mk_service renewals;                   /* protocol "tickets" (renew.c) */
    struct mk_list renewed;                       /* who told of others within the last second */
    struct mk_timer renewing;
    /** A peer shows other tickets; NULL: no components here. */
    void (*retake)(void *arg, const struct mk_peer *peer, const struct mk_wire_tickets *tickets);
    void *tell_arg; /* of both */
};

/** What hangs on a bond and must be told when the bond moves to a deployment. */
struct mk_bond_part {
    /** The bond has a (new) deployment: open or open again. */
    void (*rebind)(struct mk_bond_part *p);
    /** The bond closes or failed: end, and let go of the bond. */
    void (*end)(struct mk_bond_part *p, int status, const struct mk_fault *fault);
    struct mk_list node;
};

#define MK_BOND_NEWCOMERS_MAX (4u * MK_ROSTER_MAX)

/** Whether members run the bond's deployment (probe.c). */
struct mk_bond_probe {
    bool asking, known; /* known: one runs it, or nobody can tell */
    bool elsewhere;     /* all that are linked run another */
    size_t next;        /* of the roster's peers */
    struct mk_peer peer;
    struct mk_conv *greeting, *behind;
    unsigned close;
    char detail[MK_REASON_MAX];
    struct mk_timer again;
};

struct mk_bond {
    struct mk_network *network;
    struct mk_list node; /* of network->bonds */
    struct mk_reference reference;
    struct mk_arena arena; /* of reference */

    enum mk_bond_state state;
    int error;
    struct mk_fault why;

    bool bound; /* component below is valid */
    uint64_t version;
    struct mk_id content_hash;
    struct mk_component component;
    struct mk_arena deployed; /* of component */
    struct mk_reader_memory *memory;
    struct mk_client *client;
    struct mk_client_report report;
    uint64_t stored_ns;                              /* when memory was last written to disk */
    struct mk_peer newcomers[MK_BOND_NEWCOMERS_MAX]; /* wanted beside the first roster's */
    size_t n_newcomers;
    uint64_t epoch; /* of the newest roster that was looked at; 0: none */

    struct mk_bond_probe probe;

    struct mk_list parts;
    struct mk_bond_watch *watches;
    struct mk_signal signal;
    struct mk_task tell;              /* watchers, at the end of the turn */
    char said[MK_BOND_SAID_MAX][320]; /* newest first */
};

/** What our entry offers: this (copied), and the surfaces of the producers that are open. */
void mk_network_offer(struct mk_network *n, const struct mk_id *surfaces, size_t n_surfaces,
                      const struct mk_id *deployments, size_t n_deployments);

/** The wanted members of the bond's present deployment, linked now. */
unsigned mk_bond_linked(const struct mk_bond *b);
/** Looks again at files, Deployments and links; moves the state. */
void mk_bond_advance(struct mk_bond *b);
void mk_bond_end_all(struct mk_network *n);
/** What a member said, for people; the newest is told while the bond is not ready. */
void mk_bond_note(struct mk_bond *b, const struct mk_peer *peer, unsigned close, const char *text);
/** Asks the linked members whether they run the deployment, if that is not under way. */
void mk_bond_probe_begin(struct mk_bond *b);
void mk_bond_probe_init(struct mk_bond *b);
/** Nothing is known any more, and nobody is asked. */
void mk_bond_probe_end(struct mk_bond *b);
const char *mk_bond_state_name(enum mk_bond_state s);
/** The name of what refuses a subscription, for MK_BY_...; NULL for a clause's index. */
const char *mk_refused_by(int clause);
/** Serves the protocol "status": opening a conversation is the question, one message the answer. */
int mk_network_status_serve(struct mk_network *n);
struct mk_status_answer;
/** Opens a conversation with each of the peers, whose opening is the question and whose first
 * message is the answer; blocks until the one deadline. answers are written anew. */
void mk_network_ask(struct mk_network *n, const char *proto, struct mk_bytes first,
                    const struct mk_peer *peers, struct mk_status_answer *answers, size_t n_answers,
                    uint32_t timeout_ms);
/** A certificate was accepted by the bond's memory: keep it durably (memory.c). */
void mk_bond_remember(struct mk_bond *b, bool now);
/** Links are wanted to the members of the newest roster that the memory knows, too. */
void mk_bond_follow_roster(struct mk_bond *b);
/** The memory of a deployment from disk, or NULL. */
struct mk_reader_memory *mk_bond_recall(struct mk_env *e, const struct mk_id *deployment);
/** The highest Deployment version ever used for a stable id, durably. */
uint64_t mk_bond_recall_version(struct mk_env *e, const struct mk_id *stable_id);
void mk_bond_remember_version(struct mk_env *e, const struct mk_id *stable_id, uint64_t version);

/** The claims of a ticket of an issuer; false: of another kind. Nothing is verified. */
struct mk_claims;
bool mk_shown_claims(struct mk_bytes ticket, struct mk_claims *ret);
/** Copies; the streams and the entry are told by the caller. */
void mk_network_keep_tickets(struct mk_network *n, const struct mk_bytes *tickets,
                             size_t n_tickets);
int mk_network_renewals_serve(struct mk_network *n);
void mk_network_renewals_end(struct mk_network *n);
/** Keeps new revocation lists and judges by them; reads those of an earlier run (revocations.c). */
void mk_network_lists_changed(struct mk_network *n);
void mk_network_lists_recall(struct mk_network *n);

struct mk_standings *mk_standings_new(void);
struct mk_standing *mk_standings_standing(struct mk_standings *s);
/** Closes the bonds: before those of the network end. */
void mk_standings_free(struct mk_standings *s);

/** A deep copy of any datum into arena. */
void mk_datum_copy(void *ret, const struct mk_type *t, const void *value, struct mk_arena *arena);

/* Blocking helpers: run the loop until done or the deadline. */
struct mk_wait {
    bool done;
    int status;
    struct mk_fault fault;
};
bool mk_wait_done(void *wait); /* for mk_loop_run_until() */

#endif
