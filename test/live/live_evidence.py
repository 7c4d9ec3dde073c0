#!/usr/bin/env python3
"""Commands that rest on what other components committed, with real processes: three price feeds, and
an oracle of three members over them.

  live_evidence.py PROGRAM

Each feed and each member of the oracle is a node with a key and a directory of its own. Speaks TAP.
Signals only the nodes that it started.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
from live_bed import PROGRAM, ask, run
from tap import PATIENCE, free_port, note, on_term, play, until

FEEDS, MEMBERS = 3, 3


class Node:
    """A node's folder, and its process while it runs."""

    def __init__(self, folder, name):
        self.name, self.dir = name, os.path.join(folder, name)
        os.makedirs(os.path.join(self.dir, 'state'))
        self.key = os.path.join(self.dir, 'node.key')
        self.peer = ask('key', 'new', self.key)['peer']
        self.move()
        self.process = None
        self.log = open(os.path.join(self.dir, 'log'), 'w', encoding='utf-8')

    def move(self):
        self.address = f'127.0.0.1:{free_port()}'
        self.contact = f'{self.peer}@{self.address}'

    def configure(self, component, peers, more=''):
        hints = ', '.join(f'"{p}"' for p in peers)
        with open(os.path.join(self.dir, 'node.toml'), 'w', encoding='utf-8') as f:
            f.write(f'key = "node.key"\nlisten = "{self.address}"\ndir = "state"\n'
                    f'peers = [{hints}]\ncomponents = [{{ {component} }}]\n{more}')

    def start(self, *args):
        self.process = subprocess.Popen(
            [PROGRAM, 'node', os.path.join(self.dir, 'node.toml'), *args], stderr=self.log,
            stdin=subprocess.DEVNULL)

    def stop(self, signo=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signo)
            self.process.wait(PATIENCE)
        self.process = None


