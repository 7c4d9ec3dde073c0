#!/usr/bin/env python3
"""board.py - a component of one's own in Python: a committee of one that holds a Map, and a client
that writes to it with compare-and-set, reads it verified, and waits for a condition.

  PYTHONPATH=python examples/board.py

An agent belongs to the thread that made it, and its network happens while it waits or runs. So a
member that serves and a client that waits are two threads, or two processes. For three members:
three keys, three addresses in `members`, and a thread or process each.
"""
from __future__ import annotations

import socket
import sys
import tempfile
import threading
from typing import Any

from mosaik import (Agent, Map, MosaikError, Refused, Surface, codec, id_of, lookup, new_key,
                    peer_of, when)

# What it is: the same on both sides. Another type is another surface, which nobody would find.
NOTES = Surface('map', 'notes', codec.STR, codec.STR)
BOARD: dict[str, Any] = {'stable_id': id_of('example.board'),
                         'deployment': id_of('example.board 1'),
                         'content': id_of('example.board content')}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return int(s.getsockname()[1])


def serve(key: bytes, folder: str, members: list[str], over: threading.Event) -> None:
    """A member, until it is over. found=True: its first start; a later one says found=False."""
    with Agent(key=key, dir=folder, listen=members[0].split('@')[1], components=True) as member:
        member.add_component('board', members=members, surfaces=[NOTES], found=True, **BOARD)
        while not over.is_set():
            member.run(0.1)


def use(members: list[str]) -> None:
    """A client, with a fresh key: what it reads is signed by a majority of `members`."""
    with Agent() as agent:
        bond = agent.bind('board', members=members, **BOARD).wait(20)
        notes = Map(bond, NOTES)

        written = notes.compare_exchange('today', None, 'rain')  # None: was absent
        print(f'wrote   version {written.version}', flush=True)
        try:
            notes.compare_exchange('today', 'snow', 'sun')
        except Refused as e:
            print(f'refused {e}', flush=True)
        written = notes.insert('today', 'sun')

        when.all(when.online(notes), when.reaches(notes, written.version)).wait(10)
        print(f'copy    {dict(notes.items())}', flush=True)
        print(f'proof   {lookup(bond, NOTES, "today")}', flush=True)


def main() -> int:
    key, over = new_key(), threading.Event()
    members = [f'{peer_of(key)}@127.0.0.1:{free_port()}']
    with tempfile.TemporaryDirectory() as folder:
        member = threading.Thread(target=serve, args=(key, folder, members, over))
        member.start()
        try:
            use(members)
        finally:
            over.set()
            member.join()
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except MosaikError as e:
        sys.exit(f'board.py: {e}')
