"""Calls of the SDK are repeated while what answers is being replaced."""

from __future__ import annotations

from typing import Any

import grpc

from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from qmtl_sdk._pb.qmtl.world.v1 import GetWorldRequest, GetWorldResponse
from qmtl_sdk.client.gateway import connect
from tests.support.doors import OpenDoor


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
