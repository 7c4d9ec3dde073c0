/* stream.h - a producer's stream: direct, from one peer to its subscribers, nobody else
 * vouches for it (spec/committees.md, "Two kinds of stream").
 *
 *   producer --ring of the retained items--> a cursor each subscriber --credit--> consumer
 *
 * A subscriber is a cursor into the producer's ring, so a slow one costs the producer
 * nothing but the ring and what its credit lets be under way (MK_NET_WINDOW, 1 MiB, and a
 * step of it). When the ring laps it, the declared policy says what happens: it is closed
 * with a reason, or it skips and is told which items it lost.
 *
 * Order is kept for each producer. Items have sequence numbers from 1, in each run of the
 * producer; a consumer that comes back says which run it knows and what it had, and gets
 * what followed. What the producer does not retain any more it is told in lost(); that the
 * producer began anew it is told in restarted(). Nothing is ever left out in silence.
 *
 * Items that are sent in one turn of the loop travel together, one alone goes at once: no
 * waiting for a batch to fill.
 *
 * What a stream carries is declared once for both sides, as a mk_surface_spec (machine.h) of kind
 * MK_SURFACE_STREAM: surface = mk_surface_id(&spec, &stable_id), which holds the items' schema,
 * so that sides with different ones never meet.
 *
 * Everybody judges for himself: the producer its subscribers (options.acl with GateReaders),
 * the consumer its producer (options.acl, scope WRITE). A refusal names the clause; a ticket
 * that ends, ends the subscription when it does.
 *
 * All calls belong to the loop's thread. Callbacks never come from inside a call. From inside
 * a callback every call is allowed, closing included, except those that block. */
#ifndef MOSAIK_STREAM_H
#define MOSAIK_STREAM_H

#include <mosaik/network.h>
#include <mosaik/ticket.h>

#define MK_STREAM_ITEM_MAX (256u << 10)
#define MK_STREAM_PEER_MAX 16u /* subscriptions of one peer to one producer; above it BUSY */

struct mk_producer;
struct mk_consumer;

/** A rule of the program's own about the other side, asked after the ACL has admitted it: tags
 * that it should have, a round trip that it should keep to. rtt_us is 0 while not known (it is
 * measured when a link comes up). When it does not admit, reason (256 bytes, empty before) may say
 * why; the other side reads it, after "rule: ". Asked again with the ACL, and when the program
 * says so. Must not call into streams. */
struct mk_stream_rule {
    bool (*admits)(struct mk_stream_rule *r, const struct mk_bearer *b, uint32_t rtt_us,
                   char reason[256]);
    /** admits may set it when it refuses for now, since what it asks for is not known here yet
     * (false before each call): counted apart, MK_BY_UNKNOWN. */
    bool unknown;
};

/** A rule by tags: the other side's entry must show each of these words. Who is tagged, or loses a
 * tag, is judged again at once when its entry comes; until it comes for the first time the refusal
 * is MK_BY_UNKNOWN. */
struct mk_tag_rule {
    struct mk_stream_rule rule; /* &r.rule is what the options take */
    struct mk_network *network; /* private from here on */
    const struct mk_str *words;
    size_t n_words;
};
/** words, and what they point to, borrowed for as long as the rule is in use. */
void mk_tag_rule_init(struct mk_tag_rule *r, struct mk_network *n, const struct mk_str *words,
                      size_t n_words);

/* --- producers --------------------------------------------------------------------------- */

enum mk_slow { MK_SLOW_CLOSE /* with MK_CLOSE_SLOW */, MK_SLOW_DROP /* and tell which */ };

struct mk_producer_options {
    struct mk_id surface;   /* surface id (identity.md), kind stream */
    struct mk_id stable_id; /* a ticket's aud */
    const struct mk_acl_composition
        *acl;                /* who may subscribe, when it holds GateReaders; copied; NULL: OPEN */
    struct mk_id own_issuer; /* for the clause RecogniseOwnIssuer; zero: none */
    struct mk_issuers *issuers;  /* NULL: the network's own book */
    struct mk_stream_rule *rule; /* borrowed; NULL: none */
    uint32_t retain_items;       /* 0: 65,536 */
    uint32_t retain_bytes;       /* 0: 16 MiB; at least one item of the largest size */
    uint32_t retain_ms;          /* older items are dropped; 0: at no age */
    uint32_t subscribers_max;    /* 0: 1,024; above it the newest is refused, BUSY */
    uint32_t online_at;          /* subscribers with which it counts as online; 0: 1 */
    enum mk_slow slow;
};
/** 0; MK_EEXISTS: this network handle has a producer of that surface. */
int mk_producer_open(struct mk_network *n, struct mk_producer **ret,
                     const struct mk_producer_options *o);
