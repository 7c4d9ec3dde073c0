"""mosaik's own tests of collections (its release 0.3.18), row by row and under their names, on a
committee of three and readers and writers outside of it (docs/conformance.md). Here a writer is no
replica: what it writes it reads when its copy has reached the version that the write gave.

"online" is `wait()`: the copy is here and verified.
"""
import tempfile
import threading
import time
import unittest

from committee import PATIENCE, Committee
import mosaik
from mosaik import codec

AGENTS = 5


class Rows(unittest.TestCase):
    """One committee a class; a surface for each of the named types, cleared before each test."""

    shape = None
    types = {'n': (codec.U64, codec.U64)}  # name: (value, key)
    capacities = {}

    @classmethod
    def surface(cls, name):
        value, key = cls.types[name]
        keyed = cls.shape.kind in ('map', 'queue')
        return mosaik.Surface(cls.shape.kind, name, value, key if keyed else None,
                              capacity=cls.capacities.get(name, 0))

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.committee = Committee(cls.folder.name, cls.__name__,
                                  surfaces=[cls.surface(name) for name in cls.types])
        cls.agents = [mosaik.Agent() for _ in range(AGENTS)]
        cls.bonds = [cls.committee.bind(agent) for agent in cls.agents]

    @classmethod
    def tearDownClass(cls):
        for agent in cls.agents:
            agent.close()
        cls.committee.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.cleared = {}
        for name in self.types:
            if self.shape is not mosaik.Once:
                with self.shape(self.bonds[0], self.surface(name)) as collection:
                    self.cleared[name] = collection.clear().version

    def open(self, i, name='n'):
        """The collection at agent i, online, with nothing of an earlier test in it."""
        collection = self.shape(self.bonds[i], self.surface(name))
        self.addCleanup(collection.close)
        collection.wait(self.cleared.get(name, 0), PATIENCE)
        return collection

    def opened(self, n, name='n'):
        return [self.open(i, name) for i in range(n)]

    def content(self, collection):
        raise NotImplementedError

    def sees(self, written, want, *collections):
        """Each of them, at the version of that write, holds what is wanted."""
        for c in collections:
            c.wait(written.version, PATIENCE)
            self.assertEqual(self.content(c), want)

    def refused(self, text, call, *arguments):
        with self.assertRaisesRegex(mosaik.Refused, text):
            call(*arguments)


class TestCell(Rows):
    shape = mosaik.Cell
    types = {'n': (codec.U64, None), 's': (codec.STR, None)}

    def content(self, collection):
        return collection.get()

    def test_smoke_no_catchup(self):
        w, r = self.opened(2)
        self.assertEqual((w.get(), len(w)), (None, 0))
        for value in (42, 99, 123):
            self.sees(w.write(value), value, r)
        self.sees(w.clear(), None, r, w)

    def test_catchup_single_reader(self):
        w = self.open(0)
        for i in range(100):
            w.write(i)
        last = w.write(999)
        r = self.open(1)
        self.sees(last, 999, r)
        self.sees(w.write(1000), 1000, r)

    def test_multiple_readers(self):
        w, *readers = self.opened(4)
        self.sees(w.write(42), 42, *readers)
        self.sees(w.write(100), 100, *readers)
        self.sees(w.clear(), None, *readers)

    def test_multiple_writers(self):
        w0, w1, r = self.opened(3)
        w0.write(10)
        w1.write(20)
        self.sees(w0.write(30), 30, w0, w1, r)

    def test_catchup_multiple_readers(self):
        w = self.open(0)
        for i in range(50):
            w.write(i)
        r1 = self.open(1)
        for i in range(50):
            w.write(i)
        last = w.write(1000)
        self.sees(last, 1000, r1, self.open(2))

    def test_overwrite_keeps_latest(self):
        w, r = self.opened(2)
        for value in (1, 2, 3):
            self.sees(w.write(value), value, r)
            self.assertEqual(len(r), 1)

    def test_clear_then_write(self):
        w, r = self.opened(2)
        self.sees(w.write(42), 42, r)
        self.sees(w.clear(), None, r)
        self.sees(w.write(100), 100, r)

    def test_clear_empty(self):
        w, r = self.opened(2)
        self.assertFalse(w.clear().changed)
        self.sees(w.write(1), 1, r)

    def test_many_writers_many_readers(self):
        w0, w1, *readers = self.opened(4)
        self.sees(w0.write(10), 10, w1, *readers)
        self.sees(w1.write(20), 20, w0, *readers)
        self.sees(w0.clear(), None, w1, *readers)
        self.sees(w1.write(30), 30, w0, w1, *readers)

    def test_late_writer_catchup(self):
        w0 = self.open(0)
        first = w0.write(42)
        w1 = self.open(1)
        self.sees(first, 42, w1)
        self.sees(w1.write(99), 99, w0)

    def test_writer_reads_own_writes(self):
        w = self.open(0, 's')
        for value in ('hello', 'world'):
            self.sees(w.write(value), value, w)

    def test_compare_exchange_success(self):
        w = self.open(0)
        w.write(42)
        self.sees(w.compare_exchange(42, 99), 99, w)

    def test_compare_exchange_from_none(self):
        w = self.open(0)
        self.sees(w.compare_exchange(None, 10), 10, w)

    def test_compare_exchange_to_none(self):
        w = self.open(0)
        w.write(42)
        self.sees(w.compare_exchange(42, None), None, w)

    def test_compare_exchange_mismatch_no_change(self):
        w = self.open(0)
        last = w.write(42)
        self.refused('another value', w.compare_exchange, 100, 1)
        self.refused('another value|is there', w.compare_exchange, None, 1)
        self.sees(last, 42, w)

    def test_compare_exchange_mismatch_on_empty(self):
        w = self.open(0)
        self.refused('', w.compare_exchange, 42, 1)
        self.assertIsNone(w.get())

    def test_compare_exchange_replicates_to_readers(self):
        w, *readers = self.opened(3)
        w.write(1)
        self.sees(w.compare_exchange(1, 2), 2, *readers)

    def test_compare_exchange_chained(self):
        w = self.open(0)
        for old, new in ((None, 1), (1, 2), (2, 3), (3, None)):
            self.sees(w.compare_exchange(old, new), new, w)

    def test_compare_exchange_mixed_with_write_clear(self):
        w, r = self.opened(2)
        w.write(1)
        self.sees(w.compare_exchange(1, 2), 2, r)
        self.sees(w.clear(), None, r)
        self.sees(w.compare_exchange(None, 3), 3, r)
        self.sees(w.write(4), 4, r)

    def test_compare_exchange_none_to_none(self):
        w = self.open(0)
        self.assertFalse(w.compare_exchange(None, None).changed)

    def test_compare_exchange_catchup(self):
        w = self.open(0)
        w.write(1)
        w.compare_exchange(1, 2)
        self.sees(w.compare_exchange(2, 3), 3, self.open(1))

    def test_write_clear_cycle(self):
        w, r = self.opened(2)
        for i in range(10):
            w.write(i)
            w.clear()
        self.sees(w.write(999), 999, r)


