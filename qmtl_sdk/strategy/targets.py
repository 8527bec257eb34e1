"""The output of a program as one array: a weight (or a score) for each of the world's bars and symbols."""

from __future__ import annotations

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.operators.alignment import as_of, last_closed, symbol_positions
from qmtl_sdk.strategy.evaluate import Evaluation
from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.program import Program
from qmtl_sdk.strategy.values import Axis, FloatArray, Value, floats


def output_array(program: Program, evaluation: Evaluation, world: Axis) -> FloatArray:
    """Return float64 [T, S] on the world's bars and symbols: the program's target weights, or its signal.

    NaN is null (a null target holds its position). What lies on another clock is taken as of its last closed bar;
    symbols that a target by symbol does not name are 0. Raises QmtlError INVALID_STRATEGY when there is no output, and
    INVALID_FIELD for a symbol that the world does not have.
    """
    output = program.output
    if output.panel is not None:
        return _panel(evaluation, output.panel, world)
    if not output.by_symbol:
        raise QmtlError(
            Reason.INVALID_STRATEGY,
            f"{program.name} states no output; end setup with self.target(…) or self.signal(…), or submit returns",
            metadata={"strategy": program.name},
        )
    weights = np.zeros((len(world.timestamps), len(world.symbols)))
    for symbol, node in output.by_symbol:
        weights[:, _position(world, symbol)] = _column(evaluation, node, symbol, world)
    return floats(weights).numbers()


def _panel(evaluation: Evaluation, node: Node, world: Axis) -> FloatArray:
    axis, value = evaluation.axis(node), evaluation[node.node_id]
    if node.single:
        weights = np.zeros((len(world.timestamps), len(world.symbols)))
        weights[:, _position(world, axis.symbols[0])] = _on_bars(value, axis, world).numbers()[:, 0]
        return floats(weights).numbers()
    if axis.symbols == world.symbols:
        return _on_bars(value, axis, world).numbers()
    return as_of(value, last_closed(axis, world), symbol_positions(axis, world)).numbers()


def _column(evaluation: Evaluation, node: Node, symbol: str, world: Axis) -> FloatArray:
    axis = evaluation.axis(node)
    place = 0 if node.single else _position(axis, symbol)
    return _on_bars(evaluation[node.node_id], axis, world).numbers()[:, place]


def _on_bars(value: Value, axis: Axis, world: Axis) -> Value:
    same = axis.timestamps is world.timestamps or np.array_equal(axis.timestamps, world.timestamps)
    return value if same else as_of(value, last_closed(axis, world), None)


def _position(axis: Axis, symbol: str) -> int:
    if symbol in axis.symbols:
        return axis.symbols.index(symbol)
    known = ", ".join(axis.symbols[:10]) + (", …" if len(axis.symbols) > 10 else "")
    raise QmtlError(
        Reason.INVALID_FIELD,
        f"target: {symbol!r} is not among the world's symbols, which are {known}; name the weight of each symbol",
        metadata={"field": "target", "symbol": symbol},
    )
