#!/usr/bin/env python3
"""What real clients see of a real committee while its members are killed and stopped, judged.

  live_history.py PROGRAM KV_NODE HISTORY_CLIENTS

Three processes replicate a map over TLS; clients with links of their own write down every
operation. Meanwhile members are killed with -9 and started again, or stopped and go on, two at
once too, or find their disk full. The history must be linearizable, by `coalition check history`; with one answer
changed it must not be.

LIVE_KILLS is the number of faults (5), LIVE_SEED chooses them (printed). Speaks TAP. Only
processes that this script started are ever signalled.
"""
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from live_bed import PATIENCE, PROGRAM, note, play

KV_NODE, CLIENTS = map(os.path.abspath, sys.argv[2:4])
MEMBERS, N_CLIENTS, KEYS = 3, 6, 3
FAULTS = int(os.environ.get('LIVE_KILLS') or 5)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))


def free_ports(n):
    """The first of n ports in a row that nobody has."""
    for _ in range(200):
        base = random.randrange(20000, 32000)
        socks = []
        try:
            for i in range(n):
                s = socket.socket()
                socks.append(s)
                s.bind(('127.0.0.1', base + i))
            return base
        except OSError:
            continue
        finally:
            for s in socks:
                s.close()
    raise RuntimeError('no free ports')


class Committee:
    def __init__(self, folder):
        self.folder, self.base = folder, free_ports(MEMBERS)
        self.log = open(os.path.join(folder, 'members.log'), 'wb')
        self.members = [None] * MEMBERS
        for i in range(MEMBERS):
            self.start(i, 'found')

    def start(self, i, *more):
        self.members[i] = subprocess.Popen(
            [KV_NODE, os.path.join(self.folder, f'm{i}'), str(i), str(MEMBERS), str(self.base),
             *more], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def said(self, i):
        with open(self.log.name, encoding='utf-8', errors='replace') as f:
            return f'member {i} ended with {self.members[i].returncode}: {f.read()[-2000:]}'

    def kill(self, i, full=False):
        """full: one that found no room on its disk may have ended by itself."""
        self.members[i].kill()
        ended = self.members[i].wait(PATIENCE)
        assert ended == -signal.SIGKILL or (full and ended == 1), self.said(i)

    def stop(self):
        for m in self.members:
            m.send_signal(signal.SIGCONT)
            m.terminate()
        try:
            for m in self.members:
                assert m.wait(PATIENCE) == 0, f'a member ended with {m.returncode}'
        finally:
            for m in self.members:
                if m.poll() is None:
                    m.kill()
            self.log.close()


class History:
    """The recorder, and what it has written so far."""

    def __init__(self, folder, base):
        self.path = os.path.join(folder, 'history.edn')
        with open(self.path, 'wb') as out:
            self.process = subprocess.Popen(
                [CLIENTS, str(MEMBERS), str(base), str(N_CLIENTS), str(KEYS), str(SEED)],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True)

    def answers(self):
        with open(self.path, encoding='utf-8') as f:
            return f.read().count(':type :ok')

    def more(self, n):
        """Waits until n more operations were answered."""
        wanted, deadline = self.answers() + n, time.monotonic() + PATIENCE
        while self.answers() < wanted:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline, f'no {n} more answers in {PATIENCE} s'
            threading.Event().wait(0.05)

    def end(self):
        _, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0 and 'Sanitizer' not in err, err
        note(err.strip())


def disturb(committee, history, chance):
    """One fault, and what mends it; clients get answers in between and after."""
    kind = chance.choice(['kill', 'kill', 'stop', 'stop', 'full disk', 'kill two', 'stop two'])
    who = chance.sample(range(MEMBERS), 2 if 'two' in kind else 1)
    threading.Event().wait(chance.uniform(0, 0.3))  # anywhere within an operation
    for i in who:
        if 'kill' in kind:
            committee.kill(i)
        elif 'stop' in kind:
            committee.members[i].send_signal(signal.SIGSTOP)
        else:  # no file may grow, or be written behind its first pages
            resource.prlimit(committee.members[i].pid, resource.RLIMIT_FSIZE, (8192, 8192))
    if len(who) == 1:
        history.more(20)
    else:
        threading.Event().wait(chance.uniform(0, 2))
    for i in who:
        if 'stop' in kind:
            committee.members[i].send_signal(signal.SIGCONT)
            continue
        if 'disk' in kind:
            committee.kill(i, full=True)
        committee.start(i)
    history.more(40)
    note(f'{kind} {who}: {history.answers()} answers')


def judge(path):
    p = subprocess.run([PROGRAM, 'check', 'history', path, '--model', 'kv', '--timeout', '60',
                        '--json'], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert p.stdout, p.stderr
    return p.returncode, json.loads(p.stdout)


def record(folder):
    """clients are answered through kills and stops of members, two at once too"""
    chance = random.Random(SEED)
    committee = Committee(folder)
    try:
        history = History(folder, committee.base)
        try:
            history.more(100)
            for _ in range(FAULTS):
                disturb(committee, history, chance)
            history.end()
        finally:
            if history.process.poll() is None:
                history.process.kill()
    finally:
        committee.stop()


def linearizable(folder):
    """what they saw is linearizable"""
    status, fact = judge(os.path.join(folder, 'history.edn'))
    note(f'{fact["operations"]} operations judged in {fact["seconds"]:.3f} s: {fact["verdict"]}')
    assert (status, fact['verdict']) == (0, 'ok'), fact
    assert fact['operations'] >= 100 + 40 * FAULTS, fact


def changed(folder):
    """with one answer taken from an earlier one, it is not"""
    with open(os.path.join(folder, 'history.edn'), encoding='utf-8') as f:
        lines = f.read().splitlines()
    read = re.compile(r'(.*:type :ok, :f :get, :key "0", :value )"(\d+)"}')
    reads = [(i, read.match(line)) for i, line in enumerate(lines)]
    reads = [(i, m) for i, m in reads if m]
    first, last = reads[0], reads[-1]
    assert first[1].group(2) != last[1].group(2), 'key 0 was written once'
    lines[last[0]] = f'{last[1].group(1)}"{first[1].group(2)}"}}'
    path = os.path.join(folder, 'changed.edn')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(lines) + '\n')
    status, fact = judge(path)
    assert (status, fact['verdict']) == (1, 'refused'), fact


def main():
    tests = record, linearizable, changed
    print(f'1..{len(tests)}', flush=True)
    note(f'LIVE_SEED={SEED} LIVE_KILLS={FAULTS}')
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        failed = play(tests, folder)
    sys.exit(1 if failed else 0)


main()
