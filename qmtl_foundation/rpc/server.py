"""Serve gRPC until told to stop: reflection, health, message limits, and a graceful drain on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from qmtl_foundation.requests import MAX_MESSAGE_BYTES
from qmtl_foundation.rpc.health import HealthFollower, Probe
from qmtl_foundation.rpc.interceptor import DomainErrors
from qmtl_foundation.rpc.open_streams import OpenStreams
from qmtl_foundation.settings import Address, check_listened

MAX_METADATA_BYTES = 16 * 1024
DRAIN_SECONDS = 10.0
SERVER_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)
HEALTH_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", 1024),
    ("grpc.max_concurrent_streams", 16),  # of one connection: a kubelet makes one for each probe
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.so_reuseport", 0),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedService:
    """Hold one gRPC service of a server: its full name and how its servicer is added."""

    service: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: Any

    @classmethod
    def of(cls, descriptor: Any, add: Callable[[Any, grpc.aio.Server], None], servicer: Any) -> ServedService:
        """Return the room of a service descriptor."""
        return cls(descriptor.full_name, add, servicer)


@asynccontextmanager
async def serving(
    listen: Address,
    rooms: Sequence[ServedService],
    probes: Mapping[str, Probe],
    doors: Sequence[grpc.aio.ServerInterceptor],
    credentials: grpc.ServerCredentials | None = None,
    *,
    outside: Sequence[grpc.aio.ServerInterceptor] = (),
    forwarded: Sequence[str] = (),
    handlers: Sequence[grpc.GenericRpcHandler] = (),
    shown: DescriptorPool | None = None,
    health_listen: Address | None = None,
) -> AsyncIterator[int]:
    """Yield the port of a running server; drain at the end.

    ``probes`` are what readiness follows; calls come in through ``doors``, and what stands ``outside`` of everything
    sees the status that they get. Without ``credentials`` connections are not encrypted, and the address must be of the
    loopback. ``forwarded`` names services that ``handlers`` answer for, so that reflection lists them; it describes
    them from ``shown``, or from all that is loaded. On ``health_listen`` health alone is served, never encrypted:
    Kubernetes' probes speak no TLS. Raises OSError when an address is taken, QmtlError NOT_CONFIGURED for a ``listen``
    that is not of the loopback.
    """
    server = grpc.aio.server(interceptors=[*outside, DomainErrors(), OpenStreams(), *doors], options=SERVER_OPTIONS)
    for room in rooms:
        room.add(room.servicer, server)
    names = [room.service for room in rooms] + list(forwarded)
    health = HealthFollower(names, probes)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    own = (reflection.SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection([*names, *own], server, shown)
    if handlers:  # last: they may answer for everything that nobody else does
        server.add_generic_rpc_handlers(handlers)
    if credentials is None:
        check_listened("QMTL_LISTEN", listen)
    port = _bind(server, listen, credentials)
    await health.probe()
    async with _health_alone(health, health_listen):
        await server.start()
        following = asyncio.create_task(health.follow())
        _log.info("serving on %s:%d", listen.host, port)
        try:
            yield port
        finally:
            following.cancel()
            health.leave()
            await server.stop(DRAIN_SECONDS)


@asynccontextmanager
async def _health_alone(health: HealthFollower, listen: Address | None) -> AsyncIterator[None]:
    """Serve health and nothing else in plain text, until the drain is over."""
    if listen is None:
        yield
        return
    server = grpc.aio.server(interceptors=[DomainErrors(), OpenStreams()], options=HEALTH_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = _bind(server, listen, None)
    await server.start()
    _log.info("health alone on %s:%d", listen.host, port)
    try:
        yield
    finally:
        await server.stop(None)


def _bind(server: grpc.aio.Server, listen: Address, credentials: grpc.ServerCredentials | None) -> int:
    """Return the port that a server now has; raise OSError for an address that is taken."""
    try:
        if credentials is None:
            return int(server.add_insecure_port(str(listen)))
        return int(server.add_secure_port(str(listen), credentials))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listen}: {error}") from error


async def until_signalled() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    _log.info("draining")
