"""mosaik's own tests of groups, tickets and the writes of several (its release 0.3.18), under their
names, on committees of agents in this process (docs/conformance.md has all rows).

A group there is a component here; who executes is a client of it, on one of its members or not.
"""
import os
import tempfile
import threading
import time
import unittest

from committee import PATIENCE, Committee, Thread, free_ports, surface, until
import mosaik
from mosaik import codec, when


class Members:
    """n agents in threads; each runs members of the components that name it. groups: {name: places}.
    What the agents say of themselves is kept fresh, since each belongs to its thread."""

    def __init__(self, folder, n, groups, acl=None, tickets=None):
        self.keys = [mosaik.new_key() for _ in range(n)]
        self.peers = [mosaik.peer_of(k) for k in self.keys]
        self.addresses = [f'{p}@127.0.0.1:{port}' for p, port in zip(self.peers, free_ports(n))]
        self.groups, self.acl, self.status = groups, acl, [{} for _ in range(n)]
        self.tickets, self.shown = tickets or (lambda i: []), [None] * n
        self.threads = [Live(self, i, os.path.join(folder, str(i))) for i in range(n)]
        for t in self.threads:
            t.wait()

    def ids(self, name):
        return {'stable_id': mosaik.id_of(name), 'deployment': mosaik.id_of(name + ' 1'),
                'content': mosaik.id_of(name + ' content'),
                'members': [self.addresses[i] for i in self.groups[name]]}

    def component(self, i, name):
        return next((c for c in self.status[i].get('components', []) if c['component'] == name), None)

    def linked(self, i, name):
        """The peers that the member at i is bonded with."""
        c = self.component(i, name)
        return {m['peer'] for m in c['members'] if m['linked']} - {self.peers[i]} if c else set()

    def leader(self, i, name):
        c = self.component(i, name)
        return c and c['leader']

    def bind(self, agent, name):
        return agent.bind(name, **self.ids(name)).wait(PATIENCE)

    def stop(self, which=None):
        for i in which if which is not None else range(len(self.threads)):
            self.threads[i].stop()
            self.status[i] = {}


class Live(Thread):
    def __init__(self, members, i, folder):
        self.members, self.i = members, i
        super().__init__({'key': members.keys[i], 'dir': folder, 'components': True,
                          'listen': members.addresses[i].split('@')[1],
                          'hints': [a for a in members.addresses if a != members.addresses[i]]},
                         self.join_all)

    def join_all(self, agent):
        m = self.members
        if m.tickets(self.i):
            agent.renew(m.tickets(self.i))
        for name, places in m.groups.items():
            if self.i in places:
                agent.add_component(name, surfaces=[surface('words')], acl=m.acl, **m.ids(name))

    def run(self):
        try:
            with mosaik.Agent(**self.options) as agent:
                self.make(agent)
                self.ready.set()
                while not self.over.is_set():
                    agent.run(0.02)
                    self.members.status[self.i] = agent.status()
                    renewal = self.members.shown[self.i]
                    if renewal is not None:
                        self.members.shown[self.i] = None
                        agent.renew(renewal)
        except Exception as e:  # shown by whoever waits
            self.error = e
            self.ready.set()


class Tests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.issuer = mosaik.new_key()

    def members(self, n, groups, **options):
        m = Members(self.folder.name, n, groups, **options)
        self.addCleanup(lambda: [t.stop() for t in m.threads if t.is_alive()])
        return m

    def acl(self, *names):
        acl = mosaik.Acl()
        for name in names or ['issuer']:
            acl = acl.jwt(name, 'EdDSA', bytes.fromhex(mosaik.peer_of(self.issuer)))
        return acl

    def ticket(self, peer, aud, seconds=3600, issuer='issuer'):
        with mosaik.Agent() as maker:
            return mosaik.jwt_ticket(maker, mosaik.issue_jwt(maker, self.issuer, {
                'iss': issuer, 'aud': mosaik.id_of(aud), 'sub': peer,
                'exp': int(time.time()) + seconds}))


