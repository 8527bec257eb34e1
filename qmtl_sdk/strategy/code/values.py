"""The canonical form of captured plain values, and what to say of those that have none."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import re
import zoneinfo
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Final

import numpy as np

from qmtl_foundation.identity import Json, is_content_id
from qmtl_sdk.strategy.code.constants import constant, is_constant
from qmtl_sdk.strategy.code.errors import CodeIdentityError

# A longer captured container is data: it belongs in a stream or an artifact, where proofs and fingerprints see it.
MAX_CAPTURED_ITEMS: Final = 1024
MAX_CAPTURED_BITS: Final = 128  # of an integer; a longer one is a series of bits

_AS_INPUT: Final = "pass it as a StreamInput or a registered artifact"
_AS_TUPLE: Final = "make it a tuple, which cannot change"
_AS_PAIRS: Final = "make it a frozen dataclass, a tuple of pairs or a types.MappingProxyType"
_PLAIN: Final = (
    "capture numbers, strings, tuples, enums, dataclasses of those, or a registered artifact, or make it inside the "
    "function"
)

# What to do instead, by the name of a type or of one of its bases.
_MENDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ndarray", "DataFrame", "LazyFrame", "Series", "Index", "Table", "Panel", "array"), _AS_INPUT),
    **dict.fromkeys(("memoryview", "bytearray", "Tensor"), _AS_INPUT),
    "_IOBase": "a node reads through its view only: pass what the file holds as a StreamInput or a registered artifact",
    **dict.fromkeys(("list", "deque"), _AS_TUPLE),
    "dict": _AS_PAIRS,
    "set": "make it a frozenset",
    "Expr": "make the expression inside the function",
    "Timestamp": "make it a datetime.datetime",
    "Timedelta": "make it a datetime.timedelta",
    "DataType": "make it inside the function",
    "module": "use its members directly, as module.name",
    "Generator": "a generator changes as it is read: capture a seed-independent constant or use a StreamInput",
    "generator": "a generator changes as it is read: make it a tuple",
}


def artifact_form(value: object) -> Json:
    """Return the form of what carries an identity of its own: a registered artifact or a node; None for others."""
    if isinstance(value, type | ModuleType):
        return None
    for attribute, tag in (("artifact_id", "artifact"), ("node_id", "node")):
        identifier = getattr(value, attribute, None) if hasattr(type(value), attribute) else None
        identifier = identifier or getattr(value, "__dict__", {}).get(attribute)
        if isinstance(identifier, str) and is_content_id(identifier):
            return [tag, identifier]
    return None


def plain_form(value: object) -> Json:
    """Return the form of a value that holds no other objects; None when ``value`` is not of such a type."""
    if is_constant(value):
        return constant(value)
    if isinstance(value, np.generic):
        return _numpy_scalar(value)
    for kind, write in _PLAIN_TYPES.items():
        if type(value) is kind:
            return [kind.__name__, *write(value)]
    if isinstance(value, np.dtype) and not value.hasobject:
        return ["dtype", str(value.descr)]
    return None


def refuse_bulk(value: object, where: str) -> None:
    """Raise CodeIdentityError for a text, container or integer that is too large to be a constant."""
    size = len(value) if isinstance(value, str | bytes) else _leaves(value)
    if size > MAX_CAPTURED_ITEMS:
        problem = f"has {size} items, more than the {MAX_CAPTURED_ITEMS} that count as a constant"
        raise CodeIdentityError(f"captured value {where!r}", problem, _AS_INPUT)
    if type(value) is int and value.bit_length() > MAX_CAPTURED_BITS:
        problem = f"has {value.bit_length()} bits, more than the {MAX_CAPTURED_BITS} that count as a number"
        raise CodeIdentityError(f"captured value {where!r}", problem, _AS_INPUT)


def _leaves(value: object) -> int:
    """Return how many values a container holds at any depth: a table is no smaller for its rows."""
    if not isinstance(value, tuple | frozenset | MappingProxyType):
        return 1
    items = value.values() if isinstance(value, MappingProxyType) else value
    return max(len(value), sum(map(_leaves, items)))


def no_canonical_form(value: object, where: str) -> CodeIdentityError:
    """Return the refusal of a captured value, with the mend that fits its type."""
    names = [base.__name__ for base in type(value).__mro__]
    mend = next((_MENDS[name] for name in names if name in _MENDS), _PLAIN)
    return CodeIdentityError(f"captured value {where!r}", f"of type {names[0]} has no canonical form", mend)


def _numpy_scalar(value: np.generic) -> Json:
    if value.dtype.hasobject:
        return None
    return ["numpy", value.dtype.newbyteorder("<").str, value.astype(value.dtype.newbyteorder("<")).tobytes().hex()]


def _moment(value: dt.datetime | dt.time) -> list[Json]:
    return [value.isoformat(), value.fold, str(value.tzinfo) if value.tzinfo is not None else None]


_PLAIN_TYPES: Final[Mapping[type, Callable[..., list[Json]]]] = {
    range: lambda value: [constant(value.start), constant(value.stop), constant(value.step)],
    dt.date: lambda value: [value.isoformat()],
    dt.datetime: _moment,
    dt.time: _moment,
    dt.timedelta: lambda value: [constant(value.days), value.seconds, value.microseconds],
    dt.timezone: lambda value: [str(value)],
    zoneinfo.ZoneInfo: lambda value: [value.key],
    decimal.Decimal: lambda value: [str(value)],
    fractions.Fraction: lambda value: [constant(value.numerator), constant(value.denominator)],
    re.Pattern: lambda value: [constant(value.pattern), value.flags],
}
