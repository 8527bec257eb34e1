"""``qmtl.apply.v1.ApplyService``."""

from __future__ import annotations

from typing import Any

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceServicer
from qmtl_foundation.postgres import snapshot
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.requests import check_resource_name
from qmtl_world.apply import store
from qmtl_world.apply.messages import to_activation_set
from qmtl_world.worlds import store as world_store


class ApplyService(ApplyServiceServicer):
    """Answer for activation sets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def GetActivation(self, request: pb.GetActivationRequest, context: Any) -> pb.GetActivationResponse:
        """Read what may trade, at the last relayed sequence, and why it may be that nothing newer comes."""
        name = check_resource_name("world", request.world)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, name)
            relayed = await store.read_relayed_set(connection, name)
            holds = await store.read_holds(connection, name)
        return pb.GetActivationResponse(activation_set=to_activation_set(relayed), holds=holds)
