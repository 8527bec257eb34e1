"""An executor on the real stream and database: what it executes, fences, answers and acknowledges."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from qmtl_executor import acknowledge
from qmtl_executor.journal import Journal
from qmtl_executor.lease import Lease
from qmtl_executor.model import MarkKind
from qmtl_executor.retention import aged
from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.streams import ORDERS, mark_subject
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.pb.qmtl.order.v1.report_pb2 import OrderReport
from qmtl_foundation.postgres.retention import sweep
from tests.support.executor_rig import LEASE_SECONDS, Rig, Seated, outcomes
from tests.support.simulated_venue import Exchange, Mood
from tests.support.waiting import becomes, eventually


def said(rig: Rig) -> list[tuple[int, MarkKind]]:
    return [(each.number, each.kind) for each in rig.acknowledged]


async def test_an_intent_behind_its_open_is_executed_once_and_reported(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open(Seated(weight=0.5))
    (position,) = await world.send(world.intent(0.8))
    async with rig.started():
        await rig.until_at(position)
        (report,) = await rig.reports(1)
    intent = world.intent(0.8)
    assert exchange.reached == {intent.intent_id: 1}
    assert exchange.orders[intent.intent_id].weight == 0.8 * 0.5
    assert (report.intent_id, report.epoch, report.position) == (intent.intent_id, 1, position)
    assert (outcomes([report]), report.quantity, report.price) == (["filled"], 4_000.0, 100.0)
    assert said(rig) == [(1, MarkKind.FENCE), (2, MarkKind.OPEN)]
    (line,) = await rig.rows("line")
    assert (line["strategy_id"], line["symbol"], line["quantity"]) == ("ann/Trend", "AAPL", 4_000.0)


async def test_intents_before_the_open_behind_a_fence_and_of_other_epochs_never_reach_the_venue(
    rig: Rig, exchange: Exchange
) -> None:
    world = rig.world
    await world.fence()
    early = world.intent(bar=1)
    await world.send(early)
    await world.open()
    late = world.intent(bar=2)
    await world.fence()
    await world.send(late, world.intent(bar=3))
    await world.open()
    ahead = world.intent(bar=4, epoch=9)
    _, position = await world.send(late, ahead)
    async with rig.started():
        await rig.until_at(position)
        reports = await rig.reports(5)
    assert outcomes(reports) == ["fenced"] * 5
    assert not exchange.reached
    assert len(await rig.rows("turned_away")) == 4  # the late one twice under its id and epoch


async def test_a_fenced_id_is_not_used_up(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.send(world.intent(0.5))
    await world.open()
    await world.fence()
    await world.open()
    (position,) = await world.send(world.intent(0.25))  # the same id, decided anew in the new epoch
    async with rig.started():
        await rig.until_at(position)
        assert outcomes(await rig.reports(2)) == ["fenced", "filled"]
    assert list(exchange.reached.values()) == [1]


async def test_the_same_intent_again_is_answered_with_the_same_report_and_not_executed(
    rig: Rig, exchange: Exchange
) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        await world.fence()
        await world.open()
        (position,) = await world.send(world.intent())
        await rig.until_at(position)
        first, again = await rig.reports(2)
    assert first == again
    assert list(exchange.reached.values()) == [1]


async def test_a_repetition_of_an_executed_intent_is_answered_with_its_report_wherever_it_stands(
    rig: Rig, exchange: Exchange
) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    copy, otherwise = world.intent(), world.intent(0.6)
    async with rig.started() as start:
        await rig.until_at((await world.send(copy))[0])
        await world.fence()
        await world.send(copy, otherwise)  # before the Open
        await world.open(Seated(side="short"))
        *_, position = await world.send(copy, world.intent(), copy)
        await rig.until_at(position)
        reports = await rig.reports(6)
        assert (start.counted("orders_executed_total"), start.counted("orders_fenced_total")) == (1, 0)
    refused = reports.pop(2)
    assert (outcomes([refused]), refused.reason) == (["refused"], Reason.INTENT_EXISTS)
    assert outcomes(reports) == ["filled"] * 5
    assert all(each == reports[0] for each in reports)
    assert list(exchange.reached.values()) == [1]
    assert [row["outcome"] for row in await rig.rows("turned_away")] == ["refused"]


async def unpublished(rig: Rig) -> int:
    return sum(row["publish_time"] is None for row in await rig.rows("report"))


async def test_a_repetition_whose_report_has_aged_out_is_answered_from_the_journal(
    rig: Rig, exchange: Exchange
) -> None:
    world = rig.world
    await world.fence()
    await world.send(world.intent(bar=3))  # before the Open
    await world.open()
    async with rig.started():
        await world.send(world.intent(0.5))
        (first,) = [each for each in await rig.reports(2) if each.symbol and each.quantity]
        await becomes(lambda: unpublished(rig), 0)
        for days, left in ((6, [2, 1]), (8, [0, 0])):
            await sweep(rig.pool, aged(7), utc_now() + timedelta(days=days))
            assert [len(await rig.rows(table)) for table in ("report", "turned_away")] == left
        (position,) = await world.send(world.intent(0.5))
        await rig.until_at(position)
    async with rig.started():
        again = (await rig.rows("report"))[0]
    report = OrderReport.FromString(again["payload"])
    report.create_time.CopyFrom(first.create_time)
    assert report == first
    assert list(exchange.reached.values()) == [1]


async def test_an_id_with_another_wish_is_refused(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    _, position = await world.send(world.intent(0.5), world.intent(0.6))
    async with rig.started():
        await rig.until_at(position)
        reports = await rig.reports(2)
    assert outcomes(reports) == ["filled", "refused"]
    assert reports[1].reason == Reason.INTENT_EXISTS
    assert list(exchange.reached.values()) == [1]


async def test_a_foreign_stamp_is_refused_with_what_it_must_be(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    (position,) = await world.send(world.intent(side="short"))
    async with rig.started():
        await rig.until_at(position)
        (report,) = await rig.reports(1)
    assert (report.reason, report.message) == (Reason.ACTIVATION_MISMATCH, "side: is short, must be long")
    assert not exchange.reached


async def test_resting_orders_are_cancelled_before_a_fence_is_acknowledged(rig: Rig, exchange: Exchange) -> None:
    exchange.fills_at_once = False
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        position = await world.fence()
        await rig.until_at(position)
        assert outcomes(await rig.reports(2)) == ["working", "cancelled"]
        await eventually(lambda: _is_said(rig, 3))
    assert [each.state.value for each in exchange.answers.values()] == ["cancelled"]


async def test_resting_orders_stay_where_the_fence_says_so(rig: Rig, exchange: Exchange) -> None:
    exchange.fills_at_once = False
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        position = await world.fence(on_freeze=mark_pb2.ON_FREEZE_LEAVE)
        await rig.until_at(position)
        assert list((await rig.orders()).values()) == ["working"]
        exchange.fill(world.intent().intent_id)
        assert outcomes(await rig.reports(2)) == ["working", "filled"]


async def test_a_missed_mark_closes_until_the_marks_are_written_again(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    world.mark += 2  # a Fence and an Open that the broker acknowledged and lost
    await world.open()
    (position,) = await world.send(world.intent(bar=1))
    async with rig.started() as start:
        await rig.until_at(position)
        assert start.place is not None
        assert start.place.unsure
        assert said(rig) in ([], [(1, MarkKind.FENCE)], [(1, MarkKind.FENCE), (2, MarkKind.OPEN)])
        await world.tell(mark_pb2.MARK_KIND_FENCE)
        await world.open()
        (position,) = await world.send(world.intent(bar=2))
        await rig.until_at(position)
    assert list(exchange.reached) == [world.intent(bar=2).intent_id]


async def test_who_missed_a_mark_asks_for_a_renewal_at_once(rig: Rig) -> None:
    world = rig.world
    await world.fence()
    world.mark += 1
    await world.open()  # opens nobody: an Open asks for a renewal, too
    async with rig.started() as start, asyncio.timeout(10.0):
        await start.lease.due(LEASE_SECONDS)


async def test_what_was_passed_before_a_missed_mark_is_not_acknowledged_any_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledge, "RETRY_SECONDS", 0.01)
    rig.is_heard = False
    world = rig.world
    await world.fence()
    await world.open()
    world.mark += 1
    await world.open()
    async with rig.started() as start:
        await eventually(lambda: start.place is not None and start.place.unsure)
        rig.is_heard = True
        await world.tell(mark_pb2.MARK_KIND_FENCE)
        await world.open()
        await eventually(lambda: len(rig.acknowledged) >= 2)
    assert said(rig) == [(5, MarkKind.FENCE), (6, MarkKind.OPEN)]


async def test_a_start_that_another_one_followed_acknowledges_nothing_more(rig: Rig) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started() as older:
        await eventually(lambda: _is_said(rig, 2))
        await Journal(rig.pool, rig.executor, "successor", utc_now).begin()
        await world.fence()
        assert older.task is not None
        await asyncio.wait([older.task])
    assert said(rig) == [(1, MarkKind.FENCE), (2, MarkKind.OPEN)]


async def test_a_start_that_is_enrolled_anew_begins_anew(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    before = await world.open()
    async with rig.started() as start:
        await rig.until_at(before)
        world.enrolment = (0, 0)  # it was deregistered, and is enrolled again behind the next Fence
        await world.tell(mark_pb2.MARK_KIND_FENCE)
        await start.renew()
        await eventually(lambda: start.at.enrolment == world.enrolment[0], 10.0)
        early, late = world.intent(bar=1), world.intent(bar=2)
        await world.send(early)
        await world.open()
        (position,) = await world.send(late)
        await rig.until_at(position)
    assert exchange.reached == {late.intent_id: 1}


async def test_a_restart_says_again_which_mark_it_passed_last(rig: Rig) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        await eventually(lambda: _is_said(rig, 2))
    rig.acknowledged.clear()
    async with rig.started():
        await eventually(lambda: rig.acknowledged, 5.0)
    assert said(rig) == [(2, MarkKind.OPEN)]


async def test_a_place_beyond_what_the_stream_still_has_closes(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    position = await world.open()
    async with rig.started():
        await rig.until_at(position)
    (lost,) = await world.send(world.intent())
    (behind,) = await world.send(world.intent(bar=1))
    await rig.bus.jetstream.purge_stream(ORDERS, seq=lost + 1)  # everything up to it
    async with rig.started() as start:
        await rig.until_at(behind)
        assert start.place is not None
        assert start.place.unsure
    assert not exchange.reached


async def test_what_the_world_service_knows_ahead_closes(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    position = await world.open()
    async with rig.started() as start:
        await rig.until_at(position)
        await start.renew(world.told(epoch=2, is_open=False))
        (position,) = await world.send(world.intent())
        await rig.until_at(position)
        assert outcomes(await rig.reports(1)) == ["fenced"]
    assert not exchange.reached


@pytest.fixture
def waits(rig: Rig) -> asyncio.Event:
    """Give an event that is set when an executor waits for a renewal."""
    waits = asyncio.Event()

    class Noticed(Lease):
        async def next_renewal(self) -> None:
            waits.set()
            await super().next_renewal()

    rig.lease = Noticed
    return waits


async def test_an_intent_waits_until_the_world_service_has_spoken_since_its_open(
    rig: Rig, exchange: Exchange, waits: asyncio.Event
) -> None:
    world = rig.world
    fence = await world.fence()
    async with rig.started() as start:
        await rig.until_at(fence)
        await start.renew()
        start.is_answered = False  # what it said before the Open is all there is
        opened = await world.open()
        (position,) = await world.send(world.intent())
        await asyncio.wait_for(waits.wait(), 10.0)
        assert await rig.position() == opened
        await start.renew()
        await rig.until_at(position)
        assert list(exchange.reached.values()) == [1]


async def test_an_intent_waits_while_the_lease_is_lost(rig: Rig, exchange: Exchange, waits: asyncio.Event) -> None:
    world = rig.world
    await world.fence()
    before = await world.open()
    async with rig.started() as start:
        await start.renew(ttl_s=0.0)
        (position,) = await world.send(world.intent())
        await asyncio.wait_for(waits.wait(), 10.0)
        await eventually(lambda: _is_said(rig, 2))
        assert await rig.position() == before
        assert not exchange.reached
        await start.renew()
        await rig.until_at(position)
    assert list(exchange.reached.values()) == [1]


async def test_a_demoted_strategy_is_closed_kept_or_handed_over_as_the_open_says(rig: Rig, exchange: Exchange) -> None:
    world, (ann, bob) = rig.world, ("ann/Trend", "bob/Carry")
    await world.fence()
    await world.open(Seated(ann, 0.5), Seated(bob, 0.5))
    async with rig.started():
        await world.send(world.intent(1.0), world.intent(1.0, symbol="MSFT"), world.intent(0.4, symbol="IBM"))
        await world.fence()
        await world.open(Seated(bob, 0.5), on_demote=mark_pb2.ON_DEMOTE_HOLD)
        position = await world.fence()
        await rig.until_at(position)
        held = {row["symbol"]: row["quantity"] for row in await rig.rows("line")}
        assert held == {"AAPL": 5_000.0, "MSFT": 5_000.0, "IBM": 2_000.0}
        await world.open(Seated(bob, 0.5), on_demote=mark_pb2.ON_DEMOTE_HAND_OVER)
        (position,) = await world.send(world.intent(0.4, bar=1, symbol="AAPL", strategy_id=bob))
        await rig.until_at(position)
        lines = {(row["strategy_id"], row["symbol"]): row["quantity"] for row in await rig.rows("line")}
        assert lines[bob, "AAPL"] == 2_000.0
        assert exchange.orders[world.intent(bar=1, strategy_id=bob).intent_id].held == 5_000.0
        assert (lines["", "AAPL"], lines["", "MSFT"], lines[ann, "MSFT"]) == (0.0, 5_000.0, 0.0)
        await world.fence()
        position = await world.open(Seated(ann, 0.5), on_demote=mark_pb2.ON_DEMOTE_FLATTEN)
        await rig.until_at(position)
        assert {row["quantity"] for row in await rig.rows("line")} == {0.0}
    assert set(exchange.reached.values()) == {1}


async def test_an_open_that_is_passed_again_closes_no_line_twice(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        await world.fence()
        await rig.until_at(await world.open(Seated("bob/Carry")))  # closes what ann holds
        world.mark += 1  # a mark that is lost: the same marks are written again, and passed again
        await world.tell(mark_pb2.MARK_KIND_FENCE)
        await rig.until_at(await world.open(Seated("bob/Carry")))
        await world.send(world.intent(symbol="MSFT", strategy_id="bob/Carry"))
        await world.fence()
        await rig.until_at(await world.open(Seated("eve/Mean")))  # closes what bob holds
    assert [row["quantity"] for row in await rig.rows("line")] == [0.0, 0.0]
    assert list(exchange.reached.values()) == [1] * 4


async def test_a_closing_order_that_a_repeated_fence_cancelled_is_ordered_again(rig: Rig, exchange: Exchange) -> None:
    world, bob = rig.world, Seated("bob/Carry")
    await world.fence()
    await world.open()
    async with rig.started():
        await world.send(world.intent())
        await rig.until_at(await world.fence())
        exchange.fills_at_once = False
        await rig.until_at(await world.open(bob))  # an order that is to close what ann holds rests
        world.mark += 1  # a mark that is lost: the same marks are written again, and the Fence cancels
        await world.tell(mark_pb2.MARK_KIND_FENCE)
        await rig.until_at(await world.open(bob))
        _, cancelled, resting = exchange.answers.values()
        assert (cancelled.state.value, resting.state.value) == ("cancelled", "working")
        exchange.fill(resting.order_id)

        async def closed() -> bool:
            return [row["quantity"] for row in await rig.rows("line")] == [0.0]

        await becomes(closed, True)


async def test_a_fill_that_a_venue_tells_twice_is_booked_once(rig: Rig, exchange: Exchange) -> None:
    exchange.moods = [Mood.MUTE]  # so that it is asked, and tells each fill twice
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started():
        (position,) = await world.send(world.intent(0.5))
        await rig.until_at(position)
    (line,) = await rig.rows("line")
    assert line["quantity"] == 5_000.0
    assert len(await rig.rows("fill")) == 1


async def test_two_starts_race_and_the_older_one_stops_and_nothing_is_executed_twice(
    rig: Rig, exchange: Exchange
) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started() as older, rig.started():
        positions = await world.send(*(world.intent(0.5 + bar / 100, bar=bar) for bar in range(20)))
        await rig.until_at(positions[-1])
        assert len({each.intent_id for each in await rig.reports(20)}) == 20
        await world.send(world.intent(bar=0))  # whatever comes next, also a repetition, is a write
        assert older.task is not None
        (stopped,) = await asyncio.gather(older.task, return_exceptions=True)
    assert isinstance(stopped, BaseExceptionGroup)
    (error,) = stopped.exceptions
    assert isinstance(error, QmtlError)
    assert error.reason is Reason.FOREIGN_INCARNATION
    assert set(exchange.reached.values()) == {1}
    assert len(exchange.reached) == 20


async def test_a_restart_goes_on_behind_what_was_settled(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    positions = await world.send(*(world.intent(0.5 + bar / 100, bar=bar) for bar in range(5)))
    async with rig.started():
        await rig.until_at(positions[-1])
    more = await world.send(*(world.intent(0.5 + bar / 100, bar=bar) for bar in range(5, 10)))
    async with rig.started() as start:
        await rig.until_at(more[-1])
        assert start.follower is not None
        assert start.place is not None
        assert start.place.is_open
    assert set(exchange.sent.values()) == {1}
    assert len(exchange.reached) == 10


async def test_an_idle_place_moves_past_what_is_others(rig: Rig) -> None:
    world = rig.world
    await world.fence()
    position = await world.open()
    await rig.bus.publish(mark_subject("another_desk"), b"")
    async with rig.started():
        await rig.until_at(position + 1)


def _is_said(rig: Rig, number: int) -> bool:
    return number in {each.number for each in rig.acknowledged}


async def test_an_intent_of_an_older_bar_that_comes_behind_a_newer_one_is_refused(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    newer, older = world.intent(0.5, bar=2), world.intent(0.9, bar=1)
    _, position = await world.send(newer, older)
    async with rig.started():
        await rig.until_at(position)
        reports = await rig.reports(2)
    assert outcomes(reports) == ["filled", "refused"]
    assert reports[1].reason == Reason.INTENT_STALE
    (position,) = await world.send(world.intent(0.7, bar=0))
    async with rig.started():  # a later start knows it, too
        await rig.until_at(position)
    assert exchange.reached == {newer.intent_id: 1}
