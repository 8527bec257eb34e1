"""Wires the gateway: settings -> pool -> bus -> channels -> rooms -> server."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from opentelemetry.metrics import Meter, Observation

from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import DOWNGRADE_METRIC, DowngradeReason
from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.audit.v1 import audit_service_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2, session_service_pb2_grpc
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2, submission_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.postgres import open_pool, ping
from qmtl_foundation.postgres.retention import sweeping
from qmtl_foundation.postgres.signals import Signals
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.channel import ServiceToken, open_channel
from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.durations import Durations
from qmtl_foundation.rpc.health import Probe
from qmtl_foundation.rpc.limits import LIMITS, Limits
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.rpc.tracing import Traces
from qmtl_foundation.telemetry import LabelledCounter, exposing_metrics, zeroed_counter
from qmtl_foundation.tls import open_certificates
from qmtl_gateway.forwarding.handler import Forwarder, Upstream
from qmtl_gateway.forwarding.reflection import public_pool
from qmtl_gateway.orders.flights import Flights
from qmtl_gateway.orders.service import OrderService
from qmtl_gateway.orders.stream import OrderStream
from qmtl_gateway.retention import aged
from qmtl_gateway.sessions.acknowledge import Acknowledgements
from qmtl_gateway.sessions.control import Control
from qmtl_gateway.sessions.follow import Resync
from qmtl_gateway.sessions.gates import Gates
from qmtl_gateway.sessions.holders import FIELDS, Holders
from qmtl_gateway.sessions.lease import LeaseKeeper
from qmtl_gateway.sessions.model import Event, Identity
from qmtl_gateway.sessions.reports import Reports
from qmtl_gateway.sessions.service import SessionMetrics, SessionService
from qmtl_gateway.sessions.session import Sessions
from qmtl_gateway.sessions.upstream import WorldUpstream
from qmtl_gateway.settings import GatewaySettings
from qmtl_gateway.submission.decisions import Decisions
from qmtl_gateway.submission.ingest import open_ingest
from qmtl_gateway.submission.service import SubmissionService
from qmtl_gateway.submission.store import ENDED_CHANNEL
from qmtl_gateway.submission.upstream import Upstreams
from qmtl_gateway.submission.worker import Worker

SCHEMA = "gateway"
SKEW_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # upper ends of buckets


def _services(*files: Any) -> list[ServiceDescriptor]:
    return [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]


WORLD_FILES = (
    world_service_pb2,
    evaluation_service_pb2,
    apply_service_pb2,
    allocation_service_pb2,
    audit_service_pb2,
)
DAGMGR_FILES = (graph_service_pb2, dataset_service_pb2)
# What operators' tools read: the methods, their own protocols, and the details of refusals.
OWN_FILES = (submission_service_pb2, session_service_pb2, order_service_pb2)
SHOWN_FILES = (*WORLD_FILES, *DAGMGR_FILES, *OWN_FILES, health_pb2, reflection_pb2, error_details_pb2)
WORLD_SERVICES = _services(*WORLD_FILES)
DAGMGR_SERVICES = _services(*DAGMGR_FILES)
(SUBMISSION_SERVICE,) = _services(submission_service_pb2)
(SESSION_SERVICE,) = _services(session_service_pb2)
(ORDER_SERVICE,) = _services(order_service_pb2)


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[int]:
    """Yield the port of a running gateway."""
    token = ServiceToken(settings.token_file)
    async with (
        open_certificates(settings.tls) as certificates,
        open_pool(settings.postgres_dsn, SCHEMA) as pool,
        open_bus(settings.nats_url.value, "gateway", certificates) as bus,
        open_admission(settings.auth) as admission,
        # What is forwarded carries its caller's token, what the gateway asks by itself its own.
        open_channel(settings.world_address, token=None, certificates=certificates) as forwarded_world,
        open_channel(settings.dagmgr_address, token=None, certificates=certificates) as forwarded_dagmgr,
        open_channel(settings.world_address, token, certificates) as world,
        open_channel(settings.dagmgr_address, token, certificates) as dagmgr,
        # Leases are renewed beside large calls, and while the service is away, without delaying who calls next.
        open_channel(settings.world_address, token, certificates, apart=True) as applies,
    ):
        credentials = server_credentials(certificates, mutual=False)
        await open_ingest(bus, settings.nats_replicas)
        stream = OrderStream(bus)
        await stream.open(settings.nats_replicas)
        with exposing_metrics(settings.metrics_listen, certificates) as meter:
            limited = LabelledCounter(
                meter, "calls_limited_total", "Calls refused for what their caller asked at once.", "limit", LIMITS
            )
            limits = Limits(settings.limits, limited.add)
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
            watchers = Signals(ENDED_CHANNEL)
            service = SubmissionService(pool, bus, watchers, decisions, mismatches)
            flights = Flights()
            sessions = _session_room(settings, bus, applies, flights, meter)
            orders = OrderService(sessions.gates, flights, stream, meter)
            rooms = [
                ServedService.of(
                    SUBMISSION_SERVICE, submission_service_pb2_grpc.add_SubmissionServiceServicer_to_server, service
                ),
                ServedService.of(
                    SESSION_SERVICE, session_service_pb2_grpc.add_SessionServiceServicer_to_server, sessions.service
                ),
                ServedService.of(ORDER_SERVICE, order_service_pb2_grpc.add_OrderServiceServicer_to_server, orders),
            ]
            forwarder = Forwarder(
                [
                    Upstream("world service", forwarded_world, WORLD_SERVICES),
                    Upstream("DAG manager", forwarded_dagmgr, DAGMGR_SERVICES),
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
                    stream.follow(),
                    sweeping(pool, aged(settings.keep_days), utc_now),
                    *(begin() for begin in sessions.work),
                ),
                serving(
                    settings.listen,
                    rooms,
                    probes,
                    [admission, limits, Permissions()],
                    credentials,
                    outside=[Durations(meter), Traces(begins=True)],
                    forwarded=forwarded,
                    handlers=[forwarder],
                    shown=shown,
                    health_listen=settings.health_listen,
                ) as port,
            ):
                with sessions.held():
                    yield port


@dataclass(frozen=True, slots=True)
class SessionRoom:
    """Hold the room of sessions: what serves them, the gates that order ingress reads, and what goes on beside."""

    service: SessionService
    gates: Gates
    work: Sequence[Callable[[], Coroutine[Any, Any, None]]]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold sessions; end them before the server drains, so that their runners go to another gateway at once."""
        try:
            yield
        finally:
            self.service.leave()