class TestOnce(Rows):
    shape = mosaik.Once
    types = {name: (codec.STR if name == 'own' else codec.U64, None)
             for name in ('smoke', 'late', 'readers', 'writers', 'own', 'awaited', 'latewriter')}

    def content(self, collection):
        return collection.get()

    def test_smoke(self):
        w, r = self.opened(2, 'smoke')
        self.assertIsNone(w.get())
        self.sees(w.write(42), 42, r)
        for value in (99, 123):
            written = w.write(value)
            self.assertFalse(written.changed)
            self.sees(written, 42, w, r)

    def test_catchup_single_reader(self):
        w = self.open(0, 'late')
        for i in range(52):
            written = w.write(999 + i)
        self.sees(written, 999, self.open(1, 'late'))

    def test_multiple_readers(self):
        w, *readers = self.opened(4, 'readers')
        self.sees(w.write(42), 42, *readers)
        self.sees(w.write(43), 42, *readers)

    def test_multiple_writers(self):
        w0, w1 = self.opened(2, 'writers')
        w0.write(10)
        w1.write(20)
        self.sees(w0.write(30), 10, w0, w1)

    def test_writer_reads_own_write(self):
        w = self.open(0, 'own')
        self.sees(w.write('hello'), 'hello', w)
        self.sees(w.write('world'), 'hello', w)

    def test_await_value(self):
        w = self.open(0, 'awaited')
        got, began = [], threading.Event()

        def blocked():
            with mosaik.Agent() as agent:
                reader = mosaik.Once(self.committee.bind(agent), self.surface('awaited'))
                reader.wait(0, PATIENCE)
                began.set()
                got.append(reader.await_value(PATIENCE))
                at = time.monotonic()
                got.append(reader.await_value(PATIENCE))
                got.append(time.monotonic() - at)

        thread = threading.Thread(target=blocked)
        thread.start()
        self.assertTrue(began.wait(PATIENCE))
        self.assertEqual(got, [])
        w.write(42)
        thread.join(PATIENCE)
        self.assertEqual(got[:2], [42, 42])
        self.assertLess(got[2], PATIENCE / 2)  # at once: not waited out

    def test_late_writer_catchup(self):
        w0 = self.open(0, 'latewriter')
        first = w0.write(42)
        w1 = self.open(1, 'latewriter')
        self.sees(first, 42, w1)
        self.sees(w1.write(99), 42, w0, w1)


