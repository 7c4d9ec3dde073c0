/* net_int.h - the inside of a net, for the files of this folder.
 *
 *   connection -> GREETING -> WAITING -> UP -> CLOSING -> LINGERING -> gone
 *                     |          |                ^
 *                     '----------'----------------'     (refused, failed)
 *
 *   GREETING   the channel's handshake runs, then our hello is out, theirs not in
 *   WAITING    both hellos are in; the peer with the lesser id says READY, or
 *              asks an older link whether it still lives
 *   UP         conversations
 *   CLOSING    decided; the end of the turn tells the other side and the users
 *   LINGERING  the reason is on its way; what still comes is thrown away
 *
 * Suspended in: GREETING and WAITING (net->greeting), UP (net->links), LINGERING
 * (net->ending), each until bytes, the end of the connection or the net's timer. */
#ifndef NET_NET_INT_H
#define NET_NET_INT_H

#include "base/assert.h"
#include "net/chan.h"
#include "net/frame.h"
#include "net/net.h"

/* A conversation has this much more credit than MK_NET_WINDOW, so that credit can
 * be given back in steps of it without ever stopping a message of the greatest size. */
#define NET_CREDIT_STEP (64u * 1024)
#define NET_CREDIT_MAX (MK_NET_WINDOW + NET_CREDIT_STEP)

#define NET_QUEUE_MAX (8u << 20)             /* bytes of messages queued on a link */
#define NET_CONTROL_MAX (256u * 1024)        /* bytes of control frames that a slow reader leaves */
#define NET_PARTIALS_MAX 4u                  /* unfinished messages on a link, each direction */
#define NET_STAGE_MAX (64u * 1024)           /* plaintext encrypted and written at once */
#define NET_PLAIN_MAX (64u * 1024)           /* plaintext parsed at once */
#define NET_LINGER_MS 1000u                  /* for the reason of a close to arrive */
#define NET_ENDING_MAX 64u                   /* lingering links */
#define NET_PROBE_MS 500u                    /* for an older link to show that it lives */
#define NET_EVICT_MS 1000u                   /* handshakes older than this give way to new ones */
#define NET_LOBBY_MAX 512u                   /* inbound connections that have not said anything */
#define NET_LOBBY_SOURCE_MAX 256u            /* of those, from one address */
#define NET_STRANGERS_MAX 512u               /* inbound links on which nothing was accepted yet */
#define NET_WAITING_MAX 256u                 /* inbound links that wait for a READY, or contend */
#define NET_PARTIAL_MAX (256u << 20)         /* bytes of unfinished messages in a net */
#define NET_PARTIAL_STRANGERS_MAX (8u << 20) /* of those, on strangers' links */
#define NET_PROBATION_MAX 8u                 /* handshakes at once of addresses over their limit */
#define NET_PROBATION_MS 100u                /* how long each has at least */
#define NET_PROBATION_BEGUN_MS 10u           /* ... which sent less than ... */
#define NET_HELLO_MIN 64u                    /* bytes of TLS's first message */
#define NET_FEW 8u                           /* handshakes of an address that floods nobody */
#define NET_SOURCES 64u                      /* source addresses remembered */
#define NET_SOURCE_MS 10000u
#define NET_DIAL_MIN_MS 50u
#define NET_DIAL_MAX_MS 5000u
#define NET_DIAL_ADDRESSES_MAX 16u
#define NET_PEER_BUCKETS 256u

_Static_assert(MK_NET_MESSAGE_MAX <= MK_NET_WINDOW, "a whole message must fit in the credit");
_Static_assert(NET_PLAIN_MAX >= 2 * (MK_FRAME_HEADER + MK_FRAME_BODY_MAX), "a frame must fit");
_Static_assert(MK_CLOSE_FORGOT < MK_NET_CLOSES, "each close code has a counter");

struct net_source {
    char host[64];
    uint64_t since_ns;
    unsigned n, n_strangers;
};

struct net_listener {
    struct mk_listener listener;
    struct mk_net *net;
    struct mk_list node;
};

