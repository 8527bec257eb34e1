"""Evaluate a strategy one bar at a time, with the targets that its backtest has, bit for bit.

1. A node keeps the newest bars that the nodes behind it need (``_Step.bars``): an operator its period, a function its
   stretch and the window before it, a fold none, for its state remembers.
2. At each moment the nodes whose clock has a bar compute it from those, in topological order: ``strategy/compute.py``.
3. The output is put on the world's bar as a backtest does; a signal goes through the sizing rule.

Memory and time per bar depend on the program alone, never on how many bars there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import SizingRule
from qmtl_sdk.backtest.sizing import targets_of_signal
from qmtl_sdk.live.feed import Moment
from qmtl_sdk.live.history import History, Kept, Layout
from qmtl_sdk.strategy.compute import FoldStates, compute_columns, compute_value, view_of
from qmtl_sdk.strategy.evaluate import Evaluation
from qmtl_sdk.strategy.function import compute_stretch, stretch_bars
from qmtl_sdk.strategy.graph import needs
from qmtl_sdk.strategy.node import Node, NodeKind
from qmtl_sdk.strategy.program import OutputKind, Program
from qmtl_sdk.strategy.state import FoldState
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import BOOL_NULL, Axis, FloatArray, Value, ValueKind
from qmtl_sdk.strategy.view import InputView


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Hold where an evaluation stands after a bar, by NodeID; it shares no memory with the evaluator."""

    histories: Mapping[str, Kept]
    folds: Mapping[str, Mapping[str, FoldState]]
    signal: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Say how a node gets its newest bar: of ``bars`` of its ``sources``, whenever ``follows`` has one (NodeIDs).

    A stream has neither; its bars come with the moments.
    """

    node: Node
    sources: tuple[str, ...]
    follows: str
    bars: int

    @classmethod
    def of(cls, node: Node, program: Program) -> _Step:
        """Return the step of one of a program's nodes."""
        sources = tuple(source.node_id for source in needs(node, program.nodes))
        joined = node.kind is NodeKind.OPERATOR and node.name == "as_of"  # from its first input to the other's clock
        follows = sources[1 if joined else 0] if sources else ""
        if node.kind is NodeKind.FUNCTION:
            return cls(node, sources, follows, stretch_bars(node) + node.period - 1)
        return cls(node, sources, follows, node.period if node.kind is NodeKind.OPERATOR else 1)


