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
import os
import random
import resource
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from live_bed import FILE, MEMBERS, Load, Up, agree, ask, on_term, unharmed
from tap import PATIENCE, note, play, until

KILLS = int(os.environ.get('LIVE_KILLS') or 5)
SEED = int(os.environ.get('LIVE_SEED') or random.SystemRandom().randrange(1 << 32))
CROWD = 500           # connections at once
STRANGER = '127.0.0.2'  # a source address of their own: its limit must not be ours
MIB = 1 << 20


def started(up, load, chance):
    """up: three Atlas members are ready, each with its card in the catalogue"""
    up.wait(lambda: up.ready, 'the coalition to be ready')
    assert sorted(up.members) == [f'atlas-{i + 1}' for i in range(MEMBERS)], up.members
    agree(up)
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
        assert took < seconds + 20, f'--timeout {seconds} took {took:.1f} s'  # a busy machine's 20
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
        return socket.create_connection(address, PATIENCE, (STRANGER, 0))
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
    unharmed(up)


def main():
    signal.signal(signal.SIGTERM, on_term)
    cases = (started, one_by_one, all_at_once, paused, full_disk, strangers, ended)
    note(f'LIVE_SEED={SEED} LIVE_KILLS={KILLS}')
    frozen = ask('freeze', FILE)
    entries = [e['stable_id'] for e in frozen['lattices'] + frozen['organisms']]
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        up = Up(folder)
        try:
            load = Load(up, entries)
            failed = play(cases, up, load, random.Random(SEED), between=lambda: note(
                f'{load.count} cards acknowledged, {len(load.refusals)} not'))
            if failed:
                for member, log in up.logs():
                    note(f'--- log of {member}')
                    for line in log.splitlines()[-15:]:
                        note(line)
        finally:
            if up.process.poll() is None:
                up.stop()
    sys.exit(1 if failed else 0)


main()
