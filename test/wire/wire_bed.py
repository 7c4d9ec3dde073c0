"""What tests on the wire share: namespaces of one's own, the wire, faulty disks, a committee.

  wire_bed.isolate()      first: the script goes on in namespaces in which it may mount and route

Only processes that are children of the script are ever signalled; what it mounted and the
namespaces it made end with it.
"""
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from tap import PATIENCE, Missing, note, play, skip_all, until

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def isolate():
    """Runs this script again in namespaces of its own; returns there. Missing: not possible."""
    if os.environ.get('WIRE_ISOLATED'):
        loopback_up()
        return
    how = ['unshare', '--mount', '--net', '--propagation', 'private']
    if os.geteuid() != 0:
        how[1:1] = ['--user', '--map-root-user']
    try:
        p = subprocess.run(how + ['true'], capture_output=True, text=True)
    except OSError as e:
        raise Missing(f'unshare: {e.strerror}') from None
    if p.returncode != 0:
        raise Missing(f'no namespaces of its own: {p.stderr.strip()}')
    sys.stdout.flush()
    os.execvpe('unshare', how + [sys.executable] + sys.argv,
               dict(os.environ, WIRE_ISOLATED='1', PYTHONUNBUFFERED='1'))


def loopback_up():
    """In a network namespace that is new, loopback is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = struct.pack('16sh22x', b'lo', 0)
        flags = struct.unpack('16sh22x', fcntl.ioctl(s, SIOCGIFFLAGS, name))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack('16sh22x', b'lo', flags | IFF_UP))


def dies_with_us():
    """In a child before it becomes another program: however this script ends, it ends too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Tool:
    """A program of ours that obeys lines on its standard input."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stdout:
            if line.strip() == 'ready':
                return
            self.said.append(line.strip())
        raise Missing(self.process.stderr.read().strip() or f'{command[0]} ended')

    def tell(self, command):
        """Its answer, without the `ok`."""
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == 'ok' or answer.startswith('ok '), f'{command}: {answer or "it ended"}'
        return answer[3:]

    def facts(self, command):
        """An answer of KEY=NUMBER as a dict."""
        return {k: int(v) for k, v in (x.split('=') for x in self.tell(command).split())}

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # its status says why
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert self.process.wait(PATIENCE) == 0 and 'Sanitizer' not in errors, errors


class Wire(Tool):
    def __init__(self, program, nodes, seed=1):
        super().__init__(program, str(nodes), str(seed))
        self.nodes = [line.split()[2:] for line in self.said]  # address, namespace

    def inside(self, i, command):
        """The command, to be run at node i."""
        return ['nsenter', f'--net={self.nodes[i][1]}', '--'] + command

    def call_inside(self, i, function):
        """Calls it with this thread at node i: a socket that it makes stays there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open('/proc/self/ns/net', 'rb') as here, open(self.nodes[i][1], 'rb') as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, ctypes.get_errno()
            try:
                return function()
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0, ctypes.get_errno()

    def both(self, a, b, rule):
        self.tell(f'set {a} {b} {rule}')
        self.tell(f'set {b} {a} {rule}')

    def part(self, some, others, cut=1):
        for a in some:
            for b in others:
                self.both(a, b, f'cut={cut}')


class FaultDisk(Tool):
    def __init__(self, program, folder):
        os.makedirs(folder, exist_ok=True)
        super().__init__(program, folder)
        self.folder = folder


def tmpfs(folder, size):
    """A disk of that many bytes."""
    os.makedirs(folder, exist_ok=True)
    p = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', folder],
                       capture_output=True, text=True)
    if p.returncode != 0:
        raise Missing(f'tmpfs: {p.stderr.strip()}')
    return folder


def memory_of(pid):
    """Bytes that are resident."""
    with open(f'/proc/{pid}/status', encoding='utf-8') as f:
        return int(re.search(r'VmRSS:\s*(\d+) kB', f.read()).group(1)) * 1024


