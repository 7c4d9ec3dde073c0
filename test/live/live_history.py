#!/usr/bin/env python3
"""What real clients see of a real committee while its members are killed and stopped, judged.

  live_history.py PROGRAM KV_NODE HISTORY_CLIENTS

Three processes replicate a map over TLS; clients with links of their own write down every
operation. Meanwhile members are killed with -9 and started again, or stopped and go on, two at
once too, or find their disk full. The history must be linearizable, by `coalition check history`; with one answer
changed it must not be.

LIVE_KILLS is the number of faults (5), LIVE_SEED chooses them (printed). Speaks TAP. Only
processes that this script started are ever signalled.
"""
import os
import random
import resource
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
import history_bed  # noqa: E402
from history_bed import History  # noqa: E402
from tap import free_ports, note  # noqa: E402
from wire_bed import Committee, play_scene  # noqa: E402

MEMBERS = 3
FAULTS = int(os.environ.get('LIVE_KILLS') or 5)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))


class Scene(history_bed.Scene):
    def __init__(self, program, node, recorder, folder):
        super().__init__(program, folder)
        self.recorder, self.chance = recorder, random.Random(SEED)
        self.committee = Committee(node, program, folder, MEMBERS, free_ports(MEMBERS))


def disturb(committee, history, chance):
    """One fault, and what mends it; clients get answers in between and after."""
    kind = chance.choice(['kill', 'kill', 'stop', 'stop', 'full disk', 'kill two', 'stop two'])
    who = chance.sample(range(MEMBERS), 2 if 'two' in kind else 1)
    threading.Event().wait(chance.uniform(0, 0.3))  # anywhere within an operation
    for i in who:
        if 'kill' in kind:
            committee.kill(i)
        elif 'stop' in kind:
            committee.signal(i, signal.SIGSTOP)
        else:  # no file may grow, or be written behind its first pages
            resource.prlimit(committee.members[i].pid, resource.RLIMIT_FSIZE, (8192, 8192))
    if len(who) == 1:
        history.more(20)
    else:
        threading.Event().wait(chance.uniform(0, 2))
    for i in who:
        if 'stop' in kind:
            committee.signal(i, signal.SIGCONT)
            continue
        if 'disk' in kind:
            committee.kill(i, full=True)
        committee.start(i)
    history.more(40)
    note(f'{kind} {who}: {history.answers()} answers')


def record(scene):
    """clients are answered through kills and stops of members, two at once too"""
    scene.committee.found()
    scene.history = History(scene.recorder, scene.folder, MEMBERS, scene.committee.base, SEED,
                            more=())
    scene.history.more(100)
    for _ in range(FAULTS):
        disturb(scene.committee, scene.history, scene.chance)
    scene.history.end()
    scene.committee.stop()
    scene.committee.unharmed()


def linearizable(scene):
    """what they saw is linearizable"""
    history_bed.linearizable(scene.program, scene.history.path, 100 + 40 * FAULTS)


def changed(scene):
    """with one answer taken from an earlier one, it is not"""
    history_bed.refused_when_changed(scene.program, scene.history.path)


def scene_in(folder):
    note(f'LIVE_SEED={SEED} LIVE_KILLS={FAULTS}')
    return Scene(*map(os.path.abspath, sys.argv[1:4]), folder)


if __name__ == '__main__':
    play_scene((record, linearizable, changed), 'coalition-live-', scene_in)
