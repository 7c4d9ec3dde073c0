/* ffi.h - the library as other languages see it: functions alone, with numbers, texts and
 * opaque handles, exported from libmosaik_ffi.so. python/mosaik is written on it.
 *
 * Rules of every function: an int result is 0 or a MK_E code, and then err, which has room
 * for MK_FAULT_MAX bytes, has one line of text. Texts are terminated, ids and peers are hex
 * digits. Bytes that come back are lent from the agent until its next call. An agent and all
 * that hangs on it belongs to one thread at a time. Calls with a timeout run the loop. */
#ifndef FFI_FFI_H
#define FFI_FFI_H

#include <mosaik/collection.h>
#include <mosaik/feed.h>
#include <mosaik/loop.h>
#include <mosaik/network.h>
#include <mosaik/node.h>
#include <mosaik/stream.h>
#include <mosaik/when.h>

#define MKF __attribute__((visibility("default")))

struct mkf_bytes {
    const uint8_t *p;
    size_t n;
};

/* --- agents: a loop, a network handle, perhaps a node (network.c) ------------------------ */

struct mkf_agent {
    struct mk_env *loop;
    struct mk_network *net;
    struct mk_node *node; /* NULL: an agent without components */
    struct mk_key key;
    struct mk_buf lent;    /* what came back last */
    struct mk_arena arena; /* what components borrow */
};

MKF const char *mkf_version(void);
MKF const char *mkf_error(int code);
/** dir NULL: nothing on disk. seed: 32 bytes, or NULL for a fresh key. listen NULL: dials only.
 * components: it may run them (dir and listen are needed). */
MKF int mkf_agent_open(struct mkf_agent **ret, const char *dir, const uint8_t *seed,
                       const char *listen, const char *const *hints, size_t n_hints,
                       const struct mkf_bytes *tickets, size_t n_tickets, bool components,
                       char *err);
MKF void mkf_agent_close(struct mkf_agent *a); /* closes all that hangs on it */
MKF void mkf_agent_peer(const struct mkf_agent *a, char hex[MK_ID_HEX]);
/** The words that its entry shows from now on. */
MKF int mkf_agent_tag(struct mkf_agent *a, const char *const *tags, size_t n, char *err);
MKF bool mkf_agent_tagged(struct mkf_agent *a, const char *peer, const char *tag_id);
MKF unsigned mkf_agent_peers(struct mkf_agent *a);
MKF int mkf_agent_sync(struct mkf_agent *a, const char *address, uint32_t timeout_ms, char *err);
MKF uint16_t mkf_agent_port(const struct mkf_agent *a);
/** Other tickets in the place of those that were given (network.h, mk_network_renew). */
MKF int mkf_agent_renew(struct mkf_agent *a, const struct mkf_bytes *tickets, size_t n_tickets,
                        char *err);
/** Runs the loop for so long. */
MKF void mkf_agent_run(struct mkf_agent *a, uint32_t ms);
/** What the agent says of itself, JSON (docs/cli.md, `status`). */
MKF void mkf_agent_status(struct mkf_agent *a, struct mkf_bytes *ret);

/* --- ids ----------------------------------------------------------------------------------- */

MKF void mkf_id(const char *text, char hex[MK_ID_HEX]);
MKF void mkf_key_peer(const uint8_t seed[32], char hex[MK_ID_HEX]);

/* --- bonds ---------------------------------------------------------------------------------- */

/** By what a coalition file says of the component: a module's kind, or an organism's role. Hints of
 * the file are taken. expect: the fingerprint that the file must have, or NULL. */
MKF int mkf_bind_file(struct mkf_agent *a, struct mk_bond **ret, const char *path,
                      const char *component, const char *expect, char *err);
/** By its first roster: addresses "<peer>@host:port" of every member. */
MKF int mkf_bind(struct mkf_agent *a, struct mk_bond **ret, const char *label,
                 const char *stable_id, const char *deployment, const char *content,
                 const char *const *addresses, size_t n, char *err);
