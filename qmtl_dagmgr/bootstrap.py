"""Wires the DAG manager: settings -> pool -> bus -> rooms -> server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from qmtl_dagmgr.datasets.service import DatasetService
from qmtl_dagmgr.graph.service import GraphService
from qmtl_dagmgr.settings import DagManagerSettings
from qmtl_foundation.clock import utc_now
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2, graph_service_pb2_grpc
from qmtl_foundation.postgres import open_pool, ping
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.durations import Durations
from qmtl_foundation.rpc.health import Probe
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.rpc.tracing import Traces
from qmtl_foundation.telemetry import exposing_metrics
from qmtl_foundation.tls import open_certificates

SCHEMA = "dagmgr"


@asynccontextmanager
async def running(settings: DagManagerSettings) -> AsyncIterator[int]:
    """Yield the port of a running DAG manager."""
    graph = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"]
    datasets = dataset_service_pb2.DESCRIPTOR.services_by_name["DatasetService"]
    async with (
        open_certificates(settings.tls) as certificates,
        open_pool(settings.postgres_dsn, SCHEMA) as pool,
        open_bus(settings.nats_url.value, "dagmgr", certificates) as bus,
        open_admission(settings.auth) as admission,
    ):
        probes: dict[str, Probe] = {"postgres": partial(ping, pool), "nats": bus.ping}
        credentials = server_credentials(certificates, mutual=True)
        with exposing_metrics(settings.metrics_listen, certificates) as meter:
            rooms = [
                ServedService.of(
                    graph, graph_service_pb2_grpc.add_GraphServiceServicer_to_server, GraphService(pool, meter)
                ),
                ServedService.of(
                    datasets,
                    dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server,
                    DatasetService(pool, utc_now),
                ),
            ]
            async with serving(
                settings.listen,
                rooms,
                probes,
                [admission, Permissions()],
                credentials,
                outside=[Durations(meter), Traces(begins=False)],
                health_listen=settings.health_listen,
            ) as port:
                yield port
