/* evidence.h - commands that rest on what other components committed (spec/identity.md,
 * EvidencePointer).
 *
 * A pointer names a commit: the member (20 bytes of its stable id), the surface, the datum's own
 * clock, the commit hash. Machines see no network, so whoever sends a command that carries pointers
 * sends, beside it, what resolves them:
 *
 *   pointer --commit hash--> payload --its clock--> equal?
 *              |
 *   before, index, digest, H(payload) --hash--> commit --links between--> certified head
 *              certificate <-- roster <-- changes <-- Deployment, signed by the member's operator
 *
 * All of it is in the log entry. So each replica, now and on replay, comes to the same verdict from
 * the entry and its state alone; what does not resolve refuses the command, by name. What is
 * trusted is the anchor: which operator (or which first roster) speaks for that member, which the
 * machine's configuration or state says.
 *
 * A machine that wants evidence either is wrapped (mk_evidenced_machine_new) or resolves by itself
 * (mk_evidence_resolve). An agent gathers evidence from a bond (mk_evidence_feed_open). */
#ifndef MOSAIK_EVIDENCE_H
#define MOSAIK_EVIDENCE_H

#include <mosaik/machine.h>
#include <mosaik/network.h>
#include <mosaik/records.h>

#define MK_EVIDENCE_MAX 16u                  /* pieces beside one command */
#define MK_EVIDENCE_PAYLOAD_MAX (64u << 10)  /* bytes of a commit that can be evidence */
#define MK_EVIDENCE_CHAIN_MAX 64u            /* changes of the roster in one piece */
#define MK_EVIDENCE_LINKS_MAX 1024u          /* commits between it and its certified head */
#define MK_EVIDENCE_COMMAND_MAX (128u << 10) /* bytes of the command beside it */
#define MK_EVIDENCE_DEPLOYMENTS_MAX 256u     /* of all members, that one machine remembers */

/* --- shapes ------------------------------------------------------------------------------- */

/** A commit on the way from another one to a certified head. */
#define MK_LINK_TABLE(F, S)                                                    \
    F(S, mk_id, digest)  /* of the surface's schema, or of RetirementMarker */ \
    F(S, mk_id, payload) /* H(payload) */
MK_STRUCT_DECLARE(mk_chain_link, MK_LINK_TABLE)
MK_SEQ_DECLARE(mk_evidence_links, mk_chain_link)
MK_SEQ_DECLARE(mk_roster_changes, mk_roster_change)
MK_OPTION_DECLARE(mk_opt_deployment, mk_deployment)
MK_BLOB_DECLARE(mk_evidence_payload)
MK_BLOB_DECLARE(mk_evidence_command)

/* record: none where the anchor holds the first roster itself. chain: from the record's roster (or
 * the anchor's) to the certificate's epoch; what the machine knows may be left out. before: the
 * hash that the commit continues. marker: it is a retirement marker. */
#define MK_EXHIBIT_TABLE(F, S)                                                       \
    F(S, mk_evidence_pointer, pointer) /* what is cited */                           \
    F(S, mk_id, stable_id)             /* of whom: all 32 bytes */                   \
    F(S, mk_opt_deployment, record)    /* none: the anchor holds the first roster */ \
    F(S, mk_roster_changes, chain)     /* from there to the certificate */           \
    F(S, mk_u64, index)                /* of the commit */                           \
    F(S, mk_id, before)                /* the hash that it continues */              \
    F(S, mk_bool, marker)              /* it is a retirement marker */               \
    F(S, mk_evidence_payload, payload) /* the commit itself */                       \
    F(S, mk_evidence_links, between)   /* from it to the certified head */           \
    F(S, mk_certificate, certificate)
MK_STRUCT_DECLARE(mk_exhibit, MK_EXHIBIT_TABLE)
/** Up to MK_EVIDENCE_MAX. */
MK_SEQ_DECLARE(mk_exhibits, mk_exhibit)

/** What a wrapped machine's group is sent: the command, and what resolves its pointers. */
#define MK_EVIDENCED_TABLE(F, S)                                 \
    F(S, mk_evidence_command, command) /* the inner machine's */ \
    F(S, mk_exhibits, evidence)        /* one a pointer, in the command's order */
MK_STRUCT_DECLARE(mk_evidenced, MK_EVIDENCED_TABLE)

/* --- what is believed ------------------------------------------------------------------------ */

/** A surface whose commits may be cited. Its clock is the field of V that the pointer's clock must
 * equal (u8 to u64, "seq"); of a map's insertion, the value's. NULL: the commit's index. A
 * retirement marker's clock is the number of its effective_at. */
struct mk_evidence_surface {
    const struct mk_surface_spec *spec;
    const char *clock;
};

/** Who speaks for a member. Borrowed for the call. */
struct mk_evidence_anchor {
    struct mk_id stable_id;
    struct mk_opt_id content_hash; /* a pin: records of another content are refused */
    struct mk_opt_peer operator_;  /* its Deployments count */
    const struct mk_roster *first; /* without a record: this roster, of this deployment; or NULL */
    const struct mk_evidence_surface *surfaces;
    size_t n_surfaces;
};

