"""What the live tests share: the program, `coalition up`, a load of cards, cases in TAP.

A test that imports this is called with PROGRAM first. Only processes that its own
`coalition up` says it started, and that are still its children, are ever signalled.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                'wire'))
from tap import PATIENCE, Unanswered, note, on_term, play, until  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.abspath(sys.argv[1])
FILE = os.path.join(ROOT, 'examples', 'superchain.toml')
MEMBERS = 3


def run(*args, timeout=PATIENCE):
    """(status, standard output, standard error)."""
    p = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=timeout,
                       stdin=subprocess.DEVNULL)
    assert p.returncode >= 0 and 'Sanitizer' not in p.stderr, (args, p.returncode, p.stderr)
    return p.returncode, p.stdout, p.stderr


def checked(*args):
    """What it prints. Unanswered: nobody answered in time."""
    status, out, err = run(*args)
    if status == 3:
        raise Unanswered((args, status, err))
    assert status == 0, (args, status, err)
    return out


def ask(*args):
    """The facts that it prints."""
    return json.loads(checked(*args, '--json'))


def answered(*args):
    """run(), again while nobody answers in time."""
    return until(lambda: (r := run(*args))[0] != 3 and r, f'an answer to {args}')


def nodes(up, *more):
    """What all say of themselves; waits until all do."""
    def all_answer():
        said = ask('status', up.file, *more)['nodes']
        return not any('error' in n for n in said) and said
    return until(all_answer, 'all nodes to answer')


# Readers and writers of Atlas want a ticket of the coalition's own issuer.
GATED = '''schema_version = 1
instance_name = "gated"
[[lattice]]
name = "some.lattice"
stable_id = "3fec36213c5196c06109ad480c9d6cc989aa2e45913c919d51b1e85ed7caf8c7"
[atlas]
instance = "default"
acl = [{ require = "own-issuer" }, { require = "readers" }]
[ticket_issuer]
name = "gated.tickets"
acl = []
'''
CLAUSE = 'clause 0 RecogniseOwnIssuer: '  # of a refusal


def gated_file(folder):
    """The file of such a coalition, for play_on_up()."""
    path = os.path.join(folder, 'gated.toml')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(GATED)
    return path


def signers(up, n=2):
    """Options with the keys of n members, who are the issuer's."""
    keys = [os.path.join(up.dir, m, 'node.key') for m in sorted(up.members)][:n]
    return [word for key in keys for word in ('--key', key)]


