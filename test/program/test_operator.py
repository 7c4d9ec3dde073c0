#!/usr/bin/env python3
"""key, deploy, tickets: what an operator does offline.

  test_operator.py PROGRAM

Signatures are verified by openssl, which shares nothing with the program. Speaks TAP.
"""
import json
import os
import stat
import subprocess
import time

import frame
from frame import Reader, facts, refused, run, write

SPKI = bytes.fromhex('302a300506032b6570032100')  # an ed25519 public key follows


def signed(folder, peer, message, signature):
    """Does openssl believe it?"""
    names = [os.path.join(folder, 'openssl.' + n) for n in ('key', 'message', 'signature')]
    for name, data in zip(names, (SPKI + bytes.fromhex(peer), message, signature)):
        with open(name, 'wb') as f:
            f.write(data)
    return subprocess.run(['openssl', 'pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-rawin',
                           '-inkey', names[0], '-in', names[1], '-sigfile', names[2]],
                          capture_output=True, timeout=60).returncode == 0


def new_keys(folder, n):
    """[(path, peer)], sorted by peer, as a roster is."""
    paths = [os.path.join(folder, f'{i}.key') for i in range(n)]
    return sorted(((p, facts('key', 'new', p)['peer']) for p in paths), key=lambda k: k[1])


def committee(keys):
    return json.dumps([f'{peer}@127.0.0.1:{7700 + i}' for i, (_, peer) in enumerate(keys)])


def coalition(folder, owner, keys, more=''):
    return write(folder, 'coalition.toml', f'''schema_version = 1
instance_name = "test"
operator = "{owner[1]}"
[atlas]
instance = "default"
acl = []
committee = {committee(keys)}
[ticket_issuer]
name = "test.tickets"
acl = []
committee = {committee(keys)}
{more}''')


def keys(folder):
    """key: new makes a 0600 file, never over another; show tells the same peer"""
    path = os.path.join(folder, 'a.key')
    peer = facts('key', 'new', path)['peer']
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert facts('key', 'show', path)['peer'] == peer and len(peer) == 64
    assert run('key', 'show', path)[1] == peer + '\n'
    before = open(path, 'rb').read()
    refused(1, 'never written over', 'key', 'new', path)
    assert open(path, 'rb').read() == before and os.listdir(folder) == ['a.key']
    assert facts('key', 'new', os.path.join(folder, 'b.key'))['peer'] != peer
    os.chmod(path, 0o640)
    refused(2, 'others may read this key', 'key', 'show', path)
    refused(2, 'No such file', 'key', 'show', os.path.join(folder, 'none'))
    refused(2, '', 'key', 'show', write(folder, 'bad', 'mosaik-ed25519-key-v1 00\n', 0o600))
    assert run('key')[0] == run('key', 'drop', path)[0] == run('key', 'new')[0] == 2


def read_deployment(data):
    r = Reader(data)
    d = {k: r.hex(32) for k in ('stable_id', 'deployment', 'content_hash')}
    d['version'] = r.varint()
    d['roster'] = (r.hex(32), r.varint(), r.hex(32), [r.hex(32) for _ in range(r.varint())])
    d['addresses'] = [r.text().decode() for _ in range(r.varint())]
    d['operator'] = r.hex(32)
    d['message'], d['signature'] = data[:r.at], r.take(64)
    assert r.at == len(data)
    return d


def check_record(folder, path, ids, owner, keys, version):
    with open(path, 'rb') as f:
        d = read_deployment(f.read())
    assert (d['stable_id'], d['deployment'], d['content_hash']) == ids, (d, ids)
    assert d['version'] == version and d['operator'] == owner[1]
    assert d['roster'] == (ids[1], 1, '00' * 32, [k[1] for k in keys])
    assert d['addresses'] == json.loads(committee(keys))
    assert signed(folder, owner[1], b'mosaik.deployment.v1' + d['message'], d['signature'])
    assert not signed(folder, owner[1], b'mosaik.deployment.v2' + d['message'], d['signature'])


