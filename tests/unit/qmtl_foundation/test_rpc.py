"""What every call passes through, over a real channel: reasons as status, deadlines, bytes that are no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from qmtl_foundation.errors import GRPC_STATUS, FieldViolation, QmtlError, Reason
from qmtl_foundation.pb.qmtl.common.v1 import error_reason_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address
from tests.support.doors import OpenDoor

PATH = "/test.Service/Call"
DIALOGUE_PATH = "/test.Service/Talk"
Behaviour = Callable[[Any, grpc.aio.ServicerContext], Awaitable[bytes]]
DialogueBehaviour = Callable[[AsyncIterator[Any], grpc.aio.ServicerContext], AsyncIterator[bytes]]


class Answering(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Serve one method as a test says; its requests are messages of GetWorld."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if handler_call_details.method != PATH:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._behaviour, request_deserializer=world_service_pb2.GetWorldRequest.FromString
        )


@asynccontextmanager
async def calling(behaviour: Behaviour) -> AsyncIterator[Any]:
    """Serve and yield the method's callable."""
    listen = Address("127.0.0.1", 0)
    async with (
        serving(listen, [], {}, [OpenDoor()], handlers=[Answering(behaviour)]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel.unary_unary(PATH)


class Talking(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Serve one method whose requests and responses stream."""

    def __init__(self, behaviour: DialogueBehaviour) -> None:
        self._behaviour = behaviour

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if handler_call_details.method != DIALOGUE_PATH:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._behaviour, request_deserializer=world_service_pb2.GetWorldRequest.FromString
        )


@asynccontextmanager
async def talking(behaviour: DialogueBehaviour) -> AsyncIterator[Any]:
    """Serve and yield one call of the method."""
    async with (
        serving(Address("127.0.0.1", 0), [], {}, [OpenDoor()], handlers=[Talking(behaviour)]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel.stream_stream(DIALOGUE_PATH)(timeout=10)


async def echo(requests: AsyncIterator[Any], _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.world.encode()


async def raised(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details(error: grpc.aio.AioRpcError, kind: Any) -> list[Any]:
    status = rpc_status.from_call(error)
    found = []
    for detail in status.details if status is not None else ():
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_the_contract_and_the_code_name_the_same_reasons() -> None:
    numbers = error_reason_pb2.ErrorReason.items()
    in_contract = {name.removeprefix("ERROR_REASON_") for name, number in numbers if number}
    assert in_contract == {reason.value for reason in Reason} == set(Reason.__members__)


def test_every_reason_has_a_status() -> None:
    assert set(GRPC_STATUS) == set(Reason)
    assert all(hasattr(grpc.StatusCode, name) for name in GRPC_STATUS.values())


@pytest.mark.parametrize("reason", Reason)
async def test_a_reason_arrives_with_its_status_and_details(reason: Reason) -> None:
    sent = QmtlError(reason, "요청 refused", metadata={"field": "x"}, violations=(FieldViolation("x", "is bad"),))

    async def refuse(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        raise sent

    async with calling(refuse) as call:
        error = await raised(call(b""))
    assert error.code().name == GRPC_STATUS[reason]
    assert error.details() == "요청 refused"
    (info,) = details(error, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, "qmtl", {"field": "x"})
    assert len(details(error, error_details_pb2.RetryInfo)) == (error.code() is grpc.StatusCode.UNAVAILABLE)
    back = from_rpc_error(error)
    assert (back.reason, back.message, back.metadata, back.violations) == (
        sent.reason,
        sent.message,
        sent.metadata,
        sent.violations,
    )


async def test_a_fault_of_ours_shows_an_incident_and_nothing_else() -> None:
    async def fail(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        raise ZeroDivisionError("the password is 1234")

    async with calling(fail) as call:
        error = await raised(call(b""))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "1234" not in str(error)
    (info,) = details(error, error_details_pb2.ErrorInfo)
    assert info.metadata["incident"] in (error.details() or "")


async def test_bytes_that_are_no_message_are_an_invalid_request() -> None:
    async def answer(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        return b"never"

    async with calling(answer) as call:
        error = await raised(call(b"\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    (request,) = details(error, error_details_pb2.BadRequest)
    assert request.field_violations[0].field == "request"


async def test_work_ends_with_the_deadline_of_its_caller() -> None:
    ended = asyncio.Event()

    async def wait(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with calling(wait) as call:
        error = await raised(call(b"", timeout=0.05))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_timeout_inside_is_not_the_callers_deadline() -> None:
    async def fail(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        raise TimeoutError

    async with calling(fail) as call:
        assert (await raised(call(b""))).code() is grpc.StatusCode.INTERNAL


async def test_a_dialogue_goes_both_ways() -> None:
    async with talking(echo) as call:
        for name in ("equity", "bonds"):
            await call.write(world_service_pb2.GetWorldRequest(world=name).SerializeToString())
            assert await call.read() == name.encode()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_bytes_that_are_no_message_end_a_dialogue_as_an_invalid_request() -> None:
    async with talking(echo) as call:
        await call.write(world_service_pb2.GetWorldRequest(world="equity").SerializeToString())
        assert await call.read() == b"equity"
        await call.write(b"\xff\xff")
        error = await raised(call.read())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    (request,) = details(error, error_details_pb2.BadRequest)
    assert request.field_violations[0].field == "request"


async def test_what_a_dialogue_raises_arrives_as_its_reason() -> None:
    async def refuse(requests: AsyncIterator[Any], _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"welcome"
        await anext(requests)
        raise QmtlError(Reason.ACKNOWLEDGEMENT_MISMATCH, "another epoch", metadata={"field": "epoch"})

    async with talking(refuse) as call:
        assert await call.read() == b"welcome"
        await call.write(b"")
        back = from_rpc_error(await raised(call.read()))
    assert (back.reason, back.metadata) == (Reason.ACKNOWLEDGEMENT_MISMATCH, {"field": "epoch"})


async def test_a_fault_of_ours_in_a_dialogue_shows_an_incident() -> None:
    async def fail(_requests: AsyncIterator[Any], _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield b"welcome"
        raise ZeroDivisionError("the password is 1234")

    async with talking(fail) as call:
        assert await call.read() == b"welcome"
        error = await raised(call.read())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "1234" not in str(error)


async def test_a_dialogue_ends_when_its_client_goes() -> None:
    ended = asyncio.Event()

    async def talk(requests: AsyncIterator[Any], _context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        try:
            yield b"welcome"
            await anext(requests)
        finally:
            ended.set()

    async with talking(talk) as call:
        assert await call.read() == b"welcome"
        call.cancel()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_an_unknown_reason_of_a_newer_release_is_read_by_its_status() -> None:
    async def refuse(_request: Any, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return b""

    async with calling(refuse) as call:
        assert from_rpc_error(await raised(call(b""))).reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_call_that_a_server_cancels_as_it_ends_may_be_tried_again() -> None:
    async def end(_request: Any, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")  # what grpc answers once a server is being stopped
        return b""

    async with calling(end) as call:
        assert from_rpc_error(await raised(call(b""))).reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_health_follows_a_probe_that_fails_in_any_way() -> None:
    failing: list[BaseException] = []

    async def probe() -> None:
        if failing:
            raise failing[0]

    async with (
        serving(Address("127.0.0.1", 0), [], {"thing": probe}, [OpenDoor()]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
        failing.append(RuntimeError("of any kind"))
        assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        failing.clear()
        assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
        states.cancel()


async def test_draining_lets_a_running_call_end_and_takes_no_new_one() -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Any, _context: grpc.aio.ServicerContext) -> bytes:
        entered.set()
        await may_end.wait()
        return b"done"

    server = serving(Address("127.0.0.1", 0), [], {}, [OpenDoor()], handlers=[Answering(slow)])
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        running = asyncio.ensure_future(channel.unary_unary(PATH)(b""))
        await entered.wait()
        states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.ensure_future(server.__aexit__(None, None, None))
        assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        states.cancel()
        assert not running.done()
        may_end.set()
        assert await running == b"done"
        await draining


async def test_an_address_that_is_taken_is_said_so() -> None:
    async with serving(Address("127.0.0.1", 0), [], {}, [OpenDoor()]) as port:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(Address("127.0.0.1", port), [], {}, [OpenDoor()]):
                pass
