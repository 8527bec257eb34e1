"""The use case: measure what a strategy submitted, judge it, decide for the cohort, propose what shall trade.

1. Check the terms against the binding: same version, snapshot, data and execution model (``check_terms``).
2. Compute every metric in a worker process (``worker.py``); nothing is locked meanwhile.
3. One that may not be promoted, as the cell of a sweep, is judged by itself, also before anything is locked.
4. Lock the world and store the evaluation.
5. One that may be promoted: decide the round over the whole cohort, and begin its apply run (``cohort.py``).
Steps 1 to 3 are ``measure``. Steps 4 and 5 are ``settle``, one transaction with the answer: killed anywhere, a
repetition does it once. The run goes on by itself; who asked waits for it a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from qmtl_foundation.clock import format_rfc3339, parse_rfc3339
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import ExecutionModel
from qmtl_foundation.identity import EvaluationIdentity, eval_key
from qmtl_foundation.postgres import acquire, snapshot
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.candidates import PROMOTABLE, Present, terms_id
from qmtl_world.evaluation.codec import StoredCandidate, StoredDataset, encode_candidate, encode_metrics
from qmtl_world.evaluation.cohort import decide_world, standing_alone
from qmtl_world.evaluation.model import EvaluationMetrics, EvaluationTask, Proof, ReturnSeries
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.evaluation.records import ContenderRecord, EvaluationRecord, SeriesRecord, Standing
from qmtl_world.evaluation.round import AssessedAlone, assess_alone
from qmtl_world.evaluation.shelf import Series
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import Binding, PolicyVersion, World

WINDOW_SLACK = timedelta(days=1)  # returns may be stamped with the day after their bar
RESOURCE_POLICY = "standard/1"  # how evaluations are computed: one worker, no sampling


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
class JudgedAlone:
    """Hold what a version was found to be by itself, and the revision of the world that it was judged under."""

    revision: int
    found: AssessedAlone


@dataclass(frozen=True, slots=True)
class Submitted:
    """Hold the series of a submission as Arrow IPC streams (empty: none)."""

    returns: bytes
    targets: bytes
    trades: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold what a submission was found to be before anything was locked; ``judged`` if it may not be promoted."""

    metrics: EvaluationMetrics
    judged: JudgedAlone | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Hold what came of an evaluation; ``standing`` is the submitted version's own, None if it was judged alone."""

    record: EvaluationRecord
    standing: Standing | None


async def measure(
    pool: Pool, processes: EvaluationProcesses, terms: Terms, submitted: Submitted, now: datetime
) -> Measured:
    """Measure a submission, and judge one that may not be promoted; no lock is held.

    Raises what ``read_ground`` raises, INVALID_SERIES, INVALID_FIELD.
    """
    async with snapshot(pool) as connection:
        ground = await read_ground(connection, terms)
        others = await trials.other_trials(connection, terms.world, terms.strategy_version)
    task = EvaluationTask(
        returns=submitted.returns,
        targets=submitted.targets,
        trades=submitted.trades,
        periods_per_year=ground.world.spec.bars_per_year,
        trials=others.count + 1,
        trial_sharpes=others.sharpes,
        trial_series=others.series,
    )

    async def load(series_ids: Sequence[str]) -> Series:
        async with snapshot(pool) as connection:
            await world_store.read_world(connection, terms.world)  # its returns go with it
            return await trials.load_series(connection, terms.world, series_ids)

    metrics = await processes.measure(task, load)
    record = new_record(ground, terms, metrics, now)
    if is_promotable(record):
        return Measured(metrics, None)
    async with acquire(pool) as connection:
        present = await read_present(connection, ground, record)
    return Measured(metrics, await judge_alone(processes, ground, record, metrics.returns, present))


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


async def read_present(connection: Connection, ground: Ground, record: EvaluationRecord) -> Present:
    """Return what an evaluation that is not stored yet is judged against."""
    name = ground.world.spec.name
    seen = await trials.count_trials_with(connection, name, record.strategy_id, record.strategy_version)
    return Present(record.create_time, ground.world.spec, seen, await world_store.newest_snapshots(connection, name))


async def judge_alone(
    processes: EvaluationProcesses, ground: Ground, record: EvaluationRecord, returns: ReturnSeries, present: Present
) -> JudgedAlone:
    """Judge by itself an evaluation that may not be promoted: the cohort does not matter to it, nor it to them."""
    policy = ground.policy.yaml.encode()
    found = await processes.run(assess_alone, to_contender(record), returns, present, policy)
    return JudgedAlone(ground.world.revision, found)


