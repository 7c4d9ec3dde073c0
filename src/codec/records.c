/* records.c - descriptors of the shared records, and their rules between fields. */
#include <mosaik/machine.h>
#include <mosaik/records.h>

_Static_assert(MK_MAP_OP_KEY_MAX == MK_KEY_MAX, "a map's key must fit its operation");
_Static_assert(MK_MAP_OP_VALUE_MAX == MK_VALUE_MAX, "a map's value must fit its operation");
_Static_assert(MK_HEADS_MAX == MK_SURFACES_MAX, "one head a surface");

MK_SEQ_DEFINE(mk_peers, mk_peer, MK_ROSTER_MAX, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_SEQ_DEFINE(mk_peer_list, mk_peer, MK_PEER_LIST_MAX, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_STRUCT_DEFINE(mk_peer_signature, "PeerSignature", MK_PEER_SIGNATURE_TABLE)
MK_SEQ_DEFINE(mk_peer_signatures, mk_peer_signature, MK_ROSTER_MAX, MK_SEQ_KEYED)
MK_TEXT_DEFINE(mk_address, MK_ADDRESS_MAX, 0)
MK_SEQ_DEFINE(mk_addresses, mk_address, MK_ADDRESSES_MAX, 0)

MK_STRUCT_DEFINE(mk_roster, "Roster", MK_ROSTER_TABLE)
MK_STRUCT_DEFINE(mk_head, "Head", MK_HEAD_TABLE)
MK_SEQ_DEFINE(mk_heads, mk_head, MK_HEADS_MAX, MK_SEQ_SORTED)
MK_STRUCT_DEFINE(mk_roster_change, "RosterChange", MK_ROSTER_CHANGE_TABLE)
MK_STRUCT_DEFINE(mk_certificate, "Certificate", MK_CERTIFICATE_TABLE)
MK_SEQ_DEFINE(mk_siblings, mk_id, MK_PROOF_DEPTH_MAX, 0)
MK_STRUCT_DEFINE(mk_map_leaf, "MapLeaf", MK_MAP_LEAF_TABLE)
MK_OPTION_DEFINE(mk_opt_map_leaf, mk_map_leaf)
MK_STRUCT_DEFINE(mk_map_proof, "MapProof", MK_MAP_PROOF_TABLE)

MK_STRUCT_DEFINE(mk_deployment, "Deployment", MK_DEPLOYMENT_TABLE)
MK_SEQ_DEFINE(mk_raft_ids, mk_u64, MK_ROSTER_MAX, 0)
MK_STRUCT_DEFINE(mk_member_operator, "MemberOperator", MK_MEMBER_OPERATOR_TABLE)
MK_SEQ_DEFINE(mk_member_operators, mk_member_operator, MK_OPERATORS_MAX, MK_SEQ_KEYED)
MK_STRUCT_DEFINE(mk_founding, "Founding", MK_FOUNDING_TABLE)
MK_STRUCT_DEFINE(mk_advance, "Advance", MK_ADVANCE_TABLE)

MK_BLOB_DEFINE(mk_map_op_key, MK_MAP_OP_KEY_MAX)
MK_BLOB_DEFINE(mk_map_op_value, MK_MAP_OP_VALUE_MAX)
MK_OPTION_DEFINE(mk_opt_map_op_value, mk_map_op_value)
MK_STRUCT_DEFINE(mk_map_insert_op, "Insert", MK_MAP_INSERT_TABLE)
MK_STRUCT_DEFINE(mk_map_remove_op, "Remove", MK_MAP_REMOVE_TABLE)
MK_STRUCT_DEFINE(mk_map_compare_set_op, "CompareSet", MK_MAP_COMPARE_SET_TABLE)
MK_STRUCT_DEFINE(mk_map_change, "Change", MK_MAP_CHANGE_TABLE)
MK_SEQ_DEFINE(mk_map_changes, mk_map_change, MK_MAP_CHANGES_MAX, MK_SEQ_KEYED | MK_SEQ_NONEMPTY)
MK_STRUCT_DEFINE(mk_map_many_op, "Many", MK_MAP_MANY_TABLE)
MK_ENUM_DEFINE(mk_map_op, "MapOp", MK_MAP_OP_TABLE)

MK_STRUCT_DEFINE(mk_at_sequence, "AtSequence", MK_AT_SEQUENCE_TABLE)
MK_STRUCT_DEFINE(mk_at_timestamp, "AtTimestamp", MK_AT_TIMESTAMP_TABLE)
MK_STRUCT_DEFINE(mk_at_tick, "AtTick", MK_AT_TICK_TABLE)
MK_ENUM_DEFINE(mk_retirement_instant, "RetirementInstant", MK_RETIREMENT_INSTANT_TABLE)
MK_ENUM_DEFINE(mk_retirement_reason, "RetirementReason", MK_RETIREMENT_REASON_TABLE)
MK_STRUCT_DEFINE(mk_component_ref, "ComponentRef", MK_COMPONENT_REF_TABLE)
MK_OPTION_DEFINE(mk_opt_component_ref, mk_component_ref)
MK_STRUCT_DEFINE(mk_retirement_marker, "RetirementMarker", MK_RETIREMENT_MARKER_TABLE)

MK_STRUCT_DEFINE(mk_measurements, "Measurements", MK_MEASUREMENTS_TABLE)
MK_OPTION_DEFINE(mk_opt_measurements, mk_measurements)
MK_SEQ_DEFINE(mk_measurements_set, mk_measurements, MK_ACL_SET_MAX, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_SEQ_DEFINE(mk_issuer_roots, mk_id, MK_ACL_SET_MAX, MK_SEQ_SORTED | MK_SEQ_NONEMPTY)
MK_BLOB_DEFINE(mk_acl_key, MK_ACL_KEY_MAX)
MK_TEXT_DEFINE(mk_jwt_issuer, MK_JWT_ISSUER_MAX, 0)
MK_STRUCT_DEFINE(mk_clause_root, "Root", MK_CLAUSE_ROOT_TABLE)
MK_STRUCT_DEFINE(mk_clause_tdx, "Tdx", MK_CLAUSE_TDX_TABLE)
MK_STRUCT_DEFINE(mk_clause_tdx_set, "TdxSet", MK_CLAUSE_TDX_SET_TABLE)
MK_STRUCT_DEFINE(mk_clause_jwt, "Jwt", MK_CLAUSE_JWT_TABLE)
MK_STRUCT_DEFINE(mk_clause_reputation, "Reputation", MK_CLAUSE_REPUTATION_TABLE)
MK_STRUCT_DEFINE(mk_clause_organism, "Organism", MK_CLAUSE_ORGANISM_TABLE)
MK_STRUCT_DEFINE(mk_clause_module, "Module", MK_CLAUSE_MODULE_TABLE)
MK_STRUCT_DEFINE(mk_clause_level, "Level", MK_CLAUSE_LEVEL_TABLE)
MK_STRUCT_DEFINE(mk_clause_peers, "Peers", MK_CLAUSE_PEERS_TABLE)
MK_STRUCT_DEFINE(mk_clause_roots, "Roots", MK_CLAUSE_ROOTS_TABLE)
MK_ENUM_DEFINE(mk_acl_clause, "AclClause", MK_ACL_CLAUSE_TABLE)
MK_SEQ_DEFINE(mk_acl_clauses, mk_acl_clause, MK_ACL_CLAUSES_MAX, 0)
MK_STRUCT_DEFINE(mk_acl_composition, "AclComposition", MK_ACL_COMPOSITION_TABLE)

MK_STRUCT_DEFINE(mk_evidence_pointer, "EvidencePointer", MK_EVIDENCE_POINTER_TABLE)
MK_OPTION_DEFINE(mk_opt_evidence_pointer, mk_evidence_pointer)
MK_STRUCT_DEFINE(mk_almanac_range, "AlmanacRange", MK_ALMANAC_RANGE_TABLE)

MK_BLOB_DEFINE(mk_ticket_data, MK_TICKET_DATA_MAX)
MK_BLOB_DEFINE(mk_ticket_claims, MK_CLAIMS_MAX)
MK_STRUCT_DEFINE(mk_ticket, "Ticket", MK_TICKET_TABLE)
MK_STRUCT_DEFINE(mk_signed_ticket, "SignedTicket", MK_SIGNED_TICKET_TABLE)
MK_SEQ_DEFINE(mk_jtis, mk_b16, MK_REVOCATIONS_MAX, 0)
MK_STRUCT_DEFINE(mk_ticket_revocations, "TicketRevocations", MK_TICKET_REVOCATIONS_TABLE)

int mk_retirement_marker_check(const struct mk_retirement_marker *m, struct mk_fault *reterr)
{
    bool some = m->replacement.some;

    if (m->reason.tag == mk_retirement_reason_Rotation && !some)
        return mk_fault(reterr, MK_EMALFORMED, "a Rotation names its replacement");
    if (some && (m->reason.tag == mk_retirement_reason_Retired ||
                 m->reason.tag == mk_retirement_reason_OperatorExit))
        return mk_fault(reterr, MK_EMALFORMED, "Retired and OperatorExit have no replacement");
    if (some && m->replacement.v.kind > MK_COMPONENT_COALITION)
        return mk_fault(reterr, MK_EMALFORMED, "a component's kind is 0 to 3");
    return 0;
}

int mk_almanac_range_check(const struct mk_almanac_range *r, struct mk_fault *reterr)
{
    if (r->end < r->start)
        return mk_fault(reterr, MK_EMALFORMED, "a range ends at or after its start");
    return 0;
}

const char *mk_attestation_level_name(uint8_t level)
{
    static const char *const names[] = {"Software", "TdxLocal", "TdxRemote",
                                        "TdxRaTlsBidirectional", "TdxPlusReproducibleBuild"};

    return level < sizeof names / sizeof names[0] ? names[level] : NULL;
}

/* The raw 32 bytes of EdDSA, or the SEC1 compressed point of a curve. */
static const char *jwt_rule(const struct mk_clause_jwt *jwt)
{
    static const struct {
        const char *algorithm;
        size_t n;
    } keys[] = {{"ES256", 33}, {"ES256K", 33}, {"ES384", 49}, {"ES512", 67}, {"EdDSA", 32}};

    if (jwt->issuer.n == 0)
        return "the issuer must not be empty";
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!mk_str_is(jwt->algorithm, keys[i].algorithm))
            continue;
        if (jwt->key.n != keys[i].n)
            return "the key has not the length of its algorithm: 32 raw bytes for EdDSA, else the "
                   "SEC1 compressed point";
        if (keys[i].n != 32 && jwt->key.p[0] != 2 && jwt->key.p[0] != 3)
            return "the key is a SEC1 compressed point, which starts with 02 or 03";
        return NULL;
    }
    return "the algorithm is ES256, ES256K, ES384, ES512 or EdDSA";
}

static const char *clause_rule(const struct mk_acl_clause *c)
{
    switch (c->tag) {
    case mk_acl_clause_RequireJwt:
        return jwt_rule(&c->u.require_jwt);
    case mk_acl_clause_ReputationFloor:
        return c->u.reputation_floor.floor_bps > 10000 ? "a floor is at most 10000 basis points"
                                                       : NULL;
    case mk_acl_clause_AttestationFloor:
        return mk_attestation_level_name(c->u.attestation_floor.level) == NULL
                   ? "an attestation level is 0 to 4"
                   : NULL;
    default:
        return NULL;
    }
}

int mk_acl_check(const struct mk_acl_composition *acl, struct mk_fault *reterr)
{
    for (size_t i = 0; i < acl->clauses.n; i++) {
        const char *rule = clause_rule(&acl->clauses.v[i]);

        if (rule != NULL)
            return mk_fault(reterr, MK_EMALFORMED, "clause %zu: %s", i + 1, rule);
    }
    return 0;
}
