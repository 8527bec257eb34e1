"""A world service of a test's own: it answers a gateway's snapshots, lease renewals and acknowledgements by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, apply_service_pb2, lease_pb2
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import (
    ApplyServiceServicer,
    add_ApplyServiceServicer_to_server,
)
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.settings import Address
from tests.support.told import Teller

(APPLY_SERVICE,) = apply_service_pb2.DESCRIPTOR.services_by_name.values()
PHASES = {
    activation_event_pb2.ACTIVATION_EVENT_KIND_FREEZE: acknowledgement_pb2.APPLY_PHASE_FREEZE,
    activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH: acknowledgement_pb2.APPLY_PHASE_SWITCH,
    activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE: acknowledgement_pb2.APPLY_PHASE_UNFREEZE,
}


@dataclass(slots=True)
class StandIn(ApplyServiceServicer):  # its methods are named as in the contract
    """Answer for the worlds whose events a test tells; ``refusal`` is raised instead of everything while it is set."""

    tellers: dict[str, Teller] = field(default_factory=dict)
    newest: dict[str, bytes] = field(default_factory=dict)
    renewals: list[apply_service_pb2.RenewLeaseRequest] = field(default_factory=list)
    acknowledged: asyncio.Queue[acknowledgement_pb2.Acknowledgement] = field(default_factory=asyncio.Queue)
    refusal: QmtlError | None = None
    ttl_ms: int = 5_000

    async def GetActivation(self, request: Any, context: Any) -> apply_service_pb2.GetActivationResponse:  # noqa: N802  # the contract's name
        """Answer the newest event that the world told."""
        self._refuse()
        if request.world not in self.newest:
            raise QmtlError(Reason.WORLD_NOT_FOUND, "no such world", metadata={"world": request.world})
        payload = self.newest[request.world]
        event = activation_event_pb2.ActivationEvent.FromString(payload)
        return apply_service_pb2.GetActivationResponse(
            activation_set=event.activation_set,
            holds=event.holds,
            phase=PHASES[event.kind],
            run_id=event.run_id,
            event_hash=self.tellers[request.world].newest_hash,
            timeline_id=event.timeline_id,
        )

    async def RenewLease(self, request: Any, context: Any) -> apply_service_pb2.RenewLeaseResponse:  # noqa: N802  # the contract's name
        """Renew, and answer where the named worlds stand."""
        self._refuse()
        self.renewals.append(request)
        events = [
            activation_event_pb2.ActivationEvent.FromString(self.newest[each.world])
            for each in request.worlds
            if each.world in self.newest
        ]
        places = [
            lease_pb2.WorldPlace(
                world=each.world,
                epoch=each.epoch,
                sequence=each.sequence,
                is_open=each.kind == activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE and not each.holds,
            )
            for each in events
        ]
        return apply_service_pb2.RenewLeaseResponse(ttl_ms=self.ttl_ms, worlds=places)

    async def AcknowledgeActivation(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Take an acknowledgement."""
        self._refuse()
        self.acknowledged.put_nowait(request.acknowledgement)
        return apply_service_pb2.AcknowledgeActivationResponse()

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal


@asynccontextmanager
async def serving_stand_in(auth: AuthSettings) -> AsyncIterator[tuple[StandIn, Address]]:
    """Serve one until the end, and yield where."""
    stand_in = StandIn()  # type: ignore[abstract]  # a test serves a part of it
    room = ServedService.of(APPLY_SERVICE, add_ApplyServiceServicer_to_server, stand_in)
    async with (
        open_admission(auth) as admission,
        serving(Address("127.0.0.1", 0), [room], {}, [admission, Permissions()]) as port,
    ):
        yield stand_in, Address("127.0.0.1", port)
