#!/usr/bin/env python3
"""A gated coalition of real processes: tickets issued, shown, revoked.

  live_tickets.py PROGRAM

The file asks readers and writers of Atlas for a ticket of the coalition's own issuer, whose roster
`up` makes of the Atlas members. A revocation that one node takes must reach all, end the reader that
runs, name the clause, and outlive a restart of everybody. Speaks TAP.
"""
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from live_bed import (CLAUSE, MEMBERS, PROGRAM, checked, gated_file, nodes, play_on_up, run,
                      signers)
from tap import note, until


class Bearer:
    def __init__(self, up, folder, name, *options):
        self.up, self.key = up, os.path.join(folder, name + '.key')
        self.ticket = os.path.join(folder, name + '.ticket')
        status, out, err = run('key', 'new', self.key)
        assert status == 0, err
        self.claims = json.loads(checked('tickets', 'issue', up.file, *signers(up), '--sub',
                                         out.strip(), '--aud', 'atlas', '-o', self.ticket, '--json',
                                         *options))['claims']

    def list(self, *more):
        return run('atlas', 'list', self.up.file, '--key', self.key, '--ticket', self.ticket,
                   '--timeout', '30', *more)


def admitted(up, folder):
    """a ticket admits; none is refused by the clause"""
    assert Bearer(up, folder, 'a').list()[0] == 0
    status, _, err = run('atlas', 'list', up.file, '--timeout', '30')
    assert status != 0 and CLAUSE + 'the peer shows no ticket' in err, (status, err)
    until(lambda: whole(up), 'all bonds of members')
    for node in nodes(up):
        assert [i['fresh'] for i in node['issuers']] == [False], node['issuers']
        assert len(node['tickets']) == 1 and node['tickets'][0]['expires_ms'] > node['unix_ms']
    text = until(lambda: (t := checked('status', up.file)).count(
        'no fresh revocation list') == MEMBERS and t, 'all to answer')
    assert 'refused (' in text and 'the peer shows no ticket' in text, text


def told(up, folder):
    """bind --write says of a ticket for reading that it does not admit to writing, and of which clause"""
    for scope, wanted in (('read', CLAUSE), ('read write', 'admitted')):
        bearer = Bearer(up, folder, 'w' + scope[-1], '--scope', scope)
        surface = bound(up, bearer)
        assert surface['read'] == 'admitted' and surface['write'].startswith(wanted), (scope, surface)


def bound(up, bearer):
    """What `bind` says of the cards; the cards are Atlas's one surface."""
    _, out, _ = run('bind', up.file, '--write', '--key', bearer.key, '--ticket', bearer.ticket,
                    '--timeout', '30', '--json')
    components = json.loads(out)['coalitions'][0]['components']
    return next(c['surfaces'][0] for c in components if c['component'] == 'atlas')


