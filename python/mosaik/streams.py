"""Streams: a committee's, certified (Feed), and a peer's own (Producer, Consumer).

A reader that ends and comes back, in another process too, goes on where it stood:

    with Consumer(agent, 'prices', peer, codec.F64, after=saved) as prices:
        for item in prices.items(60):
            act_on(item.value)
            saved = prices.cursor     # a text: keep it, with what was done, where you keep things

`cursor` is behind the last item that next() gave. Saved after the item was dealt with, nothing is
missed, and at most that one comes twice. What is not retained any more is told: Item.lost, and
Item.restarted where numbers began anew.
"""
from __future__ import annotations

from ctypes import byref, c_bool, c_uint64
from dataclasses import dataclass
from typing import Any, Iterator, Optional

from ._checked import checked, named, whole
from ._library import OUT, Bytes, Limits, TimedOut, check, fail, handle, library, text
from .admission import Acl
from .agent import Agent, Bond, Part, Surface, id_of, milliseconds
from .codec import BYTES, Type, sequence, sized
from .collections import Written, write
from .values import decode

__all__ = ['Feed', 'append', 'Item', 'Producer', 'Consumer']


@dataclass(frozen=True)
class Item:
    """number: of the item in its stream, from 1. lost: how many before it never came. restarted:
    the first since the stream began anew (a producer's new run, a component's new deployment):
    numbers started over, and what of the old one had not come never will."""
    number: int
    value: Any
    lost: int = 0
    restarted: bool = False


@checked
def append(bond: Bond, surface: Surface, *items: Any, timeout: float = 10,
           certified: bool = True) -> Written:
    """Appends to a stream of a component of collections (Agent.add_component)."""
    payload = sequence([sized(surface.encode_value(i)) for i in items])
    return write(bond, surface, 19, payload, timeout, certified)


class Feed(Part):
    """A committee's stream: certified items, in order. Begins with the oldest that is retained,
    with from_newest: what comes from now on, with after (a cursor): what followed that."""

    @checked
    def __init__(self, bond: Bond, surface: Surface, *, from_newest: bool = False,
                 after: Optional[str] = None) -> None:
        super().__init__(bond.agent, handle(library.feed_open, bond.handle, OUT, surface.handle,
                                            int(from_newest), text(after)))
        bond._on.append(self)
        self.bond, self.surface = bond, surface

    def _free(self, value: int) -> None:
        if self in self.bond._on:
            self.bond._on.remove(self)
        library.feed_close(value)

    @checked
    def next(self, timeout: float = 10) -> Item:
        """TimedOut when none comes."""
        index, lost, anew, out = c_uint64(), c_uint64(), c_bool(), Bytes()
        check(library.feed_next, self.agent.handle, self.handle, milliseconds(timeout),
              byref(index), byref(lost), byref(anew), byref(out))
        return Item(index.value, decode(self.agent, self.surface.value, out.take()), lost.value,
                    anew.value)

    @property
    def cursor(self) -> Optional[str]:
        """Behind the last item that next() gave; before the first, where it begins. None: no member
        has served it yet."""
        out = Bytes()
        library.feed_cursor(self.agent.handle, self.handle, byref(out))
        return out.take().decode() or None

    @checked
    def items(self, timeout: float = 10) -> Iterator[Item]:
        """Until none comes for so long."""
        while True:
            try:
                yield self.next(timeout)
            except TimedOut:
                return