class LiveEvaluator:
    """Give a program's targets bar by bar.

    ``layouts`` say what each node holds (``layouts_of`` the backtest), ``symbols`` are the world's. A ``snapshot`` of
    an evaluator of the same program goes on where that one stood. An error leaves it in the middle of a bar: go on
    from a snapshot. Not for use by several threads at once.
    """

    def __init__(
        self,
        program: Program,
        symbols: tuple[str, ...],
        rule: SizingRule,
        layouts: Mapping[str, Layout],
        snapshot: Snapshot | None = None,
    ) -> None:
        self._program = program
        self._symbols = symbols
        self._rule = rule
        self._layouts = layouts
        self._steps = tuple(_Step.of(node, program) for node in program.nodes)
        self._histories = {node: History(layouts[node], kept) for node, kept in _kept_bars(self._steps).items()}
        self._folds: FoldStates = {}
        self._signal = np.full(len(symbols), np.nan)  # the last one of each symbol that is known
        if snapshot is not None:
            self._restore(snapshot)

    def step(self, moment: Moment) -> FloatArray:
        """Take one bar of the world and return its targets [S]; NaN holds.

        Raises QmtlError INVALID_STRATEGY naming the node at fault.
        """
        having = set(moment.rows)
        for step in self._steps:
            node_id = step.node.node_id
            if step.follows in having:
                self._histories[node_id].add(moment.timestamp, self._computed(step))
                having.add(node_id)
            elif node_id in having:
                self._histories[node_id].add(moment.timestamp, moment.rows[node_id])
        return self._targets(moment.timestamp)

    def snapshot(self) -> Snapshot:
        """Return where the evaluation stands."""
        histories = {node: history.copy() for node, history in self._histories.items()}
        return Snapshot(histories, _copied(self._folds), self._signal.copy())

    def _restore(self, snapshot: Snapshot) -> None:
        for node, kept in snapshot.histories.items():
            self._histories[node].restore(kept)
        self._folds = _copied(snapshot.folds)
        self._signal = snapshot.signal.copy()

    # ---- one node at one bar

    def _computed(self, step: _Step) -> Mapping[str, NDArray[Any]]:
        """Return the newest bar of a node whose sources have theirs: each column [S]."""
        node = step.node
        if node.kind is NodeKind.FUNCTION:
            return self._function(step)
        windows = self._windows(step.sources, step.bars)
        if node.has_columns:
            return self._newest(node, compute_columns(node, windows, self._program.nodes).columns)
        value, _ = compute_value(node, windows, self._folds)
        return self._newest(node, {"value": value})

    def _function(self, step: _Step) -> Mapping[str, NDArray[Any]]:
        node = step.node
        before = self._histories[node.node_id].bars
        if before + 1 < node.period:  # no whole window yet: null, whatever the function would return
            layout = self._layouts[node.node_id]
            return {name: np.full(len(layout.symbols), _null(kind)) for name, kind in layout.kinds.items()}
        into = before % stretch_bars(node)
        bars = into + 1 + (node.period - 1 if before > into else 0)
        view = view_of(node, self._windows(step.sources, bars))
        return self._newest(node, {"value": compute_stretch(node, view)})

    def _windows(self, nodes: Iterable[str], bars: int) -> Mapping[str, InputView]:
        return {node: self._histories[node].last(bars) for node in nodes}

    def _newest(self, node: Node, columns: Mapping[str, Value]) -> Mapping[str, NDArray[Any]]:
        kinds = self._layouts[node.node_id].kinds
        return {name: _as_kind(node, value, kinds[name]) for name, value in columns.items()}

    # ---- the output

    def _targets(self, timestamp: int) -> FloatArray:
        output = self._program.output
        columns = self._windows((node.node_id for node in output.nodes), 1)
        newest = Evaluation({node: view.column() for node, view in columns.items()}, columns)
        stated = output_array(self._program, newest, Axis(np.array([timestamp]), self._symbols))
        if output.kind is OutputKind.SIGNAL:
            self._signal = np.where(np.isnan(stated[0]), self._signal, stated[0])
            stated = targets_of_signal(self._signal[None, :], self._rule)
        row: FloatArray = stated[0].copy()  # the history goes on
        return row


def layouts_of(program: Program, evaluation: Evaluation) -> Mapping[str, Layout]:
    """Return what each node of a program held in its backtest, by NodeID."""
    return {node.node_id: Layout.of(evaluation.columns(node)) for node in program.nodes}


def _kept_bars(steps: Sequence[_Step]) -> dict[str, int]:
    kept = {step.node.node_id: 1 for step in steps}
    for step in steps:
        for source in step.sources:
            kept[source] = max(kept[source], step.bars)
    return kept


def _copied(folds: Mapping[str, Mapping[str, FoldState]]) -> dict[str, Mapping[str, FoldState]]:
    return {node: {symbol: state.copy() for symbol, state in states.items()} for node, states in folds.items()}


def _as_kind(node: Node, value: Value, kind: ValueKind) -> NDArray[Any]:
    """Return a value's newest bar [S] in the data of a kind; a bar of nulls is of every kind."""
    newest: NDArray[Any] = value.data[-1]
    if (value.kind is ValueKind.BOOL) is (kind is ValueKind.BOOL):
        return newest
    if not value.is_null()[-1].all():
        found = f"returned {value.kind} where its backtest returned {kind}; submit it again"
        raise QmtlError(Reason.INVALID_STRATEGY, f"node {node.name!r} {found}", metadata={"node": node.name})
    return np.full(newest.shape, _null(kind))


def _null(kind: ValueKind) -> float:
    return int(BOOL_NULL) if kind is ValueKind.BOOL else np.nan
