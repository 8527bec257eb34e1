"""How a call ended, as its caller saw it: the one rule for what is measured and traced of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import grpc

# What is raised where a call's caller waits no longer.
GONE: Final = (asyncio.CancelledError, GeneratorExit)
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


def _outcome_of(context: grpc.aio.ServicerContext, raised: BaseException | None) -> grpc.StatusCode:
    """Return the status that a caller got, of a call that returned or raised; whoever went away got none, or a late
    one."""
    stated: grpc.StatusCode | None = context.code()
    if stated is not None:
        return stated
    if raised is None:
        return grpc.StatusCode.OK
    if not isinstance(raised, GONE):
        return grpc.StatusCode.UNKNOWN
    return grpc.StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else grpc.StatusCode.CANCELLED


@contextmanager
def concluding(context: grpc.aio.ServicerContext, tell: Callable[[grpc.StatusCode], None]) -> Iterator[None]:
    """Tell the status that a caller got of the call that is answered within, once it has returned or raised."""
    raised = None
    try:
        yield
    except BaseException as error:
        raised = error
        raise
    finally:
        tell(_outcome_of(context, raised))
