/* records.h - the records that every replicated component shares
 * (spec/committees.md, spec/identity.md "ACL composition", spec/services.md
 * "Ticket issuer"), as tables of the datum encoding.
 *
 * For each type X here: struct mk_x (also mk_x_d), mk_x_type, and the layout
 * text of the specification. A line F(S, mk_u64, epoch) of MK_X_TABLE is the field
 * `mk_u64_d epoch` of struct mk_x, and X's encoding has them in that order; an option
 * is { bool some; T v; }, a seq { const T *v; size_t n; } (datum.h, "Reading a table"). What a
 * table cannot say (who must have signed, which fields go together) is checked by whoever judges
 * the record; the few such rules that need nothing else are the functions at the end. */
#ifndef MOSAIK_RECORDS_H
#define MOSAIK_RECORDS_H

#include <mosaik/datum.h>

#define MK_ROSTER_MAX 15u                /* peers of a roster */
#define MK_PEER_LIST_MAX 4096u           /* peers of a PeerList or a franchise */
#define MK_ACL_CLAUSES_MAX 64u           /* clauses of a composition */
#define MK_ACL_SET_MAX 256u              /* Measurements of TdxInSet, roots of RecogniseAnyIssuer */
#define MK_ACL_KEY_MAX 256u              /* bytes of a JWT key */
#define MK_JWT_ISSUER_MAX 256u           /* bytes of a JWT issuer */
#define MK_ADDRESS_MAX 320u              /* bytes of "<peer hex>@host:port" */
#define MK_ADDRESSES_MAX 64u             /* addresses of a Deployment */
#define MK_HEADS_MAX 64u                 /* heads of a RosterChange: one a surface */
#define MK_OPERATORS_MAX 65536u          /* operators of a Founding */
#define MK_PROOF_DEPTH_MAX 256u          /* siblings of a MapProof */
#define MK_CLAIMS_MAX 4096u              /* bytes of a ticket's claims */
#define MK_TICKET_DATA_MAX 8192u         /* bytes of a ticket's data */
#define MK_REVOCATIONS_MAX 65536u        /* jti of a TicketRevocations */
#define MK_MAP_OP_KEY_MAX 1024u          /* bytes of pc(K) */
#define MK_MAP_OP_VALUE_MAX (128u << 10) /* bytes of pc(V) */
#define MK_MAP_CHANGES_MAX 32768u        /* keys that one commit changes */

/* --- peers and signatures --------------------------------------------------- */

/** Of a roster: sorted, distinct, 1 to MK_ROSTER_MAX. */
MK_SEQ_DECLARE(mk_peers, mk_peer)
/** Of a list in a config: sorted, distinct, not empty. */
MK_SEQ_DECLARE(mk_peer_list, mk_peer)

#define MK_PEER_SIGNATURE_TABLE(F, S)              \
    F(S, mk_peer, peer)           /* who signed */ \
    F(S, mk_signature, signature) /* over what the record around it says */
MK_STRUCT_DECLARE(mk_peer_signature, MK_PEER_SIGNATURE_TABLE)
/** Sorted by peer, distinct peers, up to MK_ROSTER_MAX. */
MK_SEQ_DECLARE(mk_peer_signatures, mk_peer_signature)

MK_TEXT_DECLARE(mk_address) /* "<peer hex>@host:port", up to MK_ADDRESS_MAX bytes */
MK_SEQ_DECLARE(mk_addresses, mk_address)

/* --- rosters, heads, certificates -------------------------------------------- */

#define MK_ROSTER_TABLE(F, S)                                                   \
    F(S, mk_id, deployment) /* whose committee */                               \
    F(S, mk_u64, epoch)     /* from 1, one more with each change */             \
    F(S, mk_id, previous)   /* roster id of the one before; zero for epoch 1 */ \
    F(S, mk_peers, peers)   /* sorted */
MK_STRUCT_DECLARE(mk_roster, MK_ROSTER_TABLE)