class TestMap(Rows):
    shape = mosaik.Map
    types = {'n': (codec.U64, codec.U64), 's': (codec.STR, codec.STR)}

    def content(self, collection):
        return dict(collection.items())

    def test_smoke_no_catchup(self):
        w, r = self.opened(2)
        self.assertEqual((len(w), w.get(1), 1 in w), (0, None, False))
        w.insert(1, 10)
        w.insert(2, 20)
        self.sees(w.insert(1, 100), {1: 100, 2: 20}, w, r)
        written = w.extend({3: 30, 4: 40, 5: 50})
        want = {1: 100, 2: 20, 3: 30, 4: 40, 5: 50}
        self.sees(written, want, w, r)
        self.assertEqual((sorted(r.keys()), sorted(r.values()), len(r)),
                         (sorted(want), sorted(want.values()), 5))
        del want[3]
        self.sees(w.remove(3), want, r)
        self.sees(w.clear(), {}, r)

    def test_catchup_single_reader(self):
        w = self.open(0)
        for i in range(100):
            w.insert(i, i)
        written = w.extend({100: 100, 101: 101, 102: 102})
        want = {i: i for i in range(103)}
        r = self.open(1)
        self.sees(written, want, r)
        del want[50]
        self.sees(w.remove(50), want, r)

    def test_multiple_readers(self):
        w, *readers = self.opened(4)
        self.sees(w.extend({i: i for i in range(5)}), {i: i for i in range(5)}, *readers)
        self.sees(w.insert(9, 9), {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 9: 9}, *readers)
        self.sees(w.remove(0), {1: 1, 2: 2, 3: 3, 4: 4, 9: 9}, *readers)

    def test_multiple_writers(self):
        w0, w1, r = self.opened(3)
        for i in range(4):
            (w0 if i % 2 else w1).insert(i, i)
        self.sees(w1.extend({8: 8, 9: 9}), {0: 0, 1: 1, 2: 2, 3: 3, 8: 8, 9: 9}, w0, w1, r)

    def test_catchup_multiple_readers(self):
        w = self.open(0)
        w.extend({i: i for i in range(51)})
        r1 = self.open(1)
        written = w.extend({i: i for i in range(51, 82)})
        self.sees(written, {i: i for i in range(82)}, r1, self.open(2))

    def test_insert_overwrite(self):
        w, r = self.opened(2)
        for value in (1, 2, 3):
            written = w.insert(7, value)
        self.sees(written, {7: 3}, r)

    def test_extend_overwrite(self):
        w, r = self.opened(2)
        w.extend({1: 1, 2: 2, 3: 3})
        self.sees(w.extend({2: 20, 3: 30, 4: 40}), {1: 1, 2: 20, 3: 30, 4: 40}, r)

    def test_remove_nonexistent(self):
        w, r = self.opened(2)
        w.insert(1, 1)
        written = w.remove(99)
        self.assertFalse(written.changed)
        self.sees(written, {1: 1}, r)

    def test_clear_then_rebuild(self):
        w, r = self.opened(2)
        w.extend({1: 1, 2: 2})
        w.clear()
        self.sees(w.insert(3, 3), {3: 3}, r)

    def test_extend_empty(self):
        w, r = self.opened(2)
        self.assertFalse(w.extend({}).changed)
        self.sees(w.insert(1, 1), {1: 1}, r)

    def test_many_writers_many_readers(self):
        w0, w1, *readers = self.opened(4)
        w0.extend({1: 1, 2: 2})
        w1.extend({3: 3, 4: 4})
        w0.insert(5, 5)
        w1.insert(6, 6)
        self.sees(w0.remove(1), {i: i for i in range(2, 7)}, w0, w1, *readers)

    def test_late_writer_catchup(self):
        w0 = self.open(0)
        first = w0.extend({i: i for i in range(5)})
        w1 = self.open(1)
        self.sees(first, {i: i for i in range(5)}, w1)
        w0.wait(w1.insert(99, 99).version, PATIENCE)
        self.assertEqual(len(w0), 6)

    def test_writer_reads_own_writes(self):
        w = self.open(0, 's')
        w.insert('a', 'x')
        self.sees(w.insert('b', 'y'), {'a': 'x', 'b': 'y'}, w)
        self.assertEqual((w['a'], w.get('c')), ('x', None))

    def test_remove_all_entries(self):
        w, r = self.opened(2)
        w.extend({1: 1, 2: 2})
        w.remove(1)
        self.sees(w.remove(2), {}, r)
        self.sees(w.insert(3, 3), {3: 3}, r)

    def test_remove_many(self):
        w, r = self.opened(2)
        w.extend({i: i for i in range(6)})
        self.sees(w.remove(0, 1, 99), {i: i for i in range(2, 6)}, r)
        self.assertFalse(w.remove().changed)
        self.sees(w.insert(0, 0), {i: i for i in (0, 2, 3, 4, 5)}, r)

    def test_compare_exchange_success(self):
        w = self.open(0)
        w.insert(1, 10)
        self.sees(w.compare_exchange(1, 10, 99), {1: 99}, w)

    def test_compare_exchange_insert_new_key(self):
        w = self.open(0)
        self.sees(w.compare_exchange(1, None, 10), {1: 10}, w)

    def test_compare_exchange_remove_key(self):
        w = self.open(0)
        w.extend({1: 10, 2: 20})
        self.sees(w.compare_exchange(1, 10, None), {2: 20}, w)

    def test_compare_exchange_mismatch_no_change(self):
        w = self.open(0)
        last = w.insert(1, 10)
        self.refused('', w.compare_exchange, 1, 11, 12)
        self.refused('', w.compare_exchange, 1, None, 12)
        self.sees(last, {1: 10}, w)

    def test_compare_exchange_mismatch_on_missing_key(self):
        w = self.open(0)
        self.refused('', w.compare_exchange, 1, 42, 43)
        self.assertNotIn(1, w)

    def test_compare_exchange_replicates_to_readers(self):
        w, *readers = self.opened(3)
        w.insert(1, 1)
        self.sees(w.compare_exchange(1, 1, 2), {1: 2}, *readers)

    def test_compare_exchange_chained(self):
        w = self.open(0)
        for old, new in ((None, 1), (1, 2), (2, 3), (3, None)):
            self.sees(w.compare_exchange(5, old, new), {} if new is None else {5: new}, w)

    def test_compare_exchange_mixed_with_insert_remove(self):
        w, r = self.opened(2)
        w.insert(1, 1)
        w.compare_exchange(1, 1, 2)
        w.remove(1)
        w.compare_exchange(1, None, 3)
        self.sees(w.insert(2, 2), {1: 3, 2: 2}, r)
        w.clear()
        self.sees(w.compare_exchange(1, None, 9), {1: 9}, r)

    def test_compare_exchange_multiple_keys(self):
        w = self.open(0)
        w.extend({1: 1, 2: 2, 4: 4})
        w.compare_exchange(1, 1, 10)
        w.compare_exchange(2, 2, None)
        self.sees(w.compare_exchange(3, None, 3), {1: 10, 3: 3, 4: 4}, w)

    def test_compare_exchange_none_to_none(self):
        w = self.open(0)
        self.assertFalse(w.compare_exchange(1, None, None).changed)

    def test_compare_exchange_catchup(self):
        w = self.open(0)
        w.insert(1, 1)
        w.compare_exchange(1, 1, 2)
        self.sees(w.compare_exchange(2, None, 5), {1: 2, 2: 5}, self.open(1))

    def test_compare_exchange_string_keys(self):
        w = self.open(0, 's')
        w.insert('k', 'old')
        self.sees(w.compare_exchange('k', 'old', 'new'), {'k': 'new'}, w)


