#!/usr/bin/env python3
"""What `coalition up` says of a member that ends: why, what helps, and ever less often.

  test_up.py PROGRAM

Real processes on loopback. Speaks TAP.
"""
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time

import frame
from frame import refused, write

FILE = 'schema_version = 1\ninstance_name = "up"\n[atlas]\ninstance = "default"\nacl = []\n'
PATIENCE = 60  # seconds


class Up:
    def __init__(self, folder):
        self.dir = os.path.join(folder, 'd')
        self.file = write(folder, 'c.toml', FILE)
        self.events, self.pids = queue.Queue(), {}
        self.process = subprocess.Popen([frame.PROGRAM, 'up', self.file, '--dir', self.dir, '--json'],
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def wait(self, wanted):
        """The next event for which wanted() holds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            e = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if e['event'] == 'started':
                self.pids[e['member']] = e['pid']
            if wanted(e):
                return e

    def ended(self, member, part):
        return self.wait(lambda e: e['event'] == 'ended' and e['member'] == member and
                         part in e['reason'])

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def reasons(folder):
    """a member that ends is said with its reason and, when it goes on so, with a longer pause"""
    up = Up(folder)
    try:
        up.wait(lambda e: e['event'] == 'ready')
        write(os.path.join(up.dir, 'atlas-1'), 'node.toml', 'x = 1\n')
        os.kill(up.pids['atlas-1'], signal.SIGKILL)
        up.ended('atlas-1', 'killed by signal 9')
        pauses = [up.ended('atlas-1', 'node.toml:1:1: unknown key "x"')['again_ms']
                  for _ in range(5)]
        assert pauses[0] < 1000 < 1500 < pauses[-1], pauses
        shutil.rmtree(os.path.join(up.dir, 'atlas-2'))
        os.kill(up.pids['atlas-2'], signal.SIGKILL)
        up.ended('atlas-2', 'atlas-2/log: No such file or directory')
        e = up.ended('atlas-2', 'atlas-2/log: No such file or directory')
        assert 'put its node.key and node.toml back' in e['remedy'], e
    finally:
        status = up.stop()
    assert status == 0, status
    refused(2, 'atlas-2/node.key: No such file or directory; the folder of a member is incomplete',
            'up', up.file, '--dir', up.dir)


frame.main(reasons)