#define MK_HEAD_TABLE(F, S)                                                  \
    F(S, mk_id, deployment) /* of the component */                           \
    F(S, mk_u64, epoch)     /* of the roster that signs */                   \
    F(S, mk_id, surface)    /* surface id */                                 \
    F(S, mk_u64, index)     /* commits so far; 0: none yet */                \
    F(S, mk_id, commit)     /* hash of the last of them, which chains all */ \
    F(S, mk_id, state)      /* root of the trie; zero for a stream */        \
    F(S, mk_u64, time_ms)   /* machine time, unix */
MK_STRUCT_DECLARE(mk_head, MK_HEAD_TABLE)
/** Of one deployment and epoch: sorted by the encoding, which is by surface. */
MK_SEQ_DECLARE(mk_heads, mk_head)

#define MK_ROSTER_CHANGE_TABLE(F, S)                                        \
    F(S, mk_roster, roster)       /* the next one, epoch + 1 */             \
    F(S, mk_heads, heads)         /* the old epoch's last, one a surface */ \
    F(S, mk_peer_signatures, old) /* of a majority of the old roster */     \
    F(S, mk_peer_signatures, new) /* of a majority of the next one */
MK_STRUCT_DECLARE(mk_roster_change, MK_ROSTER_CHANGE_TABLE)

#define MK_CERTIFICATE_TABLE(F, S) \
    F(S, mk_head, head)            \
    F(S, mk_peer_signatures, signatures) /* a majority of its epoch's roster */
MK_STRUCT_DECLARE(mk_certificate, MK_CERTIFICATE_TABLE)

/** From the root down. */
MK_SEQ_DECLARE(mk_siblings, mk_id)
#define MK_MAP_LEAF_TABLE(F, S)       \
    F(S, mk_id, key)   /* H(pc(K)) */ \
    F(S, mk_id, value) /* H(pc(V)) */
MK_STRUCT_DECLARE(mk_map_leaf, MK_MAP_LEAF_TABLE)
MK_OPTION_DECLARE(mk_opt_map_leaf, mk_map_leaf)
#define MK_MAP_PROOF_TABLE(F, S)                             \
    F(S, mk_siblings, siblings) /* hashes beside the path */ \
    F(S, mk_opt_map_leaf,                                    \
      other) /* absent key: the leaf that stands in its place; none: nothing does */
MK_STRUCT_DECLARE(mk_map_proof, MK_MAP_PROOF_TABLE)

/* --- deployments and founding ------------------------------------------------- */

#define MK_DEPLOYMENT_TABLE(F, S)                                                \
    F(S, mk_id, stable_id)  /* what runs, whatever its content */                \
    F(S, mk_id, deployment) /* organism_id or module_id: this content of it */   \
    F(S, mk_id, content_hash)                                                    \
    F(S, mk_u64, version)         /* from 1; the highest counts */               \
    F(S, mk_roster, roster)       /* the first one */                            \
    F(S, mk_addresses, addresses) /* of its peers; hints, not folded anywhere */ \
    F(S, mk_peer, operator)       /* who signs this */                           \
    F(S, mk_signature, signature) /* over all before it */
MK_STRUCT_DECLARE(mk_deployment, MK_DEPLOYMENT_TABLE)

/** In roster order, up to MK_ROSTER_MAX. */
MK_SEQ_DECLARE(mk_raft_ids, mk_u64)
#define MK_MEMBER_OPERATOR_TABLE(F, S)                   \
    F(S, mk_id, member)     /* the member's stable id */ \
    F(S, mk_peer, operator) /* who may publish its card */
MK_STRUCT_DECLARE(mk_member_operator, MK_MEMBER_OPERATOR_TABLE)
/** Sorted by member, distinct. */
MK_SEQ_DECLARE(mk_member_operators, mk_member_operator)
#define MK_FOUNDING_TABLE(F, S)                                                                \
    F(S, mk_id, deployment)                                                                    \
    F(S, mk_roster, roster)              /* the first one, epoch 1 */                          \
    F(S, mk_raft_ids, raft_ids)          /* in roster order; of the disks it was founded on */ \
    F(S, mk_member_operators, operators) /* of catalogue entries; filled for Atlas alone */    \
    F(S, mk_opt_peer, default_operator)  /* of all others, and of rosters */
