/* machine.h - what a replicated component is made of: surfaces, and one
 * deterministic machine that commits to them (spec/committees.md).
 *
 * A component author declares the surfaces and writes five functions. The group
 * calls them with the committed log, in order, on every member alike. A machine
 * sees no clock, no randomness, no disk, no network: time and observations
 * enter as commands; the machine's time is mk_apply_time_ms().
 *
 *     command --apply--> refuse(rule)   nothing changed, the sender is told
 *                    \-> mutate surfaces (each mutation is one commit) + answer */
#ifndef MOSAIK_MACHINE_H
#define MOSAIK_MACHINE_H

#include <mosaik/datum.h>
#include <mosaik/records.h>

#define MK_COMMAND_MAX (256u << 10) /* bytes of a command */
#define MK_ANSWER_MAX (64u << 10)   /* bytes of an answer that is kept for retries */
#define MK_KEY_MAX 1024u            /* bytes of pc(key) */
#define MK_VALUE_MAX (128u << 10)   /* bytes of pc(value), or of a stream's item */
#define MK_SURFACES_MAX 64u         /* of one component */
#define MK_RULE_MAX 160u            /* bytes of a refusal's text */

enum mk_surface_kind {
    MK_SURFACE_STREAM,
    MK_SURFACE_MAP,
    /* The other shapes of a keyed store (collection.h). */
    MK_SURFACE_VEC,
    MK_SURFACE_SET,
    MK_SURFACE_CELL,
    MK_SURFACE_ONCE,
    MK_SURFACE_QUEUE,
};
const char *mk_surface_kind_name(enum mk_surface_kind k); /* "stream", "map", "vec", ... */
/** Has it keyed state (all but a stream)? */
bool mk_surface_keyed(enum mk_surface_kind k);

/** One declared surface. Borrowed for the component's life (usually static). */
struct mk_surface_spec {
    enum mk_surface_kind kind;
    const char *name;            /* 1..128 bytes */
    const struct mk_type *key;   /* map, queue: K; else NULL */
    const struct mk_type *value; /* V, or the one type of another kind */
    /* How much history is kept for followers (a declared property): a stream's items,
     * a map's changes. 0 takes the defaults: 65,536 commits, 16 MiB. */
    uint32_t retain_commits;
    uint32_t retain_bytes;
    /* queue: how many entries it holds; beyond, the lowest priority goes. 0: no bound. A rule of
     * the machine, so it is folded into its signature. */
    uint64_t capacity;
};

/** The schema digest of a surface, and its id under a stable id (identity.md). */
struct mk_id mk_surface_schema(const struct mk_surface_spec *s);
struct mk_id mk_surface_id(const struct mk_surface_spec *s, const struct mk_id *stable_id);

/* --- apply ----------------------------------------------------------------------- */

struct mk_apply; /* one command being applied; valid during the call */

uint64_t
mk_apply_time_ms(const struct mk_apply *a); /* the machine's time; 0 before a majority has spoken */
uint64_t mk_apply_index(const struct mk_apply *a); /* of the log entry */
const struct mk_peer *
mk_apply_sender(const struct mk_apply *a); /* who sent the command; NULL from the group itself */
const struct mk_roster *mk_apply_roster(const struct mk_apply *a);
/** What it was founded with (first roster, operators); lent. */
const struct mk_founding *mk_apply_founding(const struct mk_apply *a);
/** Whose command it is; lent. */
const struct mk_id *mk_apply_deployment(const struct mk_apply *a);

/** Refuses the command; returns MK_EREFUSED, so `return mk_refuse(a, "...")`. Must come
 * before any mutation of this command. The text says which rule. */
