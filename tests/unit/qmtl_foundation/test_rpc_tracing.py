"""Answers as spans, over a real channel: whose trace, which status, and what is none."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.rpc.access import stated_access
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.rpc.tracing import Traces
from qmtl_foundation.settings import Address
from qmtl_foundation.tracing import TRACEPARENT
from tests.support.doors import OpenDoor
from tests.support.recorded import Spans, parent_of, recording_spans
from tests.support.waiting import eventually

READ = "/qmtl.world.v1.WorldService/GetWorld"
WATCH = "/qmtl.apply.v1.ApplyService/WatchApply"
FOLLOW = "/qmtl.control.v1.SessionService/Follow"
STRANGE = "/anything/at-all"
CONTRACTS = (world_service_pb2, apply_service_pb2, session_service_pb2)  # the methods are known once they are loaded
STATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Answer = Callable[[], Awaitable[bytes]]


class Serving(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answer every method as a test says, a watch and a dialogue by a stream of one."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if handler_call_details.method == WATCH:
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if handler_call_details.method == FOLLOW:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._one)

    async def _one(self, _request: bytes, _context: Any) -> bytes:
        return await self._answer()

    async def _stream(self, _requests: Any, _context: Any) -> AsyncIterator[bytes]:
        yield await self._answer()


@asynccontextmanager
async def asked(answer: Answer, *, begins: bool) -> AsyncIterator[tuple[Any, Spans]]:
    with recording_spans() as spans:
        async with (
            serving(
                Address("127.0.0.1", 0),
                [],
                {},
                [OpenDoor()],
                outside=[Traces(begins=begins)],
                handlers=[Serving(answer)],
            ) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield channel, spans


async def _answer(call: Any) -> Any:
    return await call


async def well() -> bytes:
    return b"well"


def raising(error: Exception) -> Answer:
    async def answer() -> bytes:
        raise error

    return answer


@pytest.mark.parametrize(
    ("begins", "stated", "parents"),
    [
        (False, [], []),
        (False, ["nonsense"], []),
        (False, [STATED], [int(STATED[36:52], 16)]),
        (True, [STATED], [int(STATED[36:52], 16)]),
        (True, [], [None]),
        (True, ["nonsense"], [None]),
    ],
)
async def test_an_answer_belongs_to_its_caller_s_trace_or_begins_one_at_the_gateway(
    begins: bool, stated: list[str], parents: list[int | None]
) -> None:
    async with asked(well, begins=begins) as (channel, spans):
        await channel.unary_unary(READ)(b"", metadata=[(TRACEPARENT, each) for each in stated])
    assert [parent_of(each) for each in spans.all] == parents
    assert spans.names == [READ[1:]] * len(parents)


@pytest.mark.parametrize(
    ("answer", "status", "is_fault"),
    [
        (well, "OK", False),
        (raising(QmtlError(Reason.WORLD_NOT_FOUND, "no such world")), "NOT_FOUND", False),
        (raising(QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "NATS is away")), "UNAVAILABLE", True),
        (raising(ZeroDivisionError()), "INTERNAL", True),
    ],
)
async def test_an_answer_says_its_status_and_only_ours_are_faults(answer: Answer, status: str, is_fault: bool) -> None:
    async with asked(answer, begins=True) as (channel, spans):
        call = channel.unary_unary(READ)(b"")
        assert (await call.code()).name == status
    span = spans.one(READ[1:])
    assert (span.attributes or {})["rpc.response.status_code"] == status
    assert (span.status.status_code.name == "ERROR") is is_fault


@pytest.mark.parametrize("streams", [False, True])
async def test_a_caller_that_goes_away_cancels_its_span(streams: bool, caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def waits() -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    async with asked(waits, begins=True) as (channel, spans):
        call = channel.unary_stream(WATCH)(b"") if streams else channel.unary_unary(READ)(b"")
        waiting = asyncio.ensure_future(call.read() if streams else asyncio.wait_for(_answer(call), 30.0))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: spans.all)
    (span,) = spans.all
    assert (span.attributes or {})["rpc.response.status_code"] == "CANCELLED"
    assert "Failed to detach" not in caplog.text


async def test_a_call_that_its_caller_gave_up_in_time_is_late() -> None:
    async def waits() -> bytes:
        await asyncio.Event().wait()
        return b""

    async with asked(waits, begins=True) as (channel, spans):
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(READ)(b"", timeout=0.05)
        await eventually(lambda: spans.all)
    (span,) = spans.all
    assert (span.attributes or {})["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
    assert span.status.description == "DEADLINE_EXCEEDED"


async def test_a_watch_that_is_not_read_and_then_cancelled_ends_in_its_own_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Flooding(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_stream_rpc_method_handler(self._flood)

        async def _flood(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
            while True:
                yield bytes(1_000_000)

    with recording_spans() as spans:
        async with (
            serving(
                Address("127.0.0.1", 0), [], {}, [OpenDoor()], outside=[Traces(begins=True)], handlers=[Flooding()]
            ) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            call = channel.unary_stream(WATCH)(b"")
            await call.read()
            call.cancel()
            await eventually(lambda: gc.collect() >= 0 and spans.all)
    assert "Failed to detach" not in caplog.text


async def test_a_watch_is_a_span_and_a_dialogue_is_none() -> None:
    async with asked(well, begins=True) as (channel, spans):
        assert [each async for each in channel.unary_stream(WATCH)(b"")] == [b"well"]
        assert [each async for each in channel.stream_stream(FOLLOW)(iter([b""]))] == [b"well"]
    assert spans.names == [WATCH[1:]]


def test_the_methods_of_these_tests_are_the_contracts() -> None:
    assert all(stated_access(each).role is not Role.UNSPECIFIED for each in (READ, WATCH, FOLLOW))
    assert stated_access(STRANGE).role is Role.UNSPECIFIED


async def test_a_name_that_no_contract_has_is_no_span() -> None:
    async with asked(well, begins=True) as (channel, spans):
        await channel.unary_unary(STRANGE)(b"")
    assert spans.names == []
