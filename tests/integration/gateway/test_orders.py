"""Order ingress over a real channel and a real nats-server: what is stored, what is not, and what is unclear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from qmtl_foundation.errors import Reason
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.jetstream.streams import MARK_HEADROOM_BYTES, ORDERS, mark_subject, order_stream
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_gateway.orders.service import REFUSALS
from qmtl_gateway.sessions.model import Phase
from tests.support.broker import Broker
from tests.support.desk import metrics, read_refusal
from tests.support.intents import EPOCH, WORLD, order_gate, order_intent, order_intents
from tests.support.order_ingress import Ingress, order_ingress
from tests.support.stack import lasting_dir
from tests.support.waiting import becomes, eventually

__all__ = ["lasting_dir"]

ANSWER_SECONDS = 0.5  # after which a publish is unclear, in tests that wait for it
ROOM_BYTES = 2_000


@pytest.fixture
async def ingress(nats_url: str) -> AsyncIterator[Ingress]:
    """Give an order service on a stream of its own."""
    async with open_bus(nats_url, "test") as bus, order_ingress(bus) as served:
        yield served


@pytest.fixture
def broker(lasting_dir: Path) -> Broker:
    """Give a nats-server of the test's own."""
    return Broker(lasting_dir)


async def test_what_is_stored_is_what_was_sent_in_the_order_of_the_request(ingress: Ingress) -> None:
    sent = [*order_intents(150), *(order_intent("S0", bar=bar, target=-1.0) for bar in range(1, 4))]
    positions = await ingress.publish(sent)
    assert positions == list(range(1, len(sent) + 1))
    assert await ingress.stored() == [each.SerializeToString() for each in sent]
    assert ingress.counted() == {"orders_accepted_total": len(sent)}


async def test_requests_at_once_keep_each_its_order(ingress: Ingress) -> None:
    requests = [order_intents(70, bar=bar) for bar in range(8)]
    answers = await asyncio.gather(*(ingress.publish(each) for each in requests))
    stored = await ingress.stored()
    for request, positions in zip(requests, answers, strict=True):
        assert positions == sorted(positions)
        assert [stored[position - 1] for position in positions] == [each.SerializeToString() for each in request]


async def test_a_repetition_is_stored_again_for_the_executor_to_know(ingress: Ingress) -> None:
    sent = order_intents(2)
    assert [await ingress.publish(sent), await ingress.publish(sent)] == [[1, 2], [3, 4]]


async def test_messages_carry_no_header_that_could_swallow_a_repetition(ingress: Ingress) -> None:
    await ingress.publish([order_intent()])
    assert not (await ingress.bus.jetstream.get_msg(ORDERS, 1)).headers


async def test_every_reason_is_exported_before_anything_was_refused(ingress: Ingress) -> None:
    exposed = metrics(ingress.metrics_address)
    assert exposed["orders_accepted_total"] == 0.0
    assert {name: exposed.get(f"orders_refused_total/{name}") for name in REFUSALS} == dict.fromkeys(REFUSALS, 0.0)


async def test_a_closed_gate_stores_nothing_and_says_why(ingress: Ingress) -> None:
    ingress.gates.gate = order_gate(Phase.FREEZE, holds=("operator",))
    refused = await ingress.refusal(order_intents(3))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, Reason.GATE_CLOSED)
    assert refused.metadata == {"world": WORLD, "phase": "freeze", "run_id": "run-7", "holds": "operator"}
    assert await ingress.stored() == []
    assert ingress.counted() == {"orders_refused_total/GATE_CLOSED": 3.0}


async def test_a_world_that_was_not_known_is_learnt_of_before_it_is_judged(ingress: Ingress) -> None:
    ingress.gates.gate, ingress.gates.learnt = None, order_gate(Phase.SWITCH)
    assert (await ingress.refusal([order_intent()])).metadata["phase"] == "switch"
    ingress.gates.gate, ingress.gates.learnt = None, order_gate()
    assert await ingress.publish([order_intent()]) == [1]
    ingress.gates.gate, ingress.gates.learnt = None, None
    assert (await ingress.refusal([order_intent(bar=1)])).metadata["phase"] == "unknown"


async def test_refusals_have_their_status_and_are_counted_by_reason(ingress: Ingress) -> None:
    await ingress.publish([order_intent("KNOWN")])
    live = execution_pb2.EFFECTIVE_MODE_LIVE
    cases: dict[Reason, Any] = {
        Reason.INVALID_FIELD: (grpc.StatusCode.INVALID_ARGUMENT, []),
        Reason.EPOCH_MISMATCH: (grpc.StatusCode.FAILED_PRECONDITION, [order_intent(epoch=EPOCH - 1)]),
        Reason.ACTIVATION_MISMATCH: (grpc.StatusCode.FAILED_PRECONDITION, [order_intent(mode=live)]),
        Reason.INTENT_EXISTS: (grpc.StatusCode.ALREADY_EXISTS, [order_intent("KNOWN", target=0.5)]),
    }
    for reason, (code, intents) in cases.items():
        refused = await ingress.refusal(intents)
        assert (refused.code, refused.reason) == (code, reason)
    assert len(await ingress.stored()) == 1
    counts = {f"orders_refused_total/{reason}": 1.0 for reason in cases}
    assert ingress.counted() == {"orders_accepted_total": 1.0, **counts}


