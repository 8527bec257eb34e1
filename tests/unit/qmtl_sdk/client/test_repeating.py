"""Calls of the SDK are repeated while what answers is being replaced."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from qmtl_sdk._pb.qmtl.world.v1 import GetWorldRequest, GetWorldResponse
from qmtl_sdk.client.gateway import connect
from tests.support.doors import OpenDoor

ATTEMPTS = 300  # in some of which the connection ends between two steps of the driver


class Ending(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Cancel the first calls, as a server does that is being stopped, and answer the next."""

    def __init__(self, cancelled: int) -> None:
        self.left = cancelled

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not handler_call_details.method.endswith("/GetWorld"):
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, _request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if self.left:
            self.left -= 1
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return bytes(GetWorldResponse())


@contextmanager
def resetting() -> Iterator[int]:
    """Yield the port of a server that resets each connection at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)

        def serve() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


async def test_a_connection_that_ends_as_soon_as_it_is_made_is_a_gateway_that_does_not_answer() -> None:
    with resetting() as port:
        for _ in range(ATTEMPTS):
            async with connect(Address("127.0.0.1", port), patience_s=0.0, token=lambda: "") as client:
                with pytest.raises(QmtlError) as failed:
                    await client.call(partial(client.worlds.get_world, GetWorldRequest(world="w")))
                assert failed.value.reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_call_that_an_ending_server_cancels_is_repeated() -> None:
    ending = Ending(2)
    listen = Address("127.0.0.1", 0)

    async def read(client: Any) -> GetWorldResponse:
        found: GetWorldResponse = await client.worlds.get_world(GetWorldRequest(world="w"))
        return found

    async with (
        serving(listen, [], {}, [OpenDoor()], handlers=[ending]) as port,
        connect(Address("127.0.0.1", port), token=lambda: "") as client,
    ):
        assert await client.call(lambda: read(client)) == GetWorldResponse()
    assert ending.left == 0
