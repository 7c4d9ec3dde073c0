#!/usr/bin/env python3
"""The wire itself: what each rule does to datagrams between namespaces.

  test_wire.py WIRE

Speaks TAP; skipped where no TUN device or namespace is to be had.
"""
import os
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Missing, play, skip_all, until  # noqa: E402
from wire_bed import Wire, isolate  # noqa: E402

PORT, MANY, MS = 4000, 400, 1000


class Ends:
    """Two nodes with a datagram socket each."""

    def __init__(self, program):
        self.wire = Wire(program, 2, 7)
        self.socks = [self.wire.call_inside(i, lambda i=i: self.bound(i)) for i in range(2)]

    def bound(self, i):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.bind((self.wire.nodes[i][0], PORT))
        return s

    def send(self, number, frm=0, size=64):
        self.socks[frm].sendto(number.to_bytes(8, 'big') + bytes(size - 8),
                               (self.wire.nodes[1 - frm][0], PORT))

    def take(self, at, seconds):
        """The number of the next datagram; None: none came in time."""
        if not select.select([self.socks[at]], [], [], seconds)[0]:
            return None
        return int.from_bytes(self.socks[at].recv(65536)[:8], 'big')

    def many(self, n=MANY):
        """Sends n; waits until the wire has done with them; what came, in order."""
        before = self.wire.facts('show 0 1')
        for k in range(n):
            self.send(k)
        until(lambda: self.wire.facts('show 0 1')['taken'] - before['taken'] == n and
              self.wire.facts('show 0 1')['queued'] == 0, 'the wire to be empty')
        came = []
        while (k := self.take(1, 0)) is not None:
            came.append(k)
        after = self.wire.facts('show 0 1')
        return came, {k: after[k] - before[k] for k in after}

    def between(self):
        self.wire.tell('clear')

    def close(self):
        for s in self.socks:
            s.close()
        self.wire.close()


def passes(ends):
    """without a rule all that is sent comes, in order"""
    came, count = ends.many()
    assert came == list(range(MANY)), came
    assert count['passed'] == MANY, count


def delays(ends):
    """there and back takes the two delays at least, and not much more"""
    ends.wire.tell(f'set 0 1 delay={30 * MS}')
    ends.wire.tell(f'set 1 0 delay={20 * MS}')
    best = 10
    for k in range(10):
        began = time.monotonic()
        ends.send(k)
        assert ends.take(1, 10) == k
        ends.send(k, frm=1)
        assert ends.take(0, 10) == k
        took = time.monotonic() - began
        assert took >= 0.050, took
        best = min(best, took)
    assert best < 0.5, best


def loses(ends):
    """a quarter is lost, as many as it counts"""
    ends.wire.tell('set 0 1 loss=250000')
    came, count = ends.many()
    assert len(came) == MANY - count['lost'], (len(came), count)
    assert MANY / 8 < count['lost'] < MANY / 2, count


def disorders(ends):
    """some come late, and some twice"""
    ends.wire.tell(f'set 0 1 delay={2 * MS} reorder=200000 dup=200000')
    came, count = ends.many()
    assert set(came) == set(range(MANY)) and len(came) == MANY + count['doubled'], count
    assert came != sorted(came) and min(count['doubled'], count['reordered']) > 0, count


def jitters(ends):
    """jitter alone keeps the order"""
    ends.wire.tell(f'set 0 1 jitter={5 * MS}')
    came, _ = ends.many()
    assert came == list(range(MANY)), came


def cuts(ends):
    """a cut is of one direction, and ends"""
    ends.wire.tell('set 0 1 cut=1')
    came, count = ends.many()
    assert (came, count['cut']) == ([], MANY), (came, count)
    ends.send(5, frm=1)
    assert ends.take(0, 10) == 5
    ends.wire.tell('set 0 1 cut=0')
    ends.send(6)
    assert ends.take(1, 10) == 6


def is_narrow(ends):
    """100 kB a second: a hundred datagrams of 1 kB take a second; what the queue has no room for goes"""
    ends.wire.tell('set 0 1 rate=100000')
    began = time.monotonic()
    for k in range(100):
        ends.send(k, size=1000)
    assert [ends.take(1, 10) for _ in range(100)] == list(range(100))
    assert 1 <= time.monotonic() - began < 5
    ends.wire.tell('set 0 1 rate=1000 queue=1000')
    _, count = ends.many(50)
    assert count['full'] > 0, count


def refuses(ends):
    """a line that is no command is refused, and changes nothing"""
    for line in ('set', 'set 0', 'set 0 9 cut=1', 'set 0 1 loss=1000001', 'set 0 1 cut=2',
                 'set 0 1 delay=-1', 'set 0 1 speed=1', 'show * 1', 'nonsense'):
        try:
            ends.wire.tell(line)
        except AssertionError as e:
            assert 'error' in str(e), e
        else:
            raise AssertionError(f'accepted: {line}')
    passes(ends)


CASES = (passes, delays, loses, disorders, jitters, cuts, is_narrow, refuses)


def main():
    try:
        isolate()
        ends = Ends(os.path.abspath(sys.argv[1]))
    except Missing as e:
        skip_all(CASES, e)
    try:
        failed = play(CASES, ends, between=ends.between)
    finally:
        ends.close()
    sys.exit(1 if failed else 0)


main()
