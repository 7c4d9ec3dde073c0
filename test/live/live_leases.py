#!/usr/bin/env python3
"""Reads under a leader's lease, by real clients of a real committee in a bad world, judged.

  live_leases.py PROGRAM KV_NODE HISTORY_CLIENTS WIRE CLOCK_SHIFT

Members have read leases; each, and the clients, is in a network namespace of its own on a wire of
ours. Half of the clients only read, so that they stay with a leader that was for as long as it
answers. The leader is cut off from the others (not from the clients), in one direction too, stopped
for about as long as a lease, restarted, killed; wall clocks jump meanwhile, and monotonic ones run at
rates that differ by as much as leases allow. What the clients saw must be linearizable, by `coalition
check history`; with one answer changed it is not.

What leases rest on is broken once, on a committee of its own: the monotonic clock of a leader that is
cut off stands still, as that of a paused guest. It then reads on under its lease after others have
written, and the same judge must refuse what clients saw.

LEASE_ROUNDS (9) faults; LIVE_SEED chooses them (printed). Speaks TAP; skipped where no TUN device or
namespace is to be had. Only processes that this script started are ever signalled.
"""
import os
import random
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
import history_bed  # noqa: E402
from history_bed import History, judge  # noqa: E402
from tap import note, until  # noqa: E402
from wire_bed import Committee, Wire, ended, play_scene  # noqa: E402

MEMBERS, CLIENTS, BASE = 3, 3, 7700  # members are nodes 0 to 2, the clients are node 3
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
ROUNDS = int(os.environ.get('LEASE_ROUNDS') or 9)
HOUR_MS, PAUSE_MS = 3600 * 1000, '4'
USUAL, SLOW, FAST = 1000000, 953000, 1047000  # millionths; a tenth between slow and fast


class Scene(history_bed.Scene):
    def __init__(self, programs, folder, rates):
        self.programs = programs
        program, node, _, wire, clock = programs
        super().__init__(program, folder)
        os.makedirs(folder, exist_ok=True)
        self.chance = random.Random(SEED)
        self.wire = Wire(wire, MEMBERS + 1, SEED)
        self.wire.tell('set * * delay=500 jitter=500')
        self.clocks, env = [os.path.join(folder, f'clock{i}') for i in range(MEMBERS)], {}
        for i, path in enumerate(self.clocks):
            with open(path, 'wb') as f:
                f.write(struct.pack('=qqq', 0, time.monotonic_ns(), rates[i]))
            env[i] = {'CLOCK_SHIFT': path, 'LD_PRELOAD': clock, 'KV_LEASES': '1',
                      'ASAN_OPTIONS': ':'.join(filter(None, (os.environ.get('ASAN_OPTIONS'),
                                                             'verify_asan_link_order=0')))}
        self.committee = Committee(node, program, folder, MEMBERS, BASE, wire=self.wire, env=env)

    def set_clock(self, i, number, value):
        """Of member i, from now on; the numbers are those of clock_shift.c."""
        with open(self.clocks[i], 'r+b') as f:
            f.seek(8 * number)
            f.write(struct.pack('=q', value))

    def wall(self, i, ms):
        self.set_clock(i, 0, ms * 1000000)

    def stand_still(self, i):
        """Its monotonic clock, where it is."""
        self.set_clock(i, 2, 0)
        self.set_clock(i, 1, time.monotonic_ns())

    def stand_up(self):
        self.committee.found()
        self.history = History(self.programs[2], self.folder, MEMBERS, BASE, SEED, clients=8, keys=3,
                               wrap=lambda c: self.wire.inside(CLIENTS, c),
                               env=self.committee.environment(), more=(PAUSE_MS, 'leases'))
        self.history.more(50)

    def heal(self):
        for i in range(MEMBERS):
            for k in self.committee.others(i):
                self.wire.tell(f'set {i} {k} cut=0')

    def close(self):
        super().close()
        if self.wire.process.poll() is None:
            self.wire.close()


# --- what happens to the leader ------------------------------------------------------------------

def cut_off(scene, leader):
    """It hears no other member and is heard by none; clients reach it."""
    scene.wire.part([leader], scene.committee.others(leader))
    scene.committee.leader(among=scene.committee.others(leader))
    scene.history.more(60)


def cut_off_and_back(scene, leader):
    """The same, for about as long as a lease."""
    scene.wire.part([leader], scene.committee.others(leader))
    threading.Event().wait(scene.chance.uniform(0.05, 0.5))


def dumb(scene, leader):
    """It is heard by no other member."""
    for i in scene.committee.others(leader):
        scene.wire.tell(f'set {leader} {i} cut=1')
    scene.committee.leader(among=scene.committee.others(leader))
    scene.history.more(60)