async def test_a_request_beyond_the_bound_and_one_bad_intent_among_many_store_nothing(ingress: Ingress) -> None:
    many = order_intents(1_001)
    assert (await ingress.refusal(many)).reason == Reason.INVALID_FIELD
    refused = await ingress.refusal([*many[:999], order_intent(target=2.0)])
    assert refused.metadata["field"] == "intents[999].target"
    assert await ingress.stored() == []
    assert await ingress.publish(many[:1_000]) == list(range(1, 1_001))


async def test_ingress_ends_where_the_room_of_marks_begins_and_goes_on_when_there_is_room(ingress: Ingress) -> None:
    jetstream, spec = ingress.bus.jetstream, order_stream(1)
    config = (await jetstream.stream_info(ORDERS)).config
    await jetstream.update_stream(replace(config, max_bytes=MARK_HEADROOM_BYTES + ROOM_BYTES))
    await ingress.publish(order_intents(20))
    await ingress.stream.measure()
    refused = await ingress.refusal([order_intent(bar=1)])
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.ORDER_STREAM_FULL)
    assert refused.metadata == {"stream": ORDERS}
    assert await ingress.bus.publish(mark_subject(WORLD), b"mark") == 21
    following = asyncio.create_task(ingress.stream.follow())
    await jetstream.update_stream(replace(config, max_bytes=spec.max_bytes))

    async def has_room() -> bool:
        try:
            await ingress.publish([order_intent(bar=1)])
        except grpc.aio.AioRpcError:
            return False
        return True

    await becomes(has_room, True)
    following.cancel()


@asynccontextmanager
async def impatient_ingress(broker: Broker) -> AsyncIterator[Ingress]:
    """Serve orders on a broker of the test's own, for whose answers nobody waits long."""
    async with open_bus(broker.url, "test") as bus:
        bus.jetstream = bus.connection.jetstream(timeout=ANSWER_SECONDS)
        async with order_ingress(bus) as served:
            yield served


async def publishing(ingress: Ingress, count: int, **options: Any) -> asyncio.Task[list[int]]:
    """Return a call whose intents have passed the gate and went out."""
    before = ingress.bus.connection.stats["out_msgs"]
    call = asyncio.create_task(ingress.publish(order_intents(count), **options))
    await eventually(lambda: ingress.bus.connection.stats["out_msgs"] == before + count)
    return call


async def test_a_freeze_waits_for_what_passed_the_gate_before_it(broker: Broker) -> None:
    async with open_bus(broker.url, "test") as bus, order_ingress(bus) as ingress:
        with broker.stopped():
            call = await publishing(ingress, 3)
            ingress.gates.gate = order_gate(Phase.FREEZE)
            drained = asyncio.create_task(ingress.flights.drained(WORLD))
            assert (await ingress.refusal([order_intent(bar=1)])).reason == Reason.GATE_CLOSED
            assert not drained.done()
            assert not call.done()
        await drained
        assert len(await ingress.stored()) == 3
        assert await call == [1, 2, 3]


async def test_a_freeze_waits_for_what_passed_although_its_caller_has_gone(broker: Broker) -> None:
    async with open_bus(broker.url, "test") as bus, order_ingress(bus) as ingress:
        with broker.stopped():
            call = await publishing(ingress, 3)
            call.cancel()
            ingress.gates.gate = order_gate(Phase.FREEZE)
            # An answer on the same connection: the service has heard of the cancellation before.
            assert (await ingress.refusal([order_intent(bar=1)])).reason == Reason.GATE_CLOSED
            drained = asyncio.create_task(ingress.flights.drained(WORLD))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(drained), ANSWER_SECONDS)
        await drained
        assert len(await ingress.stored()) == 3
        assert ingress.counted()["orders_accepted_total"] == 3.0


async def test_a_broker_that_dies_in_a_publish_leaves_it_unclear_and_the_repetition_is_stored(broker: Broker) -> None:
    async with impatient_ingress(broker) as ingress:
        assert await ingress.publish([order_intent(bar=1)]) == [1]
        with broker.stopped():
            call = await publishing(ingress, 3)
            broker.kill()
        with pytest.raises(grpc.aio.AioRpcError) as unclear:
            await call
        assert read_refusal(unclear.value).reason == Reason.DEPENDENCY_UNAVAILABLE
        assert unclear.value.code() is grpc.StatusCode.UNAVAILABLE
        await ingress.flights.drained(WORLD)
        down = await ingress.refusal(order_intents(3))
        assert (down.code, down.reason) == (grpc.StatusCode.UNAVAILABLE, Reason.DEPENDENCY_UNAVAILABLE)
        await asyncio.to_thread(broker.start)
        await eventually(lambda: ingress.bus.connection.is_connected)
        assert await ingress.publish(order_intents(3)) == [2, 3, 4]
        stored = [each.SerializeToString() for each in (order_intent(bar=1), *order_intents(3))]
        assert await ingress.stored() == stored
        counted = {"orders_accepted_total": 4.0, "orders_refused_total/DEPENDENCY_UNAVAILABLE": 6.0}
        assert ingress.counted() == counted


async def test_what_is_sent_while_the_broker_is_away_does_not_come_later(broker: Broker) -> None:
    async with impatient_ingress(broker) as ingress:
        broker.kill()
        await eventually(lambda: not ingress.bus.connection.is_connected)
        assert (await ingress.refusal(order_intents(3))).reason == Reason.DEPENDENCY_UNAVAILABLE
        await asyncio.to_thread(broker.start)
        await eventually(lambda: ingress.bus.connection.is_connected)
        assert await ingress.publish([order_intent(bar=1)]) == [1]
