"""A strategy's backtest and its live evaluation over the same streams, for comparison to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.execution_model import SizingRule
from qmtl_sdk import Strategy
from qmtl_sdk.backtest.sizing import targets_of_signal
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.live.evaluator import LiveEvaluator, Snapshot, layouts_of
from qmtl_sdk.live.feed import replay
from qmtl_sdk.live.history import Layout
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.program import OutputKind, Program, build
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis
from qmtl_sdk.submission.inputs import stream_inputs

Targets = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Backtested:
    """Hold a program, the streams that it ran over, and the targets [T, S] that came of it."""

    program: Program
    streams: Streams
    rule: SizingRule
    layouts: Mapping[str, Layout]
    targets: Targets

    def evaluator(self, snapshot: Snapshot | None = None) -> LiveEvaluator:
        """Return a live evaluator of the program."""
        return LiveEvaluator(self.program, self.streams.bars.symbols, self.rule, self.layouts, snapshot)

    def live_targets(self) -> Targets:
        """Return the targets of a replay, bar by bar."""
        evaluator = self.evaluator()
        return np.stack([evaluator.step(moment) for moment in replay(self.program, self.streams)])


def backtested(strategy: type[Strategy] | Strategy, streams: Streams, rule: SizingRule | None = None) -> Backtested:
    """Run a strategy over streams at once."""
    rule = rule or SizingRule()
    program = build(strategy)
    evaluation = evaluate(program.nodes, stream_inputs(program, streams))
    targets = output_array(program, evaluation, Axis(streams.bars.timestamps, streams.bars.symbols))
    if program.output.kind is OutputKind.SIGNAL:
        targets = targets_of_signal(targets, rule)
    return Backtested(program, streams, rule, layouts_of(program, evaluation), targets)


def same_bits(one: Targets, other: Targets) -> bool:
    """Tell whether two arrays are equal to the bit; NaN is one value."""
    return one.shape == other.shape and _plain(one) == _plain(other)


def _plain(targets: Targets) -> bytes:
    return np.where(np.isnan(targets), np.nan, targets).tobytes()
