#!/usr/bin/env python3
"""Five members for a long time: one -9 every so often, a rolling restart, steady load.

  live_soak.py PROGRAM LEDGER_NODE LEDGER_CLIENTS

Clients write to the accounts of a ledger (ledger.h) at a steady rate, each request with its own
retries and deadline. A member is killed with -9 every SOAK_KILL_S seconds and started again; after a
quarter of the time all are restarted in turn. At least 99.9 % of the requests must succeed, no
acknowledged write may be lost, and resident memory and descriptors must be flat at the end: for
that one member, the eldest, is spared from before the half on (when it leads it is stopped until
another one does, so leaders go on being killed), and it and the clients' process are measured.
Memory rises for some twenty minutes of a life, until what is retained and what the allocator keeps
have their sizes; a long run judges its last quarter, a short one its last half, with more room.

SOAK_MINUTES (0.6), SOAK_KILL_S (20; 6 when the run is short), SOAK_RATE (200 a second), LIVE_SEED.
Speaks TAP. Only processes that this script started are ever signalled.
"""
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
from ledger_bed import Clients  # noqa: E402
from tap import Missing, free_ports, note, until  # noqa: E402
from wire_bed import (Committee, descriptors_of, ended, instrumented, memory_of,  # noqa: E402
                      play_scene)

MEMBERS, ELDEST = 5, 0
MINUTES = float(os.environ.get('SOAK_MINUTES') or 0.6)
KILL_S = float(os.environ.get('SOAK_KILL_S') or (20 if MINUTES >= 5 else 6))
RATE = int(os.environ.get('SOAK_RATE') or 200)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
SAMPLE_S = 5 if MINUTES >= 5 else 1
LONG = MINUTES >= 40  # shorter runs may still grow
SPARED = 3 / 8  # of the time: then what it retains has filled up again by the half
MIB = 1 << 20


class Soak:
    def __init__(self, program, node, clients, folder):
        self.chance = random.Random(SEED)
        self.committee = Committee(node, program, folder, MEMBERS, free_ports(MEMBERS))
        self.folder, self.program, self.sampled = folder, clients, []
        self.clients, self.kills, self.sanitized = None, 0, False

    def close(self):
        if self.clients is not None and self.clients.process.poll() is None:
            self.clients.process.kill()
        self.committee.kill_all()

    def sample(self):
        eldest, clients = self.committee.members[ELDEST].pid, self.clients.process.pid
        self.sampled.append((time.monotonic(), memory_of(eldest), descriptors_of(eldest),
                             memory_of(clients), descriptors_of(clients)))

    def wait_until(self, moment, measured):
        """Measures on the way."""
        while (left := moment - time.monotonic()) > 0:
            self.clients.acked()
            threading.Event().wait(min(left, SAMPLE_S))
            if measured:
                self.sample()

    def kill_one(self, spare_eldest):
        if spare_eldest and self.committee.leader() == ELDEST:
            self.committee.signal(ELDEST, signal.SIGSTOP)
            try:
                self.committee.leader(among=self.committee.others(ELDEST))
            finally:
                self.committee.signal(ELDEST, signal.SIGCONT)
        victims = [i for i in range(MEMBERS) if not (spare_eldest and i == ELDEST)]
        victim = self.chance.choice(victims)
        self.committee.kill(victim)
        self.committee.start(victim)
        self.kills += 1

    def rolling_restart(self):
        for i in range(MEMBERS):
            self.committee.restart(i)
            there = self.committee.ask((i + 1) % MEMBERS)['applied']
            until(lambda i=i, n=there: self.has(i, n), f'member {i} to be back')

    def has(self, i, applied):
        said = self.committee.status(i)
        return said and said['state'] in ('following', 'leading') and said['applied'] >= applied


def runs(soak):
    """five members under load: -9 again and again, and a rolling restart; nothing is lost"""
    soak.committee.found()
    soak.clients = Clients(soak.program, MEMBERS, soak.committee.base, soak.folder, rate=RATE)
    until(lambda: soak.clients.acked() > 0, 'the first write')
    soak.sanitized = instrumented(soak.clients.process.pid)
    begin, seconds, rolled = time.monotonic(), MINUTES * 60, False
    end = begin + seconds
    while (now := time.monotonic()) < end:
        if not rolled and now >= begin + seconds / 4:
            soak.rolling_restart()
            rolled = True
            note(f'rolling restart took {time.monotonic() - now:.1f} s: {soak.clients.last}')
            now = time.monotonic()
            end = max(end, now + seconds / 2)  # half is measured, however slow that was
        soak.wait_until(min(now + KILL_S, end), measured=now >= end - seconds / 2)
        if time.monotonic() < end:
            soak.kill_one(spare_eldest=time.monotonic() >= end - seconds * (1 - SPARED))
    assert rolled and soak.kills > 0
    soak.clients.end()
    note(f'{MINUTES:g} minutes, {soak.kills} times -9, one rolling restart: {soak.clients.last}')


def succeed(soak):
    """at least 99.9 % of the requests succeeded"""
    last = soak.clients.last
    share = 1 - last['failed'] / last['requests']
    note(f'{100 * share:.3f} % of {last["requests"]} requests; the slowest took {last["max"]} ms')
    assert share >= 0.999, last
    assert last['requests'] > MINUTES * 60 * RATE / 20, last  # a slow machine begins fewer


def growth(points):
    """By how much the line through the points rises over their time, and their mean."""
    n = len(points)
    mt, mv = sum(t for t, _ in points) / n, sum(v for _, v in points) / n
    over = sum((t - mt) ** 2 for t, _ in points)
    slope = sum((t - mt) * (v - mv) for t, v in points) / over
    return slope * (points[-1][0] - points[0][0]), mv


def flat_memory(soak):
    """resident memory is flat at the end"""
    judged = soak.sampled[len(soak.sampled) // 2:] if LONG else soak.sampled
    for name, column in (('the eldest', 1), ('the clients', 3)):
        grown, mean = growth([(s[0], s[column]) for s in judged])
        way = [f'{s[column] / MIB:.1f}' for s in soak.sampled[::len(soak.sampled) // 10 or 1]]
        note(f'{name}: {mean / MIB:.1f} MiB resident, {grown / MIB:+.2f} MiB; ' + ' '.join(way))
        if soak.sanitized:
            continue
        allowed = mean / 100 + MIB / 4 if LONG else mean / 5 + 4 * MIB
        assert grown <= allowed, f'{name}: {grown} bytes more, {allowed:.0f} are allowed'
    if soak.sanitized:
        raise Missing('a sanitizer keeps what is freed; the plain build judges this')


def flat_descriptors(soak):
    """descriptors are flat over the last half"""
    for name, column in (('the eldest', 2), ('the clients', 4)):
        grown, mean = growth([(s[0], s[column]) for s in soak.sampled])
        note(f'{name}: {mean:.1f} descriptors, {grown:+.2f} over the last half')
        assert grown <= 2, f'{name}: {grown:.1f} more descriptors'


def soak_in(folder):
    note(f'SOAK_MINUTES={MINUTES:g} SOAK_KILL_S={KILL_S:g} SOAK_RATE={RATE} LIVE_SEED={SEED}')
    return Soak(*map(os.path.abspath, sys.argv[1:4]), folder)


if __name__ == '__main__':
    play_scene((runs, succeed, flat_memory, flat_descriptors, ended), 'coalition-soak-', soak_in)
