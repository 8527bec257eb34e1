"""How worlds are read, each by itself: what becomes of one that goes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2 import GetApplyRequest, GetApplyResponse
from qmtl_foundation.pb.qmtl.world.v1.world_pb2 import World
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2 import (
    GetWorldStatusRequest,
    GetWorldStatusResponse,
    ListWorldsRequest,
    ListWorldsResponse,
)
from qmtl_foundation.rpc.server import serving
from qmtl_foundation.settings import Address
from qmtl_sdk.client.gateway import connect
from qmtl_sdk.top.desk import Desk, read_desk
from tests.support.doors import OpenDoor

GOING: Final = "going"
STAYING: Final = "staying"
GONE: Final = (Reason.WORLD_NOT_FOUND, Reason.RUN_NOT_FOUND, Reason.PERMISSION_DENIED)


class Worlds(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Serve two worlds, one of which is refused as soon as a method is asked of it; it has a run until then."""

    def __init__(self, refused: str, reason: Reason) -> None:
        self._refused, self._reason = refused, reason
        self._methods: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
            "ListWorlds": (ListWorldsRequest, lambda _: ListWorldsResponse(worlds=map(_world, (GOING, STAYING)))),
            "GetWorldStatus": (GetWorldStatusRequest, _status),
            "GetApply": (GetApplyRequest, lambda _: GetApplyResponse()),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method.rpartition("/")[2]
        if method not in self._methods:
            return None
        kind, behaviour = self._methods[method]

        async def answer(request: Any, _context: grpc.aio.ServicerContext) -> bytes:
            if method == self._refused and request.world == GOING:
                raise QmtlError(self._reason, "it is gone")
            found: bytes = behaviour(request).SerializeToString()
            return found

        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=kind.FromString)


def _world(name: str) -> World:
    return World(name=name)


def _status(request: GetWorldStatusRequest) -> GetWorldStatusResponse:
    return GetWorldStatusResponse(world=_world(request.world), run_id="r1" if request.world == GOING else "")


async def desk(refused: str, reason: Reason, *named: str) -> Desk:
    """Return what is read of the worlds by a gateway that refuses a method of one."""
    async with (
        serving(Address("127.0.0.1", 0), [], {}, [OpenDoor()], handlers=[Worlds(refused, reason)]) as port,
        connect(Address("127.0.0.1", port), patience_s=0.0, token=lambda: "") as client,
    ):
        return await read_desk(client, named)


@pytest.mark.parametrize("method", ["GetWorldStatus", "GetApply"])
@pytest.mark.parametrize("reason", GONE)
async def test_a_world_that_goes_while_it_is_read_leaves_the_others(method: str, reason: Reason) -> None:
    found = await desk(method, reason)
    assert ([each.name for each in found.worlds], found.runs) == ([STAYING], ())


@pytest.mark.parametrize("method", ["GetWorldStatus", "GetApply"])
async def test_a_world_that_is_named_and_gone_is_told(method: str) -> None:
    with pytest.raises(QmtlError, match="it is gone"):
        await desk(method, Reason.WORLD_NOT_FOUND, GOING)


async def test_any_other_refusal_is_told() -> None:
    with pytest.raises(QmtlError) as caught:
        await desk("GetApply", Reason.INVALID_FIELD)
    assert caught.value.reason is Reason.INVALID_FIELD
