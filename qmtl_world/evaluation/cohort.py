"""A world's round: decide over all its strategies, keep the decision, and propose what shall trade.

Run inside a transaction that has locked the world: after each evaluation, and when another policy comes into force or
the world is stated anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from qmtl_foundation.clock import parse_rfc3339
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.coordinator import Coordinator, intended
from qmtl_world.apply.model import Activation, ActivationSet
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.candidates import Present, contenders
from qmtl_world.evaluation.model import RoundState, StrategyDecision, StrategyState
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.evaluation.records import ContenderRecord, EvaluationRecord, RoundRecord, Standing
from qmtl_world.evaluation.round import AssessedAlone, RoundResult, RoundTask, as_applied, decide_round
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import PolicyVersion, World, switched_mode

NO_SNAPSHOT: Final = datetime.fromtimestamp(0, UTC)  # begins no round: every snapshot is later


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold what a round came to. ``alone`` are versions that did not stand for their strategy, judged by themselves."""

    standings: tuple[Standing, ...]
    alone: tuple[AssessedAlone, ...]

    def standing_of(self, record: EvaluationRecord) -> Standing:
        """Return how an evaluated version stands: as the round left it, or by itself when another stands for it."""
        for each in self.standings:
            if each.evaluation_id == record.id:
                return each
        return standing_alone(next(each for each in self.alone if each.strategy_id == record.strategy_id), record.id)


async def decide_world(
    connection: Connection,
    processes: EvaluationProcesses,
    coordinator: Coordinator,
    world: World,
    policy: PolicyVersion,
    now: datetime,
    snapshot: datetime | None,
    evaluated: ContenderRecord | None = None,
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> Settled:
    """Decide the round of a snapshot (None: the one that stands), and begin its apply run as far as the policy lets it.

    "In force" is what the world is about to trade: a run that is under way counts as done. Where the policy waits for
    an operator, or a cached result of another context was reported, nothing new is activated; what may no longer trade
    leaves all the same. ``prepare`` is done once that is computed, and before it is proposed: what locks the world's
    place belongs there, for a stop waits for nobody.
    """
    in_force = await intended(connection, world.spec.name)
    gathered = await _gather(connection, world, policy, now, snapshot, evaluated, in_force)
    load = partial(trials.load_series, connection, world.spec.name)
    result = None if gathered is None else await processes.run_on_series(decide_round, gathered.task, load)
    if prepare is not None:
        await prepare()
    if gathered is None or result is None:
        return Settled((), ())
    represented = gathered.represented(result)
    standings = tuple(_standing(represented[each.strategy_id], each) for each in result.decision.strategies)
    says = _says(represented, standings, world)
    applied = says if result.applies else _stays(standings, world, in_force)
    record = RoundRecord(
        world=world.spec.name,
        preset=world.spec.data_preset,
        as_of=result.decision.as_of,
        policy_version=policy.version,
        world_score=result.decision.world_score,
        cohort={strategy_id: row.eval_key for strategy_id, row in represented.items()},
        state=as_applied(result.decision.state, frozenset(each.strategy_id for each in applied)),
        create_time=now,
    )
    number = await store.add_round(connection, record, standings)
    await coordinator.propose(connection, world.spec.name, number, says, applied, result.terms)
    return Settled(standings, result.alone)


def standing_alone(found: AssessedAlone, evaluation_id: int) -> Standing:
    """Return how a version stands that no round has chosen: judged, without a place or a weight."""
    return Standing(
        found.strategy_id, evaluation_id, found.status, False, found.side, 0.0, found.score, None, found.rules
    )


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Hold what a round is decided on: of each strategy the newest evaluation and that of the version in force."""

    newest: Mapping[str, ContenderRecord]
    standing: Mapping[str, ContenderRecord]
    task: RoundTask

    def represented(self, result: RoundResult) -> dict[str, ContenderRecord]:
        """Return the evaluation that stands for each strategy after a round."""
        return {
            strategy_id: self.standing[strategy_id] if strategy_id in result.held_off else row
            for strategy_id, row in self.newest.items()
        }


async def _gather(
    connection: Connection,
    world: World,
    policy: PolicyVersion,
    now: datetime,
    snapshot: datetime | None,
    evaluated: ContenderRecord | None,
    in_force: ActivationSet,
) -> _Gathered | None:
    """Read what a round is decided on; None while no strategy of the world competes."""
    name = world.spec.name
    newest = await store.contending_evaluations(connection, name, world.spec.data_preset)
    if not newest:
        return None
    versions = {each.strategy_id: each.strategy_version for each in in_force.activations}
    standing = await store.evaluations_in_force(connection, name, world.spec.data_preset, versions)
    seen = await _count_trials(connection, name, evaluated)
    newest_snapshots = await world_store.newest_snapshots(connection, name)
    before = _before(await store.read_round(connection, name), world.spec.data_preset, frozenset(versions))
    known = newest_snapshots.get(world.spec.data_preset)
    task = RoundTask(
        as_of=snapshot or before.as_of or (parse_rfc3339(known) if known else NO_SNAPSHOT),
        present=Present(now, world.spec, seen, newest_snapshots),
        contenders=contenders(newest, standing),
        guest=evaluated if evaluated and newest[evaluated.strategy_id].id != evaluated.id else None,
        policy=policy.yaml.encode(),
        previous=before,
    )
    return _Gathered(newest, standing, task)


def _before(previous: RoundRecord | None, preset: str, active: frozenset[str]) -> RoundState:
    """Return what a round starts from: the state of the last one, with what is in force since.

    An operator's plan or a rollback may have changed that. Snapshots of another preset are not older or newer than
    this one's.
    """
    if previous is None:
        return RoundState()
    state = previous.state
    after = tuple(
        each if each.active == (each.strategy_id in active) else StrategyState(each.strategy_id, not each.active)
        for each in state.after
    )
    return replace(state, after=after) if previous.preset == preset else RoundState(None, (), after)


async def _count_trials(connection: Connection, world: str, evaluated: ContenderRecord | None) -> int:
    """Return how many versions a world has tried, the one just evaluated included: its trial is noted once judged."""
    if evaluated is None:
        return await trials.count_trials(connection, world)
    return await trials.count_trials_with(connection, world, evaluated.strategy_id, evaluated.strategy_version)


def _standing(record: ContenderRecord, decision: StrategyDecision) -> Standing:
    return Standing(
        strategy_id=record.strategy_id,
        evaluation_id=record.id,
        status=decision.status,
        active=decision.active,
        side=decision.side,
        weight=decision.weight,
        score=decision.score,
        contribution=decision.contribution,
        rules=decision.rules,
    )


def _says(
    represented: Mapping[str, ContenderRecord], standings: Sequence[Standing], world: World
) -> Sequence[Activation]:
    """Return what a round says shall trade."""
    mode = switched_mode(world.spec)
    return [
        Activation(
            strategy_id=each.strategy_id,
            strategy_version=represented[each.strategy_id].strategy_version,
            weight=each.weight,
            side=each.side.value,
            mode=mode,
            dataset_fingerprint=represented[each.strategy_id].dataset_fingerprint,
        )
        for each in standings
        if each.active
    ]


def _stays(standings: Sequence[Standing], world: World, in_force: ActivationSet) -> Sequence[Activation]:
    """Return of what traded before what still may."""
    mode = switched_mode(world.spec)
    stays = {each.strategy_id for each in standings if each.active}
    return [replace(each, mode=mode) for each in in_force.activations if each.strategy_id in stays]
