"""Streams: a committee's, certified (Feed), and a peer's own (Producer, Consumer)."""
from __future__ import annotations

from ctypes import byref, c_uint64
from dataclasses import dataclass
from typing import Any, Iterator, Optional

from ._checked import checked, named
from ._library import OUT, Bytes, TimedOut, check, fail, handle, library, text
from .admission import Acl
from .agent import Agent, Bond, Part, Surface, id_of, milliseconds
from .codec import BYTES, Type, sequence, sized
from .collections import Written, write
from .values import decode

__all__ = ['Feed', 'append', 'Item', 'Producer', 'Consumer']


@dataclass(frozen=True)
class Item:
    """number: of the item in its stream, from 1. lost: how many before it never came."""
    number: int
    value: Any
    lost: int = 0


@checked
def append(bond: Bond, surface: Surface, *items: Any, timeout: float = 10,
           certified: bool = True) -> Written:
    """Appends to a stream of a component of collections (Agent.add_component)."""
    payload = sequence([sized(surface.encode_value(i)) for i in items])
    return write(bond, surface, 19, payload, timeout, certified)


class Feed(Part):
    """A committee's stream: certified items, in order. from_newest: only what comes."""

    @checked
    def __init__(self, bond: Bond, surface: Surface, *, from_newest: bool = False) -> None:
        super().__init__(bond.agent, handle(library.feed_open, bond.handle, OUT, surface.handle,
                                            int(from_newest)))
        bond._on.append(self)
        self.bond, self.surface = bond, surface

    def _free(self, value: int) -> None:
        if self in self.bond._on:
            self.bond._on.remove(self)
        library.feed_close(value)

    @checked
    def next(self, timeout: float = 10) -> Item:
        """TimedOut when none comes."""
        index, out = c_uint64(), Bytes()
        check(library.feed_next, self.agent.handle, self.handle, milliseconds(timeout),
              byref(index), byref(out))
        return Item(index.value, decode(self.agent, self.surface.value, out.take()))

    @checked
    def items(self, timeout: float = 10) -> Iterator[Item]:
        """Until none comes for so long."""
        while True:
            try:
                yield self.next(timeout)
            except TimedOut:
                return


class Producer(Part):
    """A stream of one's own. acl with readers(): who may subscribe."""

    @checked
    def __init__(self, agent: Agent, name: str, value: Type = BYTES, *,
                 stable_id: Optional[str] = None, acl: Optional[Acl] = None) -> None:
        clauses = acl.encode() if acl else b''
        super().__init__(agent, handle(library.producer_open, agent.handle, OUT,
                                       text(id_of(name)), text(id_of(stable_id or name)),
                                       clauses, len(clauses)))
        self.name, self.value = name, value

    def _free(self, value: int) -> None:
        library.producer_close(value)

    def send(self, value: Any) -> int:
        """To every subscriber, now and to come; its number. Goes out when the network happens."""
        data, number = self._encode(value), c_uint64()
        code = library.producer_send(self.handle, data, len(data), byref(number))
        if code != 0:
            raise fail(code)
        return number.value

    def _encode(self, value: Any) -> bytes:
        try:
            return self.value.encode(value)
        except (TypeError, ValueError) as e:
            raise named(e, f'stream "{self.name}": value') from None

    @property
    def subscribers(self) -> int:
        return int(library.producer_subscribers(self.handle))


class Consumer(Part):
    """A subscription to a peer's stream; it comes back by itself, and resumes."""

    @checked
    def __init__(self, agent: Agent, name: str, peer: str, value: Type = BYTES, *,
                 address: Optional[str] = None, stable_id: Optional[str] = None,
                 from_newest: bool = False, acl: Optional[Acl] = None) -> None:
        clauses = acl.encode() if acl else b''
        super().__init__(agent, handle(library.consumer_open, agent.handle, OUT,
                                       text(id_of(name)), text(id_of(stable_id or name)),
                                       text(peer), text(address), from_newest, clauses,
                                       len(clauses)))
        self.value = value

    def _free(self, value: int) -> None:
        library.consumer_close(value)

    @checked
    def next(self, timeout: float = 10) -> Item:
        """TimedOut when none comes; Refused, with the clause, when one side says no."""
        number, lost, out = c_uint64(), c_uint64(), Bytes()
        check(library.consumer_next, self.handle, milliseconds(timeout), byref(number),
              byref(lost), byref(out))
        return Item(number.value, decode(self.agent, self.value, out.take()), lost.value)

    @checked
    def items(self, timeout: float = 10) -> Iterator[Item]:
        """Until none comes for so long."""
        while True:
            try:
                yield self.next(timeout)
            except TimedOut:
                return
