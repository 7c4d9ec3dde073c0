"""Readers that end and come back in another process, what is kept for them, and slow ones."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import mosaik  # noqa: E402
from committee import PATIENCE, Committee, Thread, free_ports  # noqa: E402
from mosaik import codec, when  # noqa: E402

# Reads a stream from where the file `cursor` says, prints a line an item and then moves the file.
READER = '''
import json, os, sys
sys.path.insert(0, sys.argv[1])
import mosaik
from mosaik import codec
given = json.loads(sys.argv[2])
after = open(given['cursor']).read() if os.path.exists(given['cursor']) else None
with mosaik.Agent() as agent:
    if 'ids' in given:
        bond = agent.bind('shelf', **given['ids']).wait(60)
        source = mosaik.Feed(bond, mosaik.Surface('stream', given['name'], codec.U64), after=after)
    else:
        source = mosaik.Consumer(agent, given['name'], given['peer'], codec.U64,
                                 address=given['address'], after=after)
    for _ in range(given['count']):
        item = source.next(60)
        print(json.dumps([item.number, item.value, item.lost, item.restarted]), flush=True)
        with open(given['cursor'] + '.new', 'w') as f:
            f.write(source.cursor)
        os.replace(given['cursor'] + '.new', given['cursor'])
    print('"done"', flush=True)
    if given.get('linger'):
        source.next(600)
'''


class Reader:
    """That program, in a process of its own."""

    def __init__(self, **given):
        self.process = subprocess.Popen(
            [sys.executable, '-c', READER, os.path.dirname(HERE), json.dumps(given)],
            stdout=subprocess.PIPE, text=True)

    def lines(self):
        """What it prints until it is done."""
        got = []
        for line in self.process.stdout:
            value = json.loads(line)
            if value == 'done':
                return got
            got.append(value)
        raise AssertionError(f'it ended with {self.process.wait()} after {got}')

    def end(self, kill=False):
        if kill:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Source(Thread):
    """A producer in a thread; send(n) sends so many more of 0, 1, 2, ... and waits until they are."""

    def __init__(self, key, port, **options):
        self.todo, self.idle, self.next = 0, threading.Condition(), 0
        self.producer, self.size = None, options.pop('size', 0)
        self.told = {}  # its status, once it turned
        self.given = options
        super().__init__({'key': key, 'listen': f'127.0.0.1:{port}'}, self.open)

    def open(self, agent):
        kind = codec.BYTES if self.size else codec.U64
        self.producer = mosaik.Producer(agent, 'numbers', kind, **self.given)
        run = agent.run

        def more(seconds):
            with self.idle:
                for _ in range(self.todo):
                    self.producer.send(bytes(self.size) if self.size else self.next)
                    self.next += 1
                self.todo = 0
                self.told = self.producer.status()
                self.idle.notify_all()
            run(seconds)
        agent.run = more

    def send(self, n):
        with self.idle:
            self.todo += n
            if not self.idle.wait_for(lambda: self.todo == 0, PATIENCE):
                raise AssertionError('not sent')

    def until(self, holds):
        """Waits until its status satisfies."""
        with self.idle:
            if not self.idle.wait_for(lambda: self.told and holds(self.told), PATIENCE):
                raise AssertionError(self.told)
            return self.told


class Streams(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.key, self.port = mosaik.new_key(), free_ports(1)[0]
        self.peer, self.address = mosaik.peer_of(self.key), f'127.0.0.1:{self.port}'

    def source(self, **options):
        source = Source(self.key, self.port, **options).wait()
        self.addCleanup(source.stop)
        return source

    def read(self, count, kill=False):
        reader = Reader(name='numbers', peer=self.peer, address=self.address, count=count,
                        cursor=os.path.join(self.folder.name, 'cursor'), linger=kill)
        try:
            return reader.lines()
        finally:
            reader.end(kill)

    def consumer(self, agent, kind=codec.U64, **options):
        return mosaik.Consumer(agent, 'numbers', self.peer, kind, address=self.address, **options)

    def test_another_process_misses_nothing(self):
        source = self.source()
        source.send(20)
        self.assertEqual(self.read(12, kill=True), [[n + 1, n, 0, False] for n in range(12)])
        source.send(3000)
        self.assertEqual(self.read(3000), [[n + 1, n, 0, False] for n in range(12, 3012)])
        self.assertEqual(self.read(8), [[n + 1, n, 0, False] for n in range(3012, 3020)])

    def test_what_is_not_retained_is_told(self):
        source = self.source(retain_items=5)
        source.send(5)
        self.assertEqual([line[1] for line in self.read(3)], [0, 1, 2])
        source.send(20)
        self.assertEqual(self.read(2), [[21, 20, 17, False], [22, 21, 0, False]])

    def test_items_age(self):
        source = self.source(retain_seconds=0.2)
        source.send(3)
        source.until(lambda told: told['retained_items'] == 0)
        with mosaik.Agent() as agent:
            consumer = self.consumer(agent)
            when.consuming(consumer).wait(PATIENCE)
            source.send(1)  # which may be too old before it is on its way
            while consumer.status()['items'] == 0:
                source.send(1)
                agent.run(0.02)
            self.assertGreater(consumer.next(PATIENCE).number, 3)

    def test_a_new_run_is_told(self):
        source = self.source()
        source.send(4)
        self.assertEqual(len(self.read(3)), 3)
        source.stop()
        source = self.source()
        source.send(2)
        self.assertEqual(self.read(2), [[1, 0, 0, True], [2, 1, 0, False]])

    def test_where_it_begins(self):
        source = self.source()
        source.send(3)
        with mosaik.Agent() as agent:
            consumer = self.consumer(agent, from_newest=True)
            self.assertIsNone(consumer.cursor)
            when.consuming(consumer).wait(PATIENCE)
            begin = consumer.cursor
            consumer.close()
            source.send(2)
            consumer = self.consumer(agent, after=begin)
            self.assertEqual(consumer.next(PATIENCE), mosaik.Item(4, 3))
            self.assertEqual(consumer.status()['items'] - consumer.status()['lost'], 2)

    def test_a_cursor_is_of_what_was_taken(self):
        """What waits in the consumer is not passed over."""
        source = self.source()
        source.send(500)
        with mosaik.Agent() as agent:
            consumer = self.consumer(agent)
            self.assertEqual(consumer.next(PATIENCE).number, 1)
            while consumer.status()['items'] < 500:
                agent.run(0.02)
            cursor = consumer.cursor
            consumer.close()
            self.assertEqual(self.consumer(agent, after=cursor).next(PATIENCE).number, 2)

    def test_what_is_no_cursor(self):
        with mosaik.Agent() as agent:
            stream = f'stream:{mosaik.id_of("numbers")}:{self.peer}:7:3'
            self.consumer(agent, after=stream).close()
            for bad in ('', 'stream', stream + ':', stream[:-1], stream + 'x', stream + ':1',
                        stream.replace(':7:', ':0:'), stream.replace('stream', 'feed'),
                        stream + '0' * 64, stream.replace(':7:', f':{2**64}:')):
                with self.assertRaisesRegex(mosaik.Malformed, 'after: this is no cursor'):
                    self.consumer(agent, after=bad)
            with self.assertRaisesRegex(mosaik.MosaikError, 'after: the cursor is of another'):
                self.consumer(agent, after=stream.replace(self.peer, 'ab' * 32))
            with self.assertRaises(TypeError):
                self.consumer(agent, after=7)

    def slow(self, policy):
        """Sends more than fits while one does not read; the status in the end."""
        source = self.source(size=65536, retain_bytes=1 << 20, slow=policy)
        with mosaik.Agent() as agent:
            consumer = self.consumer(agent, codec.BYTES)
            source.until(lambda told: told['subscribed'] == 0)
            when.consuming(consumer).wait(PATIENCE)
            for _ in range(200):  # 12 MiB, and it does nothing
                source.send(1)
            told = source.until(lambda told: told['closed_slow'] > 0 if policy == 'close'
                                else told['lag_items'] > told['retained_items'])
            self.assertLessEqual(told['retained_bytes'], 1 << 20)
            items, number = [], 0
            while number < 200:
                items.append(consumer.next(PATIENCE))
                number = items[-1].number
        self.assertEqual(sum(1 + item.lost for item in items), 200)
        self.assertTrue(any(item.lost for item in items))
        return source.until(lambda told: told['dropped'] + told['closed_slow'] > 0)

    def test_a_slow_one_is_closed_and_comes_back(self):
        told = self.slow('close')
        self.assertEqual((told['closed_slow'] > 0, told['dropped']), (True, 0))

    def test_a_slow_one_skips(self):
        told = self.slow('drop')
        self.assertEqual((told['closed_slow'], told['dropped'] > 0), (0, True))

    def test_limits_of_a_producer(self):
        with mosaik.Agent(key=self.key, listen=self.address) as agent:
            for name, value in (('retain_bytes', 1000), ('retain_bytes', 2**32), ('retain_items', -1),
                                ('slow', 'wait'), ('slow', '')):
                with self.assertRaisesRegex((ValueError, mosaik.MosaikError), f'{name}: '):
                    mosaik.Producer(agent, 'numbers', **{name: value})
            producer = mosaik.Producer(agent, 'numbers', codec.U64, subscribers_max=2, online_at=2)
            self.assertFalse(producer.online)
            others = [Thread({}, self.consumer) for _ in range(3)]
            for other in others:
                self.addCleanup(other.stop)
            when.subscribed(producer, 2).wait(PATIENCE)
            self.assertTrue(producer.online)
            while not producer.status()['refused']:
                agent.run(0.02)
            self.assertEqual(producer.status()['refused'][0]['clause'], 'limit')
            producer.send(1)
            producer.wait_within(0, PATIENCE)
            self.assertEqual(producer.status()['lag_items'], 0)

    def test_who_waits_for_the_slow(self):
        source_end, over = threading.Event(), threading.Event()

        def stay(agent):
            consumer = self.consumer(agent, codec.BYTES)
            when.consuming(consumer).wait(PATIENCE)
            source_end.wait(PATIENCE)
            while not over.is_set():
                try:
                    consumer.next(0.5)
                except mosaik.MosaikError:  # none came: they are on their way, or the producer went
                    pass

        with mosaik.Agent(key=self.key, listen=self.address) as agent:
            producer = mosaik.Producer(agent, 'numbers', codec.BYTES)
            reader = Thread({}, stay)
            self.addCleanup(reader.stop)
            self.addCleanup(over.set)
            self.addCleanup(source_end.set)
            when.subscribed(producer).wait(PATIENCE)
            for _ in range(100):
                producer.send(bytes(100000))
            with self.assertRaisesRegex(mosaik.TimedOut, r'a subscriber is \d+ items behind'):
                producer.wait_within(10, 0.3)
            source_end.set()
            producer.wait_within(10, PATIENCE)


class Feeds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.surfaces = [mosaik.Surface('stream', 'kept', codec.U64),
                        mosaik.Surface('stream', 'short', codec.U64, retain_commits=5)]
        cls.committee = Committee(cls.folder.name, n=1, surfaces=cls.surfaces)
        cls.agent = mosaik.Agent()
        cls.bond = cls.committee.bind(cls.agent)

    @classmethod
    def tearDownClass(cls):
        cls.agent.close()
        cls.committee.stop()
        cls.folder.cleanup()

    def read(self, name, count, kill=False):
        reader = Reader(name=name, ids=self.committee.ids, count=count, linger=kill,
                        cursor=os.path.join(self.folder.name, name))
        try:
            return reader.lines()
        finally:
            reader.end(kill)

    def test_another_process_misses_nothing(self):
        kept = self.surfaces[0]
        mosaik.append(self.bond, kept, *range(20))
        self.assertEqual(self.read('kept', 12, kill=True), [[n + 1, n, 0, False] for n in range(12)])
        for n in range(20, 1520, 50):
            mosaik.append(self.bond, kept, *range(n, n + 50))
        self.assertEqual(self.read('kept', 1500), [[n + 1, n, 0, False] for n in range(12, 1512)])
        self.assertEqual(self.read('kept', 8), [[n + 1, n, 0, False] for n in range(1512, 1520)])

    def test_what_is_not_retained_is_told(self):
        short = self.surfaces[1]
        mosaik.append(self.bond, short, *range(4))
        self.assertEqual([line[1] for line in self.read('short', 3)], [0, 1, 2])
        mosaik.append(self.bond, short, *range(4, 24))
        first, second = self.read('short', 2)
        self.assertGreater(first[2], 0)
        self.assertEqual(first[0], 3 + first[2] + 1)
        self.assertEqual((first[1], second), (first[0] - 1, [first[0] + 1, first[0], 0, False]))

    def test_cursors(self):
        kept, short = self.surfaces
        with mosaik.Feed(self.bond, kept, from_newest=True) as feed:
            while feed.cursor is None:
                self.agent.run(0.02)
            begin = feed.cursor
        version = mosaik.append(self.bond, kept, 7).version
        with mosaik.Feed(self.bond, kept, after=begin) as feed:
            self.assertEqual(feed.next(PATIENCE), mosaik.Item(version, 7))
            self.assertNotEqual(feed.cursor, begin)
        elsewhere = begin.split(':')
        elsewhere[2] = 'ab' * 32
        with mosaik.Feed(self.bond, kept, after=':'.join(elsewhere)) as feed:
            first = feed.next(PATIENCE)
            self.assertEqual((first.number, first.restarted), (1, True))
            self.assertFalse(feed.next(PATIENCE).restarted)
        with self.assertRaisesRegex(mosaik.MosaikError, 'of another surface'):
            mosaik.Feed(self.bond, short, after=begin)
        for bad in ('', begin[:-1], begin + '0', begin.replace('feed', 'stream')):
            with self.assertRaisesRegex(mosaik.Malformed, 'no cursor of a feed'):
                mosaik.Feed(self.bond, kept, after=bad)

    def test_retention_of_a_component(self):
        with self.assertRaisesRegex(mosaik.Malformed, 'parsec'):
            Committee(self.folder.name, 'far', n=1, surfaces=self.surfaces, retention='7 parsecs')
        members = Committee(self.folder.name, 'near', n=1, surfaces=self.surfaces,
                            retention='9 commits, 2h')
        self.addCleanup(members.stop)
        told = members.threads[0].do(lambda agent: agent.status())
        surfaces = {s['name']: s['retention'] for s in told['components'][0]['surfaces']}
        self.assertEqual((surfaces['short']['commits'], surfaces['short']['ms']), (9, 7200000))


if __name__ == '__main__':
    unittest.main(verbosity=2)