MKF int mkf_bond_wait(struct mk_bond *b, uint32_t timeout_ms, char *err);
MKF void mkf_bond_close(struct mk_bond *b);
/** One of `bonds` of mkf_agent_status(). */
MKF void mkf_bond_status(struct mkf_agent *a, const struct mk_bond *b, struct mkf_bytes *ret);
/** The course of the next write (network.h, mk_bond_trace_begin). */
MKF void mkf_bond_trace_begin(struct mk_bond *b, uint32_t timeout_ms);
/** A JSON list, one object a member. */
MKF void mkf_bond_trace_end(struct mkf_agent *a, struct mk_bond *b, uint32_t timeout_ms,
                            struct mkf_bytes *ret);
/** The fingerprint of a coalition file. */
MKF int mkf_file_id(const char *path, char hex[MK_ID_HEX], char *err);

/* --- surfaces -------------------------------------------------------------------------------- */

struct mkf_surface;

/** kind "map" .. "queue", "stream"; key and value by the name of their type: bytes, str, u64, i64,
 * bool, f64, id, peer, member_id, AtlasCard, PriceTick, Score, Settlement; key NULL where there is
 * none. capacity: of a queue. retain_...: what its members keep for readers, 0: the defaults. */
MKF int mkf_surface_new(struct mkf_surface **ret, const char *kind, const char *name,
                        const char *key, const char *value, uint64_t capacity,
                        uint32_t retain_commits, uint32_t retain_bytes, char *err);
MKF void mkf_surface_free(struct mkf_surface *s);
const struct mk_surface_spec *mkf_spec(const struct mkf_surface *s);
/** A value of a named type as JSON text. */
MKF int mkf_json(struct mkf_agent *a, const char *type, const uint8_t *p, size_t n,
                 struct mkf_bytes *ret, char *err);
const struct mk_type *mkf_type(const char *name); /* NULL: none of that name */

/* --- components of collections (node.c) ---------------------------------------------------------
 */

/** A member of a committee whose component is collections. acl: pc(AclComposition), or NULL: OPEN.
 * retention: as in a node's file ("7d, 512MiB"), or NULL: as declared. */
MKF int mkf_component_add(struct mkf_agent *a, const char *label, const char *stable_id,
                          const char *deployment, const char *content, const char *const *addresses,
                          size_t n, struct mkf_surface *const *surfaces, size_t n_surfaces,
                          const uint8_t *acl, size_t acl_n, const char *retention, bool found,
                          char *err);

/* --- collections
 * ------------------------------------------------------------------------------------ */

/** op: pc(Op). step: 0 committed, 1 certified. */
MKF int mkf_write(struct mk_bond *b, const struct mkf_surface *s, const uint8_t *op, size_t n,
                  int step, uint32_t timeout_ms, uint64_t *ret_version, bool *ret_changed,
                  char *err);
MKF int mkf_collection_open(struct mk_bond *b, struct mk_collection **ret,
                            const struct mkf_surface *s, char *err);
MKF void mkf_collection_close(struct mk_collection *c);
MKF bool mkf_collection_online(const struct mk_collection *c);
MKF uint64_t mkf_collection_version(const struct mk_collection *c);
MKF int mkf_collection_wait(struct mk_collection *c, uint64_t version, uint32_t timeout_ms,
                            char *err);
MKF size_t mkf_collection_count(const struct mk_collection *c);
/** MK_ENOTFOUND: no such key, or it is offline. */
MKF int mkf_collection_get(const struct mk_collection *c, const uint8_t *key, size_t n,
                           struct mkf_bytes *ret);
/** cursor: 32 zero bytes first. */
MKF bool mkf_collection_next(const struct mk_collection *c, uint8_t cursor[32],
                             struct mkf_bytes *ret_key, struct mkf_bytes *ret_value);
MKF int mkf_vec_at(const struct mk_collection *c, uint64_t index, struct mkf_bytes *ret);
MKF int mkf_queue_at(const struct mk_collection *c, uint64_t rank, uint64_t *ret_priority,
                     struct mkf_bytes *ret_key, struct mkf_bytes *ret_value);
MKF int mkf_queue_priority(const struct mk_collection *c, const uint8_t *key, size_t n,
                           uint64_t *ret);
/** One entry with a proof, without following; key as in mk_collection_lookup_wait(). MK_ENOTFOUND:
 * proven absent. */