struct mk_net {
    struct mk_env *env;
    const struct mk_key *key;
    struct mk_id network;
    bool closing;
    struct mk_tls *tls; /* NULL: vouched */
    uint8_t instance[MK_FRAME_INSTANCE];
    struct mk_list listeners, services, watchers, dialers;
    struct mk_list besides;      /* networks behind our listeners */
    struct mk_list beside;       /* in those of the shared one */
    struct mk_net_beside inside; /* of a network beside: who comes in */
    bool vouched;
    struct mk_list lobby;                    /* of connections without a byte, oldest first */
    struct mk_list greeting, links, ending;  /* of struct mk_link, oldest first */
    struct mk_link *peers[NET_PEER_BUCKETS]; /* links that are UP */
    uint32_t handshake_ms;
    struct mk_protocols protocols;
    unsigned n_lobby;
    unsigned n_handshakes; /* inbound, not authenticated */
    unsigned n_probation;  /* of those, from addresses over their limit */
    unsigned n_waiting;    /* inbound, their hello is in, not up */
    unsigned n_inbound, n_strangers, n_ending;
    size_t partial, partial_strangers; /* bytes */
    struct net_source sources[NET_SOURCES];
    struct mk_timer timer;
    uint64_t timer_at;
    uint8_t *plain;      /* NET_PLAIN_MAX, while a link reads */
    struct mk_buf stage; /* plaintext on its way out, within one flush */
    struct mk_buf wire;  /* the same encrypted */
    struct mk_net_stats stats;
};

enum link_state { LINK_GREETING, LINK_WAITING, LINK_UP, LINK_CLOSING, LINK_LINGERING };

struct net_dialer;

struct mk_link {
    struct mk_net *net;
    struct mk_sock *sock;
    struct mk_chan *chan; /* NULL once lingering */
    enum link_state state;
    bool dialed;    /* by us */
    bool known;     /* the channel has shown who it is, and the hello came */
    bool probation; /* from an address over its limit, among few of them at once */
    bool was_up, won, tell, sock_ended, sock_full;
    bool greeted;              /* our hello is on its way */
    bool stranger;             /* inbound, nothing accepted or opened by us yet */
    struct net_dialer *dialer; /* whose attempt this is, until it is up or fails */
    struct mk_peer peer, expected;
    uint8_t instance[MK_FRAME_INSTANCE];
    struct mk_protocols protocols; /* the other side's */
    struct mk_list node;
    struct mk_link *peer_next;
    struct mk_task task;
    uint64_t since_ns, deadline_ns, heard_ns;
    size_t early; /* bytes before the hello */

    bool ping_out, pong_due;
    uint64_t ping_ns, pong_token;
    uint32_t rtt_us;

    struct mk_buf tail; /* the beginning of a frame */
    struct mk_buf ctl;  /* control frames to send */

    struct conv **slots; /* by id */
    size_t n_slots, n_convs, n_convs_theirs, n_convs_ours;
    uint32_t next_ours, next_theirs; /* ids: odd ones belong to the dialing side */
    struct mk_list convs;            /* all, in no order that matters */
    struct mk_list active;           /* with something to send, served in turn */
    struct mk_list credits;          /* with credit to give back */
    struct mk_list waiting;          /* told MK_EFULL */
    struct mk_list ready;            /* of those, to be told writable */
    size_t queued;                   /* bytes of messages */
    bool queue_blocked;              /* somebody waits for it to shrink */
    unsigned partials_in, partials_out;

    unsigned close;
    char detail[MK_REASON_MAX];
    char remote[80];
};

/* conv.c */
struct conv {
    struct mk_conv pub;
    uint32_t id; /* 0 until the OPEN is sent */
    bool ours, accepted, opening, ended;
    bool in_partial, partial_strange; /* an unfinished message is kept here */
    bool out_partial;                 /* one of ours is under way in pieces */
    char proto[MK_NET_PROTO_MAX + 1];
    struct conv *slot_next;
    struct mk_list node, active, credit, wait;
    struct mk_buf out;       /* u32 length and bytes, again and again */
    size_t out_at, out_left; /* out_left: bytes of the message begun that are still to go */
    size_t out_queued;       /* this one's part of link->queued */
    bool out_begun;
    uint32_t send_credit, recv_credit, owed;
    size_t held; /* delivered, not given back */
    size_t want; /* bytes that did not fit */
    struct mk_buf partial;
    unsigned close;
    char *detail;
};

void conv_recv(struct mk_link *l, const struct mk_frame *f);
/** Appends frames of the conversation at the head of the turn to net->stage. */
void conv_emit_next(struct mk_link *l);
void conv_emit_credits(struct mk_link *l);
void conv_wake_waiting(struct mk_link *l);
void conv_run_ready(struct mk_link *l);
/** Ends all with the link's close; their closed() runs. */
void conv_end_all(struct mk_link *l);

