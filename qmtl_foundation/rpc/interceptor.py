"""What every call passes through: a deadline, and the one mapping from exceptions to status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.reading import Parser, parser
from qmtl_foundation.rpc.status import abort, internal_error
from qmtl_foundation.rpc.wrapping import Wrapping, around

DEFAULT_DEADLINE_SECONDS = 60.0

_log = logging.getLogger(__name__)


class DomainErrors(Wrapping):
    """Give each unary call a deadline, and turn what it raises into a status; a stream lives as its client wants."""

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler, guarded."""
        # Requests are parsed inside the guard: grpc would answer INTERNAL for bytes that are no message.
        parse = parser(handler.request_deserializer)
        return around(
            handler,
            lambda behaviour: _guarded_unary(behaviour, parse, method),
            lambda behaviour: _guarded_stream(behaviour, parse, method),
            lambda behaviour: _guarded_dialogue(behaviour, parse, method),
            reads=True,
        )


def _guarded_unary(
    behaviour: Callable[..., Awaitable[Any]], parse: Parser, method: str
) -> Callable[..., Awaitable[Any]]:
    async def call(content: bytes, context: grpc.aio.ServicerContext) -> Any:
        remaining = context.time_remaining()
        try:
            async with asyncio.timeout(DEFAULT_DEADLINE_SECONDS if remaining is None else remaining) as deadline:
                return await behaviour(parse(content), context)
        except TimeoutError as error:
            if not deadline.expired():
                return await abort(context, internal_error(error))
            return await abort(context, _late(method))
        except Exception as error:  # the last place before the wire: whatever arises becomes a status
            return await abort(context, _refusal(error, context))

    return call


StreamBehaviour = Callable[..., AsyncIterator[Any]]


def _guarded_stream(behaviour: StreamBehaviour, parse: Parser, method: str) -> Callable[..., AsyncIterator[Any]]:
    async def call(content: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async for response in _answering(lambda: behaviour(parse(content), context), context, method):
            yield response

    return call


def _guarded_dialogue(behaviour: StreamBehaviour, parse: Parser, method: str) -> Callable[..., AsyncIterator[Any]]:
    async def parsed(contents: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for content in contents:
            yield parse(content)

    async def call(contents: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async for response in _answering(lambda: behaviour(parsed(contents), context), context, method):
            yield response

    return call


async def _answering(
    begin: Callable[[], AsyncIterator[Any]], context: grpc.aio.ServicerContext, method: str
) -> AsyncIterator[Any]:
    try:
        async for response in begin():
            yield response
    except Exception as error:  # as above
        _log.debug("stream %s ended by %r", method, error)
        await abort(context, _refusal(error, context))


def _refusal(error: Exception, context: grpc.aio.ServicerContext) -> QmtlError:
    if context.code():  # aborted already: let it through
        raise error
    return error if isinstance(error, QmtlError) else internal_error(error)


def _late(method: str) -> QmtlError:
    return QmtlError(Reason.DEADLINE_EXCEEDED, f"{method} did not end within the deadline", metadata={"method": method})
