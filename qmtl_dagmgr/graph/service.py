"""``qmtl.graph.v1.GraphService``."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from opentelemetry.metrics import Meter

from qmtl_dagmgr.graph import store
from qmtl_dagmgr.graph.model import Merge, StoredNode
from qmtl_foundation.dag import parse_dag
from qmtl_foundation.errors import Reason
from qmtl_foundation.pb.qmtl.graph.v1 import graph_pb2, graph_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1.graph_service_pb2_grpc import GraphServiceServicer
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.requests import check_content_id, check_resource_name, check_strategy_id, not_found
from qmtl_foundation.rpc.timestamps import to_timestamp

BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class GraphService(GraphServiceServicer):
    """Answer for the graph."""

    def __init__(self, pool: Pool, meter: Meter) -> None:
        self._pool = pool
        self._durations = meter.create_histogram(
            "diff_duration_ms",
            description="How long merging a strategy version into the graph took.",
            explicit_bucket_boundaries_advisory=BUCKETS_MS,
        )

    async def Diff(self, request: graph_service_pb2.DiffRequest, context: Any) -> graph_service_pb2.DiffResponse:
        """Merge a strategy version."""
        world = check_resource_name("world", request.world)
        strategy_id = check_strategy_id(request.strategy_id)
        version = check_content_id("strategy_version", request.strategy_version)
        began = time.perf_counter()
        try:
            dag = await asyncio.to_thread(parse_dag, request.dag)  # thousands of ids: not on the event loop
            found = await store.merge(self._pool, world, strategy_id, version, dag)
        finally:  # one that was given up took its time too
            self._durations.record((time.perf_counter() - began) * 1_000)
        return _to_diff(found)

    async def GetNode(
        self, request: graph_service_pb2.GetNodeRequest, context: Any
    ) -> graph_service_pb2.GetNodeResponse:
        """Read a node."""
        node_id = check_content_id("node_id", request.node_id)
        node = await store.read_node(self._pool, node_id)
        if node is None:
            raise not_found(Reason.NODE_NOT_FOUND, "node", node_id, "submit a strategy that uses it", node_id=node_id)
        return graph_service_pb2.GetNodeResponse(node=_to_node(node))


def _to_diff(found: Merge) -> graph_service_pb2.DiffResponse:
    nodes = [
        graph_pb2.NodeResolution(node_id=each.node_id, known=each.known, queue=each.queue) for each in found.resolutions
    ]
    return graph_service_pb2.DiffResponse(nodes=nodes, version_number=found.version_number)


def _to_node(node: StoredNode) -> graph_pb2.Node:
    return graph_pb2.Node(
        node_id=node.node_id,
        node_type=node.identity.node_type,
        interval_s=node.identity.interval_s,
        period=node.identity.period,
        params=node.params,
        inputs=[graph_pb2.NodeInput(argument=name, node_id=source) for name, source in node.identity.inputs],
        schema_compat_id=node.identity.schema_compat_id,
        code_hash=node.identity.code_hash,
        queue=node.queue,
        create_time=to_timestamp(node.create_time),
    )
