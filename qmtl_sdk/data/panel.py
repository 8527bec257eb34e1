"""The panel: aligned columns over [time, symbol], the one shape that all computation runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Hold columns of one interval over [time, symbol].

    ``timestamps``: int64 [T], nanoseconds since the Unix epoch (UTC) of each bar's *close*, the moment at which the
    bar is known; strictly ascending. ``symbols``: S distinct names. ``columns``: each float64 [T, S], C-contiguous,
    read-only; NaN is null (not listed yet, halted, no trade). ``interval_s``: seconds of one bar; a session counts as
    86,400.
    """

    timestamps: NDArray[np.int64]
    symbols: tuple[str, ...]
    columns: Mapping[str, NDArray[np.float64]]
    interval_s: int

    def __post_init__(self) -> None:
        """Check shapes and order; raise ValueError naming the column or the first bad timestamp."""
        bars = len(self.timestamps)
        if self.timestamps.dtype != np.int64 or self.timestamps.ndim != 1:
            raise ValueError("timestamps must be int64 [T], nanoseconds in UTC")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("symbols must be distinct")
        steps = np.diff(self.timestamps)
        if steps.size and steps.min() <= 0:
            first = int(np.argmax(steps <= 0)) + 1
            when = np.datetime64(int(self.timestamps[first]), "ns")
            raise ValueError(f"timestamps must be strictly ascending; bar {first} ({when}) is not after the one before")
        for name, column in self.columns.items():
            if column.shape != (bars, len(self.symbols)) or column.dtype != np.float64:
                found = f"{column.dtype} {list(column.shape)}"
                raise ValueError(f"column {name!r} must be float64 [{bars}, {len(self.symbols)}], is {found}")
