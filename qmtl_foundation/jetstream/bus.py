"""A service's connection to JetStream: opened once, its failures turned into domain errors where they arise."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.permissions import OWNERS
from qmtl_foundation.jetstream.streams import StreamSpec, inbox_of
from qmtl_foundation.settings import is_loopback
from qmtl_foundation.tls import Certificates
from qmtl_foundation.tracing import TRACEPARENT

CONNECT_TIMEOUT_SECONDS = 5
START_TIMEOUT_SECONDS = 10.0
PUBLISH_TIMEOUT_SECONDS = 5.0
RECONNECT_WAIT_SECONDS = 0.2
WINDOW = 64  # messages under way of one sequence: enough for the full rate, and a millisecond of the event loop
WRONG_LAST_SEQUENCE = 10071  # JSStreamWrongLastSequenceErrF of nats-server

OnError = Callable[[Exception], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fill:
    """Say how much of a stream is used, in bytes; ``max_bytes`` -1 is no limit."""

    used_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """Hold which stream it is, the sequences that it has, and its bytes; ``first`` is ``last + 1`` when it is empty."""

    generation: str
    first: int
    last: int
    used_bytes: int


async def note_error(error: Exception) -> None:
    """Log what goes wrong on a connection beside calls."""
    _log.warning("nats: %s: %s", type(error).__name__, error)


class Bus:
    """Speak to JetStream; every failure is QmtlError(DEPENDENCY_UNAVAILABLE) with dependency ``nats``.

    What is stored carries the trace within which it is.
    """

    def __init__(self, connection: Any, service: str) -> None:
        self.connection = connection
        self._service = service
        self.jetstream = connection.jetstream(timeout=PUBLISH_TIMEOUT_SECONDS)

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Make the stream where there is none; its owner (``permissions.OWNERS``) also changes it to what is specified.

        One that nobody owns is everyone's.

        Safe when several processes do it at once.
        """
        retention = RetentionPolicy.WORK_QUEUE if spec.work_queue else RetentionPolicy.LIMITS
        config = StreamConfig(
            name=spec.name,
            subjects=list(spec.subjects),
            retention=retention,
            storage=StorageType.FILE,
            num_replicas=spec.replicas,
            duplicate_window=spec.duplicate_window_s,
            max_age=spec.max_age_s,
            max_bytes=spec.max_bytes,
            discard=DiscardPolicy.NEW,
        )
        with translated_errors():
            try:
                await self.jetstream.add_stream(config)
            except nats.js.errors.BadRequestError:  # it stands, and is not quite the same
                if OWNERS.get(spec.name, self._service) == self._service:
                    await self.jetstream.update_stream(config)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Store a message and return its stream sequence; it is on disk when this returns."""
        with translated_errors():
            stored = await self.jetstream.publish(subject, payload, headers=_traced(headers))
        return int(stored.seq)

    async def publish_all(self, subject: str, payloads: Sequence[bytes]) -> list[int]:
        """Store messages in their order and return their stream sequences; they are on disk when this returns.

        When it fails nothing is sent any more, and any of those sent may be stored. Nothing is handed to a connection
        that is down: the driver would keep it, and send it whenever the connection comes back.
        """
        sequences: list[int] = []
        headers = _traced(None)
        for begin in range(0, len(payloads), WINDOW):
            with translated_errors():
                if not self.connection.is_connected:
                    raise nats.errors.ConnectionReconnectingError
                if len(payloads) == 1:  # needs no task
                    return [int((await self.jetstream.publish(subject, payloads[0], headers=headers)).seq)]
                # One task after the other begins, and writes before it first waits: so the order is kept.
                part = payloads[begin : begin + WINDOW]
                window = (self.jetstream.publish(subject, each, headers=headers) for each in part)
                answers = await asyncio.gather(*window, return_exceptions=True)
                for answer in answers:
                    if isinstance(answer, BaseException):
                        raise answer
                    sequences.append(int(answer.seq))
        return sequences

    async def fill(self, stream: str) -> Fill:
        """Return how much of a stream is used."""
        with translated_errors():
            info = await self.jetstream.stream_info(stream)
        return Fill(int(info.state.bytes), int(info.config.max_bytes))

    async def state(self, stream: str) -> StreamState:
        """Return the state of a stream."""
        with translated_errors():
            info = await self.jetstream.stream_info(stream)
        created = info.created.isoformat() if info.created is not None else ""
        return StreamState(created, max(info.state.first_seq, 1), info.state.last_seq, info.state.bytes)

    async def counts(self, stream: str, subjects: str) -> Mapping[str, int]:
        """Return how many messages a stream has of each subject that matches."""
        with translated_errors():
            info = await self.jetstream.stream_info(stream, subjects_filter=subjects)
        return info.state.subjects or {}

    async def purge(self, stream: str, subjects: str, below: int) -> None:
        """Delete the messages of some subjects whose sequence is below one."""
        with translated_errors():
            await self.jetstream.purge_stream(stream, subject=subjects, seq=below)

    async def append(
        self, subject: str, payload: bytes, last: int, headers: Mapping[str, str] | None = None
    ) -> int | None:
        """Store a message if its subject still ends at ``last`` (0: is empty), else return None, and store nothing."""
        condition = {**(_traced(headers) or {}), "Nats-Expected-Last-Subject-Sequence": str(last)}
        with translated_errors():
            try:
                stored = await self.jetstream.publish(subject, payload, headers=condition)
            except nats.js.errors.APIError as error:
                if error.err_code == WRONG_LAST_SEQUENCE:
                    return None
                raise
        return int(stored.seq)

    async def newest(self, stream: str, subject: str) -> Any | None:
        """Return a subject's newest message (``data``, ``headers``, ``seq``), or None."""
        with translated_errors():
            try:
                return await self.jetstream.get_last_msg(stream, subject)
            except nats.js.errors.NotFoundError:
                return None

    async def ping(self) -> None:
        """Make a round trip through JetStream."""
        with translated_errors():
            await self.jetstream.account_info()


