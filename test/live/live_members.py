#!/usr/bin/env python3
"""Who is of a committee, with real processes: disks that are lost under load, another leader, a
rolling restart, another roster.

  live_members.py PROGRAM

Speaks TAP. Signals only the members of its own `coalition up` (live_bed.py, Up) and a node
that it starts itself.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from live_bed import MEMBERS, PROGRAM, Load, answered, ask, play_on_up, run
from tap import PATIENCE, free_port, note, until


def committee(up, *more):
    return ask('committee', up.file, '--component', 'atlas', *more)


def state_at(address):
    """What the member says of itself; '' while it does not answer."""
    status, out, _ = run('status', '--node', address, '--timeout', '5', '--json')
    if status != 0:
        return ''
    components = json.loads(out)['nodes'][0].get('components', [])
    return components[0]['state'] if components else ''


def state_of(up, member):
    return state_at(f"{up.members[member]['peer']}@{up.members[member]['address']}")


def is_whole(up):
    view = committee(up)
    places = [m['place'] for m in view['members']]
    return view['settled'] and places == ['voter'] * MEMBERS and all(
        m['linked'] for m in view['members'])


def wipe(up, member):
    """It stops, its disk is emptied, it dies; `up` starts it again."""
    starts = up.members[member]['starts']
    up.signal(member, signal.SIGSTOP)
    shutil.rmtree(os.path.join(up.dir, member, 'state'))
    up.stopped.discard(member)
    up.signal(member, signal.SIGKILL)
    up.wait(lambda: up.members[member]['starts'] > starts, f'{member} to be started again')


def rejoins(up, load, member):
    began = time.monotonic()
    wipe(up, member)
    until(lambda: state_of(up, member) in ('following', 'leading') and is_whole(up),
          f'{member} to vote again')
    note(f'{member} votes again {time.monotonic() - began:.1f} s after its disk was lost')


def leader(up):
    return until(lambda: next((m for m in up.members
                               if up.members[m]['peer'] == committee(up)['leader']), None),
                 'a leader')


def wiped(up, load):
    """a member that loses its disk under load has its vote again without anybody's doing"""
    leads = leader(up)
    victim, other = [m for m in sorted(up.members) if m != leads]
    with load:
        load.more(2)
        rejoins(up, load, victim)
        load.more(2)
        up.signal(other, signal.SIGSTOP)  # the majority is the leader and the one that was wiped
        try:
            load.more(len(load.entries) + 1)
        finally:
            up.signal(other, signal.SIGCONT)
    load.check()


def wiped_leader(up, load):
    """the same for the leader"""
    with load:
        load.more(2)
        rejoins(up, load, leader(up))
        load.more(len(load.entries) + 1)
    load.check()


def handed_over(up, load):
    """leadership goes where the operator wants it; strangers may not ask"""
    to = next(m for m in up.members if m != leader(up))
    peer = up.members[to]['peer']

    def leads():  # an election may come in between
        status, out, err = run('committee', up.file, '--component', 'atlas', f'--transfer={peer}',
                               '--key', up.key, '--json')
        assert status in (0, 3), (status, err)
        return status == 0 and json.loads(out)['leader'] == peer
    until(leads, 'it to lead')
    stranger = os.path.join(os.path.dirname(up.dir), 'stranger.key')
    assert run('key', 'new', stranger)[0] == 0
    status, _, err = answered('committee', up.file, '--component', 'atlas', '--transfer', '--key',
                              stranger)
    assert status == 1 and 'for the operator and for members alone' in err, (status, err)


def members_key(up, load):
    """a running member's key is refused from a second process, and the member keeps its links"""
    for member in up.members:
        key = os.path.join(up.dir, member, 'node.key')
        before = up.members[member]['starts']
        for what in '--check', '--transfer':
            status, out, err = run('committee', up.file, '--component', 'atlas', what, '--key', key)
            assert status == 2 and "a running member's key" in err, (status, out, err)
        until(lambda: is_whole(up), 'all to be linked and to vote')
        assert up.members[member]['starts'] == before


def silent(up, load):
    """a check names the member that does not answer, with the reason, and those that do"""
    member = next(m for m in up.members if m != leader(up))
    up.signal(member, signal.SIGSTOP)
    try:
        status, out, err = run('committee', up.file, '--component', 'atlas', '--check', '--key',
                               up.key, '--timeout', '15', '--json')
    finally:
        up.signal(member, signal.SIGCONT)
    assert status == 3 and 'members answered' in err, (status, out, err)
    why = {m['peer']: m['why'] for m in json.loads(out)['members']}
    assert why.pop(up.members[member]['peer']) != '', out
    assert set(why.values()) == {''}, out
    until(lambda: is_whole(up), 'all to vote again')


def rolling(up, load):
    """a rolling restart by SIGTERM: no update is refused"""
    before = len(load.refusals)
    with load:
        for member in sorted(up.members):
            starts = up.members[member]['starts']
            load.more(1)
            up.signal(member, signal.SIGTERM)
            up.wait(lambda m=member, s=starts: up.members[m]['starts'] > s, f'{member} to restart')
            until(lambda: is_whole(up), 'all to vote')
        load.more(len(load.entries))
    assert len(load.refusals) == before, load.refusals[before:]
    load.check()


