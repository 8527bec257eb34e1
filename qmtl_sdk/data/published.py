"""What was published beside the bars, put on them: each bar has what was last known of a symbol by its close."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.conformance import check_order
from qmtl_sdk.data.partitions import Partition
from qmtl_sdk.data.preset import PublishedStream
from qmtl_sdk.data.sessions import BarGrid
from qmtl_sdk.data.source import SourceRows


def on_bars(stream: PublishedStream, symbols: tuple[str, ...], rows: SourceRows, grid: BarGrid) -> Partition:
    """Return a stream's columns [T, S] on the bars of a grid; null before a symbol's first publication.

    A row holds from its very moment on, until the symbol's next one; where that has a null, nothing is known. Raises
    QmtlError DATA_INVALID for rows out of order and infinite numbers.
    """
    check_order(rows, symbols)
    _refuse_infinite(stream, symbols, rows)
    columns = {name: np.full((len(grid), len(symbols)), np.nan) for name in stream.columns}
    by_symbol = np.argsort(rows.symbols, kind="stable")  # keeps each symbol's rows in order of time
    starts = np.searchsorted(rows.symbols[by_symbol], np.arange(1, len(symbols)))
    for index, mine in enumerate(np.split(by_symbol, starts)):
        newest = np.searchsorted(rows.times[mine], grid.closes, side="right") - 1
        known = newest >= 0
        for name, column in columns.items():
            column[known, index] = _canonical(rows.columns[name][mine])[newest[known]]
    for column in columns.values():
        column.flags.writeable = False
    return Partition(grid, symbols, columns)


def _refuse_infinite(stream: PublishedStream, symbols: tuple[str, ...], rows: SourceRows) -> None:
    for name in stream.columns:
        bad = np.flatnonzero(np.isinf(rows.columns[name]))
        if bad.size:
            row, symbol = str(rows.rows[bad[0]]), symbols[rows.symbols[bad[0]]]
            raise QmtlError(
                Reason.DATA_INVALID,
                f"stream {stream.name!r}, row {row} ({symbol}): {name} is infinite; leave the cell empty where unknown",
                metadata={"stream": stream.name, "row": row, "symbol": symbol, "column": name},
            )


def _canonical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with one NaN, and without -0.0, as bars have them: equal values have equal bytes."""
    return np.where(np.isnan(values), np.nan, values + 0.0)
