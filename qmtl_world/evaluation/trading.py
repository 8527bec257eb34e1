"""What worlds ask of the rooms above them: which strategies trade, how they stand, and that they follow a change."""

from __future__ import annotations

from datetime import datetime

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply import proposals
from qmtl_world.apply import store as apply_store
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.apply.enrolling import Enrolling
from qmtl_world.apply.model import Activation
from qmtl_world.apply.refusals import refuse_while_running
from qmtl_world.evaluation import store, trials
from qmtl_world.evaluation.cohort import decide_world
from qmtl_world.evaluation.messages import to_status
from qmtl_world.evaluation.processes import EvaluationProcesses
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.messages import to_world
from qmtl_world.worlds.model import PolicyVersion, World


class EvaluatedTrading:
    """Answer from activation sets and rounds; the promises are those of ``qmtl_world.worlds.trading.Trading``."""

    def __init__(self, processes: EvaluationProcesses, coordinator: Coordinator, enrolling: Enrolling) -> None:
        self._processes = processes
        self._coordinator = coordinator
        self._enrolling = enrolling

    async def check_policy(self, text: bytes) -> str:
        """Check it in a worker process."""
        return await self._processes.check_policy(text)

    async def in_force(self, connection: Connection, world: str, strategy_id: str) -> Activation | None:
        """Read what was announced and still stands."""
        return await apply_store.read_in_force(connection, world, strategy_id)

    async def admit_world(self, connection: Connection, world: str) -> None:
        """Refuse a name under which executors may know intents: their ids, accounts and journals go by it."""
        if await apply_store.had_orders(connection, world):
            raise QmtlError(
                Reason.WORLD_NAME_USED,
                f"a world {world!r} that had orders was deleted, and executors know its intents by that name; take "
                "another name",
                metadata={"world": world},
            )

    async def close_world(self, connection: Connection, world: str) -> None:
        """Count the newest set, and let the executors out."""
        place = (await apply_store.lock_place(connection, world)).place
        refuse_while_running(place)
        active = len(place.activations)
        if active:
            noun = "strategy" if active == 1 else "strategies"
            raise QmtlError(
                Reason.WORLD_NOT_EMPTY,
                f"world {world!r} has {active} active {noun}; demote by a stricter policy first",
                metadata={"world": world, "active": str(active)},
            )
        await self._enrolling.close(connection, world)

    async def follow_world(self, connection: Connection, world: World, now: datetime) -> None:
        """Enrol the house's executor where it is due, and decide the round of the snapshot that stands.

        Without a policy nothing was ever activated.
        """

        async def enrol() -> None:
            await self._enrolling.follow_mode(connection, world.spec.name, world.spec.mode)

        if not world.active_policy_version:
            await enrol()
            return
        policy = await world_store.read_policy(connection, world.spec.name, world.active_policy_version)
        # Before the round begins a run, for nobody is enrolled during one.
        await decide_world(connection, self._processes, self._coordinator, world, policy, now, None, prepare=enrol)

    async def follow_policy(self, connection: Connection, world: World, policy: PolicyVersion, now: datetime) -> None:
        """Decide the round of the snapshot that stands."""
        await decide_world(connection, self._processes, self._coordinator, world, policy, now, None)

    async def status(self, connection: Connection, world: World) -> world_service_pb2.GetWorldStatusResponse:
        """Read the newest round, its standings, the newest set, and what becomes of it."""
        name = world.spec.name
        return to_status(
            to_world(world),
            await store.list_standings(connection, name),
            await apply_store.read_place(connection, name),
            await proposals.read_proposal(connection, name),
            await store.read_round(connection, name),
            await trials.count_trials(connection, name),
        )