class TestSet(Rows):
    shape = mosaik.Set
    types = {'n': (codec.U64, None), 's': (codec.STR, None)}

    def content(self, collection):
        return set(collection)

    def test_smoke_no_catchup(self):
        w, r = self.opened(2)
        self.assertEqual((len(w), 1 in w), (0, False))
        w.add(1)
        self.sees(w.add(1), {1}, w, r)
        self.sees(w.add(2, 3), {1, 2, 3}, w, r)
        self.assertTrue(2 in r and 9 not in r and len(r) == 3)
        self.sees(w.remove(2), {1, 3}, r)
        self.sees(w.clear(), set(), r)

    def test_catchup_single_reader(self):
        w = self.open(0)
        for i in range(100):
            w.add(i)
        written = w.add(100, 101, 102)
        r = self.open(1)
        self.sees(written, set(range(103)), r)
        self.sees(w.remove(50), set(range(103)) - {50}, r)

    def test_multiple_readers(self):
        w, *readers = self.opened(4)
        self.sees(w.add(1, 2, 3), {1, 2, 3}, *readers)
        self.sees(w.add(4), {1, 2, 3, 4}, *readers)
        self.sees(w.remove(1), {2, 3, 4}, *readers)

    def test_multiple_writers(self):
        w0, w1 = self.opened(2)
        w0.add(1)
        w1.add(2)
        self.sees(w0.add(3), {1, 2, 3}, w0, w1)

    def test_catchup_multiple_readers(self):
        w = self.open(0)
        w.add(*range(51))
        r1 = self.open(1)
        self.sees(w.add(*range(51, 82)), set(range(82)), r1, self.open(2))

    def test_insert_duplicate(self):
        w, r = self.opened(2)
        first = w.add(7)
        again = w.add(7)
        self.assertEqual((again.version, again.changed), (first.version, False))
        self.sees(again, {7}, r)

    def test_extend_with_duplicates(self):
        w, r = self.opened(2)
        w.add(1, 2, 3)
        self.sees(w.add(2, 3, 4, 5), {1, 2, 3, 4, 5}, r)

    def test_remove_nonexistent(self):
        w, r = self.opened(2)
        w.add(1)
        self.sees(w.remove(99), {1}, r)

    def test_clear_then_rebuild(self):
        w, r = self.opened(2)
        w.add(1, 2)
        w.clear()
        self.sees(w.add(3), {3}, r)

    def test_extend_empty(self):
        w = self.open(0)
        self.assertFalse(w.add().changed)

    def test_subset_check(self):
        w, a, b = self.opened(3)
        written = w.add(1, 2, 3)
        self.sees(written, {1, 2, 3}, a, b)
        self.assertTrue(a.issubset(b) and b.issubset(a))

    def test_many_writers_many_readers(self):
        w0, w1, *readers = self.opened(4)
        w0.add(1, 2, 3)
        w1.add(4, 5)
        w1.add(6)
        self.sees(w0.remove(1), {2, 3, 4, 5, 6}, w0, w1, *readers)

    def test_late_writer_catchup(self):
        w0 = self.open(0)
        first = w0.add(*range(5))
        w1 = self.open(1)
        self.sees(first, set(range(5)), w1)
        self.sees(w1.add(99), set(range(5)) | {99}, w0)

    def test_writer_reads_own_writes(self):
        w = self.open(0, 's')
        w.add('hello')
        self.sees(w.add('world'), {'hello', 'world'}, w)

    def test_remove_all_elements(self):
        w, r = self.opened(2)
        w.add(1, 2)
        self.sees(w.remove(1, 2), set(), r)
        self.sees(w.add(3), {3}, r)

    def test_remove_many(self):
        w, r = self.opened(2)
        w.add(*range(6))
        self.sees(w.remove(0, 1, 99), {2, 3, 4, 5}, r)
        self.assertFalse(w.remove().changed)


class TestVec(Rows):
    shape = mosaik.Vec
    types = {'n': (codec.U64, None), 's': (codec.STR, None)}

    def content(self, collection):
        return list(collection)

    def test_smoke_no_catchup(self):
        w, r = self.opened(2)
        w.push_back(10)
        w.push_front(5)
        w.push_back(20, 30, 40)
        self.sees(w.insert(2, 15), [5, 10, 15, 20, 30, 40], w, r)
        self.assertEqual((r[0], r[-1], 15 in list(r), list(r).index(20), len(r)),
                         (5, 40, True, 3, 6))
        self.sees(w.swap(0, 5), [40, 10, 15, 20, 30, 5], r)
        self.sees(w.pop_back(), [40, 10, 15, 20, 30], r)
        self.sees(w.pop_front(), [10, 15, 20, 30], r)
        self.sees(w.remove(1), [10, 20, 30], r)
        self.sees(w.truncate(2), [10, 20], r)
        self.sees(w.clear(), [], r)

    def test_catchup_single_reader(self):
        w = self.open(0)
        w.push_back(5)
        w.push_front(4, 3, 2, 1, 0)
        for i in range(6, 100):
            w.push_back(i)
        written = w.push_back(*range(100, 107))
        r = self.open(1)
        self.sees(written, list(range(107)), r)
        r.wait(w.remove(50).version, PATIENCE)
        self.assertEqual(r[50], 51)

    def test_multiple_readers(self):
        w, *readers = self.opened(4)
        self.sees(w.push_back(1, 2), [1, 2], *readers)
        self.sees(w.push_front(0), [0, 1, 2], *readers)
        self.sees(w.pop_back(), [0, 1], *readers)

    def test_multiple_writers(self):
        w0, w1, r = self.opened(3)
        for i in range(6):
            written = (w0 if i % 2 else w1).push_back(i)
        self.sees(written, [0, 1, 2, 3, 4, 5], w0, w1, r)

    def test_catchup_multiple_readers(self):
        w = self.open(0)
        w.push_back(*range(51))
        r1 = self.open(1)
        self.sees(w.push_back(*range(51, 82)), list(range(82)), r1, self.open(2))

    def test_push_front_back_ordering(self):
        w, r = self.opened(2)
        w.push_back(3)
        w.push_front(2)
        w.push_back(4)
        w.push_front(1)
        self.sees(w.push_back(5), [1, 2, 3, 4, 5], r)

    def test_pop_until_empty(self):
        w, r = self.opened(2)
        w.push_back(1, 2)
        w.pop_back()
        w.pop_front()
        for pop in (w.pop_back, w.pop_front):
            written = pop()
            self.assertFalse(written.changed)
        self.sees(written, [], r)

    def test_swap_variations(self):
        w, r = self.opened(2)
        w.push_back(1, 2, 3, 4)
        self.sees(w.swap(0, 3), [4, 2, 3, 1], r)
        self.sees(w.swap(1, 2), [4, 3, 2, 1], r)
        self.assertFalse(w.swap(2, 2).changed)
        self.assertFalse(w.swap(0, 9).changed)

    def test_insert_at_positions(self):
        w, r = self.opened(2)
        w.insert(0, 2)
        w.insert(0, 1)
        w.insert(2, 4)
        self.sees(w.insert(2, 3), [1, 2, 3, 4], r)
        self.refused('past the end|index', w.insert, 9, 9)
        self.assertEqual(list(r), [1, 2, 3, 4])

    def test_truncate_edge_cases(self):
        w, r = self.opened(2)
        w.push_back(1, 2, 3, 4, 5)
        self.assertFalse(w.truncate(100).changed)
        self.assertFalse(w.truncate(5).changed)
        self.sees(w.truncate(3), [1, 2, 3], r)
        self.sees(w.truncate(0), [], r)

    def test_clear_then_rebuild(self):
        w, r = self.opened(2)
        w.push_back(1, 2)
        w.clear()
        self.sees(w.push_back(3), [3], r)

    def test_extend_empty(self):
        self.assertFalse(self.open(0).push_back().changed)

    def test_remove_out_of_bounds(self):
        w, r = self.opened(2)
        w.push_back(1)
        self.sees(w.remove(5), [1], r)

    def test_many_writers_many_readers(self):
        w0, w1, *readers = self.opened(4)
        w0.push_back(10, 20)
        w1.push_back(30, 40)
        w0.push_back(50)
        w1.push_back(60)
        self.sees(w0.pop_front(), [20, 30, 40, 50, 60], w0, w1, *readers)

    def test_late_writer_catchup(self):
        w0 = self.open(0)
        first = w0.push_back(1, 2)
        w1 = self.open(1)
        self.sees(first, [1, 2], w1)
        self.sees(w1.push_back(3), [1, 2, 3], w0)

    def test_writer_reads_own_writes(self):
        w = self.open(0, 's')
        self.sees(w.push_back('a', 'b'), ['a', 'b'], w)


