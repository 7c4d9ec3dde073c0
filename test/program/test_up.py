#!/usr/bin/env python3
"""What `coalition up` says of a member that ends: why, what helps, and ever less often.

  test_up.py PROGRAM

Real processes on loopback. Speaks TAP.
"""
import json
import os
import queue
import re
import shutil
import signal
import struct
import subprocess
import threading
import time

import frame
from frame import facts, refused, run, write

FILE = 'schema_version = 1\ninstance_name = "up"\n[atlas]\ninstance = "default"\nacl = []\n'
PATIENCE = 60  # seconds


class Up:
    def __init__(self, folder):
        self.dir = os.path.join(folder, 'd')
        self.file = write(folder, 'c.toml', FILE)
        self.events, self.pids = queue.Queue(), {}
        self.process = subprocess.Popen([frame.PROGRAM, 'up', self.file, '--dir', self.dir, '--json'],
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def wait(self, wanted):
        """The next event for which wanted() holds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            e = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if e['event'] == 'started':
                self.pids[e['member']] = e['pid']
            if wanted(e):
                return e

    def ended(self, member, part):
        return self.wait(lambda e: e['event'] == 'ended' and e['member'] == member and
                         part in e['reason'])

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def reasons(folder):
    """a member that ends is said with its reason and, when it goes on so, with a longer pause"""
    up = Up(folder)
    try:
        up.wait(lambda e: e['event'] == 'ready')
        write(os.path.join(up.dir, 'atlas-1'), 'node.toml', 'x = 1\n')
        os.kill(up.pids['atlas-1'], signal.SIGKILL)
        up.ended('atlas-1', 'killed by signal 9')
        pauses = [up.ended('atlas-1', 'node.toml:1:1: unknown key "x"')['again_ms']
                  for _ in range(5)]
        assert pauses[0] < 1000 < 1500 < pauses[-1], pauses
        shutil.rmtree(os.path.join(up.dir, 'atlas-2'))
        os.kill(up.pids['atlas-2'], signal.SIGKILL)
        up.ended('atlas-2', 'atlas-2/log: No such file or directory')
        e = up.ended('atlas-2', 'atlas-2/log: No such file or directory')
        assert 'put its node.key and node.toml back' in e['remedy'], e
    finally:
        status = up.stop()
    assert status == 0, status
    refused(2, 'atlas-2/node.key: No such file or directory; the folder of a member is incomplete',
            'up', up.file, '--dir', up.dir)


def ports(folder):
    """members listen where the kernel sends no client: nobody takes a port while its member restarts"""
    up = Up(folder)
    try:
        up.wait(lambda e: e['event'] == 'ready')
    finally:
        status = up.stop()
    assert status == 0, status
    with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as f:
        first = int(f.read().split()[0])
    members = [m for m in os.listdir(up.dir) if m.startswith('atlas-') and '.' not in m]
    found = []
    for member in members:
        with open(os.path.join(up.dir, member, 'node.toml'), encoding='utf-8') as f:
            found.append(int(re.search(r'listen = "127\.0\.0\.1:(\d+)"', f.read()).group(1)))
    assert len(set(found)) == len(members) == 3 and max(found) < first, (found, first)


def bare(folder, state):
    """Makes a state directory as that of a node without components."""
    facts('key', 'new', os.path.join(folder, 'k'))
    node = write(folder, 'node.toml', 'key = "k"\nlisten = "127.0.0.1:0"\n'
                 f'dir = "{state}"\ncomponents = []\n')
    os.mkdir(state)
    process = subprocess.Popen([frame.PROGRAM, 'node', node], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(os.path.join(state, 'log', 'key')):
        assert time.monotonic() < deadline and process.poll() is None, 'it makes no log'
        time.sleep(0.01)
    process.terminate()
    process.wait(PATIENCE)


def entry_runs(log):
    """(where its frame begins, where it begins) of each run that holds entries: src/store/frame.h."""
    found, at = [], 0
    while log[at:at + 4] == b'MKF2':
        size, = struct.unpack_from('<I', log, at + 4)
        run, runs = at + 48, []
        while log[run:run + 4] == b'MKRN':
            runs.append(run)
            run += 32 + struct.unpack_from('<I', log, run + 4)[0] + 7 & ~7
        assert log[run:run + 4] == b'MKIX', 'no index behind the runs'
        entry = run + 48
        for run in runs:
            _, _, greatest, named = struct.unpack_from('<IQQB', log, entry)
            entry += 53 if named else 21
            if greatest > 0:
                found.append((at, run))
        at += 48 + size
    assert found, 'no entry is stored'
    return found


def inside_entry(log):
    """Where the records of a run of entries begin; that frame is not the last one."""
    return entry_runs(log)[0][1] + 32


def last_entry(log):
    """The frame that holds the last entry."""
    return entry_runs(log)[-1][0]


def bit(folder):
    """replay names a log with a turned bit, or with nothing in it, the others all the same; a torn tail is no damage"""
    up = Up(folder)
    try:
        up.wait(lambda e: e['event'] == 'ready')
        deadline = time.monotonic() + PATIENCE
        while run('replay', up.dir)[0] != 0:  # a member may have nothing yet
            assert time.monotonic() < deadline, 'not all members have entries'
            time.sleep(0.1)
    finally:
        status = up.stop()
    assert status == 0, status
    whole = facts('replay', up.dir)
    assert whole['ok'] and whole['unread'] == [] and len(whole['replays']) > 1, whole
    members = [r['member'] for r in whole['replays']]
    empty = os.path.join(folder, 'empty')
    shutil.copytree(up.dir, empty)
    torn = os.path.join(folder, 'torn')
    shutil.copytree(up.dir, torn)
    segment = os.path.join('atlas-1', 'state', 'log', '000001.seg')
    with open(os.path.join(up.dir, segment), 'r+b') as f:
        at = inside_entry(f.read())
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    found = facts('replay', up.dir, status=1)
    assert not found['ok'] and [u['member'] for u in found['unread']] == members[:1], found
    assert re.search(r'log/000001\.seg: .* at offset \d+', found['unread'][0]['reason']), found
    assert [r['member'] for r in found['replays']] == members[1:], found
    assert all(r['entries'] > 0 for r in found['replays']), found
    status, _, lines = run('replay', up.dir)
    assert status == 1 and len(lines) == 1 and found['unread'][0]['reason'] in lines[0], lines
    with open(os.path.join(torn, segment), 'r+b') as f:  # as after a crash: no damage
        f.truncate(last_entry(f.read()) + 48)
    found = facts('replay', torn)
    last = {r['member']: r['last'] for r in found['replays']}
    before = next(r['last'] for r in whole['replays'] if r['member'].endswith('/atlas-1'))
    assert found['ok'] and found['unread'] == [] and len(last) == len(members), found
    assert last[os.path.join(torn, 'atlas-1')] < before, (found, before)
    state = os.path.join(empty, 'atlas-1', 'state')
    shutil.rmtree(state)
    bare(folder, state)
    found = facts('replay', empty, status=1)
    assert not found['ok'] and [u['empty'] for u in found['unread']] == [True], found
    assert re.match(r'0 entries are stored here, and \d+ in ', found['unread'][0]['reason']), found


frame.main(reasons, ports, bit)
