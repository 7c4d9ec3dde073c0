"""What is said to who gives a wrong type: the argument, what was expected, what came; for every
public function, by reflection. Needs no network."""
import functools
import inspect
import typing
import unittest

import mosaik
from mosaik import codec, when

PEER = 'ab' * 32


class Wrong:
    """No argument of any function."""


def public():
    """(name, function) of all that the package shows, methods too."""
    modules = [mosaik, mosaik.when, mosaik.admission]
    for name, thing in sorted({n: getattr(m, n) for m in modules for n in m.__all__}.items()):
        if inspect.isclass(thing):
            own = [c for c in thing.__mro__ if c.__module__.startswith('mosaik')]
            for method in sorted({n for c in own for n, f in vars(c).items()
                                  if inspect.isfunction(f)}):
                if not method.startswith('_') or method in ('__init__', '__getitem__', '__and__',
                                                            '__or__'):
                    yield f'{name}.{method}', getattr(thing, method)
        elif inspect.isfunction(thing):
            yield name, thing


def judged(function):
    """Its arguments that have a type."""
    names = {**vars(mosaik), **inspect.unwrap(function).__globals__}
    hints = typing.get_type_hints(inspect.unwrap(function), names)
    return [p for p in inspect.signature(function).parameters.values()
            if hints.get(p.name, typing.Any) is not typing.Any]


# Made by the package, never by its users.
INTERNAL = {'Part.__init__', 'Bond.__init__', 'Condition.__init__', 'BadSignature.__init__',
            'Closed.__init__', 'Malformed.__init__', 'MosaikError.__init__', 'NotFound.__init__',
            'Refused.__init__', 'Stale.__init__', 'TimedOut.__init__', 'Unreachable.__init__',
            'Item.__init__', 'Written.__init__'}