MKF int mkf_lookup(struct mkf_agent *a, struct mk_bond *b, const struct mkf_surface *s,
                   const uint8_t *key, size_t n, uint64_t max_age_ms, uint32_t timeout_ms,
                   struct mkf_bytes *ret, char *err);

/* --- streams (streams.c)
 * ------------------------------------------------------------------------------ */

/* A cursor is a text, to be kept and given as `after` in another process; "": nothing is known yet.
 */

/** from: 0 the oldest retained, 1 the newest, where `after` is NULL. */
MKF int mkf_feed_open(struct mk_bond *b, struct mk_feed **ret, const struct mkf_surface *s,
                      int from, const char *after, char *err);
MKF void mkf_feed_close(struct mk_feed *f);
/** *ret_lost: how many before it were not retained any more. *ret_anew: it is the first of another
 * deployment than the one before it, or the cursor. */
MKF int mkf_feed_next(struct mkf_agent *a, struct mk_feed *f, uint32_t timeout_ms,
                      uint64_t *ret_index, uint64_t *ret_lost, bool *ret_anew,
                      struct mkf_bytes *ret, char *err);
MKF void mkf_feed_cursor(struct mkf_agent *a, const struct mk_feed *f, struct mkf_bytes *ret);

/** As struct mk_producer_options has them, 0: the default. slow: "close" or "drop". */
struct mkf_limits {
    uint32_t retain_items, retain_bytes, retain_ms, subscribers_max, online_at;
    const char *slow;
};
MKF int mkf_producer_open(struct mkf_agent *a, struct mk_producer **ret, const char *surface,
                          const char *stable_id, const struct mkf_limits *limits,
                          const uint8_t *acl, size_t acl_n, char *err);
MKF void mkf_producer_close(struct mk_producer *p);
MKF int mkf_producer_send(struct mk_producer *p, const uint8_t *item, size_t n,
                          uint64_t *ret_number);
MKF unsigned mkf_producer_subscribers(const struct mk_producer *p);
MKF bool mkf_producer_online(const struct mk_producer *p);
/** Blocks until no subscriber is more than n items behind. MK_ETIMEDOUT. */
MKF int mkf_producer_wait_within(struct mkf_agent *a, struct mk_producer *p, uint64_t n,
                                 uint32_t timeout_ms, char *err);

struct mkf_consumer;

MKF int mkf_consumer_open(struct mkf_agent *a, struct mkf_consumer **ret, const char *surface,
                          const char *stable_id, const char *peer, const char *address,
                          bool from_newest, const char *after, const uint8_t *acl, size_t acl_n,
                          char *err);
MKF void mkf_consumer_close(struct mkf_consumer *c);
/** The next item; *ret_lost: how many were lost before it; *ret_anew: it is the first since the
 * producer began anew. MK_ETIMEDOUT with why it is not subscribed; MK_EREFUSED with the clause. */
MKF int mkf_consumer_next(struct mkf_consumer *c, uint32_t timeout_ms, uint64_t *ret_number,
                          uint64_t *ret_lost, bool *ret_anew, struct mkf_bytes *ret, char *err);
MKF void mkf_consumer_cursor(const struct mkf_consumer *c, struct mkf_bytes *ret);

/* --- conditions (when.c)
 * -------------------------------------------------------------------------------- */

/* A filter says whether an item is one of ours; called while the loop runs; NULL takes all. */

MKF struct mk_when *mkf_when_bound(struct mk_bond *b);
MKF struct mk_when *mkf_when_online(struct mk_collection *c);
MKF struct mk_when *mkf_when_updated(struct mk_collection *c);
MKF struct mk_when *mkf_when_reaches(struct mk_collection *c, uint64_t version);
MKF struct mk_when *mkf_when_subscribed(struct mk_producer *p, unsigned n);
MKF struct mk_when *mkf_when_tagged(struct mkf_agent *a, const char *id, unsigned n);
MKF struct mk_when *mkf_when_offered(struct mkf_agent *a, const char *id, unsigned n);
MKF struct mk_when *mkf_when_appended(struct mk_feed *f,
                                      bool (*filter)(const uint8_t *p, size_t n));