def deploy_coalition(folder):
    """deploy: a module's and the issuer's record, as openssl and a reader of ours see them"""
    ks = new_keys(folder, 4)
    owner = ks.pop()
    path = coalition(folder, owner, ks)
    frozen = facts('freeze', path)
    atlas = frozen['modules']['atlas']
    out = os.path.join(folder, 'atlas.deployment')
    args = ('deploy', path, '--component', 'atlas', '--key', owner[0], '-o', out)
    said = facts(*args)
    assert said == {'deployment': atlas['module_id'], 'version': 1, 'file': out}, said
    check_record(folder, out, (atlas['module_root'], atlas['module_id'], atlas['content_hash']),
                 owner, ks, 1)
    assert facts(*args, '--version', 7)['version'] == 7
    check_record(folder, out, (atlas['module_root'], atlas['module_id'], atlas['content_hash']),
                 owner, ks, 7)
    assert facts(*args, '--version', 7)['version'] == 7  # the same bytes
    refused(1, 'give --version 8', *args, '--version', 6)
    issuer = os.path.join(folder, 'issuer.deployment')
    assert facts('deploy', path, '--component', 'ticket_issuer', '--key', owner[0], '-o',
                 issuer)['version'] == 1
    with open(issuer, 'rb') as f:
        d = read_deployment(f.read())
    assert d['stable_id'] == frozen['tickets_root']
    assert d['content_hash'] == frozen['ticket_issuer_fp'] and d['deployment'] == d['roster'][0]


def deploy_organism(folder):
    """deploy: an organism's record, by its name"""
    ks = new_keys(folder, 2)
    owner = ks.pop()
    path = write(folder, 'feed.toml', f'''schema_version = 1
kind = "organism"
name = "feed"
operator = "{owner[1]}"
committee = {committee(ks)}
acl = []
[content]
hex = "00"
''')
    ids = facts('organism', path)
    out = os.path.join(folder, 'feed.deployment')
    args = ('--key', owner[0], '-o', out)
    assert facts('deploy', path, '--component', 'feed', *args)['deployment'] == ids['organism_id']
    check_record(folder, out, (ids['stable_id'], ids['organism_id'], ids['content_hash']), owner,
                 ks, 1)
    refused(2, 'the organism of', 'deploy', path, '--component', 'atlas', *args)


def deploy_refusals(folder):
    """deploy: what it refuses to sign"""
    ks = new_keys(folder, 4)
    owner = ks.pop()
    path = coalition(folder, owner, ks)
    out = os.path.join(folder, 'out')

    def no(status, part, component='atlas', key=owner[0], file=path, *more):
        refused(status, part, 'deploy', file, '--component', component, '--key', key, '-o', out,
                *more)
        assert not os.path.exists(out)

    no(1, 'names the operator ' + owner[1], key=ks[0][0])
    no(1, 'does not ship chronicle', component='chronicle')
    no(2, 'it must be atlas', component='atlsa')
    no(2, 'No such file', key=os.path.join(folder, 'none'))
    no(2, 'No such file', file=os.path.join(folder, 'none'))
    bare = 'schema_version = 1\ninstance_name = "x"\n[atlas]\ninstance = "a"\nacl = []\n'
    no(2, 'no committee', file=write(folder, 'bare.toml', bare))
    no(2, 'no operator is stated',
       file=write(folder, 'owner.toml', bare + f'committee = {committee(ks)}\n'))
    no(2, 'states no committee', file=write(folder, 'hex', run('freeze', path, '--hex')[1]))
    for bad in ('0', '-1', 'x', '18446744073709551616'):
        assert run('deploy', path, '--component', 'atlas', '--key', owner[0], '-o', out,
                   '--version', bad)[0] == 2
    assert run('deploy', path, '-o', out)[0] == 2 and not os.path.exists(out)


def issue(path, ks, bearer, *more):
    return ('tickets', 'issue', path, *[a for k in ks for a in ('--key', k[0])], '--sub',
            bearer[1], '--aud', 'atlas', *more)


