#!/usr/bin/env python3
"""Acknowledged writes under -9 of any process and power cuts of all at once: none is lost.

  live_ledger.py PROGRAM LEDGER_NODE LEDGER_CLIENTS FAULT_DISK

Three members, each on a disk of ours (test/wire/fault_disk.c), which loses, keeps or tears what was
not synced when power fails and takes its time over a sync, so that there is such; clients write to a ledger as fast as it goes and note durably what was
acknowledged. A lost, doubled or reordered write among all shows in its account (ledger.h). Faults,
chosen by LIVE_SEED: -9 of one member, of two, of the clients; power of one, or of all at once.
Where no file system may be mounted the members have real folders, and power cuts are -9 of all.

That `0 lost` could have been otherwise is shown on other committees whose disks lie: a sync says yes
and keeps nothing. There power cuts must lose writes, and the ledger must say so, or the members must
refuse what they find.

LEDGER_WRITES (10000) are to be acknowledged, a fault every LEDGER_FAULT_S (1) seconds or so. Speaks
TAP. Only processes that this script started are ever signalled.
"""
import os
import random
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
from ledger_bed import Clients  # noqa: E402
from tap import PATIENCE, Missing, free_ports, note, until  # noqa: E402
from wire_bed import Committee, FaultDisk, ended, isolate, play_scene  # noqa: E402

MEMBERS, ACCOUNTS = 3, 256
LIED = 60  # syncs of each disk that did nothing, and more writes than that
WRITES = int(os.environ.get('LEDGER_WRITES') or 10000)
FAULT_S = float(os.environ.get('LEDGER_FAULT_S') or 1)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
FAULTS = ('kill one', 'kill one', 'kill two', 'kill the clients', 'power of one', 'power of all',
          'power of all')


class Scene:
    def __init__(self, programs, folder, missing):
        program, node, clients, disk = self.programs = programs
        self.folder, self.missing = folder, missing
        self.chance, self.counts, self.lost = random.Random(SEED), {}, {}
        self.disks, dirs = [], [os.path.join(folder, f'm{i}') for i in range(MEMBERS)]
        try:
            if missing:
                raise Missing(missing)
            for d in dirs:
                self.disks.append(FaultDisk(disk, d))
                self.disks[-1].tell(f'set sync delay={self.chance.randrange(300, 3000)}')
        except Missing as e:
            note(f'no power cuts, -9 of all in their place: {e}')
        self.committee = Committee(node, program, folder, MEMBERS, free_ports(MEMBERS), dirs=dirs)
        self.committee.found()
        self.clients = Clients(clients, MEMBERS, self.committee.base, folder, accounts=ACCOUNTS)

    def power(self, which):
        """What is not durable of their disks is kept, lost or torn."""
        for i in which:
            if self.disks:
                for k, v in self.disks[i].facts(f'cut {self.chance.randrange(1 << 48)}').items():
                    self.lost[k] = self.lost.get(k, 0) + v

    def fault(self):
        kind = self.chance.choice(FAULTS)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == 'kill the clients':
            self.clients.kill()
            self.clients.start()
            return kind
        n = {'one': 1, 'two': 2, 'all': MEMBERS}[kind.split()[-1]]
        which = self.chance.sample(range(MEMBERS), n)
        self.committee.kill(*which)
        if kind.startswith('power'):
            self.power(which)
        threading.Event().wait(self.chance.choice((0, 0, self.chance.uniform(0, 1))))
        for i in which:
            self.committee.start(i)
        return kind

    def close(self):
        if self.clients.process.poll() is None:
            self.clients.process.kill()
        self.committee.kill_all()
        for d in self.disks:
            d.close()


