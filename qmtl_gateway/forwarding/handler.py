"""Forwards the other services' public methods untouched: bytes in, bytes out, status and metadata as they come.

The allow-list is read from the descriptors: a method is forwarded when its option ``access`` lets clients call it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.access import access_of
from qmtl_foundation.rpc.channel import ServiceChannel
from qmtl_foundation.rpc.status import NOT_ANSWERED
from qmtl_foundation.tracing import TRACEPARENT

# Metadata of the hop itself; everything else belongs to the caller or the answering service.
HOP_METADATA = frozenset({"user-agent", "te", "content-type", "grpc-accept-encoding", "grpc-timeout", "grpc-encoding"})
STATUS_DETAILS = "grpc-status-details-bin"

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Hold a service behind the gateway: what to call it in errors, how to reach it, what it serves."""

    name: str
    channel: ServiceChannel
    services: Sequence[ServiceDescriptor]


class Forwarder(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answer for every public method of the upstreams; refuse every other method by name."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._handlers: Mapping[str, grpc.RpcMethodHandler] = {
            method.path: _forwarding(upstream, method)
            for upstream in upstreams
            for method in public_methods(upstream.services)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler of a method."""
        method: str = handler_call_details.method
        return self._handlers.get(method) or _refusing(method)


@dataclass(frozen=True, slots=True)
class Method:
    """Name a method, and say whether it answers with a stream."""

    path: str
    answers_stream: bool


def public_methods(services: Iterable[ServiceDescriptor]) -> list[Method]:
    """Return the methods that clients may call; raise TypeError for one whose requests stream: none is forwarded."""
    methods = []
    for service in services:
        for method in service.methods:
            if not access_of(method).is_public:
                continue
            if method.client_streaming:
                raise TypeError(f"{method.full_name} takes a stream; such methods are not forwarded")
            methods.append(Method(f"/{service.full_name}/{method.name}", method.server_streaming))
    return methods


def _forwarding(upstream: Upstream, method: Method) -> grpc.RpcMethodHandler:
    return (
        _forwarding_stream(upstream, method.path) if method.answers_stream else _forwarding_one(upstream, method.path)
    )


def _ended(cancelled: asyncio.CancelledError, upstream: str) -> BaseException:
    """Return why a call ended that nobody answered: its caller went away, or its channel was closed for a newer one."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        return cancelled
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE,
        f"the connection to the {upstream} was renewed; try again",
        metadata={"dependency": upstream},
    )


def _forwarding_stream(upstream: Upstream, path: str) -> grpc.RpcMethodHandler:
    forward = upstream.channel.unary_stream(path)

    async def call(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        sent = forward(
            request,
            timeout=context.time_remaining(),
            metadata=_asking(context.invocation_metadata() or ()),
            wait_for_ready=False,
        )
        try:
            await context.send_initial_metadata(_passing(await sent.initial_metadata()))
            async for response in sent:
                yield response
            context.set_trailing_metadata(_passing(await sent.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            await _fail(context, error, upstream.name)
        except asyncio.CancelledError as cancelled:
            raise _ended(cancelled, upstream.name) from cancelled
        finally:
            sent.cancel()

    return grpc.unary_stream_rpc_method_handler(call)


def _forwarding_one(upstream: Upstream, path: str) -> grpc.RpcMethodHandler:
    forward = upstream.channel.unary_unary(path)

    async def call(request: bytes, context: grpc.aio.ServicerContext) -> Any:
        sent = forward(
            request,
            timeout=context.time_remaining(),
            metadata=_asking(context.invocation_metadata() or ()),
            wait_for_ready=False,
        )
        try:
            initial = await sent.initial_metadata()
            response = await sent
            trailing = await sent.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            await _fail(context, error, upstream.name)
        except asyncio.CancelledError as cancelled:
            raise _ended(cancelled, upstream.name) from cancelled
        else:
            await context.send_initial_metadata(_passing(initial))
            context.set_trailing_metadata(_passing(trailing))
            return response
        finally:
            sent.cancel()  # does nothing to a call that has ended; ends it when the caller went away

    return grpc.unary_unary_rpc_method_handler(call)


async def _fail(context: grpc.aio.ServicerContext, error: grpc.aio.AioRpcError, upstream: str) -> None:
    trailing = _passing(error.trailing_metadata() or (), details=True)
    if not any(name == STATUS_DETAILS for name, _ in trailing) and error.code() in NOT_ANSWERED:
        raise QmtlError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the {upstream} does not answer; try again",
            metadata={"dependency": upstream},
        ) from error
    await context.abort(error.code(), error.details() or "", trailing)


def _refusing(method: str) -> grpc.RpcMethodHandler:
    async def refuse(_request: bytes, _context: grpc.aio.ServicerContext) -> Any:
        raise QmtlError(
            Reason.METHOD_NOT_SERVED,
            f"{method[:200]} is not served here: there is no such method, or only services may call it",
            metadata={"method": method[:200]},
        )

    return grpc.unary_unary_rpc_method_handler(refuse)


def _asking(metadata: Metadata) -> tuple[tuple[str, str | bytes], ...]:
    """Return what a call is forwarded with: its answer belongs to the gateway's, where that belongs to a trace."""
    traceparent = tracing.current()
    if not traceparent:
        return _passing(metadata)
    others = ((name, value) for name, value in metadata if name != TRACEPARENT)
    return (*_passing(others), (TRACEPARENT, traceparent))


def _passing(metadata: Metadata, *, details: bool = False) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (name, value)
        for name, value in metadata
        if (details and name == STATUS_DETAILS) or (name not in HOP_METADATA and not name.startswith("grpc-"))
    )