class TestQueue(Rows):
    shape = mosaik.PriorityQueue
    types = {'n': (codec.U64, codec.U64), 's': (codec.STR, codec.STR),
             'two': (codec.U64, codec.U64), 'three': (codec.U64, codec.U64),
             'five': (codec.U64, codec.STR)}
    capacities = {'two': 2, 'three': 3, 'five': 5}

    def content(self, collection):
        return list(collection)

    def extremes(self, q):
        return (q.min()[0], q.max()[0]) if len(q) else None

    def test_smoke_no_catchup(self):
        w, r = self.opened(2)
        self.assertEqual((len(w), w.min(), w.max(), w.get(1)), (0, None, None, None))
        w.insert(10, 1, 100)
        self.sees(w.insert(5, 2, 200), [(5, 2, 200), (10, 1, 100)], r)
        self.sees(w.insert(1, 1, 999), [(1, 1, 999), (5, 2, 200)], r)
        written = w.extend([(7, 3, 300), (3, 4, 400)])
        r.wait(written.version, PATIENCE)
        up = [p for p, _, _ in r]
        self.assertEqual((up, r.priority(3), len(r)), (sorted(up), 7, 4))
        self.assertEqual([p for p, _, _ in reversed(list(r))], sorted(up, reverse=True))
        r.wait(w.remove(3).version, PATIENCE)
        self.assertNotIn(3, r)
        self.sees(w.clear(), [], r)

    def test_catchup_single_reader(self):
        w = self.open(0)
        w.extend([(i * 10, i, i) for i in range(100)])
        written = w.extend([(i * 10, i, i) for i in range(100, 103)])
        r = self.open(1)
        r.wait(written.version, PATIENCE)
        self.assertEqual((len(r), self.extremes(r)), (103, (0, 1020)))
        r.wait(w.remove(50).version, PATIENCE)
        self.assertEqual((len(r), 50 in r), (102, False))

    def test_multiple_readers(self):
        w, *readers = self.opened(4)
        for written, want in ((w.extend([(5, 1, 1), (9, 2, 2)]), (5, 9)), (w.insert(1, 3, 3), (1, 9)),
                              (w.remove(2), (1, 5))):
            for r in readers:
                r.wait(written.version, PATIENCE)
        for r in readers:
            self.assertEqual(self.extremes(r), want)

    def test_multiple_writers(self):
        w0, w1 = self.opened(2)
        w0.insert(1, 1, 1)
        self.sees(w1.insert(2, 2, 2), [(1, 1, 1), (2, 2, 2)], w0, w1)

    def test_catchup_multiple_readers(self):
        w = self.open(0)
        w.extend([(i, i, i) for i in range(51)])
        r1 = self.open(1)
        self.sees(w.extend([(i, i, i) for i in range(51, 82)]), [(i, i, i) for i in range(82)], r1,
                  self.open(2))

    def test_insert_overwrite(self):
        w, r = self.opened(2)
        w.insert(10, 1, 100)
        self.sees(w.insert(99, 1, 999), [(99, 1, 999)], r)
        self.assertEqual(r.min(), r.max())

    def test_update_priority(self):
        w, r = self.opened(2)
        w.extend([(10, 1, 100), (20, 2, 200)])
        self.sees(w.update_priority(1, 30), [(20, 2, 200), (30, 1, 100)], r)
        self.assertFalse(w.update_priority(9, 1).changed)

    def test_update_value(self):
        w, r = self.opened(2)
        w.insert(10, 1, 100)
        self.sees(w.update_value(1, 101), [(10, 1, 101)], r)
        self.assertFalse(w.update_value(9, 1).changed)

    def test_remove_range(self):
        w, r = self.opened(2)
        w.extend([(i * 10, i, i) for i in range(7)])
        self.sees(w.remove_range(end=25), [(i * 10, i, i) for i in range(3, 7)], r)
        self.sees(w.remove_range(start=45), [(30, 3, 3), (40, 4, 4)], r)
        self.sees(w.remove_range(20, 41), [], r)
        w.extend([(1, 1, 1), (2, 2, 2)])
        self.sees(w.remove_range(), [], r)

    def test_remove_nonexistent(self):
        w, r = self.opened(2)
        w.insert(1, 1, 1)
        self.sees(w.remove(9), [(1, 1, 1)], r)

    def test_clear_then_rebuild(self):
        w, r = self.opened(2)
        w.insert(1, 1, 1)
        w.clear()
        self.sees(w.insert(2, 2, 2), [(2, 2, 2)], r)

    def test_extend_empty(self):
        w, r = self.opened(2)
        self.assertFalse(w.extend([]).changed)
        self.sees(w.insert(1, 1, 1), [(1, 1, 1)], r)

    def test_extend_overwrite(self):
        w, r = self.opened(2)
        w.extend([(1, 1, 1), (2, 2, 2)])
        self.sees(w.extend([(5, 1, 10), (3, 3, 3)]), [(2, 2, 2), (3, 3, 3), (5, 1, 10)], r)

    def test_same_priority_bucket(self):
        w, r = self.opened(2)
        written = w.extend([(10, 1, 1), (10, 2, 2), (10, 3, 3), (20, 4, 4)])
        r.wait(written.version, PATIENCE)
        self.assertEqual(r.min(), (10, 1, 1))  # of equal ones the lesser key
        self.sees(w.remove(1), [(10, 2, 2), (10, 3, 3), (20, 4, 4)], r)
        self.sees(w.remove(2, 3), [(20, 4, 4)], r)

    def test_many_writers_many_readers(self):
        w0, w1, *readers = self.opened(4)
        w0.extend([(1, 1, 1), (2, 2, 2), (3, 3, 3)])
        w1.extend([(4, 4, 4), (5, 5, 5), (6, 6, 6)])
        self.sees(w0.remove(1), [(i, i, i) for i in range(2, 7)], w0, w1, *readers)

    def test_late_writer_catchup(self):
        w0 = self.open(0)
        first = w0.insert(1, 1, 1)
        w1 = self.open(1)
        self.sees(first, [(1, 1, 1)], w1)
        self.sees(w1.insert(2, 2, 2), [(1, 1, 1), (2, 2, 2)], w0)

    def test_writer_reads_own_writes(self):
        w = self.open(0, 's')
        self.sees(w.insert(5, 'k', 'v'), [(5, 'k', 'v')], w)
        self.assertEqual(w.get('k'), 'v')

    def test_remove_all_entries(self):
        w, r = self.opened(2)
        w.extend([(1, 1, 1), (2, 2, 2)])
        self.sees(w.remove(1, 2), [], r)
        self.assertEqual((r.min(), r.max()), (None, None))
        self.sees(w.insert(3, 3, 3), [(3, 3, 3)], r)

    def test_remove_keys(self):
        w, r = self.opened(2)
        w.extend([(i, i, i) for i in range(5)])
        self.sees(w.remove(0, 1, 99), [(i, i, i) for i in range(2, 5)], r)
        self.assertFalse(w.remove().changed)

    def test_remove_range_empty(self):
        self.assertFalse(self.open(0).remove_range().changed)

    def test_iter_ordering_after_mutations(self):
        w, r = self.opened(2)
        w.extend([(10, 1, 1), (20, 2, 2), (30, 3, 3), (40, 4, 4)])
        w.remove(2)
        self.sees(w.update_priority(4, 5), [(5, 4, 4), (10, 1, 1), (30, 3, 3)], r)

    def test_compare_exchange_value_success(self):
        w = self.open(0)
        w.insert(5, 1, 100)
        self.sees(w.compare_exchange(1, 100, 200), [(5, 1, 200)], w)

    def test_compare_exchange_value_remove(self):
        w = self.open(0)
        w.insert(5, 1, 100)
        self.sees(w.compare_exchange(1, 100, None), [], w)

    def test_compare_exchange_value_mismatch(self):
        w = self.open(0)
        last = w.insert(5, 1, 100)
        self.refused('', w.compare_exchange, 1, 9, 200)
        self.refused('', w.compare_exchange, 1, 9, None)
        self.sees(last, [(5, 1, 100)], w)

    def test_compare_exchange_value_missing_key(self):
        w = self.open(0)
        self.refused('', w.compare_exchange, 1, 9, 10)
        self.assertEqual(len(w), 0)

    def test_compare_exchange_value_replicates_to_readers(self):
        w, *readers = self.opened(3)
        w.insert(5, 1, 100)
        self.sees(w.compare_exchange(1, 100, 200), [(5, 1, 200)], *readers)

    def test_compare_exchange_value_chained(self):
        w = self.open(0)
        w.insert(5, 1, 100)
        w.compare_exchange(1, 100, 200)
        self.sees(w.compare_exchange(1, 200, 300), [(5, 1, 300)], w)
        self.sees(w.compare_exchange(1, 300, None), [], w)

    def test_compare_exchange_value_preserves_priority(self):
        w = self.open(0)
        w.extend([(1, 1, 1), (2, 2, 2), (3, 3, 3)])
        self.sees(w.compare_exchange(2, 2, 9), [(1, 1, 1), (2, 2, 9), (3, 3, 3)], w)

    def test_compare_exchange_value_mixed_with_mutations(self):
        w, r = self.opened(2)
        w.insert(5, 1, 1)
        w.update_value(1, 2)
        w.compare_exchange(1, 2, 3)
        w.update_priority(1, 7)
        w.compare_exchange(1, 3, 4)
        w.remove(1)
        self.sees(w.insert(9, 1, 5), [(9, 1, 5)], r)

    def test_compare_exchange_value_catchup(self):
        w = self.open(0)
        w.insert(5, 1, 1)
        self.sees(w.compare_exchange(1, 1, 2), [(5, 1, 2)], self.open(1))

    def test_compare_exchange_value_remove_affects_minmax(self):
        w, r = self.opened(2)
        w.extend([(1, 1, 1), (2, 2, 2), (3, 3, 3)])
        r.wait(w.compare_exchange(1, 1, None).version, PATIENCE)
        self.assertEqual(self.extremes(r), (2, 3))
        r.wait(w.compare_exchange(3, 3, None).version, PATIENCE)
        self.assertEqual(self.extremes(r), (2, 2))

    def test_bounded_evicts_lowest_priority(self):
        w, r = self.opened(2, 'three')
        w.extend([(10, 1, 1), (20, 2, 2), (30, 3, 3)])
        self.sees(w.insert(40, 4, 4), [(20, 2, 2), (30, 3, 3), (40, 4, 4)], r)

    def test_bounded_insert_lower_than_all(self):
        w, r = self.opened(2, 'two')
        w.extend([(10, 1, 1), (20, 2, 2)])
        self.sees(w.insert(5, 3, 3), [(10, 1, 1), (20, 2, 2)], r)

    def test_bounded_extend_evicts_multiple(self):
        w, r = self.opened(2, 'three')
        written = w.extend([(i * 10, i, i) for i in range(1, 6)])
        self.sees(written, [(30, 3, 3), (40, 4, 4), (50, 5, 5)], r)

    def test_bounded_update_priority_no_eviction(self):
        w, r = self.opened(2, 'two')
        w.extend([(10, 1, 1), (20, 2, 2)])
        self.sees(w.update_priority(1, 30), [(20, 2, 2), (30, 1, 1)], r)

    def test_bounded_upsert_no_eviction(self):
        w, r = self.opened(2, 'two')
        w.extend([(10, 1, 1), (20, 2, 2)])
        self.sees(w.insert(15, 1, 9), [(15, 1, 9), (20, 2, 2)], r)

    def test_bounded_collection_macro(self):
        w, r = self.opened(2, 'five')
        for i in range(6):
            written = w.insert(i, f'k{i}', i)
        self.sees(written, [(i, f'k{i}', i) for i in range(1, 6)], r)


