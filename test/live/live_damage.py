#!/usr/bin/env python3
"""Bits that flip in the logs of members, with real processes.

  live_damage.py PROGRAM

`coalition up` makes a coalition and is stopped. One bit of a member's record is turned: its
node says so, with file and place, is filled again from the others, and its copy counts again:
with another member gone the committee goes on. Bits of two members: both name the place,
nothing is committed, and nothing is lost: with their logs as they were the committee is back.
A log whose damage is nobody's in particular is put away when the operator says so. Speaks TAP.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from live_bed import FILE, PROGRAM
from tap import PATIENCE, note, play, until

MEMBERS = ('atlas-1', 'atlas-2', 'atlas-3')


def run(*args):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL)


class Scene:
    def __init__(self, folder):
        self.dir = os.path.join(folder, 'state')
        self.file = os.path.join(self.dir, 'local.toml')
        self.nodes = {}
        self.log = open(os.path.join(folder, 'nodes.log'), 'w+', encoding='utf-8')
        self.entry = json.loads(run('freeze', FILE, '--json').stdout)['organisms'][0]['stable_id']

    def lay_out(self):
        up = subprocess.Popen([PROGRAM, 'up', FILE, '--dir', self.dir, '--json'], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        try:
            for line in up.stdout:
                if json.loads(line)['event'] == 'ready':
                    break
            until(lambda: whole(self), 'all three to have what is published')
            up.send_signal(signal.SIGINT)
            up.stdout.read()
            assert up.wait(PATIENCE) == 0, up.returncode
        finally:
            if up.poll() is None:
                up.kill()
            up.stdout.close()

    def start(self, member, *more):
        self.nodes[member] = subprocess.Popen(
            [PROGRAM, 'node', os.path.join(self.dir, member, 'node.toml'), *more],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self, member):
        self.nodes[member].kill()
        self.nodes.pop(member).wait(PATIENCE)

    def publish(self, hint):
        p = run('atlas', 'publish', self.file, '--member', self.entry, '--key',
                os.path.join(self.dir, 'operator.key'), '--hint', hint, '--timeout', '20', '--json')
        return p.returncode == 0

    def shown(self):
        p = run('atlas', 'get', self.file, self.entry, '--json')
        return json.loads(p.stdout)['endpoint_hints'] if p.returncode == 0 else None

    def atlas(self):
        """(what was put away, the component) of the nodes that answer."""
        nodes = json.loads(run('status', self.file, '--json').stdout or '{"nodes":[]}')['nodes']
        return [(n['damaged'], c) for n in nodes if 'components' in n
                for c in n['components'] if c['component'] == 'atlas']

    def log_of(self, member):
        return next(p for p in map(os.path.dirname, glob.glob(
            os.path.join(self.dir, member, '**', '000001.seg'), recursive=True)) if os.path.basename(p) == 'log')

    def flip(self, member):
        """A bit of the newest record that holds the card's stable id."""
        path = os.path.join(self.log_of(member), '000001.seg')
        with open(path, 'r+b') as f:
            at = f.read().rindex(bytes.fromhex(self.entry)) + 9
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 4]))

    def unread(self):
        """What replay says of the logs that it cannot use: reason by member."""
        p = run('replay', self.dir, '--json')
        found = json.loads(p.stdout)
        assert p.returncode == (0 if found['ok'] else 1) and not (found['ok'] and found['unread']), p
        return {os.path.basename(u['member']): u['reason'] for u in found['unread']}

    def end(self):
        for node in self.nodes.values():
            node.terminate()
        for node in self.nodes.values():
            try:
                node.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                node.kill()
        self.log.close()


def whole(scene):
    """Of three members, each of which has what the others have."""
    seen = scene.atlas()
    return (len(seen) == 3 and len({c['applied'] for _, c in seen}) == 1 and
            {c['state'] for _, c in seen} == {'following', 'leading'} and seen)


