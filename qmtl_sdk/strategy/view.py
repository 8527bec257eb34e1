"""What a function sees of its inputs: aligned, read-only columns of a stretch of bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.values import Axis, TimeArray, Value, ValueKind

if TYPE_CHECKING:
    import polars as pl

    from qmtl_sdk.strategy.node import Node


@dataclass(frozen=True, slots=True, eq=False)
class InputView:
    """Hold the columns of one input over [time, symbol].

    A stream has its own columns; any other input has one, under the input's name. ``flat`` is true within a function
    that runs for each symbol alone: its arrays are [time].
    """

    axis: Axis
    columns: Mapping[str, Value]
    flat: bool = False

    @property
    def timestamps(self) -> TimeArray:
        """Return int64 [time]: nanoseconds since the epoch (UTC) of each bar's close."""
        return self.axis.timestamps

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols, in the order of the arrays' columns."""
        return self.axis.symbols

    def array(self, column: str | None = None) -> NDArray[np.float64]:
        """Return one column as read-only float64, NaN = null, truth as 1 and 0.

        [time] in a function that runs for each symbol alone, [time, symbol] with ``cross_section=True``. The name may
        be left out where there is one column. Raises KeyError naming the columns that there are.
        """
        numbers = self.column(column).numbers()
        return numbers.reshape(-1) if self.flat else numbers

    def column(self, name: str | None = None) -> Value:
        """Return one column with its kind; raise KeyError naming the columns that there are."""
        if name is None and len(self.columns) == 1:
            return next(iter(self.columns.values()))
        if name is None or name not in self.columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.columns)}")
        return self.columns[name]

    def frame(self) -> pl.DataFrame:
        """Return a Polars frame: ts (UTC), symbol, and the columns; rows by time, then by symbol; unknown is null."""
        return long_frame(self.axis, self.columns)

    def rows(self, start: int, stop: int) -> InputView:
        """Return the bars [start, stop), as views on the same memory."""
        columns = {name: value.rows(start, stop) for name, value in self.columns.items()}
        return InputView(self.axis.rows(start, stop), columns, self.flat)

    def own(self) -> InputView:
        """Return the view in memory of its own."""
        return InputView(self.axis.own(), {name: value.own() for name, value in self.columns.items()}, self.flat)

    def only(self, symbol: int) -> InputView:
        """Return the view of one symbol, by position, with arrays [time]."""
        at = symbol if len(self.symbols) > 1 else 0
        columns = {name: _one(value, at) for name, value in self.columns.items()}
        return InputView(Axis(self.timestamps, self.symbols[at : at + 1]), columns, flat=True)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Hold the inputs of one node, by node (as the author gave it) or by name; all on one axis."""

    names: Mapping[str, InputView]
    nodes: Mapping[int, InputView]  # by id() of the author's node: nodes compare by expression, not by equality

    @classmethod
    def of(cls, node: Node, inputs: Mapping[str, InputView]) -> View:
        """Build the view of a node's inputs, given by input name."""
        return cls(inputs, {id(entry.asked): inputs[entry.name] for entry in node.inputs})

    def __getitem__(self, key: Node | str) -> InputView:
        """Return one input; raise KeyError naming the inputs that there are."""
        found = self.names.get(key) if isinstance(key, str) else self.nodes.get(id(key))
        if found is None:
            raise KeyError(f"{key!r} is no input of this node; its inputs are {', '.join(self.names)}")
        return found

    @property
    def axis(self) -> Axis:
        """Return the axis of the widest input, on which the node's value lies."""
        return max((view.axis for view in self.names.values()), key=lambda axis: len(axis.symbols))

    def rows(self, start: int, stop: int) -> View:
        """Return the bars [start, stop) of all inputs, as views on the same memory."""
        return self.mapped(lambda view: view.rows(start, stop))

    def own(self) -> View:
        """Return the view in memory of its own, for an author's function.

        NumPy arrays lead to the memory behind them (``base``), which for a window is the whole history.
        """
        return self.mapped(InputView.own)

    def only(self, symbol: int) -> View:
        """Return the inputs of one symbol, by position, with arrays [time]."""
        return self.mapped(lambda view: view.only(symbol))

    def mapped(self, change: Any) -> View:
        """Return the view with every input changed by a function of InputView."""
        changed = {name: change(view) for name, view in self.names.items()}
        by_old = {id(view): changed[name] for name, view in self.names.items()}
        return View(changed, {node: by_old[id(view)] for node, view in self.nodes.items()})

    def frame(self) -> pl.DataFrame:
        """Return one Polars frame of all inputs: ts, symbol, then each input's columns in order.

        A returned Polars expression is evaluated on it. Raises ValueError naming a column that two inputs have.
        """
        axis = self.axis
        columns: dict[str, Value] = {}
        for view in self.names.values():
            for name, value in view.columns.items():
                if name in columns:
                    raise ValueError(f"two inputs have a column {name!r}; choose one column of each, and name them")
                columns[name] = widened(value, len(axis.symbols))
        return long_frame(axis, columns)


def widened(value: Value, symbols: int) -> Value:
    """Return a value of one symbol repeated over all; others unchanged."""
    if value.data.shape[1] == symbols:
        return value
    return value.like(np.repeat(value.data, symbols, axis=1))


def long_frame(axis: Axis, columns: Mapping[str, Value]) -> pl.DataFrame:
    """Return ts, symbol and columns as a Polars frame, rows by time, then by symbol; NaN becomes null."""
    import polars as pl  # authors' own nodes only: operators do without

    bars, symbols = len(axis.timestamps), len(axis.symbols)
    ts = pl.Series("ts", np.repeat(axis.timestamps, symbols)).cast(pl.Datetime("ns", "UTC"))
    symbol = pl.Series("symbol", [np.arange(symbols)], dtype=pl.List(pl.UInt32)).explode()
    names = pl.Series("symbol", axis.symbols, dtype=pl.String).gather(symbol)
    series = [ts, pl.concat([names] * bars).alias("symbol") if bars else names.clear()]
    return pl.DataFrame([*series, *(_series(name, value) for name, value in columns.items())])


def _series(name: str, value: Value) -> pl.Series:
    import polars as pl  # authors' own nodes only: operators do without

    flat = value.data.reshape(-1)
    if value.kind is ValueKind.BOOL:
        truth = pl.Series(name, flat)
        return pl.select(pl.when(truth >= 0).then(truth == 1).alias(name)).to_series()
    series = pl.Series(name, flat, nan_to_null=True)
    return series.cast(pl.Int64) if value.kind is ValueKind.INT else series


def _one(value: Value, symbol: int) -> Value:
    return value if value.data.shape[1] == 1 else value.like(value.data[:, symbol : symbol + 1])