class TestGroups(Tests):
    def test_members_can_see_each_other(self):
        """Four agents, three components that overlap: each sees exactly its own."""
        groups = {'a': [0, 1], 'b': [1, 2, 3], 'c': [2, 3]}
        m = self.members(4, groups)

        def wanted(i, name):
            return {m.peers[k] for k in groups[name] if k != i}

        until(lambda: all(m.linked(i, name) == wanted(i, name)
                          for name in groups for i in groups[name]), 'all bonds')
        for i in range(4):
            self.assertEqual({c['component'] for c in m.status[i]['components']},
                             {name for name in groups if i in groups[name]})

    def test_is_elected(self):
        """One leader, known to all; killed, the survivors agree on another; back, it follows."""
        m = self.members(3, {'g': [0, 1, 2]})

        def agreed(who):
            leaders = {m.leader(i, 'g') for i in who}
            return leaders.pop() if len(leaders) == 1 and None not in leaders else None

        first = until(lambda: agreed(range(3)), 'a leader')
        dead = m.peers.index(first)
        m.stop([dead])
        rest = [i for i in range(3) if i != dead]
        until(lambda: agreed(rest) not in (None, first), 'another leader')
        until(lambda: [m.peers[i] for i in rest if m.component(i, 'g')['state'] == 'leading'] ==
              [agreed(rest)], 'it to lead')
        m.threads[dead] = Live(m, dead, os.path.join(self.folder.name, str(dead))).wait()
        until(lambda: agreed(range(3)), 'all to agree again')
        until(lambda: m.component(dead, 'g')['state'] in ('following', 'leading') and sorted(
            m.component(i, 'g')['state'] for i in range(3)) == ['following', 'following', 'leading'],
              'it to follow')

    def test_no_catchup_weak_query(self):
        """Writes through a client and through members' own agents; a leader is killed in between;
        both end at the same version, and every reader at the same content."""
        m = self.members(3, {'g': [0, 1, 2]})
        with mosaik.Agent() as agent:
            words = mosaik.Map(m.bind(agent, 'g'), surface('words'))
            versions = [words.insert('a', '1').version, words.insert('b', '2').version]
            self.assertEqual(versions, [versions[0], versions[0] + 1])
            m.stop([m.peers.index(until(lambda: m.leader(0, 'g'), 'a leader'))])
            last = words.extend({'c': '3', 'd': '4'}).version
            self.assertEqual(last, versions[1] + 1)
            words.wait(last, PATIENCE)
            self.assertEqual(dict(words.items()), {'a': '1', 'b': '2', 'c': '3', 'd': '4'})
            alive = [i for i, t in enumerate(m.threads) if t.is_alive()]
            until(lambda: len({m.component(i, 'g')['applied'] for i in alive}) == 1,
                  'the survivors to agree')

    def concurrent(self, m, n, each):
        """each(map, i) in n agents at once; the first error is raised."""
        errors = []

        def one(i):
            try:
                with mosaik.Agent() as agent:
                    each(mosaik.Map(m.bind(agent, 'g'), surface('words')), i)
            except Exception as e:  # raised below
                errors.append(e)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(2 * PATIENCE)
        if errors:
            raise errors[0]

    def test_execute_is_send_sync_via_joinset(self):
        """Ten at once: all commit, none twice."""
        m, versions = self.members(3, {'g': [0, 1, 2]}), []
        self.concurrent(m, 10, lambda w, i: versions.append(w.insert(str(i), 'x').version))
        self.assertEqual(sorted(versions), list(range(min(versions), min(versions) + 10)))

    def test_execute_many_is_send_sync_via_joinset(self):
        """Four batches at once: each is whole."""
        m, versions = self.members(3, {'g': [0, 1, 2]}), []
        self.concurrent(m, 4, lambda w, i: versions.append(
            w.extend({f'{i}.{k}': 'x' for k in range(3)}).version))
        with mosaik.Agent() as agent:
            words = mosaik.Map(m.bind(agent, 'g'), surface('words'))
            words.wait(max(versions), PATIENCE)
            self.assertEqual(len(words), 12)

    def test_query_is_send_sync_via_joinset(self):
        """Twelve reads at once, proven and by copies: all the same."""
        m, seen = self.members(3, {'g': [0, 1, 2]}), []

        def read(w, i):
            if i % 2:
                seen.append(mosaik.lookup(w.bond, w.surface, 'k', timeout=PATIENCE))
            else:
                w.wait(0, PATIENCE)
                seen.append(w['k'])

        with mosaik.Agent() as agent:
            written = mosaik.Map(m.bind(agent, 'g'), surface('words')).insert('k', 'thirty')
        # else a member that is behind may serve the state before, certified too
        until(lambda: all((s['certified_index'] or 0) >= written.version for i in range(3)
                          for s in m.component(i, 'g')['surfaces'] if s['name'] == 'words'),
              'all members to have it')
        self.concurrent(m, 12, read)
        self.assertEqual(seen, ['thirty'] * 12)

    def test_jwt_authorized_peers_can_bond(self):
        """Valid and valid bond; expired and absent are refused by the clause, by name."""
        groups = {'g': [0, 1, 2, 3]}
        tickets = {}
        m = self.members(4, groups, acl=self.acl(), tickets=lambda i: tickets.get(i, []))
        tickets.update({0: 3600, 1: 3600, 2: -10})
        for i, seconds in tickets.items():
            m.shown[i] = [self.ticket(m.peers[i], 'g', seconds)]
        until(lambda: m.linked(0, 'g') == {m.peers[1]} and m.linked(1, 'g') == {m.peers[0]},
              'the two to bond')
        until(lambda: any('expired' in r['reason'] for r in self.refusals(m, 0)), 'the clause')
        # who is refused may not have been told yet, each time it tries
        until(lambda: m.linked(2, 'g') == m.linked(3, 'g') == set(), 'the others to bond with nobody')
        self.assertEqual({r['clause'] for r in self.refusals(m, 0)}, {0})

    @staticmethod
    def refusals(m, i, name='g'):
        c = m.component(i, name)
        return c['bonds']['refused'] if c else []

    def test_bond_terminated_on_jwt_ticket_revocation(self):
        """A member that shows no ticket any more is let go at once; shown again, it is back."""
        m = self.members(3, {'g': [0, 1, 2]}, acl=self.acl())
        good = [[self.ticket(p, 'g')] for p in m.peers]
        for i in range(3):
            m.shown[i] = good[i]
        until(lambda: all(len(m.linked(i, 'g')) == 2 for i in range(3)), 'all bonds')
        m.shown[2] = []
        until(lambda: m.linked(0, 'g') == {m.peers[1]} and m.linked(1, 'g') == {m.peers[0]},
              'it to be let go')  # the ticket lasts an hour
        m.shown[2] = good[2]
        until(lambda: all(len(m.linked(i, 'g')) == 2 for i in range(3)), 'it to be back')

    def test_multiple_ticket_validators(self):
        """Two clauses: only who has both tickets bonds."""
        m = self.members(3, {'g': [0, 1, 2]}, acl=self.acl('one', 'two'))
        for i, issuers in enumerate((('one', 'two'), ('one', 'two'), ('one',))):
            m.shown[i] = [self.ticket(m.peers[i], 'g', issuer=name) for name in issuers]
        until(lambda: m.linked(0, 'g') == {m.peers[1]} and
              any('clause 1' in r['reason'] for r in self.refusals(m, 0)), 'the two to bond')
        until(lambda: m.linked(2, 'g') == set(), 'the third to bond with nobody')

    def test_catchup(self):
        """A member that was away reads all that was written, and what is written then."""
        m = self.members(3, {'g': [0, 1, 2]})
        with mosaik.Agent() as agent:
            words = mosaik.Map(m.bind(agent, 'g'), surface('words'))
            words.insert('first', 'x')
            leader = until(lambda: m.leader(0, 'g'), 'a leader')
            away = next(i for i in range(3) if m.peers[i] != leader)
            m.stop([away])
            for i in range(200):
                words.insert(str(i), 'x')
            m.threads[away] = Live(m, away, os.path.join(self.folder.name, str(away))).wait()
            words.insert('last', 'x')
            until(lambda: len({m.component(i, 'g')['applied'] for i in range(3)
                               if m.component(i, 'g')}) == 1 and m.component(away, 'g'),
                  'it to have caught up')
            until(lambda: [m.component(i, 'g')['surfaces'][0]['index'] for i in range(3)] ==
                  [202] * 3, 'all to have all of it')


