"""An executor in this process on the real PostgreSQL and nats-server, in one world, told of it by the test.

The test is the world service: it publishes marks and intents itself, and renews the lease. What the executor says to
the world service is kept in a list.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from qmtl_executor.counters import Counters
from qmtl_executor.follow import Me
from qmtl_executor.follower import Follower
from qmtl_executor.journal import Journal
from qmtl_executor.lease import Lease
from qmtl_executor.model import NOTHING_PURGED, Passed, Place, Purged, Told
from qmtl_executor.passage import Ground
from qmtl_executor.reports import ReportRelay
from qmtl_executor.trader import Market
from qmtl_executor.venue import Venue
from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.execution_model import ExecutionModel
from qmtl_foundation.identity import intent_id
from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.jetstream.streams import (
    intent_subject,
    mark_subject,
    order_stream,
    report_stream,
    report_subject,
)
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2, mark_pb2, report_pb2
from qmtl_foundation.postgres import acquire, open_pool
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_foundation.settings import Secret
from tests.support.waiting import becomes

WAIT_SECONDS = 15.0
LEASE_SECONDS = 3_600.0
FIRST_BAR = datetime(2013, 1, 2, 21, tzinfo=UTC)
VERSION = "blake3:" + "ef" * 32

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Seated:
    """State one strategy of a set."""

    strategy_id: str = "ann/Trend"
    weight: float = 1.0
    side: str = "long"


@dataclass(slots=True)
class World:
    """Be a world's part of the order stream, as the world service and gateways would fill it."""

    bus: Bus
    executor: str
    name: str = field(default_factory=lambda: f"desk_{next(_numbers)}_{uuid.uuid4().hex[:6]}")
    timeline: str = "t1"
    epoch: int = 0
    mark: int = 0
    enrolment: tuple[int, int] = (0, 0)
    is_open: bool = False
    purged: Purged = NOTHING_PURGED
    reseed_mark: int = 0
    states: dict[int, tuple[int, bool]] = field(default_factory=dict)  # epoch, and whether it is open, by mark

    async def reseed(self) -> int:
        """Take the next epoch behind all that was seen; return the place of its Fence."""
        self.reseed_mark = self.mark + 1
        return await self.fence()

    async def fence(self, **changes: Any) -> int:
        """Take the next epoch and write its Fence; return its place."""
        self.epoch += 1
        self.is_open = False
        return await self.tell(mark_pb2.MARK_KIND_FENCE, **changes)

    async def open(self, *seats: Seated, **changes: Any) -> int:
        """Write the Open of the epoch with its set."""
        self.is_open = True
        activations = [
            activation_pb2.Activation(
                strategy_id=each.strategy_id,
                strategy_version=VERSION,
                active=True,
                weight=each.weight,
                side=each.side,
                mode=execution_pb2.EFFECTIVE_MODE_PAPER,
                executor=self.executor,
            )
            for each in seats or (Seated(),)
        ]
        of = activation_pb2.ActivationSet(world=self.name, activations=activations, epoch=self.epoch)
        return await self.tell(mark_pb2.MARK_KIND_OPEN, activation_set=of, **changes)

    async def tell(self, kind: mark_pb2.MarkKind, **changes: Any) -> int:
        """Write a mark under the next number and return its place."""
        self.mark += 1
        self.states[self.mark] = self.epoch, self.is_open
        stated = {
            "event_id": f"{self.name}-{self.mark}",
            "world": self.name,
            "number": self.mark,
            "kind": kind,
            "epoch": self.epoch,
            "timeline_id": self.timeline,
            "run_id": f"run-{self.epoch}",
            "reseed_mark": self.reseed_mark,
        }
        payload = mark_pb2.Mark(**{**stated, **changes}).SerializeToString()
        position = await self.bus.publish(mark_subject(self.name), payload)
        if not self.enrolment[0]:
            self.enrolment = (self.mark, position)
        return position

    def intent(self, target: float = 0.5, bar: int = 0, symbol: str = "AAPL", **changes: Any) -> intent_pb2.OrderIntent:
        """Return an intent of the present epoch, decided at a bar: a number of days, or a moment."""
        strategy_id = changes.get("strategy_id", "ann/Trend")
        bar_time = changes.pop("bar_time", FIRST_BAR + timedelta(days=bar))
        stated = {
            "intent_id": intent_id(self.name, strategy_id, bar_time, symbol),
            "world": self.name,
            "strategy_id": strategy_id,
            "symbol": symbol,
            "target": target,
            "bar_time": to_timestamp(bar_time),
            "epoch": self.epoch,
            "executor": self.executor,
            "strategy_version": VERSION,
            "side": "long",
            "mode": execution_pb2.EFFECTIVE_MODE_PAPER,
        }
        return intent_pb2.OrderIntent(**{**stated, **changes})

    async def send(self, *intents: intent_pb2.OrderIntent) -> list[int]:
        """Store intents in the stream and return their places."""
        subject = intent_subject(self.name, self.executor)
        return [await self.bus.publish(subject, each.SerializeToString()) for each in intents]

    def told(self, **changes: Any) -> Told:
        """Return what a renewal would say."""
        return replace(Told(self.epoch, self.is_open, *self.enrolment, self.purged), **changes)


