"""Build strategies, cohorts and policies for the tests of the world's rules."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from qmtl_world.evaluation.model import (
    Candidate,
    Cohort,
    DataFacts,
    Facts,
    Proof,
    ProofState,
    ReturnSeries,
    RiskFacts,
    SampleFacts,
    Side,
)
from qmtl_world.evaluation.policy import CompiledPolicy, compile_policy

Compression = Literal["uncompressed", "lz4", "zstd"]

DAY_NS = 86_400 * 1_000_000_000
ROUND_ONE = datetime(2024, 1, 2, tzinfo=UTC)
GATES = 'gates: [{name: sharpe, rule: "metrics.sharpe >= 0.5"}]\n'


@dataclass(frozen=True, slots=True)
class Draft:
    """What a test says of one strategy; everything else is fit for the default policy."""

    strategy_id: str
    sharpe: float = 1.0
    side: Side = Side.LONG
    seed: int | None = None
    bars: int = 300
    proof: Proof = field(default_factory=lambda: Proof(ProofState.PROVEN))
    has_target: bool = True
    data: DataFacts = field(default_factory=DataFacts)
    risk: RiskFacts = field(default_factory=lambda: RiskFacts(1.0, 1.0, 0.5))
    volatility: float = 0.2
    trades: int = 10


def policy(text: str = "", top_k: int = 3) -> CompiledPolicy:
    """Compile a policy of one gate and the given sections."""
    select = "" if "select:" in text else f"select: {{top_k: {top_k}}}\n"
    return compile_policy((("" if "gates:" in text else GATES) + select + text).encode())


def candidate(draft: Draft) -> Candidate:
    """Build a strategy whose returns are normal, seeded by its id unless the draft says otherwise."""
    seed = draft.seed if draft.seed is not None else sum(draft.strategy_id.encode()) + 1
    ret = np.random.default_rng(seed).normal(0.001, 0.01, draft.bars)
    metrics = {"sharpe": draft.sharpe, "max_drawdown": 0.1, "volatility": draft.volatility}
    return Candidate(
        strategy_id=draft.strategy_id,
        facts=Facts(metrics, SampleFacts(draft.bars, draft.bars / 252, draft.trades), draft.data, draft.risk),
        proof=draft.proof,
        returns=ReturnSeries(days(draft.bars), ret),
        side=draft.side,
        has_target=draft.has_target,
    )


def cohort(*drafts: Draft, day: int = 0) -> Cohort:
    """Build the cohort of the round that is ``day`` days after the first."""
    return Cohort(ROUND_ONE + timedelta(days=day), 252.0, tuple(map(candidate, drafts)))


def days(count: int, start: int = 0) -> NDArray[np.int64]:
    """Return the closes of consecutive days."""
    return (np.arange(start, start + count, dtype=np.int64) + 1) * DAY_NS


def arrow(
    columns: dict[str, object], times: tuple[str, ...] = ("ts",), compression: Compression = "uncompressed"
) -> bytes:
    """Write columns as an Arrow IPC stream, the named ones as nanoseconds UTC."""
    frame = pl.DataFrame(columns).with_columns(pl.col(*times).cast(pl.Int64).cast(pl.Datetime("ns", "UTC")))
    sink = io.BytesIO()
    frame.write_ipc_stream(sink, compression=compression)
    return sink.getvalue()
