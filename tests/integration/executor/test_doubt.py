"""Orders whose sending was cut off: settled by the venue's word on the id or by ending the session, not by absence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from qmtl_executor.model import Answer, OrderState, Statement, VenueOrder
from qmtl_executor.venue import Settlement
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from tests.support.executor_rig import Rig, Seated, outcomes
from tests.support.simulated_venue import Exchange, Mood, SimulatedVenue
from tests.support.waiting import eventually


@pytest.fixture(params=list(Settlement), ids=lambda each: each.name.lower())
def exchange(request: pytest.FixtureRequest) -> Exchange:
    return Exchange(settlement=request.param)


@pytest.mark.parametrize("mood", [Mood.MUTE, Mood.DEAF, Mood.LATE])
async def test_a_venue_that_does_not_answer_gets_each_order_once(rig: Rig, exchange: Exchange, mood: Mood) -> None:
    exchange.moods = [mood]
    world = rig.world
    await world.fence()
    await world.open()
    _, position = await world.send(world.intent(0.5), world.intent(0.6, bar=1))
    async with rig.started():
        await rig.until_at(position)
        assert outcomes(await rig.reports(2)) == ["filled", "filled"]
        exchange.deliver()  # what was on its way arrives after all
    assert set(exchange.reached.values()) == {1}
    assert len(exchange.reached) == 2


async def test_an_order_that_arrives_right_after_the_venue_did_not_know_it_reaches_it_once(
    rig: Rig, exchange: Exchange
) -> None:
    class Slow(SimulatedVenue):
        async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
            answers = await super().ask(order_ids)
            if exchange.questions == 2:
                exchange.deliver()
            return answers

    rig.venue = lambda: _given(Slow(exchange))
    exchange.moods = [Mood.LATE]
    world = rig.world
    await world.fence()
    await world.open()
    (position,) = await world.send(world.intent())
    async with rig.started():
        await rig.until_at(position)
        exchange.deliver()
    assert exchange.reached == {world.intent().intent_id: 1}


@pytest.mark.parametrize("mood", [Mood.MUTE, Mood.DEAF, Mood.LATE])
async def test_a_start_that_dies_between_sending_and_answer_leaves_nothing_twice_and_nothing_lost(
    rig: Rig, exchange: Exchange, mood: Mood
) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    intent = world.intent()
    reached = asyncio.Event()

    class Deadly(SimulatedVenue):
        async def send(self, order: VenueOrder) -> Answer:
            exchange.moods = [mood]
            try:
                return await super().send(order)
            finally:
                reached.set()
                await asyncio.Event().wait()  # the process is killed here

    living, rig.venue = rig.venue, lambda: _given(Deadly(exchange))
    async with rig.started():
        await world.send(intent)
        await reached.wait()
        assert await rig.orders() == {intent.intent_id: OrderState.SENDING}
    rig.venue = living
    fence = await world.fence()
    async with rig.started():
        await rig.until_at(fence)
        exchange.deliver()
        assert outcomes(await rig.reports(1)) == ["filled"]
    assert exchange.reached == {intent.intent_id: 1}
    assert await rig.orders() == {intent.intent_id: OrderState.FILLED}


async def test_no_fence_is_acknowledged_before_an_order_in_doubt_is_settled(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    position = await world.open()
    silent = asyncio.Event()

    class Silent(SimulatedVenue):
        async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
            silent.set()
            await asyncio.Event().wait()
            return {}

    rig.venue = lambda: _given(Silent(exchange))
    exchange.moods = [Mood.MUTE]
    async with rig.started():
        await rig.until_at(position)
        await world.send(world.intent())
        await world.fence()
        await silent.wait()
        await eventually(lambda: len(rig.acknowledged) == 2)
        assert await rig.position() == position
    assert [each.epoch for each in rig.acknowledged] == [1, 1]


async def test_an_intent_is_judged_again_before_it_is_sent(rig: Rig, exchange: Exchange) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    class Slow(SimulatedVenue):
        async def statement(self, as_of: datetime | None) -> Statement:
            asked.set()
            await answers.wait()
            return await super().statement(as_of)

    rig.venue = lambda: _given(Slow(exchange))
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started() as start:
        (position,) = await world.send(world.intent())
        await asyncio.wait_for(asked.wait(), 10.0)
        await start.renew(world.told(epoch=2, is_open=False))  # a stop, while the venue keeps silent
        answers.set()
        await rig.until_at(position)
        assert outcomes(await rig.reports(1)) == ["fenced"]
    assert not exchange.reached


async def _given(value: Any) -> Any:
    return value


async def test_an_order_in_doubt_of_a_former_enrolment_is_not_sent_again(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    silent = asyncio.Event()

    class Dead(SimulatedVenue):
        async def send(self, order: VenueOrder) -> Answer:
            silent.set()
            await asyncio.Event().wait()
            return await super().send(order)

    living, rig.venue = rig.venue, lambda: _given(Dead(exchange))
    async with rig.started():
        await world.send(world.intent())
        await silent.wait()
    rig.venue = living
    world.enrolment = (0, 0)
    await world.fence()  # the executor was deregistered, and is enrolled anew behind this one
    await world.open()
    async with rig.started():
        await rig.until_at((await world.send(world.intent(0.7, bar=1)))[0])
    assert exchange.sent == {world.intent(bar=1).intent_id: 1}
    async with rig.started():  # and not at a later start either, which finds the new enrolment stored
        await rig.until_at((await world.send(world.intent(0.6, bar=2)))[0])
    assert exchange.sent == {world.intent(bar=1).intent_id: 1, world.intent(bar=2).intent_id: 1}
    assert (await rig.orders())[world.intent().intent_id] == OrderState.SENDING


@pytest.mark.parametrize("is_newer", [False, True], ids=["same_epoch", "newer_epoch"])
async def test_a_closing_order_in_doubt_of_a_former_enrolment_is_followed_by_no_other(
    rig: Rig, exchange: Exchange, is_newer: bool
) -> None:
    world, bob = rig.world, Seated("bob/Carry")
    silent = asyncio.Event()

    class Dead(SimulatedVenue):
        async def send(self, order: VenueOrder) -> Answer:
            if order.weight == 0.0:
                silent.set()
                await asyncio.Event().wait()
            return await super().send(order)

    living, rig.venue = rig.venue, lambda: _given(Dead(exchange))
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        await world.fence()
        await world.open(bob)
        await silent.wait()
    rig.venue = living
    world.enrolment = (0, 0)
    await world.tell(mark_pb2.MARK_KIND_FENCE)  # deregistered, and enrolled anew in the same epoch
    position = await world.open(bob)
    if is_newer:
        await world.fence()
        position = await world.open(bob)
    async with rig.started():
        await rig.until_at(position)
    assert exchange.sent == {world.intent().intent_id: 1}
    assert sorted((await rig.orders()).values()) == [OrderState.FILLED, OrderState.SENDING]
