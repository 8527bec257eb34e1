"""A world's round: decide over all its strategies, keep the decision, and switch what may trade.

Run inside a transaction that has locked the world: after each evaluation, and when another policy comes into force or
the world is stated anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply import store as apply_store
from qmtl_world.apply.model import Activation, ActivationSet
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.candidates import Present, contenders
from qmtl_world.evaluation.model import RoundState, StrategyDecision
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.evaluation.records import ContenderRecord, EvaluationRecord, RoundRecord, Standing
from qmtl_world.evaluation.round import AssessedAlone, RoundTask, as_applied, decide_round
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import PolicyVersion, World, switched_mode

NO_SNAPSHOT: Final = datetime.fromtimestamp(0, UTC)  # begins no round: every snapshot is later


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold what a round came to. ``alone`` are versions that did not stand for their strategy, judged by themselves."""

    standings: tuple[Standing, ...]
    alone: tuple[AssessedAlone, ...]
    activation_set: ActivationSet

    def standing_of(self, record: EvaluationRecord) -> Standing:
        """Return how an evaluated version stands: as the round left it, or by itself when another stands for it."""
        for each in self.standings:
            if each.evaluation_id == record.id:
                return each
        return standing_alone(next(each for each in self.alone if each.strategy_id == record.strategy_id), record.id)


async def decide_world(
    connection: Connection,
    processes: EvaluationProcesses,
    world: World,
    policy: PolicyVersion,
    now: datetime,
    snapshot: datetime | None,
    evaluated: ContenderRecord | None = None,
) -> Settled:
    """Decide the round of a snapshot (None: the one that stands), and switch as far as the policy lets it.

    Where the policy waits for an operator, or a cached result of another context was reported, nothing new is
    activated; what may no longer trade leaves all the same.
    """
    name = world.spec.name
    in_force = await apply_store.read_set(connection, name)
    newest = await store.contending_evaluations(connection, name, world.spec.data_preset)
    if not newest:
        return Settled((), (), in_force)
    versions = {each.strategy_id: each.strategy_version for each in in_force.activations}
    standing = await store.evaluations_in_force(connection, name, world.spec.data_preset, versions)
    seen = await _count_trials(connection, name, evaluated)
    previous = await store.read_round(connection, name)
    before = RoundState() if previous is None else previous.state
    task = RoundTask(
        as_of=snapshot or before.as_of or NO_SNAPSHOT,
        present=Present(now, world.spec, seen, await world_store.newest_snapshots(connection, name)),
        contenders=contenders(newest, standing),
        guest=evaluated if evaluated and newest[evaluated.strategy_id].id != evaluated.id else None,
        policy=policy.yaml.encode(),
        previous=before,
    )
    result = await processes.run_on_series(decide_round, task, partial(trials.load_series, connection, name))
    represented = {name: standing[name] if name in result.held_off else row for name, row in newest.items()}
    standings = tuple(_standing(represented[each.strategy_id], each) for each in result.decision.strategies)
    wanted = _activations(represented, standings, world)
    if not result.applies:
        stays = {each.strategy_id for each in wanted}
        mode = switched_mode(world.spec)
        wanted = [replace(each, mode=mode) for each in in_force.activations if each.strategy_id in stays]
    record = RoundRecord(
        world=name,
        as_of=result.decision.as_of,
        policy_version=policy.version,
        world_score=result.decision.world_score,
        cohort={name: row.eval_key for name, row in represented.items()},
        state=as_applied(result.decision.state, frozenset(each.strategy_id for each in wanted)),
        create_time=now,
    )
    await store.add_round(connection, record, standings)
    switched = await apply_store.switch(connection, name, wanted, now)
    return Settled(standings, result.alone, switched)


async def _count_trials(connection: Connection, world: str, evaluated: ContenderRecord | None) -> int:
    """Return how many versions a world has tried, the one just evaluated included: its trial is noted once judged."""
    if evaluated is None:
        return await trials.count_trials(connection, world)
    return await trials.count_trials_with(connection, world, evaluated.strategy_id, evaluated.strategy_version)


def standing_alone(found: AssessedAlone, evaluation_id: int) -> Standing:
    """Return how a version stands that no round has chosen: judged, without a place or a weight."""
    return Standing(
        found.strategy_id, evaluation_id, found.status, False, found.side, 0.0, found.score, None, found.rules
    )


def _standing(record: ContenderRecord, decision: StrategyDecision) -> Standing:
    return Standing(
        strategy_id=record.strategy_id,
        evaluation_id=record.id,
        status=decision.status.value,
        active=decision.active,
        side=decision.side.value,
        weight=decision.weight,
        score=decision.score,
        contribution=decision.contribution,
        rules=decision.rules,
    )


def _activations(
    represented: Mapping[str, ContenderRecord], standings: Sequence[Standing], world: World
) -> Sequence[Activation]:
    """Return what may trade after a round."""
    mode = switched_mode(world.spec)
    return [
        Activation(
            strategy_id=each.strategy_id,
            strategy_version=represented[each.strategy_id].strategy_version,
            weight=each.weight,
            side=each.side,
            mode=mode,
            dataset_fingerprint=represented[each.strategy_id].dataset_fingerprint,
        )
        for each in standings
        if each.active
    ]
