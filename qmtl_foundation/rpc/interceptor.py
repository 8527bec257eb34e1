"""What every call passes through: a deadline, and the one mapping from exceptions to status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.status import abort, internal_error

DEFAULT_DEADLINE_SECONDS = 60.0

_log = logging.getLogger(__name__)


class DomainErrors(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Give each unary call a deadline, and turn what it raises into a status; a stream lives as its client wants."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Return the method's handler, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        method = handler_call_details.method
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_guarded_stream(handler.unary_stream, method), **coders)
        return grpc.unary_unary_rpc_method_handler(_guarded_unary(handler.unary_unary, method), **coders)


def _guarded_unary(behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        remaining = context.time_remaining()
        try:
            async with asyncio.timeout(DEFAULT_DEADLINE_SECONDS if remaining is None else remaining) as deadline:
                return await behaviour(request, context)
        except TimeoutError as error:
            if not deadline.expired():
                return await abort(context, internal_error(error))
            return await abort(context, _late(method))
        except Exception as error:  # the last place before the wire: whatever arises becomes a status
            return await abort(context, _refusal(error, context))

    return call


def _guarded_stream(behaviour: Callable[..., AsyncIterator[Any]], method: str) -> Callable[..., AsyncIterator[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            async for response in behaviour(request, context):
                yield response
        except Exception as error:  # as above
            _log.debug("stream %s ended by %r", method, error)
            await abort(context, _refusal(error, context))

    return call


def _refusal(error: Exception, context: grpc.aio.ServicerContext) -> QmtlError:
    if context.code():  # aborted already: let it through
        raise error
    return error if isinstance(error, QmtlError) else internal_error(error)


def _late(method: str) -> QmtlError:
    return QmtlError(Reason.DEADLINE_EXCEEDED, f"{method} did not end within the deadline", metadata={"method": method})
