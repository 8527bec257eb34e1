"""Lets executors into worlds and out of them, within a transaction."""

from __future__ import annotations

from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.postgres.pool import Connection
from qmtl_foundation.requests import not_found
from qmtl_world.apply import participants, store
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.apply.place import Deregister, Enrol, Place
from qmtl_world.apply.records import Enrolment
from qmtl_world.audit.model import Cause


class Enrolling:
    """Enrol and deregister executors. ``house`` names the paper executor of every paper world, empty for none."""

    def __init__(self, coordinator: Coordinator, clock: Clock, house: str) -> None:
        self._coordinator = coordinator
        self._clock = clock
        self._house = house

    async def enrol(
        self, connection: Connection, world: str, executor: str, mode: EffectiveMode, cause: Cause
    ) -> tuple[Enrolment, Place]:
        """Let an executor take a world's orders in one mode, behind a new Fence; one that does so already is returned.

        Raises EXECUTOR_EXISTS for one that takes another mode, or a mode that another one takes; RUN_IN_PROGRESS.
        """
        before = (await store.lock_place(connection, world)).place
        for each in await participants.list_enrolments(connection, world):
            if (each.executor, each.mode) == (executor, mode):
                return each, before
            if each.executor == executor or each.mode is mode:
                raise QmtlError(
                    Reason.EXECUTOR_EXISTS,
                    f"executor {each.executor!r} takes the {each.mode.value} orders of world {world!r}; deregister it "
                    "first",
                    metadata={"world": world, "executor": each.executor},
                )
        now = self._clock()
        enrolment = await participants.enrol(connection, world, executor, mode, before.mark + 1, now)
        after = await self._coordinator.step(connection, world, Enrol(executor, mode), cause)
        return enrolment, after.place

    async def deregister(
        self, connection: Connection, world: str, executor: str, cause: Cause
    ) -> tuple[Enrolment, Place]:
        """Let an executor leave; raise EXECUTOR_NOT_FOUND, and what the machine refuses."""
        await store.lock_place(connection, world)
        for each in await participants.list_enrolments(connection, world):
            if each.executor == executor:
                held = ", ".join(f"{one.symbol} {one.quantity:g} of {one.strategy_id}" for one in each.holdings)
                told = Cause(cause.actor, f"{cause.reason}; held {held or 'nothing'}"[:2_000].removeprefix("; "))
                after = await self._coordinator.step(connection, world, Deregister(executor), told)
                await participants.deregister(connection, world, executor)
                return each, after.place
        mend = f"`qmtl executor list {world}` shows those there are"
        raise not_found(Reason.EXECUTOR_NOT_FOUND, "executor", executor, mend, world=world, executor=executor)

    async def follow_mode(self, connection: Connection, world: str, mode: EffectiveMode) -> None:
        """Enrol the house's executor in a world that is set to paper and has none for it."""
        if mode is not EffectiveMode.PAPER or not self._house:
            return
        enrolled = await participants.list_enrolments(connection, world)
        if not any(each.mode is mode for each in enrolled):
            await self.enrol(connection, world, self._house, mode, Cause(reason="the world is set to paper"))

    async def close(self, connection: Connection, world: str) -> None:
        """Let every executor out of a world that is deleted."""
        for each in await participants.list_enrolments(connection, world):
            await self.deregister(connection, world, each.executor, Cause(reason="the world is deleted"))
