"""A gateway of this process, the world service behind it that does what a test says, and runners' sessions at it."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.jetstream.streams import EVENT_ID, control_stream, event_subject, report_stream, report_subject
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.control.v1.session_service_pb2_grpc import SessionServiceStub
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.rpc.limits import LimitSettings
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address, Secret
from qmtl_foundation.tls import TlsSettings
from qmtl_gateway.bootstrap import running
from qmtl_gateway.sessions.model import Phase
from qmtl_gateway.settings import GatewaySettings
from qmtl_sdk.local.issuer import ADMIN, Issuer
from tests.support.beside import free_port
from tests.support.credentials import Bearing
from tests.support.desk import FINGERPRINT, metrics
from tests.support.doors import believing, issuing
from tests.support.told import Teller
from tests.support.waiting import eventually
from tests.support.world_stand_in import PHASES, StandIn, serving_stand_in

SECONDS = 10.0
NOBODY = Address("127.0.0.1", 1)
RUN = (Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)
TREND = "ann/Trend"


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold a gateway, the world service behind it, and the NATS that both speak through."""

    channel: Any
    metrics_address: str
    stand_in: StandIn
    bus: Bus
    issuer: Issuer
    numbers: Any = field(default_factory=itertools.count)

    @property
    def sessions(self) -> Any:
        return SessionServiceStub(self.channel)

    def world(self) -> str:
        """Make a world of the test's own that never told anything, and return its name."""
        name = f"w{uuid.uuid4().hex}"
        self.stand_in.tellers[name] = Teller(name)
        return name

    async def tell(self, world: str, *phases: Phase, run_id: str = "run-1") -> None:
        """Publish events of a world as its relay does."""
        for phase in phases:
            payload = self.unpublished(world, phase, run_id=run_id)
            await self.bus.publish(event_subject(world), payload, {EVENT_ID: uuid.uuid4().hex})

    def unpublished(self, world: str, phase: Phase, *, run_id: str = "run-1") -> bytes:
        """Let a world tell an event that never arrives by the control stream."""
        payload = self.stand_in.newest[world] = self.stand_in.tellers[world].tell(phase, run_id=run_id)
        return payload

    async def report(self, world: str, strategy_id: str = TREND) -> int:
        """Publish a report as an executor does, and return its place."""
        message = report_pb2.OrderReport(
            report_id=uuid.uuid4().hex, world=world, strategy_id=strategy_id, intent_id=str(next(self.numbers))
        )
        return await self.bus.publish(report_subject(world), message.SerializeToString())

    async def acknowledged(self, world: str, sequence: int) -> ack_pb.Acknowledgement:
        """Return the gateway's acknowledgement of one event of a world; it may have sent some of earlier ones."""
        async with asyncio.timeout(SECONDS):
            while True:
                said = await self.stand_in.acknowledged.get()
                if (said.world, said.sequence) == (world, sequence):
                    return said

    async def counted(self, name: str) -> float:
        """Return a metric of the gateway, by name and label, 0 while it was not counted."""
        return (await asyncio.to_thread(metrics, self.metrics_address)).get(name, 0.0)

    async def counts_more(self, name: str, than: float) -> bool:
        """Tell whether a metric of the gateway has risen."""
        return await self.counted(name) > than


def settings(dsn: str, nats_url: str, world: Address, issuer: Issuer, name: str = "gateway") -> GatewaySettings:
    """Return the settings of a gateway on ports of its own."""
    listen, metrics_listen = Address("127.0.0.1", 0), Address("127.0.0.1", free_port())
    token_file = str(issuer.service_token("gateway"))
    return GatewaySettings(
        believing(issuer),
        TlsSettings(),
        Secret(dsn),
        Secret(nats_url),
        listen,
        metrics_listen,
        world,
        NOBODY,
        token_file,
        LimitSettings(),
        name=name,
    )


@asynccontextmanager
async def reaching(
    stated: GatewaySettings, port: int, stand_in: StandIn, bus: Bus, issuer: Issuer
) -> AsyncIterator[Scene]:
    """Yield the scene around a gateway."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        bearing = Bearing(channel, issuer.token("ann", (ADMIN,)))
        yield Scene(bearing, str(stated.metrics_listen), stand_in, bus, issuer)


@asynccontextmanager
async def open_scene(dsn: str, nats_url: str) -> AsyncIterator[Scene]:
    """Run a gateway that has its lease, and yield the scene around it."""
    with issuing() as issuer:
        async with _scene(dsn, nats_url, issuer) as made:
            yield made


@asynccontextmanager
async def _scene(dsn: str, nats_url: str, issuer: Issuer) -> AsyncIterator[Scene]:
    async with (
        open_bus(nats_url, "test") as bus,
        serving_stand_in(believing(issuer)) as (stand_in, address),
    ):
        await bus.ensure_stream(control_stream(1))
        await bus.ensure_stream(report_stream(1))
        stated = settings(dsn, nats_url, address, issuer)
        async with running(stated) as port, reaching(stated, port, stand_in, bus, issuer) as made:
            await eventually(lambda: stand_in.renewals)
            yield made


class Sessions(Protocol):
    """Reach the sessions of a gateway."""

    @property
    def sessions(self) -> Any: ...


class Runner:
    """Be one runner's session, spoken message by message."""

    def __init__(self, scene: Sessions, world: str, strategy_id: str = TREND) -> None:
        self.world = world
        self.strategy_id = strategy_id
        self.incarnation = uuid.uuid4().hex
        self.call = scene.sessions.Follow(timeout=60)

    async def hello(self, position: int | None = None) -> pb.Welcome:
        await self.call.write(
            pb.FollowRequest(
                hello=pb.Hello(
                    world=self.world,
                    strategy_id=self.strategy_id,
                    strategy_version=FINGERPRINT,
                    incarnation=self.incarnation,
                    report_position=position,
                )
            )
        )
        response: pb.FollowResponse = await self.read()
        return response.welcome

    async def read(self) -> Any:
        async with asyncio.timeout(SECONDS):
            return await self.call.read()

    async def event(self) -> activation_event_pb2.ActivationEvent:
        """Return the next event, whatever else comes first."""
        while True:
            response = await self.read()
            if response.WhichOneof("content") == "event":
                event: activation_event_pb2.ActivationEvent = response.event
                return event

    async def beat(self, number: int) -> pb.Renewal:
        await self.call.write(pb.FollowRequest(heartbeat=pb.Heartbeat(number=number)))
        renewal: pb.Renewal = (await self.read()).renewal
        return renewal

    async def epoch(self, number: int) -> int:
        """Return the epoch that a heartbeat is answered with."""
        return (await self.beat(number)).epoch

    async def acknowledge(self, event: activation_event_pb2.ActivationEvent, **changes: Any) -> None:
        said = ack_pb.Acknowledgement(
            world=self.world,
            epoch=event.epoch,
            run_id=event.run_id,
            phase=PHASES[event.kind],
            sequence=event.sequence,
            participant=self.strategy_id,
            kind=ack_pb.PARTICIPANT_KIND_RUNNER,
            incarnation=self.incarnation,
        )
        for name, value in changes.items():
            setattr(said, name, value)
        await self.call.write(pb.FollowRequest(acknowledgement=said))

    async def refused(self) -> QmtlError:
        """Return how the gateway ended the session."""
        try:
            while await self.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        raise AssertionError("the session ended well")
