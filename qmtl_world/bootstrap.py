"""Wires the world service: settings -> pool -> bus -> worker processes -> rooms -> server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from qmtl_foundation.clock import utc_now
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2, allocation_service_pb2_grpc
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2, apply_service_pb2_grpc
from qmtl_foundation.pb.qmtl.audit.v1 import audit_service_pb2, audit_service_pb2_grpc
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2, evaluation_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2, world_service_pb2_grpc
from qmtl_foundation.postgres import open_pool, ping
from qmtl_foundation.postgres.retention import sweeping
from qmtl_foundation.postgres.signals import Signals
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.durations import Durations
from qmtl_foundation.rpc.health import Probe
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.rpc.tracing import Traces
from qmtl_foundation.telemetry import exposing_metrics, zeroed_counter
from qmtl_foundation.tls import open_certificates
from qmtl_world.allocation.service import AllocationService
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.apply.enrolling import Enrolling
from qmtl_world.apply.metrics import ApplyMetrics
from qmtl_world.apply.purge import Purge
from qmtl_world.apply.relay import Relay
from qmtl_world.apply.reseed import Reseeding
from qmtl_world.apply.service import ApplyService
from qmtl_world.apply.store import STEPS_CHANNEL
from qmtl_world.audit.service import AuditService
from qmtl_world.evaluation.planning import EvaluatedPlans
from qmtl_world.evaluation.processes import open_processes
from qmtl_world.evaluation.service import EvaluationService
from qmtl_world.evaluation.trading import EvaluatedTrading
from qmtl_world.retention import aged
from qmtl_world.settings import WorldSettings
from qmtl_world.worlds.service import WorldService

SCHEMA = "world"
IDLE_TRANSACTION_SECONDS = 15.0  # a replica that is paused gives its locks back; a round is decided in less


@asynccontextmanager
async def running(settings: WorldSettings) -> AsyncIterator[int]:
    """Yield the port of a running world service."""
    worlds = world_service_pb2.DESCRIPTOR.services_by_name["WorldService"]
    evaluations = evaluation_service_pb2.DESCRIPTOR.services_by_name["EvaluationService"]
    applies = apply_service_pb2.DESCRIPTOR.services_by_name["ApplyService"]
    audits = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
    allocations = allocation_service_pb2.DESCRIPTOR.services_by_name["AllocationService"]
    async with (
        open_certificates(settings.tls) as certificates,
        open_pool(settings.postgres_dsn, SCHEMA, IDLE_TRANSACTION_SECONDS) as pool,
        open_bus(settings.nats_url.value, "world", certificates) as bus,
        open_admission(settings.auth) as admission,
        open_processes() as processes,
    ):
        credentials = server_credentials(certificates, mutual=True)
        with exposing_metrics(settings.metrics_listen, certificates) as meter:
            signals = Signals(STEPS_CHANNEL)
            coordinator = Coordinator(pool, utc_now, ApplyMetrics(meter), signals.hurry)
            enrolling = Enrolling(coordinator, utc_now, settings.paper_executor)
            relay = Relay(pool, bus, settings.nats_replicas, utc_now, coordinator.hold_astray)
            await relay.open()
            hits = zeroed_counter(
                meter,
                "cross_context_cache_hit_total",
                "Cached results that runners found under another compute context, and did not use.",
            )
            relay.expose(meter)
            rooms = [
                ServedService.of(
                    worlds,
                    world_service_pb2_grpc.add_WorldServiceServicer_to_server,
                    WorldService(pool, EvaluatedTrading(processes, coordinator, enrolling), utc_now),
                ),
                ServedService.of(
                    evaluations,
                    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server,
                    EvaluationService(pool, processes, coordinator, signals, utc_now, hits),
                ),
                ServedService.of(
                    applies,
                    apply_service_pb2_grpc.add_ApplyServiceServicer_to_server,
                    ApplyService(
                        pool,
                        coordinator,
                        EvaluatedPlans(),
                        enrolling,
                        Reseeding(bus, coordinator),
                        signals,
                        utc_now,
                    ),
                ),
                ServedService.of(
                    allocations,
                    allocation_service_pb2_grpc.add_AllocationServiceServicer_to_server,
                    AllocationService(pool),
                ),
                ServedService.of(
                    audits,
                    audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
                    AuditService(pool),
                ),
            ]
            probes: dict[str, Probe] = {"postgres": partial(ping, pool), "nats": bus.ping}
            async with (
                asyncio.TaskGroup() as group,
                serving(
                    settings.listen,
                    rooms,
                    probes,
                    [admission, Permissions()],
                    credentials,
                    outside=[Durations(meter), Traces(begins=False)],
                    health_listen=settings.health_listen,
                ) as port,
            ):
                forgetting = sweeping(pool, aged(settings.keep_days, settings.keep_series_days), utc_now)
                work = (
                    signals.listen(settings.postgres_dsn),
                    relay.run(signals),
                    Purge(pool, bus).run(),
                    coordinator.run(),
                    processes.warm(),
                    forgetting,
                )
                beside = [group.create_task(each) for each in work]
                try:
                    yield port
                finally:
                    for task in beside:
                        task.cancel()
