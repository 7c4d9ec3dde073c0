#!/usr/bin/env python3
"""Builds of different age: a committee rolled from one to the next under load, and those that
cannot be of it.

  live_versions.py PROGRAM BEFORE FAR

BEFORE is a program of the build before PROGRAM's, FAR one that shares no protocol with it. `up` is
started from a file of its own, which is replaced: a member that is started again is of what lies
there then. Speaks TAP. Signals only the members of its own `coalition up` (live_bed.py, Up).
"""
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import live_bed
from live_bed import MEMBERS, PROGRAM, Up, agree, answered, ask, on_term, run, unharmed
from tap import note, play, until

BEFORE, FAR = (os.path.abspath(p) for p in sys.argv[2:4])


class Requests:
    """Updates all the time; each that fails is retried once."""

    def __init__(self, up, entries):
        self.up, self.entries = up, entries
        self.lock = threading.Lock()
        self.count, self.retried, self.failed, self.on = 0, 0, [], True
        self.threads = [threading.Thread(target=self._work, args=(e,)) for e in entries]
        for t in self.threads:
            t.start()

    def _once(self, entry, number):
        return run('atlas', 'publish', self.up.file, '--member', entry, '--key', self.up.key,
                   '--hint', f'versions:{number}', '--timeout', '30')

    def _work(self, entry):
        number = 0
        while self.on:
            number += 1
            status, _, _ = self._once(entry, number)
            again = self._once(entry, number) if status != 0 else None
            with self.lock:
                self.count += 1
                if again is not None:
                    self.retried += 1
                    if again[0] != 0:
                        self.failed.append(again)

    def more(self, n):
        wanted = self.count + n
        until(lambda: self.count >= wanted, f'{n} more updates', 120)

    def stop(self):
        self.on = False
        for t in self.threads:
            t.join()


def put(up, program):
    """What members are of from their next start on."""
    shutil.copy2(program, up.program + '.new')
    os.replace(up.program + '.new', up.program)


def nodes(up):
    status, out, _ = run('status', up.file, '--json')
    return json.loads(out)['nodes'] if status == 0 else []


def said(node):
    return next((c for c in node.get('components', []) if c['component'] == 'atlas'), {})


def levels(up):
    return [said(n).get('protocol') for n in nodes(up)]


def protocols(up):
    return [(n['oldest_protocol'], n['newest_protocol']) for n in nodes(up)]


def is_whole(up):
    view = ask('committee', up.file, '--component', 'atlas')
    return view['settled'] and all(m['linked'] for m in view['members'])


def restart(up, member):
    starts = up.members[member]['starts']
    up.signal(member, signal.SIGTERM)
    up.wait(lambda: up.members[member]['starts'] > starts, f'{member} to be started again')


def check(up, *more):
    """The updates are the operator's too: of two links of one key the newer one stays, so again."""
    tried = []

    def done():
        tried[:] = run('committee', up.file, '--component', 'atlas', '--check', '--key', up.key,
                       '--timeout', '40', *more)
        return tried[0] != 3 or 'second link' not in tried[2]
    until(done, 'a moment between two updates', 120)
    return tried


def node_of(up, member):
    peer = up.members[member]['peer']
    return next((n for n in nodes(up) if n.get('peer') == peer), {})


def details(up, of, by):
    """What member `by` says of member `of` in its status."""
    peer = up.members[of]['peer']
    return next((m['detail'] for m in said(node_of(up, by)).get('members', [])
                 if m['peer'] == peer), '')


def log_of(up, member):
    with open(os.path.join(up.dir, member, 'log'), encoding='utf-8', errors='replace') as f:
        return f.read()


def old(up, load):
    """the build before: the committee works at protocol 1, and what came later is refused"""
    until(lambda: levels(up) == [1] * MEMBERS, 'all to answer')
    until(lambda: protocols(up) == [(1, 1)] * MEMBERS, 'all to answer')
    status, _, err = check(up)
    assert status == 1 and 'the group works at protocol 1, checks came with 2' in err, (status, err)


