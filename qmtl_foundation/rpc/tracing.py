"""Answers to calls as spans. Where a caller states a trace the answer belongs to it; else the gateway begins one.

A dialogue (a runner's session) is no span: it lasts for hours, and what it tells belongs to traces of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.auth.caller import Role
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.rpc.access import stated_access
from qmtl_foundation.rpc.outcome import FAULTS, concluding
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around
from qmtl_foundation.tracing import TRACEPARENT, Work


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
            work = self._begin(name, context)
            with concluding(context, partial(_conclude, work)), work.within():
                return await behaviour(request, context)

        return call

    def _stream(self, behaviour: Behaviour, name: str) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            work = self._begin(name, context)
            responses = behaviour(request, context)
            with concluding(context, partial(_conclude, work)):
                while True:
                    heed_cancellation()
                    with work.within():  # not while it is handed out: that may end in another task
                        try:
                            response = await anext(responses)
                        except StopAsyncIteration:
                            return
                    yield response

        return call

    def _begin(self, name: str, context: grpc.aio.ServicerContext) -> Work:
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        return tracing.begin(name, stated_trace(context), SpanKind.SERVER, attributes, begins=self._begins)


def stated_trace(context: grpc.aio.ServicerContext) -> str:
    """Return the ``traceparent`` that a caller states, empty where it states none, or several."""
    stated = [value for name, value in context.invocation_metadata() or () if name == TRACEPARENT]
    return stated[0] if len(stated) == 1 and isinstance(stated[0], str) else ""


def _conclude(work: Work, outcome: grpc.StatusCode) -> None:
    work.say("rpc.response.status_code", outcome.name)
    work.end(outcome.name if outcome in FAULTS else "")