def none_lost(scene):
    """acknowledged writes under -9 of any process and power cuts of all at once: 0 lost"""
    began, faults, kind, waited = time.monotonic(), 0, 'the beginning', []
    until(lambda: scene.clients.acked() > 0, 'the first write')
    while (acked := scene.clients.acked()) < WRITES or faults < 3:
        at = time.monotonic()
        scene.clients.more(50)  # it is well again
        waited.append((round(time.monotonic() - at, 1), kind))
        due = time.monotonic() + scene.chance.uniform(0, 2 * FAULT_S)
        until(lambda d=due: time.monotonic() >= d or scene.clients.acked() >= WRITES,
              'the next fault', PATIENCE + 2 * FAULT_S)
        kind = scene.fault()
        faults += 1
        if faults % 50 == 0:
            note(f'{acked} acknowledged, {faults} faults, {time.monotonic() - began:.0f} s')
    until(lambda: scene.clients.more(50) is None, 'an end in peace')
    acked = scene.clients.acked()
    scene.clients.end()
    note(f'{acked} acknowledged writes, 0 lost, {faults} faults in '
         f'{time.monotonic() - began:.0f} s: {scene.counts}')
    note(f'the longest waits for 50 writes: {sorted(waited, reverse=True)[:5]}')
    note(f'what was not durable when power failed: {scene.lost}')


def lie(scene, name, seed, found):
    """A committee on disks that begin to lie; power of all fails; what found() then sees."""
    if scene.missing:
        raise Missing(scene.missing)
    liar = Scene(scene.programs, os.path.join(scene.folder, name), None)
    try:
        until(lambda: liar.clients.acked() >= LIED, 'writes on honest disks')
        for d in liar.disks:
            d.tell('set sync lie=1 delay=0')
        before = [d.facts('show')['sync'] for d in liar.disks]
        liar.clients.more(LIED)
        until(lambda: all(d.facts('show')['sync'] >= n + LIED
                          for d, n in zip(liar.disks, before)), 'syncs that lie')
        acked = liar.clients.acked()
        liar.committee.kill(*range(MEMBERS))
        said = [d.facts(f'cut {seed()}') for d in liar.disks]
        for d in liar.disks:
            d.tell('set sync lie=0')
        for i in range(MEMBERS):
            liar.committee.start(i)
        words = until(lambda: found(liar), 'a lost write to be found')
        note(f'{acked} acknowledged, {LIED} lies or more of each disk; what disks lost: '
             f'{sum(x["lost"] + x["torn"] for x in said)}; found: {words}')
        note('a member: ' + (re.findall('kv_node: .*', liar.committee.said()) or ['well'])[-1])
        liar.committee.unharmed()
    finally:
        liar.close()


def told(scene):
    """The clients' words that something acknowledged is gone; None: they have none yet."""
    if scene.clients.process.poll() is None:
        return None
    scene.clients.reader.join(PATIENCE)
    words = [x for x in scene.clients.lines if 'requests=' not in x]  # a refusal's, and LOST
    assert scene.clients.process.returncode == 1 and any('LOST' in x for x in words), (
        scene.clients.process.returncode, scene.clients.lines, scene.clients.process.stderr.read())
    return '; '.join(words[:2])


def told_or_refused(scene):
    """The same, or that a majority refuses what its disks hold."""
    words = told(scene)
    if words:
        return words
    why = [scene.committee.status(i) for i in range(MEMBERS) if scene.committee.alive(i)]
    failed = [x['why'] for x in why if x and x['state'] == 'failed']
    ended = MEMBERS - len(why)
    if 2 * (len(failed) + ended) > MEMBERS:
        return f'{ended} of {MEMBERS} members ended, {len(failed)} failed {failed or ""}'
    return None


def lies_found(scene):
    """disks that lie about syncs lose all since: the ledger finds acknowledged writes lost"""
    lie(scene, 'liars', lambda: 0, told)


def torn_lies_found(scene):
    """of what lying disks hold some is kept, lost, torn: a lost write is found, or members refuse"""
    lie(scene, 'tearers', lambda: scene.chance.randrange(1, 1 << 48), told_or_refused)


def main():
    programs, missing = list(map(os.path.abspath, sys.argv[1:5])), None
    try:
        isolate()
    except Missing as e:
        missing = str(e)

    def scene_in(folder):
        note(f'LIVE_SEED={SEED} LEDGER_WRITES={WRITES}')
        return Scene(programs, folder, missing)
    play_scene((none_lost, ended, lies_found, torn_lies_found), 'coalition-ledger-', scene_in)


if __name__ == '__main__':
    main()
