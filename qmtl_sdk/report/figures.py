"""How numbers are read: one form for each unit of the catalog of metrics, the same wherever people see a metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeGuard

from qmtl_foundation.statistics.catalog import METRICS, Unit

ABSENT: Final = "-"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number for people: grouped, with that many decimals; small ones keep three digits that count."""
    if not _known(value):
        return ABSENT
    if value and abs(value) < 10**-digits:
        return f"{value:.3g}"
    return f"{value:,.{digits}f}"


def percent(fraction: float | None) -> str:
    """Return a fraction in percent."""
    return f"{100 * fraction:,.1f}%" if _known(fraction) else ABSENT


def metric(name: str, value: float | None) -> str:
    """Return a metric as its unit is read; one that the catalog does not have is read as a ratio."""
    unit = METRICS[name].unit if name in METRICS else Unit.RATIO
    return _FORMS[unit](value)


def judged(value: float | None) -> str:
    """Return the value or the limit of a rule in the unit that policies write, not in percent."""
    if not _known(value):
        return ABSENT
    return f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _bars(value: float | None) -> str:
    return number(value, 0 if _known(value) and value.is_integer() else 1)


def _count(value: float | None) -> str:
    return number(value, 0)


_FORMS: Final[Mapping[Unit, Callable[[float | None], str]]] = {
    Unit.FRACTION: percent,
    Unit.FRACTION_PER_YEAR: percent,
    Unit.PROBABILITY: number,
    Unit.RATIO: number,
    Unit.BARS: _bars,
    Unit.COUNT: _count,
}
