"""What every live test shares: TAP, patience, ports.

Conditions are waited for, and patience is long: it is reached by a failure only, also on a machine
that is slow and busy.
"""
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

PATIENCE = 60  # seconds for what should take one or two; reached only by a failure
GIVEN = set()  # ports


class Missing(Exception):
    """Something that this machine has not: the test says skipped, and why."""


class Unanswered(AssertionError):
    """Nobody answered in time: who waits in until() asks again."""


def note(text):
    print('#', text, flush=True)


def until(condition, what, seconds=PATIENCE):
    """Polls condition() until it gives something true; that.

    A fact that is not there yet (absent, null, nobody answers) is none; it is told at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        why = None
        try:
            found = condition()
        except (LookupError, TypeError, AttributeError, OSError, Unanswered) as e:
            found, why = None, e
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f'waited {seconds} s for {what}') from why
        threading.Event().wait(0.05)


def free_ports(n):
    """The first of n ports in a row that nobody has; below those that the kernel gives to who
    connects, so nobody takes one before its owner listens, or while it is restarted."""
    for _ in range(200):
        base = random.randrange(20000, 32000)
        ports, socks = range(base, base + n), []
        if not GIVEN.isdisjoint(ports):
            continue
        try:
            for port in ports:
                s = socket.socket()
                socks.append(s)
                s.bind(('127.0.0.1', port))
            GIVEN.update(ports)
            return base
        except OSError:
            continue
        finally:
            for s in socks:
                s.close()
    raise RuntimeError('no free ports')


def free_port():
    return free_ports(1)


def on_term(*_):
    """A test runner lost its patience: unwinding ends what the test started."""
    sys.exit(1)


def play(cases, *args, between=lambda: None, go_on=True):
    """TAP of the cases; how many failed. Missing skips one; the others go on.

    between: after each case; go_on: after one that failed, too. CASES in the environment (names,
    blanks between) are the only ones that run, besides the first."""
    signal.signal(signal.SIGTERM, on_term)
    failed, only = 0, os.environ.get('CASES', '').split()
    cases = [c for i, c in enumerate(cases) if not only or i == 0 or c.__name__ in only]
    print(f'1..{len(cases)}', flush=True)
    for number, case in enumerate(cases, 1):
        began, what = time.monotonic(), ' '.join((case.__doc__ or case.__name__).split())
        try:
            case(*args)
            verdict = f'ok {number} - {what}'
        except Missing as e:
            verdict = f'ok {number} - {what} # SKIP {e}'
        except Exception:  # reported, and the others go on
            failed += 1
            for line in traceback.format_exc().splitlines():
                note(line)
            verdict = f'not ok {number} - {what}'
        try:
            between()
        except Exception:
            note('what follows may fail for that: ' + traceback.format_exc(limit=0))
        note(f'{time.monotonic() - began:.1f} s')
        print(verdict, flush=True)
        if failed and not go_on:
            break
    return failed


def skip_all(cases, why):
    print(f'1..{len(cases)}')
    for number, case in enumerate(cases, 1):
        print(f'ok {number} - {case.__doc__} # SKIP {why}')
    sys.exit(0)
