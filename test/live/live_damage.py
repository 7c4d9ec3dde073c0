#!/usr/bin/env python3
"""A bit that flips in the log of one member, with real processes.

  live_damage.py PROGRAM

`coalition up` makes a coalition and is stopped. One bit of a member's log is turned: its node
refuses to start and names file and offset, while the others commit. Told to, it puts the log
away, begins anew from the others, says so in its status, and its copy counts again: with
another member gone the committee goes on. Speaks TAP.
"""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
from live_bed import FILE, PATIENCE, PROGRAM, until

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
        """(what was damaged, state, applied) of the nodes that answer."""
        nodes = json.loads(run('status', self.file, '--json').stdout or '{"nodes":[]}')['nodes']
        return [(n['damaged'], c['state'], c['applied']) for n in nodes if 'components' in n
                for c in n['components'] if c['component'] == 'atlas']

    def end(self):
        for node in self.nodes.values():
            node.terminate()
        for node in self.nodes.values():
            try:
                node.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                node.kill()
        self.log.close()


def refuses(scene):
    """a flipped bit: the member refuses to start and names the place; the others commit"""
    scene.lay_out()
    log = glob.glob(os.path.join(scene.dir, MEMBERS[0], '**', '000001.seg'), recursive=True)[0]
    with open(log, 'r+b') as f:
        f.seek(700)
        byte = f.read(1)[0]
        f.seek(700)
        f.write(bytes([byte ^ 4]))
    for member in MEMBERS[1:]:
        scene.start(member)
    p = run('node', os.path.join(scene.dir, MEMBERS[0], 'node.toml'))
    assert p.returncode == 1, (p.returncode, p.stderr)
    assert 'log/000001.seg: a damaged frame with valid ones behind it at offset' in p.stderr, p.stderr
    until(lambda: scene.publish('live:1'), 'a card by two of three')


def begins_anew(scene):
    """--set-aside: it begins anew, has what the others have, and says what was damaged"""
    scene.start(MEMBERS[0], '--set-aside')

    def whole():
        seen = scene.atlas()
        return (len(seen) == 3 and len({applied for _, _, applied in seen}) == 1 and
                {state for _, state, _ in seen} == {'following', 'leading'} and seen)
    damaged = [d for d, _, _ in until(whole, 'all three to be whole') if d is not None]
    assert len(damaged) == 1 and 'a damaged frame' in damaged[0], damaged
    folder = glob.glob(os.path.join(scene.dir, MEMBERS[0], '**', 'damaged'), recursive=True)[0]
    assert {'why', 'key', '000001.seg'} <= set(os.listdir(folder)), os.listdir(folder)


def counts(scene):
    """its copy and its vote count: another member goes, nothing is lost, cards go on"""
    scene.kill(MEMBERS[1])
    until(lambda: scene.shown() == ['live:1'], 'the card that was acknowledged')
    until(lambda: scene.publish('live:2'), 'a card by the member that began anew and another')


def main():
    tests, failed = (refuses, begins_anew, counts), 0
    print(f'1..{len(tests)}', flush=True)
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        scene = Scene(folder)
        try:
            for number, test in enumerate(tests, 1):
                try:
                    test(scene)
                    verdict = 'ok'
                except Exception:  # reported, and the others go on
                    verdict, failed = 'not ok', failed + 1
                    scene.log.seek(0)
                    for line in (traceback.format_exc() + scene.log.read()).splitlines():
                        print('#', line)
                print(f'{verdict} {number} - {test.__doc__}', flush=True)
        finally:
            scene.end()
    sys.exit(1 if failed else 0)


main()