def revoked(up, folder):
    """a revocation ends the reader that runs, at every member, and names the clause"""
    bearer, other = Bearer(up, folder, 'b'), Bearer(up, folder, 'c')
    listed = os.path.join(folder, 'list')
    with subprocess.Popen([PROGRAM, 'map', 'watch', up.file, 'atlas', 'cards', '--key', bearer.key,
                           '--ticket', bearer.ticket], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            until(lambda: sum(c['readers'] for n in nodes(up) for c in n['components']) == 1,
                  'the reader to be served')
            begun = time.monotonic()
            said = json.loads(checked('tickets', 'revoke', up.file, *signers(up), '--jti',
                                      bearer.claims['jti'], '-o', listed, '--json'))
            assert said['revoked'] == 1 and said['nodes'] > 0, said
            until(lambda: all(i['fresh'] and i['revoked'] == 1 for n in nodes(up)
                              for i in n['issuers']), 'every node to have the list')
            until(lambda: sum(c['readers'] for n in nodes(up) for c in n['components']) == 0,
                  'the reader to be let go')
            note(f'{time.monotonic() - begun:.2f} s from the command to the last node')
        finally:
            watch.kill()
    status, _, err = bearer.list()
    assert status != 0 and CLAUSE + 'ticket was revoked by its issuer' in err, (status, err)
    assert other.list()[0] == 0, 'another ticket still holds'


def grows(up, folder):
    """a later list keeps what the one before revoked, and is refused without a majority"""
    bearer = Bearer(up, folder, 'd')
    listed = os.path.join(folder, 'list')
    status, _, err = run('tickets', 'revoke', up.file, *signers(up, 1), '--jti',
                         bearer.claims['jti'])
    assert status == 1 and '1 of 3 signers; a majority' in err, (status, err)
    said = json.loads(checked('tickets', 'revoke', up.file, *signers(up), '--jti',
                              bearer.claims['jti'], '--list', listed, '-o', listed, '--json'))
    assert said['revoked'] == 2, said
    until(lambda: CLAUSE + 'ticket was revoked' in bearer.list()[2], 'the second to be refused')


def outlives(up, folder):
    """all members killed at once: the list is there when they are back"""
    up.kill(list(up.members))
    until(lambda: all(n['issuers'][0]['fresh'] and n['issuers'][0]['revoked'] == 2
                      for n in nodes(up)),
          'every node to know the list again')
    until(lambda: Bearer(up, folder, f'e{time.monotonic_ns()}').list()[0] == 0,
          'the committee to go on')


def member_ticket(up, member, seconds):
    """A ticket for a member that ends in so many seconds, put where its node file says."""
    out = os.path.join(up.dir, member, 'new.ticket')
    checked('tickets', 'issue', up.file, *signers(up), '--sub', up.members[member]['peer'], '--aud',
            'atlas', '--seconds', str(seconds), '-o', out)
    os.rename(out, os.path.join(up.dir, member, 'ticket'))


def ends_in(node):
    return min(t['expires_ms'] for t in node['tickets']) - node['unix_ms']


def whole(up):
    return all(c['bonds']['members'] == MEMBERS - 1 for n in nodes(up) for c in n['components'])


def renewed(up, folder):
    """members' tickets are renewed while they run: no bond ends, no process is started again"""
    starts = {m: e['starts'] for m, e in up.members.items()}
    began = time.monotonic()
    bearer = Bearer(up, folder, 'f')
    assert bearer.list()[0] == 0 and whole(up)
    short = int(10 + 8 * (time.monotonic() - began))  # what follows must be done before they end
    for member in up.members:
        member_ticket(up, member, short)
    until(lambda: all(ends_in(n) < short * 1000 for n in nodes(up)), 'the short tickets to be shown')
    first = min(n['unix_ms'] + ends_in(n) for n in nodes(up))
    for member in up.members:
        member_ticket(up, member, 3600)
    until(lambda: all(ends_in(n) > 3000000 for n in nodes(up)), 'the long tickets to be shown')
    while time.time() * 1000 < first + 3000:  # over the end of the short ones
        assert whole(up), 'a bond ended'
        assert bearer.list()[0] == 0
    assert {m: e['starts'] for m, e in up.members.items()} == starts
    refused = [r for n in nodes(up) for c in n['components'] for r in c['bonds']['refused']]
    assert not any('expired' in r['reason'] for r in refused), refused
    spoiled = os.path.join(up.dir, 'atlas-1', 'ticket')
    with open(spoiled, 'w', encoding='utf-8') as f:
        f.write('no ticket')
    until(lambda: any('the old ones go on' in text for m, text in up.logs() if m == 'atlas-1'),
          'the log to say so')
    assert whole(up) and all(ends_in(n) > 3000000 for n in nodes(up))


def ended(up, folder):
    """a member whose ticket ends and is not renewed is let go by name of the clause; then renewed"""
    del folder
    member_ticket(up, 'atlas-2', 6)
    until(lambda: any('ticket expired' in r['reason'] for n in nodes(up) for c in n['components']
                      for r in c['bonds']['refused']), 'the clause to refuse it')
    member_ticket(up, 'atlas-2', 3600)
    until(lambda: whole(up), 'the member to be bound again')


play_on_up((admitted, told, revoked, grows, outlives, renewed, ended), lambda up, folder: (up, folder), gated_file)