/** A pointer that was resolved. payload is lent from the evidence: a stream's item, or pc(MapOp),
 * or pc(RetirementMarker). */
struct mk_resolved {
    struct mk_evidence_pointer pointer;
    struct mk_id stable_id, deployment;
    uint64_t index;
    bool marker;
    const struct mk_surface_spec *spec;
    struct mk_bytes payload;
};

/** What a machine has learned of others: their rosters' changes and newest certificates, by
 * deployment. Part of the machine's state: what an epoch that ended signs later is refused, and a
 * committee that certified two histories is believed no more. All zero is empty. */
struct mk_evidence_book {
    struct mk_evidence_known *v; /* private; sorted by deployment */
    size_t n;
};
/** Frees; all zero is fine. _snapshot appends the whole book, the same bytes on each replica. */
void mk_evidence_book_done(struct mk_evidence_book *b);
void mk_evidence_book_snapshot(const struct mk_evidence_book *b, struct mk_buf *out);
/** Strict; b is empty before. MK_EMALFORMED. */
int mk_evidence_book_restore(struct mk_evidence_book *b, struct mk_bytes snapshot,
                             struct mk_fault *reterr);

/** Resolves one piece. Pure: of the book, the anchor and the evidence alone.
 *   0             *ret is filled; the book knows what was learned.
 *   MK_ENOTFOUND  nobody whom the anchor names has certified that commit: which step failed.
 *   MK_EREFUSED   the clock, surface, member or pin differs.
 *   MK_ECONFLICT  that committee certified two histories: it is believed no more.
 *   MK_ELIMIT     too many deployments. */
int mk_evidence_resolve(struct mk_evidence_book *b, const struct mk_evidence_anchor *anchor,
                        const struct mk_exhibit *e, struct mk_resolved *ret,
                        struct mk_fault *reterr);

/** Notes on the command being applied that it rests on this commit, or that this pointer of it was
 * not resolved: `coalition replay` follows what is noted. At most MK_EVIDENCE_MAX a command. */
void mk_apply_cite(struct mk_apply *a, const struct mk_evidence_pointer *p, bool resolved,
                   const char *why);

/* --- the ready hook --------------------------------------------------------------------------- */

struct mk_evidence_hooks {
    /** Who speaks for this member; *ret stays valid for the call. MK_ENOTFOUND: nobody that this
     * machine listens to. */
    int (*anchor)(const struct mk_machine *inner, const struct mk_apply *a,
                  const struct mk_id *stable_id, struct mk_evidence_anchor *ret);
    /** The pointers that the command carries, at most MK_EVIDENCE_MAX. 0; MK_EMALFORMED: the
     * command is none, which the machine itself will say; MK_ELIMIT: it carries more. */
    int (*cites)(const struct mk_machine *inner, struct mk_bytes command,
                 struct mk_evidence_pointer ret[MK_EVIDENCE_MAX], size_t *ret_n);
};
/** A machine whose commands travel as pc(Evidenced): each pointer that the command carries must be
 * resolved by the evidence beside it, in that order and with nothing left over, before the inner
 * machine sees the command. Its name is the inner one's with "+evidence". inner is taken. */
struct mk_machine *mk_evidenced_machine_new(struct mk_machine *inner,
                                            const struct mk_evidence_hooks *hooks);
/** For the inner machine, during apply: what the command's pointers resolved to, in its order. */
const struct mk_resolved *mk_apply_evidence(const struct mk_apply *a, size_t *ret_n);
/** Appends pc(Evidenced). */
void mk_evidenced_put(struct mk_buf *out, struct mk_bytes command, const struct mk_exhibit *v,
                      size_t n);

/* --- gathering ----------------------------------------------------------------------------------
 */

/** Follows a surface of a bound component and hands over each commit as evidence. */
struct mk_evidence_feed;
struct mk_evidence_feed_cbs {
    /** A certified commit, in order. Lent; mk_exhibit_type encodes it. One that cannot be evidence
     * (too large, without a clock of its own) is left out. */
    void (*evidence)(struct mk_evidence_feed *g, const struct mk_exhibit *e);
    /** Commits that the retained history no longer held. May be NULL. */
    void (*gap)(struct mk_evidence_feed *g, uint64_t first, uint64_t last);
    void (*ended)(struct mk_evidence_feed *g, int status, const struct mk_fault *fault);
};
/** after: the first commit handed over is the next one; 0: the oldest retained. A keyed surface is
 * followed from its present state on. surface and its spec are borrowed. */
int mk_evidence_feed_open(struct mk_bond *b, struct mk_evidence_feed **ret,
                          const struct mk_evidence_surface *surface, uint64_t after,
                          const struct mk_id *after_commit, const struct mk_evidence_feed_cbs *cbs,
                          void *owner);
void mk_evidence_feed_close(struct mk_evidence_feed *g); /* NULL is fine */
void *mk_evidence_feed_owner(const struct mk_evidence_feed *g);

/** The clock of a commit's payload; MK_ENOTFOUND: it has none of its own. */
int mk_evidence_clock(const struct mk_evidence_surface *s, uint64_t index, bool marker,
                      struct mk_bytes payload, uint64_t *ret);

#endif /* MOSAIK_EVIDENCE_H */
