"""The clients that write down what they do, and the judge of what they wrote."""
import json
import os
import re
import subprocess
import threading
import time

from tap import PATIENCE, note, until
from wire_bed import dies_with_us


class History:
    """The recorder, and what it has written so far."""

    def __init__(self, program, folder, members, base, seed, clients=6, keys=3,
                 wrap=lambda command: command, env=None, more=('10',)):
        self.path = os.path.join(folder, 'history.edn')
        with open(self.path, 'wb') as out:
            self.process = subprocess.Popen(
                wrap([program, str(members), str(base), str(clients), str(keys), str(seed),
                      *more]),
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True, env=env,
                preexec_fn=dies_with_us)

    def answers(self):
        with open(self.path, encoding='utf-8') as f:
            return f.read().count(':type :ok')

    def more(self, n):
        """Waits until n more operations were answered."""
        wanted, deadline = self.answers() + n, time.monotonic() + PATIENCE
        while self.answers() < wanted:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline, f'no {n} more answers in {PATIENCE} s'
            threading.Event().wait(0.05)

    def so_far(self):
        """A file of the lines that are whole."""
        path = self.path + '.part'
        with open(self.path, encoding='utf-8') as f, open(path, 'w', encoding='utf-8') as g:
            g.write(f.read().rpartition('\n')[0] + '\n')
        return path

    def end(self):
        _, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0 and 'Sanitizer' not in err, err
        note(err.strip())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def judge(program, path):
    p = subprocess.run([program, 'check', 'history', path, '--model', 'kv', '--timeout', '60',
                        '--json'], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert p.stdout, p.stderr
    return p.returncode, json.loads(p.stdout)


def linearizable(program, path, at_least):
    """So many operations or more, and all of them as if one after the other."""
    status, fact = judge(program, path)
    note(f'{fact["operations"]} operations judged in {fact["seconds"]:.3f} s: {fact["verdict"]}')
    assert (status, fact['verdict']) == (0, 'ok'), fact
    assert fact['operations'] >= at_least, fact


def refused_when_changed(program, path):
    """The last answer of key 0 is the first one's: the judge must refuse that."""
    with open(path, encoding='utf-8') as f:
        lines = [x for x in f.read().splitlines() if ':key "0"' in x]  # each key is judged alone
    read = re.compile(r'(.*:type :ok, :f :get, :key "0", :value )"(\d+)"}')
    reads = [(i, m) for i, m in enumerate(map(read.match, lines)) if m]
    first, last = reads[0], reads[-1]
    assert first[1].group(2) != last[1].group(2), 'key 0 was written once'
    lines[last[0]] = f'{last[1].group(1)}"{first[1].group(2)}"}}'
    changed = path + '.changed'
    with open(changed, 'w', encoding='utf-8') as f:
        f.write('\n'.join(lines) + '\n')
    status, fact = judge(program, changed)
    assert (status, fact['verdict']) == (1, 'refused'), fact


class Scene:
    """A committee and clients of it whose history is judged."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.committee = self.history = None

    def heal(self):
        """What makes the world well again."""

    def well(self, answers=60):
        """The world heals; answers come, one member leads, all have what is committed."""
        self.heal()
        self.history.more(answers)
        until(self.committee.agrees, 'all members to agree')

    def close(self):
        if self.history:
            self.history.close()
        self.committee.kill_all()


def judged(at_least):
    def case(scene):
        """what they saw is linearizable; with one answer from the past it is not"""
        scene.history.end()
        linearizable(scene.program, scene.history.path, at_least)
        refused_when_changed(scene.program, scene.history.path)
    case.__name__ = 'judged'
    return case
