"""The proofs of authors' functions at every bar, beside the same windows evaluated one by one."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from benchmarks.crossover import prices
from benchmarks.measure import OURS, Findings, compare, race
from qmtl_sdk import Node, StreamInput
from qmtl_sdk.proofs import ProofStatus, prove_all
from qmtl_sdk.strategy.evaluate import evaluate

BARS: Final = 3_270
PERIODS: Final = (10, 20, 30, 40, 50)
ONE_BY_ONE: Final = "windows one by one"


def run() -> Findings:
    """Prove five functions."""
    panel = prices(BARS)
    stream = StreamInput("bars", interval="1d")
    nodes = [Node(_mean(period), input=[stream], period=period) for period in PERIODS]
    evaluation = evaluate(nodes, {stream.node_id: panel})
    frame = evaluation.view(nodes[0])[stream].frame()

    def ours() -> None:
        proofs = prove_all(nodes, evaluation, fingerprint="bench")
        assert all(proof.status is ProofStatus.PASSED and proof.coverage == 1.0 for proof in proofs)

    def one_by_one() -> None:
        for period in PERIODS:
            mean = pl.col("close").rolling_mean(period)
            for bar in range(period, BARS + 1):
                frame[bar - period : bar].select(mean.last())

    times = race({OURS: ours, ONE_BY_ONE: one_by_one}, rounds=5)
    return Findings((compare(f"{BARS:,} bars x {len(PERIODS)} nodes", times, ONE_BY_ONE),))


def _mean(period: int) -> Any:
    def mean(view: Any) -> pl.Expr:
        return pl.col("close").rolling_mean(period)

    return mean
