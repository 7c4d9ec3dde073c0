"""Agents and bonds: an identity on the network, and the components that it binds."""
from __future__ import annotations

import ctypes
import json
import math
import os
from ctypes import byref
from typing import TYPE_CHECKING, Any, Iterable, Optional, Sequence, Union

from ._checked import checked, judge, named, whole
from ._library import ID_ROOM, OUT, Bytes, blobs, check, handle, library, text, texts
from .codec import BYTES, Type

if TYPE_CHECKING:
    from .admission import Acl

Path = Union[str, 'os.PathLike[str]']

__all__ = ['Agent', 'Bond', 'Surface', 'Trace', 'id_of', 'fingerprint', 'new_key', 'peer_of']


@checked
def id_of(name: str) -> str:
    """The id that a text stands for: 64 hex digits themselves, anything else hashed."""
    out = ctypes.create_string_buffer(ID_ROOM)
    library.id(text(name), out)
    return out.value.decode()


@checked
def fingerprint(path: Path) -> str:
    """The fingerprint of a coalition file: compare it with the one you compiled in."""
    out = ctypes.create_string_buffer(ID_ROOM)
    check(library.file_id, text(os.fspath(path)), out)
    return out.value.decode()


def new_key() -> bytes:
    """A fresh secret key: 32 bytes, to be kept like any secret."""
    return os.urandom(32)


@checked
def peer_of(key: bytes) -> str:
    """The peer id of a secret key."""
    out = ctypes.create_string_buffer(ID_ROOM)
    library.key_peer(_key(key), out)
    return out.value.decode()


def _key(key: bytes) -> bytes:
    if len(key) != 32:
        raise ValueError('a key has 32 bytes')
    return key


def milliseconds(seconds: float) -> int:
    if math.isnan(seconds):
        raise ValueError('a time in seconds is wanted, not NaN')
    return int(min(max(seconds * 1000, 0), 0xffffffff))


class Surface:
    """A surface of a component: its kind, name and types. The same for writer and reader.

    kind: map, vec, set, cell, once, queue or stream. key: of a map or a queue. capacity: of a queue.
    retain_commits, retain_bytes: how much of its past the members of one's own component keep for
    readers that come back (0: 65,536 commits, 16 MiB); readers need not say it.
    """

    @checked
    def __init__(self, kind: str, name: str, value: Type, key: Optional[Type] = None,
                 capacity: int = 0, *, retain_commits: int = 0, retain_bytes: int = 0) -> None:
        self.kind, self.name, self.value, self.key = kind, name, value, key or BYTES
        self.handle: Optional[int] = handle(
            library.surface_new, OUT, text(kind), text(name), text(key.name if key else None),
            text(value.name), whole('Surface', 'capacity', capacity),
            whole('Surface', 'retain_commits', retain_commits, 32),
            whole('Surface', 'retain_bytes', retain_bytes, 32))

    def encode_value(self, value: Any) -> bytes:
        """TypeError, ValueError: the value is none of the surface's type."""
        return self._encode('value', self.value, value)

    def encode_key(self, key: Any) -> bytes:
        return self._encode('key', self.key, key)

    def _encode(self, what: str, kind: Type, value: Any) -> bytes:
        try:
            return kind.encode(value)
        except (TypeError, ValueError) as e:
            raise named(e, f'{self.kind} "{self.name}": {what}') from None

    def __del__(self) -> None:
        if getattr(self, 'handle', None):
            library.surface_free(self.handle)
            self.handle = None


