"""An executor whose database, or whose world's, was restored to an older state while it lived on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from qmtl_executor import journal
from qmtl_executor.model import Answer
from qmtl_executor.venue import Settlement
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.postgres.pool import acquire
from tests.support.executor_rig import Rig, Seated, outcomes
from tests.support.simulated_venue import Exchange, Mood, SimulatedVenue
from tests.support.waiting import eventually


async def test_an_open_that_the_world_service_does_not_know_opens_nothing(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    before = world.told(epoch=0, enrolment=1, enrolment_position=await world.fence())
    async with rig.started() as start:
        await start.renew(before)  # the database was restored to before the Fence
        await world.open()
        (position,) = await world.send(world.intent())
        await rig.until_at(position)
        assert outcomes(await rig.reports(1)) == ["fenced"]
    assert not exchange.reached


async def test_an_open_of_a_life_that_is_gone_closes_no_line(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    await world.open()
    async with rig.started() as start:
        await rig.until_at(*await world.send(world.intent()))
        await rig.until_at(await world.fence())
        await start.renew(world.told(epoch=1, is_open=True))  # the database was restored to before that Fence
        await rig.until_at(await world.open(Seated("bob/Carry")))
        assert [row["quantity"] for row in await rig.rows("line")] == [5_000.0]
        await start.renew()
        await world.fence()
        await rig.until_at(await world.open(Seated("bob/Carry")))
        assert [row["quantity"] for row in await rig.rows("line")] == [0.0]
    assert list(exchange.reached.values()) == [1, 1]


async def restore(rig: Rig, position: int) -> None:
    """Set the executor's tables back to when it stood at a place and had taken nothing."""
    async with acquire(rig.pool) as connection:
        for table in ("report", "fill", "line", "journal"):
            await connection.execute(f"DELETE FROM {table} WHERE executor = $1", rig.executor)  # noqa: S608  # one of these
        await connection.execute(
            "UPDATE place SET position = $2, revision = 1 WHERE executor = $1", rig.executor, position
        )


async def test_what_a_restored_journal_has_lost_is_not_executed_again(rig: Rig, exchange: Exchange) -> None:
    exchange.settlement = Settlement.BY_SESSION  # the venue does not know an id again
    world = rig.world
    await world.fence()
    opened = await world.open()
    async with rig.started() as start:
        lost = world.intent()
        await rig.until_at(*await world.send(lost))
        assert outcomes(await rig.reports(1)) == ["filled"]
        await restore(rig, opened)
        await rig.until_at(*await world.send(world.intent(0.8, bar=1)))
        assert outcomes(await rig.reports(2)) == ["filled", "fenced"]
        assert start.at.restored_mark == 2
        await world.fence()  # of a run that was begun without knowledge of it
        await rig.until_at(await world.open())
        await rig.until_at(*await world.send(world.intent(0.8, bar=2)))
        assert outcomes(await rig.reports(3)) == ["filled", "fenced", "fenced"]
        await world.reseed()
        await world.open()
        await rig.until_at(*await world.send(after := world.intent(0.8, bar=3)))
    assert exchange.reached == {lost.intent_id: 1, after.intent_id: 1}


async def test_a_journal_that_was_restored_during_an_outage_is_not_gone_on_from(
    rig: Rig, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.settlement = Settlement.BY_SESSION
    world = rig.world
    await world.fence()
    opened = await world.open()
    async with rig.started() as start:
        lost = world.intent()
        await rig.until_at(*await world.send(lost))
        assert outcomes(await rig.reports(1)) == ["filled"]
        async with acquire(rig.pool) as connection:  # the passage ends, and the next ones cannot begin
            await connection.execute("ALTER TABLE place RENAME TO away")
        try:
            position = (await world.send(world.intent(0.8, bar=1)))[0]
            waits = f"world {world.name} waits"  # once for the passage's end, then for each that could not begin
            await eventually(lambda: caplog.text.count(waits) > 1)
        finally:
            async with acquire(rig.pool) as connection:
                await connection.execute("ALTER TABLE away RENAME TO place")
            await restore(rig, opened)
        await rig.until_at(position)
        assert start.at.restored_mark == 2
        assert outcomes(await rig.reports(2)) == ["filled", "fenced"]
    assert exchange.reached == {lost.intent_id: 1}


async def test_an_order_that_the_venue_has_is_not_given_to_it_again(rig: Rig, exchange: Exchange) -> None:
    exchange.settlement, exchange.moods = Settlement.BY_SESSION, [Mood.MUTE]
    world = rig.world
    await world.fence()
    opened = await world.open()
    asked, answers = asyncio.Event(), asyncio.Event()

    class Slow(SimulatedVenue):
        async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
            asked.set()
            await answers.wait()
            return await super().ask(order_ids)

    rig.venue = lambda: _given(Slow(exchange))
    async with rig.started() as start:
        (position,) = await world.send(intent := world.intent())
        await asyncio.wait_for(asked.wait(), 10.0)  # the venue has it, and nothing of that is booked
        await restore(rig, opened)
        answers.set()
        await eventually(lambda: start.at.restored_mark is not None)
        assert start.at.position == position
    assert exchange.reached == {intent.intent_id: 1}


async def test_a_start_behind_a_standby_waits(rig: Rig) -> None:
    await rig.world.fence()
    async with rig.started() as start:
        await eventually(lambda: start.place is not None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal, "_IS_STANDBY", "SELECT true")
            with pytest.raises(QmtlError, match="standby"):
                await start.journal.check()
        await start.journal.check()


async def test_a_start_that_was_followed_after_a_restore_is_superseded(rig: Rig) -> None:
    await rig.world.fence()
    async with rig.started() as start:
        await eventually(lambda: start.place is not None)
        async with acquire(rig.pool) as connection:
            await connection.execute(
                "UPDATE instance SET token = 'successor', number = 0, start_time = now() WHERE executor = $1",
                rig.executor,
            )
        with pytest.raises(QmtlError, match="a newer start"):
            await start.journal.check()


async def _given(value: Any) -> Any:
    return value


async def test_a_restored_journal_is_noticed_where_nothing_is_written(rig: Rig, exchange: Exchange) -> None:
    world = rig.world
    await world.fence()
    opened = await world.open()
    async with rig.started() as start:
        await rig.until_at(*await world.send(world.intent()))
        await start.journal.check()
        await restore(rig, opened)
        await start.journal.check()  # before each renewal
        await eventually(lambda: start.at.restored_mark is not None)
        assert (await rig.rows("place"))[0]["restored_mark"] == 2
    assert list(exchange.reached.values()) == [1]


async def test_a_start_that_a_restored_database_does_not_know_goes_on_closed(rig: Rig) -> None:
    world = rig.world
    await world.fence()
    opened = await world.open()
    async with rig.started() as start:
        await rig.until_at(opened)
        async with acquire(rig.pool) as connection:
            await connection.execute(
                "UPDATE instance SET token = 'former', number = number - 1, "
                "start_time = start_time - interval '1 hour' WHERE executor = $1",
                rig.executor,
            )
        await start.journal.check()
        await eventually(lambda: start.at.restored_mark is not None)
        await rig.until_at(*await world.send(world.intent()))
        assert outcomes(await rig.reports(1)) == ["fenced"]
        assert (await rig.rows("instance"))[0]["token"] == start.journal.token
