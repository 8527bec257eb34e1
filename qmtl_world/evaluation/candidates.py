"""From stored evaluations to the candidates of a round: their data as it is now, and what bars their promotion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qmtl_foundation.clock import parse_rfc3339
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import content_id
from qmtl_world.evaluation.codec import StoredCandidate, StoredDataset, decode_candidate
from qmtl_world.evaluation.model import Candidate, DataFacts, ReturnSeries, RuleOutcome
from qmtl_world.evaluation.records import Contender, ContenderRecord
from qmtl_world.worlds.model import SharePolicy, WorldSpec

CROSS_CONTEXT_RULE: Final = "promotion.cross_context_hits"
TERMS_CONTEXT: Final = "qmtl 2026-11 evaluation-terms v1"
ROUNDING: Final = 1e-9
DAY_SECONDS: Final = 86_400.0
# Modes whose results may be promoted; compute-only is what a downgrade, a sweep or a caller asked for.
PROMOTABLE: Final = frozenset({EffectiveMode.VALIDATE, EffectiveMode.PAPER, EffectiveMode.LIVE})


@dataclass(frozen=True, slots=True)
class Present:
    """Hold what candidates are judged against: the moment, the world, its trials, each preset's newest snapshot."""

    now: datetime
    spec: WorldSpec
    trials: int
    newest_as_of: Mapping[str, str]


def contenders(newest: Mapping[str, ContenderRecord], in_force: Mapping[str, ContenderRecord]) -> tuple[Contender, ...]:
    """Return who competes in a round: each strategy's newest evaluation, beside that of the version in force."""
    return tuple(
        Contender(
            record,
            standing
            if (standing := in_force.get(name)) and standing.strategy_version != record.strategy_version
            else None,
        )
        for name, record in newest.items()
    )


def terms_id(spec: WorldSpec) -> str:
    """Return the identity of the terms that an evaluation holds under: how the world executes and annualises."""
    return content_id(TERMS_CONTEXT, {"bars_per_year": spec.bars_per_year, "model": spec.execution_model.canonical()})


def to_candidate(record: ContenderRecord, present: Present, returns: ReturnSeries) -> Candidate:
    """Return the candidate that a stored evaluation is at present."""
    stored = decode_candidate(record.candidate)
    data = _data(record.as_of, stored.dataset, present)
    return Candidate(
        strategy_id=record.strategy_id,
        facts=stored.facts(json.loads(record.metrics), data, present.trials),
        proof=stored.proof,
        returns=returns,
        side=stored.side,
        has_target=stored.has_target,
        blockers=_blockers(record, stored, present.spec),
    )


def _data(as_of: str, dataset: StoredDataset, present: Present) -> DataFacts:
    return DataFacts(
        age_days=_days_between(dataset.end_time, present.now),
        behind_days=_behind(as_of, present.newest_as_of.get(dataset.preset, "")),
        coverage=dataset.coverage,
        gaps=dataset.gaps,
    )


def _behind(as_of: str, newest: str) -> float:
    if not as_of or not newest:
        return math.nan
    return max(0.0, _days_between(as_of, parse_rfc3339(newest)))


def _days_between(earlier: str, later: datetime) -> float:
    return (later - parse_rfc3339(earlier)).total_seconds() / DAY_SECONDS if earlier else math.nan


def _blockers(record: ContenderRecord, stored: StoredCandidate, spec: WorldSpec) -> tuple[RuleOutcome, ...]:
    found = []
    if not record.dataset_fingerprint or not record.as_of:
        found.append(
            _failed("promotion.dataset", "the dataset snapshot is not pinned; submit with as_of and fingerprint")
        )
    if spec.share_policy is SharePolicy.UNSTATED:
        mend = f"`qmtl world update {spec.name} --share-policy world` states it"
        found.append(_failed("promotion.share_policy", f"the world states no share policy; {mend}"))
    if stored.dataset.preset != spec.data_preset:
        sentence = f"evaluated on {stored.dataset.preset}, the world trades on {spec.data_preset}"
        found.append(_failed("promotion.data_preset", sentence))
    if stored.effective_mode not in PROMOTABLE:
        sentence = f"computed under {stored.effective_mode}, which is never promoted"
        found.append(_failed("promotion.effective_mode", sentence))
    if stored.terms != terms_id(spec):
        found.append(_failed("promotion.terms", "the world's execution model or calendar has changed; submit again"))
    gross, limit = stored.risk.max_gross, spec.sizing_rule.gross_limit
    if gross > limit * (1.0 + ROUNDING):
        message = f"promotion.gross_limit: risk.max_gross = {gross:g}, the world allows {limit:g}"
        found.append(RuleOutcome("promotion.gross_limit", False, gross, limit, message))
    hits = stored.dataset.cross_context_hits
    if hits:
        message = f"{CROSS_CONTEXT_RULE}: {hits} cached results belong to another context, needs 0"
        found.append(RuleOutcome(CROSS_CONTEXT_RULE, False, float(hits), 0.0, message))
    return tuple(found)


def _failed(rule: str, sentence: str) -> RuleOutcome:
    return RuleOutcome(rule, False, None, None, f"{rule}: {sentence}")
