"""An order service over a real channel and a real nats-server, whose gate a test opens and closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import nats.js.errors

from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import ORDERS, intent_subject
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.rpc.admission import Admission, open_admission
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.settings import Address
from qmtl_foundation.telemetry import exposing_metrics
from qmtl_gateway.orders.flights import Flights
from qmtl_gateway.orders.service import OrderService
from qmtl_gateway.orders.stream import OrderStream
from qmtl_gateway.sessions.model import Gate
from qmtl_sdk.local.issuer import ADMIN
from tests.support.beside import free_port
from tests.support.credentials import Bearing
from tests.support.desk import Refusal, metrics, read_refusal
from tests.support.doors import believing, issuing
from tests.support.intents import EXECUTOR, WORLD, order_gate

SERVICE = order_service_pb2.DESCRIPTOR.services_by_name["OrderService"]
CALL_SECONDS = 20.0


@dataclass(slots=True)
class StandingGates:
    """Hold one gate, as if the control stream had told of it; ``learnt`` is what asking anew brings."""

    gate: Gate | None = field(default_factory=order_gate)
    learnt: Gate | None = None

    def find(self, world: str) -> Gate | None:
        """Return the gate if it is that world's."""
        return self.gate if self.gate is not None and self.gate.world == world else None

    async def known(self, world: str) -> Gate | None:
        """Ask anew."""
        self.gate = self.learnt
        return self.find(world)


@dataclass(frozen=True, slots=True)
class Ingress:
    """Reach the service, what stands before it and what stands behind."""

    stub: Any
    bus: Bus
    gates: StandingGates
    flights: Flights
    stream: OrderStream
    metrics_address: str

    async def publish(self, intents: Sequence[OrderIntent], *, live_consent: bool = False) -> list[int]:
        """Publish, and return the positions."""
        request = order_service_pb2.PublishIntentsRequest(intents=intents, live_consent=live_consent)
        answer = await self.stub.PublishIntents(request, timeout=CALL_SECONDS)
        return list(answer.positions)

    async def refusal(self, intents: Sequence[OrderIntent]) -> Refusal:
        """Publish what is refused, and return how."""
        try:
            positions = await self.publish(intents)
        except grpc.aio.AioRpcError as error:
            return read_refusal(error)
        raise AssertionError(f"stored at {positions}")

    async def stored(self) -> list[bytes]:
        """Return everything in the stream, in its order."""
        state = (await self.bus.jetstream.stream_info(ORDERS)).state
        messages = [await self.bus.jetstream.get_msg(ORDERS, seq) for seq in range(1, state.last_seq + 1)]
        assert {each.subject for each in messages} <= {intent_subject(WORLD, EXECUTOR)}
        return [each.data for each in messages]

    def counted(self) -> dict[str, float]:
        """Return the counters of orders that are not 0."""
        exposed = metrics(self.metrics_address)
        return {name: value for name, value in exposed.items() if name.startswith("orders_") and value}


@asynccontextmanager
async def order_ingress(bus: Bus) -> AsyncIterator[Ingress]:
    """Serve orders on a stream that is new, and gone at the end."""
    exposed = Address("127.0.0.1", free_port())
    gates, flights, stream = StandingGates(), Flights(), OrderStream(bus)
    with suppress(nats.js.errors.NotFoundError):  # other tests of the session may have left one
        await bus.jetstream.delete_stream(ORDERS)
    await stream.open(replicas=1)
    with exposing_metrics(exposed) as meter:
        service = OrderService(gates, flights, stream, meter)
        room = ServedService.of(SERVICE, order_service_pb2_grpc.add_OrderServiceServicer_to_server, service)
        async with (
            _admitting() as (admission, token),
            serving(Address("127.0.0.1", 0), [room], {}, [admission, Permissions()]) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub = order_service_pb2_grpc.OrderServiceStub(Bearing(channel, token))
            yield Ingress(stub, bus, gates, flights, stream, str(exposed))
    await bus.jetstream.delete_stream(ORDERS)


@asynccontextmanager
async def _admitting() -> AsyncIterator[tuple[Admission, str]]:
    with issuing() as issuer:
        async with open_admission(believing(issuer)) as admission:
            yield admission, issuer.token("ann", (ADMIN,))
