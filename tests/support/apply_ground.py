"""A coordinator in this process on the real PostgreSQL, with a clock that the test moves, and one world of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from opentelemetry.metrics import NoOpMeter

from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.postgres import acquire, open_pool, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from qmtl_world.apply import store
from qmtl_world.apply.coordinator import Coordinator, new_run
from qmtl_world.apply.enrolling import Enrolling
from qmtl_world.apply.metrics import ApplyMetrics
from qmtl_world.apply.model import Activation, RunTerms
from qmtl_world.apply.participants import Kind
from qmtl_world.apply.place import ExecutorAcknowledged, Gateway, MarkKind, Place, Stop
from qmtl_world.apply.records import MarkPassed
from qmtl_world.audit.model import Cause

EXECUTOR = "paper"
CAUSE = Cause("ann", "asked for")
PLAN = (Activation("ann/Trend", "v1", 0.5, "long", EffectiveMode.VALIDATE, "f", ""),)
TRADES = (replace(PLAN[0], mode=EffectiveMode.PAPER, executor=EXECUTOR),)


@dataclass(slots=True)
class MovedClock:
    """Be the time that the world service believes; leases go by the database's own."""

    now: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True)
class Ground:
    """Hold a world, and what takes its steps."""

    pool: Pool
    clock: MovedClock
    coordinator: Coordinator
    world: str = field(default_factory=lambda: f"desk_{uuid.uuid4().hex[:8]}")

    async def place(self, world: str = "") -> Place:
        """Return where the world stands."""
        async with acquire(self.pool) as connection:
            return (await store.read_place(connection, world or self.world)).place

    async def stop(self, hold: str = "operator") -> None:
        """Stop the world."""
        await self.coordinator.take(self.world, Stop(hold, "asked for"), CAUSE)

    async def start(self, plan: Sequence[Activation] = PLAN, run_id: str = "run", world: str = "") -> Place:
        """Begin a run, and return where the world stands then."""
        record = new_run(world or self.world, run_id, plan, RunTerms(), CAUSE, self.clock())
        async with transaction(self.pool) as connection:
            return (await self.coordinator.begin(connection, record, queue=False)).place

    async def enrol(self, executor: str = EXECUTOR, world: str = "") -> int:
        """Enrol an executor for paper orders, and return the number of its mark."""
        enrolling = Enrolling(self.coordinator, self.clock, "")
        async with transaction(self.pool) as connection:
            mode = EffectiveMode.PAPER
            enrolment, _ = await enrolling.enrol(connection, world or self.world, executor, mode, CAUSE)
        return enrolment.mark

    async def deregister(self, executor: str = EXECUTOR) -> None:
        """Let an executor leave."""
        async with transaction(self.pool) as connection:
            await Enrolling(self.coordinator, self.clock, "").deregister(connection, self.world, executor, CAUSE)

    async def passed(self, kind: MarkKind = MarkKind.FENCE, incarnation: str = "one", **stated: int) -> Place:
        """Say that the executor passed a mark, by default the newest; return where the world stands then."""
        place = await self.place()
        epoch, mark = stated.get("epoch", place.epoch), stated.get("mark", place.mark)
        said = MarkPassed(EXECUTOR, incarnation, kind, epoch, mark, "")
        event = ExecutorAcknowledged(EXECUTOR, kind, epoch)
        return (await self.coordinator.take(self.world, event, acknowledged=said)).place

    async def lease(self, name: str = "g1") -> Gateway:
        """Give a gateway a lease."""
        await self.coordinator.renew(Kind.GATEWAY, name, f"{name}-a", [])
        return Gateway(name, f"{name}-a")

    async def run_sql(self, *statements: str) -> None:
        """Run statements in the database."""
        async with acquire(self.pool) as connection:
            for each in statements:
                await connection.execute(each)

    async def rows(self, table: str, order: str = "id") -> list[dict[str, Any]]:
        """Return a table's rows of the world."""
        query = f"SELECT * FROM {table} WHERE world = $1 ORDER BY {order}"  # noqa: S608  # a table of ours
        async with acquire(self.pool) as connection:
            return [dict(row) for row in await connection.fetch(query, self.world)]

    @asynccontextmanager
    async def broken(self, table: str, when: str) -> AsyncIterator[None]:
        """Let the database refuse what is written of the world to a table, ``when`` something holds of a row."""
        on = {"place": "UPDATE"}.get(table, "INSERT")
        await self.run_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
            f"CREATE TRIGGER refuse BEFORE {on} ON {table} FOR EACH ROW "
            f"WHEN (NEW.world = '{self.world}' AND {when}) EXECUTE FUNCTION refuse()",
        )
        try:
            yield
        finally:
            await self.run_sql(f"DROP TRIGGER refuse ON {table}", "DROP FUNCTION refuse")

    def later(self, passed: timedelta) -> None:
        """Move the clock."""
        self.clock.now += passed


@asynccontextmanager
async def open_ground(dsn: str) -> AsyncIterator[Ground]:
    """Yield a world of which nothing is known; no gateway of another test is awaited."""
    async with open_pool(Secret(dsn), "world") as pool:
        clock = MovedClock()
        ground = Ground(pool, clock, Coordinator(pool, clock, ApplyMetrics(NoOpMeter("test"))))
        await ground.run_sql("DELETE FROM participant")
        yield ground
