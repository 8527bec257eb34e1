"""The door over a real channel: who is let in to which method, and who is told to the method as its caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest

from qmtl_foundation.auth.keys import Keys
from qmtl_foundation.auth.tokens import Tokens
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.health import CHECK, SERVING
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2, session_service_pb2_grpc
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2, order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2, submission_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2, world_service_pb2_grpc
from qmtl_foundation.rpc.access import MAX_NAMED, MAX_ORDINARY_BYTES
from qmtl_foundation.rpc.admission import Admission, caller, open_admission
from qmtl_foundation.rpc.channel import calling
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address
from qmtl_sdk.local.issuer import Issuer
from tests.support.credentials import Bearing
from tests.support.doors import believing, issuing

ANYWHERE = Address("127.0.0.1", 0)
CALL_SECONDS = 10.0
UNSTATED = "/qmtl.none.v1.NoService/Do"


class Worlds(world_service_pb2_grpc.WorldServiceServicer):
    """Answer who calls."""

    async def GetWorld(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return world_service_pb2.GetWorldResponse(world=world_pb2.World(name=caller().name))

    async def UpdateWorld(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        return world_service_pb2.UpdateWorldResponse()

    async def CreateWorld(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        return world_service_pb2.CreateWorldResponse()

    async def BindStrategy(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        return world_service_pb2.BindStrategyResponse()


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """Take everything."""

    async def PublishIntents(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        return order_service_pb2.PublishIntentsResponse()


class Submissions(submission_service_pb2_grpc.SubmissionServiceServicer):
    """Send one state, then nothing for long."""

    async def WatchSubmission(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the same
        yield submission_service_pb2.WatchSubmissionResponse()
        await asyncio.sleep(60.0)


class Sessions(session_service_pb2_grpc.SessionServiceServicer):
    """Answer each message with a welcome by the caller's name."""

    async def Follow(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the same
        async for _ in requests:
            yield session_service_pb2.FollowResponse(
                welcome=session_service_pb2.Welcome(gateway=caller().name, ttl_ms=1)
            )


class Unstated(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Serve a method that no contract has."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        async def answer(request: Any, context: Any) -> bytes:
            return b"done"

        if handler_call_details.method != UNSTATED:
            return None
        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=lambda content: content)


def _room(file: Any, grpc_file: Any, servicer: Any) -> ServedService:
    (service,) = file.DESCRIPTOR.services_by_name.values()
    return ServedService.of(service, getattr(grpc_file, f"add_{service.name}Servicer_to_server"), servicer)


ROOMS = [
    _room(world_service_pb2, world_service_pb2_grpc, Worlds()),  # type: ignore[abstract]  # a test serves a part of it
    _room(order_service_pb2, order_service_pb2_grpc, Orders()),
    _room(submission_service_pb2, submission_service_pb2_grpc, Submissions()),  # type: ignore[abstract]  # a test serves a part of it
    _room(session_service_pb2, session_service_pb2_grpc, Sessions()),
]


@dataclass(frozen=True, slots=True)
class Served:
    """Reach the server as anybody."""

    port: int
    issuer: Issuer

    @asynccontextmanager
    async def by(self, *permissions: str, name: str = "ann", seconds: float = 600.0) -> AsyncIterator[Any]:
        """Yield a channel whose calls carry a token."""
        async with self.carrying(self.issuer.token(name, permissions, seconds)) as channel:
            yield channel

    @asynccontextmanager
    async def carrying(self, token: str) -> AsyncIterator[Any]:
        """Yield a channel whose calls carry a text as their token."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            yield Bearing(channel, token)


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    with issuing() as issuer:
        async with (
            open_admission(believing(issuer)) as admission,
            serving(ANYWHERE, ROOMS, {}, [admission, Permissions()], handlers=[Unstated()]) as port,
        ):
            yield Served(port, issuer)


async def refusal(call: Callable[[], Any]) -> QmtlError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    error = from_rpc_error(caught.value)
    status = caught.value.code()
    assert status.name in ("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT")
    return error


def get_world(channel: Any, world: str = "w") -> Any:
    stub = world_service_pb2_grpc.WorldServiceStub(channel)
    return stub.GetWorld(world_service_pb2.GetWorldRequest(world=world), timeout=CALL_SECONDS)


async def test_a_reader_of_the_world_is_let_in_and_named_to_the_method(served: Served) -> None:
    async with served.by("w:reader", name="bob") as channel:
        assert (await get_world(channel)).world.name == "bob"


@pytest.mark.parametrize("permissions", [(), ("v:owner",), ("W:reader",)])
async def test_others_are_told_what_they_lack(served: Served, permissions: Sequence[str]) -> None:
    async with served.by(*permissions) as channel:
        error = await refusal(lambda: get_world(channel))
    assert error.reason is Reason.PERMISSION_DENIED
    named = {"world": "w"} if permissions else {}  # who has a role nowhere is refused before the request is read
    assert error.metadata == {"caller": "ann", "needed": "reader", **named}


async def test_without_a_token_nobody_is_let_in_but_health_answers(served: Served) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        error = await refusal(lambda: get_world(channel))
        assert (error.reason, error.metadata) == (Reason.UNAUTHENTICATED, {"fault": "missing"})
        check = channel.unary_unary(CHECK)
        assert await check(b"", timeout=CALL_SECONDS) == SERVING


@pytest.mark.parametrize("stated", [["Basic abc"], ["Bearer "], [""], ["Bearer a.b.c"]])
async def test_what_is_no_token_is_refused(served: Served, stated: Sequence[str]) -> None:
    metadata = tuple(("authorization", each) for each in stated)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        stub = world_service_pb2_grpc.WorldServiceStub(channel)
        request = world_service_pb2.GetWorldRequest(world="w")
        error = await refusal(lambda: stub.GetWorld(request, timeout=CALL_SECONDS, metadata=metadata))
    assert (error.reason, error.metadata) == (Reason.UNAUTHENTICATED, {"fault": "malformed"})


async def test_two_tokens_in_one_call_are_ambiguous(served: Served) -> None:
    good = f"Bearer {served.issuer.token('ann', ['admin'])}"
    metadata = (("authorization", good), ("authorization", good))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        stub = world_service_pb2_grpc.WorldServiceStub(channel)
        request = world_service_pb2.GetWorldRequest(world="w")
        error = await refusal(lambda: stub.GetWorld(request, timeout=CALL_SECONDS, metadata=metadata))
    assert error.metadata == {"fault": "malformed"}


async def test_a_world_left_out_is_a_field_to_mend_not_a_world_that_anyone_may(served: Served) -> None:
    async with served.by("*:owner") as channel:
        error = await refusal(lambda: get_world(channel, ""))
        assert (error.reason, error.metadata["field"]) == (Reason.INVALID_FIELD, "world")
        stub = world_service_pb2_grpc.WorldServiceStub(channel)
        nested = await refusal(lambda: stub.UpdateWorld(world_service_pb2.UpdateWorldRequest(), timeout=CALL_SECONDS))
        assert nested.metadata["field"] == "world.name"


async def test_a_world_in_a_message_of_the_request_counts(served: Served) -> None:
    request = world_service_pb2.UpdateWorldRequest(world=world_pb2.World(name="v"))
    async with served.by("w:owner", "v:operator") as channel:
        stub = world_service_pb2_grpc.WorldServiceStub(channel)
        error = await refusal(lambda: stub.UpdateWorld(request, timeout=CALL_SECONDS))
        assert error.metadata["world"] == "v"
        request.world.name = "w"
        await stub.UpdateWorld(request, timeout=CALL_SECONDS)


@pytest.mark.parametrize(
    ("method", "lets"), [("CreateWorld", "admin"), ("BindStrategy", "service:gateway")], ids=["admin", "service"]
)
async def test_methods_of_the_installation_are_for_administrators_or_services_only(
    served: Served, method: str, lets: str
) -> None:
    request = getattr(world_service_pb2, f"{method}Request")()
    for permission in ("admin", "service:gateway", "service:executor", "*:owner"):
        async with served.by(permission) as channel:
            call = getattr(world_service_pb2_grpc.WorldServiceStub(channel), method)
            if permission == lets:
                await call(request, timeout=CALL_SECONDS)
            else:
                error = await refusal(partial(call, request, timeout=CALL_SECONDS))
                assert (error.reason, error.metadata["needed"]) == (Reason.PERMISSION_DENIED, lets.partition(":")[0])


@pytest.mark.parametrize(
    ("intents", "refused"),
    [
        ([("w", "ann/Trend")], {}),
        ([("w", "ann/Trend"), ("w", "bob/Trend")], {"author": "bob", "world": "w"}),
        ([("w", "ann/Trend"), ("v", "ann/Trend")], {"world": "v"}),
    ],
)
async def test_each_of_several_intents_must_be_ones_own(
    served: Served, intents: Sequence[tuple[str, str]], refused: dict[str, str]
) -> None:
    stated = [intent_pb2.OrderIntent(world=world, strategy_id=strategy) for world, strategy in intents]
    request = order_service_pb2.PublishIntentsRequest(intents=stated)
    async with served.by("w:author", "v:reader") as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        if not refused:
            await stub.PublishIntents(request, timeout=CALL_SECONDS)
            return
        error = await refusal(lambda: stub.PublishIntents(request, timeout=CALL_SECONDS))
    assert error.reason is Reason.PERMISSION_DENIED
    assert refused.items() <= error.metadata.items()


def _hello(strategy: str) -> Any:
    hello = session_service_pb2.Hello(world="w", strategy_id=strategy)
    return session_service_pb2.FollowRequest(hello=hello)


async def test_in_a_dialogue_each_message_that_names_a_strategy_is_judged(served: Served) -> None:
    async with served.by("w:author") as channel:
        call = session_service_pb2_grpc.SessionServiceStub(channel).Follow(timeout=CALL_SECONDS)
        for said in (_hello("ann/Trend"), session_service_pb2.FollowRequest()):
            await call.write(said)
            assert (await call.read()).welcome.gateway == "ann"
        await call.write(_hello("bob/Trend"))
        error = await refusal(call.read)
    assert (error.reason, error.metadata["author"]) == (Reason.PERMISSION_DENIED, "bob")


async def test_a_stream_ends_when_its_token_does(served: Served) -> None:
    request = submission_service_pb2.WatchSubmissionRequest(submission_id="1")
    skew = believing(served.issuer).skew_seconds
    async with served.by("*:reader", seconds=3.0 - skew) as channel:  # of 2 to 3: its end is a whole second
        call = submission_service_pb2_grpc.SubmissionServiceStub(channel).WatchSubmission(request, timeout=CALL_SECONDS)
        await call.read()
        error = await refusal(call.read)
    assert (error.reason, error.metadata) == (Reason.UNAUTHENTICATED, {"fault": "expired"})


async def test_a_method_that_states_nothing_is_for_nobody(served: Served) -> None:
    async with served.by("admin", "service:gateway", "*:owner") as channel:
        error = await refusal(lambda: channel.unary_unary(UNSTATED)(b"", timeout=CALL_SECONDS))
    assert (error.reason, error.metadata["needed"]) == (Reason.PERMISSION_DENIED, "unspecified")


async def test_nothing_is_read_for_a_stranger(served: Served) -> None:
    garbage = b"\xff" * 100
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call = channel.unary_unary("/qmtl.world.v1.WorldService/GetWorld")
        assert (await refusal(lambda: call(garbage, timeout=CALL_SECONDS))).reason is Reason.UNAUTHENTICATED
    async with served.by() as channel:
        call = channel.unary_unary("/qmtl.world.v1.WorldService/GetWorld")
        assert (await refusal(lambda: call(garbage, timeout=CALL_SECONDS))).reason is Reason.PERMISSION_DENIED
    async with served.by("w:reader") as channel:
        call = channel.unary_unary("/qmtl.world.v1.WorldService/GetWorld")
        assert (await refusal(lambda: call(garbage, timeout=CALL_SECONDS))).reason is Reason.INVALID_FIELD


async def test_a_request_is_read_only_up_to_its_size_and_judged_only_up_to_a_number(served: Served) -> None:
    async with served.by("admin") as channel:
        call = channel.unary_unary("/qmtl.order.v1.OrderService/PublishIntents")
        large = await refusal(lambda: call(bytes(MAX_ORDINARY_BYTES + 1), timeout=CALL_SECONDS))
        assert (large.reason, large.metadata["limit"]) == (Reason.TOO_LARGE, str(MAX_ORDINARY_BYTES))
        many = await refusal(lambda: call(b"\x0a\x00" * (MAX_NAMED + 1), timeout=CALL_SECONDS))
        assert (many.reason, many.metadata) == (Reason.TOO_LARGE, {"field": "intents", "limit": str(MAX_NAMED)})


async def test_a_stream_ends_when_the_key_of_its_token_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qmtl_foundation.rpc.admission.RECHECK_SECONDS", 0.01)
    request = submission_service_pb2.WatchSubmissionRequest(submission_id="1")
    with issuing() as issuer, issuing() as other:
        keys = Keys(issuer.jwks.read_bytes, "a test")
        doors = [Admission(Tokens(keys, believing(issuer))), Permissions()]
        async with (
            serving(ANYWHERE, ROOMS, {}, doors) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub = submission_service_pb2_grpc.SubmissionServiceStub(
                Bearing(channel, issuer.token("ann", ["*:reader"]))
            )
            call = stub.WatchSubmission(request, timeout=CALL_SECONDS)
            await call.read()
            issuer.jwks.write_bytes(other.jwks.read_bytes())
            await keys.refresh()
            error = await refusal(call.read)
    assert (error.reason, error.metadata) == (Reason.UNAUTHENTICATED, {"fault": "key"})


async def test_a_service_whose_own_token_is_not_taken_finds_the_dependency_away(served: Served) -> None:
    async with served.by("w:reader") as channel:
        stub = world_service_pb2_grpc.WorldServiceStub(channel)
        with pytest.raises(QmtlError) as caught:
            async with calling("world service"):
                await stub.BindStrategy(world_service_pb2.BindStrategyRequest(), timeout=CALL_SECONDS)
    assert (caught.value.reason, caught.value.metadata) == (
        Reason.DEPENDENCY_UNAVAILABLE,
        {"dependency": "world service"},
    )
