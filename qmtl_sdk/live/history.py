"""The newest bars of one node: a bounded window that bars are added to, and read from as the engine's own views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.values import Axis, TimeArray, Value, ValueKind
from qmtl_sdk.strategy.view import InputView

ROOM: Final = 2  # times what is kept: it is moved to the front once for as many bars as are kept


@dataclass(frozen=True, slots=True)
class Layout:
    """Say what a node holds: its symbols, and the kind of each of its columns.

    The backtest knows it; live would else learn a fold's kind from its first value, and too late for a node behind it.
    """

    symbols: tuple[str, ...]
    kinds: Mapping[str, ValueKind]

    @classmethod
    def of(cls, columns: InputView) -> Layout:
        """Return the layout of a node's columns."""
        return cls(columns.symbols, {name: value.kind for name, value in columns.columns.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Hold a copy of what a history keeps, and how many bars there ever were."""

    timestamps: TimeArray
    columns: Mapping[str, NDArray[Any]]
    bars: int


class History:
    """Keep the newest ``kept`` bars of a node. ``bars`` counts all there ever were."""

    __slots__ = ("_columns", "_end", "_layout", "_timestamps", "bars", "kept")

    def __init__(self, layout: Layout, kept: int) -> None:
        room = ROOM * kept
        self._layout = layout
        self._timestamps = np.empty(room, dtype=np.int64)
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty((room, len(layout.symbols)), dtype=np.int8 if kind is ValueKind.BOOL else np.float64)
            for name, kind in layout.kinds.items()
        }
        self._end = 0
        self.bars = 0
        self.kept = kept

    def add(self, timestamp: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add one bar, each column [S], in the data of its kind."""
        if self._end == len(self._timestamps):
            self._make_room()
        self._timestamps[self._end] = timestamp
        for name, kept in self._columns.items():
            kept[self._end] = columns[name]
        self._end += 1
        self.bars += 1

    def last(self, bars: int) -> InputView:
        """Return the newest bars, as many as there are, as read-only views that hold until the next bar is added."""
        rows = slice(max(0, self._end - bars), self._end)
        columns = {name: Value(self._layout.kinds[name], _locked(kept[rows])) for name, kept in self._columns.items()}
        return InputView(Axis(_locked(self._timestamps[rows]), self._layout.symbols), columns)

    def copy(self) -> Kept:
        """Return what is kept, in memory of its own."""
        rows = slice(max(0, self._end - self.kept), self._end)
        return Kept(
            self._timestamps[rows].copy(), {n: kept[rows].copy() for n, kept in self._columns.items()}, self.bars
        )

    def restore(self, before: Kept) -> None:
        """Become what was copied."""
        self._end, self.bars = len(before.timestamps), before.bars
        self._timestamps[: self._end] = before.timestamps
        for name, kept in self._columns.items():
            kept[: self._end] = before.columns[name]

    def _make_room(self) -> None:
        keep = self.kept - 1  # with the bar to come, all that is kept
        for array in (self._timestamps, *self._columns.values()):
            array[:keep] = array[self._end - keep : self._end].copy()
        self._end = keep


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
