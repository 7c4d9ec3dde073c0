/* wire.h - the messages of the three protocols of a group, each a datum.
 *
 *   "group"    member <-> member: hello, founding, raft, signatures, snapshots, forwarded commands
 *   "roster"   whoever knows a newer roster -> who knows an older one: the changes between
 *   "exec"     client -> member: execute and query, answered one by one
 *   "surface"  reader -> member: a surface's snapshot, commits, certificates, proofs
 *
 * A message is one enum value, pc-encoded; the enum's tag is the message type.
 * Raft messages and snapshot bytes travel as blobs inside. */
#ifndef GROUP_WIRE_H
#define GROUP_WIRE_H

#include <mosaik/evidence.h>
#include <mosaik/machine.h>
#include <mosaik/outcome.h>
#include <mosaik/records.h>

#define MK_WIRE_TICKETS_MAX 8u
#define MK_WIRE_CHUNK (256u << 10)    /* bytes of a snapshot chunk */
#define MK_WIRE_RAFT_MAX (900u << 10) /* bytes of one raft message */
#define MK_WIRE_BATCH_MAX 4096u       /* items in one message */

MK_BLOB_DECLARE(mk_wire_raft)    /* up to MK_WIRE_RAFT_MAX */
MK_BLOB_DECLARE(mk_wire_command) /* up to MK_COMMAND_MAX */
MK_BLOB_DECLARE(mk_wire_chunk)   /* up to MK_WIRE_CHUNK */
MK_BLOB_DECLARE(mk_wire_ticket)  /* up to MK_TICKET_MAX */
MK_SEQ_DECLARE(mk_wire_tickets, mk_wire_ticket)
MK_OPTION_DECLARE(mk_opt_founding, mk_founding)
MK_OPTION_DECLARE(mk_opt_certificate, mk_certificate)

/* ---- log entries: what a Raft command entry holds after its frame byte ---------- */

#define MK_ENTRY_MARK 1u /* bit of the frame byte: a point to sign */

#define MK_EXECUTE_TABLE(F, S) \
    F(S, mk_peer, sender)      \
    F(S, mk_u64, session)      \
    F(S, mk_u64, number)       \
    F(S, mk_wire_command, command)
MK_STRUCT_DECLARE(mk_execute, MK_EXECUTE_TABLE)

/* A roster peer has this Raft id from now on; before, it had `before` (0: none). */
#define MK_SEAT_TABLE(F, S) \
    F(S, mk_peer, peer)     \
    F(S, mk_u64, before)    \
    F(S, mk_u64, raft_id)
MK_STRUCT_DECLARE(mk_seat, MK_SEAT_TABLE)

/* The next roster, over "mosaik.roster.propose.v1" || pc(Roster): by the founding's default
 * operator, or by a majority of the present roster. */
#define MK_PROPOSAL_TABLE(F, S) \
    F(S, mk_roster, roster)     \
    F(S, mk_peer_signatures, signatures)
MK_STRUCT_DECLARE(mk_proposal, MK_PROPOSAL_TABLE)

/* The group works at this protocol from here on (base/protocol.h). */
#define MK_LEVEL_TABLE(F, S) F(S, mk_u16, protocol)
MK_STRUCT_DECLARE(mk_level, MK_LEVEL_TABLE)
/* From protocol 2 on: every member takes the hash of its state here. */
#define MK_CHECK_TABLE(F, S) F(S, mk_u64, nonce)
MK_STRUCT_DECLARE(mk_check, MK_CHECK_TABLE)

#define MK_LOGGED_TABLE(F, S)                   \
    F(S, Genesis, 0, mk_founding, genesis)      \
    F(S, Advance, 1, mk_advance, advance)       \
    F(S, Execute, 2, mk_execute, execute)       \
    F(S, Seat, 3, mk_seat, seat)                \
    F(S, Propose, 4, mk_proposal, propose)      \
    F(S, Changed, 5, mk_roster_change, changed) \
    F(S, Level, 6, mk_level, level)             \
    F(S, Check, 7, mk_check, check)
