"""A small gRPC server that answers an executor as world service and gateway would, with what a test tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import (
    acknowledgement_pb2,
    apply_service_pb2,
    apply_service_pb2_grpc,
    lease_pb2,
)
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2, world_service_pb2_grpc
from qmtl_sdk.data.preset import builtin_presets

PRESET = "sample_us_equity_1d"
TTL_MS = 5_000


@dataclass(slots=True)
class Said:
    """Hold what an executor said, and what it is told."""

    worlds: dict[str, lease_pb2.WorldPlace] = field(default_factory=dict)
    renewals: list[apply_service_pb2.RenewLeaseRequest] = field(default_factory=list)
    acknowledged: list[acknowledgement_pb2.Acknowledgement] = field(default_factory=list)
    refuse_acknowledgements: int = 0  # this many are answered with UNAVAILABLE


class _Applies(apply_service_pb2_grpc.ApplyServiceServicer):
    def __init__(self, said: Said) -> None:
        self._said = said

    async def RenewLease(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the contract's name
        self._said.renewals.append(request)
        return apply_service_pb2.RenewLeaseResponse(ttl_ms=TTL_MS, worlds=self._said.worlds.values())

    async def AcknowledgeActivation(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        if self._said.refuse_acknowledgements:
            self._said.refuse_acknowledgements -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self._said.acknowledged.append(request.acknowledgement)
        return apply_service_pb2.AcknowledgeActivationResponse()


class _Worlds(world_service_pb2_grpc.WorldServiceServicer):
    async def GetWorld(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the contract's name
        model = world_pb2.ExecutionModel(
            fill=world_pb2.FILL_NEXT_OPEN, rebalance=world_pb2.REBALANCE_ON_CHANGE, initial_cash=1_000_000.0
        )
        world = world_pb2.World(name=request.world, data_preset=PRESET, execution_model=model)
        return world_service_pb2.GetWorldResponse(world=world)


class _Datasets(dataset_service_pb2_grpc.DatasetServiceServicer):
    async def GetPreset(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the contract's name
        document = builtin_presets()[request.name].document()
        return dataset_service_pb2.GetPresetResponse(preset=dataset_pb2.Preset(name=request.name, document=document))


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, Said]]:
    """Yield the address of a running one, and what it hears and tells."""
    said = Said()
    server = grpc.aio.server()
    apply_service_pb2_grpc.add_ApplyServiceServicer_to_server(_Applies(said), server)  # type: ignore[abstract]  # a test serves a part of it
    world_service_pb2_grpc.add_WorldServiceServicer_to_server(_Worlds(), server)  # type: ignore[abstract]  # a test serves a part of it
    dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(_Datasets(), server)  # type: ignore[abstract]  # a test serves a part of it
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", said
    finally:
        await server.stop(grace=None)
