"""The one engine: evaluate nodes over panels, in backtest and in live.

1. Order the nodes by their inputs, equal nodes (same NodeID) once: ``topological`` in ``graph.py``.
2. Give each stream its panel; join what lies on another clock as of the last closed bar: ``operators/alignment.py``.
3. Run operators (``operators/``), functions (``function.py``) and folds (``fold.py``).
4. Take shared values from ``memo``, and put them there: a sweep computes equal nodes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.operators import alignment
from qmtl_sdk.strategy.fold import run_fold
from qmtl_sdk.strategy.function import compute_function
from qmtl_sdk.strategy.graph import query_matches, topological
from qmtl_sdk.strategy.node import Node, NodeKind, TagQueryNode
from qmtl_sdk.strategy.state import FoldState
from qmtl_sdk.strategy.values import Axis, Value, floats
from qmtl_sdk.strategy.view import InputView, View

MEMO_BYTES: Final = 2**30

OnStep = Callable[[str, int, int], None]
"""Take what goes on (a node's name) and how far: steps done of how many. What it raises ends the work."""

FoldStates = MutableMapping[str, Mapping[str, FoldState]]
"""Where each fold stands: NodeID -> symbol -> state."""


def unwatched(_node: str, _done: int, _total: int) -> None:
    """Take a step and tell nobody."""


class Memo:
    """Keep values for other evaluations over the very same panels; the cells of a sweep share one.

    Beyond ``most_bytes`` the values that were used longest ago are dropped, and computed again where they are needed.
    """

    def __init__(self, most_bytes: int = MEMO_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: dict[str, tuple[Value, Axis]] = {}  # in the order of their last use

    def __contains__(self, node_id: str) -> bool:
        """Tell whether a node's value is there."""
        return node_id in self._kept

    def get(self, node_id: str) -> tuple[Value, Axis] | None:
        """Return a node's value and where it lies, or None."""
        found = self._kept.pop(node_id, None)
        if found is not None:
            self._kept[node_id] = found
        return found

    def put(self, node_id: str, value: Value, axis: Axis) -> None:
        """Keep a value that is not there yet."""
        self._kept[node_id] = (value, axis)
        self._size += value.data.nbytes
        while self._size > self._most and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self._size -= self._kept.pop(oldest)[0].data.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation(Mapping[str, Value]):
    """Hold the value of every evaluated node by NodeID, and what functions and folds saw."""

    _values: Mapping[str, Value]
    _columns: Mapping[str, InputView]

    def __getitem__(self, node_id: str) -> Value:
        """Return the value of one node; streams and tag queries have columns instead."""
        return self._values[node_id]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the NodeIDs in the order of evaluation."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the values."""
        return len(self._values)

    def axis(self, node: Node) -> Axis:
        """Return where a node's value lies."""
        return self._columns[node.node_id].axis

    def columns(self, node: Node) -> InputView:
        """Return a node's columns: those of a stream, or its one value under "value"."""
        return self._columns[node.node_id]

    def view(self, node: Node) -> View:
        """Return what a function or fold saw of its inputs: the material of its proof."""
        return _view(node, self._columns)


def evaluate(
    nodes: Sequence[Node],
    inputs: Mapping[str, Panel],
    memo: Memo | None = None,
    folds: FoldStates | None = None,
    on_step: OnStep = unwatched,
) -> Evaluation:
    """Evaluate nodes and all that they need, over the panels of their streams (by the stream's NodeID).

    ``folds`` carries fold states in and out: where it has a state, the fold goes on from it, and afterwards it holds
    the state after the last bar; ``memo`` is left alone then, for values that depend on where a fold stood.
    ``on_step`` is told of each node before it is computed.
    Raises QmtlError: DATA_UNAVAILABLE naming a stream without a panel, INVALID_STRATEGY naming the node at fault.
    """
    ordered = topological(nodes)
    run = _Run(ordered, inputs, memo if memo is not None and folds is None else Memo(), folds)
    values: dict[str, Value] = {}
    for done, node in enumerate(ordered):
        on_step(node.name, done, len(ordered))
        view = run.columns[node.node_id] = run.compute(node)
        if not node.has_columns:
            values[node.node_id] = view.column()
    return Evaluation(values, run.columns)


class _Run:
    """Hold one evaluation while it runs."""

    __slots__ = ("columns", "folds", "inputs", "ordered", "shared", "unshared")

    def __init__(
        self,
        ordered: Sequence[Node],
        inputs: Mapping[str, Panel],
        shared: Memo,
        folds: FoldStates | None,
    ) -> None:
        self.ordered = ordered
        self.inputs = inputs
        self.shared = shared
        self.folds = folds
        self.columns: dict[str, InputView] = {}
        self.unshared: set[str] = set()  # what depends on a tag query: its NodeID does not cover the nodes found

    def compute(self, node: Node) -> InputView:
        """Return the columns of a node whose inputs are there."""
        if node.kind is NodeKind.STREAM:
            return self._stream(node)
        if isinstance(node, TagQueryNode):
            self.unshared.add(node.node_id)
            return self._tag_query(node)
        if node.has_columns:
            return self._columns_operator(node)
        value, axis = self._shared_value(node)
        return InputView(axis, {"value": value})

    def _shared_value(self, node: Node) -> tuple[Value, Axis]:
        if any(entry.node.node_id in self.unshared for entry in node.inputs):
            self.unshared.add(node.node_id)
            return self._value(node)
        found = self.shared.get(node.node_id)
        if found is None:
            found = self._value(node)
            self.shared.put(node.node_id, *found)
        return found

    def _stream(self, node: Node) -> InputView:
        panel = self.inputs.get(node.node_id)
        if panel is None:
            raise QmtlError(
                Reason.DATA_UNAVAILABLE,
                f"stream {node.name!r} has no data; add it to the world's data preset",
                metadata={"node": node.name, "node_id": node.node_id},
            )
        columns = {name: floats(column) for name, column in panel.columns.items()}
        return InputView(Axis(panel.timestamps, panel.symbols), columns)

    def _tag_query(self, node: TagQueryNode) -> InputView:
        found = query_matches(node, self.ordered)
        axis = self.columns[found[0].node_id].axis
        columns: dict[str, Value] = {}
        for match in found:
            name = match.name if match.name not in columns else match.node_id
            columns[name] = _aligned(self.columns[match.node_id], axis, single=match.single)
        return InputView(axis, columns)

    def _columns_operator(self, node: Node) -> InputView:
        source = self.columns[node.inputs[0].node.node_id]
        moved = {name: self._moved(node, value, source.axis) for name, value in source.columns.items()}
        axis = next(iter(moved.values()))[1]
        return InputView(axis, {name: value for name, (value, _) in moved.items()})

    def _value(self, node: Node) -> tuple[Value, Axis]:
        if node.kind is NodeKind.FUNCTION:
            view = _view(node, self.columns)
            return compute_function(node, view), view.axis
        if node.kind is NodeKind.FOLD:
            return self._fold(node)
        return self._operator(node)

    def _fold(self, node: Node) -> tuple[Value, Axis]:
        view = _view(node, self.columns)
        states = self.folds.get(node.node_id) if self.folds is not None else None
        value, after = run_fold(node, view, states)
        if self.folds is not None:
            self.folds[node.node_id] = after
        return value, view.axis

    def _operator(self, node: Node) -> tuple[Value, Axis]:
        operator = node.operator
        assert operator is not None  # noqa: S101  # operator nodes have one by construction
        if operator.run is None:
            return self._relocated(node)
        sources = [self.columns[entry.node.node_id] for entry in node.inputs]
        operands = {entry.name: source.column() for entry, source in zip(node.inputs, sources, strict=True)}
        try:
            value = operator.run(operands, node.params)
        except (TypeError, ValueError) as error:
            raise QmtlError(
                Reason.INVALID_STRATEGY, f"operator {node.name}: {error}", metadata={"node": node.name}
            ) from error
        return value, _meeting([source.axis for source in sources])

    def _relocated(self, node: Node) -> tuple[Value, Axis]:
        source = self.columns[node.inputs[0].node.node_id]
        if node.name != "column":
            return self._moved(node, source.column(), source.axis)
        column = str(node.params["column"])
        if column not in source.columns:
            raise QmtlError(
                Reason.INVALID_FIELD,
                f"column: {column!r} is not in {node.inputs[0].node.name!r}, which has {', '.join(source.columns)}",
                metadata={"field": "column", "column": column},
            )
        return source.columns[column], source.axis

    def _moved(self, node: Node, value: Value, axis: Axis) -> tuple[Value, Axis]:
        if node.name == "symbol":
            return alignment.choose_symbol(value, axis, str(node.params["symbol"]))
        clock = self.columns[node.inputs[1].node.node_id].axis
        joined = _aligned(InputView(axis, {"value": value}), clock, single=node.single)
        return joined, Axis(clock.timestamps, axis.symbols) if node.single else clock


def _aligned(source: InputView, clock: Axis, *, single: bool) -> Value:
    """Return a value as known at the closes of another axis; one chosen symbol stays one."""
    keep = single or source.axis.symbols == clock.symbols
    columns = None if keep else alignment.symbol_positions(source.axis, clock)
    return alignment.as_of(source.column(), alignment.last_closed(source.axis, clock), columns)


def _view(node: Node, columns: Mapping[str, InputView]) -> View:
    named: dict[str, InputView] = {}
    for entry in node.inputs:
        view = columns[entry.node.node_id]
        named[entry.name] = view if entry.node.has_columns else InputView(view.axis, {entry.name: view.column()})
    return View.of(node, named)


def _meeting(axes: Sequence[Axis]) -> Axis:
    widest = max(axes, key=lambda axis: len(axis.symbols))
    if len(widest.symbols) > 1 or len(axes) == 1:
        return widest
    names = dict.fromkeys(symbol for axis in axes for symbol in axis.symbols)
    return widest if len(names) == 1 else Axis(widest.timestamps, ("|".join(names),))
