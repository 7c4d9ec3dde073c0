#!/usr/bin/env python3
"""Kills, pauses, full disks and strangers, against a coalition of real processes.

  live_kills.py PROGRAM

Starts `coalition up` in a directory of its own and publishes cards of every catalogue entry
from a thread each, all through the program's commands. Meanwhile members of the Atlas
committee are killed with -9, all at once too, or stopped, or find no room on their disk, or are called
by strangers; afterwards
each acknowledged card must be there, and all members must agree.

LIVE_KILLS is the number of kills (5), LIVE_SEED chooses them (printed). Speaks TAP. Only
processes that this `coalition up` says it started, and that are still its children, are
ever signalled.
"""
import json
import os
import random
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.abspath(sys.argv[1])
FILE = os.path.join(ROOT, 'examples', 'superchain.toml')
MEMBERS = 3
KILLS = int(os.environ.get('LIVE_KILLS') or 5)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
PATIENCE = 60         # seconds for what should take one or two; reached only by a failure
CROWD = 500           # connections at once
STRANGER = '127.0.0.2'  # a source address of their own: its limit must not be ours
MIB = 1 << 20


def note(text):
    print('#', text, flush=True)


def until(condition, what, seconds=PATIENCE):
    """Polls condition() until it gives something true; that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f'waited {seconds} s for {what}'
        threading.Event().wait(0.05)


def run(*args, timeout=PATIENCE):
    """(status, standard output, standard error)."""
    p = subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=timeout,
                       stdin=subprocess.DEVNULL)
    assert p.returncode >= 0 and 'Sanitizer' not in p.stderr, (args, p.returncode, p.stderr)
    return p.returncode, p.stdout, p.stderr


def ask(*args):
    status, out, err = run(*args, '--json')
    assert status == 0, (args, status, err)
    return json.loads(out)


class Up:
    """`coalition up`: the members it says it started, as they live now."""

    def __init__(self, folder):
        self.dir = os.path.join(folder, 'state')
        self.file = os.path.join(self.dir, 'local.toml')
        self.key = os.path.join(self.dir, 'operator.key')
        self.changed = threading.Condition()
        self.members, self.ended, self.ready = {}, {}, False
        self.stopped = set()
        self.errors = open(os.path.join(folder, 'up.stderr'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen([PROGRAM, 'up', FILE, '--dir', self.dir, '--json'],
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
            card = ask('atlas', 'get', self.up.file, entry)
            assert card['version'] >= version, (
                f'{entry}: version {card["version"]}, {version} was acknowledged')
            if card['version'] == version and hint is not None:
                assert card['endpoint_hints'] == [hint], (card, hint)


def agree(up):
    """Waits until all members have the same; the applied index."""
    seen = []

    def same():
        status, out, _ = run('status', up.file, '--json')
        nodes = json.loads(out)['nodes'] if status == 0 else []
        atlas = [c for n in nodes for c in n.get('components', []) if c['component'] == 'atlas']
        seen[:] = [(c['state'], c['applied'], [s['index'] for s in c['surfaces']]) for c in atlas]
        return len(atlas) == MEMBERS and all(s[1:] == seen[0][1:] for s in seen) and seen[0][1]
    try:
        return until(same, 'all members to agree')
    except AssertionError as e:
        raise AssertionError(f'{e}: {seen}') from None


def started(up, load, chance):
    """up: three Atlas members are ready, each with its card in the catalogue"""
    up.wait(lambda: up.ready, 'the coalition to be ready')
    assert sorted(up.members) == [f'atlas-{i + 1}' for i in range(MEMBERS)], up.members
    for entry in load.entries:
        assert ask('atlas', 'get', up.file, entry)['version'] == 1


def one_by_one(up, load, chance):
    """kill -9: a random member at a random moment under load; no acknowledged card is lost"""
    with load:
        for _ in range(KILLS):
            load.more(chance.randrange(1, 4))
            threading.Event().wait(chance.uniform(0, 0.2))  # anywhere within an update
            up.kill([chance.choice(sorted(up.members))])
        load.more(len(load.entries) + 1)  # one of them began after the last kill
    load.check()


def all_at_once(up, load, chance):
    """kill -9: all three at once, under load; no acknowledged card is lost"""
    with load:
        load.more(2)
        threading.Event().wait(chance.uniform(0, 0.2))
        up.kill(sorted(up.members))
        load.more(len(load.entries) + 1)
    load.check()


def paused(up, load, chance):
    """SIGSTOP: without a majority an update says that it waits; with one it goes on"""
    entry, seconds = load.entries[0], 3
    members = sorted(up.members)
    chance.shuffle(members)
    try:
        for m in members[:2]:
            up.signal(m, signal.SIGSTOP)
        began = time.monotonic()
        status, err = load.publish(entry, timeout=seconds)
        took = time.monotonic() - began
        note(f'without a majority: status {status} after {took:.1f} s: {err.strip()}')
        assert status == 3 and err.strip(), (status, err)
        assert took < seconds + 5, f'--timeout {seconds} took {took:.1f} s'  # a busy machine's 5
        up.signal(members[0], signal.SIGCONT)
        until(lambda: load.publish(entry, timeout=30)[0] == 0, 'an update by two of three')
    finally:
        for m in members[:2]:
            if m in up.stopped:
                up.signal(m, signal.SIGCONT)
    load.check()


def full_disk(up, load, chance):
    """a full disk: the member says so and ends, the others go on, started anew it is back"""
    victim = chance.choice(sorted(up.members))
    starts, room = up.members[victim]['starts'], 16 * 1024  # bytes of a file; it uses them up
    resource.prlimit(up.pid(victim), resource.RLIMIT_FSIZE, (room, room))
    with load:
        up.wait(lambda: up.members[victim]['starts'] > starts, f'{victim} to be restarted')
        load.more(2)
    status = up.ended[victim]  # as wait() gives it
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1, f'{victim} ended with {status}'
    assert 'no space left' in dict(up.logs())[victim], dict(up.logs())[victim][-4000:]
    load.check()


def call(address):
    """A stranger's connection, or None where it was refused."""
    try:
        return socket.create_connection(address, 5, (STRANGER, 0))
    except OSError:
        return None