async def settle(
    connection: Connection,
    processes: EvaluationProcesses,
    coordinator: Coordinator,
    terms: Terms,
    measured: Measured,
    now: datetime,
) -> Evaluated:
    """Store an evaluation. One that may be promoted makes a round; another is judged alone, and concerns no one else.

    What was judged before the world was locked is judged again if the world has changed since.
    """
    ground = await read_ground(connection, terms, lock=True)
    metrics, judged = measured.metrics, measured.judged
    _check_window(ground, metrics)
    record = new_record(ground, terms, metrics, now)
    await trials.add_series(connection, record, _to_series(metrics))
    if is_promotable(record):
        return await _settle_round(connection, processes, coordinator, ground, record)
    if judged is None or judged.revision != ground.world.revision:
        present = await read_present(connection, ground, record)
        judged = await judge_alone(processes, ground, record, metrics.returns, present)
    return await _settle_alone(connection, ground, record, judged.found)


async def _settle_round(
    connection: Connection,
    processes: EvaluationProcesses,
    coordinator: Coordinator,
    ground: Ground,
    new: EvaluationRecord,
) -> Evaluated:
    record = replace(new, id=await store.add_promotable(connection, new))
    contender = to_contender(record)
    settled = await decide_world(
        connection, processes, coordinator, ground.world, ground.policy, new.create_time, _snapshot(ground), contender
    )
    own = settled.standing_of(record)
    await store.judge_evaluation(connection, own)
    await trials.note_trial(connection, record, own.status)
    return Evaluated(record, own)


async def _settle_alone(
    connection: Connection, ground: Ground, new: EvaluationRecord, found: AssessedAlone
) -> Evaluated:
    judged = replace(new, status=found.status, score=found.score, rules=found.rules)
    row = await store.add_other(connection, judged)
    if row is not None:
        judged = replace(judged, id=row)
        await store.stand_alone(connection, judged, standing_alone(found, row))
        await trials.note_trial(connection, judged, found.status)
    return Evaluated(judged, None)


def is_promotable(record: EvaluationRecord) -> bool:
    """Tell whether an evaluation may take part in a world's rounds; a cell of a sweep may not."""
    return record.candidate.effective_mode in PROMOTABLE


def to_contender(record: EvaluationRecord) -> ContenderRecord:
    """Return of an evaluation what it is judged on."""
    return ContenderRecord(
        id=record.id,
        eval_key=record.eval_key,
        strategy_id=record.strategy_id,
        strategy_version=record.strategy_version,
        as_of=record.as_of,
        dataset_fingerprint=record.dataset_fingerprint,
        series_id=record.series_id or "",
        metrics=encode_metrics(record.metrics),
        candidate=encode_candidate(record.candidate),
    )


def new_record(ground: Ground, terms: Terms, measured: EvaluationMetrics, now: datetime) -> EvaluationRecord:
    """Return the evaluation of a measured submission, not judged yet."""
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
    return EvaluationRecord(
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
            effective_mode=_mode(terms, ground.binding),
            terms=terms_id(ground.world.spec),
            sample=measured.sample,
            risk=measured.risk,
            proof=terms.proof,
            side=measured.side,
            has_target=measured.has_target,
        ),
        equity_curve=measured.equity_curve,
        series_id=measured.returns_hash,
        create_time=now,
    )


def _to_series(measured: EvaluationMetrics) -> SeriesRecord:
    returns = measured.returns
    return SeriesRecord(measured.returns_hash, returns.ts.astype("<i8").tobytes(), returns.ret.astype("<f8").tobytes())


def _snapshot(ground: Ground) -> datetime | None:
    """Return the snapshot whose round an evaluation belongs to: one of the world's own data, else None."""
    dataset = ground.binding.dataset
    if dataset.as_of and dataset.preset == ground.world.spec.data_preset:
        return parse_rfc3339(dataset.as_of)
    return None


def _mode(terms: Terms, binding: Binding) -> str:
    """Return the mode that counts: what the runner states, unless the world bound the strategy under less."""
    return terms.effective_mode if binding.effective_mode.value in PROMOTABLE else binding.effective_mode.value


def _check_window(ground: Ground, measured: EvaluationMetrics) -> None:
    """Raise INVALID_SERIES for returns that go beyond the data that the strategy was bound to."""
    end, last = ground.binding.dataset.end_time, datetime.fromtimestamp(int(measured.returns.ts[-1]) // 10**9, UTC)
    if end is not None and last > end + WINDOW_SLACK:
        raise QmtlError(
            Reason.INVALID_SERIES,
            f"returns end at {format_rfc3339(last)}, the data they are of ends at {format_rfc3339(end)}; "
            "submit again with a newer snapshot, or cut the returns",
            metadata={"field": "returns", "ts": format_rfc3339(last)},
        )
