#!/usr/bin/env python3
"""A newcomer's first session against real processes: what `up` advises holds, one --timeout is the
whole wait, and what is not known is said.

  live_newcomer.py PROGRAM

Speaks TAP. Signals only the members of its own `coalition up` (live_bed.py, Up).
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from live_bed import FILE, HERE, MEMBERS, PROGRAM, ask, nodes, play_on_up, run
from tap import note, until


def advice(up):
    """what `up` advises without --with ends with 0, and it says what is not run"""
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        p = subprocess.Popen([PROGRAM, 'up', FILE, '--dir', folder + '/state'], text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        said = []
        try:
            for line in p.stdout:
                said.append(line.rstrip())
                if line.startswith('Ctrl-C'):
                    break
            commands = [line.split()[1:] for line in said if line.startswith('  coalition ')]
            assert len(commands) == 2, said
            for words in commands:
                status, _, err = run(*words)
                assert status == 0, (words, status, err)
            assert any('not run here: oracle' in line for line in said), said
        finally:
            p.send_signal(signal.SIGINT)
            p.stdout.read()  # to its end: `up` says that it stops, and a lost word is a failure
            p.stdout.close()
            assert p.wait(60) == 0


def spelling(up):
    """atlas and map spell a card's status as the specification does"""
    cards = ask('atlas', 'list', up.file)['cards']
    entries = ask('map', 'list', up.file, 'atlas', 'cards')['entries']
    assert {c['status'] for c in cards} == {e['value']['status'] for e in entries} == {'Active'}


def publish(up, card, *more):
    return run('atlas', 'publish', up.file, '--member', card['stable_id'], '--key', up.key, *more)


def refused(up):
    """a status goes in any spelling, never back, and no other"""
    card = ask('atlas', 'list', up.file)['cards'][0]
    assert publish(up, card, '--status', 'retiring')[0] == 0
    until(lambda: ask('atlas', 'get', up.file, card['stable_id'])['status'] == 'Retiring',
          'whichever member answers to have it')
    status, _, err = publish(up, card, '--status', 'Active')
    assert status == 1 and 'only moves forward' in err, err
    status, _, err = publish(up, card, '--status', 'asleep')
    assert status == 2 and 'must be Active, Retiring or Retired' in err, err