class Up:
    """`coalition up`: the members it says it started, as they live now."""

    def __init__(self, folder, file=FILE):
        self.dir = os.path.join(folder, 'state')
        self.file = os.path.join(self.dir, 'local.toml')
        self.key = os.path.join(self.dir, 'operator.key')
        self.changed = threading.Condition()
        self.members, self.ended, self.ready = {}, {}, False
        self.stopped = set()
        self.errors = open(os.path.join(folder, 'up.stderr'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen([PROGRAM, 'up', file, '--dir', self.dir, '--json'],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                if event['event'] == 'started':
                    self.members[event['member']] = event
                elif event['event'] == 'ended':
                    self.ended[event['member']] = event['status']
                elif event['event'] == 'ready':
                    self.ready = True
                self.changed.notify_all()

    def wait(self, condition, what, seconds=PATIENCE):
        with self.changed:
            there = self.changed.wait_for(
                lambda: condition() or self.process.poll() is not None, seconds)
            assert there and condition(), f'waited for {what}: {self.said()}'

    def said(self):
        with open(self.errors.name, encoding='utf-8') as f:
            return f.read() or 'it said nothing'

    def pid(self, member):
        """Its process, proven to be a child of this `up`."""
        pid = self.members[member]['pid']
        with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
            parent = f.read().rpartition(')')[2].split()[1]
        assert parent == str(self.process.pid), f'{member}: process {pid} is not ours'
        return pid

    def signal(self, member, signo):
        os.kill(self.pid(member), signo)
        (self.stopped.add if signo == signal.SIGSTOP else self.stopped.discard)(member)

    def kill(self, members):
        """Kills them with -9 and waits until each was started again."""
        starts = {m: self.members[m]['starts'] for m in members}
        for m in members:
            self.signal(m, signal.SIGKILL)
        for m in members:
            self.wait(lambda m=m: self.members[m]['starts'] > starts[m], f'{m} to be restarted')
            assert self.ended[m] == signal.SIGKILL, f'{m} ended with {self.ended[m]}, not by us'

    def peak(self, member):
        """Bytes of memory it ever held."""
        with open(f'/proc/{self.pid(member)}/status', encoding='utf-8') as f:
            return int(re.search(r'VmHWM:\s*(\d+) kB', f.read()).group(1)) * 1024

    def instrumented(self, member):
        with open(f'/proc/{self.pid(member)}/maps', encoding='utf-8') as f:
            return re.search(r'lib[at]san', f.read()) is not None

    def logs(self):
        """What the members wrote at their end: a sanitizer's word fails the run."""
        for m in self.members:
            with open(os.path.join(self.dir, m, 'log'), encoding='utf-8', errors='replace') as f:
                yield m, f.read()

    def stop(self):
        for m in list(self.stopped):
            self.signal(m, signal.SIGCONT)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its members die with it: PR_SET_PDEATHSIG
            self.process.wait()
            raise
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        self.errors.close()
        return status


class Load:
    """A thread an entry, each publishing its card again and again while the load is on."""

    def __init__(self, up, entries):
        self.up, self.entries = up, entries
        self.acknowledged = {e: (0, None) for e in entries}  # version, hint
        self.number, self.count, self.refusals, self.broken = 0, 0, [], []
        self.changed = threading.Condition()
        self.on = False
        self.threads = []

    def publish(self, entry, timeout=20):
        """One card; (status, standard error). Notes what was acknowledged."""
        with self.changed:
            self.number += 1
            hint = f'live:{self.number}'
        status, out, err = run('atlas', 'publish', self.up.file, '--member', entry, '--key',
                               self.up.key, '--hint', hint, '--timeout', str(timeout), '--json')
        with self.changed:
            if status == 0:
                version = json.loads(out)['version']
                assert version > self.acknowledged[entry][0], (
                    f'{entry}: {version} acknowledged after {self.acknowledged[entry][0]}')
                self.acknowledged[entry] = (version, hint)
                self.count += 1
            else:
                assert status == 3 and err.strip(), f'an update ended with {status}: {err}'
                self.refusals.append((status, err.strip()))
            self.changed.notify_all()
        return status, err

    def _work(self, entry):
        try:
            while self.on:
                self.publish(entry)
        except Exception:  # told by check()
            with self.changed:
                self.broken.append(traceback.format_exc())
                self.changed.notify_all()

    def __enter__(self):
        self.on, self.broken = True, []
        self.threads = [threading.Thread(target=self._work, args=(e,)) for e in self.entries]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.on = False
        for t in self.threads:
            t.join()

    def more(self, n):
        """Waits until n more cards were acknowledged."""
        with self.changed:
            wanted = self.count + n
            self.changed.wait_for(lambda: self.count >= wanted or self.broken, PATIENCE)
            assert not self.broken, self.broken[0]
            assert self.count >= wanted, (
                f'no {n} more cards in {PATIENCE} s; last refused: {self.refusals[-1:]}')

    def check(self):
        """Each acknowledged card, and all members alike."""
        assert not self.broken, self.broken[0]
        agree(self.up)
        for entry, (version, hint) in self.acknowledged.items():
            card = until(lambda e=entry: ask('atlas', 'get', self.up.file, e), 'a card')
            assert card['version'] >= version, (
                f'{entry}: version {card["version"]}, {version} was acknowledged')
            if card['version'] == version and hint is not None:
                assert card['endpoint_hints'] == [hint], (card, hint)


def agree(up):
    """Waits until all members have the same, and certified: whichever a reader asks serves it. The
    applied index."""
    seen = []

    def same():
        atlas = [c for n in ask('status', up.file)['nodes'] for c in n.get('components', [])
                 if c['component'] == 'atlas']
        seen[:] = [(c['state'], c['applied'], [s['index'] for s in c['surfaces']],
                    [s['certified_index'] or 0 for s in c['surfaces']]) for c in atlas]
        return len(atlas) == MEMBERS and all(
            s[1:] == seen[0][1:] and s[2] == s[3] for s in seen) and seen[0][1]
    try:
        return until(same, 'all members to agree')
    except AssertionError as e:
        raise AssertionError(f'{e}: {seen}') from None


def unharmed(up):
    """No sanitizer and no assertion had a word in any member's log."""
    for member, log in up.logs():
        assert not re.search(r'Sanitizer|runtime error:|assertion', log, re.I), (member, log[-4000:])


def play_on_up(cases, args=lambda up, folder: (up,), file=lambda folder: FILE):
    """A whole test: `up` with file(folder), the cases with args(up, folder), the members' logs."""
    signal.signal(signal.SIGTERM, on_term)
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        up = Up(folder, file(folder))
        try:
            up.wait(lambda: up.ready, '`up` to be ready')
            agree(up)  # what is published is everywhere
            failed = play(cases, *args(up, folder))
            unharmed(up)
        finally:
            if up.process.poll() is None:
                up.stop()
    sys.exit(1 if failed else 0)
