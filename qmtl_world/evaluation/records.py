"""Evaluations, standings and rounds as they are stored. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qmtl_world.evaluation.codec import StoredCandidate
from qmtl_world.evaluation.model import RoundState, RuleOutcome, Side, Status


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """Hold simple returns per bar as two little-endian columns: ``ts`` int64 ns UTC, ``ret`` float64."""

    series_id: str
    ts: bytes
    ret: bytes


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """Hold one strategy version's evaluation. ``series_id`` names its returns, None once they have aged out."""

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
    series_id: str | None
    create_time: datetime
    id: int = 0


@dataclass(frozen=True, slots=True)
class ContenderRecord:
    """Hold of an evaluation what a round asks for. ``metrics`` and ``candidate`` stay JSON: a worker reads them."""

    id: int
    eval_key: str
    strategy_id: str
    strategy_version: str
    as_of: str
    dataset_fingerprint: str
    series_id: str
    metrics: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Contender:
    """Hold a strategy's newest version that may be promoted, and the one in force where it is another."""

    newest: ContenderRecord
    incumbent: ContenderRecord | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold where a strategy stands, by the newest round or by itself, and the evaluation that it stands on."""

    strategy_id: str
    evaluation_id: int
    status: Status
    active: bool
    side: Side
    weight: float
    score: float | None
    contribution: float | None
    rules: tuple[RuleOutcome, ...]


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """Hold a decision round: preset, snapshot, the world's score, the cohort's evaluations by strategy, the state."""

    world: str
    preset: str
    as_of: datetime
    policy_version: int
    world_score: float | None
    cohort: Mapping[str, str]
    state: RoundState
    create_time: datetime