class Producer(Part):
    """A stream of one's own. acl with readers(): who may subscribe.

    It keeps the newest items for subscribers that are behind or come back: retain_items of them
    (65,536), retain_bytes (16 MiB; at least 256 KiB), retain_seconds (0: of any age), whichever is
    less. A subscriber that falls behind even that is slow: "close" ends its subscription with that
    reason, after which it comes back by itself; "drop" lets it skip. Either way it is told how many
    it lost, and nobody else notices. subscribers_max (1,024): above it the newest is refused.
    online_at: subscribers with which it counts as online. 0 is the default, in brackets.
    """

    @checked
    def __init__(self, agent: Agent, name: str, value: Type = BYTES, *,
                 stable_id: Optional[str] = None, acl: Optional[Acl] = None,
                 retain_items: int = 0, retain_bytes: int = 0, retain_seconds: float = 0,
                 subscribers_max: int = 0, online_at: int = 0, slow: str = 'close') -> None:
        clauses = acl.encode() if acl else b''
        if slow not in ('close', 'drop'):
            raise ValueError(f'Producer(): slow: "close" or "drop", not "{slow}"')
        limits = Limits(*[whole('Producer', name, value, 32) for name, value in (
            ('retain_items', retain_items), ('retain_bytes', retain_bytes),
            ('retain_seconds', milliseconds(retain_seconds)),
            ('subscribers_max', subscribers_max), ('online_at', online_at))], text(slow))
        super().__init__(agent, handle(library.producer_open, agent.handle, OUT,
                                       text(id_of(name)), text(id_of(stable_id or name)),
                                       byref(limits), clauses, len(clauses)))
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

    @property
    def online(self) -> bool:
        """Whether it has as many subscribers as online_at."""
        return bool(library.producer_online(self.handle))

    @checked
    def wait_within(self, items: int, timeout: float = 10) -> None:
        """Until no subscriber is more than so many items behind: for who would rather be slow than
        lose a slow subscriber. TimedOut says how far it is."""
        check(library.producer_wait_within, self.agent.handle, self.handle,
              whole('wait_within', 'items', items), milliseconds(timeout))

    def status(self) -> dict[str, Any]:
        """As in Agent.status()['producers']: sent, subscribers, lags, what was dropped, refusals."""
        return _listed(self.agent, 'producers', surface=id_of(self.name))


def _listed(agent: Agent, where: str, **what: str) -> dict[str, Any]:
    for one in agent.status()[where]:
        if all(one[key] == value for key, value in what.items()):
            return dict(one)
    raise fail(-5, f'not among the {where} that the status shows')


class Consumer(Part):
    """A subscription to a peer's stream; it comes back by itself, and resumes. Begins with the
    oldest that is retained, with from_newest: what comes from now on, with after (a cursor): what
    followed that."""

    @checked
    def __init__(self, agent: Agent, name: str, peer: str, value: Type = BYTES, *,
                 address: Optional[str] = None, stable_id: Optional[str] = None,
                 from_newest: bool = False, after: Optional[str] = None,
                 acl: Optional[Acl] = None) -> None:
        clauses = acl.encode() if acl else b''
        super().__init__(agent, handle(library.consumer_open, agent.handle, OUT,
                                       text(id_of(name)), text(id_of(stable_id or name)),
                                       text(peer), text(address), from_newest, text(after),
                                       clauses, len(clauses)))
        self.name, self.peer, self.value = name, peer.lower(), value

    def _free(self, value: int) -> None:
        library.consumer_close(value)

    @checked
    def next(self, timeout: float = 10) -> Item:
        """TimedOut when none comes; Refused, with the clause, when one side says no."""
        number, lost, anew, out = c_uint64(), c_uint64(), c_bool(), Bytes()
        check(library.consumer_next, self.handle, milliseconds(timeout), byref(number),
              byref(lost), byref(anew), byref(out))
        return Item(number.value, decode(self.agent, self.value, out.take()), lost.value,
                    anew.value)

    @property
    def cursor(self) -> Optional[str]:
        """Behind the last item that next() gave; before the first, where it begins. None: it was
        not subscribed yet."""
        out = Bytes()
        library.consumer_cursor(self.handle, byref(out))
        return out.take().decode() or None

    def status(self) -> dict[str, Any]:
        """As in Agent.status()['consumers']: subscribed, why not, lag, lost, refusals, restarts."""
        return _listed(self.agent, 'consumers', surface=id_of(self.name), producer=self.peer)

    @checked
    def items(self, timeout: float = 10) -> Iterator[Item]:
        """Until none comes for so long."""
        while True:
            try:
                yield self.next(timeout)
            except TimedOut:
                return
