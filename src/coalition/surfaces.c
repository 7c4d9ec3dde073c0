/* surfaces.c - the surfaces of the modules and feeds, as spec/services.md writes them.
 *
 * Texts, because the rung knows names and digests and nothing of the machines;
 * each machine's test holds its own types against these. */
#include <coalition/modules.h>

#include "base/assert.h"

#define MEASUREMENTS                                                                             \
    "{mr_td:[48]u8,mr_config_id:?[48]u8,mr_owner:?[48]u8,mr_owner_config:?[48]u8,rtmr0:?[48]u8," \
    "rtmr1:?[48]u8,rtmr2:?[48]u8,rtmr3:?[48]u8}"
#define EVIDENCE "{member:[20]u8,surface:id,clock:u64,commit:id}"
#define PROVIDER_CARD                                                                              \
    "id>ProviderCard{provider_id:id,operator:peer,capabilities:{regions:*str,tdx_capable:bool,"    \
    "max_cpu_millicores:u64,max_ram_mib:u64},declared_rates:*{backend:str,core_hour_microusd:u64," \
    "gib_hour_microusd:u64},quote:?bytes,reply:id,refreshed_at:u64,schemes:*str,"                  \
    "signature:[64]u8}"
#define DECIMAL "{mantissa:i128,scale:u8}"

const char COA_PRICE_TICK_LAYOUT[] =
    "PriceTick{timestamp_ms:u64,pair:{base:str,quote:str},price:" DECIMAL ",confidence:" DECIMAL
    ",source_set_digest:[32]u8,source_count:u8,stale:bool,seq:u64}";

const char COA_ORACLE_LATEST_LAYOUT[] =
    "Source{member:[20]u8,pair:u16}>Observed{evidence:" EVIDENCE ",mantissa:i128,timestamp_ms:u64}";

#define SURFACE(kind, name, layout)                               \
    {                                                             \
        MK_STR_INIT(kind), MK_STR_INIT(name), MK_STR_INIT(layout) \
    }

static const struct coa_surface atlas[] = {
    SURFACE("map", "cards",
            "[20]u8>MemberCard{member_id:[20]u8,stable_id:id,kind:u8,role:str,content_hash:?id,"
            "endpoint_hints:*str,ticket_root:?id,measurements:?" MEASUREMENTS
            ",successor_hint:?id,status:(Active=0,Retiring=1,Retired=2),version:u64,operator:peer,"
            "signature:[64]u8}"),
};
static const struct coa_surface almanac[] = {
    SURFACE("stream", "ticks",
            "AlmanacTick{seq:u64,observed_at:*{peer:peer,unix_ms:u64,signature:[64]u8}}"),
};
static const struct coa_surface chronicle[] = {
    SURFACE("stream", "entries",
            "ChronicleEntry{seq:u64,kind:(Published=0,MemberAdded=1,MemberRemoved=2,"
            "MemberRotated=3,OrganismRetired=4,ModuleShipped=5,ModuleUpgraded=6,ModuleRetired=7,"
            "TicketIssuerRotated=8,CoalitionRetired=9,Advisory=10,BeaconChallenge=11,"
            "Other=12{tag:str}),coalition:id,tick:?{almanac:id,tick:u64},unix_ms:u64,"
            "payload:bytes,author:peer,author_nonce:u64,author_signature:[64]u8,previous:id}"),
};
static const struct coa_surface compute[] = {
    SURFACE("map", "requests",
            "id>ComputeRequest{requester:[20]u8,requester_key:peer,nonce:u64,workload:id,pin:?id,"
            "duration_sec:u32,settlement:id,deadline:u64,signature:[64]u8}"),
    SURFACE("map", "grants",
            "id>ComputeGrant{request_id:id,provider:[20]u8,endpoint_hint:str,bearer_pointer:id,"
            "content_hash:id,valid_from:u64,valid_to:u64,expected_mrtd:?[48]u8}"),
    SURFACE("map", "providers", PROVIDER_CARD),
    SURFACE("stream", "logs",
            "ComputeLog{grant_id:id,provider:[20]u8,start:u64,end:u64,final:bool,"
            "usage:{cpu_core_seconds:u64,ram_mib_seconds:u64,net_bytes:u64},evidence:?" EVIDENCE
            ",signature:[64]u8}"),
    SURFACE("stream", "clearings",
            "ClearingRecord{round:u64,request_id:id,winning_provider:[20]u8,"
            "clearing_rate_microusd:u64,region:str,tdx_required:bool,evidence:id}"),
};
static const struct coa_surface randomness[] = {
    SURFACE("stream", "beacon",
            "BeaconTick{round:u64,provider:[20]u8,value:[32]u8,proof:bytes,committed_at:u64}"),
    SURFACE("map", "providers", PROVIDER_CARD),
};

#define LIST(a)                     \
    {                               \
        a, sizeof(a) / sizeof(a)[0] \
    }

struct coa_surfaces coa_module_surfaces(enum coa_module_kind kind)
{
    static const struct coa_surfaces lists[COA_MODULE_KINDS] = {
        [COA_ATLAS] = LIST(atlas),           [COA_ALMANAC] = LIST(almanac),
        [COA_CHRONICLE] = LIST(chronicle),   [COA_COMPUTE] = LIST(compute),
        [COA_RANDOMNESS] = LIST(randomness),
    };

    MK_ASSERT((unsigned)kind < COA_MODULE_KINDS);
    return lists[kind];
}

struct mk_id coa_surface_id_of(const struct coa_surface *s, const struct mk_id *stable_id)
{
    struct mk_id schema = mk_hash(MK_BYTES(s->layout.p, s->layout.n));

    return coa_surface_id(stable_id, s->kind, s->name, &schema);
}
