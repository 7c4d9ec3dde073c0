#!/usr/bin/env python3
"""A snapshot installed on a wiped member, with real processes, under a writer.

  live_install.py PROGRAM KV_NODE KV_LOAD

The committee of the benchmarks is filled until its log is cut. A member is killed, its directory
removed; it comes back with an empty disk while a client writes, is given a snapshot and the
log, and votes: with another member gone every write is still answered. Speaks TAP.
"""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
from tap import PATIENCE, free_ports, until  # noqa: E402
from wire_bed import Committee, ended, play_scene  # noqa: E402

MEMBERS = 3
KEYS = 67000  # a snapshot is taken every 65,536 entries


class Scene:
    """The committee, and the load of the benchmarks."""

    def __init__(self, program, node, load, folder):
        self.committee = Committee(node, program, folder, MEMBERS, free_ports(MEMBERS))
        self.program, self.wiped = load, None

    def command(self, what, *args):
        return [self.program, what, str(MEMBERS), str(self.committee.base), *args]

    def fill(self, *args):
        p = subprocess.run(self.command('fill', *args), capture_output=True, text=True,
                           timeout=4 * PATIENCE, stdin=subprocess.DEVNULL)
        assert p.returncode == 0, (args, p.stdout, p.stderr)
        return p.stdout

    def pace(self):
        return subprocess.Popen(self.command('pace', '100', '128'), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def close(self):
        self.committee.kill_all()


def installs(scene):
    """a wiped member is given a snapshot under a writer, and catches up"""
    committee = scene.committee
    committee.found()
    scene.fill('256', str(KEYS), '300')

    def all_have_one():  # members take their first at different times
        return (all(committee.ask(i)['snapshot'] > 0 for i in range(MEMBERS)) or
                not scene.fill('256', '5000', '300'))
    until(all_have_one, 'snapshots at all members', 2 * PATIENCE)
    wiped = until(lambda: [i for i in range(MEMBERS) if committee.status(i)['state'] == 'following'],
                  'a follower')[0]
    writer = scene.pace()
    try:
        committee.kill(wiped)
        shutil.rmtree(os.path.join(committee.dirs[wiped], 'state'))
        committee.start(wiped, 'found')

        def is_back():
            s = committee.status(wiped)
            return s['state'] == 'following' and s['snapshot'] > 0 and s['applied'] > KEYS
        until(is_back, 'the wiped member to vote again', 2 * PATIENCE)
    finally:
        writer.send_signal(signal.SIGTERM)
        out, err = writer.communicate(timeout=PATIENCE)
    assert writer.returncode == 0 and re.search(r'\berr=0\b', out) and not re.search(r'\bdone=0\b', out), (out, err)
    scene.wiped = wiped


def votes(scene):
    """its vote counts: another member goes, and every write is answered"""
    scene.committee.kill(scene.committee.others(scene.wiped)[0])
    assert re.search(r'done=500 err=0', scene.fill('16', '500', '128'))
    until(lambda: scene.committee.status(scene.wiped)['state'] in ('following', 'leading'), 'its state')
    ended(scene)


if __name__ == '__main__':
    play_scene((installs, votes), 'coalition-live-',
               lambda folder: Scene(*map(os.path.abspath, sys.argv[1:4]), folder))
