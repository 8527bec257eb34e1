"""Evaluations, standings and rounds as they are stored. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qmtl_world.evaluation.codec import StoredCandidate
from qmtl_world.evaluation.model import RoundState, RuleOutcome


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """Hold one strategy version's evaluation. ``returns`` are two little-endian columns: int64 ns UTC, and float64."""

    eval_key: str
    world: str
    strategy_id: str
    strategy_version: str
    policy_version: int
    as_of: str
    dataset_fingerprint: str
    status: str
    score: float | None
    metrics: Mapping[str, float]
    rules: tuple[RuleOutcome, ...]
    candidate: StoredCandidate
    equity_curve: tuple[float, ...]
    series_ts: bytes
    series_ret: bytes
    create_time: datetime
    id: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold where a strategy stands after the newest round, beside the evaluation that it stands on."""

    evaluation: EvaluationRecord
    status: str
    active: bool
    side: str
    weight: float
    score: float | None
    contribution: float | None
    rules: tuple[RuleOutcome, ...]


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """Hold a decision round: its snapshot, the world's score, the cohort's evaluations by strategy, and the state."""

    world: str
    as_of: datetime
    policy_version: int
    world_score: float | None
    cohort: Mapping[str, str]
    state: RoundState
    create_time: datetime
