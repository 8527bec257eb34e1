"""Turns an operator's plan into activations: sides and data from the strategies' evaluations, the mode from the world.

People override what the policy chooses, not what the proofs refuse: a strategy that looks ahead trades for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qmtl_foundation.errors import Reason, invalid_field
from qmtl_foundation.postgres.pool import Connection
from qmtl_foundation.requests import not_found
from qmtl_world.apply.model import Activation
from qmtl_world.apply.planning import Planned
from qmtl_world.evaluation import store
from qmtl_world.evaluation.candidates import PROMOTABLE
from qmtl_world.evaluation.codec import decode_candidate
from qmtl_world.evaluation.model import ProofState
from qmtl_world.evaluation.records import ContenderRecord
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import World, switched_mode


class EvaluatedPlans:
    """Plan from evaluations; the promises are those of ``qmtl_world.apply.planning.Planner``."""

    async def plan(self, connection: Connection, world: str, stated: Sequence[Planned]) -> tuple[Activation, ...]:
        """Look each strategy's evaluation up."""
        locked = await world_store.read_world(connection, world, lock=True)
        preset = locked.spec.data_preset
        newest = await store.contending_evaluations(connection, world, preset)
        versions = {each.strategy_id: each.strategy_version for each in stated if each.strategy_version}
        named = await store.evaluations_in_force(connection, world, preset, versions)
        return tuple(_activations(locked, stated, {**newest, **dict.fromkeys(versions), **named}))


def _activations(
    world: World, stated: Sequence[Planned], found: Mapping[str, ContenderRecord | None]
) -> Iterator[Activation]:
    for index, each in enumerate(stated):
        record = found.get(each.strategy_id)
        if record is None:
            name = world.spec.name
            mend = f"`qmtl world status {name}` shows those that were evaluated, with their versions"
            raise not_found(
                Reason.STRATEGY_NOT_FOUND, "strategy", each.strategy_id, mend, world=name, strategy_id=each.strategy_id
            )
        candidate = decode_candidate(record.candidate)
        field = f"plan.activations[{index}].strategy_id"
        if not candidate.has_target or candidate.effective_mode not in PROMOTABLE:
            raise invalid_field(field, f"{each.strategy_id} was evaluated without a target, or as the cell of a sweep")
        if candidate.proof.state is not ProofState.PROVEN:
            raise invalid_field(field, f"{each.strategy_id} is refused by its proofs ({candidate.proof.state.value})")
        yield Activation(
            strategy_id=each.strategy_id,
            strategy_version=record.strategy_version,
            weight=each.weight,
            side=candidate.side.value,
            mode=switched_mode(world.spec),
            dataset_fingerprint=record.dataset_fingerprint,
        )
