"""The C library, loaded once: the functions of src/ffi/ffi.h with their types, and errors.

The library is looked for in MOSAIK_LIBRARY (a path), beside this package, in the build
folder of a source tree, below the prefix that it is installed in, where the system keeps
libraries, and where pkg-config says that `coalition` is.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
import subprocess
import sysconfig
from ctypes import (POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint, c_uint8, c_uint16,
                    c_uint32, c_uint64, c_void_p)
from typing import Any, Callable, Iterator, Optional, Sequence

ERR_ROOM = 400  # MK_FAULT_MAX
ID_ROOM = 65    # MK_ID_HEX


class Bytes(ctypes.Structure):
    """struct mkf_bytes: lent by the agent until its next call."""
    _fields_ = [('p', c_void_p), ('n', c_size_t)]

    def take(self) -> bytes:
        return ctypes.string_at(self.p, self.n) if self.n else b''


class Limits(ctypes.Structure):
    """struct mkf_limits."""
    _fields_ = [('retain_items', c_uint32), ('retain_bytes', c_uint32), ('retain_ms', c_uint32),
                ('subscribers_max', c_uint32), ('online_at', c_uint32), ('slow', c_char_p)]


FILTER = ctypes.CFUNCTYPE(c_bool, c_void_p, c_size_t)

_A = c_void_p   # any handle
_S = c_char_p
_SIGNATURES = {
    'version': (_S, []),
    'error': (_S, [c_int]),
    'agent_open': (c_int, [POINTER(_A), _S, _S, _S, POINTER(_S), c_size_t, POINTER(Bytes),
                           c_size_t, c_bool, _S]),
    'agent_close': (None, [_A]),
    'agent_peer': (None, [_A, _S]),
    'agent_tag': (c_int, [_A, POINTER(_S), c_size_t, _S]),
    'agent_tagged': (c_bool, [_A, _S, _S]),
    'agent_peers': (c_uint, [_A]),
    'agent_sync': (c_int, [_A, _S, c_uint32, _S]),
    'agent_port': (c_uint16, [_A]),
    'agent_run': (None, [_A, c_uint32]),
    'agent_renew': (c_int, [_A, POINTER(Bytes), c_size_t, _S]),
    'agent_status': (None, [_A, POINTER(Bytes)]),
    'id': (None, [_S, _S]),
    'key_peer': (None, [_S, _S]),
    'bind_file': (c_int, [_A, POINTER(_A), _S, _S, _S, _S]),
    'bind': (c_int, [_A, POINTER(_A), _S, _S, _S, _S, POINTER(_S), c_size_t, _S]),
    'bond_wait': (c_int, [_A, c_uint32, _S]),
    'bond_close': (None, [_A]),
    'bond_status': (None, [_A, _A, POINTER(Bytes)]),
    'bond_trace_begin': (None, [_A, c_uint32]),
    'bond_trace_end': (None, [_A, _A, c_uint32, POINTER(Bytes)]),
    'file_id': (c_int, [_S, _S, _S]),
    'surface_new': (c_int, [POINTER(_A), _S, _S, _S, _S, c_uint64, c_uint32, c_uint32, _S]),
    'surface_free': (None, [_A]),
    'json': (c_int, [_A, _S, _S, c_size_t, POINTER(Bytes), _S]),
    'component_add': (c_int, [_A, _S, _S, _S, _S, POINTER(_S), c_size_t, POINTER(_A), c_size_t,
                              _S, c_size_t, _S, c_bool, _S]),
    'write': (c_int, [_A, _A, _S, c_size_t, c_int, c_uint32, POINTER(c_uint64), POINTER(c_bool),
                      _S]),
    'collection_open': (c_int, [_A, POINTER(_A), _A, _S]),
    'collection_close': (None, [_A]),
    'collection_online': (c_bool, [_A]),
    'collection_version': (c_uint64, [_A]),
    'collection_wait': (c_int, [_A, c_uint64, c_uint32, _S]),
    'collection_count': (c_size_t, [_A]),
    'collection_get': (c_int, [_A, _S, c_size_t, POINTER(Bytes)]),
    'collection_next': (c_bool, [_A, _S, POINTER(Bytes), POINTER(Bytes)]),
    'vec_at': (c_int, [_A, c_uint64, POINTER(Bytes)]),
    'queue_at': (c_int, [_A, c_uint64, POINTER(c_uint64), POINTER(Bytes), POINTER(Bytes)]),
    'queue_priority': (c_int, [_A, _S, c_size_t, POINTER(c_uint64)]),
    'lookup': (c_int, [_A, _A, _A, _S, c_size_t, c_uint64, c_uint32, POINTER(Bytes), _S]),
    'feed_open': (c_int, [_A, POINTER(_A), _A, c_int, _S, _S]),
    'feed_close': (None, [_A]),
    'feed_next': (c_int, [_A, _A, c_uint32, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_bool),
                          POINTER(Bytes), _S]),
    'feed_cursor': (None, [_A, _A, POINTER(Bytes)]),
    'producer_open': (c_int, [_A, POINTER(_A), _S, _S, POINTER(Limits), _S, c_size_t, _S]),
    'producer_close': (None, [_A]),
    'producer_send': (c_int, [_A, _S, c_size_t, POINTER(c_uint64)]),
    'producer_subscribers': (c_uint, [_A]),
    'producer_online': (c_bool, [_A]),
    'producer_wait_within': (c_int, [_A, _A, c_uint64, c_uint32, _S]),
    'consumer_open': (c_int, [_A, POINTER(_A), _S, _S, _S, _S, c_bool, _S, _S, c_size_t, _S]),
    'consumer_close': (None, [_A]),
    'consumer_next': (c_int, [_A, c_uint32, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_bool),
                              POINTER(Bytes), _S]),
    'consumer_cursor': (None, [_A, POINTER(Bytes)]),
    'when_bound': (_A, [_A]),
    'when_online': (_A, [_A]),
    'when_updated': (_A, [_A]),
    'when_reaches': (_A, [_A, c_uint64]),
    'when_subscribed': (_A, [_A, c_uint]),
    'when_tagged': (_A, [_A, _S, c_uint]),
    'when_offered': (_A, [_A, _S, c_uint]),
    'when_appended': (_A, [_A, c_void_p]),
    'when_feed_window': (_A, [_A, c_uint32, c_uint32, c_void_p]),
    'when_received': (_A, [_A, c_void_p]),
    'when_consumer_window': (_A, [_A, c_uint32, c_uint32, c_void_p]),
    'when_consuming': (_A, [_A]),
    'when_all': (_A, [POINTER(_A), c_size_t]),
    'when_any': (_A, [POINTER(_A), c_size_t]),
    'when_not': (_A, [_A]),
    'when_holds': (c_bool, [_A]),
    'when_wait': (c_int, [_A, c_uint32, _S]),
    'when_interrupt': (None, [_A]),
    'when_explain': (None, [_A, _A, POINTER(Bytes)]),
    'when_free': (None, [_A]),
    'jwt_keys_new': (_A, []),
    'jwt_keys_free': (None, [_A]),
    'jwt_keys_add': (c_int, [_A, _S, _S, c_size_t, _S]),
    'jwt_keys_add_jwk': (c_int, [_A, _S, _S]),
    'jwt_judge': (c_int, [_A, _A, _S, _S, _S, _S, c_uint64, POINTER(c_uint64), POINTER(Bytes),
                          _S]),
    'jwt_issue_secret': (c_int, [_A, _S, _S, c_size_t, _S, POINTER(Bytes), _S]),
    'jwt_issue': (None, [_A, _S, _S, POINTER(Bytes)]),
    'jwt_ticket': (None, [_A, _S, POINTER(Bytes)]),
    'acl_json': (c_int, [_A, _S, c_size_t, POINTER(Bytes), _S]),
}


class MosaikError(Exception):
    """What the library refused or could not do: a code of mosaik/error.h, and one line."""

    code = 0

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Malformed(MosaikError):
    """Bytes or a text that are not what they should be."""


class NotFound(MosaikError):
    """It is not there; of a lookup: proven not to be there."""


class TimedOut(MosaikError):
    """Not in time; of a write: its outcome is not known."""


class Refused(MosaikError):
    """A rule or a clause says no; the text says which."""


class Unreachable(MosaikError):
    """Nobody answered, or no majority."""


class Closed(MosaikError):
    """The object is gone, or it can never be."""


class Stale(MosaikError):
    """Nothing certified is fresh enough."""


class BadSignature(MosaikError):
    """A signature or a proof does not hold."""


_BY_CODE = {-3: Malformed, -5: NotFound, -7: TimedOut, -8: Closed, -10: Closed, -11: Refused,
            -13: Unreachable, -14: BadSignature, -15: Stale, -20: Unreachable, -23: Closed}


def _library_folders(here: str) -> Iterator[str]:
    """Where `make install` puts libraries, seen from where it puts packages, below one prefix."""
    triple = sysconfig.get_config_var('MULTIARCH') or ''
    for _ in range(4):
        here = os.path.dirname(here)
        if os.path.basename(here) == 'lib':
            yield from (here, os.path.join(here, triple))


def _find() -> str:
    named = os.environ.get('MOSAIK_LIBRARY')
    if named:
        return named
    here = os.path.dirname(os.path.abspath(__file__))
    tree = os.path.dirname(os.path.dirname(here))
    for folder in (here, os.path.join(tree, 'build', 'src', 'ffi'), *_library_folders(here)):
        path = os.path.join(folder, 'libmosaik_ffi.so')
        if os.path.exists(path):
            return path
    return ctypes.util.find_library('mosaik_ffi') or _asked() or 'libmosaik_ffi.so'


def _asked() -> Optional[str]:
    """What pkg-config knows of an installation elsewhere."""
    try:
        ran = subprocess.run(['pkg-config', '--variable=libdir', 'coalition'], check=True, timeout=10,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    path = os.path.join(ran.stdout.strip(), 'libmosaik_ffi.so')
    return path if os.path.exists(path) else None


class _Library:
    """Attributes are the functions, without the prefix mkf_."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(_find())
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._c, 'mkf_' + name)
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:  # for type checkers
        raise AttributeError(name)


