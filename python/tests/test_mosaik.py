"""The package against real members, over real sockets.

  python3 python/tests/run.py test_mosaik
"""
import os
import re
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import mosaik  # noqa: E402
from committee import PATIENCE, Committee, Thread, free_ports, surface, until  # noqa: E402
from mosaik import when  # noqa: E402


class Codec(unittest.TestCase):
    def test_values(self):
        codec = mosaik.codec
        for kind, values in ((codec.U64, [0, 127, 128, 2**64 - 1]), (codec.STR, ['', 'ä']),
                             (codec.I64, [0, -1, 2**63 - 1, -2**63]), (codec.BOOL, [True, False]),
                             (codec.BYTES, [b'', b'\0' * 300]), (codec.F64, [0.5]),
                             (codec.ID, ['ab' * 32])):
            for value in values:
                self.assertEqual(kind.decode(kind.encode(value)), value)
        for kind, data in ((codec.U64, b'\x80\x00'), (codec.U64, b''), (codec.U64, b'\0\0'),
                           (codec.STR, b'\x02a'), (codec.BOOL, b'\2'),
                           (codec.U64, b'\xff' * 9 + b'\x7f')):
            with self.assertRaises(ValueError):
                kind.decode(data)

    def test_ids(self):
        self.assertEqual(mosaik.id_of('ab' * 32), 'ab' * 32)
        self.assertEqual(len(mosaik.id_of('a text')), 64)
        self.assertEqual(len(mosaik.peer_of(bytes(32))), 64)
        with self.assertRaises(ValueError):
            mosaik.peer_of(b'short')
        with self.assertRaises(mosaik.MosaikError):
            mosaik.Surface('tree', 'x', mosaik.codec.STR)
        with self.assertRaises(mosaik.MosaikError):
            mosaik.Surface('map', 'x', mosaik.codec.Type('nothing', bytes, bytes))


