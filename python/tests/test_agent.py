"""examples/agent.py against `coalition up`, whose path is in COALITION; examples/board.py."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ.get('COALITION', os.path.join(ROOT, 'build/programs/coalition/coalition'))


class Quickstart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = os.path.join(folder.name, 'run')
        program = {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}
        self.up = subprocess.Popen(
            [PROGRAM, 'up', os.path.join(ROOT, 'examples/superchain.toml'), '--dir', self.state,
             '--with', os.path.join(ROOT, 'examples/price-feed.toml'), '--source',
             'price-feed.eur=exec:' + os.path.join(ROOT, 'examples/prices')],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=program,
            stdin=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        self.said, self.ready = [], threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        self.assertTrue(self.ready.wait(120), self.said)

    def listen(self):
        for line in self.up.stdout:
            self.said.append(line)
            if os.path.exists(os.path.join(self.state, 'local.toml')):
                self.ready.set()

    def stop(self):
        self.up.send_signal(signal.SIGINT)
        self.up.wait(60)
        self.up.stdout.close()

    def agent(self, *arguments):
        environment = dict(os.environ, PYTHONPATH=os.path.join(ROOT, 'python'))
        return subprocess.run(
            [sys.executable, os.path.join(ROOT, 'examples/agent.py'),
             os.path.join(self.state, 'local.toml'), *arguments],
            capture_output=True, text=True, timeout=120, env=environment)

    def test_quickstart(self):
        for _ in range(10):  # cards are published one after the other
            ran = self.agent('--ticks', '5', '--step', '0')
            if ran.returncode == 0 and 'member  oracle' in ran.stdout:
                break
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn('member  oracle', ran.stdout)
        self.assertIn('act     watch', ran.stdout)
        self.assertIn('done    5 ticks; a busy feed', ran.stdout)
        right = ran.stdout.split()[1]
        self.assertEqual(self.agent('--ticks', '1', '--expect', right).returncode, 0)
        wrong = self.agent('--expect', 'ab' * 32)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn('the file of another coalition', wrong.stderr)


class Board(unittest.TestCase):
    def test_board(self):
        """examples/board.py: a committee of its own, and its client"""
        environment = dict(os.environ, PYTHONPATH=os.path.join(ROOT, 'python'))
        ran = subprocess.run([sys.executable, os.path.join(ROOT, 'examples/board.py')],
                             capture_output=True, text=True, timeout=120, env=environment)
        self.assertEqual((ran.returncode, ran.stderr), (0, ''))
        self.assertEqual(ran.stdout.splitlines(), [
            'wrote   version 1', 'refused notes: another value is there than was expected',
            "copy    {'today': 'sun'}", 'proof   sun'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
