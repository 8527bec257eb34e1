"""Forwarding as bytes, between real servers: what passes through, what does not, and when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.rpc.channel import open_channel
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.rpc.status import abort
from qmtl_foundation.rpc.tracing import Traces
from qmtl_foundation.settings import Address
from qmtl_foundation.tracing import TRACEPARENT
from qmtl_gateway.forwarding.handler import Forwarder, Upstream, public_methods
from tests.support.desk import read_refusal
from tests.support.doors import OpenDoor
from tests.support.recorded import id_of, parent_of, recording_spans

PATH = "/qmtl.world.v1.WorldService/GetWorld"
WORLD = world_service_pb2.DESCRIPTOR.services_by_name["WorldService"]
GRAPH = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"]
APPLY = apply_service_pb2.DESCRIPTOR.services_by_name["ApplyService"]
SESSION = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
WATCH = "/qmtl.apply.v1.ApplyService/WatchApply"
STATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANYWHERE = Address("127.0.0.1", 0)
SPANS = Traces(begins=False)

Behaviour = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


class Upstreamed(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Stand where the world service would, and answer as a test says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return self._handler


@asynccontextmanager
async def forwarding(behaviour: Behaviour, options: Sequence[tuple[str, int]] = ()) -> AsyncIterator[grpc.aio.Channel]:
    """Serve upstream and forwarder, and yield a channel to the forwarder."""
    async with (
        serving(ANYWHERE, [], {}, [OpenDoor()], outside=[SPANS], handlers=[Upstreamed(behaviour)]) as upstream_port,
        open_channel(Address("127.0.0.1", upstream_port)) as upstream,
        serving(
            ANYWHERE,
            [],
            {},
            [OpenDoor()],
            outside=[SPANS],
            handlers=[Forwarder([Upstream("world service", upstream, [WORLD])])],
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel,
    ):
        yield channel


async def raised(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_the_allow_list_is_what_the_contract_calls_public() -> None:
    methods = [each.path for each in public_methods([WORLD, GRAPH])]
    assert "/qmtl.world.v1.WorldService/GetWorld" in methods
    assert "/qmtl.graph.v1.GraphService/GetNode" in methods
    assert "/qmtl.world.v1.WorldService/BindStrategy" not in methods
    assert "/qmtl.graph.v1.GraphService/Diff" not in methods
    assert [each.path for each in public_methods([APPLY]) if each.answers_stream] == [WATCH]
    with pytest.raises(TypeError, match="Follow takes a stream"):
        public_methods([SESSION])


async def test_bytes_and_metadata_pass_both_ways_and_the_hop_s_own_do_not() -> None:
    seen: dict[str, str | bytes] = {}

    async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.update(dict(context.invocation_metadata() or ()))
        await context.send_initial_metadata((("x-initial", "1"),))
        context.set_trailing_metadata((("x-trailing-bin", b"\x00\xff"),))
        return request[::-1]

    async with forwarding(answer) as channel:
        call = channel.unary_unary(PATH)(b"\x00\xffabc", metadata=(("x-trace", "7"), ("x-raw-bin", b"\x01")))
        assert await call == b"cba\xff\x00"
        assert dict(await call.initial_metadata())["x-initial"] == "1"
        assert dict(await call.trailing_metadata())["x-trailing-bin"] == b"\x00\xff"
    assert (seen["x-trace"], seen["x-raw-bin"]) == ("7", b"\x01")
    assert str(seen["user-agent"]).startswith("grpc-python-asyncio")


async def test_what_is_forwarded_belongs_to_the_gateway_s_answer() -> None:
    seen: list[str] = []

    async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.extend(str(value) for name, value in context.invocation_metadata() or () if name == TRACEPARENT)
        return b""

    with recording_spans() as spans:
        async with forwarding(answer) as channel:
            await channel.unary_unary(PATH)(b"", metadata=((TRACEPARENT, STATED), ("tracestate", "desk=1")))
            await channel.unary_unary(PATH)(b"", metadata=())
    upstream, gateway = spans.all
    assert (upstream.name, gateway.name) == (PATH[1:], PATH[1:])
    assert (parent_of(upstream), parent_of(gateway)) == (id_of(gateway), int(STATED[36:52], 16))
    assert seen == [f"{STATED[:36]}{id_of(gateway):016x}-01"]


async def test_a_refusal_passes_with_its_details_and_trailing_metadata() -> None:
    async def refuse(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-extra", "1"),))
        await abort(context, QmtlError(Reason.WORLD_NOT_FOUND, "없다", metadata={"world": "w"}))
        return b""

    async with forwarding(refuse) as channel:
        error = await raised(channel.unary_unary(PATH)(b""))
    found = read_refusal(error)
    assert (found.code, found.message, found.reason) == (grpc.StatusCode.NOT_FOUND, "없다", "WORLD_NOT_FOUND")
    assert found.metadata == {"world": "w"}
    assert len(rpc_status.from_call(error).details) == 1


async def test_a_call_that_an_upstream_cancels_as_it_ends_may_be_tried_again() -> None:
    async def end(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")  # what grpc answers once a server is being stopped
        return b""

    async with forwarding(end) as channel:
        found = read_refusal(await raised(channel.unary_unary(PATH)(b"")))
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert found.metadata == {"dependency": "world service"}


async def test_the_deadline_reaches_upstream_and_so_does_a_cancellation() -> None:
    remaining: list[float | None] = []
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        remaining.append(context.time_remaining())
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    async with forwarding(wait) as channel, asyncio.timeout(10):
        error = await raised(channel.unary_unary(PATH)(b"", timeout=0.2))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert remaining[0] is not None
        assert 0.0 < remaining[0] < 0.3
        await cancelled.wait()
        entered.clear()
        cancelled.clear()
        call = channel.unary_unary(PATH)(b"")
        await entered.wait()
        call.cancel()
        await cancelled.wait()


async def test_a_message_above_the_limit_is_refused_and_one_below_passes() -> None:
    async def count(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        return str(len(request)).encode()

    async with forwarding(count, [("grpc.max_send_message_length", -1)]) as channel:
        below = 32 * 1024 * 1024
        assert await channel.unary_unary(PATH)(bytes(below)) == str(below).encode()
        error = await raised(channel.unary_unary(PATH)(bytes(below + 1)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_upstream_that_is_away_is_unavailable_by_name() -> None:
    async with (
        open_channel(Address("127.0.0.1", 1)) as upstream,
        serving(
            ANYWHERE, [], {}, [OpenDoor()], handlers=[Forwarder([Upstream("world service", upstream, [WORLD])])]
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        found = read_refusal(await raised(channel.unary_unary(PATH)(b"")))
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert found.metadata == {"dependency": "world service"}


@pytest.mark.parametrize(
    "path",
    [
        "/qmtl.world.v1.WorldService/BindStrategy",
        "/qmtl.graph.v1.GraphService/Diff",
        "/qmtl.world.v1.WorldService/Nothing",
        "/Nonsense",
    ],
)
async def test_what_is_not_public_is_not_served_and_says_so(path: str) -> None:
    async def never(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        raise AssertionError("it was forwarded")

    async with forwarding(never) as channel:
        found = read_refusal(await raised(channel.unary_unary(path)(b"")))
        assert (found.code, found.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_SERVED")
        assert found.metadata == {"method": path}
        stream = channel.stream_stream(path)
        error = await raised(stream(iter([b""])).read())
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_whose_connection_is_closed_for_a_newer_one_is_told_to_try_again() -> None:
    begun = asyncio.Event()

    async def stuck(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        begun.set()
        await asyncio.sleep(60.0)
        return b""

    async with (
        serving(ANYWHERE, [], {}, [OpenDoor()], handlers=[Upstreamed(stuck)]) as upstream_port,
        grpc.aio.insecure_channel(f"127.0.0.1:{upstream_port}") as upstream,
        serving(
            ANYWHERE, [], {}, [OpenDoor()], handlers=[Forwarder([Upstream("world service", upstream, [WORLD])])]
        ) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.unary_unary(PATH)(b"", timeout=20.0)
        await begun.wait()
        await upstream.close()
        refused = read_refusal(await raised(call))
    assert (refused.code, refused.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "world service"})
