"""What the sessions ask of the world service; every failure is a QmtlError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceStub
from qmtl_foundation.rpc.channel import calling
from qmtl_gateway.sessions import messages
from qmtl_gateway.sessions.model import Event, Gate, Identity, WorldPlace

CALL_SECONDS: Final = 2.0
DEPENDENCY: Final = "world service"


class WorldUpstream:
    """Ask the world service in the name of one start of this gateway."""

    def __init__(self, channel: grpc.aio.Channel, identity: Identity) -> None:
        self._apply = ApplyServiceStub(channel)
        self._identity = identity

    async def snapshot(self, world: str) -> Event:
        """Return a world's newest relayed event."""
        async with calling(DEPENDENCY):
            answer = await self._apply.GetActivation(pb.GetActivationRequest(world=world), timeout=CALL_SECONDS)
        return messages.from_snapshot(world, answer)

    async def renew(
        self, gates: Iterable[Gate], waits_for: Callable[[Gate], Sequence[str]]
    ) -> tuple[float, list[WorldPlace]]:
        """Renew the gateway's lease, saying for whom it waits; return for how many seconds it lasts, and where worlds
        stand."""
        async with calling(DEPENDENCY):
            request = messages.to_renewal(self._identity, gates, waits_for)
            answer = await self._apply.RenewLease(request, timeout=CALL_SECONDS)
        return messages.from_renewal(answer)

    async def acknowledge(self, gate: Gate) -> None:
        """Say that this gateway did its part of the event that a gate is the result of."""
        async with calling(DEPENDENCY):
            request = messages.to_acknowledgement(self._identity, gate)
            await self._apply.AcknowledgeActivation(request, timeout=CALL_SECONDS)
