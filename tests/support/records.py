"""Build stored evaluations, and the world that they are judged in, for the tests of rounds."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from qmtl_world.evaluation.candidates import Present, terms_id
from qmtl_world.evaluation.codec import StoredCandidate, StoredDataset, encode_candidate
from qmtl_world.evaluation.model import Proof, ProofState, ReturnSeries, RiskFacts, SampleFacts, Side
from qmtl_world.evaluation.records import ContenderRecord
from qmtl_world.worlds.model import SharePolicy, WorldSpec
from tests.support.cohorts import days

NOW = datetime(2013, 3, 8, tzinfo=UTC)
SPEC = WorldSpec("desk", "daily", 252.0, share_policy=SharePolicy.WORLD)
SERIES = ReturnSeries(days(300), np.random.default_rng(1).normal(0.002, 0.01, 300))


def present() -> Present:
    """Return a world whose preset has a snapshot three days newer than the records'."""
    return Present(NOW, SPEC, 1, {"daily": "2013-03-04T00:00:00Z"})


def stored() -> StoredCandidate:
    """Return what is stored of a candidate that nothing bars."""
    return StoredCandidate(
        dataset=StoredDataset("daily", "2013-03-01T00:00:00Z", 1.0, 0, 0),
        effective_mode="validate",
        terms=terms_id(SPEC),
        sample=SampleFacts(300, 1.2, 10),
        risk=RiskFacts(1.0, 1.0, 0.5),
        proof=Proof(ProofState.PROVEN),
        side=Side.LONG,
        has_target=True,
    )


def record(
    name: str = "a", row: int = 1, sharpe: float = 1.0, candidate: StoredCandidate | None = None
) -> ContenderRecord:
    """Return a stored evaluation of a strategy's version, the one that its row numbers."""
    return ContenderRecord(
        id=row,
        eval_key=f"key-{row}",
        strategy_id=name,
        strategy_version=f"version-{row}",
        as_of="2013-03-01T00:00:00Z",
        dataset_fingerprint="blake3:" + "ab" * 32,
        series_id=f"series-{row}",
        metrics=f'{{"sharpe": {sharpe}}}',
        candidate=encode_candidate(candidate or stored()),
    )
