"""What the tests of the program share: running it, TAP, and a reader of the datum encoding."""
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.abspath(sys.argv[1])
sys.dont_write_bytecode = True
GIVEN = set()  # ports


def run(*args, cwd=None):
    """(status, standard output, lines of standard error without the warnings)."""
    p = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, cwd=cwd, timeout=120)
    lines = [s for s in p.stderr.decode().splitlines() if not s.startswith('warning: ')]
    return p.returncode, p.stdout.decode(), lines


def facts(*args, cwd=None, status=0):
    """The one JSON object that a command prints."""
    got, out, lines = run(*args, '--json', cwd=cwd)
    assert got == status, (args, got, out, lines)
    return json.loads(out)


def refused(status, part, *args, cwd=None):
    """Ends with status, prints no fact, and says one line that holds part."""
    got, out, lines = run(*args, cwd=cwd)
    assert (got, out, len(lines)) == (status, '', 1), (args, got, out, lines)
    assert part in lines[0], (part, lines)


def free_port():
    """One that nobody has; below those that the kernel gives to who connects."""
    while True:
        port = random.randrange(10000, 20000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def write(folder, name, text, mode=0o644):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, mode)
    return path


class Reader:
    """The datum encoding, read independently of the C code."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data)
        self.at += n
        return self.data[self.at - n:self.at]

    def varint(self):
        value = shift = 0
        while True:
            b = self.take(1)[0]
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value

    def hex(self, n):
        return self.take(n).hex()

    def text(self):
        return self.take(self.varint())


def main(*tests):
    failed = 0
    print(f'1..{len(tests)}', flush=True)
    for number, test in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                verdict = 'ok'
            except Exception:  # reported, and the others go on
                verdict, failed = 'not ok', failed + 1
                for line in traceback.format_exc().splitlines():
                    print('#', line)
        print(f'{verdict} {number} - {test.__doc__}', flush=True)
    sys.exit(1 if failed else 0)
