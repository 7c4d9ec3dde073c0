"""Conditions: `when.all(when.online(cards), when.reaches(jobs, 7)).wait(5)`.

Made of conditions by all(), any() and ~; waited for with a deadline, again and again. An
operand belongs to the condition that it went into.
"""
from __future__ import annotations

import ctypes
from ctypes import byref
from typing import Any, Callable, Optional, Union

from ._checked import checked, whole
from ._library import FILTER, Bytes, MosaikError, check, library, text
from .agent import Agent, Bond, Part, id_of, milliseconds
from .collections import Collection
from .streams import Consumer, Feed, Producer
from .values import decode

__all__ = ['Condition', 'all', 'any', 'bound', 'online', 'updated', 'reaches', 'subscribed',
           'tagged', 'offered', 'appended', 'window', 'consuming']

Filter = Callable[[Any], bool]


class _Judge:
    """A filter as C calls it. What it raises ends the wait, which raises it."""

    def __init__(self, source: Union[Feed, Consumer], accept: Optional[Filter]) -> None:
        self.handle, self.error = 0, None  # type: int, Optional[BaseException]
        kind = source.surface.value if isinstance(source, Feed) else source.value

        def call(p: Optional[int], n: int) -> bool:
            assert accept is not None
            try:
                item = ctypes.string_at(p, n) if p is not None and n > 0 else b''
                return bool(accept(decode(source.agent, kind, item)))
            except BaseException as e:  # nothing may pass through C
                self.error = self.error or e
                if self.handle:
                    library.when_interrupt(self.handle)
                return False
        self.function = FILTER(0) if accept is None else FILTER(call)  # NULL: takes all

    @property
    def pointer(self) -> ctypes.c_void_p:
        return ctypes.cast(self.function, ctypes.c_void_p)


class Condition(Part):
    """keeps: what the C side calls into, for as long as it lives."""

    def __init__(self, agent: Agent, value: int, keeps: tuple[_Judge, ...] = ()) -> None:
        super().__init__(agent, value)
        self._keeps = keeps

    def _raise(self) -> None:
        """What a filter raised, once."""
        errors = [j.error for j in self._keeps if j.error is not None]
        for j in self._keeps:
            j.error = None
        if errors:
            raise errors[0]

    def _free(self, value: int) -> None:
        library.when_free(value)

    def _give(self) -> int:
        """The handle, for a condition that takes it."""
        value, self._handle = self.handle, 0
        self.agent._parts.remove(self)
        return value

    def __bool__(self) -> bool:
        """Does it hold now?"""
        return bool(library.when_holds(self.handle))

    @checked
    def wait(self, timeout: float = 10) -> None:
        """TimedOut or Closed say what was missing. What a filter raises ends it and comes out here."""
        handle = self.handle
        self._raise()
        failed: Optional[MosaikError] = None
        try:
            check(library.when_wait, handle, milliseconds(timeout))
        except MosaikError as e:
            failed = e
        self._raise()
        if failed is not None:
            raise failed

    def explain(self) -> str:
        out = Bytes()
        library.when_explain(self.agent.handle, self.handle, byref(out))
        return out.take().decode()

    def __invert__(self) -> Condition:
        return Condition(self.agent, library.when_not(self._give()), self._keeps)

    @checked
    def __and__(self, other: Condition) -> Condition:
        return all(self, other)

    @checked
    def __or__(self, other: Condition) -> Condition:
        return any(self, other)


def _combine(function: Callable[..., int], parts: tuple[Condition, ...]) -> Condition:
    if not parts or len(parts) > 64:
        raise ValueError('1 to 64 conditions')
    agent, keeps = parts[0].agent, tuple(j for p in parts for j in p._keeps)
    handles = (ctypes.c_void_p * len(parts))(*[p._give() for p in parts])
    return Condition(agent, function(handles, len(parts)), keeps)


@checked
def all(*parts: Condition) -> Condition:
    return _combine(library.when_all, parts)


@checked
def any(*parts: Condition) -> Condition:
    return _combine(library.when_any, parts)


@checked
def bound(bond: Bond) -> Condition:
    """At least one member is linked."""
    return Condition(bond.agent, library.when_bound(bond.handle))


@checked
def online(c: Collection) -> Condition:
    return Condition(c.agent, library.when_online(c.handle))


@checked
def updated(c: Collection) -> Condition:
    """Its next version."""
    return Condition(c.agent, library.when_updated(c.handle))


@checked
def reaches(c: Collection, version: int) -> Condition:
    return Condition(c.agent, library.when_reaches(c.handle, whole('reaches', 'version', version)))


@checked
def subscribed(p: Producer, n: int = 1) -> Condition:
    """At least n subscribers."""
    return Condition(p.agent, library.when_subscribed(p.handle, whole('subscribed', 'n', n, 32)))


@checked
def consuming(c: Consumer) -> Condition:
    """It is subscribed to its producer."""
    return Condition(c.agent, library.when_consuming(c.handle))


@checked
def tagged(agent: Agent, name: str, n: int = 1) -> Condition:
    """At least n other peers are known whose entry shows this tag."""
    return Condition(agent, library.when_tagged(agent.handle, text(id_of(name)),
                                                whole('tagged', 'n', n, 32)))


@checked
def offered(agent: Agent, name: str, n: int = 1) -> Condition:
    """At least n other peers are known whose entry names this surface or deployment."""
    return Condition(agent, library.when_offered(agent.handle, text(id_of(name)),
                                                 whole('offered', 'n', n, 32)))


def _judged(source: Union[Feed, Consumer], judge: _Judge, value: int) -> Condition:
    judge.handle = value
    return Condition(source.agent, value, (judge,))


@checked
def appended(source: Union[Feed, Consumer], accept: Optional[Filter] = None) -> Condition:
    """The next item that `accept` takes; of a Feed, one that waits to be taken counts, too, once."""
    judge = _Judge(source, accept)
    make = library.when_appended if isinstance(source, Feed) else library.when_received
    return _judged(source, judge, make(source.handle, judge.pointer))


@checked
def window(source: Union[Feed, Consumer], seconds: float, count: int,
           accept: Optional[Filter] = None) -> Condition:
    """At least `count` items that `accept` takes came within so many seconds."""
    if not 1 <= count <= 65536:
        raise ValueError('count is 1 to 65536')
    judge = _Judge(source, accept)
    make = (library.when_feed_window if isinstance(source, Feed)
            else library.when_consumer_window)
    return _judged(source, judge, make(source.handle, milliseconds(seconds), count, judge.pointer))
