"""The use case: measure what a strategy submitted, judge it, decide for the cohort, switch what may trade.

1. Check the terms against the binding: same version, snapshot, data and execution model (``check_terms``).
2. Compute every metric in a worker process (``worker.py``); nothing is locked meanwhile.
3. Lock the world, store the evaluation, decide the round over the whole cohort (``round.py``, in a worker process).
4. Where the policy applies by itself, switch the activation set; its event goes to the outbox.
Steps 3 and 4 are one transaction with the answer: killed anywhere, a repetition does it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from qmtl_foundation.clock import format_rfc3339, parse_rfc3339
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.execution_model import ExecutionModel
from qmtl_foundation.identity import EvaluationIdentity, eval_key
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply import store as apply_store
from qmtl_world.apply.model import Activation, ActivationSet
from qmtl_world.evaluation import store
from qmtl_world.evaluation.candidates import Present, contenders
from qmtl_world.evaluation.codec import StoredCandidate, StoredDataset
from qmtl_world.evaluation.model import EvaluationMetrics, Proof, RoundState, StrategyDecision
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.evaluation.records import EvaluationRecord, RoundRecord, Standing
from qmtl_world.evaluation.round import RoundResult, RoundTask, decide_round
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import Binding, PolicyVersion, World

RESOURCE_POLICY = "standard/1"  # how evaluations are computed: one worker, no sampling
NO_SNAPSHOT = datetime.fromtimestamp(0, UTC)  # a strategy without a snapshot begins no round: every snapshot is later


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold under which terms a strategy was computed, as its runner states them."""

    world: str
    strategy_id: str
    strategy_version: str
    execution_domain: str
    as_of: str
    dataset_fingerprint: str
    execution_model: ExecutionModel
    proof: Proof
    effective_mode: str
    submission_id: str
    code_version: str
    cross_context_hits: int


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold what an evaluation stands on: the world, its active policy, and the strategy's binding."""

    world: World
    policy: PolicyVersion
    binding: Binding


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Hold what came of an evaluation; ``standing`` is the submitted version's own."""

    record: EvaluationRecord
    standing: Standing
    ground: Ground
    activation_set: ActivationSet


async def read_ground(connection: Connection, terms: Terms, *, lock: bool = False) -> Ground:
    """Return what an evaluation stands on, after checking the terms against it.

    Raises WORLD_NOT_FOUND, STRATEGY_NOT_FOUND, NO_ACTIVE_POLICY, BINDING_MISMATCH.
    """
    world = await world_store.read_world(connection, terms.world, lock=lock)
    binding = await world_store.read_binding(connection, terms.world, terms.strategy_id, terms.submission_id)
    check_terms(terms, world, binding)
    if not world.active_policy_version:
        raise QmtlError(
            Reason.NO_ACTIVE_POLICY,
            f"world {terms.world!r} has no active policy; `qmtl world policy upload {terms.world} FILE --activate`",
            metadata={"world": terms.world},
        )
    policy = await world_store.read_policy(connection, terms.world, world.active_policy_version)
    return Ground(world, policy, binding)


def check_terms(terms: Terms, world: World, binding: Binding) -> None:
    """Raise BINDING_MISMATCH naming the first term that is not the one the strategy was bound under."""
    stated = {
        "strategy_version": (binding.strategy_version, terms.strategy_version),
        "as_of": (binding.dataset.as_of, terms.as_of),
        "dataset_fingerprint": (binding.dataset.fingerprint, terms.dataset_fingerprint),
        "execution_model": (str(world.spec.execution_model.canonical()), str(terms.execution_model.canonical())),
    }
    for field, (expected, given) in stated.items():
        if expected != given:
            raise QmtlError(
                Reason.BINDING_MISMATCH,
                f"{field} is {given!r}, but the strategy was bound under {expected!r}; submit it again",
                metadata={"field": field, "expected": expected, "given": given},
            )


async def settle(
    connection: Connection,
    processes: EvaluationProcesses,
    terms: Terms,
    measured: EvaluationMetrics,
    now: datetime,
) -> Evaluated:
    """Store an evaluation, decide the world's round, and switch what may trade where the policy applies by itself."""
    ground = await read_ground(connection, terms, lock=True)
    record = await _store_evaluation(connection, ground, terms, measured, now)
    in_force = await apply_store.read_set(connection, terms.world)
    newest = await store.newest_evaluations(connection, terms.world)
    versions = {each.strategy_id: each.strategy_version for each in in_force.activations}
    standing = await store.evaluations_in_force(connection, terms.world, versions)
    previous = await store.read_round(connection, terms.world)
    present = Present(
        now,
        ground.world.spec,
        await world_store.count_trials(connection, terms.world),
        await world_store.newest_snapshots(connection, terms.world),
    )
    before = RoundState() if previous is None else previous.state
    task = RoundTask(
        as_of=_round_time(ground, before),
        periods_per_year=ground.world.spec.bars_per_year,
        contenders=contenders(newest, standing, present),
        policy=ground.policy.yaml.encode(),
        previous=before,
    )
    result = await processes.run(decide_round, task)
    held_off = {each.candidate.strategy_id for each in result.held_off}
    represented = {name: standing[name] if name in held_off else row for name, row in newest.items()}
    standings = [_standing(represented[each.strategy_id], each) for each in result.decision.strategies]
    await store.add_round(connection, _round(ground, result, represented, now), standings)
    if result.applies:
        activations = _activations(standings, ground.world)
        in_force = await apply_store.switch(connection, terms.world, activations, now)
    own = _own_standing(record, result, standings)
    await store.judge_evaluation(connection, record, own)
    return Evaluated(record, own, ground, in_force)