def _session_room(
    settings: GatewaySettings, bus: Bus, world: grpc.aio.Channel, flights: Flights, meter: Meter
) -> SessionRoom:
    """Return the room of one start of this gateway, all of it wired; its work begins when it is awaited."""
    identity = Identity(settings.name, uuid.uuid4().hex)
    upstream = WorldUpstream(world, identity)
    holders, sessions = Holders(time.monotonic), Sessions()
    acknowledgements = Acknowledgements(upstream.acknowledge, flights.drained, holders)

    def applied(event: Event) -> None:
        service.tell(event)
        acknowledgements.begin(event)

    resyncs = LabelledCounter(
        meter,
        "activation_resync_total",
        "Worlds closed until they were read anew.",
        "reason",
        (each for each in Resync if each is not Resync.UNKNOWN),
    )
    gates = Gates(upstream.snapshot, applied, resyncs, time.monotonic)
    reports = Reports(bus, sessions, settings.nats_replicas)
    service = SessionService(
        identity, gates, holders, sessions, acknowledgements, reports, _session_metrics(meter, sessions), utc_now
    )
    work = (
        Control(bus, gates, settings.nats_replicas).run,
        LeaseKeeper(upstream.renew, gates, holders, time.monotonic).run,
        gates.run,
        acknowledgements.run,
        reports.run,
    )
    return SessionRoom(service, gates, work)


def _session_metrics(meter: Meter, sessions: Sessions) -> SessionMetrics:
    meter.create_observable_gauge(
        "runner_sessions", [lambda _options: [Observation(sessions.count)]], description="Runners' sessions held."
    )
    return SessionMetrics(
        refused=LabelledCounter(
            meter, "acknowledgements_refused_total", "Acknowledgements of runners refused.", "field", FIELDS
        ),
        skew=meter.create_histogram(
            "activation_skew_seconds",
            description="From an event's writing to a runner's acknowledgement of it.",
            explicit_bucket_boundaries_advisory=SKEW_SECONDS,
        ),
    )


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