def call_nameless(address):
    """A stranger's TLS connection, for which no certificate was shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    s = context.wrap_socket(call(address))
    assert s.version() == 'TLSv1.3', s.version()
    return s


def say(address, data, how=call):
    """Sends data and reads until the member hangs up, or it does not for a moment."""
    s = how(address)
    assert s is not None, 'a single stranger was refused'
    with s:
        s.settimeout(1)
        try:
            s.sendall(data)
            while s.recv(4096):
                pass
        except OSError:
            pass


def strangers(up, load, chance):
    """strangers: garbage, half a ClientHello, huge lengths, 500 at once; the committee goes on"""
    victim = chance.choice(sorted(up.members))
    host, _, port = up.members[victim]['address'].rpartition(':')
    address, pid, before = (host, int(port)), up.pid(victim), up.peak(victim)
    # a TLS record, a ClientHello of 512 bytes in it, of which a few come
    hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + chance.randbytes(32)
    say(address, chance.randbytes(64 * 1024))
    say(address, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    say(address, hello)
    say(address, b'\x16\x03\x01\xff\xff' + bytes(64 * 1024))        # a record of 64 KiB
    say(address, b'\x16\x03\x01\x40\x00\x01\xff\xff\xff' + bytes(1 << 20))  # a hello of 16 MiB
    say(address, b'')
    say(address, b'\xff' * MIB, call_nameless)  # frames of the greatest length, from nobody
    crowd = []
    try:
        for _ in range(CROWD):
            s = call(address)
            if s is not None:
                s.setblocking(False)
                crowd.append(s)
                try:
                    s.send(hello if len(crowd) % 2 else chance.randbytes(4096))
                except OSError:
                    pass
        note(f'{len(crowd)} of {CROWD} connections were opened')
        assert load.publish(load.entries[0], timeout=30)[0] == 0, load.refusals[-1]
    finally:
        for s in crowd:
            s.close()
    assert load.publish(load.entries[1], timeout=30)[0] == 0, load.refusals[-1]
    assert up.pid(victim) == pid, 'the member was started anew'
    grown = up.peak(victim) - before
    note(f'{victim} grew by {grown / MIB:.1f} MiB')
    # a sanitizer keeps what was freed, up to 256 MiB, and shadows it
    assert grown < (384 if up.instrumented(victim) else 48) * MIB, f'it grew by {grown} bytes'
    load.check()


def ended(up, load, chance):
    """SIGINT: every process ends, cleanly, and no sanitizer had a word"""
    pids = [up.pid(m) for m in up.members]
    assert up.stop() == 0
    for pid in pids:
        assert not os.path.exists(f'/proc/{pid}'), f'process {pid} is still there'
    for member, log in up.logs():
        assert not re.search(r'Sanitizer|runtime error:|assertion', log, re.I), (member, log[-4000:])


def play(up, load, cases):
    failed = 0
    chance = random.Random(SEED)
    for number, case in enumerate(cases, 1):
        began = time.monotonic()
        try:
            case(up, load, chance)
            verdict = 'ok'
        except Exception:  # reported, and the others go on
            verdict, failed = 'not ok', failed + 1
            for line in traceback.format_exc().splitlines():
                note(line)
        note(f'{time.monotonic() - began:.1f} s, {load.count} cards acknowledged, '
             f'{len(load.refusals)} not')
        print(f'{verdict} {number} - {case.__doc__}', flush=True)
    return failed


def on_term(*_):
    """A test runner lost its patience: unwinding goes through Up.stop."""
    sys.exit(1)


def main():
    signal.signal(signal.SIGTERM, on_term)
    cases = (started, one_by_one, all_at_once, paused, full_disk, strangers, ended)
    print(f'1..{len(cases)}', flush=True)
    note(f'LIVE_SEED={SEED} LIVE_KILLS={KILLS}')
    frozen = ask('freeze', FILE)
    entries = [e['stable_id'] for e in frozen['lattices'] + frozen['organisms']]
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        up = Up(folder)
        try:
            failed = play(up, Load(up, entries), cases)
            if failed:
                for member, log in up.logs():
                    note(f'--- log of {member}')
                    for line in log.splitlines()[-15:]:
                        note(line)
        finally:
            if up.process.poll() is None:
                up.stop()
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