class Sync(Rows):
    """The rows of snapshot synchronisation, the same for each shape that holds many."""

    def put(self, w, numbers):
        """As one write; what the numbers become is a matter of the shape."""
        raise NotImplementedError

    def fill(self, w, numbers, part=1000):
        numbers = list(numbers)
        for i in range(0, len(numbers), part):
            written = self.put(w, numbers[i:i + part])
        return written

    def want(self, numbers):
        raise NotImplementedError

    def test_frozen(self):
        for n in (1, 100, 1000, 10000):
            w, first = self.opened(2)
            w.clear()
            written = self.fill(w, range(n))
            self.sees(written, self.want(range(n)), first, self.open(2))

    def test_writes_during_sync(self):
        w = self.open(0)
        self.fill(w, range(2000))
        newcomer = self.shape(self.bonds[1], self.surface('n'))
        self.addCleanup(newcomer.close)
        for i in range(20):
            written = self.put(w, range(2000 + i * 50, 2050 + i * 50))
        self.sees(written, self.want(range(3000)), newcomer)

    def test_empty(self):
        self.assertEqual(len(self.open(1)), 0)

    def test_single_entry(self):
        written = self.put(self.open(0), [7])
        self.sees(written, self.want([7]), self.open(1))

    def test_reader_before_writer(self):
        r = self.open(1)
        self.sees(self.fill(self.open(0), range(100)), self.want(range(100)), r)

    def test_extreme_batch_sizes(self):
        """Of writes: one of all, and one each; there is no batch size of a snapshot to choose."""
        w = self.open(0)
        for n, part in ((10, 1), (100, 1), (1000, 1000)):
            w.clear()
            self.sees(self.fill(w, range(n), part), self.want(range(n)), self.open(1))

    def test_many_readers(self):
        written = self.fill(self.open(0), range(1000))
        agents = [mosaik.Agent() for _ in range(5)]
        for agent in agents:
            self.addCleanup(agent.close)
        readers = [self.shape(self.committee.bind(a), self.surface('n')) for a in agents]
        self.sees(written, self.want(range(1000)), *readers)

    def test_incremental_after_convergence(self):
        w = self.open(0)
        r = self.open(1)
        self.sees(self.fill(w, range(500)), self.want(range(500)), r)
        self.sees(self.fill(w, range(500, 1000), 50), self.want(range(1000)), r)

    def test_concurrent_reads_during_sync(self):
        written = self.fill(self.open(0), range(10000))
        newcomer = self.shape(self.bonds[1], self.surface('n'))
        self.addCleanup(newcomer.close)
        polls = 0
        while not newcomer.online:
            self.assertEqual(len(newcomer), 0)
            newcomer.agent.run(0.001)
            polls += 1
        self.assertGreater(polls, 0)
        self.assertEqual((len(newcomer) > 0, len(newcomer) % 1000), (True, 0), 'a whole version')
        self.sees(written, self.want(range(10000)), newcomer)

    def test_extend_during_snapshot_sync(self):
        w = self.open(0)
        self.fill(w, range(1000))
        newcomer = self.shape(self.bonds[1], self.surface('n'))
        self.addCleanup(newcomer.close)
        self.sees(self.put(w, range(1000, 1500)), self.want(range(1500)), newcomer)

    def test_clear_and_repopulate(self):
        w = self.open(0)
        self.fill(w, range(500))
        w.clear()
        self.sees(self.fill(w, range(1000, 1200)), self.want(range(1000, 1200)), self.open(1))

    def test_large_values(self):
        written = None
        w = self.open(0, 'large')
        for i in range(100):
            written = self.put_large(w, i)
        r = self.open(1, 'large')
        r.wait(written.version, PATIENCE)
        self.assertEqual(len(r), 100)
        self.assertEqual(self.content(r), self.content_after(w, written))

    def content_after(self, w, written):
        w.wait(written.version, PATIENCE)
        return self.content(w)

    def test_recreate_reader(self):
        w, r = self.opened(2)
        self.sees(self.fill(w, range(100)), self.want(range(100)), r)
        r.close()
        written = self.fill(w, range(100, 200))
        self.sees(written, self.want(range(200)), self.open(1))

    def test_mixed_mutations(self):
        w = self.open(0)
        self.fill(w, range(100))
        written = self.mix(w)
        late = self.open(1)
        late.wait(written.version, PATIENCE)
        self.assertEqual(self.content(late), self.content_after(w, written))


