"""Nodes on a local network find each other by multicast DNS, with no hint at all.

Three processes, each in a network namespace of its own, on a bridge; skipped by name where a
user may not make namespaces.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from live_bed import PROGRAM, run
from tap import PATIENCE, play, until

PORT = 7700


def inside():
    return os.environ.get('LIVE_LAN') == 'inside'


def sh(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


class Node:
    """`coalition node` in a namespace of its own, plugged into the bridge."""

    def __init__(self, lan, number, takes_part=True):
        self.number, self.address = number, f'10.7.0.{number}'
        self.dir = os.path.join(lan.dir, f'node-{number}')
        os.mkdir(self.dir)
        assert run('key', 'new', os.path.join(self.dir, 'node.key'))[0] == 0
        with open(os.path.join(self.dir, 'node.toml'), 'w', encoding='utf-8') as f:
            f.write('key = "node.key"\n'
                    f'listen = "{self.address}:{PORT}"\ndir = "state"\ncomponents = []\n'
                    'http = "127.0.0.1:9464"\n' + ('lan = "*"\n' if takes_part else ''))
        self.process = None
        self.start()

    def start(self):
        near, far = f'v{self.number}', f'p{self.number}'
        steps = ('read go; ip link set lo up && '
                 f'ip addr add {self.address}/24 dev {far} && ip link set {far} up && '
                 f'exec {PROGRAM} node {self.dir}/node.toml')
        with open(os.path.join(self.dir, 'log'), 'a', encoding='utf-8') as log:
            self.process = subprocess.Popen(['unshare', '-n', 'sh', '-c', steps],
                                            stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
        until(lambda: os.readlink(f'/proc/{self.process.pid}/ns/net') !=
              os.readlink('/proc/self/ns/net'), 'a namespace')
        sh('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far)
        sh('ip', 'link', 'set', near, 'master', 'br0', 'up')
        sh('ip', 'link', 'set', far, 'netns', str(self.process.pid))
        self.process.stdin.write('go\n')
        self.process.stdin.close()

    def get(self, path):
        """What its HTTP interface answers, or None."""
        fetch = ('import sys, urllib.request as u; '
                 f'sys.stdout.write(u.urlopen("http://127.0.0.1:9464{path}", timeout=30)'
                 '.read().decode())')
        p = subprocess.run(['nsenter', '-t', str(self.process.pid), '-n', sys.executable, '-c',
                            fetch], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                           check=False)
        return p.stdout if p.returncode == 0 else None

    def known(self):
        """How many others it knows; None while it does not answer."""
        if self.process.poll() is not None:
            with open(os.path.join(self.dir, 'log'), encoding='utf-8') as log:
                raise RuntimeError(f'node {self.number} ended: {log.read()[-2000:]}')
        text = self.get('/status')
        return None if text is None else json.loads(text)['known_peers']

    def metric(self, name):
        text = self.get('/metrics') or ''
        return sum(int(line.split()[-1]) for line in text.splitlines()
                   if line.startswith(f'coalition_{name} '))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


class Lan:
    def __init__(self, folder):
        self.dir = folder
        sh('ip', 'link', 'set', 'lo', 'up')
        sh('ip', 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0')
        sh('ip', 'addr', 'add', '10.7.0.254/24', 'dev', 'br0')
        sh('ip', 'link', 'set', 'br0', 'up')
        self.nodes = [Node(self, i) for i in (1, 2, 3)]
        self.apart = Node(self, 4, takes_part=False)

    def stop(self):
        for node in [*self.nodes, self.apart]:
            node.stop()

    def all_know(self, n):
        return all(node.known() == n for node in self.nodes)


def found(lan):
    """three nodes that were told of nobody know each other; one that does not take part, nobody"""
    until(lambda: lan.all_know(2), 'three that know each other')
    until(lambda: lan.apart.known() is not None, 'the one apart to answer')
    assert lan.apart.known() == 0
    until(lambda: all(node.metric('discovery_lan_heard_total') > 0 for node in lan.nodes),
          'all to hear of somebody')


def garbage(lan):
    """garbage on the group, and answers for peers that are not there, change nothing"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('10.7.0.254'))
        for i in range(2000):
            s.sendto(os.urandom(12 + i % 400), ('224.0.0.251', 5353))
    until(lambda: all(n.metric('discovery_lan_ignored_total') > 0 for n in lan.nodes), 'garbage')
    until(lambda: lan.all_know(2), 'three that know each other')


def left_and_back(lan):
    """one that leaves is gone, and is found again when it is back"""
    lan.nodes[1].stop()
    rest = [lan.nodes[0], lan.nodes[2]]
    until(lambda: all(n.known() == 1 for n in rest), 'two that know each other')
    lan.nodes[1].start()
    until(lambda: lan.all_know(2), 'three again')


def possible():
    p = subprocess.run(['unshare', '-Urn', 'sh', '-c',
                        'ip link add br0 type bridge && ip link add v0 type veth peer name p0 && '
                        'unshare -n true && command -v nsenter'],
                       capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return p.returncode == 0


def main():
    if not inside():
        if not possible():
            print('1..0 # SKIP no network namespaces, or no bridge and veth, for this user')
            return
        os.execvpe('unshare', ['unshare', '-Urn', sys.executable, *sys.argv],
                   {**os.environ, 'LIVE_LAN': 'inside'})
    cases = (found, garbage, left_and_back)
    with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
        lan = Lan(folder)
        try:
            failed = play(cases, lan)
        finally:
            lan.stop()
    sys.exit(1 if failed else 0)


main()