class Tokens(unittest.TestCase):
    def test_judge(self):
        with mosaik.Agent() as agent:
            key, secret = mosaik.new_key(), bytes(range(32))
            claims = {'iss': 'me', 'aud': 'you', 'sub': 'ab' * 32, 'exp': 2000}
            keys = mosaik.JwtKeys(agent).add('HS256', secret)
            keys.add('EdDSA', bytes.fromhex(mosaik.peer_of(key)))
            for token in (mosaik.issue_jwt_secret(agent, 'HS256', secret, claims),
                          mosaik.issue_jwt(agent, key, claims)):
                got = keys.judge(token, issuer='me', audience='you', peer='ab' * 32, at=1999)
                self.assertEqual(got, claims)
                with self.assertRaisesRegex(mosaik.Refused, 'expired'):
                    keys.judge(token, at=2000)
                with self.assertRaisesRegex(mosaik.Refused, 'aud'):
                    keys.judge(token, audience='them', at=1)
                with self.assertRaises(mosaik.BadSignature):
                    keys.judge(token[:-2] + ('A' if token[-2] != 'A' else 'B') + 'A', at=1)
            jwk = {'kty': 'oct', 'k': 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'}
            keys.add_jwk(jwk)
            with self.assertRaises(mosaik.MosaikError):
                keys.add_jwk({'kty': 'oct', 'k': 'AA'})
            with self.assertRaises(mosaik.MosaikError):
                mosaik.issue_jwt_secret(agent, 'none', secret, claims)

    def test_acl(self):
        with mosaik.Agent() as agent:
            acl = mosaik.Acl().peers(['cd' * 32, 'ab' * 32]).attestation(0).readers()
            self.assertEqual(len(acl.check(agent)['clauses']), 3)
            with self.assertRaises(mosaik.MosaikError):
                mosaik.Acl().jwt('x', 'HS256', bytes(32)).check(agent)


class Strange(unittest.TestCase):
    """Who has another idea of a component's surfaces than its members."""

    def test_other_types(self):
        with tempfile.TemporaryDirectory() as folder:
            committee = Committee(folder, 'strange', n=1)
            try:
                with mosaik.Agent() as agent:
                    bond = committee.bind(agent)
                    wrong = mosaik.Map(bond, mosaik.Surface('map', 'words', mosaik.codec.U64,
                                                            mosaik.codec.STR))
                    with self.assertRaisesRegex(mosaik.NotFound,
                                                '^no map "words" of these types: .*not one of this'):
                        wrong.insert('k', 1)  # nothing is written
                    feed = mosaik.Feed(bond, mosaik.Surface('stream', 'words', mosaik.codec.STR))
                    with self.assertRaisesRegex(mosaik.NotFound, 'not one of this component'):
                        feed.next(60)  # at once: the only member said so
                    words = mosaik.Map(bond, surface('words'))
                    words.wait()
                    self.assertEqual(words.version, 0)
                    with self.assertRaisesRegex(mosaik.NotFound, '"words": proven not to be there'):
                        mosaik.lookup(bond, surface('words'), 'k')
            finally:
                committee.stop()


class Shelf(unittest.TestCase):
    """One committee for all of these; names are used by one test each."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.committee = Committee(cls.folder.name)
        cls.agent = mosaik.Agent()
        cls.bond = cls.committee.bind(cls.agent)

    @classmethod
    def tearDownClass(cls):
        cls.agent.close()
        cls.committee.stop()
        cls.folder.cleanup()

    def open(self, shape, name):
        c = shape(self.bond, surface(name))
        self.addCleanup(c.close)
        c.wait(0, PATIENCE)
        return c

    def test_map(self):
        words = self.open(mosaik.Map, 'words')
        with self.assertRaises(ValueError):
            mosaik.Set(self.bond, surface('words'))
        words.wait(words.clear().version)
        written = words.insert('a', '1')
        self.assertTrue(written.changed)
        self.assertEqual(words.insert('a', '1'), mosaik.Written(written.version, False))
        words.wait(words.extend({'b': '2', 'c': '3'}).version)
        self.assertEqual(dict(words.items()), {'a': '1', 'b': '2', 'c': '3'})
        self.assertTrue('a' in words and 'z' not in words and len(words) == 3)
        words.compare_exchange('a', '1', '9')
        words.compare_exchange('d', None, '4')
        with self.assertRaisesRegex(mosaik.Refused, 'another value'):
            words.compare_exchange('a', '1', '8')
        words.wait(words.compare_exchange('d', '4', None).version)
        self.assertEqual((words['a'], words.get('d')), ('9', None))
        with self.assertRaises(KeyError):
            words['d']
        self.assertEqual(mosaik.lookup(self.bond, words.surface, 'b', timeout=PATIENCE), '2')
        with self.assertRaises(mosaik.NotFound):
            mosaik.lookup(self.bond, words.surface, 'nothing', timeout=PATIENCE)
        words.wait(words.remove('a', 'b', 'nothing').version)
        self.assertEqual(sorted(words), ['c'])
        words.wait(words.clear().version)
        self.assertFalse(words.clear().changed)
        self.assertEqual(len(words), 0)

    def test_vec(self):
        jobs = self.open(mosaik.Vec, 'jobs')
        jobs.push_back('b', 'c')
        jobs.push_front('a')
        jobs.insert(3, 'd')
        with self.assertRaisesRegex(mosaik.Refused, 'past the end'):
            jobs.insert(9, 'x')
        jobs.wait(jobs.swap(0, 3).version)
        self.assertEqual(list(jobs), ['d', 'b', 'c', 'a'])
        jobs.set(1, 'B')
        jobs.pop_front()
        jobs.wait(jobs.pop_back().version)
        self.assertEqual((list(jobs), jobs[-1]), (['B', 'c'], 'c'))
        with self.assertRaises(IndexError):
            jobs[2]
        self.assertFalse(jobs.remove(7).changed)
        jobs.remove(0)
        jobs.wait(jobs.truncate(0).version)
        self.assertEqual(list(jobs), [])

    def test_set_cell_once(self):
        names = self.open(mosaik.Set, 'names')
        names.add('x', 'y')
        self.assertFalse(names.add('x').changed)
        names.wait(names.remove('y', 'z').version)
        self.assertTrue('x' in names and 'y' not in names and names.issubset(names))
        self.assertEqual(list(names), ['x'])
        self.assertEqual(mosaik.lookup(self.bond, names.surface, 'x', timeout=PATIENCE), 'x')
        with self.assertRaises(mosaik.NotFound):
            mosaik.lookup(self.bond, names.surface, 'y', timeout=PATIENCE)
        leader = self.open(mosaik.Cell, 'leader')
        leader.write(7)
        leader.wait(leader.compare_exchange(7, 8).version)
        self.assertEqual(leader.get(), 8)
        self.assertEqual(mosaik.lookup(self.bond, leader.surface, timeout=PATIENCE), 8)
        with self.assertRaises(mosaik.Refused):
            leader.compare_exchange(None, 1)
        genesis = self.open(mosaik.Once, 'genesis')
        self.assertIsNone(genesis.get())
        self.assertTrue(genesis.write(b'first').changed)
        self.assertFalse(genesis.write(b'second').changed)
        self.assertEqual(genesis.await_value(PATIENCE), b'first')
        with self.assertRaises(TypeError):
            genesis.clear()

    def test_queue(self):
        queue = self.open(mosaik.PriorityQueue, 'queue')
        queue.insert(5, 7, 'five')
        queue.extend([(1, 1, 'one'), (9, 9, 'nine')])
        queue.wait(queue.insert(4, 4, 'four').version)  # the capacity is three: 1 goes
        self.assertEqual(list(queue), [(4, 4, 'four'), (5, 7, 'five'), (9, 9, 'nine')])
        self.assertEqual((queue.min(), queue.max()), ((4, 4, 'four'), (9, 9, 'nine')))
        queue.update_priority(9, 3)
        queue.update_value(9, 'NINE')
        queue.wait(queue.compare_exchange(4, 'four', None).version)
        self.assertEqual(list(queue), [(3, 9, 'NINE'), (5, 7, 'five')])
        self.assertEqual((queue.priority(9), queue.get(7), queue.priority(4)), (3, 'five', None))
        self.assertEqual(mosaik.lookup(self.bond, queue.surface, 7, timeout=PATIENCE), 'five')
        queue.wait(queue.remove_range(end=5).version)
        self.assertTrue(7 in queue and 9 not in queue)
        queue.wait(queue.remove(7).version)
        self.assertIsNone(queue.min())

    def test_stream_and_conditions(self):
        events = surface('events')
        feed = mosaik.Feed(self.bond, events)
        self.addCleanup(feed.close)
        with self.assertRaises(mosaik.MosaikError):
            mosaik.Feed(self.bond, surface('words'))
        big = when.appended(feed, lambda v: v > 10)
        burst = when.window(feed, 300, 3, lambda v: v < 0)
        mosaik.append(self.bond, events, 1, -1)
        self.assertEqual(feed.next(PATIENCE), mosaik.Item(1, 1))
        self.assertEqual(feed.next(PATIENCE).value, -1)
        with self.assertRaisesRegex(mosaik.TimedOut, 'an item comes that passes'):
            big.wait(0.2)
        mosaik.append(self.bond, events, 11, -2, -3)
        burst.wait(PATIENCE)
        self.assertIn('(3 did)', burst.explain())
        self.assertEqual([i.value for i in feed.items(1)], [11, -2, -3])
        feed.close()
        with self.assertRaises(mosaik.Closed):
            big.wait(1)
        with self.assertRaises(ValueError):
            feed.next(1)

    def test_conditions_on_a_backlog(self):
        events = surface('backlog')
        for i in range(0, 1600, 50):
            mosaik.append(self.bond, events, *range(i, i + 50))
        with mosaik.Feed(self.bond, events) as feed:
            self.assertEqual(feed.next(PATIENCE).value, 0)
            when.all(when.appended(feed, lambda v: v == 900), when.window(feed, 300, 3)).wait(PATIENCE)
            for _ in range(PATIENCE):  # those behind the 900th are on their way
                with self.assertRaises(mosaik.TimedOut) as full:
                    when.appended(feed, lambda v: v == 1599).wait(0.5)
                if re.search('; 10[0-9][0-9] items', str(full.exception)):
                    break
            self.assertRegex(str(full.exception), r'; 10\d\d items wait on the feed to be taken')
            each = when.appended(feed)
            for _ in range(3):  # each waiting item once
                each.wait(0)
            for _ in range(600):
                feed.next(PATIENCE)
            when.appended(feed, lambda v: v == 1599).wait(PATIENCE)

    def test_a_producer_that_is_not_there(self):
        with mosaik.Consumer(self.agent, '07' * 32, 'aa' * 32, address='127.0.0.1:1') as consumer:
            with self.assertRaisesRegex(mosaik.TimedOut, 'no connection to 127.0.0.1:1'):
                consumer.next(3)

    def test_what_a_filter_raises(self):
        events = surface('raises')
        with mosaik.Feed(self.bond, events) as feed:
            bad = when.all(when.bound(self.bond), when.appended(feed, lambda v: 1 // (v - 5) > 0))
            mosaik.append(self.bond, events, 5)
            began = time.monotonic()
            with self.assertRaises(ZeroDivisionError):
                bad.wait(PATIENCE)
            self.assertLess(time.monotonic() - began, PATIENCE / 2)  # it was not waited out
            mosaik.append(self.bond, events, 6)
            bad.wait(PATIENCE)
            with self.assertRaises(ZeroDivisionError):
                when.window(feed, 60, 1, lambda v: 1 // 0 > 0).wait(PATIENCE)

    def test_conditions_of_collections(self):
        other = mosaik.Agent()
        self.addCleanup(other.close)
        words = mosaik.Map(self.committee.bind(other), surface('words'))
        ready = when.online(words) & when.bound(words.bond)
        ready.wait(PATIENCE)
        self.assertTrue(ready)
        written = mosaik.Map(self.bond, surface('words')).insert('condition', str(time.time()))
        when.all(when.reaches(words, written.version), when.online(words)).wait(PATIENCE)
        self.assertIn('condition', words)
        self.assertFalse(~when.online(words))
        never = when.any(when.reaches(words, 10**9), when.tagged(other, 'no such id'))
        with self.assertRaisesRegex(mosaik.TimedOut, 'reaches version 1000000000'):
            never.wait(0.1)


class Tags(unittest.TestCase):
    def test_tags_and_sync(self):
        key, address = mosaik.new_key(), f'127.0.0.1:{free_ports(1)[0]}'
        peer, over = mosaik.peer_of(key), threading.Event()

        def serve():
            with mosaik.Agent(key=key, listen=address, tags=['gpu']) as agent:
                while not over.is_set():
                    agent.run(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)
        with mosaik.Agent(tags=['cpu']) as agent:
            self.assertFalse(agent.tagged(peer, 'gpu'))
            agent.sync(f'{peer}@{address}', PATIENCE)
            when.tagged(agent, 'gpu').wait(PATIENCE)
            self.assertTrue(agent.tagged(peer, 'gpu'))
            self.assertFalse(agent.tagged(peer, 'cpu'))
            self.assertEqual(agent.peers, 1)
            with self.assertRaisesRegex(mosaik.MosaikError, 'another peer answered'):
                agent.sync(f'{mosaik.peer_of(mosaik.new_key())}@{address}', 5)


class Peers(unittest.TestCase):
    def stream(self, acl):
        """(a thread that produces "prices", its peer, its address)."""
        key, address = mosaik.new_key(), f'127.0.0.1:{free_ports(1)[0]}'

        def produce(agent):
            producer = mosaik.Producer(agent, 'prices', mosaik.codec.U64, acl=acl)
            for i in range(5):
                producer.send(i)

        thread = Thread({'key': key, 'listen': address}, produce).wait()
        self.addCleanup(thread.stop)
        return mosaik.peer_of(key), address

    def test_stream(self):
        peer, address = self.stream(None)
        with mosaik.Agent() as agent:
            consumer = mosaik.Consumer(agent, 'prices', peer, mosaik.codec.U64, address=address)
            when.consuming(consumer).wait(PATIENCE)
            self.assertEqual([i.value for i in (consumer.next(PATIENCE) for _ in range(5))],
                             list(range(5)))
            with self.assertRaises(mosaik.TimedOut):
                consumer.next(0.1)

    def test_refusal_names_the_clause(self):
        peer, address = self.stream(mosaik.Acl().peers(['ab' * 32]).readers())
        with mosaik.Agent() as agent:
            consumer = mosaik.Consumer(agent, 'prices', peer, mosaik.codec.U64, address=address)
            with self.assertRaisesRegex(mosaik.Refused, 'clause 0 PeerList'):
                consumer.next(PATIENCE)
            told = agent.status()['consumers'][0]
            self.assertEqual((told['subscribed'], told['refusals'] > 0), (False, True))
            self.assertIn('clause 0 PeerList', told['why'])

    def test_status_of_a_producer(self):
        """Who is subscribed, who lags, and whom which clause refused."""
        key, address = mosaik.new_key(), f'127.0.0.1:{free_ports(1)[0]}'
        mine, done = mosaik.new_key(), threading.Event()
        acl = mosaik.Acl().peers([mosaik.peer_of(mine)]).readers()

        def consume(agent):
            consumer = mosaik.Consumer(agent, 'prices', mosaik.peer_of(key), mosaik.codec.U64,
                                       address=address)
            with self.assertRaises(mosaik.Refused):
                consumer.next(PATIENCE)
            done.set()

        with mosaik.Agent(key=key, listen=address) as agent:
            producer = mosaik.Producer(agent, 'prices', mosaik.codec.U64, acl=acl)
            stranger = Thread({}, consume)
            friend = Thread({'key': mine}, lambda a: mosaik.Consumer(
                a, 'prices', mosaik.peer_of(key), mosaik.codec.U64, address=address))
            for thread in (stranger, friend):
                self.addCleanup(thread.stop)
            when.subscribed(producer, 1).wait(PATIENCE)
            while not done.is_set():
                agent.run(0.02)
            stranger.wait()
            producer.send(1)
            until(lambda: agent.status()['producers'][0]['subscribed'] == 1, 'the friend alone',
                  lambda: agent.run(0.02))
            told = agent.status()['producers'][0]
            self.assertEqual((told['sent'], told['subscribed'], told['online']), (1, 1, True))
            self.assertEqual([s['peer'] for s in told['subscribers']], [mosaik.peer_of(mine)])
            self.assertEqual([(r['clause'], r['count'] > 0) for r in told['refused']], [(0, True)])
            self.assertIn('clause 0 PeerList', told['refused'][0]['reason'])

    def test_subscribed(self):
        address, seen = f'127.0.0.1:{free_ports(1)[0]}', []
        key, stop = mosaik.new_key(), threading.Event()

        def consume(agent):
            consumer = mosaik.Consumer(agent, 'prices', mosaik.peer_of(key), mosaik.codec.U64,
                                       address=address)
            seen.append(consumer.next(PATIENCE).value)
            stop.set()

        with mosaik.Agent(key=key, listen=address) as agent:
            producer = mosaik.Producer(agent, 'prices', mosaik.codec.U64)
            thread = Thread({}, consume)
            self.addCleanup(thread.stop)
            when.subscribed(producer, 1).wait(PATIENCE)
            self.assertEqual(producer.subscribers, 1)
            producer.send(42)
            while not stop.is_set():
                agent.run(0.02)
        self.assertEqual(seen, [42])


class Admission(unittest.TestCase):
    def test_a_token_admits(self):
        """A component that wants a JWT: refused without, admitted with one."""
        issuer, mine = mosaik.new_key(), mosaik.new_key()
        acl = mosaik.Acl().jwt('the issuer', 'EdDSA', bytes.fromhex(mosaik.peer_of(issuer)))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        committee = Committee(folder.name, 'gated', acl, n=1)
        self.addCleanup(committee.stop)
        with mosaik.Agent(key=mine) as agent:
            token = mosaik.issue_jwt(agent, issuer, {
                'iss': 'the issuer', 'aud': committee.ids['stable_id'],
                'sub': mosaik.peer_of(mine), 'exp': int(time.time()) + 3600})
            ticket = mosaik.jwt_ticket(agent, token)
            words = mosaik.Map(committee.bind(agent), surface('words'))
            with self.assertRaisesRegex(mosaik.Refused, 'RequireJwt'):
                words.insert('a', '1')
        with mosaik.Agent(key=mine, tickets=[ticket]) as agent:
            words = mosaik.Map(committee.bind(agent), surface('words'))
            words.wait(words.insert('a', '1').version, PATIENCE)
            self.assertEqual(words['a'], '1')
            refused = agent.status()['bonds'][0]
            self.assertEqual((refused['state'], refused['linked']), ('ready', 1))

    def test_a_majority_that_refuses_is_enough(self):
        """One member is down, the others refuse: told at once, not when the time is over."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        committee = Committee(folder.name, 'shut', mosaik.Acl().peers(['ab' * 32]).readers())
        self.addCleanup(committee.stop)
        committee.threads.pop().stop()
        with mosaik.Agent() as agent:
            bond = committee.bind(agent)
            words = surface('words')
            for what in (lambda: mosaik.lookup(bond, words, 'k', timeout=60),
                         lambda: mosaik.Map(bond, words).wait(0, 60),
                         lambda: mosaik.Map(bond, words, timeout=60).insert('k', 'v'),
                         lambda: mosaik.Feed(bond, surface('events')).next(60)):
                began = time.monotonic()
                with self.assertRaisesRegex(mosaik.Refused, 'no majority: 2 members refused; .*PeerList'):
                    what()
                self.assertLess(time.monotonic() - began, 30)

    def test_tickets_are_renewed_in_place(self):
        """Readers and writers go on over the end of a ticket, and are let go when it is withdrawn."""
        issuer, mine = mosaik.new_key(), mosaik.new_key()
        acl = mosaik.Acl().jwt('the issuer', 'EdDSA',
                               bytes.fromhex(mosaik.peer_of(issuer))).readers()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        committee = Committee(folder.name, 'renewed', acl, n=1)
        self.addCleanup(committee.stop)

        def ticket(agent, seconds):
            return mosaik.jwt_ticket(agent, mosaik.issue_jwt(agent, issuer, {
                'iss': 'the issuer', 'aud': committee.ids['stable_id'],
                'sub': mosaik.peer_of(mine), 'exp': int(time.time()) + seconds}))

        def renewed_in_time(agent, bond, seconds):
            """What it follows with a ticket for so long, renewed by one for an hour, and the end of
            the first; None: it ended first."""
            first, ends = ticket(agent, seconds), int(time.time()) + seconds
            agent.renew([first])
            followed = mosaik.Map(bond, surface('words'))  # one that was refused has ended
            try:
                followed.wait(followed.insert('a', '1').version, PATIENCE)
            except mosaik.Refused:
                pass
            agent.renew([ticket(agent, 3600)])
            agent.run(0.1)
            if time.time() < ends - 1 and when.online(followed):
                return followed, ends
            followed.close()
            return None

        with mosaik.Agent(key=mine) as agent:
            bond = committee.bind(agent)
            words = mosaik.Map(bond, surface('words'))
            with self.assertRaisesRegex(mosaik.Refused, 'shows no'):
                words.insert('a', '0')
            with self.assertRaisesRegex(mosaik.Malformed, 'ticket 0 is none'):
                agent.renew([b'no ticket'])
            for seconds in (5, 15, 45):  # a busy machine needs longer
                there = renewed_in_time(agent, bond, seconds)
                if there:
                    break
            self.assertTrue(there, 'not renewed within 45 s')
            followed, ends = there
            said = bond.said()
            while time.time() < ends + 3:
                agent.run(0.2)
                self.assertTrue(when.online(followed))
                version = followed.insert('a', str(time.time())).version
                followed.wait(version, PATIENCE)
            self.assertEqual(bond.said(), said, 'nobody ended anything in between')
            agent.renew([])
            (~when.online(followed)).wait(PATIENCE)
            with self.assertRaisesRegex(mosaik.Refused, 'RequireJwt'):
                followed.insert('a', '2')

    def test_a_subscription_over_the_end_of_a_ticket(self):
        """Both ends of a stream renew: the consumer's ticket to the producer, and back."""
        for seconds in (5, 15, 45):  # a busy machine needs longer
            told = self.over_the_end(seconds)
            if told:
                break
        self.assertTrue(told, 'not renewed within 45 s')
        produced, consumed, got = told
        self.assertEqual(got, list(range(len(got))))
        self.assertEqual((consumed['subscribed'], consumed['refusals'], consumed['lost']),
                         (True, 0, 0))
        self.assertEqual((produced['subscribed'], produced['expired'], produced['refused']),
                         (1, 0, []))

    def over_the_end(self, seconds):
        """What the producer and the consumer say, and what came, when both renew tickets of so many
        seconds; None: they did not come to it in time."""
        issuer, keys = mosaik.new_key(), (mosaik.new_key(), mosaik.new_key())
        acl = mosaik.Acl().jwt('the issuer', 'EdDSA', bytes.fromhex(mosaik.peer_of(issuer)))
        address, over, renewed = f'127.0.0.1:{free_ports(1)[0]}', threading.Event(), []
        stable_id = mosaik.id_of('prices')

        def ticket(agent, key, lasts):
            return mosaik.jwt_ticket(agent, mosaik.issue_jwt(agent, issuer, {
                'iss': 'the issuer', 'aud': stable_id, 'sub': mosaik.peer_of(key),
                'exp': int(time.time()) + lasts}))

        with mosaik.Agent() as maker:
            tickets = [[ticket(maker, key, s) for s in (seconds, 3600)] for key in keys]
        ends, states = int(time.time()) + seconds, []

        def produce(agent):
            agent.renew([tickets[0][0]])
            producer = mosaik.Producer(agent, 'prices', mosaik.codec.U64, acl=acl.readers())
            until(lambda: producer.subscribers == 1 or time.time() > ends + 1, 'a subscriber',
                  lambda: agent.run(0.02))
            agent.renew([tickets[0][1]])
            renewed.append(time.time())
            n = 0
            while not over.is_set():
                producer.send(n)
                n += 1
                agent.run(0.05)
            states.append(agent.status()['producers'][0])

        thread = Thread({'key': keys[0], 'listen': address}, produce)
        try:
            with mosaik.Agent(key=keys[1], tickets=[tickets[1][0]]) as agent:
                consumer = mosaik.Consumer(agent, 'prices', mosaik.peer_of(keys[0]),
                                           mosaik.codec.U64, address=address, acl=acl)
                try:
                    got = [consumer.next(PATIENCE).value]
                except mosaik.Refused:
                    return None
                agent.renew([tickets[1][1]])
                if max(renewed[0], time.time()) > ends - 1:
                    return None
                while time.time() < ends + 3:
                    got.append(consumer.next(PATIENCE).value)
                consumed = agent.status()['consumers'][0]
                over.set()
                thread.wait()
                return states[0], consumed, got
        finally:
            over.set()
            thread.stop()


if __name__ == '__main__':
    unittest.main(verbosity=2)
