"""Health alone, in plain text beside an encrypted server: what Kubernetes' probes ask, which speak no TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qmtl_foundation.rpc.credentials import server_credentials
from qmtl_foundation.rpc.health import LIVE, Probe
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from qmtl_foundation.tls import Certificates, TlsSettings
from qmtl_sdk.local.certificates import AUTHORITY, make_certificates, pair_of
from tests.support.beside import free_port
from tests.support.doors import OpenDoor

ANYWHERE = Address("127.0.0.1", 0)
CALL_SECONDS = 10.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def free_address() -> Address:
    return Address("127.0.0.1", free_port())


@asynccontextmanager
async def health_of(folder: Path, probes: dict[str, Probe]) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    """Serve under mutual TLS and yield a client of the health listener, which shows no certificate."""
    (pair,) = make_certificates(folder, ["world"])
    ca = pair_of(folder, AUTHORITY).certificate
    credentials = server_credentials(
        Certificates(TlsSettings(str(pair.certificate), str(pair.key), str(ca))), mutual=True
    )
    listen = free_address()
    async with (
        serving(ANYWHERE, [], probes, [OpenDoor()], credentials, health_listen=listen),
        grpc.aio.insecure_channel(str(listen)) as channel,
    ):
        yield health_pb2_grpc.HealthStub(channel)


async def status(health: health_pb2_grpc.HealthStub, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return int((await health.Check(request, timeout=CALL_SECONDS)).status)


async def test_a_probe_without_tls_hears_what_the_encrypted_server_says(tmp_path: Path) -> None:
    failing: list[OSError] = []

    async def probe() -> None:
        if failing:
            raise failing[0]

    async with health_of(tmp_path, {"thing": probe}) as health:
        states = health.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        assert (await states.read()).status == SERVING
        failing.append(OSError("away"))
        assert (await states.read()).status == NOT_SERVING
        assert await status(health, "thing") == NOT_SERVING
        states.cancel()


async def test_a_process_whose_dependency_is_away_is_live(tmp_path: Path) -> None:
    async def probe() -> None:
        raise OSError("away")

    async with health_of(tmp_path, {"thing": probe}) as health:
        assert await status(health, "") == NOT_SERVING
        assert await status(health, LIVE) == SERVING


async def test_nothing_but_health_is_served_in_plain_text(tmp_path: Path) -> None:
    listen = free_address()
    async with (
        serving(ANYWHERE, [], {}, [OpenDoor()], health_listen=listen),
        grpc.aio.insecure_channel(str(listen)) as channel,
    ):
        for method in ("/qmtl.world.v1.WorldService/GetWorld", "/grpc.reflection.v1alpha.ServerReflection/Info"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(b"", timeout=CALL_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_readiness_is_denied_and_answered_while_the_server_drains() -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    class Slow(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            async def slow(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
                entered.set()
                await may_end.wait()
                return b"done"

            return grpc.unary_unary_rpc_method_handler(slow)

    listen = free_address()
    server = serving(ANYWHERE, [], {}, [OpenDoor()], handlers=[Slow()], health_listen=listen)
    port = await server.__aenter__()
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        grpc.aio.insecure_channel(str(listen)) as probing,
    ):
        running = asyncio.ensure_future(channel.unary_unary("/test.Service/Call")(b"", timeout=CALL_SECONDS))
        await entered.wait()
        states = health_pb2_grpc.HealthStub(probing).Watch(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        assert (await states.read()).status == SERVING
        draining = asyncio.ensure_future(server.__aexit__(None, None, None))
        assert (await states.read()).status == NOT_SERVING
        assert await status(health_pb2_grpc.HealthStub(probing), "") == NOT_SERVING
        states.cancel()
        may_end.set()
        assert await running == b"done"
        await draining


async def test_an_address_of_health_that_is_taken_is_said_so() -> None:
    async with serving(ANYWHERE, [], {}, [OpenDoor()]) as port:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(ANYWHERE, [], {}, [OpenDoor()], health_listen=Address("127.0.0.1", port)):
                pass
