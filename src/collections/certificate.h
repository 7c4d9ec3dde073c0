/* certificate.h - heads, signatures, certificates, chains of epochs, and what a
 * reader remembers (spec/committees.md, "Heads and certificates", "Rosters in
 * time", "Byzantine members", "Readers"). Pure. */
#ifndef COLLECTIONS_CERTIFICATE_H
#define COLLECTIONS_CERTIFICATE_H

#include <mosaik/key.h>
#include <mosaik/records.h>

#define MK_FUTURE_MS 5000u /* a head further in the reader's future is not fresh */

/** Signs "mosaik.head.v1" || pc(Head). */
void mk_head_sign(const struct mk_key *key, const struct mk_head *head, struct mk_signature *ret);
int mk_head_verify(const struct mk_head *head, const struct mk_peer *peer,
                   const struct mk_signature *sig);

struct mk_id mk_roster_id(const struct mk_roster *r); /* H("roster|" || V || "|" || pc(r)) */
bool mk_roster_has(const struct mk_roster *r, const struct mk_peer *p);
size_t mk_roster_majority(const struct mk_roster *r);

/** Distinct, sorted peers of the roster, at least a majority, all signatures good, deployment and
 * epoch those of the roster. MK_ESIGNATURE with what is wrong. */
int mk_certificate_check(const struct mk_certificate *c, const struct mk_roster *roster,
                         struct mk_fault *reterr);

/** A RosterChange from `old` to change->roster: epoch + 1, previous, majorities of both. */
int mk_roster_change_check(const struct mk_roster_change *change, const struct mk_roster *old,
                           struct mk_fault *reterr);

/** What both majorities sign: "mosaik.roster.v1" || H(pc of the change with both lists empty). */
void mk_roster_change_message(struct mk_buf *out, const struct mk_roster_change *change);

/* --- proof of conflict -------------------------------------------------------------- */

/** One (deployment, epoch, surface, index), different commit or state. Signatures apart. */
bool mk_heads_conflict(const struct mk_head *a, const struct mk_head *b);
/** The peers whose signatures are in both, sorted, lent from arena. */
void mk_signed_both(const struct mk_certificate *a, const struct mk_certificate *b,
                    struct mk_peers *ret, struct mk_arena *arena);

/** Two certified heads of one (deployment, epoch, surface, index) with different commit or state.
 * When both are valid certificates: MK_ECONFLICT, and the peers that signed both, sorted, in
 * *ret (lent from arena). 0 when there is no conflict. */
int mk_conflict_check(const struct mk_certificate *a, const struct mk_certificate *b,
                      const struct mk_roster *roster, struct mk_peers *ret_guilty,
                      struct mk_arena *arena);

/* --- a reader's memory ----------------------------------------------------------------- */

/** What a reader knows of one deployment: the first roster, the chain from it, and the highest
 * certified point of each surface. Owns what it holds. Survives restarts through
 * encode/decode: the owner stores it durably before it shows a new head to anyone. */
struct mk_reader_memory;

struct mk_reader_memory *mk_reader_memory_new(const struct mk_roster *first);
void mk_reader_memory_free(struct mk_reader_memory *m);
/** A further epoch; checked. Idempotent for known ones; MK_ECONFLICT for a fork of the chain,
 * MK_ENOTFOUND when an epoch between is not known yet. */
int mk_reader_learn(struct mk_reader_memory *m, const struct mk_roster_change *change,
                    struct mk_fault *reterr);
const struct mk_roster *mk_reader_roster(const struct mk_reader_memory *m,
                                         uint64_t epoch); /* NULL: unknown */
uint64_t mk_reader_epoch(const struct mk_reader_memory *m);
/** The change that led to an epoch, lent; NULL: not known here, or the first. */
const struct mk_roster_change *mk_reader_change(const struct mk_reader_memory *m, uint64_t epoch);

#define MK_READER_SURFACES_MAX 4096u /* remembered for one deployment */
#define MK_READER_EPOCHS_MAX 65536u

/** Takes a certificate, its signatures checked against its epoch's roster.
 *   0             accepted; it is the newest of its surface now.
 *   MK_ESTALE     it proves what it covers, but a higher one (index, then time) is known.
 *   MK_ECONFLICT  it is valid and so is another one that says otherwise. Both are kept, see
 *                 mk_reader_conflict(); from then on nothing is accepted any more.
 *   MK_ENOTFOUND  of an epoch beyond the chain that is known here.
 *   MK_ESIGNATURE not valid: signatures, roster, deployment, or of an old epoch and beyond the head
 *                 that this epoch ended with.
 *   MK_ELIMIT     too many surfaces. */
int mk_reader_accept(struct mk_reader_memory *m, const struct mk_certificate *c,
                     struct mk_fault *reterr);
/** The newest certificate of a surface; lent. MK_ENOTFOUND. */
int mk_reader_newest(const struct mk_reader_memory *m, const struct mk_id *surface,
                     const struct mk_certificate **ret);
/** The highest time_ms of any certificate accepted; 0 for none. */
uint64_t mk_reader_newest_ms(const struct mk_reader_memory *m);
/** Is it fresh at now_ms (the reader's wall clock) within max_age_ms? 0, or MK_ESTALE with the age.
 */
int mk_reader_fresh(const struct mk_certificate *c, uint64_t now_ms, uint64_t max_age_ms,
                    struct mk_fault *reterr);
/** The stored proof of misbehaviour, if any: both certificates (lent) and the guilty peers. */
bool mk_reader_conflict(const struct mk_reader_memory *m, const struct mk_certificate **a,
                        const struct mk_certificate **b, struct mk_peers *ret_guilty);

void mk_reader_memory_encode(const struct mk_reader_memory *m, struct mk_buf *out);
int mk_reader_memory_decode(struct mk_reader_memory **ret, struct mk_bytes in,
                            struct mk_fault *reterr);

#endif
