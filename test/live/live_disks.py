#!/usr/bin/env python3
"""What real clients see of a real committee whose disks and clocks are unwell, judged.

  live_disks.py PROGRAM KV_NODE HISTORY_CLIENTS FAULT_DISK CLOCK_SHIFT KV_LOAD

Each of three members has a disk of ours (test/wire/fault_disk.c) that can be slow, hang, fail, lie
full, and forget at a power cut what was not synced; a later one has a tmpfs with a size. Their wall
clocks are shifted by a library that is loaded into them. Meanwhile clients record what they see; the
history must be linearizable, by `coalition check history`.

LIVE_SEED chooses (printed). Speaks TAP; skipped where no file system may be mounted. Only processes
that this script started are ever signalled.
"""
import os
import random
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
import history_bed  # noqa: E402
from history_bed import History  # noqa: E402
from tap import PATIENCE, free_ports, note, until  # noqa: E402
from wire_bed import Committee, FaultDisk, ended, play_scene, tmpfs  # noqa: E402

MEMBERS = 3
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
EIO, HOUR_MS, NEAR_MS = 5, 3600 * 1000, 60 * 1000
SLOW_US, TMPFS = 300000, 128 << 20


class Scene(history_bed.Scene):
    def __init__(self, programs, folder):
        program, node, self.recorder, disk, clock, self.load = programs
        super().__init__(program, folder)
        self.chance = random.Random(SEED)
        dirs = [os.path.join(folder, f'm{i}') for i in range(MEMBERS)]
        self.disks = [FaultDisk(disk, d) for d in dirs]
        self.shifts = [os.path.join(folder, f'clock{i}') for i in range(MEMBERS)]
        env = {}
        for i, path in enumerate(self.shifts):
            self.shift(i, 0)
            env[i] = {'CLOCK_SHIFT': path, 'LD_PRELOAD': clock, 'ASAN_OPTIONS': ':'.join(
                filter(None, (os.environ.get('ASAN_OPTIONS'), 'verify_asan_link_order=0')))}
        self.committee = Committee(node, program, folder, MEMBERS, free_ports(MEMBERS),
                                   dirs=dirs, env=env)

    def shift(self, i, ms):
        """The wall clock of member i is that much ahead, from now on."""
        with open(self.shifts[i], 'r+b' if os.path.exists(self.shifts[i]) else 'wb') as f:
            f.write(struct.pack('=q', ms * 1000000))

    def ends_by_itself(self, i, said):
        """It stops with 1, and its last words name what happened."""
        status = until(lambda: (self.committee.members[i].poll(),)[0] is not None and
                       (self.committee.members[i].returncode,), f'member {i} to end')[0]
        assert status == 1, f'member {i} ended with {status}'
        assert said in self.committee.said().lower(), self.committee.said()[-2000:]

    def between(self):
        """What a case left behind must not be the next one's."""
        if self.committee.log.closed:
            return  # it was the last one
        for d in self.disks:
            d.tell('set * delay=0 error=0 hang=0')
        for i in range(MEMBERS):
            self.shift(i, 0)
            if not self.committee.alive(i):
                self.committee.start(i)
        if self.history and self.history.process.poll() is None:
            self.well(0)

    def close(self):
        for d in self.disks:
            try:
                d.tell('set * delay=0 error=0 hang=0')
            except (AssertionError, OSError):
                pass
        super().close()
        for d in self.disks:
            d.close()
        subprocess.run(['umount', '--lazy', os.path.join(self.folder, 'small')],
                       stderr=subprocess.DEVNULL, check=False)


def stands(scene):
    """three members on disks of ours, with clocks of ours, stand up"""
    scene.committee.found()
    scene.history = History(scene.recorder, scene.folder, MEMBERS, scene.committee.base, SEED)
    scene.well(50)


def slow_disks(scene):
    """0.3 s for each sync, of a follower, then of the leader: the others are not held up for long"""
    for pick in (lambda leader: scene.committee.others(leader)[0], lambda leader: leader):
        who = pick(scene.committee.leader())
        scene.disks[who].tell(f'set sync delay={SLOW_US}')
        scene.history.more(100)
        scene.disks[who].tell('set sync delay=0')
        scene.well()


def hung_disks(scene):
    """a sync that never ends, of a follower, then of the leader: the others go on; it catches up"""
    for pick in (lambda leader: scene.committee.others(leader)[0], lambda leader: leader):
        who, began = pick(scene.committee.leader()), time.monotonic()
        scene.disks[who].tell('set sync hang=1')
        scene.history.more(100)
        scene.disks[who].tell('set sync hang=0')
        healed = time.monotonic()
        scene.well()
        note(f'{healed - began:.1f} s for 100 answers, {time.monotonic() - healed:.1f} s to be well')


def failing_disks(scene):
    """a sync or write that fails, at a follower, then the leader: it ends and says so, others go on"""
    for op, pick in (('sync', lambda leader: scene.committee.others(leader)[0]),
                     ('write', lambda leader: leader), ('sync', lambda leader: leader)):
        who = pick(scene.committee.leader())
        scene.disks[who].tell(f'set {op} error={EIO}')
        scene.ends_by_itself(who, 'disk')
        scene.history.more(40)
        scene.disks[who].tell(f'set {op} error=0')
        scene.committee.start(who)
        scene.well()


