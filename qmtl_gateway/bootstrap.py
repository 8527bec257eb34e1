"""Wires the gateway: settings -> pool -> bus -> channels -> rooms -> server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import DOWNGRADE_METRIC, DowngradeReason
from qmtl_foundation.jetstream import open_bus
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2, submission_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.postgres import open_pool, ping
from qmtl_foundation.postgres.retention import sweeping
from qmtl_foundation.rpc.channel import open_channel
from qmtl_foundation.rpc.health import Probe
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.telemetry import LabelledCounter, exposing_metrics, zeroed_counter
from qmtl_gateway.forwarding.handler import Forwarder, Upstream
from qmtl_gateway.forwarding.reflection import public_pool
from qmtl_gateway.retention import aged
from qmtl_gateway.settings import GatewaySettings
from qmtl_gateway.submission.decisions import Decisions
from qmtl_gateway.submission.ends import EndWatch
from qmtl_gateway.submission.ingest import open_ingest
from qmtl_gateway.submission.service import SubmissionService
from qmtl_gateway.submission.upstream import Upstreams
from qmtl_gateway.submission.worker import Worker

SCHEMA = "gateway"


def _services(*files: Any) -> list[ServiceDescriptor]:
    return [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]


WORLD_FILES = (world_service_pb2, evaluation_service_pb2, apply_service_pb2, allocation_service_pb2)
DAGMGR_FILES = (graph_service_pb2, dataset_service_pb2)
# What operators' tools read: the methods, their own protocols, and the details of refusals.
SHOWN_FILES = (*WORLD_FILES, *DAGMGR_FILES, submission_service_pb2, health_pb2, reflection_pb2, error_details_pb2)
WORLD_SERVICES = _services(*WORLD_FILES)
DAGMGR_SERVICES = _services(*DAGMGR_FILES)
(SUBMISSION_SERVICE,) = _services(submission_service_pb2)


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[int]:
    """Yield the port of a running gateway."""
    async with (
        open_pool(settings.postgres_dsn, SCHEMA) as pool,
        open_bus(settings.nats_url, "qmtl-gateway") as bus,
        open_channel(settings.world_address) as world,
        open_channel(settings.dagmgr_address) as dagmgr,
    ):
        await open_ingest(bus, settings.nats_replicas)
        with exposing_metrics(settings.metrics_listen) as meter:
            downgrades = LabelledCounter(
                meter,
                DOWNGRADE_METRIC,
                "Compute contexts that stand below what was decided or asked for.",
                "reason",
                (reason.value for reason in DowngradeReason),
            )
            outcomes = LabelledCounter(
                meter, "gateway_submissions_total", "Submissions ended.", "outcome", ("ready", "rejected")
            )
            mismatches = zeroed_counter(meter, "nodeid_crc_mismatch_total", "Nodes sent under a wrong NodeID.")
            upstreams = Upstreams(world, dagmgr)
            decisions = Decisions(upstreams, downgrades, utc_now)
            watchers = EndWatch()
            service = SubmissionService(pool, bus, watchers, decisions, mismatches)
            rooms = [
                ServedService.of(
                    SUBMISSION_SERVICE, submission_service_pb2_grpc.add_SubmissionServiceServicer_to_server, service
                )
            ]
            forwarder = Forwarder(
                [
                    Upstream("world service", world, WORLD_SERVICES),
                    Upstream("DAG manager", dagmgr, DAGMGR_SERVICES),
                ]
            )
            shown = public_pool(each.DESCRIPTOR for each in SHOWN_FILES)
            forwarded = [service.full_name for service in (*WORLD_SERVICES, *DAGMGR_SERVICES)]
            probes: dict[str, Probe] = {"postgres": partial(ping, pool), "nats": bus.ping}
            worker = Worker(pool, bus, upstreams, decisions, outcomes, settings.nats_replicas)
            async with (
                _in_background(
                    watchers.listen(settings.postgres_dsn),
                    worker.run(),
                    sweeping(pool, aged(settings.keep_days), utc_now),
                ),
                serving(settings.listen, rooms, probes, forwarded=forwarded, handlers=[forwarder], shown=shown) as port,
            ):
                yield port


@asynccontextmanager
async def _in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work beside the server; when one of it fails the whole gateway ends, so that nothing half works unnoticed."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
