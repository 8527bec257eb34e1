"""Compute one node from the columns of its inputs: the step that a backtest takes once and live at every bar."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.operators import alignment
from qmtl_sdk.strategy.fold import run_fold
from qmtl_sdk.strategy.function import compute_function
from qmtl_sdk.strategy.graph import query_matches
from qmtl_sdk.strategy.node import Node, NodeKind, TagQueryNode
from qmtl_sdk.strategy.state import FoldState
from qmtl_sdk.strategy.values import Axis, Value
from qmtl_sdk.strategy.view import InputView, View

Columns = Mapping[str, InputView]
"""What nodes hold, by NodeID."""

FoldStates = MutableMapping[str, Mapping[str, FoldState]]
"""Where each fold stands: NodeID -> symbol -> state."""


def compute_columns(node: Node, columns: Columns, known: Sequence[Node]) -> InputView:
    """Return the columns of a node that has several: a tag query's matches among ``known``, or a stream moved.

    Raises QmtlError INVALID_STRATEGY for a query that finds nothing, INVALID_FIELD for symbols that do not meet.
    """
    if isinstance(node, TagQueryNode):
        return _tag_query(node, columns, known)
    source = columns[node.inputs[0].node.node_id]
    moved = {name: _moved(node, columns, value, source.axis) for name, value in source.columns.items()}
    axis = next(iter(moved.values()))[1]
    return InputView(axis, {name: value for name, (value, _) in moved.items()})


def compute_value(node: Node, columns: Columns, folds: FoldStates | None = None) -> tuple[Value, Axis]:
    """Return the value of a node that has one, and where it lies; ``folds`` takes a fold's states in and out.

    Raises QmtlError INVALID_STRATEGY naming the node at fault.
    """
    if node.kind is NodeKind.FUNCTION:
        view = view_of(node, columns)
        return compute_function(node, view), view.axis
    if node.kind is NodeKind.FOLD:
        return _fold(node, columns, folds)
    return _operator(node, columns)


def view_of(node: Node, columns: Columns) -> View:
    """Return what a function or fold sees of its inputs."""
    named: dict[str, InputView] = {}
    for entry in node.inputs:
        view = columns[entry.node.node_id]
        named[entry.name] = view if entry.node.has_columns else InputView(view.axis, {entry.name: view.column()})
    return View.of(node, named)


def _tag_query(node: TagQueryNode, columns: Columns, known: Sequence[Node]) -> InputView:
    found = query_matches(node, known)
    axis = columns[found[0].node_id].axis
    chosen: dict[str, Value] = {}
    for match in found:
        name = match.name if match.name not in chosen else match.node_id
        chosen[name] = _aligned(columns[match.node_id], axis, single=match.single)
    return InputView(axis, chosen)


def _fold(node: Node, columns: Columns, folds: FoldStates | None) -> tuple[Value, Axis]:
    view = view_of(node, columns)
    value, after = run_fold(node, view, None if folds is None else folds.get(node.node_id))
    if folds is not None:
        folds[node.node_id] = after
    return value, view.axis


def _operator(node: Node, columns: Columns) -> tuple[Value, Axis]:
    operator = node.operator
    assert operator is not None  # noqa: S101  # operator nodes have one by construction
    if operator.run is None:
        return _relocated(node, columns)
    sources = [columns[entry.node.node_id] for entry in node.inputs]
    operands = {entry.name: source.column() for entry, source in zip(node.inputs, sources, strict=True)}
    try:
        value = operator.run(operands, node.params)
    except (TypeError, ValueError) as error:
        raise QmtlError(
            Reason.INVALID_STRATEGY, f"operator {node.name}: {error}", metadata={"node": node.name}
        ) from error
    return value, _meeting([source.axis for source in sources])


def _relocated(node: Node, columns: Columns) -> tuple[Value, Axis]:
    source = columns[node.inputs[0].node.node_id]
    if node.name != "column":
        return _moved(node, columns, source.column(), source.axis)
    column = str(node.params["column"])
    if column not in source.columns:
        raise QmtlError(
            Reason.INVALID_FIELD,
            f"column: {column!r} is not in {node.inputs[0].node.name!r}, which has {', '.join(source.columns)}",
            metadata={"field": "column", "column": column},
        )
    return source.columns[column], source.axis


def _moved(node: Node, columns: Columns, value: Value, axis: Axis) -> tuple[Value, Axis]:
    if node.name == "symbol":
        return alignment.choose_symbol(value, axis, str(node.params["symbol"]))
    clock = columns[node.inputs[1].node.node_id].axis
    joined = _aligned(InputView(axis, {"value": value}), clock, single=node.single)
    return joined, Axis(clock.timestamps, axis.symbols) if node.single else clock


def _aligned(source: InputView, clock: Axis, *, single: bool) -> Value:
    """Return a value as known at the closes of another axis; one chosen symbol stays one."""
    keep = single or source.axis.symbols == clock.symbols
    columns = None if keep else alignment.symbol_positions(source.axis, clock)
    return alignment.as_of(source.column(), alignment.last_closed(source.axis, clock), columns)


def _meeting(axes: Sequence[Axis]) -> Axis:
    widest = max(axes, key=lambda axis: len(axis.symbols))
    if len(widest.symbols) > 1 or len(axes) == 1:
        return widest
    names = dict.fromkeys(symbol for axis in axes for symbol in axis.symbols)
    return widest if len(names) == 1 else Axis(widest.timestamps, ("|".join(names),))
