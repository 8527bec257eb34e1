"""What the apply room asks of the room that judges strategies; the bootstrap gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.model import Activation


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold what an operator states of one strategy; an empty version stands for the one evaluated last."""

    strategy_id: str
    weight: float
    strategy_version: str


class Planner(Protocol):
    """Turn what an operator states into activations."""

    async def plan(self, connection: Connection, world: str, stated: Sequence[Planned]) -> tuple[Activation, ...]:
        """Return activations in the mode of the world, which is locked; raise naming the strategy that cannot trade."""