MK_ENUM_DECLARE(mk_logged, MK_LOGGED_TABLE)

/* ---- "group" ------------------------------------------------------------------------ */

/* First message of the conversation, from the lesser peer; the other answers with its own. level:
 * the protocol that its group works at, as far as it knows. */
#define MK_MEMBER_HELLO_TABLE(F, S) \
    F(S, mk_id, deployment)         \
    F(S, mk_id, machine)            \
    F(S, mk_text, machine_name)     \
    F(S, mk_u64, machine_version)   \
    F(S, mk_u16, level)             \
    F(S, mk_u64, raft_id)           \
    F(S, mk_bool, founded)          \
    F(S, mk_u64, epoch)             \
    F(S, mk_u64, highest_signed)    \
    F(S, mk_wire_tickets, tickets)
MK_STRUCT_DECLARE(mk_member_hello, MK_MEMBER_HELLO_TABLE)

#define MK_HEAD_SIGNATURE_TABLE(F, S) \
    F(S, mk_head, head)               \
    F(S, mk_signature, signature)
MK_STRUCT_DECLARE(mk_head_signature, MK_HEAD_SIGNATURE_TABLE)
MK_SEQ_DECLARE(mk_head_signatures, mk_head_signature)

#define MK_SNAP_OFFER_TABLE(F, S) \
    F(S, mk_u64, index)           \
    F(S, mk_u64, term)            \
    F(S, mk_u64, bytes)           \
    F(S, mk_id, hash)
MK_STRUCT_DECLARE(mk_snap_offer, MK_SNAP_OFFER_TABLE)
#define MK_SNAP_CHUNK_TABLE(F, S) \
    F(S, mk_u64, index)           \
    F(S, mk_u64, offset)          \
    F(S, mk_wire_chunk, bytes)
MK_STRUCT_DECLARE(mk_snap_chunk, MK_SNAP_CHUNK_TABLE)
#define MK_SNAP_WANT_TABLE(F, S) \
    F(S, mk_u64, index)          \
    F(S, mk_u64, offset)
MK_STRUCT_DECLARE(mk_snap_want, MK_SNAP_WANT_TABLE)

/* A command (query 0) or a query (its enum mk_read) that a follower passes on to the leader, and
 * the answer. */
#define MK_FORWARD_TABLE(F, S) \
    F(S, mk_u64, id)           \
    F(S, mk_u8, query)         \
    F(S, mk_execute, execute)
MK_STRUCT_DECLARE(mk_forward, MK_FORWARD_TABLE)

/* Our signature under the change that led to an epoch. */
#define MK_CHANGE_SIGNATURE_TABLE(F, S) \
    F(S, mk_u64, epoch)                 \
    F(S, mk_signature, signature)
MK_STRUCT_DECLARE(mk_change_signature, MK_CHANGE_SIGNATURE_TABLE)

/* Our own log is applied, and what it says of seats and rosters is durable, up to index. */
#define MK_APPLIED_TABLE(F, S) F(S, mk_u64, index)
MK_STRUCT_DECLARE(mk_applied_to, MK_APPLIED_TABLE)

/* ---- "exec" --------------------------------------------------------------------------- */

/* epoch: the newest that the client knows; 0: the first alone. */
#define MK_EXEC_HELLO_TABLE(F, S)  \
    F(S, mk_id, deployment)        \
    F(S, mk_id, stable_id)         \
    F(S, mk_wire_tickets, tickets) \
    F(S, mk_u64, epoch)
MK_STRUCT_DECLARE(mk_exec_hello, MK_EXEC_HELLO_TABLE)

#define MK_EXEC_COMMAND_TABLE(F, S) \
    F(S, mk_u64, id)                \
    F(S, mk_u64, session)           \
    F(S, mk_u64, number)            \
    F(S, mk_bool, certified)        \
    F(S, mk_wire_command, command)
