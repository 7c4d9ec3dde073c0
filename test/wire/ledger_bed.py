"""The clients of a ledger as a process, and what it was promised."""
import os
import struct
import subprocess
import threading

from tap import PATIENCE, until
from wire_bed import dies_with_us

PROMISE = struct.Struct('<Q32sQ')  # struct promise of ledger_clients.c


class Clients:
    """The process that writes; with the same folder a later one goes on where it ended."""

    def __init__(self, program, members, base, folder, accounts=64, rate=0, request_ms=10000,
                 target=0, wrap=lambda command: command, env=None):
        self.command = wrap([program, str(members), str(base), str(accounts), str(rate),
                             str(request_ms), str(target), os.path.join(folder, 'promises')])
        self.promises, self.env = os.path.join(folder, 'promises'), env
        self.start()

    def start(self):
        self.last, self.lines = {}, []
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, env=self.env,
                                        preexec_fn=dies_with_us,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith('acked='):
                self.last = dict((k, int(v)) for k, v in (x.split('=') for x in line.split()))
            else:
                self.lines.append(line.strip())

    def acked(self):
        """Of all processes with this folder; fails when the present one has ended."""
        if self.process.poll() is not None:
            raise AssertionError(('the clients ended', self.process.returncode, self.lines,
                                  self.process.stderr.read()))
        if not os.path.exists(self.promises):
            return 0
        with open(self.promises, 'rb') as f:
            return sum(number for number, _, _ in PROMISE.iter_unpack(f.read()))

    def more(self, n):
        wanted = self.acked() + n
        until(lambda: self.acked() >= wanted, f'{n} more acknowledged writes')

    def kill(self):
        """With -9; what it was promised stays in its file."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self):
        """It reads all accounts and compares them; what it says of failures."""
        self.process.stdin.close()
        errors = self.process.stderr.read()
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        assert status == 0 and 'Sanitizer' not in errors, (status, self.lines, errors)
        return errors.strip()
