"""Values as bytes and back: the datum encoding (postcard) of the types that Python code uses.

A `Type` has the name under which the library knows it, and the two directions. Values of
structured types (AtlasCard, PriceTick) come as dictionaries, decoded by the library.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Callable, Optional


def varint(value: int) -> bytes:
    """An unsigned integer, seven bits a byte, low ones first."""
    if value < 0 or value >> 64:
        raise ValueError(f'{value} is no u64')
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(value: bytes) -> bytes:
    """A length, then the bytes."""
    return varint(len(value)) + value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise ValueError('cut off')
        self.at += n
        return self.data[self.at - n:self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                break
        if value >> 64 or (byte == 0 and shift > 7):
            raise ValueError('not a minimal u64')
        return value


def _whole(read: Callable[[_Reader], Any]) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        reader = _Reader(data)
        value = read(reader)
        if reader.at != len(data):
            raise ValueError('bytes after the end')
        return value
    return decode


@dataclass(frozen=True)
class Type:
    """How values of one type become bytes. `decode` None: the library decodes it (JSON)."""
    name: str
    encode: Callable[[Any], bytes]
    decode: Optional[Callable[[bytes], Any]]


def _no_encode(value: Any) -> bytes:
    raise TypeError('values of this type are only read')


def _a(wanted: str, value: Any, *types: type) -> Any:
    """The value, if it is of one of the types; a bool is no number."""
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        came = 'None' if value is None else type(value).__name__
        raise TypeError(f'expected {wanted}, got {came}')
    return value


def _fixed(size: int) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        _a(f'str ({2 * size} hex digits) or bytes', value, str, bytes, bytearray)
        try:
            raw = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
        except ValueError:
            raw = b''
        if len(raw) != size:
            raise ValueError(f'{2 * size} hex digits or {size} bytes are wanted')
        return raw
    return encode


def _field(value: Any, name: str) -> Any:
    if name not in _a('a dict', value, dict):
        raise ValueError(f'a dict with "{name}" is wanted')
    return value[name]


def _bool(reader: _Reader) -> bool:
    byte = reader.take(1)[0]
    if byte > 1:
        raise ValueError('not a bool')
    return byte == 1


def _unsigned(value: Any) -> bytes:
    return varint(_a('int', value, int))


def _float(value: Any) -> bytes:
    try:
        return struct.pack('<d', float(_a('float', value, float, int)))
    except OverflowError:
        raise ValueError('the int is too large for a float') from None


def _zigzag(value: Any) -> bytes:
    if not -2**63 <= _a('int', value, int) < 2**63:
        raise ValueError(f'{value} is no i64')
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _unzigzag(reader: _Reader) -> int:
    raw = reader.varint()
    return raw >> 1 if raw & 1 == 0 else -(raw >> 1) - 1


BYTES = Type('bytes', lambda v: sized(bytes(_a('bytes', v, bytes, bytearray, memoryview))),
             _whole(lambda r: r.take(r.varint())))
STR = Type('str', lambda v: sized(_a('str', v, str).encode()),
           _whole(lambda r: r.take(r.varint()).decode()))
U64 = Type('u64', _unsigned, _whole(_Reader.varint))
I64 = Type('i64', _zigzag, _whole(_unzigzag))
BOOL = Type('bool', lambda v: bytes([_a('bool', v, bool)]), _whole(_bool))
F64 = Type('f64', _float, _whole(lambda r: struct.unpack('<d', r.take(8))[0]))
ID = Type('id', _fixed(32), _whole(lambda r: r.take(32).hex()))
PEER = Type('peer', _fixed(32), _whole(lambda r: r.take(32).hex()))
MEMBER_ID = Type('member_id', _fixed(20), _whole(lambda r: r.take(20).hex()))
ATLAS_CARD = Type('AtlasCard', _no_encode, None)
PRICE_TICK = Type('PriceTick', _no_encode, None)
SCORE = Type('Score', lambda v: _unsigned(_field(v, 'score_bps')) +
             _unsigned(_field(v, 'valid_until_ms')), None)
SETTLEMENT = Type('Settlement', lambda v: _fixed(32)(_field(v, 'evidence')) +
                  _unsigned(_field(v, 'valid_until_ms')), None)


def option(value: Optional[bytes]) -> bytes:
    """A byte 0, or 1 and the value."""
    return b'\x00' if value is None else b'\x01' + value


def sequence(items: list[bytes]) -> bytes:
    """A count, then the items."""
    return varint(len(items)) + b''.join(items)
