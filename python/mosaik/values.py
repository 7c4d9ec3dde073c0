"""Decoding a value: here, or by the library where a type is structured."""
from __future__ import annotations

import json
from ctypes import byref
from typing import TYPE_CHECKING, Any

from ._library import Bytes, check, library
from .codec import Type

if TYPE_CHECKING:
    from .agent import Agent


def decode(agent: Agent, kind: Type, data: bytes) -> Any:
    if kind.decode is not None:
        return kind.decode(data)
    out = Bytes()
    check(library.json, agent.handle, kind.name.encode(), data, len(data), byref(out))
    return json.loads(out.take())