class TestTickets(Tests):
    """Streams between peers; the clause is of JWTs."""

    def stream(self, tickets, acl=None, seconds=None):
        """A thread that produces one item a moment, and shows these tickets."""
        key, address = mosaik.new_key(), f'127.0.0.1:{free_ports(1)[0]}'
        shown = tickets(mosaik.peer_of(key))
        told = {}

        def produce(agent):
            producer = mosaik.Producer(agent, 'prices', codec.U64, acl=acl)
            for i in range(3):
                producer.send(i)

        class Told(Thread):
            def run(self):
                with mosaik.Agent(**self.options) as agent:
                    self.make(agent)
                    self.ready.set()
                    while not self.over.is_set():
                        agent.run(0.05)
                        told.update(agent.status()['producers'][0])

        del seconds
        thread = Told({'key': key, 'listen': address, 'tickets': shown}, produce).wait()
        self.addCleanup(thread.stop)
        return mosaik.peer_of(key), address, told

    def consumer(self, of, tickets=lambda peer: [], acl=None):
        key = mosaik.new_key()
        agent = mosaik.Agent(key=key, tickets=tickets(mosaik.peer_of(key)))
        self.addCleanup(agent.close)
        return mosaik.Consumer(agent, 'prices', of[0], codec.U64, address=of[1], acl=acl)

    def valid(self, peer):
        return [self.ticket(peer, 'prices')]

    def expired(self, peer):
        return [self.ticket(peer, 'prices', -10)]

    @staticmethod
    def none(peer):
        del peer
        return []

    def test_stream_consumer(self):
        """A consumer's validator: the valid producer alone is subscribed to, and data flows."""
        good = self.consumer(self.stream(self.valid), acl=self.acl())
        self.assertEqual([good.next(PATIENCE).value for _ in range(3)], [0, 1, 2])
        for tickets, said in ((self.expired, 'expired'), (self.none, 'shows no')):
            with self.assertRaisesRegex(mosaik.Refused, 'RequireJwt.*' + said):
                self.consumer(self.stream(tickets), acl=self.acl()).next(PATIENCE)

    def test_stream_producer(self):
        """And a producer's: who is refused is told the clause."""
        of = self.stream(self.none, acl=self.acl().readers())
        good = self.consumer(of, self.valid)
        self.assertEqual([good.next(PATIENCE).value for _ in range(3)], [0, 1, 2])
        for tickets, said in ((self.expired, 'expired'), (self.none, 'shows no')):
            with self.assertRaisesRegex(mosaik.Refused, 'RequireJwt.*' + said):
                self.consumer(of, tickets).next(PATIENCE)
        until(lambda: of[2]['refused'] and of[2]['subscribed'] == 1, 'the refusals to be counted',
              lambda: good.agent.run(0.02))

    def ends(self, make):
        """make(tickets) gives a consumer: it reads, and is let go when the ticket falls due."""
        for seconds in (3, 9, 27):  # a busy machine may not come to read before
            consumer = make(lambda peer, n=seconds: [self.ticket(peer, 'prices', n)])
            try:
                self.assertEqual(consumer.next(PATIENCE).value, 0)
                break
            except mosaik.Refused:
                self.assertLess(seconds, 27)
        with self.assertRaisesRegex(mosaik.Refused, 'RequireJwt.*expired'):
            while True:
                consumer.next(PATIENCE)

    def test_stream_consumer_ticket_expiry(self):
        """Three seconds: the consumer lets go of the producer by itself, when it falls due."""
        self.ends(lambda tickets: self.consumer(self.stream(tickets), acl=self.acl()))

    def test_stream_producer_ticket_expiry(self):
        of = self.stream(self.none, acl=self.acl().readers())
        self.ends(lambda tickets: self.consumer(of, tickets))
        until(lambda: of[2]['subscribed'] == 0 and of[2]['expired'] >= 1, 'it to be dropped')

    def both(self, peer):
        return [self.ticket(peer, 'prices', issuer=name) for name in ('one', 'two')]

    def test_stream_consumer_multiple_validators(self):
        acl = self.acl('one', 'two')
        self.assertEqual(self.consumer(self.stream(self.both), acl=acl).next(PATIENCE).value, 0)
        with self.assertRaisesRegex(mosaik.Refused, 'clause 1 RequireJwt'):
            self.consumer(self.stream(lambda p: self.both(p)[:1]), acl=acl).next(PATIENCE)

    def test_stream_producer_multiple_validators(self):
        of = self.stream(self.none, acl=self.acl('one', 'two').readers())
        self.assertEqual(self.consumer(of, self.both).next(PATIENCE).value, 0)
        with self.assertRaisesRegex(mosaik.Refused, 'clause 0 RequireJwt'):
            self.consumer(of, lambda p: self.both(p)[1:]).next(PATIENCE)

    def test_hs256(self):
        """A shared secret is for a validator of one's own, never for an ACL, which is public."""
        with mosaik.Agent() as agent:
            secret = b'mosaik.test.jwt.secret of 32 bytes at least'
            token = mosaik.issue_jwt_secret(agent, 'HS256', secret, {
                'iss': 'mosaik.test.jwt.issuer', 'sub': agent.peer, 'exp': int(time.time()) + 3600})
            keys = mosaik.JwtKeys(agent).add('HS256', secret)
            self.assertEqual(keys.judge(token, issuer='mosaik.test.jwt.issuer',
                                        peer=agent.peer)['sub'], agent.peer)
            with self.assertRaises(mosaik.BadSignature):
                mosaik.JwtKeys(agent).add('HS256', secret[::-1]).judge(token)
            with self.assertRaises(mosaik.MosaikError):
                mosaik.Acl().jwt('i', 'HS256', secret).check(agent)


del Tests

if __name__ == '__main__':
    unittest.main(verbosity=2)