def descriptors_of(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def instrumented(pid):
    with open(f'/proc/{pid}/maps', encoding='utf-8') as f:
        return re.search(r'lib[at]san', f.read()) is not None


class Committee:
    """Members as real processes: on loopback, or each at its node of a wire.

    dirs: where each has its directory (in folder, when None); env: more of the environment of
    one member, by its number."""

    def __init__(self, node, program, folder, members, base, wire=None, dirs=None, env=None):
        self.node, self.program, self.folder, self.n = node, program, folder, members
        self.base, self.wire, self.env = base, wire, env or {}
        self.dirs = dirs or [os.path.join(folder, f'm{i}') for i in range(members)]
        self.log_path = os.path.join(folder, 'members.log')
        self.log = open(self.log_path, 'ab')
        self.members = [None] * members
        self.addresses = None

    def environment(self):
        return dict(os.environ, KV_NET='10.99.0') if self.wire else dict(os.environ)

    def at(self, i, command):
        return self.wire.inside(i, command) if self.wire else command

    def start(self, i, *more):
        assert self.members[i] is None or self.members[i].poll() is not None, f'member {i} runs'
        self.members[i] = subprocess.Popen(
            self.at(i, [self.node, os.path.join(self.dirs[i], 'state'), str(i), str(self.n),
                        str(self.base), *more]),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=dies_with_us,
            env=dict(self.environment(), **self.env.get(i, {})))

    def found(self):
        for i in range(self.n):
            os.makedirs(self.dirs[i], exist_ok=True)
            self.start(i, 'found')

    def alive(self, i):
        return self.members[i].poll() is None

    def signal(self, i, signo):
        self.members[i].send_signal(signo)

    def kill(self, *which, full=False):
        """full: one that found no room on its disk may have ended by itself."""
        for i in which:
            self.members[i].kill()
        for i in which:
            status = self.members[i].wait(PATIENCE)
            assert status == -signal.SIGKILL or (full and status == 1), (
                f'member {i} ended with {status}, not by us: {self.said()[-2000:]}')

    def kill_all(self):
        """Those that still run, at the end of a test."""
        for m in self.members:
            if m is not None and m.poll() is None:
                m.kill()
                m.wait()

    def restart(self, i):
        """As an operator does: once it is up it hands over, ends, and is started again."""
        until(lambda: self.status(i), f'member {i} to be up')
        self.signal(i, signal.SIGTERM)
        assert self.members[i].wait(PATIENCE) == 0, f'member {i}: {self.members[i].returncode}'
        self.start(i)

    def status(self, i, seconds=3):
        """What member i says of its component; None: nothing within that time."""
        if self.addresses is None:
            hosts = ([x[0] for x in self.wire.nodes] if self.wire else ['127.0.0.1'] * self.n)
            self.addresses = [f'{p}@{h}:{self.base + k}'
                              for k, (p, h) in enumerate(zip(self.peers, hosts))]
        p = subprocess.run(
            self.at(i, [self.program, 'status', '--node', self.addresses[i], '--timeout',
                        f'{int(seconds * 1000)}ms', '--json']),
            capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        nodes = json.loads(p.stdout).get('nodes', []) if p.stdout else []
        return nodes[0]['components'][0] if nodes and nodes[0].get('components') else None

    def ask(self, i):
        """The same; waits until it says something."""
        return until(lambda: self.alive(i) and self.status(i), f'member {i} to answer')

    @property
    def peers(self):
        """Peer ids by number, as the members' own certificates have them."""
        if not hasattr(self, '_peers'):
            out = subprocess.check_output([self.node, 'peers', str(self.n)], text=True)
            self._peers = out.split()
        return self._peers

    def leader(self, among=None):
        """The number of the member that leads; waits until one says so of itself."""
        def who():
            for i in among if among is not None else range(self.n):
                if self.alive(i):
                    said = self.status(i)
                    if said and said['state'] == 'leading':
                        return (i,)
            return None
        return until(who, 'a leader')[0]

    def others(self, i):
        return [k for k in range(self.n) if k != i]

    def agrees(self):
        """What all say, when one leads, the others follow, and all have what is committed but the last
        entries, which under load are on their way; else None."""
        said = [self.status(i) if self.alive(i) else None for i in range(self.n)]
        if not all(said) or sorted(s['state'] for s in said) != (
                ['following'] * (self.n - 1) + ['leading']):
            return None
        return said if min(s['applied'] for s in said) >= max(s['commit'] for s in said) - 50 else None

    def stop(self):
        """All end, cleanly; none is left whatever comes."""
        running = [m for m in self.members if m is not None and m.poll() is None]
        for m in running:
            m.send_signal(signal.SIGCONT)
            m.terminate()
        try:
            for m in running:
                assert m.wait(PATIENCE) == 0, f'a member ended with {m.returncode}'
        finally:
            self.kill_all()
            self.log.close()

    def said(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def unharmed(self):
        """No sanitizer and no assertion had a word."""
        bad = re.search(r'(Sanitizer|runtime error:|assertion).*', self.said(), re.I)
        assert not bad, self.said()[max(0, bad.start() - 500):bad.end() + 3000]


def ended(scene):
    """SIGTERM: all end cleanly, no sanitizer and no assertion had a word"""
    scene.committee.stop()
    scene.committee.unharmed()


def play_scene(cases, prefix, make, isolated=False):
    """A whole test: make(folder) gives a scene with a committee and close(), the cases play on it.

    isolated: in namespaces of its own, skipped where there are none. A scene's between() is called
    after each case. Where one failed, the last words of the members are shown."""
    try:
        if isolated:
            isolate()
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            scene = make(folder)
            try:
                failed = play(cases, scene, between=getattr(scene, 'between', lambda: None))
            finally:
                scene.close()
            if failed:
                for line in scene.committee.said().splitlines()[-60:]:
                    note(line)
    except Missing as e:
        skip_all(cases, e)
    sys.exit(1 if failed else 0)
