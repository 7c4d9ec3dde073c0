/* serve_int.h - what serve.c (surfaces, admission, turns) and serve_reader.c (what one
 * reader is sent) share. */
#ifndef GROUP_SERVE_INT_H
#define GROUP_SERVE_INT_H

#include "base/list.h"
#include "collections/trie.h"
#include "group/serve.h"

/* A map as a marked entry left it, until the certificate of that head comes. */
struct mk_mark {
    uint64_t index;
    struct mk_id commit;
    struct mk_trie map;
};

/* One surface: its newest certificate, and the map that it certifies. */
struct mk_served {
    unsigned n_readers; /* without any, nothing is kept */
    bool certified;
    struct mk_certificate certificate; /* signatures below */
    struct mk_peer_signature signatures[MK_ROSTER_MAX];
    struct mk_trie map;
    struct mk_mark *marks; /* ring, oldest first; maps only */
    unsigned first, n_marks;
};

enum mk_reader_state {
    MK_READER_START,    /* waits for a certificate that says where to begin */
    MK_READER_SNAPSHOT, /* items go out */
    MK_READER_FOLLOWS,  /* commits and certificates go out; or look-ups alone */
};

struct mk_asked {
    uint64_t id;
    uint8_t *key;
    size_t n_key;
};

struct mk_serve_reader {
    struct mk_list node;
    struct mk_serve *serve;
    struct mk_conv *conv;
    unsigned surface;
    enum mk_reader_state state;
    struct mk_from from;          /* where it wants to begin, or to begin again */
    bool blocked;                 /* no credit: writable() comes */
    uint64_t epoch;               /* the newest it knows */
    uint64_t next;                /* commit to be sent next */
    struct mk_trie snap;          /* SNAPSHOT: what is sent, from which index on */
    struct mk_trie_walk *snap_at; /* what comes next of it */
    bool any_sent;                /* a certificate went out: */
    uint64_t sent_index, sent_ms;
    struct mk_asked asked[MK_SERVE_LOOKUPS_MAX];
    unsigned n_asked;
    struct mk_arena tickets_mem;
    struct mk_bearer bearer;
    uint64_t expires_ms;
};

struct mk_serve {
    struct mk_env *env;
    struct mk_serve_host *host;
    struct mk_served *v; /* [MK_SURFACES_MAX]; NULL until a first reader came */
    struct mk_list readers;
    unsigned n_readers;
    struct mk_task task;
    struct mk_timer again;  /* the turn's budget was used up */
    struct mk_timer expiry; /* of an admission */
    struct mk_buf scratch;
    struct mk_serve_stats stats;
};

/** Sends what this reader can take of at most budget bytes; returns the bytes sent. May end the
 * reader. */
size_t mk_serve_reader_turn(struct mk_serve_reader *r, size_t budget);
/** Frees it; the conversation is closed by the caller, or is over. */
void mk_serve_reader_free(struct mk_serve_reader *r);
/** Begins anew, from where it is. */
void mk_serve_reader_restart(struct mk_serve_reader *r);
void mk_serve_wake(struct mk_serve *s);
/** A surface's first reader came, its last one went. */
void mk_serve_begin(struct mk_serve *s, unsigned surface);
void mk_serve_end(struct mk_serve *s, unsigned surface);

extern const struct mk_conv_cbs mk_serve_reader_cbs;

#endif