LARGE = 'x' * 10240


class TestSyncMap(Sync):
    shape = mosaik.Map
    types = {'n': (codec.U64, codec.U64), 'large': (codec.STR, codec.U64),
             's': (codec.STR, codec.STR)}

    def content(self, collection):
        return dict(collection.items())

    def put(self, w, numbers):
        return w.extend({i: i * 7 for i in numbers})

    def want(self, numbers):
        return {i: i * 7 for i in numbers}

    def put_large(self, w, i):
        return w.insert(i, LARGE + str(i))

    def mix(self, w):
        w.remove(*range(0, 100, 3))
        w.insert(200, 1)
        return w.insert(1, 999)

    def test_overwrite_keys(self):
        w = self.open(0)
        self.fill(w, range(100))
        self.sees(w.extend({i: 1 for i in range(100)}), {i: 1 for i in range(100)}, self.open(1))

    def test_extend_with_overlapping_keys(self):
        w = self.open(0)
        w.extend({i: 1 for i in range(100)})
        written = w.extend({i: 2 for i in range(50, 150)})
        self.sees(written, {i: 1 if i < 50 else 2 for i in range(150)}, self.open(1))

    def test_remove_nonexistent_keys(self):
        w = self.open(0)
        self.fill(w, range(10))
        self.sees(w.remove(99, 98), self.want(range(10)), self.open(1))

    def test_string_keys(self):
        w = self.open(0, 's')
        want = {f'key {i}' * (i % 5 + 1): f'v{i}' for i in range(100)}
        self.sees(w.extend(want), want, self.open(1, 's'))


