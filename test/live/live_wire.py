#!/usr/bin/env python3
"""What real clients see of a real committee across a network that is unwell, judged.

  live_wire.py PROGRAM KV_NODE HISTORY_CLIENTS WIRE

Each member and the clients are in network namespaces of their own, joined by a wire of ours
(test/wire/wire.c). It delays, loses, doubles and reorders; it cuts one direction, or a member off,
or each from each. Members are killed and stopped on it. The history that the clients record must
be linearizable, by `coalition check history`.

LIVE_SEED chooses (printed). Speaks TAP; skipped where no TUN device or namespace is to be had. Only
processes that this script started are ever signalled.
"""
import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
import history_bed  # noqa: E402
from history_bed import History  # noqa: E402
from tap import note, until  # noqa: E402
from wire_bed import Committee, Wire, ended, play_scene  # noqa: E402

MEMBERS, CLIENTS, BASE = 3, 3, 7700  # members are nodes 0 to 2, the clients are node 3
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
WEATHER = 'delay=3000 jitter=2000 loss=20000 reorder=50000 dup=10000'


class Scene(history_bed.Scene):
    def __init__(self, programs, folder):
        program, node, self.recorder, wire = programs
        super().__init__(program, folder)
        self.wire = Wire(wire, MEMBERS + 1, SEED)
        self.committee = Committee(node, program, folder, MEMBERS, BASE, wire=self.wire)
        # those who ask for a status do so from the member's own node, so no cut keeps them away

    def heal(self):
        self.wire.tell('clear')

    def between(self):
        """What a case left behind must not be the next one's."""
        self.heal()
        if self.history and self.history.process.poll() is None:
            self.well(0)

    def close(self):
        super().close()
        self.wire.close()


def stands(scene):
    """three members and their clients, each in a namespace, stand up"""
    scene.committee.found()
    scene.history = History(scene.recorder, scene.folder, MEMBERS, BASE, SEED,
                            wrap=lambda c: scene.wire.inside(CLIENTS, c),
                            env=scene.committee.environment())
    scene.history.more(50)


def weather(scene):
    """delay, jitter, loss, disorder and doubles on every way: answers go on"""
    scene.wire.tell(f'set * * {WEATHER}')
    scene.history.more(100)
    leader = scene.committee.leader()

    def felt():
        count = scene.wire.facts(f'show {leader} {CLIENTS}')
        return min(count['lost'], count['doubled'], count['reordered']) > 0
    until(felt, 'a lost, a doubled and a reordered packet')
    scene.well()


def narrow(scene):
    """20 kB a second to and from one follower: the others go on, and it catches up"""
    follower = scene.committee.others(scene.committee.leader())[0]
    scene.wire.both(follower, '*', 'rate=20000 queue=60000')
    scene.history.more(60)
    scene.well()


def leader_dumb(scene):
    """one direction: nobody hears the leader; another one leads"""
    leader = scene.committee.leader()
    for i in scene.committee.others(leader):
        scene.wire.tell(f'set {leader} {i} cut=1')
    note(f'{scene.committee.leader(among=scene.committee.others(leader))} after {leader}')
    scene.history.more(40)
    scene.well()


def leader_deaf(scene):
    """one direction: the leader hears nobody; another one leads"""
    leader = scene.committee.leader()
    for i in scene.committee.others(leader):
        scene.wire.tell(f'set {i} {leader} cut=1')
    note(f'{scene.committee.leader(among=scene.committee.others(leader))} after {leader}')
    scene.history.more(40)
    scene.well()


def follower_apart(scene):
    """a follower is deaf, then dumb, then both: it unseats nobody, not when it is back either"""
    # A machine that stalls for longer than an election's timeout unseats leaders too; a follower that
    # is apart would do so each time.
    for _ in range(4):
        scene.well()
        leader = scene.committee.leader()
        follower = scene.committee.others(leader)[0]
        before = scene.committee.ask(leader)
        for rule in ((f'set {leader} {follower} cut=1',), (f'set {follower} {leader} cut=1',),
                     (f'set * {follower} cut=1', f'set {follower} * cut=1')):
            for command in rule:
                scene.wire.tell(command)
            scene.history.more(150)
            scene.well()
        after = scene.committee.ask(leader)
        if (before['state'], after['state'], after['term']) == ('leading', 'leading', before['term']):
            return
        note(f'unseated: {before} {after}')
    raise AssertionError((before, after))


def leader_alone(scene):
    """the leader is cut off with clients beside it: it acknowledges nothing alone; it heals"""
    leader = scene.committee.leader()
    scene.wire.part([leader], scene.committee.others(leader))
    scene.committee.leader(among=scene.committee.others(leader))
    scene.history.more(60)
    until(lambda: scene.committee.status(leader)['state'] == 'following',
          'the one cut off to see that it leads no more')
    scene.well()


def all_apart(scene):
    """each from each: nothing is acknowledged; healed: answers at once"""
    for i in range(MEMBERS):
        scene.wire.part([i], scene.committee.others(i))
    until(lambda: all(scene.committee.status(i)['state'] == 'following' for i in range(MEMBERS)),
          'nobody to lead')
    at = [scene.committee.ask(i)['commit'] for i in range(MEMBERS)]

    def still():
        there = scene.history.answers()
        assert [scene.committee.ask(i)['commit'] for i in range(MEMBERS)] == at
        return scene.history.answers() == there  # those under way come
    until(still, 'answers to end')
    scene.well()


def kills(scene):
    """in bad weather one is killed, the leader is stopped and goes on: answers go on"""
    scene.wire.tell(f'set * * {WEATHER}')
    leader = scene.committee.leader()
    follower = scene.committee.others(leader)[0]
    scene.committee.kill(follower)
    scene.history.more(30)
    scene.committee.start(follower)
    scene.history.more(30)
    scene.wire.tell('clear')
    until(scene.committee.agrees, 'the killed one to be back')
    scene.wire.tell(f'set * * {WEATHER}')
    leader = scene.committee.leader()
    scene.committee.signal(leader, signal.SIGSTOP)
    try:
        scene.committee.leader(among=scene.committee.others(leader))
        scene.history.more(30)
    finally:
        scene.committee.signal(leader, signal.SIGCONT)
    scene.well()


CASES = (stands, weather, narrow, leader_dumb, leader_deaf, follower_apart, leader_alone, all_apart,
         kills, history_bed.judged(900), ended)


def scene_in(folder):
    note(f'LIVE_SEED={SEED}')
    return Scene(list(map(os.path.abspath, sys.argv[1:5])), folder)


if __name__ == '__main__':
    play_scene(CASES, 'coalition-wire-', scene_in, isolated=True)