/** Subscribers are closed with MK_CLOSE_SHUTDOWN. Conditions on it are stopped. */
void mk_producer_close(struct mk_producer *p);
/** Appends one item (copied) for every subscriber, now and to come; never blocks, never fails
 * for a slow one or for want of any. Returns its sequence number, from 1. MK_STREAM_ITEM_MAX
 * bounds it (asserted: our own mistake). */
uint64_t mk_producer_send(struct mk_producer *p, struct mk_bytes item);

/** The same with a value, as pc(value). */
uint64_t mk_producer_send_datum(struct mk_producer *p, const struct mk_type *t, const void *value);

struct mk_producer_stats {
    uint64_t sent, bytes; /* items sent, and their bytes, without framing */
    unsigned subscribers;
    uint64_t dropped;                        /* items skipped for slow subscribers, over all */
    uint64_t closed_slow;                    /* subscribers closed by the policy */
    uint64_t lag_items_max;                  /* the furthest behind; 0: all caught up */
    uint64_t delivered;                      /* items handed to links, over all subscribers */
    uint64_t missed;                         /* items gone before a subscriber came back for them */
    uint64_t subscribed, refused, expired;   /* subscriptions so far: made, refused, ended */
    uint64_t retained_items, retained_bytes; /* now */
};
/** As of now. */
void mk_producer_stats(const struct mk_producer *p, struct mk_producer_stats *ret);

struct mk_subscriber_stats {
    struct mk_peer peer;
    uint64_t since_ms; /* unix time */
    uint64_t delivered, delivered_bytes;
    uint64_t dropped, missed;
    uint64_t lag_items, lag_bytes,
        lag_ms;          /* behind the newest; age of the next item it waits for */
    uint64_t expires_ms; /* when it is judged again; UINT64_MAX: never */
    bool stalled;        /* no credit: it does not read, or not fast enough */
};
/** The i-th subscriber, in the order in which they came; false past the last. */
bool mk_producer_subscriber(const struct mk_producer *p, unsigned i,
                            struct mk_subscriber_stats *ret);
/** What refused subscribers, one by clause, in the order in which they first did. */
#define MK_STREAM_REFUSALS_MAX 8u
#define MK_BY_RULE (-1)    /* the program's own rule */
#define MK_BY_LIMIT (-2)   /* subscribers_max, or MK_STREAM_PEER_MAX */
#define MK_BY_UNKNOWN (-3) /* that rule, while what it asks for is not known here yet */
struct mk_stream_refusal {
    int clause;          /* index in the ACL, or one of those above */
    uint64_t count;      /* since it opened: refused, and closed when their admission ended */
    struct mk_peer peer; /* the last one */
    char reason[256];    /* that the last one was told */
};
/** false past the last. */
bool mk_producer_refusal(const struct mk_producer *p, unsigned i, struct mk_stream_refusal *ret);
/** What the rule or the issuers go by has changed: judges each subscriber now. */
void mk_producer_judge_again(struct mk_producer *p);
/** Whether it has as many subscribers as options.online_at asks for. */
bool mk_producer_is_online(const struct mk_producer *p);

/** A condition on a producer. Set kind, n and cb; the rest is private.
 *
 *  MK_WHEN_SUBSCRIBED  it has at least n subscribers
 *  MK_WHEN_ONLINE      as many as options.online_at (n is not used)
 *  MK_WHEN_WITHIN      no subscriber is more than n items behind: what a producer waits for
 *                      that would rather be slow than lose a slow subscriber */
enum mk_producer_condition { MK_WHEN_SUBSCRIBED, MK_WHEN_ONLINE, MK_WHEN_WITHIN };
struct mk_producer_when {
    enum mk_producer_condition kind;
    uint64_t n;
    void (*cb)(struct mk_producer_when *w, struct mk_producer *p, bool holds);
    bool holds, checked;
    struct mk_producer *producer;
    struct mk_producer_when *next;
};
/** Calls w->cb in a later turn when the condition holds, which may be at once, and from then on
 * whenever that changes, until it is stopped. w is borrowed until then. */
void mk_producer_when(struct mk_producer *p, struct mk_producer_when *w);
/** Safe on one that was stopped, or zeroed. */
void mk_producer_when_stop(struct mk_producer_when *w);
/** Blocks until it has at least n subscribers: 0, or MK_ETIMEDOUT. */
int mk_producer_wait_subscribed(struct mk_producer *p, unsigned n, uint32_t timeout_ms);

/* --- consumers --------------------------------------------------------------------------- */

