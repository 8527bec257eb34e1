"""What the runner computes between ``Submit`` and ``Evaluate``: nodes, targets, accounting, proofs.

1. Evaluate the program over the delivered bars; results of the same ComputeKey come from the disk cache.
2. Turn the output into targets: as stated, or a signal by the world's sizing rule.
3. Account for them under the world's execution model.
4. Prove each function and fold node (``qmtl_sdk.proofs``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import ExecutionModel, SizingRule
from qmtl_foundation.identity import ComputeContext
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.backtest.model import BacktestResult
from qmtl_sdk.backtest.sizing import targets_of_signal
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.results import Outcome, ResultCache
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.strategy.evaluate import Evaluation, Memo, OnStep, evaluate, unwatched
from qmtl_sdk.strategy.node import Node, NodeKind
from qmtl_sdk.strategy.program import OutputKind, Program
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis, Value, ValueKind
from qmtl_sdk.submission.inputs import stream_inputs


@dataclass(frozen=True, slots=True, eq=False)
class Computation:
    """Hold what a program computed: the values of its nodes, its targets [T, S] and what they would have earned."""

    evaluation: Evaluation
    targets: NDArray[np.float64]
    result: BacktestResult


def evaluate_program(
    program: Program,
    streams: Streams,
    cache: ResultCache,
    context: ComputeContext,
    memo: Memo | None = None,
    on_step: OnStep = unwatched,
) -> Evaluation:
    """Return the values of a program's nodes; those of an author's code are kept, and taken, by ComputeKey."""
    memo = memo or Memo()
    computed = []
    for node in program.nodes:
        if node.kind not in (NodeKind.FUNCTION, NodeKind.FOLD) or node.node_id in memo:
            continue
        found = _recall(cache, node, context)
        if found is None:
            computed.append(node)
        else:
            memo.put(node.node_id, *found)
    evaluation = evaluate(program.nodes, stream_inputs(program, streams), memo, on_step=on_step)
    for node in computed:
        cache.put(node.node_id, context, _arrays(evaluation[node.node_id], evaluation.axis(node)))
    return evaluation


def targets_of(program: Program, evaluation: Evaluation, bars: Panel, rule: SizingRule) -> NDArray[np.float64]:
    """Return the targets [T, S] on the bars of the world; a signal becomes targets by the sizing rule.

    Raises QmtlError INVALID_STRATEGY for an output that is unknown everywhere: the world would take it for none.
    """
    stated = output_array(program, evaluation, Axis(bars.timestamps, bars.symbols))
    if np.isnan(stated).all():
        raise QmtlError(
            Reason.INVALID_STRATEGY,
            f"the {program.output.kind} of {program.name} is null on all {len(stated):,} bars of every symbol, and its "
            f"warm-up is {program.warmup_bars:,} bars; shorten its windows, choose a preset of a longer history, or "
            "look for a null in what its nodes read, which makes null every window that holds it",
            metadata={"strategy": program.name, "bars": str(len(stated)), "warmup_bars": str(program.warmup_bars)},
        )
    return targets_of_signal(stated, rule) if program.output.kind is OutputKind.SIGNAL else stated


def compute(
    program: Program,
    streams: Streams,
    model: ExecutionModel,
    rule: SizingRule,
    cache: ResultCache,
    context: ComputeContext,
    memo: Memo | None = None,
    on_step: OnStep = unwatched,
) -> Computation:
    """Evaluate a program, size its output, and account for the targets under the world's execution model."""
    evaluation = evaluate_program(program, streams, cache, context, memo, on_step)
    targets = targets_of(program, evaluation, streams.bars, rule)
    return Computation(evaluation, targets, account(streams.bars, targets, model))


def _recall(cache: ResultCache, node: Node, context: ComputeContext) -> tuple[Value, Axis] | None:
    found = cache.get(node.node_id, context)
    if found.outcome is not Outcome.HIT or found.arrays is None:
        return None
    arrays = found.arrays
    symbols = tuple(json.loads(arrays["symbols"].tobytes()))
    kind = ValueKind(arrays["kind"].tobytes().decode())
    return Value(kind, arrays["data"]), Axis(arrays["timestamps"], symbols)


def _arrays(value: Value, axis: Axis) -> Mapping[str, NDArray[np.generic]]:
    return {
        "data": value.data,
        "kind": np.frombuffer(value.kind.value.encode(), dtype=np.uint8),
        "symbols": np.frombuffer(json.dumps(axis.symbols).encode(), dtype=np.uint8),
        "timestamps": axis.timestamps,
    }