MK_STRUCT_DECLARE(mk_founding, MK_FOUNDING_TABLE)

#define MK_ADVANCE_TABLE(F, S)            \
    F(S, mk_peer, peer) /* whose clock */ \
    F(S, mk_u64, unix_ms)                 \
    F(S, mk_signature, signature) /* over deployment and unix_ms */
MK_STRUCT_DECLARE(mk_advance, MK_ADVANCE_TABLE)

/* --- maps ----------------------------------------------------------------------- */

MK_BLOB_DECLARE(mk_map_op_key)   /* pc(K), up to MK_MAP_OP_KEY_MAX */
MK_BLOB_DECLARE(mk_map_op_value) /* pc(V), up to MK_MAP_OP_VALUE_MAX */
MK_OPTION_DECLARE(mk_opt_map_op_value, mk_map_op_value)

#define MK_MAP_INSERT_TABLE(F, S) \
    F(S, mk_map_op_key, key)      \
    F(S, mk_map_op_value, value) /* the one before is replaced */
MK_STRUCT_DECLARE(mk_map_insert_op, MK_MAP_INSERT_TABLE)
#define MK_MAP_REMOVE_TABLE(F, S) F(S, mk_map_op_key, key)
MK_STRUCT_DECLARE(mk_map_remove_op, MK_MAP_REMOVE_TABLE)
#define MK_MAP_COMPARE_SET_TABLE(F, S)                                   \
    F(S, mk_map_op_key, key)                                             \
    F(S, mk_opt_map_op_value, expect) /* none: the key must be absent */ \
    F(S, mk_map_op_value, value)
MK_STRUCT_DECLARE(mk_map_compare_set_op, MK_MAP_COMPARE_SET_TABLE)
/* Several keys at once, as one commit: a value, or none to remove the key. */
#define MK_MAP_CHANGE_TABLE(F, S) \
    F(S, mk_map_op_key, key)      \
    F(S, mk_opt_map_op_value, value) /* none: removed */
MK_STRUCT_DECLARE(mk_map_change, MK_MAP_CHANGE_TABLE)
/** Sorted by the encoded key, distinct, not empty. */
MK_SEQ_DECLARE(mk_map_changes, mk_map_change)
#define MK_MAP_MANY_TABLE(F, S) F(S, mk_map_changes, changes)
MK_STRUCT_DECLARE(mk_map_many_op, MK_MAP_MANY_TABLE)

#define MK_MAP_OP_TABLE(F, S)                                                                     \
    F(S, Insert, 0, mk_map_insert_op, insert)               /* a key is set */                    \
    F(S, Remove, 1, mk_map_remove_op, remove)               /* a key goes */                      \
    F(S, CompareSet, 2, mk_map_compare_set_op, compare_set) /* set, if it is what was expected */ \
    F(S, Clear, 3, mk_unit, clear)                          /* all keys go */                     \
    F(S, Many, 4, mk_map_many_op, many)                     /* several keys, one commit */
MK_ENUM_DECLARE(mk_map_op, MK_MAP_OP_TABLE)

/* --- retirement ------------------------------------------------------------------ */

#define MK_AT_SEQUENCE_TABLE(F, S) F(S, mk_u64, seq) /* log entries after the marker */
MK_STRUCT_DECLARE(mk_at_sequence, MK_AT_SEQUENCE_TABLE)
#define MK_AT_TIMESTAMP_TABLE(F, S) F(S, mk_u64, unix_ms) /* machine time */
MK_STRUCT_DECLARE(mk_at_timestamp, MK_AT_TIMESTAMP_TABLE)
#define MK_AT_TICK_TABLE(F, S)                         \
    F(S, mk_id, almanac) /* the Almanac's module_id */ \
    F(S, mk_u64, tick)   /* its seq */
