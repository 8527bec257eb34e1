"""What every venue adapter has to keep, as checks of a pair of sessions with one account.

``Bench`` is how a test reaches the venue's other side: ``elapse`` lets what can be filled be filled.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from qmtl_executor.model import FINAL, Answer, OrderState, VenueOrder
from qmtl_executor.venue import Settlement, Venue

BAR = datetime(2013, 1, 2, 21, tzinfo=UTC)
ORDER = VenueOrder("blake3:" + "0" * 64, "ann/Trend", "AAPL", 0.5, 0.0, BAR)


@dataclass(frozen=True, slots=True)
class Bench:
    """Hold a venue: ``session`` opens a session with the same account as the last one, ``elapse`` lets time pass."""

    session: Callable[[], Awaitable[Venue]]
    elapse: Callable[[Venue], Awaitable[None]]


async def knows_what_was_sent(bench: Bench) -> None:
    """An order is known by its id from its sending on, in this session and the next; others are not."""
    venue = await bench.session()
    sent = await venue.send(ORDER)
    assert sent.order_id == ORDER.order_id
    assert sent.state is not OrderState.SENDING
    for each in (venue, await bench.session()):
        assert set(await each.ask([ORDER.order_id, "another"])) == {ORDER.order_id}


async def an_id_is_filled_once(bench: Bench) -> None:
    """BY_ID: the same id again, also with other content, is answered as it stands. BY_SESSION: what a session sends
    after another one has begun never arrives."""
    venue = await bench.session()
    await venue.send(ORDER)
    await bench.elapse(venue)
    before = await asked(venue)
    if venue.settlement is Settlement.BY_ID:
        assert filled(await venue.send(replace(ORDER, weight=0.9))) == filled(before)
    else:
        late, newer = venue, await bench.session()
        other = replace(ORDER, order_id="late")
        with suppress(Exception):  # however the venue says it
            await late.send(other)
        await bench.elapse(newer)
        assert await newer.ask(["late"]) == {}
    await bench.elapse(venue)
    assert filled(await asked(venue)) == filled(before)


async def what_has_ended_stays_as_it_ended(bench: Bench) -> None:
    """A fill is told for ever, under one id, and a filled order cannot be cancelled."""
    venue = await bench.session()
    await venue.send(ORDER)
    await bench.elapse(venue)
    ended = await asked(venue)
    assert ended.state is OrderState.FILLED
    assert filled(ended)
    assert all(math.isfinite(each.price) and each.price > 0.0 and each.fee >= 0.0 for each in ended.fills)
    assert await venue.cancel(ORDER.order_id) in (ended, replace(ended, fills=tuple(dict.fromkeys(ended.fills))))
    assert filled(await asked(await bench.session())) == filled(ended)


async def what_was_cancelled_is_never_filled(bench: Bench) -> None:
    """A cancelled order has ended; cancelling it again says the same."""
    venue = await bench.session()
    answer = await venue.send(ORDER)
    if answer.state in FINAL:  # a venue that fills at once has nothing to cancel
        return
    assert (await venue.cancel(ORDER.order_id)).state is OrderState.CANCELLED
    await bench.elapse(venue)
    assert (await venue.cancel(ORDER.order_id)).state is OrderState.CANCELLED
    assert (await asked(venue)).fills == ()


async def the_account_is_stated(bench: Bench) -> None:
    """Cash and equity are numbers, before the first order and behind it."""
    venue = await bench.session()
    for _ in range(2):
        statement = await venue.statement(BAR)
        assert math.isfinite(statement.cash)
        assert math.isfinite(statement.equity)
        await venue.send(ORDER)
        await bench.elapse(venue)


CONTRACT = (
    knows_what_was_sent,
    an_id_is_filled_once,
    what_has_ended_stays_as_it_ended,
    what_was_cancelled_is_never_filled,
    the_account_is_stated,
)


async def asked(venue: Venue) -> Answer:
    """Return what the venue says of the order."""
    return (await venue.ask([ORDER.order_id]))[ORDER.order_id]


def filled(answer: Answer) -> dict[str, float]:
    """Return the fills by their ids."""
    return {each.fill_id: each.quantity for each in answer.fills}
