"""What a source hands over: rows, one per bar (or publication) and symbol, as they stand in it, and when they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.data.preset import TimeMeans
from qmtl_sdk.data.sessions import BarGrid

SOURCE_CONTEXT: Final = "qmtl 2026-11 source-version v1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what is read from a source: rows of ``symbols`` with ``columns``; ``name`` is for messages."""

    name: str
    symbols: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """Hold N rows in the order of the source, for the symbols of a preset only.

    ``times``: int64 [N], nanoseconds in UTC; for TimeMeans.SESSION, midnight UTC of the session's date. ``symbols``:
    int64 [N], index into the preset's symbols. ``columns``: float64 [N] each, those of the preset's schema, and
    ``adj_close`` where prices are to be adjusted; NaN is null. ``rows``: int64 [N], the row's number in the source, 1
    the first, over all its files in the order of their names; for messages.
    ``grid``: the bars that the calendar expects, where the source knows them; None asks the calendar.
    """

    times: NDArray[np.int64]
    symbols: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    rows: NDArray[np.int64]
    time_means: TimeMeans
    grid: BarGrid | None = None


class DataSource(Protocol):
    """Read the rows of one preset or stream from wherever they are. Implement it to bring a source of your own."""

    def version(self) -> str:
        """Return a text that changes whenever the content does; cheap. Raises QmtlError DATA_UNAVAILABLE."""
        ...

    def read(self) -> SourceRows:
        """Return all rows. Raises QmtlError DATA_UNAVAILABLE or DATA_INVALID naming row, time and symbol."""
        ...