def traced(up):
    """--trace: when each member had the write logged, durable, committed, applied"""
    card = ask('atlas', 'list', up.file)['cards'][2]
    status, out, err = publish(up, card, '--trace', '--json', '--timeout', '60')
    assert status == 0, err
    traced_by = json.loads(out)['trace']
    assert len(traced_by) == MEMBERS, out
    assert len({n['index'] for n in traced_by} - {0}) == 1, out  # 0: it has not applied it yet
    assert len([n for n in traced_by if 'applied' in n['steps']]) > MEMBERS // 2, out
    assert [n['leads'] for n in traced_by].count(True) == 1, out
    for n in [n for n in traced_by if n['index'] > 0]:
        s = n['steps']
        later = [s[k] for k in ('durable', 'committed', 'applied') if k in s]  # or not yet
        assert all(s['logged'] <= at for at in later), out
        assert abs(s['logged'] / 1e6 - time.time()) < 120, out
        assert s.get('committed', 0) <= s.get('applied', float('inf')), out
    logged = [n['steps']['logged'] for n in traced_by if n['index'] > 0]
    assert max(logged) - min(logged) < 60e6, out
    status, out, err = publish(up, card, '--trace', '--timeout', '60')
    assert status == 0 and out.count(' ms  ') > 4 * (MEMBERS // 2), (out, err)


def unknown(up):
    """with no majority a publish waits --timeout once, ends with 3 and says what is not known"""
    leads = {n['peer'] for n in nodes(up) for c in n['components'] if c['state'] == 'leading'}
    stopped = [m for m in up.members if up.members[m]['peer'] not in leads][:MEMBERS // 2 + 1]
    card = ask('atlas', 'list', up.file)['cards'][1]
    for m in stopped:
        up.signal(m, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        status, _, err = publish(up, card, '--hint', 'late', '--timeout', '8')
        took = time.monotonic() - begun
        assert status == 3 and 'is not known: `atlas get` tells' in err, (status, err)
        assert took < 2 * 8, f'--timeout 8 took {took:.1f} s'
        begun = time.monotonic()
        said = ask('status', up.file, '--timeout', '6')['nodes']
        assert len([n for n in said if 'error' in n]) == len(stopped), said
        assert time.monotonic() - begun < 2 * 6, 'the silent ones were waited for one by one'
    finally:
        for m in stopped:
            up.signal(m, signal.SIGCONT)
    until(lambda: publish(up, card, '--hint', 'on')[0] == 0, 'the committee to go on')


def named(up):
    """status --node: a member by its name, its folder, its file, the beginning of its peer id"""
    for words in ((up.file, '--node', 'atlas-2'), ('--node', os.path.join(up.dir, 'atlas-2')),
                  ('--node', os.path.join(up.dir, 'atlas-2', 'node.toml')),
                  (up.file, '--node', up.members['atlas-2']['peer'][:8])):
        node, = ask('status', *words)['nodes']
        assert node['peer'] == up.members['atlas-2']['peer'], (words, node)
    for words, part in (((up.file, '--node', 'foo'), "--node: foo: no such node; wanted is <64 hex "
                         "digits>@host:port, a node file or a folder with a node.toml, a member's "
                         "folder beside the coalition file, or the first 8 digits"),
                        (('--node', 'foo'), 'with a coalition file also a member'),
                        (('--node', 'x@y:1'), 'x@y:1'),
                        (('--node', up.file), 'local.toml:')):
        status, out, err = run('status', *words)
        assert (status, out) == (2, '') and part in err and err.count('\n') == 1, (words, status, err)


def resting(up):
    """a committee that nobody writes to does not look as if its certificates were late"""
    def atlas():
        return next(s for s in ask('status', up.file)['spanned'] if s['component'] == 'atlas')
    def rests():  # with a newest certificate that is old
        said, line = atlas(), next(s for s in run('status', up.file)[1].splitlines()
                                   if s.startswith('module   atlas'))
        return (time.time() * 1000 - said['certified_ms'] > 3000 and said['lag_ms'] == 0 and
                said['why'] == '' and line.endswith('nothing waits for a certificate'))
    until(rests, 'it to be said that nothing waits')


def squatted(up):
    """4,000 connections of our own address squat, silent or slow: status answers all the same"""
    ports = [m['address'].rpartition(':')[2] for m in up.members.values()]
    patience = 30 if up.instrumented('atlas-1') else 5
    with open(f"/proc/{up.pid('atlas-1')}/limits", encoding='utf-8') as f:
        limits = next(line for line in f if line.startswith('Max open files')).split()
    assert limits[3] == limits[4], limits  # the node takes all descriptors that it may have
    for kind in 'silent', 'begun':
        p = subprocess.Popen([sys.executable, os.path.join(HERE, 'squatters.py'), kind,
                              str(4000 // MEMBERS + 1), *ports], stdout=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline() == 'on\n'
            until(lambda: 'BUSY: too many' in ask('status', up.file)['nodes'][0].get(
                'last_refusal', ''), 'the squatters to be refused')
            took, good = [], 0
            for _ in range(5):
                begun = time.monotonic()
                status, out, _ = run('status', up.file, '--timeout', str(patience), '--json')
                took.append(round(time.monotonic() - begun, 2))
                good += status == 0 and not any('error' in n for n in json.loads(out)['nodes'])
            note(f'{kind}: status took {took} s')
            assert good >= 3, (kind, good, took)  # some lose a packet to a full queue
        finally:
            p.terminate()
            p.wait()
            p.stdout.close()


play_on_up((advice, spelling, refused, traced, unknown, named, resting, squatted))