class Bed:
    def __init__(self, folder):
        self.dir = folder
        self.operator = os.path.join(folder, 'operator.key')
        operator = ask('key', 'new', self.operator)['peer']
        self.feeds = [Node(folder, f'feed-{i}') for i in range(FEEDS)]
        self.members = [Node(folder, f'oracle-{i}') for i in range(MEMBERS)]
        self.ids = []
        for i, feed in enumerate(self.feeds):
            self.write(f'feed-{i}.toml', operator, f'feed-{i}', [feed],
                       'type = "price-feed"\n' + self.pairs())
            self.ids.append(ask('organism', self.path(f'feed-{i}.toml'))['stable_id'])
            self.deploy(f'feed-{i}')
            prices = self.path(f'prices-{i}')
            open(prices, 'w', encoding='utf-8').close()
            feed.configure(f'file = "../feed-{i}.toml", deployment = "../feed-{i}.deployment", '
                           f'source = "file:{prices}", retention = "100000 commits, 7d"', [])
        sources = ', '.join(f'{{ stable_id = "{x}", operator = "{operator}" }}' for x in self.ids)
        span = ''.join(f'\n[[span.organism]]\nrole = "feed"\nstable_id = "{x}"\n' for x in self.ids)
        self.write('oracle.toml', operator, 'oracle', self.members,
                   f'type = "oracle"\n{self.pairs()}sources = [{sources}]\nquorum = 2\n{span}')
        self.deploy('oracle')
        hints = [f.contact for f in self.feeds]
        for m in self.members:
            m.configure('file = "../oracle.toml", deployment = "../oracle.deployment", private = true',
                        hints)
        everybody = ', '.join(f'"{n.contact}"' for n in self.feeds + self.members)
        with open(self.path('coalition.toml'), 'w', encoding='utf-8') as f:
            f.write(f'schema_version = 1\ninstance_name = "evidence"\noperator = "{operator}"\n'
                    f'retirement_policy = "conservative"\npeers = [{everybody}]\n')
            for name in [f'feed-{i}' for i in range(FEEDS)] + ['oracle']:
                stable = ask('organism', self.path(f'{name}.toml'))['stable_id']
                f.write(f'\n[[organism]]\nrole = "{name}"\nstable_id = "{stable}"\n'
                        f'config = "{name}.toml"\noperator = "{operator}"\n')
        self.file = self.path('coalition.toml')

    def path(self, name):
        return os.path.join(self.dir, name)

    @staticmethod
    def pairs():
        return 'pairs = [{ base = "EUR", quote = "USD", scale = 5 }]\n'

    def write(self, path, operator, name, nodes, content):
        committee = ', '.join(f'"{n.contact}"' for n in nodes)
        with open(self.path(path), 'w', encoding='utf-8') as f:
            f.write(f'schema_version = 1\nkind = "organism"\nname = "{name}"\n'
                    f'operator = "{operator}"\ncommittee = [{committee}]\nacl = []\n\n'
                    f'[content]\n{content}')

    def deploy(self, name):
        ask('deploy', self.path(f'{name}.toml'), '--component', name, '--key', self.operator, '-o',
            self.path(f'{name}.deployment'))

    def price(self, i, price, at):
        with open(self.path(f'prices-{i}'), 'a', encoding='utf-8') as f:
            f.write(json.dumps({'pair': 'EUR/USD', 'price': price, 'time_ms': at}) + '\n')

    def follow(self):
        """Reads the oracle's ticks from the first on, for as long as the test runs."""
        self.ticks = []
        self.tail = subprocess.Popen([PROGRAM, 'stream', 'tail', self.file, 'oracle', 'EUR/USD',
                                      '--oldest', '--json', '--timeout', str(PATIENCE)],
                                     stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.tail.stdout:
            self.ticks.append(value(json.loads(line)))

    def stop(self):
        self.tail.terminate()
        self.tail.wait(60)
        for n in self.members + self.feeds:
            n.stop()


def value(tick):
    return tick.get('value', tick.get('tick', tick))


def medians(bed):
    """an oracle publishes the median of what three feeds committed"""
    for i, price in enumerate(('1.08000', '1.09000', '1.08600')):
        bed.price(i, price, 1700000000000 + i)
    until(lambda: bed.ticks and bed.ticks[-1]['source_count'] == 3, 'three sources')
    tick = bed.ticks[-1]
    assert tick['price'] == '1.08600' and not tick['stale'], tick
    until(lambda: len(ask('map', 'list', bed.file, 'oracle', 'latest')['entries']) == 3,
          'the latest of all three')


def killed(bed):
    """a member of the oracle is killed, and observations go on; back again, it agrees"""
    before = len(bed.ticks)
    bed.members[0].stop(signal.SIGKILL)
    bed.price(0, '1.10000', 1700000001000)
    until(lambda: len(bed.ticks) > before, 'a tick without one member', 90)
    bed.members[0].start()
    bed.price(1, '1.10100', 1700000002000)
    until(lambda: bed.ticks[-1]['price'] == '1.10000', 'the median of all three')


def followed(bed):
    """replay follows every pointer into the logs of the feeds"""
    def pointers():
        return [ask('replay', m.dir)['evidence']['pointers'] for m in bed.members]
    until(lambda: len(set(pointers())) == 1, 'all members to have the last tick')
    r = ask('replay', bed.dir)
    e = r['evidence']
    assert r['ok'] and e['unresolved'] is None, r
    assert e['pointers'] >= 5 and e['in_logs'] == e['pointers'] - e['refused'], e
    beside = [w for f in bed.feeds for w in ('--with', f.dir)]
    furthest = bed.members[pointers().index(e['pointers'])].dir
    e = ask('replay', furthest, *beside)['evidence']
    assert e['in_logs'] == e['pointers'] - e['refused'] > 0 and e['not_followed'] == 0, e
    e = ask('replay', furthest)['evidence']
    assert e['not_followed'] == e['pointers'] - e['refused'] > 0, e  # proven by the entries alone


def live(bed):
    """and, without their logs, to the feeds themselves"""
    e = ask('replay', bed.members[1].dir, '--live', bed.file)['evidence']
    assert e['live'] == e['pointers'] - e['refused'] > 0 and e['unresolved'] is None, e


def another_history(bed):
    """a feed whose log does not hold what was cited is named, with the entry"""
    feed = bed.feeds[0]
    other = os.path.join(bed.dir, 'other')
    shutil.copytree(feed.dir, os.path.join(other, 'feed'))
    for name in ('feed-0.toml', 'feed-0.deployment'):
        shutil.copy(bed.path(name), other)
    copy = os.path.join(other, 'feed')
    shutil.rmtree(os.path.join(copy, 'state'))
    os.makedirs(os.path.join(copy, 'state'))
    prices = os.path.join(other, 'prices')
    with open(prices, 'w', encoding='utf-8') as f:
        f.write('{"pair":"EUR/USD","price":"2.00000","time_ms":1700000000000}\n')
    with open(os.path.join(copy, 'node.toml'), 'w', encoding='utf-8') as f:
        f.write(f'key = "node.key"\nlisten = "127.0.0.1:{free_port()}"\ndir = "state"\n'
                'components = [{ file = "../feed-0.toml", source = "file:' + prices + '" }]\n')
    log = open(os.path.join(copy, 'log'), 'w', encoding='utf-8')
    node = subprocess.Popen([PROGRAM, 'node', os.path.join(copy, 'node.toml'), '--found'],
                            stderr=log, stdin=subprocess.DEVNULL)
    try:
        def committed():
            status, out, _ = run('replay', copy, '--json')
            return status == 0 and json.loads(out)['replays'][0]['surfaces'][0]['index'] > 0
        until(committed, 'the other history')
    finally:
        node.terminate()
        node.wait(60)
        log.close()
    status, out, err = run('replay', bed.members[1].dir, '--with', copy, '--json')
    e = json.loads(out)['evidence']
    assert status == 1 and 'never made that commit' in err, (status, err)
    assert e['unresolved']['component'] == 'oracle' and e['unresolved']['entry'] > 2, e
    assert e['unresolved']['pointer']['clock'] == 1, e


def retention(bed):
    """what a node promises to keep is honoured by its status"""
    feed = bed.feeds[0]
    s = until(lambda: ask('status', '--node', feed.contact)['nodes'][0]['components'][0]['surfaces'][0],
              'its status')
    assert s['retention'] == {'commits': 100000, 'ms': 7 * 86400000, 'bytes': 16 << 20,
                              'cut': False}, s
    assert s['oldest'] == 1 and s['index'] >= 1, s
    status, out, _ = run('status', '--node', feed.contact)
    assert status == 0 and 'kept from commit 1 on; promised: the newest 100000' in out, out
    bound = until(lambda: next(c for f in ask('bind', bed.file, '--timeout', '30')['coalitions']
                               for c in f['components'] if c['component'] == 'feed-0'), 'the feed')
    assert bound['surfaces'][0]['retention'] == {
        'oldest': 1, 'commits': 100000, 'ms': 7 * 86400000, 'bytes': 16 << 20, 'members': 1}, bound
    bad = os.path.join(feed.dir, 'bad.toml')
    with open(os.path.join(feed.dir, 'node.toml'), encoding='utf-8') as f:
        text = f.read().replace('7d', 'a week')
    with open(bad, 'w', encoding='utf-8') as f:
        f.write(text)
    status, _, err = run('node', bad)
    assert status == 2 and 'retention is "100000 commits, a week"' in err, (status, err)


def private(bed):
    """the oracle's members speak on a network of their own; a node that is none of them is told why"""
    def linked():
        components = [ask('status', '--node', m.contact)['nodes'][0]['components'][0]
                      for m in bed.members]
        return all(c['private'] and all(x['linked'] for x in c['members'] if x['peer'] != m.peer)
                   for c, m in zip(components, bed.members))
    until(linked, 'all to be linked on their network')
    stranger = Node(bed.dir, 'stranger')
    stranger.configure('file = "../oracle.toml", deployment = "../oracle.deployment", private = true',
                       [f.contact for f in bed.feeds])
    stranger.start('--join')
    try:
        def told():
            status, out, _ = run('status', '--node', stranger.contact, '--json')
            return status == 0 and 'private to the committee of oracle' in out
        until(told, 'the stranger to be told')
    finally:
        stranger.stop()


def with_logs(bed, cases):
    """The cases; of the nodes' logs the ends, where one failed."""
    failed = play(cases, bed)
    if failed:
        for node in bed.feeds + bed.members:
            with open(node.log.name, encoding='utf-8') as f:
                for line in f.read().splitlines()[-8:]:
                    note(f'{node.name}: {line}')
    return failed


signal.signal(signal.SIGTERM, on_term)
with tempfile.TemporaryDirectory(prefix='coalition-live-') as folder:
    bed = Bed(folder)
    try:
        for node in bed.feeds + bed.members:
            node.start('--found')
        bed.follow()
        failed = with_logs(bed, (medians, killed, followed, live, another_history, retention, private))
    finally:
        bed.stop()
sys.exit(1 if failed else 0)
