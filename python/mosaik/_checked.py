"""Arguments of public functions, judged by their annotations: who gives the wrong type learns at the
call which argument it was, what was expected and what came, and nothing has happened yet.

    wait(): timeout: expected float, got str
    Agent(): hints[1]: expected str, got bytes

Values are never shown, since some are secrets. An int goes for a float, but a bool for neither, and
a str or bytes for no sequence of texts. What only a call can tell (hex, lengths, ranges) is a
ValueError or an error of the library.
"""
from __future__ import annotations

import collections.abc
import functools
import inspect
import os
import sys
import typing
from typing import Any, Callable, Iterator, Optional, Tuple, TypeVar, Union

F = TypeVar('F', bound=Callable[..., Any])
# (where in the argument, what was expected, what came)
Offence = Tuple[str, str, Any]


def _words(hint: Any) -> str:
    """An annotation as a reader would say it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is type(None):
        return 'None'
    if origin is Union:
        return ' or '.join(_words(a) for a in args)
    if origin is collections.abc.Callable:
        return 'a function'
    if origin in (collections.abc.Mapping, dict):
        return 'a dict'
    if origin is os.PathLike:
        return 'PathLike'
    if origin is not None:
        inner = [a for a in args if a is not Ellipsis]
        kind = 'tuple' if origin is tuple else 'sequence'
        return f'a {kind} of {", ".join(_words(a) for a in inner)}'
    return str(getattr(hint, '__name__', hint))


def _wrong(hint: Any, value: Any) -> Optional[Offence]:
    """The first thing in `value` that is not as `hint` says."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return None
    if origin is Union:
        return None if any(_wrong(a, value) is None for a in args) else _nearest(hint, args, value)
    if origin is None:
        fits = (isinstance(value, (int, float)) if hint is float else isinstance(value, hint))
        if isinstance(value, bool) and hint in (int, float):
            fits = False
        return None if fits else ('', _words(hint), value)
    if origin is collections.abc.Callable:
        return None if callable(value) else ('', _words(hint), value)
    if origin in (collections.abc.Mapping, dict):
        return None if isinstance(value, collections.abc.Mapping) else ('', _words(hint), value)
    if origin is os.PathLike:
        return None if isinstance(value, os.PathLike) else ('', _words(hint), value)
    return _wrong_items(hint, origin, args, value)


def _nearest(hint: Any, args: Tuple[Any, ...], value: Any) -> Offence:
    """Of Optional[Sequence[...]] with a bad element: that element."""
    for a in args:
        found = _wrong(a, value)
        if found is not None and found[0]:
            return found
    return '', _words(hint), value


def _wrong_items(hint: Any, origin: Any, args: Tuple[Any, ...],
                 value: Any) -> Optional[Offence]:
    if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, origin):
        return '', _words(hint), value
    if not isinstance(value, collections.abc.Collection):
        return None  # can be gone through once, by whoever uses it
    if origin is tuple and len(value) != len(args):
        return '', _words(hint), value
    for i, item in enumerate(value):
        found = _wrong(args[i] if origin is tuple else args[0], item)
        if found is not None:
            return f'[{i}]{found[0]}', found[1], found[2]
    return None


def judge(what: str, name: str, hint: Any, value: Any) -> None:
    """TypeError: what(): name: expected hint, got the type of value."""
    found = _wrong(hint, value)
    if found is not None:
        came = 'None' if found[2] is None else type(found[2]).__name__
        raise TypeError(f'{what}(): {name}{found[0]}: expected {found[1]}, got {came}')


def whole(what: str, name: str, value: int, bits: int = 64) -> int:
    """The value, if it is not negative and fits; ctypes would cut it."""
    if value < 0 or value >> bits:
        raise ValueError(f'{what}(): {name}: {value} is not from 0 to 2**{bits} - 1')
    return value


def named(e: Exception, what: str) -> Exception:
    """The same offence, with a name before it."""
    return (TypeError if isinstance(e, TypeError) else ValueError)(f'{what}: {e}')


class _Plan:
    """What a function's arguments must be; made at the first call, when all modules are there."""

    def __init__(self, function: Callable[..., Any]) -> None:
        names = {**vars(sys.modules['mosaik']), **function.__globals__}
        hints = typing.get_type_hints(function, names)
        self.order, self.rest = [], None  # type: list[str], Optional[str]
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                self.rest = p.name
            elif p.kind is p.POSITIONAL_OR_KEYWORD:
                self.order.append(p.name)
        self.hints = {n: h for n, h in hints.items() if n != 'return' and h is not Any}

    def pairs(self, args: Tuple[Any, ...], named: dict[str, Any]) -> Iterator[Tuple[str, Any, Any]]:
        for name, value in zip(self.order, args):
            if name in self.hints:
                yield name, self.hints[name], value
        if self.rest in self.hints:
            for i, value in enumerate(args[len(self.order):]):
                yield f'{self.rest}[{i}]', self.hints[self.rest], value
        for name, value in named.items():
            if name in self.hints:
                yield name, self.hints[name], value


def checked(function: F) -> F:
    """The function, with its arguments judged before anything is done with them."""
    plan: list[_Plan] = []
    what, made = function.__name__, function.__name__ == '__init__'
    if what.startswith('__'):
        what = '.'.join(function.__qualname__.split('.')[-2:])

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if not plan:
            plan.append(_Plan(function))
        for name, hint, value in plan[0].pairs(args, named):
            judge(type(args[0]).__name__ if made else what, name, hint, value)
        return function(*args, **named)
    return typing.cast(F, call)
