"""Values between nodes: one column over [time, symbol] with an explicit null, and the axis that it lies on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BOOL_NULL: Final = np.int8(-1)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.int8]
TimeArray = NDArray[np.int64]


class ValueKind(StrEnum):
    """Name what a value holds; the kind decides how null is written."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """Hold one column over [time, symbol], C-contiguous and read-only.

    FLOAT and INT: float64 [T, S], NaN = null (INT holds whole numbers). BOOL: int8 [T, S] of three-valued logic, 0, 1,
    or -1 = null.
    """

    kind: ValueKind
    data: FloatArray | BoolArray

    def numbers(self) -> FloatArray:
        """Return float64 [T, S] with NaN = null; true is 1 and false 0."""
        if self.kind is not ValueKind.BOOL:
            return self.data  # type: ignore[return-value]  # FLOAT and INT hold float64 by construction
        numbers = self.data.astype(np.float64)
        numbers[self.data < 0] = np.nan
        return _locked(numbers)

    @property
    def null(self) -> float:
        """Return what null is written as in the data."""
        return int(BOOL_NULL) if self.kind is ValueKind.BOOL else math.nan

    def is_null(self) -> NDArray[np.bool_]:
        """Return bool [T, S], true where the value is unknown."""
        return self.data < 0 if self.kind is ValueKind.BOOL else np.isnan(self.data)

    def rows(self, start: int, stop: int) -> Value:
        """Return the bars [start, stop) as a view on the same memory."""
        return Value(self.kind, self.data[start:stop])

    def own(self) -> Value:
        """Return the value in memory of its own, from which nothing beyond its bars can be reached."""
        return Value(self.kind, _locked(self.data.copy()))

    def like(self, data: NDArray[Any]) -> Value:
        """Return a value of the same kind over other data, which is made read-only."""
        return Value(self.kind, _locked(np.asarray(data, dtype=self.data.dtype)))


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Say where a value lies: int64 [T] closes in nanoseconds of UTC, and the S symbols."""

    timestamps: TimeArray
    symbols: tuple[str, ...]

    def rows(self, start: int, stop: int) -> Axis:
        """Return the bars [start, stop)."""
        return Axis(self.timestamps[start:stop], self.symbols)

    def own(self) -> Axis:
        """Return the axis in memory of its own."""
        return Axis(_locked(self.timestamps.copy()), self.symbols)

    def when(self, bar: int) -> str:
        """Return the close of one bar as people write it."""
        return f"{np.datetime_as_string(np.datetime64(int(self.timestamps[bar]), 'ns'), unit='s')}Z"


def floats(data: FloatArray) -> Value:
    """Return a FLOAT value over float64 [T, S]; the array is made read-only."""
    return Value(ValueKind.FLOAT, _locked(data))


def booleans(data: BoolArray) -> Value:
    """Return a BOOL value over int8 [T, S] of 0, 1 and -1; the array is made read-only."""
    return Value(ValueKind.BOOL, _locked(data))


def integers(data: FloatArray) -> Value:
    """Return an INT value over float64 [T, S] of whole numbers; the array is made read-only."""
    return Value(ValueKind.INT, _locked(data))


def _locked(data: NDArray[Any]) -> NDArray[Any]:
    data = np.ascontiguousarray(data)
    data.flags.writeable = False
    return data
