#!/usr/bin/env python3
"""The ids of a coalition or organism file, derived without the program.

  tools/derive.py FILE

Prints the JSON object of `coalition freeze FILE --json` (or of `coalition organism`), from the
rules alone: Python's standard library, and BLAKE3 written out below. It exists to disagree: it
shares no code and no table with the C sources, and checks nothing that a well-formed file keeps.
"""
import json
import struct
import sys
import tomllib

# --- BLAKE3 (hash mode, 32 bytes) -----------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
M32 = 0xFFFFFFFF


def compress(cv, block, counter, length, flags):
    v = list(cv) + [*IV[:4], counter & M32, counter >> 32, length, flags]
    m = list(struct.unpack('<16I', block.ljust(64, b'\0')))
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(MIXES):
            for word, r1, r2 in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & M32
                x = v[d] ^ v[a]
                v[d] = (x >> r1 | x << 32 - r1) & M32
                v[c] = (v[c] + v[d]) & M32
                x = v[b] ^ v[c]
                v[b] = (x >> r2 | x << 32 - r2) & M32
        m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def chunk_cv(chunk, index, flags):
    blocks = [chunk[i:i + 64] for i in range(0, len(chunk), 64)] or [b'']
    cv = IV
    for i, block in enumerate(blocks):
        f = (CHUNK_START if i == 0 else 0)
        if i == len(blocks) - 1:
            f |= CHUNK_END | flags
        cv = compress(cv, block, index, len(block), f)
    return cv


