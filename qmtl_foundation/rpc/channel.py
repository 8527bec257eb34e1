"""Channels between services: opened once, shared by every call; and what a call's failure means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import grpc

from qmtl_foundation import tracing
from qmtl_foundation.auth.bearer import AUTHORIZATION, bearer
from qmtl_foundation.auth.token_file import TokenFile
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.requests import MAX_MESSAGE_BYTES
from qmtl_foundation.rpc.credentials import channel_credentials
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address, check_dialled
from qmtl_foundation.tls import Certificates, Material
from qmtl_foundation.tracing import TRACEPARENT

GRACE_SECONDS = 60.0
_OF_OURS = frozenset({Reason.UNAUTHENTICATED, Reason.PERMISSION_DENIED})

_log = logging.getLogger(__name__)
CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


class ServiceToken(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """State on each call who makes it, by the token of a service, and its trace; raises as ``TokenFile``."""

    def __init__(self, file: str) -> None:
        self._file = TokenFile(file, "QMTL_TOKEN_FILE")

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Add the token, and the trace of what goes on, to the call's metadata."""
        stated = [(AUTHORIZATION, bearer(self._file.token))]
        if traceparent := tracing.current():
            stated.append((TRACEPARENT, traceparent))
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()), *stated)
        return await continuation(client_call_details._replace(metadata=metadata), request)


class ServiceChannel(Protocol):
    """Be what stubs make calls through: the part of ``grpc.aio.Channel`` that services use."""

    def unary_unary(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """Return what makes calls of a method that answers once."""

    def unary_stream(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """Return what makes calls of a method that answers by a stream."""


class RenewedChannel:
    """Be a channel whose connections show the certificate that is in force: it is opened anew when that was renewed.

    Calls under way on the channel before have ``GRACE_SECONDS`` to end.
    """

    def __init__(self, certificates: Certificates, open_one: Callable[[grpc.ChannelCredentials], Any]) -> None:
        self._certificates = certificates
        self._open = open_one
        self._material: Material | None = None
        self._channel: Any = None
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """Return what makes calls of a method on the channel of the moment."""
        return self._calling("unary_unary", method, codec)

    def unary_stream(self, *method: Any, **codec: Any) -> Callable[..., Any]:
        """Return what makes calls of a method on the channel of the moment."""
        return self._calling("unary_stream", method, codec)

    async def close(self) -> None:
        """Close what is open, at once."""
        closing = tuple(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    def _calling(self, kind: str, method: tuple[Any, ...], codec: Mapping[str, Any]) -> Callable[..., Any]:
        made: list[tuple[Any, Callable[..., Any]]] = []

        def call(*arguments: Any, **options: Any) -> Any:
            channel = self._current()
            if not made or made[0][0] is not channel:
                made[:] = [(channel, getattr(channel, kind)(*method, **codec))]
            return made[0][1](*arguments, **options)

        return call

    def _current(self) -> Any:
        material = self._certificates.material
        if material is not self._material:
            if self._channel is not None:
                task = asyncio.create_task(self._channel.close(GRACE_SECONDS))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            self._channel, self._material = self._open(channel_credentials(material)), material
        return self._channel


@asynccontextmanager
async def open_channel(
    address: Address,
    token: ServiceToken | None = None,
    certificates: Certificates | None = None,
    *,
    apart: bool = False,
) -> AsyncIterator[ServiceChannel]:
    """Yield a channel to a service; it connects at the first call and comes back by itself.

    Calls carry ``token``; without one they carry what each call states, as those do that are passed on. With
    ``certificates`` both ends show theirs. Channels to one address share a connection, and the pause after it could not
    be made, unless one is ``apart``. Raises QmtlError NOT_CONFIGURED for an address that is not of the loopback without
    certificates: others would read the tokens on their way.
    """
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", int(apart)))
    interceptors = () if token is None else (token,)
    if certificates is None:
        check_dialled(address)
        async with grpc.aio.insecure_channel(str(address), options=options, interceptors=interceptors) as plain:
            yield plain
        return
    opening = partial(grpc.aio.secure_channel, str(address), options=options, interceptors=interceptors)
    renewed = RenewedChannel(certificates, opening)
    try:
        yield renewed
    finally:
        await renewed.close()


@asynccontextmanager
async def calling(dependency: str) -> AsyncIterator[None]:
    """Turn what a call raises into the QmtlError that the service sent.

    One that does not answer, or does not take our own token, is DEPENDENCY_UNAVAILABLE and named.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        if found.reason in _OF_OURS:  # a token that is being renewed, or not the right one: no answer to what was asked
            _log.warning("the %s refuses this service: %s", dependency, found.message)
            found = _unavailable(f"the {dependency} does not take this service's token", dependency)
        elif found.reason is Reason.DEPENDENCY_UNAVAILABLE and not found.metadata:
            found = _unavailable(f"the {dependency} does not answer", dependency)
        raise found from error


def _unavailable(sentence: str, dependency: str) -> QmtlError:
    return QmtlError(Reason.DEPENDENCY_UNAVAILABLE, sentence, metadata={"dependency": dependency})
