"""What worlds ask of the rooms above them: which strategies trade, how they stand, and that they follow a change."""

from __future__ import annotations

from datetime import datetime

from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply import store as apply_store
from qmtl_world.apply.model import Activation
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.cohort import decide_world
from qmtl_world.evaluation.messages import to_status
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.messages import to_world
from qmtl_world.worlds.model import PolicyVersion, World


class EvaluatedTrading:
    """Answer from activation sets and rounds; the promises are those of ``qmtl_world.worlds.trading.Trading``."""

    def __init__(self, processes: EvaluationProcesses) -> None:
        self._processes = processes

    async def check_policy(self, text: bytes) -> str:
        """Check it in a worker process."""
        return await self._processes.check_policy(text)

    async def in_force(self, connection: Connection, world: str, strategy_id: str) -> Activation | None:
        """Read what was announced and still stands."""
        return await apply_store.read_in_force(connection, world, strategy_id)

    async def count_active(self, connection: Connection, world: str) -> int:
        """Count the newest set."""
        return len((await apply_store.read_set(connection, world)).activations)

    async def follow_world(self, connection: Connection, world: World, now: datetime) -> None:
        """Decide the round of the snapshot that stands; without a policy nothing was ever activated."""
        if world.active_policy_version:
            policy = await world_store.read_policy(connection, world.spec.name, world.active_policy_version)
            await self.follow_policy(connection, world, policy, now)

    async def follow_policy(self, connection: Connection, world: World, policy: PolicyVersion, now: datetime) -> None:
        """Decide the round of the snapshot that stands."""
        await decide_world(connection, self._processes, world, policy, now, None)

    async def status(self, connection: Connection, world: World) -> world_service_pb2.GetWorldStatusResponse:
        """Read the newest round, its standings, and the newest set."""
        name = world.spec.name
        return to_status(
            to_world(world),
            await store.list_standings(connection, name),
            await apply_store.read_set(connection, name),
            await store.read_round(connection, name),
            await trials.count_trials(connection, name),
        )
