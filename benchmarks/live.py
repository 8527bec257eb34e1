"""Live evaluation: what one bar costs, whatever lay before it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from benchmarks.crossover import delivered, prices, program
from benchmarks.measure import MS, Findings, alone
from qmtl_foundation.execution_model import SizingRule
from qmtl_sdk.live.evaluator import LiveEvaluator, layouts_of
from qmtl_sdk.live.feed import replay
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.submission.inputs import stream_inputs

BARS: Final = 3_000
SYMBOLS: Final = (1, 100)
MEASURED: Final = 1_000  # the last ones: the first bars fill the windows


def run() -> Findings:
    """Evaluate the crossover bar by bar, for one symbol and for many."""
    lines, notes = [], []
    for symbols in SYMBOLS:
        times = _bars(symbols)
        line = alone(f"one bar live, SMA 10/50, {symbols} symbol{'s' if symbols > 1 else ''}", times)
        lines.append(line)
        notes.append(f"{MS / line.ours_ms:,.0f} bars per second ({symbols})")
    return Findings(tuple(lines), (f"In one thread: {', '.join(notes)}.",))


def _bars(symbols: int) -> Sequence[float]:
    streams, made = delivered(prices(BARS, symbols)), program()
    layouts = layouts_of(made, evaluate(made.nodes, stream_inputs(made, streams)))
    evaluator = LiveEvaluator(made, streams.bars.symbols, SizingRule(), layouts)
    times: list[float] = []
    for moment in replay(made, streams):
        began = time.perf_counter()
        evaluator.step(moment)
        times.append((time.perf_counter() - began) * MS)
    return times[-MEASURED:]
