"""Calls as they are measured, over a real channel: by method, kind and the status that the caller got."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.rpc.durations import OTHER, STREAM, UNARY, Durations
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from tests.support.doors import OpenDoor
from tests.support.waiting import eventually

SUBMISSIONS: Final = submission_service_pb2.DESCRIPTOR.services_by_name["SubmissionService"].full_name
METHOD: Final = f"{SUBMISSIONS}/GetSubmission"
WATCH: Final = f"{SUBMISSIONS}/WatchSubmission"
STRANGE: Final = "strange.Service/Method"
SECONDS: Final = 10.0

Behaviour = Callable[[bytes, grpc.aio.ServicerContext], Any]
Counted = Counter[tuple[str, str, str]]


class Serving(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Serve methods as a test says, and every other one by the first of them, as a gateway does."""

    def __init__(self, one: Behaviour, stream: Behaviour | None) -> None:
        self._one = one
        self._stream = stream

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if handler_call_details.method == f"/{WATCH}":
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._one)


class Measured:
    """Reach a server whose calls are measured."""

    def __init__(self, channel: Any, reader: InMemoryMetricReader) -> None:
        self.channel = channel
        self._reader = reader

    def points(self) -> Iterator[HistogramDataPoint]:
        """Give what was measured so far."""
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.name == "rpc_duration_ms"
                    yield from (each for each in metric.data.data_points if isinstance(each, HistogramDataPoint))

    def counted(self) -> Counted:
        """Return how many calls were measured, by method, kind and code."""
        return Counter({_labels(each.attributes or {}): each.count for each in self.points()})

    async def ended(self, *wanted: tuple[str, str, str]) -> None:
        """Wait until exactly these calls were measured: a client has its answer before the server is done with it."""
        await eventually(lambda: self.counted() == Counter(wanted), SECONDS)


def _labels(attributes: Mapping[str, Any]) -> tuple[str, str, str]:
    assert set(attributes) == {"method", "kind", "code"}
    return attributes["method"], attributes["kind"], attributes["code"]


@asynccontextmanager
async def measured(
    one: Behaviour, stream: Behaviour | None = None, monotonic: Callable[[], float] = time.perf_counter
) -> AsyncIterator[Measured]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    outside = [Durations(provider.get_meter("test"), monotonic)]
    async with (
        serving(
            Address("127.0.0.1", 0), [], {}, [OpenDoor()], outside=outside, handlers=[Serving(one, stream)]
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Measured(channel, reader)
    provider.shutdown()


async def answer(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    return b""


async def refuse(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    raise QmtlError(Reason.WORLD_NOT_FOUND, "there is no such world")


async def fail(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    raise ZeroDivisionError


async def pass_on(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.ABORTED, "as another service said")
    return b""


async def stand_still(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    await asyncio.Event().wait()
    return b""


async def failed(call: Awaitable[object]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return str(caught.value.code().name)


async def test_calls_are_counted_by_the_method_that_answered() -> None:
    async with measured(answer) as server:
        for _ in range(3):
            await server.channel.unary_unary(f"/{METHOD}")(b"", timeout=SECONDS)
        await server.ended(*[(METHOD, UNARY, "OK")] * 3)


@pytest.mark.parametrize(
    ("behaviour", "code"), [(refuse, "NOT_FOUND"), (fail, "INTERNAL"), (pass_on, "ABORTED")], ids=lambda it: str(it)
)
async def test_a_call_that_failed_counts_under_the_status_that_its_caller_got(behaviour: Behaviour, code: str) -> None:
    async with measured(behaviour) as server:
        assert await failed(server.channel.unary_unary(f"/{METHOD}")(b"", timeout=SECONDS)) == code
        await server.ended((METHOD, UNARY, code))


async def test_a_call_that_was_too_late_counts_as_that() -> None:
    async with measured(stand_still) as server:
        assert await failed(server.channel.unary_unary(f"/{METHOD}")(b"", timeout=0.05)) == "DEADLINE_EXCEEDED"
        await server.ended((METHOD, UNARY, "DEADLINE_EXCEEDED"))


async def test_a_call_whose_caller_went_away_counts_as_cancelled() -> None:
    begun = asyncio.Event()

    async def wait(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        begun.set()
        return await stand_still(request, context)

    async with measured(wait) as server:
        call = server.channel.unary_unary(f"/{METHOD}")(b"")
        async with asyncio.timeout(SECONDS):
            await begun.wait()
        call.cancel()
        await server.ended((METHOD, UNARY, "CANCELLED"))


async def test_how_long_a_call_took_is_in_milliseconds() -> None:
    now = 100.0

    async def work(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        nonlocal now
        now += 0.25
        return b""

    async with measured(work, monotonic=lambda: now) as server:
        await server.channel.unary_unary(f"/{METHOD}")(b"", timeout=SECONDS)
        await server.ended((METHOD, UNARY, "OK"))
        assert [each.sum for each in server.points()] == [250.0]


async def test_a_stream_is_told_apart_since_it_lasts_as_long_as_its_caller_wants() -> None:
    async def tell(_request: bytes, _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with measured(answer, tell) as server:
        assert [each async for each in server.channel.unary_stream(f"/{WATCH}")(b"", timeout=SECONDS)] == [
            b"one",
            b"two",
        ]
        await server.ended((WATCH, STREAM, "OK"))


async def test_a_stream_that_its_caller_left_and_one_that_was_refused_count_as_that() -> None:
    async def tell(request: bytes, _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"one"
        if request:
            raise QmtlError(Reason.SUBMISSION_NOT_FOUND, "there is no such submission")
        await asyncio.Event().wait()

    async with measured(answer, tell) as server:
        left = server.channel.unary_stream(f"/{WATCH}")(b"")
        assert await left.read() == b"one"
        left.cancel()
        await server.ended((WATCH, STREAM, "CANCELLED"))
        refused = server.channel.unary_stream(f"/{WATCH}")(b"refuse", timeout=SECONDS)
        assert await refused.read() == b"one"
        assert await failed(refused.read()) == "NOT_FOUND"
        await server.ended((WATCH, STREAM, "CANCELLED"), (WATCH, STREAM, "NOT_FOUND"))


async def test_methods_that_no_contract_has_are_one_value_of_the_label() -> None:
    async with measured(answer) as server:
        for number in range(3):
            await server.channel.unary_unary(f"/{STRANGE}{number}")(b"", timeout=SECONDS)
        await server.ended(*[(OTHER, UNARY, "OK")] * 3)


async def test_probes_are_not_measured() -> None:
    async with measured(answer) as server:
        await health_pb2_grpc.HealthStub(server.channel).Check(HealthCheckRequest(), timeout=SECONDS)
        await server.channel.unary_unary(f"/{METHOD}")(b"", timeout=SECONDS)
        await server.ended((METHOD, UNARY, "OK"))
