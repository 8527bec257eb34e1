"""What a submission needs of the other services: the world's preset and decision, a snapshot, the graph."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_pb2, dataset_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1.dataset_service_pb2_grpc import DatasetServiceStub
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1.graph_service_pb2_grpc import GraphServiceStub
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2_grpc import WorldServiceStub
from qmtl_foundation.rpc.modes import mode_text
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp
from qmtl_gateway.submission.model import Dataset, Decision, NodeResolution, SubmissionOrder

CALL_SECONDS = 10.0
DECISION_SECONDS = 2.0  # a caller waits for the decision; past this the last known one counts


class Upstreams:
    """Ask the world service and the DAG manager; every failure is a QmtlError."""

    def __init__(self, world: grpc.aio.Channel, dagmgr: grpc.aio.Channel) -> None:
        self._world = WorldServiceStub(world)
        self._datasets = DatasetServiceStub(dagmgr)
        self._graph = GraphServiceStub(dagmgr)

    async def data_preset(self, world: str) -> str:
        """Return the name of a world's data preset."""
        async with _calling("world service"):
            request = world_service_pb2.GetWorldRequest(world=world)
            answer = await self._world.GetWorld(request, timeout=CALL_SECONDS)
        preset: str = answer.world.data_preset
        return preset

    async def dataset(self, preset: str, as_of: str, fingerprint: str) -> Dataset:
        """Return what a submission is bound to; ``as_of`` stays empty when no snapshot can be resolved."""
        newest = await self._snapshot(preset)
        chosen = await self._snapshot(preset, as_of, fingerprint) if as_of or fingerprint else newest
        if chosen is None or newest is None:
            return Dataset(preset, "", fingerprint, "", None, 0.0, 0)
        return Dataset(
            preset=preset,
            as_of=chosen.as_of,
            fingerprint=fingerprint,
            newest_as_of=newest.as_of,
            end_time=to_datetime(chosen.end_time),
            coverage=chosen.coverage,
            gaps=chosen.gaps,
        )

    async def merge(self, order: SubmissionOrder) -> tuple[NodeResolution, ...]:
        """Merge a strategy version into the graph."""
        request = graph_service_pb2.DiffRequest(
            world=order.world,
            strategy_id=order.strategy_id,
            strategy_version=order.strategy_version,
            dag=order.document,
        )
        async with _calling("DAG manager"):
            answer = await self._graph.Diff(request, timeout=CALL_SECONDS)
        return tuple(NodeResolution(each.node_id, each.known, each.queue) for each in answer.nodes)

    async def bind(self, order: SubmissionOrder, dataset: Dataset) -> Decision:
        """Bind a strategy version to its world."""
        bound = world_pb2.BoundDataset(
            preset=dataset.preset,
            as_of=dataset.as_of,
            fingerprint=dataset.fingerprint,
            newest_as_of=dataset.newest_as_of,
            end_time=None if dataset.end_time is None else to_timestamp(dataset.end_time),
            coverage=dataset.coverage,
            gaps=dataset.gaps,
        )
        request = world_service_pb2.BindStrategyRequest(
            submission_id=order.submission_id,
            world=order.world,
            strategy_id=order.strategy_id,
            strategy_version=order.strategy_version,
            dataset=bound,
            mode=order.hint,
        )
        async with _calling("world service"):
            answer = await self._world.BindStrategy(request, timeout=CALL_SECONDS)
        return _from_decision(answer.decision)

    async def decide(self, world: str, strategy_id: str, strategy_version: str) -> Decision:
        """Take a fresh decision for a bound strategy version."""
        request = world_service_pb2.GetDecisionRequest(
            world=world, strategy_id=strategy_id, strategy_version=strategy_version
        )
        async with _calling("world service"):
            answer = await self._world.GetDecision(request, timeout=DECISION_SECONDS)
        return _from_decision(answer.decision)

    async def _snapshot(self, preset: str, as_of: str = "", fingerprint: str = "") -> dataset_pb2.Snapshot | None:
        async with _calling("DAG manager"):
            request = dataset_service_pb2.GetSnapshotRequest(preset=preset, as_of=as_of, fingerprint=fingerprint)
            answer = await self._datasets.GetSnapshot(request, timeout=CALL_SECONDS)
        return answer.snapshot if answer.HasField("snapshot") else None


@asynccontextmanager
async def _calling(dependency: str) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        if found.reason is Reason.DEPENDENCY_UNAVAILABLE and not found.metadata:
            found = QmtlError(found.reason, f"the {dependency} does not answer", metadata={"dependency": dependency})
        raise found from error


def _from_decision(message: world_pb2.Decision) -> Decision:
    return Decision(
        world=message.world,
        strategy_id=message.strategy_id,
        effective_mode=mode_text(message.effective_mode),
        reason=message.reason,
        policy_version=message.policy_version,
        as_of=message.as_of,
        expire_time=to_datetime(message.expire_time),
        etag=message.etag,
        allow_live=message.allow_live,
    )