@dataclass(slots=True)
class Rig:
    """Be one executor name in one world, started any number of times."""

    pool: Pool
    bus: Bus
    world: World
    venue: Callable[[], Awaitable[Venue]]
    model: ExecutionModel = field(default_factory=ExecutionModel)
    acknowledged: list[Passed] = field(default_factory=list)
    is_heard: bool = True  # else the world service does not answer acknowledgements
    lease: Callable[[], Lease] = Lease

    @property
    def executor(self) -> str:
        """Return the executor's name."""
        return self.world.executor

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Start]:
        """Run one start of the executor, with the lease and enrolment that the world tells."""
        start = Start(self, Journal(self.pool, self.executor, uuid.uuid4().hex, utc_now), self.lease())
        await start.journal.begin()
        start.stored, _ = await start.journal.read_place(self.world.name)
        await start.renew()
        follower, relay = Follower(self.world.name, start.ground()), ReportRelay(start.journal, self.bus)
        start.follower = follower
        tasks = [asyncio.create_task(each) for each in (follower.run(), relay.run(), start.keep_renewing())]
        start.task = tasks[0]
        try:
            yield start
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def acknowledge(self, _world: str, passed: Passed) -> None:
        """Take an acknowledgement."""
        if not self.is_heard:
            raise QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={"dependency": "world service"})
        self.acknowledged.append(passed)

    async def rows(self, table: str, order: str = "1") -> list[dict[str, Any]]:
        """Return the rows of a table of this executor's."""
        statement = f"SELECT * FROM {table} WHERE executor = $1 ORDER BY {order}"  # noqa: S608 - a table of ours
        async with acquire(self.pool) as connection:
            return [dict(row) for row in await connection.fetch(statement, self.executor)]

    async def orders(self) -> dict[str, str]:
        """Return the states of the journal's orders by id."""
        return {row["order_id"]: row["state"] for row in await self.rows("journal")}

    async def position(self) -> int:
        """Return the place that is settled, as stored."""
        rows = await self.rows("place")
        return int(rows[0]["position"]) if rows else 0

    async def until_at(self, position: int) -> None:
        """Wait until everything up to a place is settled."""

        async def there() -> bool:
            return await self.position() >= position

        await becomes(there, True)

    async def reports(self, count: int) -> list[report_pb2.OrderReport]:
        """Wait for this many reports in the world's stream and return them, oldest first."""
        subscription = await self.bus.jetstream.subscribe(report_subject(self.world.name), ordered_consumer=True)
        try:
            messages = [await subscription.next_msg(timeout=WAIT_SECONDS) for _ in range(count)]
        finally:
            await subscription.unsubscribe()
        return [report_pb2.OrderReport.FromString(each.data) for each in messages]