def deaf(scene, leader):
    """It hears no other member."""
    for i in scene.committee.others(leader):
        scene.wire.tell(f'set {i} {leader} cut=1')
    scene.committee.leader(among=scene.committee.others(leader))
    scene.history.more(60)


def stopped(scene, leader):
    """Until another one leads; then it goes on with reads in its hands."""
    scene.committee.signal(leader, signal.SIGSTOP)
    try:
        scene.committee.leader(among=scene.committee.others(leader))
        scene.history.more(60)
    finally:
        scene.committee.signal(leader, signal.SIGCONT)


def stopped_briefly(scene, leader):
    """Again and again, for less or more than a lease, cut off meanwhile."""
    for _ in range(5):
        scene.committee.signal(leader, signal.SIGSTOP)
        if scene.chance.random() < 0.5:
            scene.wire.part([leader], scene.committee.others(leader))
        threading.Event().wait(scene.chance.uniform(0.05, 0.6))
        scene.committee.signal(leader, signal.SIGCONT)
        threading.Event().wait(scene.chance.uniform(0, 0.3))
        scene.heal()


def restarted(scene, leader):
    """It hands over, as for an upgrade."""
    scene.committee.restart(leader)


def killed(scene, leader):
    """It, or one that promised; back at once."""
    which = scene.chance.choice([leader, *scene.committee.others(leader)])
    scene.committee.kill(which)
    threading.Event().wait(scene.chance.uniform(0, 0.4))
    scene.committee.start(which)


def promised_and_back(scene, leader):
    """Cut off, and those who promised are killed and start again: they must keep their word."""
    scene.wire.part([leader], scene.committee.others(leader))
    scene.committee.kill(*scene.committee.others(leader))
    for i in scene.committee.others(leader):
        scene.committee.start(i)
    scene.committee.leader(among=scene.committee.others(leader))
    scene.history.more(60)


FAULTS = (cut_off, stopped_briefly, dumb, stopped, promised_and_back, cut_off_and_back, deaf,
          restarted, killed)


def disturb(scene, fault):
    for i in range(MEMBERS):
        if scene.chance.random() < 0.5:
            scene.wall(i, scene.chance.randrange(-HOUR_MS, HOUR_MS))
    leader = scene.committee.leader()
    before, began = scene.history.answers(), time.monotonic()
    fault(scene, leader)
    scene.well()
    note(f'{fault.__name__} (member {leader}): {scene.history.answers() - before} answers in '
         f'{time.monotonic() - began:.1f} s')


def leased(scene):
    """Reads under a lease, of all who ever led."""
    return sum(scene.committee.ask(i)['leased'] for i in range(MEMBERS))


def stands(scene):
    """members with leases and their clients stand up; most reads need no round"""
    scene.stand_up()

    def most():
        before = leased(scene), scene.history.answers()
        scene.history.more(400)
        got, answers = leased(scene) - before[0], scene.history.answers() - before[1]
        note(f'{got} of {answers} answers under a lease')
        return got > answers / 3
    until(most, 'most reads to need no round')


def disturbed(scene):
    """leaders cut off, stopped, killed, restarted, clocks that jump: answers go on"""
    for n in range(ROUNDS):
        disturb(scene, FAULTS[n] if n < len(FAULTS) else scene.chance.choice(FAULTS))


def ended_here(scene):
    """SIGTERM: all end cleanly, no sanitizer and no assertion had a word"""
    ended(scene)
    scene.close()  # the next one has a wire of its own


def stood_still(scene):
    """the clock of a leader that is cut off stands still: the same judge refuses what clients saw"""
    bad = Scene(scene.programs, os.path.join(scene.folder, 'still'), [USUAL] * MEMBERS)
    try:
        bad.stand_up()
        leader = bad.committee.leader()
        bad.history.more(100)
        bad.stand_still(leader)
        bad.wire.part([leader], bad.committee.others(leader))
        bad.committee.leader(among=bad.committee.others(leader))
        status, fact = until(lambda: (x := judge(bad.program, bad.history.so_far()))[0] and x,
                             'a read of what was')
        note(f'{fact["operations"]} operations: {fact["verdict"]}')
        assert (status, fact['verdict']) == (1, 'refused'), fact
    finally:
        bad.close()


CASES = (stands, disturbed, history_bed.judged(800 + 60 * ROUNDS), ended_here, stood_still)


def scene_in(folder):
    rates = [SLOW, FAST, FAST]
    random.Random(SEED).shuffle(rates)
    note(f'LIVE_SEED={SEED} LEASE_ROUNDS={ROUNDS}')
    return Scene(list(map(os.path.abspath, sys.argv[1:6])), folder, rates)


if __name__ == '__main__':
    play_scene(CASES, 'coalition-leases-', scene_in, isolated=True)