def rolled(up, load):
    """one member after the other becomes new under load: no update fails that is retried once"""
    put(up, PROGRAM)
    load.more(5)
    began = time.monotonic()
    for number, member in enumerate(sorted(up.members), 1):
        restart(up, member)
        until(lambda: is_whole(up), 'all to be linked and to vote')
        assert number == MEMBERS or set(levels(up)) <= {1, None}, (number, levels(up))
        load.more(5)
    until(lambda: levels(up) == [2] * MEMBERS, 'the committee to go on at protocol 2')
    load.more(5)
    note(f'{load.count} updates, {load.retried} were retried, {len(load.failed)} failed; rolled in '
         f'{time.monotonic() - began:.1f} s')
    assert not load.failed, load.failed[0]
    until(lambda: protocols(up) == [(1, 2)] * MEMBERS, 'all to answer')


def checked(up, load):
    """all members have one state at one entry, while updates go on; strangers may not ask"""
    status, out, err = check(up, '--json')
    assert status == 0, (status, err)
    answer = json.loads(out)
    assert answer['equal'] and answer['answered'] == MEMBERS, answer
    assert len({(m['index'], m['hash']) for m in answer['members']}) == 1, answer
    note(f"entry {answer['members'][0]['index']}: {answer['members'][0]['hash'][:16]}")
    until(lambda: {(said(n)['check']['index'], said(n)['check']['hash']) for n in nodes(up)} ==
          {(answer['members'][0]['index'], answer['members'][0]['hash'])}, 'all to show it')
    stranger = os.path.join(os.path.dirname(up.dir), 'stranger.key')
    assert run('key', 'new', stranger)[0] == 0
    status, _, err = answered('committee', up.file, '--component', 'atlas', '--check', '--key',
                              stranger)
    assert status == 1 and 'for the operator and for members alone' in err, (status, err)


def refused(up, load, program, words):
    """A member of another build: both sides say both versions, in status and log; others go on."""
    victim = sorted(up.members)[0]
    others = sorted(up.members)[1:]
    put(up, program)
    restart(up, victim)
    until(lambda: all(words in details(up, victim, o) for o in others),
          f'the others to say "{words}"')
    note(details(up, victim, others[0]))
    until(lambda: all(words in log_of(up, o) for o in others), f'the others to log "{words}"')
    until(lambda: words in log_of(up, victim), f'{victim} to log "{words}"')
    load.more(5)
    put(up, PROGRAM)
    restart(up, victim)
    until(lambda: is_whole(up), 'all to be linked and to vote')


def back(up, load):
    """a member of the build before is refused by name once the committee has gone on"""
    refused(up, load, BEFORE, 'the group works at protocol 2; node')


def foreign(up, load):
    """a build without a common protocol is refused at the link, by name"""
    refused(up, load, FAR, 'speaks protocols')


def main():
    signal.signal(signal.SIGTERM, on_term)
    cases = [old, rolled, checked, back, foreign]
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        live_bed.PROGRAM = os.path.join(folder, 'coalition')
        shutil.copy2(BEFORE, live_bed.PROGRAM)
        up = Up(folder)
        up.program = live_bed.PROGRAM
        load = None
        try:
            up.wait(lambda: up.ready, '`up` to be ready')
            agree(up)
            live_bed.PROGRAM = PROGRAM  # the commands are of the new build throughout
            load = Requests(up, [c['stable_id'] for c in ask('atlas', 'list', up.file)['cards']][:2])
            failed = play(cases, up, load)
            load.stop()
            assert not load.failed, load.failed[0]
            unharmed(up)
        finally:
            if load is not None:
                load.stop()
            if up.process.poll() is None:
                up.stop()
    sys.exit(1 if failed else 0)


main()