MK_STRUCT_DECLARE(mk_at_tick, MK_AT_TICK_TABLE)
#define MK_RETIREMENT_INSTANT_TABLE(F, S)               \
    F(S, AtSequence, 0, mk_at_sequence, at_sequence)    \
    F(S, AtTimestamp, 1, mk_at_timestamp, at_timestamp) \
    F(S, AtTick, 2, mk_at_tick, at_tick)
MK_ENUM_DECLARE(mk_retirement_instant, MK_RETIREMENT_INSTANT_TABLE)

#define MK_RETIREMENT_REASON_TABLE(F, S)                                                   \
    F(S, Rotation, 0, mk_unit, rotation)          /* another one follows: replacement */   \
    F(S, Retired, 1, mk_unit, retired)            /* nothing follows */                    \
    F(S, OperatorExit, 2, mk_unit, operator_exit) /* the operator goes, nothing follows */ \
    F(S, Emergency, 3, mk_unit, emergency)        /* at once; either */
MK_ENUM_DECLARE(mk_retirement_reason, MK_RETIREMENT_REASON_TABLE)

enum mk_component_kind {
    MK_COMPONENT_LATTICE = 0,
    MK_COMPONENT_ORGANISM = 1,
    MK_COMPONENT_MODULE = 2,
    MK_COMPONENT_COALITION = 3,
};
#define MK_COMPONENT_REF_TABLE(F, S)                       \
    F(S, mk_u8, kind) /* enum mk_component_kind */         \
    F(S, mk_name, role)                                    \
    F(S, mk_id, stable_id)                                 \
    F(S, mk_opt_id, content_hash) /* a pin */              \
    F(S, mk_opt_id, deployment)   /* this very one */      \
    F(S, mk_opt_id, coalition)    /* kind module: whose */ \
    F(S, mk_opt_peer, operator)   /* who signs its Deployments */
MK_STRUCT_DECLARE(mk_component_ref, MK_COMPONENT_REF_TABLE)
MK_OPTION_DECLARE(mk_opt_component_ref, mk_component_ref)

#define MK_RETIREMENT_MARKER_TABLE(F, S)                                             \
    F(S, mk_retirement_instant, effective_at) /* from then on nothing is accepted */ \
    F(S, mk_retirement_reason, reason)                                               \
    F(S, mk_opt_component_ref, replacement) /* what follows it */
MK_STRUCT_DECLARE(mk_retirement_marker, MK_RETIREMENT_MARKER_TABLE)

/* --- admission -------------------------------------------------------------------- */

#define MK_MEASUREMENTS_TABLE(F, S)                                  \
    F(S, mk_b48, mr_td)            /* the image; must be equal */    \
    F(S, mk_opt_b48, mr_config_id) /* the rest: none, any will do */ \
    F(S, mk_opt_b48, mr_owner)                                       \
    F(S, mk_opt_b48, mr_owner_config)                                \
    F(S, mk_opt_b48, rtmr0)                                          \
    F(S, mk_opt_b48, rtmr1)                                          \
    F(S, mk_opt_b48, rtmr2)                                          \
    F(S, mk_opt_b48, rtmr3)
MK_STRUCT_DECLARE(mk_measurements, MK_MEASUREMENTS_TABLE)
MK_OPTION_DECLARE(mk_opt_measurements, mk_measurements)

/** Sorted, distinct, not empty. */
MK_SEQ_DECLARE(mk_measurements_set, mk_measurements)
/** Sorted, distinct, not empty. */
MK_SEQ_DECLARE(mk_issuer_roots, mk_id)
MK_BLOB_DECLARE(mk_acl_key)
MK_TEXT_DECLARE(mk_jwt_issuer)

