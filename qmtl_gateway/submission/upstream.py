"""What a submission needs of the other services: the world's preset and decision, a snapshot, the graph."""

from __future__ import annotations

from dataclasses import replace

import grpc

from qmtl_foundation.pb.qmtl.dataset.v1.dataset_service_pb2_grpc import DatasetServiceStub
from qmtl_foundation.pb.qmtl.graph.v1.graph_service_pb2_grpc import GraphServiceStub
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2_grpc import WorldServiceStub
from qmtl_foundation.rpc.channel import calling
from qmtl_gateway.submission import messages
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
        async with calling("world service"):
            answer = await self._world.GetWorld(messages.to_get_world(world), timeout=CALL_SECONDS)
        return messages.from_world(answer)

    async def dataset(self, preset: str, as_of: str, fingerprint: str) -> Dataset:
        """Return what a submission is bound to; ``as_of`` stays empty when no snapshot can be resolved."""
        newest = await self._snapshot(preset)
        chosen = await self._snapshot(preset, as_of, fingerprint) if as_of or fingerprint else newest
        if chosen is None or newest is None:
            return Dataset(preset, "", fingerprint, "", None, 0.0, 0)
        return replace(chosen, fingerprint=fingerprint, newest_as_of=newest.as_of)

    async def merge(self, order: SubmissionOrder) -> tuple[NodeResolution, ...]:
        """Merge a strategy version into the graph."""
        async with calling("DAG manager"):
            answer = await self._graph.Diff(messages.to_diff(order), timeout=CALL_SECONDS)
        return messages.from_diff(answer)

    async def bind(self, order: SubmissionOrder, dataset: Dataset) -> Decision:
        """Bind a strategy version to its world."""
        async with calling("world service"):
            answer = await self._world.BindStrategy(messages.to_bind(order, dataset), timeout=CALL_SECONDS)
        return messages.from_decision(answer.decision)

    async def decide(self, world: str, strategy_id: str, strategy_version: str) -> Decision:
        """Take a fresh decision for a bound strategy version."""
        request = messages.to_decide(world, strategy_id, strategy_version)
        async with calling("world service"):
            answer = await self._world.GetDecision(request, timeout=DECISION_SECONDS)
        return messages.from_decision(answer.decision)

    async def _snapshot(self, preset: str, as_of: str = "", fingerprint: str = "") -> Dataset | None:
        request = messages.to_snapshot_request(preset, as_of, fingerprint)
        async with calling("DAG manager"):
            answer = await self._datasets.GetSnapshot(request, timeout=CALL_SECONDS)
        return messages.from_snapshot(answer)