struct mk_consumer_cbs {
    void (*item)(struct mk_consumer *c, uint64_t seq, struct mk_bytes item); /* lent, ascending */
    /** Items first..last were lost: dropped by the policy, or no longer retained when we came
     * back. May be NULL. */
    void (*lost)(struct mk_consumer *c, uint64_t first, uint64_t last);
    /** Link state; the consumer reconnects by itself and resumes after the last item it
     * delivered. close and detail say why it is not subscribed: for MK_CLOSE_REFUSED and
     * MK_CLOSE_EXPIRED the clause. May be NULL. */
    void (*state)(struct mk_consumer *c, bool subscribed, unsigned close, const char *detail);
    /** The producer began anew: its numbers start over, and what of the run before had not come
     * never will. What follows begins with the oldest that the new run retains. May be NULL. */
    void (*restarted)(struct mk_consumer *c);
};
struct mk_consumer_options {
    struct mk_id surface;
    struct mk_peer producer;
    const char *address; /* "host:port" hint; NULL: discovery */
    uint64_t after;      /* resume after this sequence number; 0 with from_newest false: the oldest
                            retained */
    uint64_t run;        /* the run that it is of (mk_consumer_cursor); 0: whatever runs now */
    bool from_newest;
    struct mk_id stable_id;               /* of the producer's component: its tickets' aud */
    const struct mk_acl_composition *acl; /* what the producer must show; copied; NULL: OPEN */
    struct mk_id own_issuer;
    struct mk_issuers *issuers;  /* NULL: the network's own book */
    struct mk_stream_rule *rule; /* borrowed; NULL: none */
};
/** 0 at once; it subscribes when it reaches the producer, and again whenever a link breaks, and
 * says so (state). Options are copied but where they say borrowed; cbs is copied, with an item().
 */
int mk_consumer_open(struct mk_network *n, struct mk_consumer **ret,
                     const struct mk_consumer_options *o, const struct mk_consumer_cbs *cbs,
                     void *owner);
/** Ends it, from a callback too; no call comes after it. What it was given and whose items it
 * takes: lent. */
void mk_consumer_close(struct mk_consumer *c);
void *mk_consumer_owner(const struct mk_consumer *c);
const struct mk_peer *mk_consumer_producer(const struct mk_consumer *c);
/** Stops reading: credit runs out, the producer keeps our cursor. From inside item(), nothing
 * more comes until it goes on. */
void mk_consumer_pause(struct mk_consumer *c, bool paused);

/** What the rule or the issuers go by has changed: judges the producer, in a later turn. */
void mk_consumer_judge_again(struct mk_consumer *c);

/** Where it stands: keep it, and open with run and after to go on there another time. */
struct mk_stream_cursor {
    uint64_t run;  /* 0: nothing came yet */
    uint64_t last; /* delivered, or told lost */
};
/** Where it stands: to be kept, and given as run and after of a later consumer. */
void mk_consumer_cursor(const struct mk_consumer *c, struct mk_stream_cursor *ret);

struct mk_consumer_stats {
    bool subscribed;
    uint64_t items, bytes; /* delivered */
    uint64_t lost;         /* items told lost */
    uint64_t subscriptions, refusals, restarts;
    uint64_t newest;    /* the producer's newest item that we know of */
    uint64_t lag_items; /* that have not been delivered of those */
};
/** As of now. */
void mk_consumer_stats(const struct mk_consumer *c, struct mk_consumer_stats *ret);
/** Why it is not subscribed: what state() was told last, "" while it is. Lent until the loop is
 * entered again. */
const char *mk_consumer_why(const struct mk_consumer *c);
/** Blocks until it is subscribed: 0; MK_EREFUSED with the clause when one side's validator says
 * no; MK_ETIMEDOUT with the last reason. */
int mk_consumer_wait_subscribed(struct mk_consumer *c, uint32_t timeout_ms,
                                struct mk_fault *reterr);

/* --- several producers of one stream ------------------------------------------------------ */

/** A consumer for each peer whose entry offers the surface, as they come and go: a producer that
 * listens offers its surface by being open. Order is kept for each, and one that comes back is
 * resumed where it stood. */
struct mk_gather;
struct mk_gather_options {
    struct mk_consumer_options consumer; /* for each; producer, address, after, run are not used */
    unsigned producers_max;              /* subscribed to at once; 0: 64 */
};
/** cbs and owner as for mk_consumer_open(); the consumers are ours: pause them, ask them
 * (mk_consumer_producer), but do not close them. */
int mk_gather_open(struct mk_network *n, struct mk_gather **ret, const struct mk_gather_options *o,
                   const struct mk_consumer_cbs *cbs, void *owner);
/** Closes its consumers too. */
void mk_gather_close(struct mk_gather *g);
/** How many producers it is subscribed to now. */
unsigned mk_gather_subscribed(const struct mk_gather *g);

#endif /* MOSAIK_STREAM_H */