MK_STRUCT_DECLARE(mk_exec_command, MK_EXEC_COMMAND_TABLE)
/* read: enum mk_read; what we do not know is the strictest. */
static inline enum mk_read mk_read_of(uint8_t b)
{
    return b <= MK_READ_LEASE ? (enum mk_read)b : MK_READ_LINEAR;
}
#define MK_EXEC_QUERY_TABLE(F, S) \
    F(S, mk_u64, id)              \
    F(S, mk_u8, read)             \
    F(S, mk_wire_command, query)
MK_STRUCT_DECLARE(mk_exec_query, MK_EXEC_QUERY_TABLE)
#define MK_EXEC_REQUEST_TABLE(F, S)            \
    F(S, Execute, 0, mk_exec_command, execute) \
    F(S, Query, 1, mk_exec_query, query)
MK_ENUM_DECLARE(mk_exec_request, MK_EXEC_REQUEST_TABLE)

/* The proof: the certificate of a head at or after the commit, and what lies between: digest and
 * H(payload) of each commit after it up to the head. */
MK_SEQ_DECLARE(mk_chain_links, mk_chain_link)
#define MK_COMMIT_PROOF_TABLE(F, S)   \
    F(S, mk_commit_ref, commit)       \
    F(S, mk_certificate, certificate) \
    F(S, mk_chain_links, between)
MK_STRUCT_DECLARE(mk_commit_proof, MK_COMMIT_PROOF_TABLE)
MK_SEQ_DECLARE(mk_commit_proofs, mk_commit_proof)

#define MK_FORWARDED_TABLE(F, S) \
    F(S, mk_u64, id)             \
    F(S, mk_outcome, outcome)
MK_STRUCT_DECLARE(mk_forwarded, MK_FORWARDED_TABLE)

/* step 0: not yet, outcome.rule says what it waits for ("no majority: ..."); comes every
 * 100 ms for the oldest that waits, so that silence means that the member is gone. step 1:
 * committed (certified requests get it too, as progress); step 2: with proofs. A status of
 * MK_ETIMEDOUT, MK_ENOTLEADER, MK_EFULL or MK_ECANCELED (the member shuts down) in step 1 means:
 * ask again (the same session and number). step 3: the outcome's answer is pc(RosterChange), the
 * next of the chain, before the first step 2 that needs it; id is that of the command. step 4: no
 * answer, id 0: commands of this conversation are passed on to the leader, whose peer id is
 * outcome.answer; who asks there saves a way there and back. Advice, no more. */
#define MK_EXEC_STEP_LEADER 4u
#define MK_EXEC_ANSWER_TABLE(F, S) \
    F(S, mk_u64, id)               \
    F(S, mk_u8, step)              \
    F(S, mk_outcome, outcome)      \
    F(S, mk_commit_proofs, proofs)
MK_STRUCT_DECLARE(mk_exec_answer, MK_EXEC_ANSWER_TABLE)

#define MK_MEMBER_MESSAGE_TABLE(F, S)                   \
    F(S, Hello, 0, mk_member_hello, hello)              \
    F(S, Founding, 1, mk_founding, founding)            \
    F(S, Raft, 2, mk_wire_raft, raft)                   \
    F(S, Signatures, 3, mk_head_signatures, signatures) \
    F(S, SnapOffer, 4, mk_snap_offer, snap_offer)       \
    F(S, SnapWant, 5, mk_snap_want, snap_want)          \
    F(S, SnapChunk, 6, mk_snap_chunk, snap_chunk)       \
    F(S, Forward, 7, mk_forward, forward)               \
    F(S, Forwarded, 8, mk_forwarded, forwarded)         \
    F(S, Advance, 9, mk_advance, advance)               \
    F(S, Applied, 10, mk_applied_to, applied)           \
    F(S, Vouch, 11, mk_change_signature, vouch)         \
    F(S, Propose, 12, mk_proposal, propose)             \
    F(S, Transfer, 13, mk_opt_peer, transfer)           \
    F(S, Changed, 14, mk_roster_change, changed)        \
    F(S, Check, 15, mk_check, check)
MK_ENUM_DECLARE(mk_member_message, MK_MEMBER_MESSAGE_TABLE)

/* ---- "roster": the chain of rosters, one change a message (lineage.c) ---------------------------
 */

