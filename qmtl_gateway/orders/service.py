"""``qmtl.order.v1.OrderService``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from opentelemetry.metrics import Meter

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2 as pb
from qmtl_foundation.pb.qmtl.order.v1.order_service_pb2_grpc import OrderServiceServicer
from qmtl_foundation.telemetry import LabelledCounter, zeroed_counter
from qmtl_gateway.orders import ingress
from qmtl_gateway.orders.accepted import Accepted
from qmtl_gateway.orders.flights import Flights
from qmtl_gateway.orders.messages import from_intents
from qmtl_gateway.orders.model import Intent
from qmtl_gateway.orders.stream import OrderStream
from qmtl_gateway.sessions.model import Gate

INLINE_INTENTS: Final = 100  # larger requests, 2 ms and more, are checked off the event loop

REFUSALS: Final = (
    Reason.INVALID_FIELD,
    Reason.TOO_LARGE,
    Reason.WORLD_NOT_FOUND,
    Reason.GATE_CLOSED,
    Reason.EPOCH_MISMATCH,
    Reason.ACTIVATION_MISMATCH,
    Reason.MODE_WITHOUT_ORDERS,
    Reason.LIVE_CONSENT_MISSING,
    Reason.INTENT_EXISTS,
    Reason.ORDER_STREAM_FULL,
    Reason.DEPENDENCY_UNAVAILABLE,
)


class Gates(Protocol):
    """Know the gates of worlds, on the event loop that asks."""

    def find(self, world: str) -> Gate | None:
        """Return a world's gate as of the newest event that was applied; None while nothing is known of it."""

    async def known(self, world: str) -> Gate | None:
        """Learn of a world; return its gate, None while nothing was ever told of it."""


class OrderService(OrderServiceServicer):
    """Take order intents in."""

    def __init__(self, gates: Gates, flights: Flights, stream: OrderStream, meter: Meter) -> None:
        self._gates = gates
        self._flights = flights
        self._stream = stream
        self._known = Accepted()
        self._accepted = zeroed_counter(meter, "orders_accepted_total", "Intents stored in the order stream.")
        self._refused = LabelledCounter(
            meter, "orders_refused_total", "Intents refused; a request of none counts as one.", "reason", REFUSALS
        )

    async def PublishIntents(self, request: pb.PublishIntentsRequest, context: Any) -> pb.PublishIntentsResponse:
        """Check, store, answer where each stands."""
        try:
            intents = await _checked(request)
            world = intents[0].world
            if self._gates.find(world) is None:
                await self._gates.known(world)
            flight = self._launched(world, intents, live_consent=request.live_consent)
            # The caller may go; what was let through is under way until the stream has answered.
            positions = await asyncio.shield(flight)
        except QmtlError as error:
            self._refused.add(error.reason.value, max(1, len(request.intents)))
            raise
        return pb.PublishIntentsResponse(positions=positions)

    def _launched(self, world: str, intents: Sequence[Intent], *, live_consent: bool) -> asyncio.Task[list[int]]:
        """Check the gate and let the intents through in one step: no FREEZE comes between, for nothing is awaited."""
        ingress.check_gate(self._gates.find(world), intents[0], live_consent=live_consent)
        self._known.check(intents)
        self._stream.check_room()
        return self._flights.launch(world, self._stored(intents))

    async def _stored(self, intents: Sequence[Intent]) -> list[int]:
        positions = await self._stream.store(intents)
        self._known.add(intents)
        self._accepted.add(len(intents))
        return positions


async def _checked(request: pb.PublishIntentsRequest) -> tuple[Intent, ...]:
    ingress.check_count(len(request.intents))
    if len(request.intents) > INLINE_INTENTS:
        return await asyncio.to_thread(_formed, request)
    return _formed(request)


def _formed(request: pb.PublishIntentsRequest) -> tuple[Intent, ...]:
    intents = from_intents(request.intents)
    ingress.check_form(intents)
    return intents
