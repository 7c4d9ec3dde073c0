#!/usr/bin/env python3
"""examples/ticks.c, both sides of it, as real processes over TLS.

  test_ticks.py TICKS

Speaks TAP.
"""
import subprocess

from frame import PROGRAM as TICKS, main


def producer():
    p = subprocess.Popen([TICKS, 'produce', '600'], stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline().strip()


def consume(address, count):
    p = subprocess.run([TICKS, 'consume', address, str(count)], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    return p.stdout.splitlines()


def one_producer(folder):
    """ticks in order, from the first that is retained"""
    p, address = producer()
    try:
        lines = consume(address, 5)
        assert lines == [f'{address[:8]} {i}: {i} tick tock' for i in range(1, 6)], lines
        lines = consume(address, 3)
        assert [line.split()[1] for line in lines] == ['1:', '2:', '3:'], lines
    finally:
        p.kill()
        p.wait()


def nobody_there(folder):
    """a contact that is none is said"""
    p = subprocess.run([TICKS, 'consume', 'nonsense', '1'], capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and 'nonsense' in p.stderr, p.stderr


main(one_producer, nobody_there)