@dataclass(slots=True)
class Start:
    """Be one start of the rig's executor."""

    rig: Rig
    journal: Journal
    lease: Lease
    follower: Follower | None = None
    task: asyncio.Task[None] | None = None
    stored: Place | None = None  # where a former start stood
    said: Told | None = None  # what the world service says, whatever the executor has passed
    ttl_s: float = LEASE_SECONDS
    is_answered: bool = True  # else the world service does not answer when it is asked for a renewal
    metrics: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    @property
    def place(self) -> Place | None:
        """Return how far the executor is, None before it has begun."""
        return None if self.follower is None else self.follower.place

    @property
    def at(self) -> Place:
        """Return how far the executor is, which has begun."""
        assert self.place is not None
        return self.place

    def counted(self, name: str) -> int:
        """Return a counter of this start's, over all worlds."""
        data = self.metrics.get_metrics_data()
        assert data is not None
        found = (each for of in data.resource_metrics for scope in of.scope_metrics for each in scope.metrics)
        points: list[Any] = [point for each in found if each.name == name for point in each.data.data_points]
        return sum(int(point.value) for point in points)

    async def renew(self, told: Told | None = None, ttl_s: float = LEASE_SECONDS) -> None:
        """Renew the lease as the world service would, from now on with these words."""
        self.said, self.ttl_s = told, ttl_s
        await self._renew()

    async def keep_renewing(self) -> None:
        """Renew the lease whenever the executor asks for it, as long as it has one."""
        while True:
            await self.lease.due(LEASE_SECONDS)
            if self.is_answered:
                await self._renew()

    async def _renew(self) -> None:
        world = self.rig.world
        await self.lease.renew(self.lease.ask(), self.ttl_s, {world.name: self.said or self._in_step()})

    def _in_step(self) -> Told:
        """Return what a renewal says that the executor asked for while the world stood where the executor does, at its
        newest mark, or at the Open that it is passing."""
        world, place = self.rig.world, self.place or self.stored
        if place is None:
            return world.told()
        if place.is_open:
            return world.told(epoch=place.fence, is_open=True)
        epoch, is_open = world.states.get(place.mark + 1, world.states.get(place.mark, (max(place.fence, 0), False)))
        return world.told(epoch=epoch, is_open=is_open)

    def ground(self) -> Ground:
        """Return what the follower stands on."""
        return Ground(
            me=Me(self.rig.executor, EffectiveMode.PAPER),
            journal=self.journal,
            bus=self.rig.bus,
            lease=self.lease,
            open_market=self._open_market,
            acknowledge=self.rig.acknowledge,
            counters=Counters(MeterProvider([self.metrics]).get_meter("test")),
            clock=utc_now,
        )

    async def _open_market(self, _world: str) -> Market:
        return Market(await self.rig.venue(), self.rig.model)


@asynccontextmanager
async def open_rig(dsn: str, nats_url: str, venue: Callable[[Rig], Venue]) -> AsyncIterator[Rig]:
    """Yield a rig with a world of its own; ``venue`` is called at each start."""
    async with open_pool(Secret(dsn), "executor") as pool, open_bus(nats_url, "test") as bus:
        for spec in (order_stream, report_stream):
            await bus.ensure_stream(spec(1))
        rig: Rig

        async def opened() -> Venue:
            return venue(rig)

        rig = Rig(pool, bus, World(bus, f"paper_{uuid.uuid4().hex[:8]}"), opened)
        yield rig


def outcomes(reports: Sequence[report_pb2.OrderReport]) -> list[str]:
    """Return what reports say."""
    return [report_pb2.OrderOutcome.Name(each.outcome).removeprefix("ORDER_OUTCOME_").lower() for each in reports]