#define MK_CLAUSE_ROOT_TABLE(F, S) F(S, mk_id, root) /* the issuer's TICKETS_ROOT */
MK_STRUCT_DECLARE(mk_clause_root, MK_CLAUSE_ROOT_TABLE)
#define MK_CLAUSE_TDX_TABLE(F, S) F(S, mk_measurements, measurements) /* that a quote must show */
MK_STRUCT_DECLARE(mk_clause_tdx, MK_CLAUSE_TDX_TABLE)
#define MK_CLAUSE_TDX_SET_TABLE(F, S) F(S, mk_measurements_set, set) /* any one of them */
MK_STRUCT_DECLARE(mk_clause_tdx_set, MK_CLAUSE_TDX_SET_TABLE)
#define MK_CLAUSE_JWT_TABLE(F, S)                                                  \
    F(S, mk_jwt_issuer, issuer) /* the token's iss */                              \
    F(S, mk_name, algorithm)    /* "ES256", "ES256K", "ES384", "ES512", "EdDSA" */ \
    F(S, mk_acl_key, key)       /* public: 32 raw bytes (EdDSA), else SEC1 compressed */
MK_STRUCT_DECLARE(mk_clause_jwt, MK_CLAUSE_JWT_TABLE)
#define MK_CLAUSE_REPUTATION_TABLE(F, S)                      \
    F(S, mk_id, organism)   /* stable id: its map `scores` */ \
    F(S, mk_u16, floor_bps) /* basis points, up to 10000 */
MK_STRUCT_DECLARE(mk_clause_reputation, MK_CLAUSE_REPUTATION_TABLE)
#define MK_CLAUSE_ORGANISM_TABLE(F, S)                        \
    F(S, mk_id, organism) /* stable id: its map `settlements` \
                           */
MK_STRUCT_DECLARE(mk_clause_organism, MK_CLAUSE_ORGANISM_TABLE)
#define MK_CLAUSE_MODULE_TABLE(F, S) F(S, mk_id, module) /* module_id */
MK_STRUCT_DECLARE(mk_clause_module, MK_CLAUSE_MODULE_TABLE)
#define MK_CLAUSE_LEVEL_TABLE(F, S) F(S, mk_u8, level) /* enum mk_attestation_level, at least */
MK_STRUCT_DECLARE(mk_clause_level, MK_CLAUSE_LEVEL_TABLE)
#define MK_CLAUSE_PEERS_TABLE(F, S) F(S, mk_peer_list, peers) /* these alone */
MK_STRUCT_DECLARE(mk_clause_peers, MK_CLAUSE_PEERS_TABLE)
#define MK_CLAUSE_ROOTS_TABLE(F, S) F(S, mk_issuer_roots, roots) /* any of these issuers */
MK_STRUCT_DECLARE(mk_clause_roots, MK_CLAUSE_ROOTS_TABLE)

#define MK_ACL_CLAUSE_TABLE(F, S)                                    \
    F(S, RecogniseIssuer, 0, mk_clause_root, recognise_issuer)       \
    F(S, RequireTdx, 1, mk_clause_tdx, require_tdx)                  \
    F(S, VerifyPeerTdx, 2, mk_clause_tdx, verify_peer_tdx)           \
    F(S, TdxInSet, 3, mk_clause_tdx_set, tdx_in_set)                 \
    F(S, RequireJwt, 4, mk_clause_jwt, require_jwt)                  \
    F(S, ReputationFloor, 5, mk_clause_reputation, reputation_floor) \
    F(S, MarketSettlement, 6, mk_clause_organism, market_settlement) \
    F(S, ComputeModulePin, 7, mk_clause_module, compute_module_pin)  \
    F(S, RequesterAcl, 8, mk_clause_module, requester_acl)           \
    F(S, AttestationFloor, 9, mk_clause_level, attestation_floor)    \
    F(S, PeerList, 10, mk_clause_peers, peer_list)                   \
    F(S, RecogniseOwnIssuer, 11, mk_unit, recognise_own_issuer)      \
    F(S, OwnComputeModule, 12, mk_unit, own_compute_module)          \
    F(S, OwnRequesterAcl, 13, mk_unit, own_requester_acl)            \
    F(S, GateReaders, 14, mk_unit, gate_readers)                     \
    F(S, RecogniseAnyIssuer, 15, mk_clause_roots, recognise_any_issuer)
MK_ENUM_DECLARE(mk_acl_clause, MK_ACL_CLAUSE_TABLE)
MK_SEQ_DECLARE(mk_acl_clauses, mk_acl_clause)