class Newcomer:
    """A node of its own, which no file names."""

    def __init__(self, up, name='newcomer'):
        self.dir = os.path.join(up.dir, name)
        os.makedirs(os.path.join(self.dir, 'state'))
        key = os.path.join(self.dir, 'node.key')
        self.peer = ask('key', 'new', key)['peer']
        self.config = os.path.join(self.dir, 'node.toml')
        self.address = f'127.0.0.1:{free_port()}'
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(f'key = "node.key"\nlisten = "{self.address}"\ndir = "state"\n'
                    'components = [{ file = "../local.toml", component = "atlas", '
                    'deployment = "../atlas.deployment" }]\n')
        status, _, err = run('node', self.config)
        assert status != 0 and 'not of the roster' in err, (status, err)  # without --join
        self.log = open(os.path.join(self.dir, 'log'), 'w', encoding='utf-8')
        self.start()

    def start(self):
        self.process = subprocess.Popen([PROGRAM, 'node', self.config, '--join'], stderr=self.log,
                                        stdin=subprocess.DEVNULL)

    def wipe(self):
        self.process.kill()
        self.process.wait(60)
        shutil.rmtree(os.path.join(self.dir, 'state'))
        os.makedirs(os.path.join(self.dir, 'state'))
        self.start()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0
        self.log.close()


def another_roster(up, load):
    """a new node takes the leader's place under load; whoever reads follows"""
    left = leader(up)
    newcomer = Newcomer(up)
    # not the newcomer's own key: of two processes with one key each ends the other's links
    stranger = os.path.join(up.dir, 'stranger.key')
    ask('key', 'new', stranger)
    try:
        with load:
            load.more(1)
            status, _, err = answered('committee', up.file, '--component', 'atlas', '--add',
                                      newcomer.peer, '--key', stranger)
            assert status == 1 and 'neither by the operator nor by a majority' in err, err

            def added():
                status, out, err = run('committee', up.file, '--component', 'atlas', '--add',
                                       newcomer.peer, '--remove', up.members[left]['peer'],
                                       '--key', up.key)
                assert status in (0, 3) or 'start it first' in err, (status, err)
                return status == 0 or newcomer.peer in committee(up)['roster']
            until(added, 'the newcomer to be linked')
            load.more(len(load.entries) + 1)
        until(lambda: committee(up)['settled'], 'the change to be settled')
        view = committee(up)
        assert view['epoch'] == 2, view
        assert newcomer.peer in view['roster'] and up.members[left]['peer'] not in view['roster']
        until(lambda: state_of(up, left) == 'outside', 'the one that left to know it')
        for entry, (version, _) in load.acknowledged.items():
            until(lambda e=entry, v=version: ask('atlas', 'get', up.file, e)['version'] >= v,
                  'what was acknowledged')
    finally:
        newcomer.stop()


def part_of(newcomer):
    """What it says of its part of the committee; {} while it does not answer."""
    status, out, _ = run('status', '--node', f'{newcomer.peer}@{newcomer.address}', '--timeout',
                         '5', '--json')
    components = json.loads(out)['nodes'][0].get('components', []) if status == 0 else []
    return components[0] if components else {}


def among_strangers(up, _load):
    """all members are replaced and those of the file stop; one whose disk is lost then comes back"""
    ours = [m['peer'] for m in up.members.values()]
    olds = sorted(committee(up)['roster'], key=lambda p: p in ours)  # who is away goes first
    news = [Newcomer(up, f'new{i}') for i in range(3)]
    peers = sorted(n.peer for n in news)
    try:
        for new, old in zip(news, olds):
            def replaced(new=new, old=old):
                status, _, err = run('committee', up.file, '--component', 'atlas', '--add',
                                     new.peer, '--remove', old, '--key', up.key, '--timeout', '10')
                # the command looks on through members of the file: of the last roster none is
                assert status in (0, 3) or 'start it first' in err or 'ask again' in err or \
                    new.peer in part_of(news[0])['roster'], (status, err)
                return new.peer in part_of(news[0]).get('roster', [])
            until(replaced, 'a newcomer to take its place')
            until(lambda: part_of(news[0]).get('settled'), 'the newcomer to vote')
        until(lambda: all(part_of(n).get('settled') and sorted(part_of(n)['roster']) == peers
                          for n in news), 'the newcomers alone to be the committee')
        for member in up.members:
            up.signal(member, signal.SIGSTOP)
        began = time.monotonic()
        news[0].wipe()
        until(lambda: part_of(news[0]).get('state') in ('following', 'leading'),
              'the one whose disk is lost to vote again')
        note(f'it votes again {time.monotonic() - began:.1f} s after its disk was lost')
        steps = {c['step'] for c in part_of(news[0])['course']}
        assert steps >= {'shown', 'proposed', 'certified'}, steps
    finally:
        for member in up.members:
            up.signal(member, signal.SIGCONT)
        for new in news:
            new.stop()


def two_entries(up, _folder):
    return up, Load(up, [c['stable_id'] for c in ask('atlas', 'list', up.file)['cards']][:2])


play_on_up((wiped, wiped_leader, handed_over, members_key, silent, rolling, another_roster,
            among_strangers), two_entries)
