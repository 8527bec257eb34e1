"""What strangers may hold of a server by health and reflection, which ask nobody for a token."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from qmtl_foundation.errors import Reason
from qmtl_foundation.rpc import server
from qmtl_foundation.rpc.open_streams import MAX_OPEN_STREAMS
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address
from tests.support.beside import free_port
from tests.support.doors import OpenDoor
from tests.support.stingy import stingy_client

ANYWHERE = Address("127.0.0.1", 0)
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CALL_SECONDS = 10.0


async def test_a_watcher_that_takes_no_answer_holds_up_neither_health_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "DRAIN_SECONDS", 0.0)
    failing: list[OSError] = []

    async def probe() -> None:
        if failing:
            raise failing[0]

    async with asyncio.timeout(CALL_SECONDS):
        running = serving(ANYWHERE, [], {"thing": probe}, [OpenDoor()])
        port = await running.__aenter__()
        async with stingy_client(port) as stingy, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await stingy.call(WATCH, HealthCheckRequest().SerializeToString())
            states = HealthStub(channel).Watch(HealthCheckRequest())
            assert (await states.read()).status == HealthCheckResponse.SERVING
            failing.append(OSError("away"))
            assert (await states.read()).status == HealthCheckResponse.NOT_SERVING
            states.cancel()
            await running.__aexit__(None, None, None)


@pytest.mark.parametrize("method", [WATCH, REFLECTION])
async def test_strangers_hold_so_many_streams_and_single_questions_are_answered(method: str) -> None:
    async def refused(channel: grpc.aio.Channel) -> bool:
        call = channel.stream_stream(method)()
        try:
            await call.write(b"\x3a\x00" if method == REFLECTION else b"")  # list_services
            return await call.read() is grpc.aio.EOF
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error).reason is Reason.RATE_LIMITED
        finally:
            call.cancel()

    async with (
        asyncio.timeout(CALL_SECONDS),
        serving(ANYWHERE, [], {}, [OpenDoor()]) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        held = []
        for _ in range(MAX_OPEN_STREAMS):
            call = channel.stream_stream(method)()
            await call.write(b"\x3a\x00" if method == REFLECTION else b"")
            await call.read()
            held.append(call)
        assert await refused(channel)
        assert (await HealthStub(channel).Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
        held.pop().cancel()
        while await refused(channel):
            pass
        for call in held:
            call.cancel()


async def test_a_connection_to_health_alone_has_few_calls_at_once() -> None:
    listen = Address("127.0.0.1", free_port())
    async with (
        asyncio.timeout(CALL_SECONDS),
        serving(ANYWHERE, [], {}, [OpenDoor()], health_listen=listen),
        stingy_client(listen.port) as stingy,
    ):
        assert stingy.http2.remote_settings.max_concurrent_streams == 16
