"""Strategy parameters: typed class attributes, checked when a strategy is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from inspect import get_annotations
from types import MappingProxyType
from typing import ClassVar, Final, get_origin, get_type_hints

from qmtl_foundation.errors import QmtlError, Reason, invalid_field

Parameter = bool | int | float | str

TYPES: Final = (bool, int, float, str)
MAX_INTEGER: Final = 2**53 - 1  # the largest that canonical JSON holds
MAX_TEXT: Final = 10_000  # characters
MISSING: Final = object()


def checked_parameters(strategy: type, root: type, given: Mapping[str, object]) -> dict[str, Parameter]:
    """Return every parameter of a strategy class: those given, the others by default.

    ``root`` is the base whose own attributes are no parameters. Raises QmtlError INVALID_FIELD naming the parameter,
    its value and what it should be.
    """
    check_names(strategy, root, given)
    declared = declared_parameters(strategy, root)
    values: dict[str, Parameter] = {}
    for name, kind in declared.items():
        value: object = given.get(name, getattr(strategy, name, MISSING))
        if value is MISSING:
            raise invalid_field(name, f"{strategy.__name__} needs it; give {strategy.__name__}({name}=…) or a default")
        values[name] = _checked(name, kind, value)
    return values


def check_names(strategy: type, root: type, given: Iterable[object]) -> None:
    """Raise QmtlError INVALID_FIELD for the first name that is no parameter's of a strategy class."""
    declared = declared_parameters(strategy, root)
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise invalid_field(str(name), f"is no parameter of {strategy.__name__}; its parameters are: {known}")


def declared_parameters(strategy: type, root: type) -> Mapping[str, type]:
    """Return the types of a strategy class's parameters by name, those of its bases first.

    Raises QmtlError INVALID_STRATEGY for an annotation that is no parameter's.
    """
    return _declared(strategy, root)


@lru_cache(maxsize=256)
def _declared(strategy: type, root: type) -> Mapping[str, type]:
    try:
        hints = get_type_hints(strategy)
    except Exception as error:  # an annotation can raise anything
        raise _invalid(strategy, f"has an annotation that cannot be read: {error}") from error
    owned = [name for base in reversed(strategy.__mro__) if issubclass(base, root) for name in _annotated(base, root)]
    declared: dict[str, type] = {}
    for name in dict.fromkeys(owned):
        hint = hints[name]
        if name.startswith("_") or get_origin(hint) is ClassVar or hint is ClassVar:
            continue
        if hint not in TYPES:
            raise _invalid(strategy, f"has parameter {name!r} of {hint!r}; use bool, int, float or str, or ClassVar")
        declared[name] = hint
    return MappingProxyType(declared)


def _annotated(base: type, root: type) -> list[str]:
    return [] if base is root else list(get_annotations(base))


def _checked(name: str, kind: type, value: object) -> Parameter:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise invalid_field(name, f"{_short(value)} is {type(value).__name__}; give {kind.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise invalid_field(name, f"{value!r} is not finite; give a finite number")
    if type(value) is int and abs(value) > MAX_INTEGER:
        raise invalid_field(name, f"{_short(value)} is too large; at most 2**53 - 1")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise invalid_field(name, f"has {len(value)} characters; at most {MAX_TEXT}")
    assert isinstance(value, Parameter)  # noqa: S101  # `kind` is one of TYPES, and the value's own type
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _invalid(strategy: type, found: str) -> QmtlError:
    return QmtlError(
        Reason.INVALID_STRATEGY, f"strategy {strategy.__name__} {found}", metadata={"strategy": strategy.__name__}
    )
