"""The canonical form of constants: tagged text, so that 1, 1.0, True, -0.0 and huge integers all stay distinct."""

from __future__ import annotations

from types import EllipsisType

from qmtl_foundation.identity import Json, canonical_json

Constant = None | bool | int | float | complex | str | bytes | EllipsisType


def is_constant(value: object) -> bool:
    """Tell whether ``value`` is of exactly one of the constant types (no subclass)."""
    return value is None or type(value) in (bool, int, float, complex, str, bytes, EllipsisType)


def constant(value: object) -> Json:
    """Return the canonical form of a constant, also of the tuples and frozensets that a compiler folds.

    Raises TypeError for any other type.
    """
    if isinstance(value, tuple):
        return ["tuple", *(constant(item) for item in value)]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted((constant(item) for item in value), key=canonical_json)]
    if not is_constant(value):
        raise TypeError(f"{type(value).__name__} is not a constant")
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, complex):
        return ["complex", value.real.hex(), value.imag.hex()]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, int) and not isinstance(value, bool):
        return ["int", hex(value)]
    return ["name", repr(value)]


def _text(value: str) -> Json:
    # Lone surrogates have no UTF-8, and so no canonical JSON.
    if value.isascii() or value.encode("utf-8", "replace") == value.encode("utf-8", "surrogatepass"):
        return ["str", value]
    return ["utf16", value.encode("utf-16-le", "surrogatepass").hex()]