def unreadable_disk(scene):
    """a disk that cannot be read: the member refuses to start, and is whole once it can be"""
    who = scene.committee.others(scene.committee.leader())[0]
    scene.committee.kill(who)
    scene.disks[who].tell(f'set read error={EIO}')
    scene.committee.start(who)
    scene.ends_by_itself(who, 'input/output')
    scene.disks[who].tell('set read error=0')
    scene.committee.start(who)
    scene.well()


def full_disk(scene):
    """a tmpfs that is full: the member ends and says so; with room again it is back"""
    who = scene.committee.others(scene.committee.leader())[0]
    scene.committee.kill(who)
    old, new = scene.committee.dirs[who], tmpfs(os.path.join(scene.folder, 'small'), TMPFS)
    copy(os.path.join(old, 'state'), os.path.join(new, 'state'))
    scene.committee.dirs[who] = new
    scene.committee.start(who)
    scene.well()
    filler = os.path.join(new, 'filler')
    with open(filler, 'wb', buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))  # up to the last page
        except OSError as e:
            note(f'{os.path.getsize(filler)} bytes, then: {e.strerror}')
    try:
        until(lambda: not scene.committee.alive(who) or blast(scene), 'the member to find it full')
        scene.ends_by_itself(who, 'space')
        scene.history.more(40)
    finally:
        os.unlink(filler)
    scene.committee.start(who)
    scene.well()


def blast(scene):
    """Writes of 4 KiB for a second, so that logs need new segments; some may fail meanwhile."""
    p = subprocess.run([scene.load, 'load', str(MEMBERS), str(scene.committee.base), '32', '0', '1',
                        '4096'], capture_output=True, text=True, timeout=PATIENCE)
    note(p.stdout.strip() or p.stderr.strip())


def copy(old, new):
    os.makedirs(new, mode=0o700, exist_ok=True)
    for name in os.listdir(old):
        a, b = os.path.join(old, name), os.path.join(new, name)
        if os.path.isdir(a):
            copy(a, b)
            continue
        with open(a, 'rb') as f, open(b, 'wb') as g:
            g.write(f.read())
        os.chmod(b, 0o600)


def power_cuts(scene):
    """power of one, then of all at once, in the middle of syncs: what was acknowledged is there"""
    lost = {}
    for round in range(4):
        for d in scene.disks:
            d.tell('set sync delay=2000')
        which = range(MEMBERS) if round % 2 else [scene.chance.randrange(MEMBERS)]
        scene.history.more(30)
        scene.committee.kill(*which)
        for i in which:
            if scene.committee.dirs[i].endswith('small'):
                continue  # it is not on a disk of ours now: a kill is all it gets
            for k, v in scene.disks[i].facts(f'cut {scene.chance.randrange(1 << 48)}').items():
                lost[k] = lost.get(k, 0) + v
        for i in which:
            scene.committee.start(i)
        scene.well()
    note(f'what was not durable when power failed: {lost}')


def one_clock(scene):
    """a follower's wall clock jumps five hours ahead, the leader's five back: time goes on as it was"""
    leader = scene.committee.leader()
    before = clock_of(scene)
    scene.shift(scene.committee.others(leader)[0], 5 * HOUR_MS)
    scene.shift(leader, -5 * HOUR_MS)
    scene.history.more(40)
    now = until(lambda: (t := clock_of(scene)) > before and t, 'the time to go on')
    assert abs(now - time.time() * 1000) < NEAR_MS, (now, time.time())


def all_clocks(scene):
    """all wall clocks jump an hour ahead: time does not; members begun anew believe them; never back"""
    before = clock_of(scene)
    for i in range(MEMBERS):
        scene.shift(i, HOUR_MS)
    scene.history.more(40)
    now = until(lambda: (t := clock_of(scene)) > before and t, 'the time to go on')
    assert abs(now - time.time() * 1000) < NEAR_MS, (now, time.time())
    for i in range(MEMBERS):
        scene.committee.restart(i)
        scene.well(0)
    ahead = until(lambda: (t := clock_of(scene)) > before + HOUR_MS // 2 and t,
                  'the time of a majority that was begun anew')
    for i in range(MEMBERS):
        scene.shift(i, 0)
        scene.committee.restart(i)
        scene.well(10)
    assert clock_of(scene) >= ahead


def clock_of(scene):
    """The committee's time, as the leader tells it."""
    return until(lambda: scene.committee.status(scene.committee.leader())['time_ms'], 'the time')


def stopped(scene):
    """the leader is stopped and goes on: another leads meanwhile, and it follows"""
    leader = scene.committee.leader()
    scene.committee.signal(leader, signal.SIGSTOP)
    try:
        scene.committee.leader(among=scene.committee.others(leader))
        scene.history.more(40)
    finally:
        scene.committee.signal(leader, signal.SIGCONT)
    scene.well()


CASES = (stands, slow_disks, hung_disks, failing_disks, unreadable_disk, power_cuts, full_disk,
         stopped, one_clock, all_clocks, history_bed.judged(900), ended)


def scene_in(folder):
    note(f'LIVE_SEED={SEED}')
    return Scene(list(map(os.path.abspath, sys.argv[1:7])), folder)


if __name__ == '__main__':
    play_scene(CASES, 'coalition-disks-', scene_in, isolated=True)
