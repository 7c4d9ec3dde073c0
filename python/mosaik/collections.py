"""Map, Vec, Set, Cell, Once, PriorityQueue: verified copies of a committee's collections, and
writes to them.

A collection object reads a copy that this agent keeps and verifies; a write goes to the
committee, and says at which version it is visible:

    written = jobs.insert('k', 'v')
    jobs.wait(written.version)      # this copy has it
"""
from __future__ import annotations

from ctypes import byref, c_bool, c_uint64, create_string_buffer
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Optional, Tuple

from ._checked import checked, whole
from ._library import OUT, Bytes, MosaikError, NotFound, check, handle, library
from .agent import Agent, Bond, Part, Surface, milliseconds
from .codec import option, sequence, sized, varint
from .values import decode

__all__ = ['Written', 'Collection', 'Map', 'Vec', 'Set', 'Cell', 'Once', 'PriorityQueue',
           'lookup']


@dataclass(frozen=True)
class Written:
    """What became of a write: the version after it, and whether anything changed."""
    version: int
    changed: bool


def write(bond: Bond, surface: Surface, tag: int, payload: bytes, timeout: float,
          certified: bool) -> Written:
    """One operation (pc of an Op) on a surface."""
    op = varint(tag) + payload
    version, changed = c_uint64(), c_bool()
    check(library.write, bond.handle, surface.handle, op, len(op), int(certified),
          milliseconds(timeout), byref(version), byref(changed))
    return Written(version.value, changed.value)


class Collection(Part):
    """What all shapes have. timeout: seconds for each write."""

    kind = ''

    @checked
    def __init__(self, bond: Bond, surface: Surface, *, timeout: float = 10,
                 certified: bool = True) -> None:
        if surface.kind != self.kind:
            raise ValueError(f'{surface.name} is a {surface.kind}, not a {self.kind}')
        super().__init__(bond.agent, handle(library.collection_open, bond.handle, OUT,
                                            surface.handle))
        bond._on.append(self)
        self._there = False
        self.bond, self.surface, self.timeout, self.certified = bond, surface, timeout, certified

    def _free(self, value: int) -> None:
        if self in self.bond._on:
            self.bond._on.remove(self)
        library.collection_close(value)

    @property
    def online(self) -> bool:
        """Is a verified copy here?"""
        return bool(library.collection_online(self.handle))

    @property
    def version(self) -> int:
        """Of this copy."""
        return int(library.collection_version(self.handle))

    @checked
    def wait(self, version: int = 0, timeout: float = 10) -> None:
        """Until the copy is here and has this version."""
        check(library.collection_wait, self.handle, whole('wait', 'version', version), milliseconds(timeout))

    def clear(self) -> Written:
        return self._write(0, b'')

    def __len__(self) -> int:
        return int(library.collection_count(self.handle))

    def _write(self, tag: int, payload: bytes) -> Written:
        if not self._there:
            self._look()
        return write(self.bond, self.surface, tag, payload, self.timeout, self.certified)

    def _look(self) -> None:
        """A write goes to a surface by its name, and nobody looks into its bytes: so before the
        first one this copy must be served, which a surface of other types is not."""
        try:
            self.wait(0, min(self.timeout, 2))
        except MosaikError as e:
            if 'is not one of this component' in str(e):
                raise NotFound(-5, f'no {self.kind} "{self.surface.name}" of these types: '
                               f'{e}') from None
        self._there = True  # or we may not read, or not yet: the write tells

    def _get(self, key: bytes) -> Optional[bytes]:
        out = Bytes()
        if library.collection_get(self.handle, key, len(key), byref(out)) != 0:
            return None
        return out.take()

    def _entries(self) -> Iterator[Tuple[bytes, bytes]]:
        """A point in time: taken whole, before the network happens again."""
        cursor, key, value = create_string_buffer(32), Bytes(), Bytes()
        found = []
        while library.collection_next(self.handle, cursor, byref(key), byref(value)):
            found.append((key.take(), value.take()))
        return iter(found)

    def _value(self, data: bytes) -> Any:
        return decode(self.agent, self.surface.value, data)

    def _put(self, value: Any) -> bytes:
        return sized(self.surface.encode_value(value))

    def _key(self, value: Any) -> bytes:
        return sized(self.surface.encode_key(value))

    def _optional(self, value: Any) -> bytes:
        return option(None if value is None else self._put(value))