def mended(scene):
    """a flipped bit of one: it names the place and is filled again from the others"""
    scene.lay_out()
    scene.flip(MEMBERS[0])
    replayed = scene.unread()
    for member in MEMBERS:
        scene.start(member)
    until(lambda: scene.publish('live:1'), 'a card')
    seen = until(lambda: whole(scene), 'all three to be whole')
    damages = [c['damage'] for _, c in seen if c['mended'] == 1 and c['damages'] == 1]
    assert len(damages) == 1, seen
    assert 'log/000001.seg: damaged records in the frame at offset' in damages[0], damages
    assert [c['damages'] for _, c in seen].count(0) == 2, seen
    assert replayed == {MEMBERS[0]: damages[0]}, (replayed, damages)


def counts(scene):
    """its copy and its vote count: another member goes, nothing is lost, cards go on"""
    scene.kill(MEMBERS[1])
    until(lambda: scene.shown() == ['live:1'], 'the card that was acknowledged')
    until(lambda: scene.publish('live:2'), 'a card by the member that was mended and another')
    scene.start(MEMBERS[1])
    until(lambda: whole(scene), 'all three to be whole')


def halts(scene):
    """flipped bits of two: both name the place, nothing is committed, and nothing is lost"""
    for member in MEMBERS:
        scene.kill(member)
    for member in MEMBERS[:2]:
        shutil.copytree(scene.log_of(member), scene.log_of(member) + '.kept')
        scene.flip(member)
    for member in MEMBERS:
        scene.start(member)

    def say():
        why = [c['why'] for _, c in scene.atlas()]
        return sum('damaged: log/000001.seg: damaged records in the frame at offset' in w for w in why) == 2 and any(
            'no majority: 2 members are damaged' in w for w in why)
    until(say, 'both to say so')
    assert not scene.publish('live:3')
    until(say, 'both to say so still')
    for member in MEMBERS[:2]:
        log = scene.log_of(member)
        scene.kill(member)
        shutil.rmtree(log)
        os.rename(log + '.kept', log)
        scene.start(member)
    until(lambda: whole(scene), 'all three to be whole')
    until(lambda: scene.shown() in (['live:2'], ['live:3']), 'the card that was acknowledged')
    until(lambda: scene.publish('live:4'), 'a card')


def begins_anew(scene):
    """a log that is nobody's damage: its node refuses to start, and begins anew with --set-aside"""
    scene.kill(MEMBERS[0])
    with open(os.path.join(scene.log_of(MEMBERS[0]), '000001.seg'), 'r+b') as f:
        f.write(bytes(1024))
    assert 'log/000001.seg: a damaged frame with valid ones behind it at offset 0' in scene.unread()[MEMBERS[0]]
    p = run('node', os.path.join(scene.dir, MEMBERS[0], 'node.toml'))
    assert p.returncode == 1, (p.returncode, p.stderr)
    assert 'log/000001.seg: a damaged frame with valid ones behind it at offset 0' in p.stderr, p.stderr
    assert '--set-aside' in p.stderr, p.stderr
    scene.start(MEMBERS[0], '--set-aside')
    seen = until(lambda: whole(scene), 'all three to be whole')
    damaged = [d for d, _ in seen if d is not None]
    assert len(damaged) == 1 and 'a damaged frame' in damaged[0], damaged
    folder = glob.glob(os.path.join(scene.dir, MEMBERS[0], '**', 'damaged'), recursive=True)[0]
    assert {'why', 'key', '000001.seg'} <= set(os.listdir(folder)), os.listdir(folder)


def main():
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        scene = Scene(folder)
        try:
            failed = play((mended, counts, halts, begins_anew), scene)
            if failed:
                scene.log.seek(0)
                for line in scene.log.read().splitlines()[-60:]:
                    note(line)
        finally:
            scene.end()
    sys.exit(1 if failed else 0)


main()
