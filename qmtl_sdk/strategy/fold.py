"""Run an author's fold bar by bar, for each symbol alone, from a state to a state.

A bar with an unknown input is not folded: its value is null and the state stays. Values count after ``warmup``
folded bars. States go in and come out as snapshots: stop anywhere, go on from there, same values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy.function import cut, raised_in_node
from qmtl_sdk.strategy.state import FoldState
from qmtl_sdk.strategy.values import Axis, Value, ValueKind, booleans, floats, integers
from qmtl_sdk.strategy.view import View, widened

if TYPE_CHECKING:
    from qmtl_sdk.strategy.node import Node

States = Mapping[str, FoldState]
"""Where a fold stands, for each symbol."""


class Bar:
    """Show one bar of one symbol to a fold: ``bar["close"]`` or ``bar.close``; plain floats and bools, never null."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, float | bool]) -> None:
        self._values = values

    def __getitem__(self, column: str) -> float | bool:
        """Return one column; raise KeyError naming the columns that there are."""
        if column not in self._values:
            raise KeyError(f"no column {column!r}; there are {', '.join(self._values)}")
        return self._values[column]

    def __getattr__(self, column: str) -> float | bool:
        """Return one column; raise AttributeError naming the columns that there are."""
        try:
            return self[column]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None


def run_fold(node: Node, view: View, states: States | None = None) -> tuple[Value, dict[str, FoldState]]:
    """Fold every bar of a view; return the values [T, S] and the states after the last bar.

    ``states`` are those after the bar before the view's first; a symbol without one starts from the node's initial
    state. Raises QmtlError INVALID_STRATEGY naming the node, the bar and the symbol.
    """
    axis = view.axis
    results: list[list[Any]] = []
    after: dict[str, FoldState] = {}
    for index, symbol in enumerate(axis.symbols):
        start = (states or {}).get(symbol) or FoldState(node.initial, 0)
        values, after[symbol] = _fold_symbol(node, axis, symbol, _bars(view, index), start.copy())
        results.append(values)
    return _collected(node, results, len(axis.timestamps)), after


def _fold_symbol(
    node: Node, axis: Axis, symbol: str, bars: Iterator[Bar | None], start: FoldState
) -> tuple[list[Any], FoldState]:
    compute, warmup = node.compute, node.warmup
    assert compute is not None  # noqa: S101  # folds have one by construction
    state, folded = start.state, start.bars
    values: list[Any] = []
    for index, bar in enumerate(bars):
        if bar is None:
            values.append(None)
            continue
        try:
            state, value = compute(state, bar)
        except (QmtlError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit of an author's fold must not end the process either
            raise _at(node, axis, index, symbol, raised_in_node(node, error).message) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise _at(node, axis, index, symbol, f"node {node.name!r} returned {value}; return None for null")
        folded += 1
        values.append(value if folded > warmup else None)
    return values, FoldState(state, folded).copy()


def _bars(view: View, symbol: int) -> Iterator[Bar | None]:
    names: list[str] = []
    columns: list[list[float | bool | None]] = []
    width = len(view.axis.symbols)
    for source in view.names.values():
        for name, value in source.columns.items():
            names.append(name)
            columns.append(_plain(widened(value, width), symbol))
    for row in zip(*columns, strict=True):
        yield None if None in row else Bar(dict(zip(names, row, strict=True)))


def _plain(value: Value, symbol: int) -> list[float | bool | None]:
    known = ~value.is_null()[:, symbol]
    column = value.data[:, symbol]
    plain = (column > 0).tolist() if value.kind is ValueKind.BOOL else column.tolist()
    return [item if there else None for item, there in zip(plain, known.tolist(), strict=True)]


def _collected(node: Node, results: Sequence[Sequence[Any]], bars: int) -> Value:
    kinds = {_kind(node, item) for column in results for item in column if item is not None}
    if ValueKind.BOOL in kinds and len(kinds) > 1:
        raise _bad_value(node, "returned booleans and numbers; return one of them")
    data = np.empty((bars, len(results)))
    for index, column in enumerate(results):
        data[:, index] = [np.nan if item is None else item for item in column]
    if kinds == {ValueKind.BOOL}:
        return booleans(np.where(np.isnan(data), -1.0, data).astype(np.int8))
    return integers(data) if kinds == {ValueKind.INT} else floats(data)


def _kind(node: Node, item: object) -> ValueKind:
    if isinstance(item, bool | np.bool_):
        return ValueKind.BOOL
    if isinstance(item, int | np.integer):
        return ValueKind.INT
    if isinstance(item, float | np.floating):
        return ValueKind.FLOAT
    raise _bad_value(node, f"returned {cut(repr(item))}; return (state, value) with a number, a bool or None")


def _at(node: Node, axis: Axis, bar: int, symbol: str, message: str) -> QmtlError:
    when = axis.when(bar)
    return QmtlError(
        Reason.INVALID_STRATEGY,
        f"{message} (at {when} for {symbol})",
        metadata={"node": node.name, "timestamp": when, "symbol": symbol},
    )


def _bad_value(node: Node, found: str) -> QmtlError:
    return QmtlError(Reason.INVALID_STRATEGY, f"node {node.name!r} {found}", metadata={"node": node.name})