class Map(Collection):
    """Keys and values, in no particular order."""

    kind = 'map'

    def get(self, key: Any, default: Any = None) -> Any:
        data = self._get(self.surface.encode_key(key))
        return default if data is None else self._value(data)

    def __getitem__(self, key: Any) -> Any:
        data = self._get(self.surface.encode_key(key))
        if data is None:
            raise KeyError(key)
        return self._value(data)

    def __contains__(self, key: Any) -> bool:
        return self._get(self.surface.encode_key(key)) is not None

    def items(self) -> Iterator[Tuple[Any, Any]]:
        for key, value in self._entries():
            yield decode(self.agent, self.surface.key, key), self._value(value)

    def keys(self) -> Iterator[Any]:
        return (key for key, _ in self.items())

    def values(self) -> Iterator[Any]:
        return (value for _, value in self.items())

    __iter__ = keys

    def insert(self, key: Any, value: Any) -> Written:
        return self.extend({key: value})

    @checked
    def extend(self, entries: Mapping[Any, Any]) -> Written:
        """All of them as one change."""
        return self._write(1, sequence([self._key(k) + self._put(v) for k, v in entries.items()]))

    def remove(self, *keys: Any) -> Written:
        return self._write(2, sequence([self._key(k) for k in keys]))

    def compare_exchange(self, key: Any, expected: Any, new: Any) -> Written:
        """None stands for absent: expected None inserts, new None removes. Refused where the value
        is another one."""
        return self._write(3, self._key(key) + self._optional(expected) + self._optional(new))


class Set(Collection):
    """Distinct elements, in no particular order."""

    kind = 'set'

    def __contains__(self, element: Any) -> bool:
        return self._get(self.surface.encode_value(element)) is not None

    def __iter__(self) -> Iterator[Any]:
        return (self._value(value) for _, value in self._entries())

    @checked
    def issubset(self, other: Set) -> bool:
        return all(element in other for element in self)

    def add(self, *elements: Any) -> Written:
        return self._write(4, sequence([self._put(e) for e in elements]))

    def remove(self, *elements: Any) -> Written:
        return self._write(2, sequence([self._put(e) for e in elements]))


class Cell(Collection):
    """One value, or none."""

    kind = 'cell'

    def get(self, default: Any = None) -> Any:
        data = self._get(b'')
        return default if data is None else self._value(data)

    def write(self, value: Any) -> Written:
        return self._write(5, self._put(value))

    def compare_exchange(self, expected: Any, new: Any) -> Written:
        """As of a map."""
        return self._write(3, sized(b'') + self._optional(expected) + self._optional(new))


class Once(Collection):
    """One value that, once written, stays."""

    kind = 'once'

    def get(self, default: Any = None) -> Any:
        data = self._get(b'')
        return default if data is None else self._value(data)

    def write(self, value: Any) -> Written:
        """changed is False where another value was first."""
        return self._write(5, self._put(value))

    @checked
    def await_value(self, timeout: float = 10) -> Any:
        """Until there is one."""
        self.wait(1, timeout)
        return self.get()

    def clear(self) -> Written:
        raise TypeError('a once stays')


class Vec(Collection):
    """Elements in order."""

    kind = 'vec'

    @checked
    def __getitem__(self, index: int) -> Any:
        out = Bytes()
        at = index if index >= 0 else len(self) + index
        if at < 0 or library.vec_at(self.handle, at, byref(out)) != 0:
            raise IndexError(index)
        return self._value(out.take())

    def __iter__(self) -> Iterator[Any]:
        found, out, at = [], Bytes(), 0
        while library.vec_at(self.handle, at, byref(out)) == 0:
            found.append(out.take())
            at += 1
        return (self._value(data) for data in found)

    def push_back(self, *items: Any) -> Written:
        return self._write(6, sequence([self._put(i) for i in items]))

    def push_front(self, *items: Any) -> Written:
        """One after the other: the last one is first then."""
        return self._write(7, sequence([self._put(i) for i in items]))

    @checked
    def insert(self, index: int, item: Any) -> Written:
        """Refused past the end."""
        return self._write(8, varint(index) + self._put(item))

    def pop_back(self) -> Written:
        return self._write(9, b'')

    def pop_front(self) -> Written:
        return self._write(10, b'')

    @checked
    def remove(self, index: int) -> Written:
        return self._write(11, varint(index))

    @checked
    def swap(self, a: int, b: int) -> Written:
        return self._write(12, varint(a) + varint(b))

    @checked
    def truncate(self, length: int) -> Written:
        return self._write(13, varint(length))

    @checked
    def set(self, index: int, item: Any) -> Written:
        return self._write(18, varint(index) + self._put(item))


