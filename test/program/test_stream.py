#!/usr/bin/env python3
"""A producer's own stream through the program: published lines, a subscriber that outlives the
producer, and what it says when the producer began anew.

  test_stream.py PROGRAM

Speaks TAP.
"""
import json
import os
import select
import signal
import subprocess
import time

from frame import PROGRAM, free_port, main

NAME = 'lines of a test'  # of the surface:
SURFACE = subprocess.run([PROGRAM, 'id', NAME], check=True, capture_output=True,
                         text=True).stdout.strip()
DEADLINE = 60


class Lines:
    """A process whose lines are waited for, with a deadline."""

    def __init__(self, *args):
        self.p = subprocess.Popen([PROGRAM, 'stream', *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        self.rest = {self.p.stdout: b'', self.p.stderr: b''}

    def line(self, f):
        deadline = time.monotonic() + DEADLINE
        while b'\n' not in self.rest[f]:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([f], [], [], left)[0], 'no line came'
            more = os.read(f.fileno(), 65536)
            assert more, 'it ended: ' + self.p.stderr.read().decode()
            self.rest[f] += more
        line, self.rest[f] = self.rest[f].split(b'\n', 1)
        return line.decode()

    def say(self, text):
        self.p.stdin.write(text.encode() + b'\n')
        self.p.stdin.flush()

    def kill(self):
        self.p.kill()
        self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()


def publish_and_tail(folder):
    """lines arrive in order; the producer is killed and comes back: said, and followed"""
    key, listen = os.path.join(folder, 'key'), f'127.0.0.1:{free_port()}'
    subprocess.run([PROGRAM, 'key', 'new', key], check=True, capture_output=True)
    publisher = Lines('publish', '--surface', SURFACE, '--key', key, '--listen', listen)
    tail = None
    try:
        address = publisher.line(publisher.p.stdout)
        assert address.endswith('@' + listen), address
        for i in range(1, 4):
            publisher.say(f'line {i}')
        tail = Lines('tail', '--from', address, '--surface', NAME, '--oldest')
        assert [tail.line(tail.p.stdout) for _ in range(3)] == ['1 line 1', '2 line 2', '3 line 3']
        publisher.kill()
        assert tail.line(tail.p.stderr).startswith('not subscribed: ')
        publisher = Lines('publish', '--surface', SURFACE, '--key', key, '--listen', listen)
        assert publisher.line(publisher.p.stdout) == address
        for i in range(1, 6):
            publisher.say(f'again {i}')
        assert [tail.line(tail.p.stdout) for _ in range(5)] == [f'{i} again {i}' for i in range(1, 6)]
        said = tail.line(tail.p.stderr)
        while said.startswith('not subscribed: '):
            said = tail.line(tail.p.stderr)
        assert said == 'the producer began anew: its numbers start over', said
    finally:
        publisher.kill()
        if tail is not None:
            tail.kill()


def tail_json(folder):
    """one object an item, with the number and the bytes"""
    publisher = Lines('publish', '--surface', SURFACE)
    try:
        address = publisher.line(publisher.p.stdout)
        publisher.say('abc')
        p = subprocess.run([PROGRAM, 'stream', 'tail', '--from', address, '--surface', SURFACE, '--oldest', '-n', '1',
                            '--json', '--timeout', '60'], capture_output=True, text=True, timeout=DEADLINE)
        assert p.returncode == 0 and json.loads(p.stdout) == {'seq': 1, 'item': '616263'}, p.stdout + p.stderr
    finally:
        publisher.kill()


def reader_goes(folder):
    """a tail ends when its reader went, as of SIGPIPE, and when what it writes to is full"""
    publisher = Lines('publish', '--surface', SURFACE)
    tail = None
    try:
        address = publisher.line(publisher.p.stdout)
        publisher.say('one')
        tail = Lines('tail', '--from', address, '--surface', SURFACE, '--oldest')
        assert tail.line(tail.p.stdout) == '1 one'
        tail.p.stdout.close()
        publisher.say('two')
        assert tail.p.wait(DEADLINE) == -signal.SIGPIPE, tail.p.returncode
        with open('/dev/full', 'wb') as full:
            p = subprocess.run([PROGRAM, 'stream', 'tail', '--from', address, '--surface', SURFACE, '--oldest'],
                               stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
        assert (p.returncode, p.stderr) == (1, 'standard output: No space left on device\n'), p
    finally:
        publisher.kill()
        if tail is not None:
            tail.kill()


def told(address):
    """What a producer says of itself, as text and as an object."""
    p = subprocess.run([PROGRAM, 'status', '--node', address, '--json'], capture_output=True, text=True,
                       timeout=DEADLINE)
    assert p.returncode == 0, p
    text = subprocess.run([PROGRAM, 'status', '--node', address], capture_output=True, text=True, timeout=DEADLINE)
    return json.loads(p.stdout)['nodes'][0]['producers'][0], text.stdout


def told_when(address, holds):
    """The same, once it holds."""
    deadline = time.monotonic() + DEADLINE
    while True:
        producer, text = told(address)
        if holds(producer):
            return producer, text
        assert time.monotonic() < deadline, producer


def who_lags(folder):
    """status of a producer says who lags, one that is stopped, while the others have all; and of its memory"""
    del folder
    lines, size = 260, 60000  # more than its credit and what sockets hold, less than is retained
    publisher = Lines('publish', '--surface', SURFACE)
    reads = stopped = None
    try:
        address = publisher.line(publisher.p.stdout)
        publisher.say('first')
        reads, stopped = (Lines('tail', '--from', address, '--surface', SURFACE, '--oldest') for _ in range(2))
        assert reads.line(reads.p.stdout) == stopped.line(stopped.p.stdout) == '1 first'
        stopped.p.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        for i in range(lines):
            publisher.say('x' * size)
            assert reads.line(reads.p.stdout).startswith(f'{i + 2} x')
        took = time.monotonic() - began
        producer, text = told_when(address, lambda p: p['subscribers'][0]['stalled'] and
                                   p['subscribers'][1]['lag_items'] == 0)
        assert (producer['sent'], producer['subscribed'], producer['online']) == (lines + 1, 2, True), producer
        behind, caught_up = producer['subscribers']
        assert behind['lag_items'] == producer['lag_items'] > 0 and behind['stalled'], producer
        assert behind['lag_bytes'] > size and caught_up['lag_items'] == 0 and not caught_up['stalled'], producer
        assert producer['retained_bytes'] <= 16 << 20, producer
        assert 'items behind' in text and 'does not read' in text, text
        with open(f'/proc/{publisher.p.pid}/status', encoding='utf-8') as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith('VmHWM:'))
        print(f'# {lines * size >> 20} MiB to who reads in {took:.2f} s while one is stopped, '
              f'{behind["lag_items"]} items behind; the producer never held more than {peak >> 10} MiB')
        stopped.p.send_signal(signal.SIGCONT)
        for i in range(lines):  # it comes back within what is retained, and misses nothing
            assert stopped.line(stopped.p.stdout).startswith(f'{i + 2} x')
        told_when(address, lambda p: [s['lag_items'] for s in p['subscribers']] == [0, 0])
    finally:
        for p in (publisher, reads, stopped):
            if p is not None:
                p.kill()


main(publish_and_tail, tail_json, reader_goes, who_lags)
