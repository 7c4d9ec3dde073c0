#!/usr/bin/env python3
"""A snapshot installed on a wiped member, with real processes, under a writer.

  live_install.py PROGRAM KV_NODE KV_LOAD

The committee of the benchmarks is filled until its log is cut. A member is killed, its directory
removed; it comes back with an empty disk while a client writes, is given a snapshot and the
log, and votes: with another member gone every write is still answered. Speaks TAP.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from live_bed import MEMBERS, PATIENCE, play, run, until

KV_NODE, KV_LOAD = (os.path.abspath(a) for a in sys.argv[2:4])
PORT = 24600
KEYS = 67000  # a snapshot is taken every 65,536 entries


class Committee:
    wiped = 0

    def __init__(self, folder):
        self.folder = folder
        self.nodes = {}
        self.log = open(os.path.join(folder, 'nodes.log'), 'w+', encoding='utf-8')
        for i in range(MEMBERS):
            self.start(i)
        self.addresses = self.load('addresses').split()

    def start(self, i):
        self.nodes[i] = subprocess.Popen(
            [KV_NODE, os.path.join(self.folder, f'n{i}'), str(i), str(MEMBERS), str(PORT), 'found'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self, i):
        p = self.nodes.pop(i)
        p.kill()
        p.wait(PATIENCE)

    def load(self, what, *args):
        p = subprocess.run([KV_LOAD, what, str(MEMBERS), str(PORT), *args], capture_output=True, text=True,
                           timeout=4 * PATIENCE, stdin=subprocess.DEVNULL)
        assert p.returncode == 0, (what, args, p.stdout, p.stderr)
        return p.stdout

    def pace(self):
        return subprocess.Popen([KV_LOAD, 'pace', str(MEMBERS), str(PORT), '100', '128'], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def says(self, i):
        status, out, _ = run('status', '--node', self.addresses[i], '--json')
        nodes = json.loads(out)['nodes'] if out else []
        return nodes[0]['components'][0] if status == 0 and 'components' in nodes[0] else None

    def end(self):
        for p in self.nodes.values():
            p.terminate()
        for p in self.nodes.values():
            assert p.wait(PATIENCE) == 0, p.returncode
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        assert 'Sanitizer' not in text and 'runtime error' not in text, text


def installs(committee):
    """a wiped member is given a snapshot under a writer, and catches up"""
    committee.load('fill', '256', str(KEYS), '300')

    def all_have_one():  # members take their first at different times
        return (all(committee.says(i)['snapshot'] > 0 for i in range(MEMBERS)) or
                not committee.load('fill', '256', '5000', '300'))
    until(all_have_one, 'snapshots at all members', 2 * PATIENCE)
    wiped = next(i for i in range(MEMBERS) if committee.says(i)['state'] == 'following')
    writer = committee.pace()
    try:
        committee.kill(wiped)
        shutil.rmtree(os.path.join(committee.folder, f'n{wiped}'))
        committee.start(wiped)

        def is_back():
            s = committee.says(wiped)
            return s is not None and s['state'] == 'following' and s['snapshot'] > 0 and s['applied'] > KEYS
        until(is_back, 'the wiped member to vote again', 2 * PATIENCE)
    finally:
        writer.send_signal(signal.SIGTERM)
        out, err = writer.communicate(timeout=PATIENCE)
    assert writer.returncode == 0 and re.search(r'\berr=0\b', out) and not re.search(r'\bdone=0\b', out), (out, err)
    committee.wiped = wiped


def votes(committee):
    """its vote counts: another member goes, and every write is answered"""
    committee.kill(next(i for i in range(MEMBERS) if i != committee.wiped))
    assert re.search(r'done=500 err=0', committee.load('fill', '16', '500', '128'))
    until(lambda: committee.says(committee.wiped)['state'] in ('following', 'leading'), 'its state')


def main():
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        committee = Committee(folder)
        try:
            print('1..2', flush=True)
            failed = play((installs, votes), committee)
        finally:
            committee.end()
    sys.exit(1 if failed else 0)


main()
