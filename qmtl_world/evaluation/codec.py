"""The stored form of evaluations: JSON of candidates, outcomes and states, explicit field by field. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from qmtl_world.evaluation.model import (
    DataFacts,
    Facts,
    Proof,
    ProofState,
    RiskFacts,
    RoundState,
    RuleOutcome,
    SampleFacts,
    Side,
    StrategyState,
)


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """Hold what data an evaluation rests on; ``end_time`` is RFC 3339, empty when it is not known."""

    preset: str
    end_time: str
    coverage: float
    gaps: int
    cross_context_hits: int


@dataclass(frozen=True, slots=True)
class StoredCandidate:
    """Hold of a candidate what is stored beside its returns and metrics."""

    dataset: StoredDataset
    effective_mode: str
    terms: str
    sample: SampleFacts
    risk: RiskFacts
    proof: Proof
    side: Side
    has_target: bool

    def facts(self, metrics: Mapping[str, float], data: DataFacts, trials: int) -> Facts:
        """Return the facts that rules judge: these, with data as it is now and the trials that the world has seen."""
        sample = SampleFacts(self.sample.bars, self.sample.years, self.sample.trades, trials)
        return Facts(metrics, sample, data, self.risk)


def encode_metrics(metrics: Mapping[str, float]) -> str:
    """Return the JSON of metrics; one without a value is left out."""
    return json.dumps({name: value for name, value in metrics.items() if math.isfinite(value)})


def encode_rules(rules: Sequence[RuleOutcome]) -> str:
    """Return the JSON of outcomes; a value that is not finite is stored as absent."""
    return json.dumps(
        [
            {
                "rule": each.rule,
                "passed": each.passed,
                "value": _finite(each.value),
                "limit": _finite(each.limit),
                "message": each.message,
            }
            for each in rules
        ]
    )


def decode_rules(text: str) -> tuple[RuleOutcome, ...]:
    """Return the outcomes that ``encode_rules`` wrote."""
    return tuple(RuleOutcome(**each) for each in json.loads(text))


def encode_candidate(candidate: StoredCandidate) -> str:
    """Return the JSON of a candidate; exposures that are not known (NaN) become null."""
    fields = asdict(candidate)
    fields["risk"] = {name: _finite(value) for name, value in fields["risk"].items()}
    return json.dumps(fields)


def decode_candidate(text: str) -> StoredCandidate:
    """Return the candidate that ``encode_candidate`` wrote."""
    fields: dict[str, Any] = json.loads(text)
    risk = {name: math.nan if value is None else value for name, value in fields["risk"].items()}
    return StoredCandidate(
        dataset=StoredDataset(**fields["dataset"]),
        effective_mode=fields["effective_mode"],
        terms=fields["terms"],
        sample=SampleFacts(**fields["sample"]),
        risk=RiskFacts(**risk),
        proof=Proof(ProofState(fields["proof"]["state"]), fields["proof"]["finding"]),
        side=Side(fields["side"]),
        has_target=fields["has_target"],
    )


def encode_state(state: RoundState) -> str:
    """Return the JSON of what a world remembers between rounds."""
    return json.dumps(asdict(state), default=datetime.isoformat)


def decode_state(text: str) -> RoundState:
    """Return the state that ``encode_state`` wrote."""
    fields: dict[str, Any] = json.loads(text)
    return RoundState(
        as_of=None if fields["as_of"] is None else datetime.fromisoformat(fields["as_of"]),
        before=tuple(StrategyState(**each) for each in fields["before"]),
        after=tuple(StrategyState(**each) for each in fields["after"]),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
