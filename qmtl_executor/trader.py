"""Brings a world's lines to their targets: journal first, then the venue, then the journal again.

1. What the venue did since is booked (``look``), so that held shares are known.
2. ``SENDING`` is committed, then the order handed over, then its answer booked with the place in the stream
   (``execute``).
3. What was cut off in between is settled before anything else (``load``): by the venue's answer to that id, or by
   ending the session that may have sent it. Never by absence.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from qmtl_executor.follow import Me, is_ours
from qmtl_executor.journal import Journal, Writing
from qmtl_executor.model import (
    FINAL,
    Answer,
    Intent,
    JournalOrder,
    Line,
    OnDemote,
    OrderState,
    Refused,
    Seat,
    Statement,
    VenueOrder,
    demotion_id,
)
from qmtl_executor.venue import Settlement, Venue, VenueSilentError
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_model import ExecutionModel, Rebalance

RETRY_SECONDS: Final = 1.0
NOBODY: Final = ""  # the strategy of what was handed over and waits

Said = TypeVar("Said")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Market:
    """Hold where a world's orders go and how they are meant."""

    venue: Venue
    model: ExecutionModel


class UnsentError(Exception):
    """Say that the venue never had an order and never will: its intent is read and judged again."""


class Trader:
    """Trade one world. Not for use by several tasks at once."""

    def __init__(self, world: str, me: Me, journal: Journal, market: Market, clock: Clock, enrolment: int) -> None:
        self._world = world
        self._enrolment = enrolment
        self._me = me
        self._journal = journal
        self._market = market
        self._clock = clock
        self._lines: dict[tuple[str, str], Line] = {}
        self._working: dict[str, JournalOrder] = {}
        self._newest: dict[tuple[str, str], datetime] = {}  # bar of which an intent was taken, by strategy and symbol
        self._statement: Statement | None = None
        self.sent_position = 0  # of the newest intent that was given to the venue

    @property
    def lines(self) -> list[Line]:
        """Return what is held, by strategy and symbol."""
        return list(self._lines.values())

    @property
    def has_working(self) -> bool:
        """Tell whether the venue has orders that have not ended."""
        return bool(self._working)

    def trade_at(self, market: Market) -> None:
        """Go on under other terms."""
        self._market = market

    async def load(self) -> None:
        """Read the journal and settle what is in doubt, each order with its place in the stream.

        What was taken under another enrolment is never sent again: the world has moved on. What the venue does not
        know of that stays in doubt, and is logged.
        """
        self._lines = await self._journal.read_lines(self._world)
        self._newest = await self._journal.read_newest(self._world)
        await self._persist(self._market.venue.begin)
        for order in await self._journal.read_under_way(self._world):
            if order.state is OrderState.WORKING:
                self._working[order.order.order_id] = order
            elif order.enrolment == self._enrolment:
                await self._settle_doubt(order)
            else:
                await self._settle_former(order)

    async def repeats(self, intent: Intent, position: int) -> bool:
        """Tell whether an intent repeats one that was taken; if so it is answered as that one."""
        known = await self._journal.read_order(intent.intent_id)
        if known is None:
            return False
        await self._repeat(known, intent, position)
        return True

    async def execute(self, intent: Intent, seat: Seat, position: int, may: Callable[[], bool]) -> bool:
        """Execute an intent that was never taken; return whether it was, and was not too late.

        Raises UnsentError, also where it ``may`` not be sent any more: a venue can keep silent for long before.
        """
        if intent.bar_time < self._newest.get((intent.strategy_id, intent.symbol), intent.bar_time):
            await self._refuse_stale(intent, position)
            return False
        self._newest[intent.strategy_id, intent.symbol] = intent.bar_time
        await self.look(intent.bar_time)
        handed = self._lines.get((NOBODY, intent.symbol), Line(NOBODY, intent.symbol))
        line = self._line(intent.strategy_id, intent.symbol)
        line = replace(line, quantity=line.quantity + handed.quantity)
        weight = intent.target * seat.weight
        if not self._is_due(line, weight) and not handed.quantity:
            await self._leave(intent, line, weight, position)
            return True
        await self._cancel_line(line.strategy_id, line.symbol)
        line = replace(self._line(line.strategy_id, line.symbol), standing=weight)
        line = replace(line, quantity=line.quantity + handed.quantity)
        order = VenueOrder(intent.intent_id, line.strategy_id, line.symbol, weight, line.quantity, intent.bar_time)
        entry = JournalOrder(order, OrderState.SENDING, intent.wish, intent.epoch, position, self._enrolment)
        async with self._journal.writing(self._world) as writing:
            await writing.add(entry)
            await self._draw(writing, line)
            if handed.quantity:
                await self._draw(writing, replace(handed, quantity=0.0))
        if not may():
            await self._forget(order)
            raise UnsentError(intent.intent_id)
        self.sent_position = position
        await self._hand_over(entry)
        return True

    async def look(self, as_of: datetime | None) -> None:
        """Book what the venue did up to a bar's close; None: up to now."""
        statement = await self._persist(lambda: self._market.venue.statement(as_of))
        moved, self._statement = statement != self._statement, statement
        answers: Mapping[str, Answer] = {}
        if self._working:
            ids = list(self._working)
            answers = await self._persist(lambda: self._market.venue.ask(ids))
        told = [answer for answer in answers.values() if answer.state in FINAL or answer.fills]
        if not told and not moved:
            return
        async with self._journal.writing(self._world) as writing:
            await writing.note(statement)
            for answer in told:
                await self._book(writing, self._working[answer.order_id], answer)
            if statement.is_ruined:
                for line in self.lines:
                    await self._draw(writing, replace(line, quantity=0.0, standing=None))

    async def cancel_working(self) -> None:
        """Cancel every order that the venue has; each has ended when this returns."""
        for order in list(self._working.values()):
            await self._cancel(order)

    def has_left(self, seats: Mapping[str, Seat]) -> bool:
        """Tell whether anything is held or ordered by who has no seat."""
        held = {(line.strategy_id, line.symbol) for line in self.lines if line.quantity != 0.0}
        ordered = {(each.order.strategy_id, each.order.symbol) for each in self._working.values()}
        return any(not is_ours(seats.get(strategy_id), self._me) for strategy_id, _ in held | ordered)

    async def demote(
        self, seats: Mapping[str, Seat], on_demote: OnDemote, epoch: int, may: Callable[[], Awaitable[bool]]
    ) -> None:
        """Do with the lines of strategies that left the set what the mark says, as long as it ``may``; the same again
        changes nothing."""
        for line in self.lines:
            if is_ours(seats.get(line.strategy_id), self._me) or not await may():
                continue
            await self._cancel_line(line.strategy_id, line.symbol)
            line = self._line(line.strategy_id, line.symbol)
            if on_demote is OnDemote.FLATTEN and line.quantity != 0.0:
                await self._flatten(line, epoch)
            elif on_demote is OnDemote.HAND_OVER and line.strategy_id != NOBODY and line.quantity != 0.0:
                handed = self._line(NOBODY, line.symbol)
                async with self._journal.writing(self._world) as writing:
                    await self._draw(writing, replace(handed, quantity=handed.quantity + line.quantity))
                    await self._draw(writing, replace(line, quantity=0.0, standing=None))

    async def _flatten(self, line: Line, epoch: int) -> None:
        """Close what a line holds, also where an order that was to do so has ended before; not behind one in doubt,
        of whatever epoch: both together would turn the line round."""
        for each in await self._journal.read_under_way(self._world):
            if each.is_own and self._is_of(each, line.strategy_id, line.symbol):
                _log.error("world %s: %s of %s is not closed: order %s that was to do so has not ended",
                           self._world, line.symbol, line.strategy_id, each.order.order_id)  # fmt: skip
                return
        for attempt in itertools.count():
            order_id = demotion_id(self._world, line.strategy_id, line.symbol, epoch, attempt)
            if await self._journal.read_order(order_id) is None:
                break
        order = VenueOrder(order_id, line.strategy_id, line.symbol, 0.0, line.quantity, self._clock())
        entry = JournalOrder(order, OrderState.SENDING, "", epoch, 0, self._enrolment)
        async with self._journal.writing(self._world) as writing:
            await writing.add(entry)
            await self._draw(writing, replace(line, standing=0.0))
        _log.info("world %s: closing %s of %s, which left the set", self._world, line.symbol, line.strategy_id)
        await self._hand_over(entry)

    async def _repeat(self, known: JournalOrder, intent: Intent, position: int) -> None:
        """Answer an intent whose id was taken before: with its report, or a refusal where the wish is another."""
        async with self._journal.writing(self._world) as writing:
            if known.wish == intent.wish:
                await writing.repeat_report(known, position)
            else:
                message = (
                    f"intent_id: {intent.intent_id} stands for another target; a wish does not change once it is sent"
                )
                await writing.turn_away(intent, Refused(Reason.INTENT_EXISTS, message), position)
            await writing.move(position)

    async def _refuse_stale(self, intent: Intent, position: int) -> None:
        """Refuse an intent that came behind one of a newer bar, through another gateway or after a broken call."""
        message = f"bar_time: an intent of a newer bar of {intent.symbol} was taken; the newer target stands"
        async with self._journal.writing(self._world) as writing:
            await writing.turn_away(intent, Refused(Reason.INTENT_STALE, message), position)
            await writing.move(position)

    async def _leave(self, intent: Intent, line: Line, weight: float, position: int) -> None:
        """Note that an intent changes nothing."""
        order = VenueOrder(intent.intent_id, line.strategy_id, line.symbol, weight, line.quantity, intent.bar_time)
        entry = JournalOrder(order, OrderState.SENDING, intent.wish, intent.epoch, position, self._enrolment)
        async with self._journal.writing(self._world) as writing:
            await writing.add(replace(entry, state=OrderState.UNCHANGED))
            await self._book(writing, entry, Answer(intent.intent_id, OrderState.UNCHANGED))
            await writing.move(position)

    def _is_due(self, line: Line, weight: float) -> bool:
        """Tell whether a stated weight is to be traded, by the world's rule of rebalancing."""
        model = self._market.model
        if weight != line.standing:
            return True
        if model.rebalance is Rebalance.EVERY_BAR:
            return weight != 0.0 or line.quantity != 0.0
        if model.rebalance is Rebalance.DRIFT and self._statement is not None and self._statement.equity > 0.0:
            is_working = any(self._is_of(each, line.strategy_id, line.symbol) for each in self._working.values())
            held = line.quantity * self._statement.marks.get(line.symbol, 0.0) / self._statement.equity
            return not is_working and abs(held - weight) > model.drift
        return False

    async def _hand_over(self, entry: JournalOrder) -> None:
        order = entry.order
        try:
            answer = await self._market.venue.send(order)
        except VenueSilentError as error:
            _log.warning("world %s: order %s is in doubt: %s", self._world, order.order_id, error)
            if not await self._settle_doubt(entry):
                raise UnsentError(order.order_id) from error
            return
        await self._booked(entry, answer)

    async def _settle_doubt(self, entry: JournalOrder) -> bool:
        """Settle an order in doubt; return False, and forget it, where the venue never had it and never will."""
        order = entry.order
        answer = await self._persist(lambda: self._answer_of(order))
        if answer is None:
            await self._forget(order)
            return False
        await self._booked(entry, answer)
        return True

    async def _forget(self, order: VenueOrder) -> None:
        """Take an order out of the journal that the venue does not have: its line stands for no weight."""
        line = replace(self._line(order.strategy_id, order.symbol), standing=None)
        async with self._journal.writing(self._world) as writing:
            await writing.forget(order.order_id)
            await self._draw(writing, line)

    async def _settle_former(self, entry: JournalOrder) -> None:
        order_id = entry.order.order_id
        known = (await self._persist(lambda: self._market.venue.ask([order_id]))).get(order_id)
        if known is not None:
            await self._booked(entry, known)
        else:
            _log.error("world %s: order %s of a former enrolment stays in doubt: the venue does not know it",
                       self._world, order_id)  # fmt: skip

    async def _answer_of(self, order: VenueOrder) -> Answer | None:
        """Return the venue's word on an order in doubt; None where it never had it and never will."""
        venue = self._market.venue
        known = (await venue.ask([order.order_id])).get(order.order_id)
        if known is not None:
            return known
        if venue.settlement is Settlement.BY_ID:
            return await venue.send(order)
        await venue.begin()
        return (await venue.ask([order.order_id])).get(order.order_id)

    async def _booked(self, entry: JournalOrder, answer: Answer) -> None:
        async with self._journal.writing(self._world) as writing:
            await self._book(writing, entry, answer)
            if not entry.is_own:
                await writing.move(entry.position)

    async def _book(self, writing: Writing, entry: JournalOrder, answer: Answer) -> None:
        """Book an answer; what is remembered follows what is written."""
        order = entry.order
        line = await writing.settle(entry, answer, self._line(order.strategy_id, order.symbol))
        self._lines[line.strategy_id, line.symbol] = line
        if answer.state in FINAL:
            self._working.pop(order.order_id, None)
        else:
            self._working[order.order_id] = replace(entry, state=answer.state)

    async def _cancel_line(self, strategy_id: str, symbol: str) -> None:
        for order in list(self._working.values()):
            if self._is_of(order, strategy_id, symbol):
                await self._cancel(order)

    async def _cancel(self, order: JournalOrder) -> None:
        answer = await self._persist(lambda: self._market.venue.cancel(order.order.order_id))
        async with self._journal.writing(self._world) as writing:
            await self._book(writing, order, answer)

    async def _draw(self, writing: Writing, line: Line) -> None:
        await writing.draw(line)
        self._lines[line.strategy_id, line.symbol] = line

    def _line(self, strategy_id: str, symbol: str) -> Line:
        return self._lines.get((strategy_id, symbol), Line(strategy_id, symbol))

    @staticmethod
    def _is_of(order: JournalOrder, strategy_id: str, symbol: str) -> bool:
        return (order.order.strategy_id, order.order.symbol) == (strategy_id, symbol)

    async def _persist(self, ask: Callable[[], Awaitable[Said]]) -> Said:
        """Ask the venue until it answers; nothing of this world goes on before."""
        while True:
            heed_cancellation()
            try:
                return await ask()
            except VenueSilentError as error:
                _log.warning("world %s: the venue is silent: %s", self._world, error)
                await asyncio.sleep(RETRY_SECONDS)