class TestSyncSet(Sync):
    shape = mosaik.Set
    types = {'n': (codec.U64, None), 'large': (codec.STR, None), 's': (codec.STR, None)}

    def content(self, collection):
        return set(collection)

    def put(self, w, numbers):
        return w.add(*numbers)

    def want(self, numbers):
        return set(numbers)

    def put_large(self, w, i):
        return w.add(LARGE + str(i))

    def mix(self, w):
        w.remove(*range(0, 100, 3))
        return w.add(1, 2, 200)

    def test_remove_nonexistent_values(self):
        w = self.open(0)
        self.fill(w, range(10))
        self.sees(w.remove(99, 98), set(range(10)), self.open(1))

    def test_insert_duplicates(self):
        w = self.open(0)
        for _ in range(3):
            written = w.add(*range(10))
        self.sees(written, set(range(10)), self.open(1))

    def test_string_elements(self):
        w = self.open(0, 's')
        want = {f'element {i}' * (i % 5 + 1) for i in range(100)}
        self.sees(w.add(*want), want, self.open(1, 's'))


class TestSyncVec(Sync):
    shape = mosaik.Vec
    types = {'n': (codec.U64, None), 'large': (codec.STR, None)}

    def content(self, collection):
        return list(collection)

    def put(self, w, numbers):
        return w.push_back(*numbers)

    def want(self, numbers):
        return list(numbers)

    def put_large(self, w, i):
        return w.push_back(LARGE + str(i))

    def mix(self, w):
        w.remove(50)
        w.insert(3, 999)
        w.push_front(5)
        w.swap(1, 90)
        w.pop_back()
        return w.set(10, 77)


class TestSyncQueue(Sync):
    shape = mosaik.PriorityQueue
    types = {'n': (codec.U64, codec.U64), 'large': (codec.STR, codec.U64)}

    def content(self, collection):
        return list(collection)

    def put(self, w, numbers):
        return w.extend([(i, i, i) for i in numbers])

    def want(self, numbers):
        return [(i, i, i) for i in numbers]

    def put_large(self, w, i):
        return w.insert(i, i, LARGE + str(i))

    def mix(self, w):
        w.remove(*range(0, 100, 3))
        w.update_priority(1, 1000)
        return w.update_value(2, 999)

    def test_overwrite_keys(self):
        w = self.open(0)
        self.fill(w, range(100))
        written = w.extend([(i + 1, i, 5) for i in range(100)])
        self.sees(written, [(i + 1, i, 5) for i in range(100)], self.open(1))

    def test_remove_range_sync(self):
        w = self.open(0)
        self.fill(w, range(100))
        written = w.remove_range(20, 50)
        r = self.open(1)
        r.wait(written.version, PATIENCE)
        self.assertEqual(len(r), 70)

    def test_min_max_after_sync(self):
        w = self.open(0)
        written = w.extend([(1, 4, 40), (500, 2, 20), (999, 3, 30)])
        r = self.open(1)
        r.wait(written.version, PATIENCE)
        self.assertEqual((r.min(), r.max()), ((1, 4, 40), (999, 3, 30)))


class TestAuth(unittest.TestCase):
    """A ticketed writer and a ticketed reader replicate a value; an unticketed reader of the same
    collection is refused by the clause, and stays empty."""

    SHAPES = {'map': (mosaik.Map, codec.U64, codec.U64, lambda c: c.insert(1, 1)),
              'vec': (mosaik.Vec, codec.U64, None, lambda c: c.push_back(1)),
              'set': (mosaik.Set, codec.U64, None, lambda c: c.add(1)),
              'cell': (mosaik.Cell, codec.U64, None, lambda c: c.write(1)),
              'once': (mosaik.Once, codec.U64, None, lambda c: c.write(1)),
              'queue': (mosaik.PriorityQueue, codec.U64, codec.U64, lambda c: c.insert(1, 1, 1))}

    @staticmethod
    def issued(agent, issuer, name, peer, aud):
        return mosaik.jwt_ticket(agent, mosaik.issue_jwt(agent, issuer, {
            'iss': name, 'aud': aud, 'sub': peer, 'exp': int(time.time()) + 3600}))

    def replicated(self, n_issuers):
        issuers = [(mosaik.new_key(), f'issuer {i}') for i in range(n_issuers)]
        acl = mosaik.Acl()
        for key, name in issuers:
            acl = acl.jwt(name, 'EdDSA', bytes.fromhex(mosaik.peer_of(key)))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        surfaces = {kind: mosaik.Surface(kind, kind, value, key)
                    for kind, (_, value, key, _) in self.SHAPES.items()}
        committee = Committee(folder.name, f'gated {n_issuers}', acl.readers(), n=1,
                              surfaces=list(surfaces.values()))
        self.addCleanup(committee.stop)
        aud = committee.ids['stable_id']
        agents = []
        for shown in (n_issuers, n_issuers, n_issuers - 1):
            key = mosaik.new_key()
            with mosaik.Agent() as maker:
                tickets = [self.issued(maker, k, name, mosaik.peer_of(key), aud)
                           for k, name in issuers[:shown]]
            agents.append(mosaik.Agent(key=key, tickets=tickets))
            self.addCleanup(agents[-1].close)
        bonds = [committee.bind(agent) for agent in agents]
        for kind, (shape, _, _, put) in self.SHAPES.items():
            with self.subTest(kind):
                w, r, stranger = (shape(b, surfaces[kind]) for b in bonds)
                r.wait(put(w).version, PATIENCE)
                self.assertEqual(len(r), 1)
                with self.assertRaisesRegex(mosaik.Refused, f'clause {n_issuers - 1} RequireJwt'):
                    stranger.wait(0, PATIENCE)
                with self.assertRaisesRegex(mosaik.Refused, f'clause {n_issuers - 1} RequireJwt'):
                    put(stranger)
                self.assertEqual(len(stranger), 0)

    def test_auth_tickets(self):
        self.replicated(1)

    def test_multiple_tickets(self):
        self.replicated(2)


del Rows, Sync  # bases, not tests

if __name__ == '__main__':
    unittest.main(verbosity=2)
