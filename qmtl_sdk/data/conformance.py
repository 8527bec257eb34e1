"""Which rows break the schema of bars: each rule, the count of its breaches, and the first case for people.

A null (an empty cell) breaks nothing by itself: a row without any price says "no trade".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json
from qmtl_sdk.data.preset import ADJUSTED_CLOSE
from qmtl_sdk.data.source import SourceRows
from qmtl_sdk.data.times import format_instant

PRICES: Final = ("open", "high", "low", "close", ADJUSTED_CLOSE)

Breach = tuple["Rule", str, NDArray[np.bool_]]


class Rule(StrEnum):
    """Name what a row can break."""

    INFINITE = "infinite"  # any column; delivered as null
    NOT_POSITIVE = "not_positive"  # a price of 0 or less
    PARTIAL_PRICES = "partial_prices"  # one price known and another not
    OUTSIDE_HIGH_LOW = "outside_high_low"  # open, close or the other bound beyond high or low
    NEGATIVE_VOLUME = "negative_volume"
    OFF_CALENDAR = "off_calendar"  # no bar of the calendar is at this time; the row is left out


@dataclass(frozen=True, slots=True)
class Violation:
    """Count the rows that break one rule, and name the first: its row in the source, its time there, symbol, value.

    ``value`` is None where the column has none that is finite.
    """

    rule: Rule
    column: str
    count: int
    row: int
    time: str
    symbol: str
    value: float | None

    def __str__(self) -> str:
        rows = "1 row" if self.count == 1 else f"{self.count:,} rows"
        value = "" if self.value is None else f" with {self.value:g}"
        return f"{self.rule} in {self.column} ({rows}, first row {self.row}: {self.symbol} at {self.time}{value})"

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "column": self.column,
            "count": self.count,
            "row": self.row,
            "rule": str(self.rule),
            "symbol": self.symbol,
            "time": self.time,
            "value": self.value,
        }


def violations(rows: SourceRows, symbols: Sequence[str]) -> tuple[Violation, ...]:
    """Return the breaches of every rule but OFF_CALENDAR, each with its first row."""
    with np.errstate(invalid="ignore"):
        found = list(_breaches(rows.columns))
    return tuple(violation(rows, symbols, *breach) for breach in found if breach[2].any())


def violation(rows: SourceRows, symbols: Sequence[str], rule: Rule, column: str, bad: NDArray[np.bool_]) -> Violation:
    """Return the violation of the rows that are ``bad`` (bool [N], at least one)."""
    first = int(np.flatnonzero(bad)[0])
    time, symbol = format_instant(int(rows.times[first])), symbols[int(rows.symbols[first])]
    stated = float(rows.columns[column][first]) if column in rows.columns else math.nan
    value = stated if math.isfinite(stated) else None
    return Violation(rule, column, int(bad.sum()), int(rows.rows[first]), time, symbol, value)


def refuse_strict(preset: str, broken: Sequence[Violation]) -> QmtlError:
    """Return the error of a strict schema that is broken."""
    listed = "; ".join(str(item) for item in broken)
    mend = "mend the source, or set schema.mode to canary, which counts such rows and delivers"
    metadata = {"data_preset": preset, "violations": str(len(broken)), "rule": str(broken[0].rule)}
    return QmtlError(
        Reason.DATA_INVALID, f"{preset}: rows break the strict schema: {listed}; {mend}", metadata=metadata
    )


def check_order(rows: SourceRows, symbols: Sequence[str]) -> None:
    """Raise QmtlError DATA_INVALID for the first row whose time repeats or goes back within its symbol."""
    order = np.argsort(rows.symbols, kind="stable")
    same = np.diff(rows.symbols[order]) == 0
    steps = np.diff(rows.times[order])
    bad = np.flatnonzero(same & (steps <= 0))
    if not bad.size:
        return
    at = bad[np.argmin(rows.rows[order[bad + 1]])]
    index = int(order[at + 1])
    row, time = int(rows.rows[index]), format_instant(int(rows.times[index]))
    symbol = symbols[int(rows.symbols[index])]
    what, mend = ("repeats", "remove one of the rows") if steps[at] == 0 else ("goes back", "sort the rows by time")
    message = f"row {row}: the time {time} of {symbol} {what} after row {int(rows.rows[order[at]])}; {mend}"
    raise QmtlError(Reason.DATA_INVALID, message, metadata={"row": str(row), "time": time, "symbol": symbol})


def _breaches(columns: Mapping[str, NDArray[np.float64]]) -> Iterator[Breach]:
    for name, values in columns.items():
        yield Rule.INFINITE, name, np.isinf(values)
    prices = {name: columns[name] for name in PRICES if name in columns}
    unknown = np.array([np.isnan(values) for values in prices.values()])
    for name, values in prices.items():
        yield Rule.NOT_POSITIVE, name, values <= 0
        yield Rule.PARTIAL_PRICES, name, np.isnan(values) & ~unknown.all(axis=0)
    yield from _outside(columns)
    if "volume" in columns:
        yield Rule.NEGATIVE_VOLUME, "volume", columns["volume"] < 0


def _outside(columns: Mapping[str, NDArray[np.float64]]) -> Iterator[Breach]:
    for name in ("open", "low", "close"):
        if name in columns and "high" in columns:
            yield Rule.OUTSIDE_HIGH_LOW, name, columns[name] > columns["high"]
    for name in ("open", "close"):
        if name in columns and "low" in columns:
            yield Rule.OUTSIDE_HIGH_LOW, name, columns[name] < columns["low"]