def check_ticket(folder, hex_, frozen, signers, bearer):
    """Decoded by hand; the claims as they were signed."""
    r = Reader(bytes.fromhex(hex_))
    assert r.hex(32) == frozen['tickets_root']
    r = Reader(r.text())
    claims = r.text()
    epoch = r.varint()
    shares = [(r.hex(32), r.take(64)) for _ in range(r.varint())]
    assert r.at == len(r.data) and epoch == 1
    assert [s[0] for s in shares] == sorted(k[1] for k in signers)
    message = (b'mosaik.ticket.v1' + bytes.fromhex(frozen['tickets_root']) +
               epoch.to_bytes(8, 'little') + claims)
    assert all(signed(folder, peer, message, s) for peer, s in shares)
    c = json.loads(claims)
    assert c['iss'] == frozen['tickets_root'] and c['sub'] == bearer[1]
    assert c['aud'] == frozen['modules']['atlas']['module_root'] and len(c['jti']) == 32
    return c


def tickets(folder):
    """tickets: issued by a majority, believed by openssl, shown and judged"""
    ks = new_keys(folder, 5)
    owner, bearer = ks.pop(), ks.pop()
    path = coalition(folder, owner, ks)
    frozen = facts('freeze', path)
    out = os.path.join(folder, 'a.ticket')
    said = facts(*issue(path, (ks[2], ks[0]), bearer, '--scope', 'write', '--days', 3, '-o', out))
    c = check_ticket(folder, said['ticket'], frozen, (ks[0], ks[2]), bearer)
    assert said['claims'] == c and c['scope'] == 'write' and c['exp'] - c['iat'] == 3 * 86400
    assert abs(c['iat'] - time.time()) < 60 and c['nbf'] == c['iat']
    with open(out, 'rb') as f:
        assert f.read().hex() == said['ticket']
    shown = facts('tickets', 'show', out)
    assert (shown['claims'], shown['ticket']) == (c, said['ticket'])
    assert shown['verdict'] == 'unchecked' and shown['signers'] == [ks[0][1], ks[2][1]]
    assert facts('tickets', 'show', out, '--issuer', path)['verdict'] == 'ok'
    again = facts(*issue(path, ks, bearer))
    assert again['claims']['jti'] != c['jti'] and again['claims']['scope'] == 'read write'
    assert c['jti'] in run('tickets', 'show', out)[1]


def tickets_judged(folder):
    """tickets: a changed, a foreign, a future one are refused with the reason"""
    ks = new_keys(folder, 5)
    owner, bearer = ks.pop(), ks.pop()
    path = coalition(folder, owner, ks)
    out = os.path.join(folder, 'a.ticket')
    facts(*issue(path, ks, bearer, '-o', out))
    with open(out, 'rb') as f:
        good = f.read()
    with open(out, 'wb') as f:
        f.write(good[:-1] + bytes([good[-1] ^ 1]))
    bad = facts('tickets', 'show', out, '--issuer', path, status=1)
    assert bad['verdict'] == 'refused' and 'signature' in bad['reason'], bad
    for data in (good[:-1], good + b'\0', b'', b'x' * 9000):
        with open(out, 'wb') as f:
            f.write(data)
        refused(2, 'not a ticket', 'tickets', 'show', out)
    later = int(time.time()) + 86400
    facts(*issue(path, ks, bearer, '--from', later, '-o', out))
    assert facts('tickets', 'show', out, '--issuer', path, status=1)['verdict'] == 'refused'
    other = coalition(folder, owner, ks, '[almanac]\ninstance = "default"\nacl = []\n')
    bad = facts('tickets', 'show', out, '--issuer', other, status=1)
    assert bad['verdict'] == 'refused', bad