def subtree(data, first, flags):
    """The chaining value of a tree; the left side is the largest full power of two."""
    chunks = max(1, -(-len(data) // 1024))
    if chunks == 1:
        return chunk_cv(data, first, flags)
    left = 1 << (chunks - 1).bit_length() - 1
    a = subtree(data[:left * 1024], first, 0)
    b = subtree(data[left * 1024:], first + left, 0)
    return compress(IV, struct.pack('<16I', *a, *b), 0, 64, PARENT | flags)


def H(data):
    return struct.pack('<8I', *subtree(bytes(data), 0, ROOT))


# --- notation -------------------------------------------------------------------------

ZERO = bytes(32)
V = b'\x01'


def text(s):
    return s if isinstance(s, bytes) else s.encode()


def hash_many(*parts):
    return H(b''.join(struct.pack('<Q', len(text(p))) + text(p) for p in parts))


def derive(i, segment):
    return H(i + text(segment))


def id_of(s):
    if len(s) == 64 and all(c in '0123456789abcdefABCDEF' for c in s):
        return bytes.fromhex(s)
    return H(text(s))


def ids(items):
    items = list(items)
    return struct.pack('<I', len(items)) + b''.join(items)


UNIVERSE = id_of('mosaik.universe')
SEED = id_of('coalition.root.v1')

# --- postcard --------------------------------------------------------------------------


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def raw(b):
    return varint(len(text(b))) + text(b)


def option(v, encode=lambda x: x):
    return b'\0' if v is None else b'\1' + encode(v)


def seq(items):
    items = list(items)
    return varint(len(items)) + b''.join(items)


def unhex(s):
    return None if s is None else bytes.fromhex(s)


def bps(x):
    return round(x * 10000)


# --- ACLs -------------------------------------------------------------------------------

REGISTERS = ('mr_config_id', 'mr_owner', 'mr_owner_config', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3')


def measurements(t):
    return unhex(t['mr_td']) + b''.join(option(unhex(t.get(k))) for k in REGISTERS)


CLAUSES = {
    'issuer': (0, lambda c: unhex(c['root'])),
    'tdx': (1, measurements),
    'peer-tdx': (2, measurements),
    'tdx-in': (3, lambda c: seq(sorted(measurements(m) for m in c['set']))),
    'jwt': (4, lambda c: raw(c['issuer']) + raw(c['algorithm']) + raw(unhex(c['key']))),
    'reputation': (5, lambda c: unhex(c['organism']) + varint(bps(c['floor']))),
    'settlement': (6, lambda c: unhex(c['organism'])),
    'compute-module': (7, lambda c: unhex(c['module'])),
    'requester-acl': (8, lambda c: unhex(c['module'])),
    'attestation': (9, lambda c: bytes([c['level']])),
    'peers': (10, lambda c: seq(sorted(map(unhex, c['peers'])))),
    'own-issuer': (11, lambda c: b''),
    'own-compute': (12, lambda c: b''),
    'own-requesters': (13, lambda c: b''),
    'readers': (14, lambda c: b''),
    'any-issuer': (15, lambda c: seq(sorted(map(unhex, c['roots'])))),
}


def acl(t):
    out = []
    for clause in t.get('acl', []):
        number, fields = CLAUSES[clause['require']]
        out.append(varint(number) + fields(clause))
    return seq(out)


def acl_fp(encoded):
    return H(b'acl|' + V + b'|' + encoded)


# --- members ------------------------------------------------------------------------------


def stable_id(name, network):
    return H(b'instance|' + text(name) + b'|' + network)


def organism_ref_fp(t):
    return hash_many('organism-ref', t['role'], unhex(t['stable_id']),
                     unhex(t.get('content_hash')) or ZERO)


def lattice_ref_fp(t):
    return hash_many('lattice-ref', unhex(t['stable_id']), unhex(t.get('content_hash')) or ZERO)


def surface_id(owner, kind, name, layout):
    return hash_many(b'surface|' + V, owner, kind, name, H(text(layout)))


# --- modules --------------------------------------------------------------------------------

KINDS = ('atlas', 'almanac', 'chronicle', 'compute', 'randomness')
PROVIDER = ('id>ProviderCard{provider_id:id,operator:peer,capabilities:{regions:*str,'
            'tdx_capable:bool,max_cpu_millicores:u64,max_ram_mib:u64},declared_rates:*{backend:str,'
            'core_hour_microusd:u64,gib_hour_microusd:u64},quote:?bytes,reply:id,refreshed_at:u64,'
            'schemes:*str,signature:[64]u8}')
TICK = ('PriceTick{timestamp_ms:u64,pair:{base:str,quote:str},price:{mantissa:i128,scale:u8},'
        'confidence:{mantissa:i128,scale:u8},source_set_digest:[32]u8,source_count:u8,stale:bool,'
        'seq:u64}')
REGS = ','.join(f'{k}:?[48]u8' for k in REGISTERS)
SURFACES = {
    'atlas': [('map', 'cards',
               '[20]u8>MemberCard{member_id:[20]u8,stable_id:id,kind:u8,role:str,content_hash:?id,'
               'endpoint_hints:*str,ticket_root:?id,measurements:?{mr_td:[48]u8,' + REGS +
               '},successor_hint:?id,status:(Active=0,Retiring=1,Retired=2),version:u64,'
               'operator:peer,signature:[64]u8}')],
    'almanac': [('stream', 'ticks', 'AlmanacTick{seq:u64,observed_at:*{peer:peer,unix_ms:u64,'
                 'signature:[64]u8}}')],
    'chronicle': [('stream', 'entries',
                   'ChronicleEntry{seq:u64,kind:(Published=0,MemberAdded=1,MemberRemoved=2,'
                   'MemberRotated=3,OrganismRetired=4,ModuleShipped=5,ModuleUpgraded=6,'
                   'ModuleRetired=7,TicketIssuerRotated=8,CoalitionRetired=9,Advisory=10,'
                   'BeaconChallenge=11,Other=12{tag:str}),coalition:id,tick:?{almanac:id,tick:u64},'
                   'unix_ms:u64,payload:bytes,author:peer,author_nonce:u64,'
                   'author_signature:[64]u8,previous:id}')],
    'compute': [
        ('map', 'requests', 'id>ComputeRequest{requester:[20]u8,requester_key:peer,nonce:u64,'
         'workload:id,pin:?id,duration_sec:u32,settlement:id,deadline:u64,signature:[64]u8}'),
        ('map', 'grants', 'id>ComputeGrant{request_id:id,provider:[20]u8,endpoint_hint:str,'
         'bearer_pointer:id,content_hash:id,valid_from:u64,valid_to:u64,expected_mrtd:?[48]u8}'),
        ('map', 'providers', PROVIDER),
        ('stream', 'logs', 'ComputeLog{grant_id:id,provider:[20]u8,start:u64,end:u64,final:bool,'
         'usage:{cpu_core_seconds:u64,ram_mib_seconds:u64,net_bytes:u64},evidence:?{member:[20]u8,'
         'surface:id,clock:u64,commit:id},signature:[64]u8}'),
        ('stream', 'clearings', 'ClearingRecord{round:u64,request_id:id,winning_provider:[20]u8,'
         'clearing_rate_microusd:u64,region:str,tdx_required:bool,evidence:id}')],
    'randomness': [('stream', 'beacon', 'BeaconTick{round:u64,provider:[20]u8,value:[32]u8,'
                    'proof:bytes,committed_at:u64}'), ('map', 'providers', PROVIDER)],
}


def atlas_content(t, whole):
    members = [unhex(x['stable_id']) + b'\0' + raw('lattice') for x in whole.get('lattice', [])]
    members += [unhex(x['stable_id']) + b'\1' + raw(x['role']) for x in whole.get('organism', [])]
    return seq(members)


def almanac_content(t, whole):
    return varint(t.get('cadence_ms', 1000)) + varint(t.get('first_seq', 1))


def chronicle_content(t, whole):
    def continuation(c):
        return unhex(c['module']) + varint(c['size']) + unhex(c['root']) + unhex(c['digest'])
    return (varint(t.get('schema', 1)) + raw(t.get('anchor', 'none')) +
            varint(t.get('anchor_every', 64)) + option(t.get('continues'), continuation))


def compute_content(t, whole):
    clock = t.get('clock', 'millis')
    out = b'\0'
    if clock != 'millis':
        out = b'\1' + unhex(clock['almanac']) + varint(clock['cadence_ms'])
    rules = ('lowest-rate', 'first-fit', 'reputation-weighted')
    return (out + option(unhex(t.get('provider_reputation'))) +
            varint(bps(t.get('reputation_floor', 0))) + varint(t.get('card_max_age', 120)) +
            varint(rules.index(t.get('clearing', 'lowest-rate'))))


def randomness_content(t, whole):
    sources = [raw(s['scheme']) + unhex(s['provider']) + raw(unhex(s['params']))
               for s in t.get('sources', [])]
    return seq(sources) + varint(t.get('period_ms', 3000)) + varint(t.get('first_round', 1))


CONTENTS = {'atlas': atlas_content, 'almanac': almanac_content, 'chronicle': chronicle_content,
            'compute': compute_content, 'randomness': randomness_content}


def module(kind, whole):
    t = whole[kind]
    content = CONTENTS[kind](t, whole) + option(unhex(t.get('stance')))
    encoded = acl(t)
    return {'instance': t['instance'], 'content': content, 'acl': encoded,
            'content_hash': hash_many(H(content), acl_fp(encoded)),
            'module_fp': hash_many(b'module|' + V + b'|' + text(kind), t['instance'], H(content),
                                   acl_fp(encoded))}


# --- the coalition ----------------------------------------------------------------------------


def roster_digest(t, deployment):
    if t is None or 'committee' not in t:
        return ZERO
    peers = sorted(bytes.fromhex(c.split('@')[0]) for c in t['committee'])
    return H(deployment + varint(1) + ZERO + seq(peers))


def serialise(f, modules, issuer):
    lattices = [raw(x['name']) + unhex(x['stable_id']) + option(unhex(x.get('content_hash')))
                for x in f.get('lattice', [])]
    organisms = [raw(x['role']) + unhex(x['stable_id']) + option(unhex(x.get('content_hash')))
                 for x in f.get('organism', [])]
    listed = [bytes([KINDS.index(k)]) + raw(m['instance']) + raw(m['content']) + m['acl']
              for k, m in modules.items()]
    policy = ('conservative', 'lenient').index(f.get('retirement_policy', 'conservative'))
    return (V + SEED + raw(f['instance_name']) + seq(lattices) + seq(organisms) + seq(listed) +
            option(issuer, lambda t: raw(t['name']) + acl(t)) + bytes([policy]))


def coalition(f):
    modules = {k: module(k, f) for k in KINDS if k in f}
    issuer = f.get('ticket_issuer')
    issuer_fp = None
    if issuer is not None:
        issuer_fp = hash_many(b'ticket-issuer|' + V + b'|' + text(issuer['name']),
                              acl_fp(acl(issuer)))
    root = hash_many(
        H(b'coalition|' + V + b'|' + SEED + b'|' + text(f['instance_name'])),
        ids(unhex(x['stable_id']) for x in f.get('lattice', [])),
        ids(organism_ref_fp(x) for x in f.get('organism', [])),
        b''.join(modules[k]['module_fp'] if k in modules else ZERO for k in KINDS),
        issuer_fp or ZERO)
    tickets_root = derive(root, 'tickets')
    deployments, shown = {}, {}
    for kind, m in modules.items():
        module_root = derive(derive(root, 'module'), kind)
        module_id = hash_many(module_root, m['instance'], m['content_hash'])
        deployments[kind] = module_id
        shown[kind] = {
            'instance': m['instance'], 'module_fp': m['module_fp'], 'module_root': module_root,
            'module_id': module_id, 'content_hash': m['content_hash'],
            'committee': derive(module_id, 'committee'),
            'surfaces': {n: surface_id(module_root, k, n, layout)
                         for k, n, layout in SURFACES[kind]}}
    rosters = [roster_digest(f.get(k), deployments.get(k)) for k in KINDS]
    rosters.append(roster_digest(issuer, issuer_fp and hash_many(tickets_root, issuer_fp)))
    anchors = hash_many(b'anchors|' + V, root, unhex(f.get('operator')) or ZERO, *rosters)
    return {
        'coalition_id': root, 'anchors_digest': anchors, 'hex': serialise(f, modules, issuer),
        'lattices': [{'name': x['name'], 'stable_id': unhex(x['stable_id']),
                      'member_id': unhex(x['stable_id'])[:20]} for x in f.get('lattice', [])],
        'organisms': [{'role': x['role'], 'stable_id': unhex(x['stable_id']),
                       'content_hash': unhex(x.get('content_hash')),
                       'fingerprint': organism_ref_fp(x), 'member_id': unhex(x['stable_id'])[:20]}
                      for x in f.get('organism', [])],
        'modules': shown, 'tickets_root': tickets_root, 'ticket_issuer_fp': issuer_fp}


# --- organisms ----------------------------------------------------------------------------------


def organism(f):
    span = f.get('span', {})
    lattices, organisms = span.get('lattice', []), span.get('organism', [])
    content, surfaces = b'', []
    if 'content' in f:
        if 'hex' in f['content']:
            content = unhex(f['content']['hex'])
        else:
            pairs = sorted(f['content']['pairs'], key=lambda p: text(p['base'] + '/' + p['quote']))
            content = seq(raw(p['base']) + raw(p['quote']) + bytes([p['scale']]) for p in pairs)
            surfaces = [('stream', p['base'] + '/' + p['quote'], TICK)
                        for p in f['content']['pairs']]
    surfaces += [(s['kind'], s['name'], s['layout']) for s in f.get('surface', [])]
    fp = acl_fp(acl(f))
    owner = stable_id(f['name'], id_of(f['network']) if 'network' in f else UNIVERSE)
    if lattices or organisms:
        owner = hash_many(owner, ids(unhex(x['stable_id']) for x in lattices),
                          ids(unhex(x['stable_id']) for x in organisms))
    organism_id = hash_many(b'organism|' + V + b'|' + text(f['name']),
                            ids(map(lattice_ref_fp, lattices)),
                            ids(map(organism_ref_fp, organisms)), H(content), fp)
    return {'stable_id': owner, 'organism_id': organism_id,
            'content_hash': hash_many(H(content), fp), 'committee': derive(organism_id, 'committee'),
            'surfaces': {n: surface_id(owner, k, n, layout) for k, n, layout in surfaces}}


def show(v):
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, dict):
        return {k: show(x) for k, x in v.items()}
    return [show(x) for x in v] if isinstance(v, list) else v


def derive_file(path):
    with open(path, 'rb') as f:
        whole = tomllib.load(f)
    return show(organism(whole) if whole.get('kind') == 'organism' else coalition(whole))


if __name__ == '__main__':
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        sys.exit(__doc__)
    json.dump(derive_file(sys.argv[1]), sys.stdout, ensure_ascii=False, separators=(',', ':'))
    print()
