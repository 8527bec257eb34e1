"""``qmtl.allocation.v1.AllocationService``."""

from __future__ import annotations

from typing import Any

from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2 as pb
from qmtl_foundation.pb.qmtl.allocation.v1.allocation_service_pb2_grpc import AllocationServiceServicer
from qmtl_foundation.postgres import snapshot
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.requests import check_resource_name
from qmtl_world.allocation.messages import to_allocations
from qmtl_world.allocation.model import allocate
from qmtl_world.apply import store as apply_store
from qmtl_world.worlds import store as world_store


class AllocationService(AllocationServiceServicer):
    """Answer for allocations."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def GetAllocations(self, request: pb.GetAllocationsRequest, context: Any) -> pb.GetAllocationsResponse:
        """Read a world's allocations, at the last relayed sequence as its activation set."""
        name = check_resource_name("world", request.world)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, name)
            relayed = await apply_store.read_relayed_set(connection, name)
        return pb.GetAllocationsResponse(allocations=to_allocations(allocate(relayed)))
