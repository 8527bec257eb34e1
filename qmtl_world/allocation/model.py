"""A world's allocations, as they follow from its activation set. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qmtl_world.apply.model import ActivationSet
from qmtl_world.worlds.model import etag_of


@dataclass(frozen=True, slots=True)
class Allocation:
    """Give a strategy its fraction of the world's equity, in [0, 1]."""

    strategy_id: str
    weight: float


@dataclass(frozen=True, slots=True)
class AllocationSnapshot:
    """Hold a world's allocations, by strategy; ``cash`` is the rest, in [0, 1]."""

    world: str
    strategies: tuple[Allocation, ...]
    cash: float
    epoch: int
    etag: str
    create_time: datetime | None


def allocate(activation_set: ActivationSet) -> AllocationSnapshot:
    """Return the allocations that an activation set's weights are: what is not given stays cash."""
    given = tuple(Allocation(each.strategy_id, each.weight) for each in activation_set.activations)
    return AllocationSnapshot(
        world=activation_set.world,
        strategies=given,
        cash=max(0.0, 1.0 - sum(each.weight for each in given)),
        epoch=activation_set.epoch,
        etag=etag_of(activation_set.world, activation_set.state_hash),
        create_time=activation_set.switch_time,
    )
