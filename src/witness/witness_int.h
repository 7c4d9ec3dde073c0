/* witness_int.h - what the files of this folder share.
 *
 * witness.c   opening, the table of peers, the clock      exchange.c  the protocol
 * judge.c     verifying, loading collateral               make.c      our own quotes */
#ifndef WITNESS_WITNESS_INT_H
#define WITNESS_WITNESS_INT_H

#include "witness/wire.h"
#include "witness/witness.h"
#include <mosaik/input.h>

#define PEER_BUCKETS 64u

/** A peer with a link, as far as quotes go; from the first word about them to the link's end. */
struct attested {
    struct mk_witness *w;
    struct mk_list node;   /* w->peers, by age */
    struct attested *next; /* in its bucket */
    struct mk_peer peer;

    /* what they show us */
    struct mk_evidence evidence;
    uint64_t judged_ms;     /* by the wall clock that the verdict went by */
    bool asked;             /* on this link, and not given up */
    struct mk_conv *ask;    /* NULL: none under way */
    uint64_t deadline_ns;   /* of the quote that was asked for */
    uint64_t again_ns;      /* they showed none: not asked before */
    uint8_t data[64];       /* what their quote must carry */
    struct mk_buf quote;    /* kept: it is judged again when the collateral changes */
    struct mk_list judging; /* in w->to_judge */
    unsigned level;         /* of what was verified: 0, TdxLocal or TdxRemote */
    bool published;         /* its measurements are among the published ones */

    /* what we show them */
    struct mk_conv *proof; /* NULL: none under way */
    bool proof_sent;
    struct mk_list making; /* in w->to_make */
    uint8_t our_data[64];
    unsigned n_asks; /* of theirs, since asks_ns */
    uint64_t asks_ns;
    enum { THEIRS_UNKNOWN, THEIRS_BELIEVED, THEIRS_REFUSED } theirs; /* of our quote */
    uint64_t theirs_ns; /* until then it may still come */
    char theirs_why[160];
};

struct mk_witness {
    struct mk_env *env;
    struct mk_net *net;
    struct mk_attestation face;
    struct mk_service service;
    struct mk_net_watch links;
    struct mk_list watches;
    struct mk_list peers;
    struct attested *buckets[PEER_BUCKETS];
    struct mk_timer timer;

    /* our own quotes */
    enum mk_quote_source source;
    char *tsm_dir;
    struct mk_emulator *emulator;
    struct mk_list to_make; /* struct attested.making */
    unsigned n_to_make;
    struct making {
        struct mk_work work;
        bool busy;
        struct attested *of; /* NULL: he went */
        struct mk_witness *w;
        char entry[32];
        uint8_t data[64];
        struct mk_buf quote;
        int status;
        struct mk_fault fault;
    } making;
    uint64_t n_made;

    /* the quotes of others: root and collateral belong to the work while it is busy */
    bool verifies, intel;
    struct mk_quote_root *root;
    struct mk_collateral *collateral;
    struct mk_quote_policy policy;
    struct mk_measurements *published;
    size_t n_published;
    struct staged { /* policy and published, until no work is under way */
        bool is;
        struct mk_quote_policy policy;
        struct mk_measurements *published;
        size_t n_published;
    } staged;
    struct mk_list to_judge; /* struct attested.judging */
    struct judging {
        struct mk_work work;
        bool busy;
        struct mk_witness *w;
        struct mk_list docs; /* struct judged_doc: to be loaded first */
        struct attested *of; /* NULL: none, or he went */
        bool verify;         /* a quote is to be verified in this run */
        struct mk_buf quote;
        uint8_t data[64];
        uint64_t now_s;
        struct mk_evidence evidence; /* the result */
        unsigned level;
        bool published;
        uint64_t generation, expires_s;
        struct mk_fault fault; /* of the loading */
        int load_status;
        bool loaded;
    } judge;
    struct mk_list docs; /* that wait for the next run */
    size_t docs_bytes;
    struct mk_id loaded;               /* hash of the documents of the last loading */
    uint64_t generation, collateral_s; /* as of the last run */
    uint64_t n_verified;
    int (*load)(void *arg, struct mk_collateral_put *p, struct mk_fault *reterr);
    void *load_arg;
    uint64_t reload_ns, reload_at_ns;
    char *fetch;
    struct mk_input fetching;
    bool is_fetching, fetch_failed;
    uint64_t fetch_at_ns; /* not before */
    char fault[256];
};

struct judged_doc {
    struct mk_list node;
    size_t n;
    uint8_t bytes[];
};

/* witness.c */
struct attested *attested_find(struct mk_witness *w, const struct mk_peer *peer);
struct attested *attested_get(struct mk_witness *w, const struct mk_peer *peer);
/** Whoever judges by it is told. */
void witness_tell(struct attested *a);
/** Sets the timer to what is due first. */
void witness_arm(struct mk_witness *w);
void witness_bad(struct attested *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* exchange.c */
void exchange_ask(struct attested *a, struct mk_link *l);
unsigned exchange_accept(struct mk_service *s, struct mk_conv *c, struct mk_bytes first,
                         char detail[MK_REASON_MAX]);
/** Our quote is there (status 0), or cannot be made. */
void exchange_made(struct attested *a, int status, struct mk_bytes quote, const char *why);
/** Theirs was judged: they are told, once. */
void exchange_judged(struct attested *a);
void exchange_end(struct attested *a);

/* make.c */
void make_queue(struct attested *a);
void make_forget(struct attested *a);
void make_close(struct mk_witness *w);

/* judge.c */
void judge_queue(struct attested *a);
void judge_forget(struct attested *a);
/** His quote counts no longer, and is judged no more. */
void judge_drop(struct attested *a);
/** From what was verified and what they said of ours: level, undecided, reason. */
void judge_grade(struct attested *a);
void judge_load(struct mk_witness *w);
/** What was seen of collateral: read back from the directory, and written to it. No work is under
 * way. */
void keep_recall(struct mk_witness *w);
void keep_seen(struct mk_witness *w);
/** Fetches when the collateral ends soon. */
void judge_fetch(struct mk_witness *w);
void judge_close(struct mk_witness *w);

#endif
