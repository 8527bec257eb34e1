"""Limits of callers over a real channel: what is refused and when again, and whom a noisy caller does not slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2, apply_service_pb2_grpc
from qmtl_foundation.rpc.admission import open_admission
from qmtl_foundation.rpc.limits import Limits, LimitSettings
from qmtl_foundation.rpc.permission import Permissions
from qmtl_foundation.rpc.server import ServedService, serving
from qmtl_foundation.settings import Address
from qmtl_sdk.local.issuer import Issuer
from tests.support.credentials import Bearing
from tests.support.doors import believing, issuing
from tests.support.waiting import becomes, eventually

(APPLY,) = apply_service_pb2.DESCRIPTOR.services_by_name.values()
CALL_SECONDS = 10.0
GET = apply_service_pb2.GetApplyRequest(world="w", run_id="1")
STOP = apply_service_pb2.FreezeWorldRequest(world="w")
WATCH = apply_service_pb2.WatchApplyRequest(world="w", run_id="1")


@dataclass(slots=True)
class Applies(apply_service_pb2_grpc.ApplyServiceServicer):
    """Answer reads once they are let, stops at once, and hold watches."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    reading: int = 0

    async def GetApply(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.reading += 1
        await self.let.wait()
        return apply_service_pb2.GetApplyResponse()

    async def FreezeWorld(self, request: Any, context: Any) -> Any:  # noqa: N802 - the same
        return apply_service_pb2.FreezeWorldResponse()

    async def WatchApply(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the same
        yield apply_service_pb2.WatchApplyResponse()
        await asyncio.sleep(60.0)


@dataclass(slots=True)
class Served:
    """Reach a limited server as anybody; time stands still but for what a test adds."""

    applies: Applies
    channel: Any
    issuer: Issuer
    counted: list[str] = field(default_factory=list)
    now: float = 0.0

    def by(self, name: str, *permissions: str) -> Any:
        token = self.issuer.token(name, permissions or ("admin",))
        return apply_service_pb2_grpc.ApplyServiceStub(Bearing(self.channel, token, CALL_SECONDS))


@asynccontextmanager
async def served(**limits: int) -> AsyncIterator[Served]:
    with issuing() as issuer:
        made = Served(Applies(), None, issuer)  # type: ignore[abstract]  # a test serves a part of it
        limiting = Limits(LimitSettings(**limits), made.counted.append, lambda: made.now)
        room = ServedService.of(APPLY, apply_service_pb2_grpc.add_ApplyServiceServicer_to_server, made.applies)
        async with (
            open_admission(believing(issuer)) as admission,
            serving(Address("127.0.0.1", 0), [room], {}, [admission, limiting, Permissions()]) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            made.channel = channel
            yield made


async def refusal(call: Any) -> tuple[dict[str, str], float]:
    """Return the metadata of a refusal, and after how many seconds to come again."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in rpc_status.from_call(caught.value).details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    assert info.reason == Reason.RATE_LIMITED
    return dict(info.metadata), retry.retry_delay.ToTimedelta().total_seconds()


async def test_beyond_its_rate_a_caller_is_told_when_to_come_again_and_may_then() -> None:
    async with served(calls_per_second=10, burst=3) as made:
        made.applies.let.set()
        ann = made.by("ann")
        for _ in range(3):
            await ann.GetApply(GET)
        metadata, again = await refusal(ann.GetApply(GET))
        assert (metadata["limit"], metadata["allowed"], metadata["caller"]) == ("calls_per_second", "10", "ann")
        assert again == 0.1
        assert made.counted == ["calls_per_second"]
        made.now += again
        await ann.GetApply(GET)
        await refusal(ann.GetApply(GET))


async def test_one_callers_rate_is_not_anothers() -> None:
    async with served(calls_per_second=1, burst=1) as made:
        made.applies.let.set()
        await made.by("ann").GetApply(GET)
        await refusal(made.by("ann").GetApply(GET))
        await made.by("bob").GetApply(GET)


async def test_a_noisy_caller_waits_behind_itself_and_others_go_on() -> None:
    async with served(calls_at_once=2, calls_waiting=3) as made:
        calls = [asyncio.ensure_future(made.by("ann").GetApply(GET)) for _ in range(5)]
        await eventually(lambda: made.applies.reading == 2)
        metadata, again = await refusal(made.by("ann").GetApply(GET))
        assert (metadata["limit"], again) == ("calls_waiting", 0.1)
        other = asyncio.ensure_future(made.by("bob").GetApply(GET))
        await eventually(lambda: made.applies.reading == 3)
        made.applies.let.set()
        await asyncio.gather(other, *calls)
        assert made.applies.reading == 6


async def test_a_call_given_up_gives_its_place_back() -> None:
    async with served(calls_at_once=1, calls_waiting=1) as made:
        stuck = [asyncio.ensure_future(made.by("ann").GetApply(GET)) for _ in range(2)]
        await eventually(lambda: made.applies.reading == 1)
        for call in stuck:
            call.cancel()
        made.applies.let.set()

        async def taken() -> bool:
            try:
                await made.by("ann").GetApply(GET)
            except grpc.aio.AioRpcError:
                return False
            return True

        await becomes(taken, wanted=True)


async def test_an_emergency_stop_is_refused_by_no_limit() -> None:
    async with served(calls_per_second=1, burst=1, calls_at_once=1, calls_waiting=0) as made:
        stuck = asyncio.ensure_future(made.by("ann").GetApply(GET))
        await eventually(lambda: made.applies.reading == 1)
        await refusal(made.by("ann").GetApply(GET))
        for _ in range(20):
            await made.by("ann").FreezeWorld(STOP)
        made.applies.let.set()
        await stuck


async def test_services_are_not_held_to_it() -> None:
    async with served(calls_per_second=1, burst=1) as made:
        made.applies.let.set()
        for _ in range(10):
            await made.by("gateway", "service:gateway").GetApply(GET)


async def test_streams_are_counted_while_they_live() -> None:
    async with served(streams=1) as made:
        watch = made.by("ann").WatchApply(WATCH)
        await watch.read()
        second = made.by("ann").WatchApply(WATCH)
        metadata, _ = await refusal(second.read())
        assert metadata["limit"] == "streams"
        watch.cancel()

        async def free() -> bool:
            again = made.by("ann").WatchApply(WATCH)
            try:
                await again.read()
            except grpc.aio.AioRpcError:
                return False
            again.cancel()
            return True

        await becomes(free, wanted=True)


async def test_callers_that_are_idle_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qmtl_foundation.rpc.limits.CALLERS_KEPT", 2)
    async with served(calls_per_second=1, burst=1) as made:
        made.applies.let.set()
        for name in ("ann", "bob", "cat"):
            await made.by(name).GetApply(GET)
        await made.by("ann").GetApply(GET)  # forgotten, and so with a full bucket


@pytest.mark.parametrize("name", ["calls_per_second", "burst", "calls_at_once", "streams"])
def test_limits_under_which_nobody_could_call_are_refused(name: str) -> None:
    with pytest.raises(QmtlError) as caught:
        LimitSettings(**{name: 0})
    assert caught.value.metadata == {"setting": f"QMTL_LIMITS_{name.upper()}"}