class PriorityQueue(Collection):
    """Entries (priority, key, value) with distinct keys, by priority, then by key."""

    kind = 'queue'

    def get(self, key: Any, default: Any = None) -> Any:
        data = self._get(self.surface.encode_key(key))
        return default if data is None else self._value(data)

    def __contains__(self, key: Any) -> bool:
        return self._get(self.surface.encode_key(key)) is not None

    def priority(self, key: Any) -> Optional[int]:
        encoded, out = self.surface.encode_key(key), c_uint64()
        found = library.queue_priority(self.handle, encoded, len(encoded), byref(out)) == 0
        return out.value if found else None

    @checked
    def at(self, rank: int) -> Tuple[int, Any, Any]:
        """(priority, key, value); 0 is the lowest, -1 the highest."""
        priority, key, value = c_uint64(), Bytes(), Bytes()
        place = rank if rank >= 0 else len(self) + rank
        if place < 0 or library.queue_at(self.handle, place, byref(priority), byref(key),
                                         byref(value)) != 0:
            raise IndexError(rank)
        k, v = key.take(), value.take()
        return priority.value, decode(self.agent, self.surface.key, k), self._value(v)

    def min(self) -> Optional[Tuple[int, Any, Any]]:
        return self.at(0) if len(self) else None

    def max(self) -> Optional[Tuple[int, Any, Any]]:
        return self.at(-1) if len(self) else None

    def __iter__(self) -> Iterator[Tuple[int, Any, Any]]:
        return iter([self.at(i) for i in range(len(self))])

    @checked
    def insert(self, priority: int, key: Any, value: Any) -> Written:
        return self.extend([(priority, key, value)])

    @checked
    def extend(self, entries: Iterable[Tuple[int, Any, Any]]) -> Written:
        return self._write(14, sequence([varint(p) + self._key(k) + self._put(v)
                                         for p, k, v in entries]))

    @checked
    def update_priority(self, key: Any, priority: int) -> Written:
        return self._write(15, self._key(key) + varint(priority))

    def update_value(self, key: Any, value: Any) -> Written:
        return self._write(16, self._key(key) + self._put(value))

    def remove(self, *keys: Any) -> Written:
        return self._write(2, sequence([self._key(k) for k in keys]))

    @checked
    def remove_range(self, start: Optional[int] = None, end: Optional[int] = None) -> Written:
        """Priorities from start on, up to but without end."""
        low = varint(2) if start is None else varint(0) + varint(start)
        high = varint(2) if end is None else varint(1) + varint(end)
        return self._write(17, low + high)

    def compare_exchange(self, key: Any, expected: Any, new: Any) -> Written:
        """Of the value; the priority stays. new None removes the entry."""
        return self._write(3, self._key(key) + self._optional(expected) + self._optional(new))


@checked
def lookup(bond: Bond, surface: Surface, key: Any = None, *, max_age: float = 0,
           timeout: float = 10) -> Any:
    """One entry, with a proof, without a copy: of a map or a queue by its key, of a set the element,
    of a cell or a once its value. NotFound: proven not to be there."""
    agent: Agent = bond.agent
    if surface.kind in ('cell', 'once'):
        encoded = b''
    else:
        encoded = surface.encode_value(key) if surface.kind == 'set' else surface.encode_key(key)
    out = Bytes()
    try:
        check(library.lookup, agent.handle, bond.handle, surface.handle, encoded, len(encoded),
              milliseconds(max_age), milliseconds(timeout), byref(out))
    except NotFound as e:
        raise NotFound(e.code, f'{surface.kind} "{surface.name}": proven not to be there') from None
    return decode(agent, surface.value, out.take())


