"""What the proofs of a whole program say together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qmtl_sdk import Node, Strategy
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.proofs import ProofStatus
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.program import build
from qmtl_sdk.submission.proving import prove_program

BARS, STILL = 400, 100


def above(view):  # type: ignore[no-untyped-def]  # authors need no annotations
    """Compare two means of accumulated sums; where the price stands still, nothing but rounding decides."""
    import polars as pl

    close = pl.col("close")
    return close.rolling_mean(10) > close.rolling_mean(30)


class Crossing(Strategy):
    """Hold what is above its mean."""

    def setup(self) -> None:
        """Name the node."""
        self.target(Node(above, input={"close": self.bars()["close"]}, period=30).when(0.5, else_=0.0))


def test_bars_at_a_tie_are_told_as_a_warning(tmp_path: Path) -> None:
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.02, (BARS, 2)), axis=0)), 2)
    close[STILL : 2 * STILL] = close[STILL]
    times = np.arange(1, BARS + 1, dtype=np.int64) * 86_400 * 10**9
    program = build(Crossing)
    evaluation = evaluate(
        program.nodes, {program.streams[0].node_id: Panel(times, ("A", "B"), {"close": close}, 86_400)}
    )
    targets = evaluation[program.nodes[-1].node_id].numbers()
    proofs = prove_program(program, evaluation, times, targets, "blake3:" + "0" * 64, tmp_path)
    assert (proofs.status, proofs.findings) == (ProofStatus.PASSED, ())
    assert 0 < proofs.bars_at_a_tie < STILL
    (warning,) = proofs.warnings
    assert warning.startswith(f"{proofs.bars_at_a_tie:,} values hang on the last bits")
