"""Answers to calls as spans. Where a caller states a trace the answer belongs to it; else the gateway begins one.

A dialogue (a runner's session) is no span: it lasts for hours, and what it tells belongs to traces of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.auth.caller import Role
from qmtl_foundation.rpc.access import stated_access
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around
from qmtl_foundation.tracing import TRACEPARENT, Work

# Of the server's making, by OpenTelemetry's conventions for gRPC; anything else is an answer to the caller.
FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
_GONE: Final = (asyncio.CancelledError, GeneratorExit)


class Traces(Wrapping):
    """Span the answers of a server; ``begins``: also of calls that belong to no trace yet."""

    def __init__(self, *, begins: bool) -> None:
        super().__init__()
        self._begins = begins

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler whose answers are spans; names that no contract has would be anybody's choice."""
        if stated_access(method).role is Role.UNSPECIFIED:
            return handler
        name = method.removeprefix("/")
        return around(
            handler,
            lambda behaviour: self._unary(behaviour, name),
            lambda behaviour: self._stream(behaviour, name),
            lambda behaviour: behaviour,
        )

    def _unary(self, behaviour: Behaviour, name: str) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            work, gone = self._begin(name, context), False
            try:
                with work.within():
                    return await behaviour(request, context)
            except _GONE:
                gone = True
                raise
            finally:
                _conclude(work, context, gone=gone)

        return call

    def _stream(self, behaviour: Behaviour, name: str) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            work, gone = self._begin(name, context), False
            responses = behaviour(request, context)
            try:
                while True:
                    with work.within():  # not while it is handed out: that may end in another task
                        try:
                            response = await anext(responses)
                        except StopAsyncIteration:
                            return
                    yield response
            except _GONE:
                gone = True
                raise
            finally:
                _conclude(work, context, gone=gone)

        return call

    def _begin(self, name: str, context: grpc.aio.ServicerContext) -> Work:
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        return tracing.begin(name, stated_trace(context), SpanKind.SERVER, attributes, begins=self._begins)


def stated_trace(context: grpc.aio.ServicerContext) -> str:
    """Return the ``traceparent`` that a caller states, empty where it states none, or several."""
    stated = [value for name, value in context.invocation_metadata() or () if name == TRACEPARENT]
    return stated[0] if len(stated) == 1 and isinstance(stated[0], str) else ""


def _conclude(work: Work, context: grpc.aio.ServicerContext, *, gone: bool) -> None:
    """End an answer with the status that its caller got; one that was not there any more cancelled it."""
    code = context.code() or (grpc.StatusCode.CANCELLED if gone else grpc.StatusCode.OK)
    found = code if isinstance(code, grpc.StatusCode) else _BY_NUMBER[int(code)]
    work.say("rpc.response.status_code", found.name)
    work.end(found.name if found in FAULTS else "")