library = _Library()


def fail(code: int, text: str = '') -> MosaikError:
    """The exception for a code."""
    return _BY_CODE.get(code, MosaikError)(code, text or library.error(code).decode())


def check(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function whose last argument is err; raises what it says."""
    err = ctypes.create_string_buffer(ERR_ROOM)
    code = function(*arguments, err)
    if code != 0:
        raise fail(code, err.value.decode(errors='replace'))


def handle(function: Callable[..., int], *arguments: Any) -> int:
    """As check(), for functions whose result is a handle: `arguments` has OUT in its place."""
    out = c_void_p()
    check(function, *[byref(out) if a is OUT else a for a in arguments])
    assert out.value is not None
    return out.value


OUT = object()


def texts(values: Sequence[str]) -> Any:
    """An array of terminated texts."""
    return (c_char_p * max(len(values), 1))(*[text(v) for v in values])


def blobs(values: Sequence[bytes]) -> Any:
    """An array of Bytes, which keeps what it points to."""
    array: Any = (Bytes * max(len(values), 1))()
    kept = [ctypes.create_string_buffer(v, len(v)) for v in values]
    for at, buffer, value in zip(array, kept, values):
        at.p, at.n = ctypes.cast(buffer, c_void_p), len(value)
    array.kept = kept
    return array


def text(value: Optional[str]) -> Optional[bytes]:
    """For a `const char *`; None is NULL."""
    if value is None:
        return None
    if '\0' in value:
        raise ValueError('a text without NUL is wanted')
    return value.encode()