/** All zero is OPEN. */
#define MK_ACL_COMPOSITION_TABLE(F, S) F(S, mk_acl_clauses, clauses) /* all of them must admit */
MK_STRUCT_DECLARE(mk_acl_composition, MK_ACL_COMPOSITION_TABLE)

/* --- evidence ----------------------------------------------------------------------- */

#define MK_EVIDENCE_POINTER_TABLE(F, S)                                              \
    F(S, mk_member_id, member) /* of the component that is cited */                  \
    F(S, mk_id, surface)       /* surface id */                                      \
    F(S, mk_u64, clock)        /* the datum's own: a tick's seq, a card's version */ \
    F(S, mk_id, commit)        /* its hash */
MK_STRUCT_DECLARE(mk_evidence_pointer, MK_EVIDENCE_POINTER_TABLE)
MK_OPTION_DECLARE(mk_opt_evidence_pointer, mk_evidence_pointer)

#define MK_ALMANAC_RANGE_TABLE(F, S)                                         \
    F(S, mk_id, almanac) /* module_id; ticks mean something with it alone */ \
    F(S, mk_u64, start)  /* seq */                                           \
    F(S, mk_u64, end)    /* seq; not before start */
MK_STRUCT_DECLARE(mk_almanac_range, MK_ALMANAC_RANGE_TABLE)

/* --- tickets -------------------------------------------------------------------------- */

MK_BLOB_DECLARE(mk_ticket_data)
MK_BLOB_DECLARE(mk_ticket_claims)

#define MK_TICKET_TABLE(F, S)                                        \
    F(S, mk_id, class)         /* the issuer's root, or id("jwt") */ \
    F(S, mk_ticket_data, data) /* pc(SignedTicket), or the token */
MK_STRUCT_DECLARE(mk_ticket, MK_TICKET_TABLE)

#define MK_SIGNED_TICKET_TABLE(F, S)                                             \
    F(S, mk_ticket_claims, claims)       /* JSON (ticket.h, struct mk_claims) */ \
    F(S, mk_u64, epoch)                  /* of the issuer's roster */            \
    F(S, mk_peer_signatures, signatures) /* a majority of it */
MK_STRUCT_DECLARE(mk_signed_ticket, MK_SIGNED_TICKET_TABLE)

MK_SEQ_DECLARE(mk_jtis, mk_b16)
#define MK_TICKET_REVOCATIONS_TABLE(F, S)                                  \
    F(S, mk_id, root)     /* whose tickets */                              \
    F(S, mk_u64, epoch)   /* of the issuer's roster */                     \
    F(S, mk_u64, version) /* unix ms of its signing: the highest counts */ \
    F(S, mk_jtis, jti)    /* sorted, distinct */
MK_STRUCT_DECLARE(mk_ticket_revocations, MK_TICKET_REVOCATIONS_TABLE)

/* --- rules between fields ---------------------------------------------------------------- */

/** Rotation needs a replacement; Retired and OperatorExit forbid it; a replacement's kind
 * is known. MK_EMALFORMED with the rule. */
int mk_retirement_marker_check(const struct mk_retirement_marker *m, struct mk_fault *reterr);

/** end is not before start. */
int mk_almanac_range_check(const struct mk_almanac_range *r, struct mk_fault *reterr);

/** Each clause's own rules beside its shape: a known algorithm and the length of its key,
 * a floor up to 10000, a known attestation level. MK_EMALFORMED with the clause's number. */
int mk_acl_check(const struct mk_acl_composition *acl, struct mk_fault *reterr);

/** The ladder (spec/identity.md); what each level must show is in docs/attestation.md. */
enum mk_attestation_level {
    MK_LEVEL_SOFTWARE,
    MK_LEVEL_TDX_LOCAL,
    MK_LEVEL_TDX_REMOTE,
    MK_LEVEL_TDX_RA_TLS,
    MK_LEVEL_TDX_REPRODUCIBLE,
};

/** The attestation level's name ("Software", ...), NULL when there is no such level. */
const char *mk_attestation_level_name(uint8_t level);

#endif /* MOSAIK_RECORDS_H */