/* What the sender knows: the epoch and the id (mk_roster_id()) of the newest roster. First message,
 * and the answer to each change. */
#define MK_ROSTER_KNOWN_TABLE(F, S) \
    F(S, mk_id, deployment)         \
    F(S, mk_u64, epoch)             \
    F(S, mk_id, roster)
MK_STRUCT_DECLARE(mk_roster_known, MK_ROSTER_KNOWN_TABLE)
#define MK_ROSTER_MESSAGE_TABLE(F, S)      \
    F(S, Known, 0, mk_roster_known, known) \
    F(S, Change, 1, mk_roster_change, change)
MK_ENUM_DECLARE(mk_roster_message, MK_ROSTER_MESSAGE_TABLE)

/* ---- "beat": between processes that share groups ----------------------------------------------
 */

/* First message, from the lesser peer; the other answers with its own. Whoever serves it knows the
 * messages that quiet groups need, and may be asked to be quiet. */
#define MK_BEAT_HELLO_TABLE(F, S) F(S, mk_u64, version)
MK_STRUCT_DECLARE(mk_beat_hello, MK_BEAT_HELLO_TABLE)
/* The process lives; it holds so many groups quiet with the other one. */
#define MK_BEAT_TABLE(F, S) F(S, mk_u64, groups)
MK_STRUCT_DECLARE(mk_beat, MK_BEAT_TABLE)
/* Somebody at the sender waits for certificates of that deployment's surfaces, or nobody does any
 * more: its leader marks each batch, or now and then. */
#define MK_BEAT_INTEREST_TABLE(F, S) \
    F(S, mk_id, deployment)          \
    F(S, mk_bool, waits)
MK_STRUCT_DECLARE(mk_beat_interest, MK_BEAT_INTEREST_TABLE)
#define MK_BEAT_MESSAGE_TABLE(F, S)      \
    F(S, Hello, 0, mk_beat_hello, hello) \
    F(S, Beat, 1, mk_beat, beat)         \
    F(S, Interest, 2, mk_beat_interest, interest)
MK_ENUM_DECLARE(mk_beat_message, MK_BEAT_MESSAGE_TABLE)

/* ---- "operate": one question, one mk_outcome ------------------------------------------------ */

#define MK_OPERATE_PROPOSE_TABLE(F, S) \
    F(S, mk_id, deployment)            \
    F(S, mk_proposal, proposal)
MK_STRUCT_DECLARE(mk_operate_propose, MK_OPERATE_PROPOSE_TABLE)
/* to: none: a suitable one. */
#define MK_OPERATE_TRANSFER_TABLE(F, S) \
    F(S, mk_id, deployment)             \
    F(S, mk_opt_peer, to)
MK_STRUCT_DECLARE(mk_operate_transfer, MK_OPERATE_TRANSFER_TABLE)
#define MK_OPERATE_CHECK_TABLE(F, S) \
    F(S, mk_id, deployment)          \
    F(S, mk_u64, nonce)
MK_STRUCT_DECLARE(mk_operate_check, MK_OPERATE_CHECK_TABLE)
#define MK_OPERATE_TABLE(F, S)                       \
    F(S, Propose, 0, mk_operate_propose, propose)    \
    F(S, Transfer, 1, mk_operate_transfer, transfer) \
    F(S, Check, 2, mk_operate_check, check)
MK_ENUM_DECLARE(mk_operate, MK_OPERATE_TABLE)

/* ---- "surface" --------------------------------------------------------------------------- */

/* From: where a follower wants to begin. Snapshot is for maps; a stream's begins at its oldest. */
#define MK_FROM_AFTER_TABLE(F, S) \
    F(S, mk_u64, index)           \
    F(S, mk_id, commit)
MK_STRUCT_DECLARE(mk_from_after, MK_FROM_AFTER_TABLE)
#define MK_FROM_TABLE(F, S)              \
    F(S, Snapshot, 0, mk_unit, snapshot) \
    F(S, After, 1, mk_from_after, after) \
    F(S, Oldest, 2, mk_unit, oldest)     \
    F(S, Newest, 3, mk_unit, newest)     \
    F(S, Lookups, 4, mk_unit, lookups)
