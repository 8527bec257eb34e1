"""What a runner is told, in order and bounded: the newest event at least, every report once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions.holders import Holder
from qmtl_gateway.sessions.model import Phase, Report
from qmtl_gateway.sessions.session import WAITING_EVENTS, WAITING_REPORTS, Renewed, Session, Sessions
from tests.support.told import Teller

ANN = Holder("equity", "ann/Trend", "start-1")
BOB = Holder("equity", "bob/Carry", "start-1")


def report(position: int, holder: Holder = ANN) -> Report:
    return Report(position, holder.world, holder.strategy_id, b"report")


class Stored:
    """Be the stream of reports; two are read at once."""

    def __init__(self, *reports: Report) -> None:
        self.reports = list(reports)

    async def read(self, world: str, position: int) -> list[Report]:
        await asyncio.sleep(0)
        return [each for each in self.reports if each.world == world and each.position > position][:2]


async def taken(items: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(items) for _ in range(count)]


async def nothing_waits(items: AsyncIterator[Any]) -> None:
    waiting = asyncio.ensure_future(anext(items))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_events_come_in_order_and_before_anything_else() -> None:
    session = Session(ANN, 0)
    events = Teller().events(Phase.FREEZE, Phase.SWITCH)
    session.deliver(report(1))
    session.renew(Renewed(1, 1, 2))
    for event in events:
        assert session.tell(event)
    assert await taken(session.items(Stored().read), 4) == [*events, Renewed(1, 1, 2), report(1)]


async def test_an_event_is_told_once() -> None:
    session = Session(ANN, 0)
    freeze, switch = Teller().events(Phase.FREEZE, Phase.SWITCH)
    session.begin(freeze)
    assert not session.tell(freeze)
    assert session.tell(switch)
    assert not session.tell(switch)
    assert not session.tell(freeze)
    items = session.items(Stored().read)
    assert await taken(items, 1) == [switch]
    await nothing_waits(items)


async def test_a_slow_runner_gets_the_newest_event_instead_of_a_long_queue() -> None:
    session = Session(ANN, 0)
    events = Teller().events(*[Phase.SWITCH] * (WAITING_EVENTS + 1))
    for event in events:
        session.tell(event)
    items = session.items(Stored().read)
    assert await taken(items, 1) == [events[-1]]
    await nothing_waits(items)


async def test_of_several_heartbeats_the_newest_is_answered() -> None:
    session = Session(ANN, 0)
    session.renew(Renewed(1, 1, 1))
    session.renew(Renewed(2, 1, 1))
    items = session.items(Stored().read)
    assert await taken(items, 1) == [Renewed(2, 1, 1)]
    await nothing_waits(items)


async def test_missed_reports_come_first_and_none_twice() -> None:
    stored = Stored(*(report(position) for position in range(1, 8)), report(8, BOB), report(9))
    session = Session(ANN, 2)
    session.deliver(report(6))  # delivered while the runner reads what it missed
    session.deliver(report(9))
    session.deliver(report(10))
    items = session.items(stored.read)
    assert [each.position for each in await taken(items, 7)] == [3, 4, 5, 6, 7, 9, 10]
    await nothing_waits(items)


async def test_reports_that_a_slow_runner_has_no_room_for_are_read_later() -> None:
    everything = [report(position) for position in range(1, 2 * WAITING_REPORTS + 1)]
    session = Session(ANN, 0)
    for each in everything:
        session.deliver(each)
    items = session.items(Stored(*everything).read)
    assert await taken(items, len(everything)) == everything
    await nothing_waits(items)


async def test_reports_that_overflow_while_missed_ones_are_read_are_read_too() -> None:
    stored = Stored(report(1))
    session = Session(ANN, 0)
    items = session.items(stored.read)
    assert await taken(items, 1) == [report(1)]
    reading = asyncio.ensure_future(taken(items, 1))
    await asyncio.sleep(0)  # the read that finds nothing more is under way
    later = [report(position) for position in range(2, WAITING_REPORTS + 3)]
    for each in later:
        session.deliver(each)
    stored.reports += later
    assert await reading == [later[0]]
    assert await taken(items, len(later) - 1) == later[1:]


async def test_events_and_renewals_do_not_wait_while_missed_reports_are_read() -> None:
    stored, is_slow = Stored(report(1), report(2), report(3)), asyncio.Event()

    async def read(world: str, position: int) -> list[Report]:
        await is_slow.wait()
        return await stored.read(world, position)

    session = Session(ANN, 0)
    items = session.items(read)
    first = asyncio.ensure_future(taken(items, 2))
    await asyncio.sleep(0)  # the read is under way
    freeze, switch = Teller().events(Phase.FREEZE, Phase.SWITCH)
    session.tell(freeze)
    session.renew(Renewed(1, 1, 1))
    session.deliver(report(4))
    assert await first == [freeze, Renewed(1, 1, 1)]
    is_slow.set()
    assert await taken(items, 1) == [report(1)]
    session.tell(switch)
    assert await taken(items, 4) == [switch, report(2), report(3), report(4)]
    await nothing_waits(items)


async def test_a_session_that_missed_nothing_reads_nothing() -> None:
    session = Session(ANN, 2, has_missed=False)
    items = session.items(Stored(report(3)).read)
    await nothing_waits(items)


async def test_a_session_whose_reports_cannot_be_read_ends() -> None:
    async def read(_world: str, _position: int) -> list[Report]:
        raise QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={"dependency": "nats"})

    with pytest.raises(QmtlError):
        await taken(Session(ANN, 0).items(read), 1)


async def test_a_session_ends_with_its_error_and_at_once() -> None:
    session = Session(ANN, 0)
    session.tell(Teller().event(Phase.FREEZE))
    session.end(QmtlError(Reason.ACKNOWLEDGEMENT_MISMATCH, "another epoch"))
    session.end()
    with pytest.raises(QmtlError):
        await taken(session.items(Stored().read), 1)


async def test_a_session_ends_well_when_its_runner_goes() -> None:
    session = Session(ANN, 0)
    session.end()
    with pytest.raises(StopAsyncIteration):
        await taken(session.items(Stored().read), 1)


async def test_reports_go_to_the_sessions_of_their_strategy_alone() -> None:
    sessions = Sessions()
    ann, ann_again, bob = (Session(each, 0) for each in (ANN, ANN, BOB))
    for session in (ann, ann_again, bob):
        sessions.add(session)
    sessions.deliver(report(1))
    sessions.deliver(report(2, BOB))
    sessions.deliver(report(3, Holder("bonds", "ann/Trend", "start-1")))
    for session, expected in ((ann, report(1)), (ann_again, report(1)), (bob, report(2, BOB))):
        items = session.items(Stored().read)
        assert await taken(items, 1) == [expected]
        await nothing_waits(items)


def test_a_session_that_ended_is_forgotten() -> None:
    sessions = Sessions()
    ann, bob = Session(ANN, 0), Session(BOB, 0)
    sessions.add(ann)
    sessions.add(bob)
    assert (sessions.count, set(sessions.of_world("equity"))) == (2, {ann, bob})
    sessions.remove(ann)
    assert (sessions.count, sessions.of_world("equity")) == (1, [bob])
    sessions.remove(bob)
    assert (sessions.count, sessions.of_world("equity")) == (0, [])
