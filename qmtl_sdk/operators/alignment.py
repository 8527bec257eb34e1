"""Operators that change where a value lies: choose a symbol, and join as of the last closed bar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy.values import Axis, Value

ABSENT = -1


def choose_symbol(value: Value, axis: Axis, symbol: str) -> tuple[Value, Axis]:
    """Return one symbol's column [T, 1]; raise QmtlError INVALID_FIELD naming the symbols that there are."""
    if symbol not in axis.symbols:
        known = ", ".join(axis.symbols[:10]) + (", …" if len(axis.symbols) > 10 else "")
        raise QmtlError(
            Reason.INVALID_FIELD,
            f"symbol: {symbol!r} is not in the data, which has {known}",
            metadata={"field": "symbol", "symbol": symbol},
        )
    column = axis.symbols.index(symbol)
    return value.like(value.data[:, column : column + 1]), Axis(axis.timestamps, (symbol,))


def last_closed(source: Axis, clock: Axis) -> NDArray[np.intp]:
    """Return for each bar of the clock the newest source bar that has closed by then, ABSENT (-1) before the first.

    Timestamps are closes, the moments at which bars are known: a bar still open at that moment is never seen.
    """
    return np.searchsorted(source.timestamps, clock.timestamps, side="right") - 1


def symbol_positions(source: Axis, clock: Axis) -> NDArray[np.intp]:
    """Return for each symbol of the clock its position in the source, ABSENT where it is not there.

    Raises QmtlError INVALID_FIELD when no symbol is in both.
    """
    positions = {symbol: index for index, symbol in enumerate(source.symbols)}
    found = np.array([positions.get(symbol, ABSENT) for symbol in clock.symbols], dtype=np.intp)
    if (found == ABSENT).all():
        raise QmtlError(
            Reason.INVALID_FIELD,
            f"symbols: {', '.join(source.symbols[:5])} and {', '.join(clock.symbols[:5])} have none in common; "
            "choose one with .symbol(…) to use it beside the others",
            metadata={"field": "symbols"},
        )
    return found


def as_of(value: Value, bars: NDArray[np.intp], columns: NDArray[np.intp] | None) -> Value:
    """Return the value on other bars (and symbols); what is absent is null."""
    joined = value.data[bars] if len(value.data) else np.full((len(bars), value.data.shape[1]), value.null)
    joined[bars == ABSENT] = value.null
    if columns is not None:
        joined = joined[:, columns]
        joined[:, columns == ABSENT] = value.null
    return value.like(joined)