async def _store_evaluation(
    connection: Connection, ground: Ground, terms: Terms, measured: EvaluationMetrics, now: datetime
) -> EvaluationRecord:
    dataset = ground.binding.dataset
    identity = EvaluationIdentity(
        strategy_version=terms.strategy_version,
        world=terms.world,
        execution_domain=terms.execution_domain,
        policy_version=ground.policy.version,
        execution_model=terms.execution_model.canonical(),
        dataset_fingerprint=terms.dataset_fingerprint,
        series_hash=measured.series_hash,
        code_version=terms.code_version,
        resource_policy=RESOURCE_POLICY,
    )
    record = EvaluationRecord(
        eval_key=eval_key(identity),
        world=terms.world,
        strategy_id=terms.strategy_id,
        strategy_version=terms.strategy_version,
        policy_version=ground.policy.version,
        as_of=terms.as_of,
        dataset_fingerprint=terms.dataset_fingerprint,
        status="pending",
        score=None,
        metrics=measured.metrics,
        rules=(),
        candidate=StoredCandidate(
            dataset=StoredDataset(
                preset=dataset.preset,
                end_time="" if dataset.end_time is None else format_rfc3339(dataset.end_time),
                coverage=dataset.coverage,
                gaps=dataset.gaps,
                cross_context_hits=terms.cross_context_hits,
            ),
            effective_mode=terms.effective_mode,
            sample=measured.sample,
            risk=measured.risk,
            proof=terms.proof,
            side=measured.side,
            has_target=measured.has_target,
        ),
        equity_curve=measured.equity_curve,
        series_ts=measured.returns.ts.astype("<i8").tobytes(),
        series_ret=measured.returns.ret.astype("<f8").tobytes(),
        create_time=now,
    )
    return replace(record, id=await store.add_evaluation(connection, record))


def _round_time(ground: Ground, before: RoundState) -> datetime:
    """Return the round that an evaluation belongs to: of its snapshot, when it is one of the world's own data."""
    dataset = ground.binding.dataset
    if dataset.as_of and dataset.preset == ground.world.spec.data_preset:
        return parse_rfc3339(dataset.as_of)
    return before.as_of or NO_SNAPSHOT


def _standing(record: EvaluationRecord, decision: StrategyDecision) -> Standing:
    return Standing(
        evaluation=record,
        status=decision.status.value,
        active=decision.active,
        side=decision.side.value,
        weight=decision.weight,
        score=decision.score,
        contribution=decision.contribution,
        rules=decision.rules,
    )


def _own_standing(record: EvaluationRecord, result: RoundResult, standings: list[Standing]) -> Standing:
    """Return how the submitted version stands: as the round left it, or by itself when another stands for it."""
    for found in result.held_off:
        if found.candidate.strategy_id == record.strategy_id:
            side = found.candidate.side.value
            return Standing(record, found.status.value, False, side, 0.0, found.score, None, found.rules)
    return next(each for each in standings if each.evaluation.strategy_id == record.strategy_id)


def _round(
    ground: Ground, result: RoundResult, represented: Mapping[str, EvaluationRecord], now: datetime
) -> RoundRecord:
    decision = result.decision
    return RoundRecord(
        world=ground.world.spec.name,
        as_of=decision.as_of,
        policy_version=ground.policy.version,
        world_score=decision.world_score,
        cohort={name: record.eval_key for name, record in represented.items()},
        state=decision.state,
        create_time=now,
    )


def _activations(standings: list[Standing], world: World) -> list[Activation]:
    """Return what may trade after a round. A world set to live without ``allow_live`` computes only."""
    mode = world.spec.mode
    if mode is EffectiveMode.LIVE and not world.spec.allow_live:
        mode = EffectiveMode.COMPUTE_ONLY
    return [
        Activation(
            strategy_id=each.evaluation.strategy_id,
            strategy_version=each.evaluation.strategy_version,
            weight=each.weight,
            side=each.side,
            mode=mode,
            dataset_fingerprint=each.evaluation.dataset_fingerprint,
        )
        for each in standings
        if each.active
    ]
