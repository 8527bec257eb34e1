"""Evaluations and standings as messages of the contract."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from qmtl_foundation.clock import format_rfc3339
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_world.apply import records as apply_records
from qmtl_world.apply.model import ActivationSet
from qmtl_world.apply.proposals import Proposal
from qmtl_world.evaluation.model import FINDINGS, Proof, ProofState, RuleOutcome
from qmtl_world.evaluation.records import EvaluationRecord, RoundRecord, SeriesRecord, Standing

MAX_FINDING: Final = 500


def to_evaluation(record: EvaluationRecord, standing: Standing | None = None) -> evaluation_pb2.Evaluation:
    """Return the message of an evaluation; with its standing, as the round that followed left it."""
    return evaluation_pb2.Evaluation(
        eval_key=record.eval_key,
        world=record.world,
        strategy_id=record.strategy_id,
        strategy_version=record.strategy_version,
        policy_version=record.policy_version,
        status=record.status if standing is None else standing.status,
        metrics=_known(record.metrics),
        rules=to_rules(record.rules if standing is None else standing.rules),
        score=record.score if standing is None else standing.score,
        contribution=None if standing is None else standing.contribution,
        as_of=record.as_of,
        dataset_fingerprint=record.dataset_fingerprint,
        create_time=to_timestamp(record.create_time),
    )


def to_returns(series: SeriesRecord) -> evaluation_pb2.ReturnSeries:
    """Return the message of the returns that an evaluation was computed from."""
    bars = len(series.ts) // 8
    return evaluation_pb2.ReturnSeries(
        bar_times_ns=struct.unpack(f"<{bars}q", series.ts),
        returns=struct.unpack(f"<{bars}d", series.ret),
    )


def to_rules(rules: Iterable[RuleOutcome]) -> list[world_pb2.RuleOutcome]:
    """Return the messages of outcomes."""
    return [
        world_pb2.RuleOutcome(
            rule=each.rule,
            passed=each.passed,
            value=_finite(each.value),
            limit=_finite(each.limit),
            message=each.message,
        )
        for each in rules
    ]


def to_status(
    world: world_pb2.World,
    standings: Sequence[tuple[EvaluationRecord, Standing]],
    stands: apply_records.Standing,
    proposal: Proposal | None,
    latest: RoundRecord | None,
    trials: int,
) -> world_service_pb2.GetWorldStatusResponse:
    """Return the message of a world's status."""
    place, activation_set = stands.place, stands.activation_set
    return world_service_pb2.GetWorldStatusResponse(
        world=world,
        strategies=[_to_strategy(*each, activation_set) for each in standings],
        epoch=place.epoch,
        sequence=place.sequence,
        trials=trials,
        score=None if latest is None else latest.world_score,
        as_of="" if latest is None else format_rfc3339(latest.as_of),
        round_time=None if latest is None else to_timestamp(latest.create_time),
        holds=sorted(place.holds),
        open=place.is_open,
        run_id="" if place.running is None else place.running.run_id,
        waits_for="" if proposal is None else proposal.waits_for,
    )


def from_proofs(report: evaluation_pb2.ProofReport) -> Proof:
    """Return what the submitted proofs say; whatever is not clearly passed is a finding or missing."""
    for finding in report.findings:
        state = _state(finding.kind)
        where = f"node {finding.node} at {finding.bar} for {finding.symbol}"
        return Proof(state, _one_line(finding.message or where))
    if report.status == evaluation_pb2.PROOF_STATUS_PASSED:
        # A proof of nothing proves nothing; NaN fails too.
        return Proof(ProofState.PROVEN if 0.0 < report.coverage <= 1.0 else ProofState.MISSING)
    if report.status == evaluation_pb2.PROOF_STATUS_FAILED:
        return Proof(ProofState.LOOK_AHEAD, "the proofs failed without saying where")
    return Proof(ProofState.MISSING)


def _to_strategy(
    record: EvaluationRecord, standing: Standing, activation_set: ActivationSet
) -> world_pb2.StrategyStatus:
    activation = activation_set.find(record.strategy_id)
    return world_pb2.StrategyStatus(
        strategy_id=record.strategy_id,
        strategy_version=record.strategy_version,
        status=standing.status,
        active=activation is not None,
        weight=0.0 if activation is None else activation.weight,
        side=standing.side,
        score=standing.score,
        contribution=standing.contribution,
        metrics=_known(record.metrics),
        rules=to_rules(standing.rules),
        equity_curve=record.equity_curve,
        eval_key=record.eval_key,
        evaluate_time=to_timestamp(record.create_time),
    )


def _one_line(text: str) -> str:
    """Return a client's text in a form that any store and any screen takes."""
    return "".join(each if each.isprintable() else " " for each in text[:MAX_FINDING])


def _state(kind: str) -> ProofState:
    """Return the state that a finding's kind names; one that this release does not know is the gravest."""
    return next((state for state in FINDINGS if state.value == kind), ProofState.LOOK_AHEAD)


def _known(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that have a value."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
