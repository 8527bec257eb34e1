"""How long calls take and how they end: rate, errors and duration of every method that is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import grpc
from opentelemetry.metrics import Meter

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.rpc.access import stated_access
from qmtl_foundation.rpc.admission import OPEN
from qmtl_foundation.rpc.outcome import concluding
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around, streamed_within

BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
OTHER: Final = "other"  # methods that no contract has: strangers must not make new values of a label
UNARY: Final = "unary"
STREAM: Final = "stream"


class Durations(Wrapping):
    """Feed ``rpc_duration_ms{method,kind,code}``, but for health and reflection; ``code`` is what the caller gets.

    A call of ``kind`` stream lasts as long as its caller wants. It stands outside of all that a call passes through.
    ``monotonic`` returns seconds.
    """

    def __init__(self, meter: Meter, monotonic: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._durations = meter.create_histogram(
            "rpc_duration_ms",
            description="How long calls took, from their arrival to their status.",
            explicit_bucket_boundaries_advisory=BUCKETS_MS,
        )

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler whose calls are measured."""
        if method.startswith(OPEN):
            return handler
        name = OTHER if stated_access(method).role is Role.UNSPECIFIED else method.removeprefix("/")
        return around(
            handler,
            lambda behaviour: self._unary(behaviour, name),
            lambda behaviour: streamed_within(behaviour, partial(self._measuring, name, STREAM)),
        )

    def _unary(self, behaviour: Behaviour, name: str) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            with self._measuring(name, UNARY, context):
                return await behaviour(request, context)

        return call

    def _measuring(self, name: str, kind: str, context: grpc.aio.ServicerContext) -> AbstractContextManager[None]:
        began = self._monotonic()

        def record(code: grpc.StatusCode) -> None:
            took = (self._monotonic() - began) * 1_000
            self._durations.record(took, {"method": name, "kind": kind, "code": code.name})

        return concluding(context, record)