int mk_refuse(struct mk_apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** The answer that goes to the sender (copied). */
void mk_answer(struct mk_apply *a, struct mk_bytes answer);

/* Surfaces by their number in the machine's list. Keys and values are pc bytes,
 * copied. A mutation that leaves the state as it is makes no commit: returns 0
 * with *ret_changed false. */
int mk_map_insert(struct mk_apply *a, unsigned surface, struct mk_bytes key, struct mk_bytes value,
                  bool *ret_changed);
/** A key that is not there changes nothing. 0; MK_ERETIRED. */
int mk_map_remove(struct mk_apply *a, unsigned surface, struct mk_bytes key, bool *ret_changed);
/** expect NULL: the key must be absent. MK_EREFUSED when it does not match. */
int mk_map_compare_set(struct mk_apply *a, unsigned surface, struct mk_bytes key,
                       const struct mk_bytes *expect, struct mk_bytes value, bool *ret_changed);
/** All keys, as one commit. 0; MK_ERETIRED. */
int mk_map_clear(struct mk_apply *a, unsigned surface, bool *ret_changed);
/** One item, one commit, always. */
void mk_stream_append(struct mk_apply *a, unsigned surface, struct mk_bytes item);

/* --- reading one's own surfaces (apply and query) ------------------------------------ */

struct mk_surfaces; /* the component's surfaces as of the last applied command */

/** What this command may read, with what it has changed so far; lent for the call. */
const struct mk_surfaces *mk_apply_surfaces(const struct mk_apply *a);
/** lent until the next mutation. MK_ENOTFOUND. */
int mk_map_get(const struct mk_surfaces *s, unsigned surface, struct mk_bytes key,
               struct mk_bytes *ret_value);
/** Keys. */
size_t mk_map_count(const struct mk_surfaces *s, unsigned surface);
/** Iterates in the order of H(key): *cursor zero first. false at the end. */
bool mk_map_next(const struct mk_surfaces *s, unsigned surface, struct mk_id *cursor,
                 struct mk_bytes *ret_key, struct mk_bytes *ret_value);
/** Commits so far, and the item of a commit if it is still retained. */
uint64_t mk_surface_index(const struct mk_surfaces *s, unsigned surface);
/** Item of a commit, 1 the first; lent. MK_ENOTFOUND: not yet, or not within the declared
 * retention. */
int mk_stream_get(const struct mk_surfaces *s, unsigned surface, uint64_t index,
                  struct mk_bytes *ret_item);

/* --- the machine ------------------------------------------------------------------ */

struct mk_machine;

struct mk_machine_ops {
    const char *name; /* "atlas" */
    uint32_t version; /* folded, with name and surfaces, into the machine signature: members of
                         another one are refused by name */
    const struct mk_surface_spec *surfaces;
    unsigned n_surfaces;

    /** 0, or what mk_refuse returned (or, after it, MK_ESTALE where the sender's knowledge is
     * behind). The command is any bytes an admitted writer sent. */
    int (*apply)(struct mk_machine *m, struct mk_apply *a, struct mk_bytes command);
    /** A read that makes no commit. 0, or MK_EREFUSED / MK_EMALFORMED with reterr. */
    int (*query)(struct mk_machine *m, const struct mk_surfaces *s, struct mk_bytes query,
                 struct mk_buf *answer, struct mk_fault *reterr);
    /** State beside the surfaces (they are kept by the group), deterministic bytes. NULL: none. */
    void (*snapshot)(const struct mk_machine *m, struct mk_buf *out);
    int (*restore)(struct mk_machine *m, struct mk_bytes snapshot, struct mk_fault *reterr);
    /** The genesis entry was applied (founding is in the apply). May be NULL. */
    void (*founded)(struct mk_machine *m, struct mk_apply *a);
    /** Machine time moved. May be NULL. */
    void (*advanced)(struct mk_machine *m, struct mk_apply *a);
    /** The machine time this machine waits for, UINT64_MAX for none. May be NULL. */
    uint64_t (*waits_for)(const struct mk_machine *m);
    /** The machine goes, and its memory. */
    void (*free)(struct mk_machine *m);
};

/** Base of a machine's own struct. */
struct mk_machine {
    const struct mk_machine_ops *ops;
};

/** H over name, version and the surfaces' kinds, names and digests. Members of one component must
 * all run machines of one signature, and go on running them: the log says which wrote it, and is
 * refused to another. A build that means the same by every command keeps the version. */
struct mk_id mk_machine_signature(const struct mk_machine_ops *ops);

#endif /* MOSAIK_MACHINE_H */
