/* wire.c - the descriptors of the messages of wire.h.
 *
 * Limits are chosen so that no message of ours passes MK_NET_MESSAGE_MAX: what
 * fills a message up to a number of bytes (batches, chunks, links of a proof)
 * is cut by its sender, and the limits here are what a receiver bears at most. */
#include "group/wire.h"

#include <mosaik/ticket.h>

MK_STRUCT_DEFINE(mk_commit_ref, "CommitRef", MK_COMMIT_REF_TABLE)
MK_SEQ_DEFINE(mk_commit_refs, mk_commit_ref, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_outcome, "Outcome", MK_OUTCOME_TABLE)

MK_BLOB_DEFINE(mk_wire_raft, MK_WIRE_RAFT_MAX)
MK_BLOB_DEFINE(mk_wire_command, MK_COMMAND_MAX)
MK_BLOB_DEFINE(mk_wire_chunk, MK_WIRE_CHUNK)
MK_BLOB_DEFINE(mk_wire_ticket, MK_TICKET_MAX)
MK_SEQ_DEFINE(mk_wire_tickets, mk_wire_ticket, MK_WIRE_TICKETS_MAX, 0)
MK_OPTION_DEFINE(mk_opt_founding, mk_founding)
MK_OPTION_DEFINE(mk_opt_certificate, mk_certificate)

MK_STRUCT_DEFINE(mk_execute, "Execute", MK_EXECUTE_TABLE)
MK_STRUCT_DEFINE(mk_seat, "Seat", MK_SEAT_TABLE)
MK_STRUCT_DEFINE(mk_proposal, "Proposal", MK_PROPOSAL_TABLE)
MK_STRUCT_DEFINE(mk_level, "Level", MK_LEVEL_TABLE)
MK_STRUCT_DEFINE(mk_check, "Check", MK_CHECK_TABLE)
MK_ENUM_DEFINE(mk_logged, "Logged", MK_LOGGED_TABLE)

MK_STRUCT_DEFINE(mk_member_hello, "MemberHello", MK_MEMBER_HELLO_TABLE)
MK_STRUCT_DEFINE(mk_head_signature, "HeadSignature", MK_HEAD_SIGNATURE_TABLE)
MK_SEQ_DEFINE(mk_head_signatures, mk_head_signature, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_snap_offer, "SnapOffer", MK_SNAP_OFFER_TABLE)
MK_STRUCT_DEFINE(mk_snap_chunk, "SnapChunk", MK_SNAP_CHUNK_TABLE)
MK_STRUCT_DEFINE(mk_snap_want, "SnapWant", MK_SNAP_WANT_TABLE)
MK_STRUCT_DEFINE(mk_forward, "Forward", MK_FORWARD_TABLE)
MK_STRUCT_DEFINE(mk_forwarded, "Forwarded", MK_FORWARDED_TABLE)
MK_STRUCT_DEFINE(mk_change_signature, "ChangeSignature", MK_CHANGE_SIGNATURE_TABLE)
MK_STRUCT_DEFINE(mk_applied_to, "Applied", MK_APPLIED_TABLE)
MK_ENUM_DEFINE(mk_member_message, "MemberMessage", MK_MEMBER_MESSAGE_TABLE)

MK_STRUCT_DEFINE(mk_exec_hello, "ExecHello", MK_EXEC_HELLO_TABLE)
MK_STRUCT_DEFINE(mk_exec_command, "ExecCommand", MK_EXEC_COMMAND_TABLE)
MK_STRUCT_DEFINE(mk_exec_query, "ExecQuery", MK_EXEC_QUERY_TABLE)
MK_ENUM_DEFINE(mk_exec_request, "ExecRequest", MK_EXEC_REQUEST_TABLE)
MK_SEQ_DEFINE(mk_chain_links, mk_chain_link, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_commit_proof, "CommitProof", MK_COMMIT_PROOF_TABLE)
MK_SEQ_DEFINE(mk_commit_proofs, mk_commit_proof, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_exec_answer, "ExecAnswer", MK_EXEC_ANSWER_TABLE)

MK_STRUCT_DEFINE(mk_roster_known, "RosterKnown", MK_ROSTER_KNOWN_TABLE)
MK_ENUM_DEFINE(mk_roster_message, "RosterMessage", MK_ROSTER_MESSAGE_TABLE)

MK_STRUCT_DEFINE(mk_beat_hello, "BeatHello", MK_BEAT_HELLO_TABLE)
MK_STRUCT_DEFINE(mk_beat, "Beat", MK_BEAT_TABLE)
MK_STRUCT_DEFINE(mk_beat_interest, "BeatInterest", MK_BEAT_INTEREST_TABLE)
MK_ENUM_DEFINE(mk_beat_message, "BeatMessage", MK_BEAT_MESSAGE_TABLE)

MK_STRUCT_DEFINE(mk_operate_propose, "OperatePropose", MK_OPERATE_PROPOSE_TABLE)
MK_STRUCT_DEFINE(mk_operate_transfer, "OperateTransfer", MK_OPERATE_TRANSFER_TABLE)
MK_STRUCT_DEFINE(mk_operate_check, "OperateCheck", MK_OPERATE_CHECK_TABLE)
MK_ENUM_DEFINE(mk_operate, "Operate", MK_OPERATE_TABLE)

MK_STRUCT_DEFINE(mk_from_after, "After", MK_FROM_AFTER_TABLE)
MK_ENUM_DEFINE(mk_from, "From", MK_FROM_TABLE)
MK_STRUCT_DEFINE(mk_surface_hello, "SurfaceHello", MK_SURFACE_HELLO_TABLE)
MK_STRUCT_DEFINE(mk_lookup, "Lookup", MK_LOOKUP_TABLE)
MK_STRUCT_DEFINE(mk_welcome, "Welcome", MK_WELCOME_TABLE)
MK_STRUCT_DEFINE(mk_snap_item, "SnapItem", MK_SNAP_ITEM_TABLE)
MK_SEQ_DEFINE(mk_snap_items, mk_snap_item, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_record, "Record", MK_RECORD_TABLE)
MK_SEQ_DEFINE(mk_record_seq, mk_record, MK_WIRE_BATCH_MAX, 0)
MK_STRUCT_DEFINE(mk_records, "Records", MK_RECORDS_TABLE)
MK_STRUCT_DEFINE(mk_snap_begin, "SnapBegin", MK_SNAP_BEGIN_TABLE)
MK_STRUCT_DEFINE(mk_found, "Found", MK_FOUND_TABLE)
MK_ENUM_DEFINE(mk_surface_message, "SurfaceMessage", MK_SURFACE_MESSAGE_TABLE)