def tickets_refusals(folder):
    """tickets: who may not issue, and for what not"""
    ks = new_keys(folder, 5)
    owner, bearer = ks.pop(), ks.pop()
    path = coalition(folder, owner, ks)
    refused(1, '1 of 3 signers; a majority', *issue(path, ks[:1], bearer))
    refused(2, 'the same key', *issue(path, (ks[0], ks[0]), bearer))
    refused(1, "not on the issuer's roster", *issue(path, (ks[0], owner), bearer))
    refused(2, '--scope is', *issue(path, ks, bearer, '--scope', 'all'))
    refused(2, '--sub is', *issue(path, ks, (None, '0x12')))
    refused(1, 'does not ship compute', *issue(path, ks, bearer, '--aud', 'compute'))
    refused(2, '--aud is', *issue(path, ks, bearer, '--aud', 'oracle'))
    refused(2, '--from is after', *issue(path, ks, bearer, '--days', 1, '--from', 1 << 39))
    assert run(*issue(path, ks, bearer, '--days', 91))[0] == 2
    refused(2, '--days and --seconds', *issue(path, ks, bearer, '--days', 1, '--seconds', 1))
    none = write(folder, 'none.toml', 'schema_version = 1\ninstance_name = "x"\n')
    refused(1, 'ships no ticket issuer', *issue(none, ks, bearer))
    assert run('tickets')[0] == run('tickets', 'issue', path)[0] == 2


def revoke(path, ks, out, *more):
    return ('tickets', 'revoke', path, *[a for k in ks for a in ('--key', k[0])], '-o', out,
            '--offline', *more)


def check_list(folder, data, frozen, signers):
    """Decoded by hand; (version, tickets)."""
    r = Reader(data)
    body = r.text()
    shares = [(r.hex(32), r.take(64)) for _ in range(r.varint())]
    assert r.at == len(r.data)
    assert [s[0] for s in shares] == sorted(k[1] for k in signers)
    message = (b'mosaik.revocations.v1' + bytes.fromhex(frozen['tickets_root']) +
               (1).to_bytes(8, 'little') + body)
    assert all(signed(folder, peer, message, s) for peer, s in shares)
    r = Reader(body)
    assert r.hex(32) == frozen['tickets_root'] and r.varint() == 1
    version = r.varint()
    tickets = [r.hex(16) for _ in range(r.varint())]
    assert r.at == len(r.data)
    return version, tickets


def revocations(folder):
    """tickets revoke: a list signed by a majority, which openssl believes, and that grows"""
    ks = new_keys(folder, 4)
    owner = ks.pop()
    path = coalition(folder, owner, ks)
    frozen = facts('freeze', path)
    out = os.path.join(folder, 'list')
    a, b = '0b' * 16, '0a' * 16
    said = facts(*revoke(path, ks[:2], out, '--jti', a, '--jti', b, '--jti', a))
    with open(out, 'rb') as f:
        version, tickets = check_list(folder, f.read(), frozen, ks[:2])
    assert tickets == [b, a] and said['revoked'] == 2 and said['nodes'] == 0, said
    assert said['version'] == version and abs(version / 1000 - time.time()) < 60
    facts(*revoke(path, ks[1:], out, '--jti', '0c' * 16, '--list', out))
    with open(out, 'rb') as f:
        later, tickets = check_list(folder, f.read(), frozen, ks[1:])
    assert later > version and tickets == [b, a, '0c' * 16]
    facts(*revoke(path, ks[1:], out, '--list', out))  # signed again, as each day
    with open(out, 'rb') as f:
        assert check_list(folder, f.read(), frozen, ks[1:])[1] == tickets
    refused(1, '1 of 3 signers; a majority', *revoke(path, ks[:1], out, '--jti', a))
    refused(1, "not on the issuer's roster", *revoke(path, (ks[0], owner), out, '--jti', a))
    refused(2, '--jti is missing', *revoke(path, ks, out))
    refused(2, '--jti is', *revoke(path, ks, out, '--jti', a[:-1]))
    refused(2, 'not a list of revocations', *revoke(path, ks, out, '--list', path))
    refused(2, '--offline wants --output', *revoke(path, ks, out, '--jti', a)[:-5], '--offline',
            '--jti', a)
    other = coalition(folder, owner, ks, '[almanac]\ninstance = "default"\nacl = []\n')
    refused(2, 'a list of another issuer', *revoke(other, ks, out, '--list', out))


frame.main(keys, deploy_coalition, deploy_organism, deploy_refusals, tickets, tickets_judged,
           tickets_refusals, revocations)