class Agent:
    """One identity on the network, with a loop of its own; belongs to the thread that made it.

    key: the secret key (new_key()), or None for a fresh one that is forgotten at the end.
    dir: where memory of what was certified is kept, None: nowhere. listen: "host:port" where
    others may dial. hints: "<peer>@host:port". tickets: shown wherever it binds. tags: words that
    others see in its entry. components: it may run members of committees (key, listen and dir are then needed).

    Nothing happens on the network but in calls that wait, and in run(). Use it with `with`.
    """

    @checked
    def __init__(self, *, key: Optional[bytes] = None, dir: Optional[Path] = None,
                 listen: Optional[str] = None, hints: Sequence[str] = (),
                 tickets: Sequence[bytes] = (), tags: Sequence[str] = (),
                 components: bool = False) -> None:
        self._parts: list[Any] = []  # what hangs on it, closed in reverse order
        for name, given in (('key', key), ('listen', listen), ('dir', dir)):
            if components and given is None:
                raise ValueError(f'Agent(): {name}: components=True needs it: a member keeps its key, '
                                 'its address and its disk')
        shown = blobs(tickets)
        self._handle: Optional[int] = handle(
            library.agent_open, OUT, None if dir is None else text(os.fspath(dir)), None if key is None else _key(key),
            text(listen), texts(hints), len(hints), shown, len(tickets), components)
        if tags:
            self.tag(*tags)

    @property
    def handle(self) -> int:
        if not self._handle:
            raise ValueError('the agent was closed')
        return self._handle

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it and all that hangs on it."""
        while self._parts:
            self._parts[-1].close()
        if self._handle:
            value, self._handle = self._handle, None
            library.agent_close(value)

    @property
    def peer(self) -> str:
        """Its peer id."""
        out = ctypes.create_string_buffer(ID_ROOM)
        library.agent_peer(self.handle, out)
        return out.value.decode()

    @property
    def port(self) -> int:
        """The port that it listens on; 0 when it does not."""
        return int(library.agent_port(self.handle))

    @checked
    def renew(self, tickets: Sequence[bytes]) -> None:
        """Shows these tickets in the place of all that were shown, to whoever is linked at once:
        what the old ones admitted to goes on without a gap, as far as the new ones suffice."""
        check(library.agent_renew, self.handle, blobs(tickets), len(tickets))

    @checked
    def tag(self, *tags: str) -> None:
        """Shows these words in its entry from now on; others see them when it comes to them."""
        check(library.agent_tag, self.handle, texts(tags), len(tags))

    @checked
    def tagged(self, peer: str, tag: str) -> bool:
        """Whether a peer's entry, as far as it is known here, shows this tag."""
        return bool(library.agent_tagged(self.handle, text(peer), text(id_of(tag))))

    @property
    def peers(self) -> int:
        """How many other peers are known."""
        return int(library.agent_peers(self.handle))

    @checked
    def sync(self, address: str, timeout: float = 10) -> None:
        """Compares with "<peer>@host:port" what each knows of others: then both know both."""
        check(library.agent_sync, self.handle, text(address), milliseconds(timeout))

    @checked
    def run(self, seconds: float) -> None:
        """Lets the network happen for so long."""
        library.agent_run(self.handle, milliseconds(seconds))

    def status(self) -> dict[str, Any]:
        """What `coalition status` shows: links, bonds, streams, lags, components (docs/cli.md)."""
        out = Bytes()
        library.agent_status(self.handle, byref(out))
        return dict(json.loads(out.take()))

    @checked
    def bind_file(self, path: Path, component: str, *, expect: Optional[str] = None) -> Bond:
        """Binds a module ("atlas") or an organism (by its role) of a coalition file.

        expect: the fingerprint that the file must have; without it, the file is believed.
        """
        return Bond(self, handle(library.bind_file, self.handle, OUT, text(os.fspath(path)),
                                 text(component), text(expect)))

    @checked
    def bind(self, label: str, *, stable_id: str, deployment: str, content: str,
             members: Sequence[str]) -> Bond:
        """Binds a component by its first roster: "<peer>@host:port" of every member."""
        return Bond(self, handle(library.bind, self.handle, OUT, text(label), text(stable_id),
                                 text(deployment), text(content),
                                 texts(members), len(members)))

    @checked
    def add_component(self, label: str, *, stable_id: str, deployment: str, content: str,
                      members: Sequence[str], surfaces: Iterable[Surface],
                      acl: Optional[Acl] = None, retention: Optional[str] = None,
                      found: bool = True) -> None:
        """Runs a member of a committee whose component is these collections and streams.

        Each member is an agent of its own with components=True; `members` names them all,
        with addresses. acl: who may write. found: a first start. retention: to keep more of the
        past than the surfaces declare, as in a node's file: "7d", "200000 commits, 36h, 512MiB".
        """
        listed = list(surfaces)
        for i, surface in enumerate(listed):
            judge('add_component', f'surfaces[{i}]', Surface, surface)
        handles = (ctypes.c_void_p * max(len(listed), 1))(*[s.handle for s in listed])
        clauses = acl.encode() if acl else b''
        check(library.component_add, self.handle, text(label), text(stable_id),
              text(deployment), text(content), texts(members), len(members), handles,
              len(listed), clauses, len(clauses), text(retention), found)


class Part:
    """Something that hangs on an agent: closed by close(), by `with`, or with the agent."""

    def __init__(self, agent: Agent, value: int) -> None:
        self.agent, self._handle = agent, value
        agent._parts.append(self)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def handle(self) -> int:
        if not self._handle:
            raise ValueError('it was closed')
        return self._handle

    def _free(self, value: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        if self._handle:
            value, self._handle = self._handle, 0
            self.agent._parts.remove(self)
            self._free(value)


class Bond(Part):
    """A component, bound: what surfaces are opened on, and written through."""

    def __init__(self, agent: Agent, value: int) -> None:
        super().__init__(agent, value)
        self._on: list[Part] = []

    @checked
    def wait(self, timeout: float = 10) -> Bond:
        """Until a member is linked. Unreachable or Refused say why not."""
        check(library.bond_wait, self.handle, milliseconds(timeout))
        return self

    def said(self) -> list[str]:
        """What was said about members that refused, lied or fell silent, newest first."""
        return [str(line) for line in self.status()['said']]

    def status(self) -> dict[str, Any]:
        """How it stands, as in Agent.status()['bonds']."""
        out = Bytes()
        library.bond_status(self.agent.handle, self.handle, byref(out))
        return dict(json.loads(out.take()))

    @checked
    def trace(self, timeout: float = 2) -> Trace:
        """`with bond.trace() as course:` one write, then course.members says when each member
        had it logged, durable, committed, applied, certified."""
        return Trace(self, timeout)

    def close(self) -> None:
        while self._on:
            self._on.pop().close()
        super().close()

    def _free(self, value: int) -> None:
        library.bond_close(value)


class Trace:
    """The course of the last write inside `with bond.trace()`.

    members: after it, one dict a member: peer, index (of the log entry; 0: it saw none), leads,
    steps (name to microseconds of its own clock); or peer and error.
    """

    @checked
    def __init__(self, bond: Bond, timeout: float) -> None:
        self._bond, self._timeout = bond, milliseconds(timeout)
        self.members: list[dict[str, Any]] = []

    def __enter__(self) -> Trace:
        library.bond_trace_begin(self._bond.handle, self._timeout)
        return self

    def __exit__(self, *_: object) -> None:
        out = Bytes()
        library.bond_trace_end(self._bond.agent.handle, self._bond.handle, self._timeout, byref(out))
        self.members = list(json.loads(out.take()))