MK_ENUM_DECLARE(mk_from, MK_FROM_TABLE)

/* First message of a reader. */
#define MK_SURFACE_HELLO_TABLE(F, S) \
    F(S, mk_id, deployment)          \
    F(S, mk_id, stable_id)           \
    F(S, mk_id, surface)             \
    F(S, mk_u64, epoch)              \
    F(S, mk_from, from)              \
    F(S, mk_wire_tickets, tickets)
MK_STRUCT_DECLARE(mk_surface_hello, MK_SURFACE_HELLO_TABLE)

/* What a reader sends after its first message. */
#define MK_LOOKUP_TABLE(F, S) \
    F(S, mk_u64, id)          \
    F(S, mk_blob, key)
MK_STRUCT_DECLARE(mk_lookup, MK_LOOKUP_TABLE)

/* Where the member stands, and where what it sends from now on begins. It comes again when the
 * reader fell behind what is retained. index: of the newest certified head; oldest: retained;
 * next: the first commit that will be sent, and before: the commit hash that it continues.
 * follows: next continues at the point that the reader asked for; else a map's snapshot comes
 * (which says where it stands), or commits of a stream are lost to this reader. */
#define MK_WELCOME_TABLE(F, S) \
    F(S, mk_u64, index)        \
    F(S, mk_u64, oldest)       \
    F(S, mk_u64, epoch)        \
    F(S, mk_bool, follows)     \
    F(S, mk_u64, next)         \
    F(S, mk_id, before)
MK_STRUCT_DECLARE(mk_welcome, MK_WELCOME_TABLE)

#define MK_SNAP_ITEM_TABLE(F, S) \
    F(S, mk_blob, key)           \
    F(S, mk_blob, value)
MK_STRUCT_DECLARE(mk_snap_item, MK_SNAP_ITEM_TABLE)
MK_SEQ_DECLARE(mk_snap_items, mk_snap_item)

#define MK_RECORD_TABLE(F, S) \
    F(S, mk_bool, marker)     \
    F(S, mk_blob, payload)
MK_STRUCT_DECLARE(mk_record, MK_RECORD_TABLE)
MK_SEQ_DECLARE(mk_record_seq, mk_record)
/* Commits first, first + 1, ... in order. */
#define MK_RECORDS_TABLE(F, S) \
    F(S, mk_u64, first)        \
    F(S, mk_record_seq, records)
MK_STRUCT_DECLARE(mk_records, MK_RECORDS_TABLE)

/* The snapshot of a map at `index`, whose commit hash is `commit`; then the items; then the end. */
#define MK_SNAP_BEGIN_TABLE(F, S) \
    F(S, mk_u64, index)           \
    F(S, mk_id, commit)           \
    F(S, mk_u64, count)
MK_STRUCT_DECLARE(mk_snap_begin, MK_SNAP_BEGIN_TABLE)

/* A key's value (or absence) at a certified head. */
#define MK_FOUND_TABLE(F, S)  \
    F(S, mk_u64, id)          \
    F(S, mk_opt_blob, value)  \
    F(S, mk_map_proof, proof) \
    F(S, mk_certificate, certificate)
MK_STRUCT_DECLARE(mk_found, MK_FOUND_TABLE)

#define MK_SURFACE_MESSAGE_TABLE(F, S)                \
    F(S, Welcome, 0, mk_welcome, welcome)             \
    F(S, SnapBegin, 1, mk_snap_begin, snap_begin)     \
    F(S, SnapItems, 2, mk_snap_items, snap_items)     \
    F(S, SnapEnd, 3, mk_unit, snap_end)               \
    F(S, Records, 4, mk_records, records)             \
    F(S, Certificate, 5, mk_certificate, certificate) \
    F(S, Found, 6, mk_found, found)                   \
    F(S, RosterChange, 7, mk_roster_change, roster_change)
MK_ENUM_DECLARE(mk_surface_message, MK_SURFACE_MESSAGE_TABLE)

#endif /* GROUP_WIRE_H */
