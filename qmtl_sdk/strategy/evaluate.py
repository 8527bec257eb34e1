"""Evaluate nodes over whole panels.

1. Order the nodes by their inputs, equal nodes (same NodeID) once: ``topological`` in ``graph.py``.
2. Give each stream its panel.
3. Compute node by node, each from the columns of its inputs: ``compute.py``, which live shares.
4. Take shared values from ``memo``, and put them there: a sweep computes equal nodes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.strategy.compute import FoldStates, compute_columns, compute_value, view_of
from qmtl_sdk.strategy.graph import topological
from qmtl_sdk.strategy.node import Node, NodeKind
from qmtl_sdk.strategy.values import Axis, Value, floats
from qmtl_sdk.strategy.view import InputView, View

MEMO_BYTES: Final = 2**30

OnStep = Callable[[str, int, int], None]
"""Take what goes on (a node's name) and how far: steps done of how many. What it raises ends the work."""


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
        return view_of(node, self._columns)


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
        if node.kind is NodeKind.TAG_QUERY:
            self.unshared.add(node.node_id)
        if node.has_columns:
            return compute_columns(node, self.columns, self.ordered)
        value, axis = self._shared_value(node)
        return InputView(axis, {"value": value})

    def _shared_value(self, node: Node) -> tuple[Value, Axis]:
        if any(entry.node.node_id in self.unshared for entry in node.inputs):
            self.unshared.add(node.node_id)
            return compute_value(node, self.columns, self.folds)
        found = self.shared.get(node.node_id)
        if found is None:
            found = compute_value(node, self.columns, self.folds)
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