/** count 1 .. MK_WHEN_COUNT_MAX. */
MKF struct mk_when *mkf_when_feed_window(struct mk_feed *f, uint32_t window_ms, uint32_t count,
                                         bool (*filter)(const uint8_t *p, size_t n));
MKF struct mk_when *mkf_when_received(struct mkf_consumer *c,
                                      bool (*filter)(const uint8_t *p, size_t n));
MKF struct mk_when *mkf_when_consumer_window(struct mkf_consumer *c, uint32_t window_ms,
                                             uint32_t count,
                                             bool (*filter)(const uint8_t *p, size_t n));
MKF struct mk_when *mkf_when_consuming(struct mkf_consumer *c);
MKF struct mk_when *mkf_when_all(struct mk_when *const *v, size_t n);
MKF struct mk_when *mkf_when_any(struct mk_when *const *v, size_t n);
MKF struct mk_when *mkf_when_not(struct mk_when *w);
MKF bool mkf_when_holds(const struct mk_when *w);
MKF int mkf_when_wait(struct mk_when *w, uint32_t timeout_ms, char *err);
/** From a filter: mkf_when_wait() ends. */
MKF void mkf_when_interrupt(struct mk_when *w);
MKF void mkf_when_explain(struct mkf_agent *a, const struct mk_when *w, struct mkf_bytes *ret);
MKF void mkf_when_free(struct mk_when *w);

/* --- admission (admission.c)
 * -------------------------------------------------------------------------------- */

struct mk_jwt_keys;

MKF struct mk_jwt_keys *mkf_jwt_keys_new(void);
MKF void mkf_jwt_keys_free(struct mk_jwt_keys *k);
MKF int mkf_jwt_keys_add(struct mk_jwt_keys *k, const char *alg, const uint8_t *key, size_t n,
                         char *err);
MKF int mkf_jwt_keys_add_jwk(struct mk_jwt_keys *k, const char *json, char *err);
/** issuer, audience, peer (hex): NULL asks for nothing. */
MKF int mkf_jwt_judge(struct mkf_agent *a, const struct mk_jwt_keys *k, const char *token,
                      const char *issuer, const char *audience, const char *peer, uint64_t now_ms,
                      uint64_t *ret_expires_ms, struct mkf_bytes *ret_claims, char *err);
MKF int mkf_jwt_issue_secret(struct mkf_agent *a, const char *alg, const uint8_t *secret, size_t n,
                             const char *claims, struct mkf_bytes *ret, char *err);
/** Signed with EdDSA by the peer of that seed. */
MKF void mkf_jwt_issue(struct mkf_agent *a, const uint8_t seed[32], const char *claims,
                       struct mkf_bytes *ret);
/** pc(Ticket) that carries a JWT, to be shown by an agent. */
MKF void mkf_jwt_ticket(struct mkf_agent *a, const char *token, struct mkf_bytes *ret);
/** Whether pc(AclComposition) is well formed, and as JSON text. */
MKF int mkf_acl_json(struct mkf_agent *a, const uint8_t *acl, size_t n, struct mkf_bytes *ret,
                     char *err);

/* --- between the files ------------------------------------------------------------------------ */

static inline struct mk_fault *mkf_fault(char *err)
{
    return (struct mk_fault *)(void *)err;
}
static inline struct mkf_bytes mkf_bytes(struct mk_bytes b)
{
    return (struct mkf_bytes){b.p, b.n};
}
/** Makes the agent lend it. */
void mkf_lend(struct mkf_agent *a, struct mk_bytes b, struct mkf_bytes *ret);
int mkf_parse_id(struct mk_id *ret, const char *what, const char *hex, char *err);
/** A roster and addresses out of "<peer>@host:port" texts, in arena. */
int mkf_roster(struct mk_roster *ret, struct mk_str **ret_addresses, const struct mk_id *deployment,
               const char *const *addresses, size_t n, struct mk_arena *arena, char *err);
/** n 0: OPEN. Into arena. */
int mkf_acl(struct mk_acl_composition *ret, const uint8_t *p, size_t n, struct mk_arena *arena,
            char *err);
struct mk_consumer *mkf_consumer_of(struct mkf_consumer *c);

#endif /* FFI_FFI_H */