@asynccontextmanager
async def open_bus(
    url: str,
    service: str,
    certificates: Certificates | None = None,
    *,
    patient: bool = True,
    on_error: OnError = note_error,
) -> AsyncIterator[Bus]:
    """Yield a service's connection, which comes back by itself; closed at the end. ``url`` may be several, by commas.

    Not ``patient``, a server is given up that is not there, or refuses the login. ``on_error`` is given what goes wrong
    beside calls.

    To another machine the URL must be ``tls://``, which encrypts before a word is spoken, so that nobody on the way can
    talk the client out of it (the server needs ``handshake_first``). Raises QmtlError NOT_CONFIGURED otherwise.
    """
    servers = servers_of(url)
    first, tls = urlsplit(servers[0]), _tls(url, certificates)
    # Reconnecting never gives up; the first connection must, so that a service says why it does not start.
    with translated_errors():
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            connection = await nats.connect(
                servers,
                # Servers that others tell of have no user in their URL; those of a cluster have the same ones.
                user=unquote(first.username) if first.username else None,
                password=unquote(first.password) if first.password else None,
                name=service,
                inbox_prefix=inbox_of(service).encode(),
                tls=tls,
                tls_handshake_first=tls is not None,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                allow_reconnect=patient,
                max_reconnect_attempts=-1 if patient else 1,
                reconnect_time_wait=RECONNECT_WAIT_SECONDS,
                error_cb=on_error,
            )
    try:
        yield Bus(connection, service)
    finally:
        await connection.close()


def _traced(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return headers with the trace of what goes on; None where there are none."""
    traceparent = tracing.current()
    return {**(headers or {}), TRACEPARENT: traceparent} if traceparent else dict(headers or {}) or None


def servers_of(url: str) -> list[str]:
    """Return the URL of each server that a setting names."""
    return [each if "://" in each else f"nats://{each}" for each in map(str.strip, url.split(","))]


def _tls(url: str, certificates: Certificates | None) -> ssl.SSLContext | None:
    is_encrypted = check_encrypted(url, has_certificates=certificates is not None)
    return certificates.context(ssl.PROTOCOL_TLS_CLIENT) if is_encrypted and certificates is not None else None


def check_encrypted(url: str, *, has_certificates: bool) -> bool:
    """Tell whether connections are encrypted; raise QmtlError NOT_CONFIGURED where they would have to be."""
    addresses = [urlsplit(each) for each in servers_of(url)]
    if all(each.scheme == "tls" for each in addresses) and has_certificates:
        return True
    if all(each.scheme != "tls" and is_loopback(each.hostname or "") for each in addresses):
        return False
    raise QmtlError(
        Reason.NOT_CONFIGURED,
        "QMTL_NATS_URL names another machine: it must be tls://…, and QMTL_TLS_CERTIFICATE, _KEY and _CA be set",
        metadata={"setting": "QMTL_NATS_URL"},
    )


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's failures into QmtlError(DEPENDENCY_UNAVAILABLE); its text goes to the log only."""
    try:
        yield
    except (nats.errors.Error, TimeoutError, OSError) as error:
        _log.warning("nats: %s: %s", type(error).__name__, error)
        raise QmtlError(
            Reason.DEPENDENCY_UNAVAILABLE, "NATS JetStream does not answer; try again", metadata={"dependency": "nats"}
        ) from error