/* link.c */
struct mk_link *link_new(struct mk_net *net, struct mk_sock *s, bool dialed);
void link_start(struct mk_link *l);
/** Bytes that came before it had the socket. */
void link_feed_first(struct mk_link *l, struct mk_bytes first);
/** What a link does at the end of a turn: ends, or sends. */
void link_advance(struct mk_link *l);
void link_later(struct mk_link *l);
void link_ping(struct mk_link *l);
/** What it has to say by itself (a pong, control frames, credits) goes to net->stage. */
void link_stage_control(struct mk_link *l);
/** Encrypts and sends what is staged. */
void link_send_stage(struct mk_link *l);
/** Sends what is encrypted. */
void link_send_wire(struct mk_link *l);
/** The moment at which the timer must look at it; acts when it has passed. */
uint64_t link_tick(struct mk_link *l, uint64_t now);

/* link_greet.c */
/** The channel is through: compare, and say hello, or wait for the other side's. */
void link_greet(struct mk_link *l);
void link_recv_hello(struct mk_link *l, const struct mk_frame *f);
void link_recv_ready(struct mk_link *l);
/** It may take the place of an older link to the same peer, which did not show that it lives. */
void link_win(struct mk_link *l);
/** From waiting to up; or judged once more, when another one took the place meanwhile. */
void link_up(struct mk_link *l);
/** An outbound link that nobody needs is closed. */
void link_check_use(struct mk_link *l);

/* link_end.c */
/** The one way to an end. tell: the other side gets the reason. Idempotent. */
void link_fail(struct mk_link *l, unsigned close, bool tell, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Ends one that has failed: tells, frees it now or after it has lingered. */
void link_finish(struct mk_link *l);
/** A link of the same peer whose end is not told yet is told first, so that watchers see down and
 * up in the order in which they happened. */
void link_tell_older(struct mk_link *l);
void link_free(struct mk_link *l);

/* table.c */
struct mk_link *table_find(struct mk_net *net, const struct mk_peer *peer);
void table_add(struct mk_link *l);
void table_remove(struct mk_link *l);
/** The lesser id judges: up, a contender, or a duplicate. */
void table_judge(struct mk_link *l);
/** The link is gone or lives: what becomes of its contenders? */
void table_settle(struct mk_net *net, const struct mk_peer *peer, bool lives);

/* net.c */
void net_wake_at(struct mk_net *net, uint64_t at_ns);
/** It, or the one beside it that has that name; NULL: neither. */
struct mk_net *net_named(struct mk_net *net, const struct mk_id *network);
void net_notify_up(struct mk_link *l);
void net_notify_down(struct mk_link *l);
void net_notify_refused(struct mk_link *l);
struct mk_service *net_service(struct mk_net *net, struct mk_str proto);
void net_count_refusal(struct mk_net *net, unsigned close, const char *remote, const char *detail);

/** Bytes came on an inbound connection: a link of it, or its end. s is taken, first is lent. */
void net_admit(struct mk_net *net, struct mk_sock *s, struct mk_bytes first);

/* lobby.c */
/** s, which is taken, waits for its first bytes. */
void lobby_enter(struct mk_net *net, struct mk_sock *s);
uint64_t lobby_tick(struct mk_net *net, uint64_t now);
void lobby_end(struct mk_net *net);

/* source.c */
/** "host:port" without the port. */
void source_host(const char *remote, char host[64]);
/** The same host, whatever the ports. */
bool source_is_same(const char *a, const char *b);
/** Whether one more connection from remote is tolerable; counts it. */
bool source_admit(struct mk_net *net, const char *remote);
/** It has shown who it is: not counted any longer. */
void source_known(struct mk_net *net, const char *remote);
/** A peer that we do not dial has come in from there: whether that is tolerable; counts it. */
bool source_stranger(struct mk_net *net, const char *remote);

/* dial.c */
void dial_link_up(struct mk_net *net, struct mk_link *l);
void dial_link_down(struct mk_net *net, struct mk_link *l);
bool dial_wanted(struct mk_net *net, const struct mk_peer *peer);
uint64_t dial_tick(struct mk_net *net, uint64_t now);
void dial_stop_all(struct mk_net *net);

#endif /* NET_NET_INT_H */