class Types(unittest.TestCase):
    def raises(self, text, function, *args, kind=TypeError, **named):
        with self.assertRaises(kind) as caught:
            function(*args, **named)
        self.assertEqual(str(caught.exception), text)

    def test_every_argument(self):
        seen = 0
        for name, function in public():
            if name in INTERNAL:
                continue
            method = 'self' in inspect.signature(function).parameters
            for p in judged(function):
                with self.subTest(f'{name}: {p.name}'):
                    seen += 1
                    given = (functools.partial(function, None) if method else function)
                    pattern = rf'^[\w.]+\(\): {p.name}(\[0\])?: expected .+, got Wrong$'
                    with self.assertRaisesRegex(TypeError, pattern):
                        if p.kind is p.VAR_POSITIONAL:
                            given(Wrong())
                        else:
                            given(**{p.name: Wrong()})
        self.assertGreater(seen, 80)

    def test_what_is_said(self):
        with mosaik.Agent() as agent:
            self.raises('run(): seconds: expected float, got str', agent.run, '1')
            self.raises('run(): seconds: expected float, got bool', agent.run, True)
            self.raises('tag(): tags[1]: expected str, got int', agent.tag, 'a', 2)
            self.raises('Surface(): value: expected Type, got str', mosaik.Surface, 'map', 'x', 'str')
            self.raises('Surface(): key: expected Type or None, got str', mosaik.Surface, 'map', 'x',
                        codec.STR, 'str')
            self.raises('bind_file(): path: expected str or PathLike, got None',
                        agent.bind_file, None, 'atlas')
            self.raises('add_component(): surfaces[0]: expected Surface, got str',
                        agent.add_component, 'x', stable_id=PEER, deployment=PEER, content=PEER,
                        members=[], surfaces=(s for s in ['x']))
        self.raises('Agent(): key: expected bytes or None, got str', mosaik.Agent, key='ab' * 32)
        self.raises('Agent(): hints: expected a sequence of str, got str', mosaik.Agent,
                    hints=f'{PEER}@127.0.0.1:1')
        self.raises('Agent(): hints[0]: expected str, got bytes', mosaik.Agent, hints=[b'x'])
        self.raises('Agent(): tickets: expected a sequence of bytes, got bytes', mosaik.Agent,
                    tickets=b'ticket')
        self.raises('peers(): peers[0]: expected str, got int', mosaik.Acl().peers, [1])
        self.raises('id_of(): name: expected str, got int', mosaik.id_of, 7)

    def test_values(self):
        """Of a key and a value the surface is named, whatever the call; nothing was sent."""
        with mosaik.Agent() as agent:
            bond = agent.bind('x', stable_id=PEER, deployment=PEER, content=PEER,
                              members=[f'{PEER}@127.0.0.1:9'])
            words = mosaik.Map(bond, mosaik.Surface('map', 'words', codec.STR, codec.U64))
            jobs = mosaik.Vec(bond, mosaik.Surface('vec', 'jobs', codec.BYTES))
            queue = mosaik.PriorityQueue(bond, mosaik.Surface('queue', 'q', codec.F64, codec.STR))
            self.raises('map "words": value: expected str, got int', words.insert, 1, 2)
            self.raises('map "words": key: expected int, got str', words.get, '1')
            self.raises('map "words": key: expected int, got str', mosaik.lookup, bond,
                        words.surface, '1')
            self.raises('map "words": key: -1 is no u64', words.get, -1, kind=ValueError)
            self.raises('extend(): entries: expected a dict, got list', words.extend, [(1, 'a')])
            self.raises('vec "jobs": value: expected bytes, got int', jobs.push_back, 5)
            self.raises('Vec.__getitem__(): index: expected int, got slice',
                        lambda: jobs[0:1])
            self.raises('insert(): priority: expected int, got str', queue.insert, '1', 'k', 1.0)
            self.raises('extend(): entries[0][0]: expected int, got str', queue.extend,
                        [('1', 'k', 1.0)])
            self.raises('queue "q": value: expected float, got bool', queue.insert, 1, 'k', True)
            self.raises('window(): source: expected Feed or Consumer, got Map', when.window, words, 1,
                        1)
            self.raises('online(): c: expected Collection, got Bond', when.online, bond)
            self.raises('all(): parts[1]: expected Condition, got bool', when.all,
                        when.online(words), True)
            self.raises('Map(): bond: expected Bond, got Agent', mosaik.Map, agent,
                        words.surface)
            self.raises('reaches(): version: -1 is not from 0 to 2**64 - 1', when.reaches, words, -1,
                        kind=ValueError)
        for kind, value in ((codec.BOOL, 'false'), (codec.BOOL, 1), (codec.BYTES, 5),
                            (codec.BYTES, 'a'), (codec.STR, b'a'), (codec.U64, 1.0),
                            (codec.U64, True), (codec.I64, '1'), (codec.F64, '1'), (codec.ID, 32),
                            (codec.SCORE, 5)):
            with self.subTest(f'{kind.name} {value!r}'), self.assertRaises(TypeError):
                kind.encode(value)
        for kind, value in ((codec.ID, 'zz'), (codec.ID, 'ab'), (codec.I64, 2**63), (codec.STR, '\ud800'),
                            (codec.F64, 10**400), (codec.SCORE, {})):
            with self.subTest(f'{kind.name} {value!r}'), self.assertRaises(ValueError):
                kind.encode(value)

    def test_texts(self):
        with mosaik.Agent() as agent:
            for call in (lambda: agent.bind_file('a\0b', 'atlas'), lambda: agent.tag('a\0'),
                         lambda: mosaik.id_of('\0')):
                self.raises('a text without NUL is wanted', call, kind=ValueError)
            self.raises('a time in seconds is wanted, not NaN', agent.run, float('nan'),
                        kind=ValueError)

    def test_a_member_needs(self):
        for given, name in (({}, 'key'), ({'key': mosaik.new_key()}, 'listen'),
                            ({'key': mosaik.new_key(), 'listen': '127.0.0.1:0'}, 'dir')):
            with self.assertRaisesRegex(ValueError, rf'^Agent\(\): {name}: components=True needs it'):
                mosaik.Agent(components=True, **given)

    def test_closed(self):
        """Nothing reaches the library with what was closed."""
        agent = mosaik.Agent()
        agent.close()
        agent.close()
        for call in (lambda: agent.peer, lambda: agent.port, lambda: agent.run(0), agent.status,
                     lambda: agent.tag('x'), lambda: agent.bind_file('x', 'atlas'),
                     lambda: when.tagged(agent, 'x'), lambda: mosaik.Acl().check(agent),
                     lambda: mosaik.Producer(agent, 'x')):
            self.raises('the agent was closed', call, kind=ValueError)


if __name__ == '__main__':
    unittest.main(verbosity=2)
