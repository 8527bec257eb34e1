"""One passage through a world's part of the order stream: lets ``follow`` judge, performs, commits, acknowledges.

A passage ends when something fails or has changed under it; the next one begins from what is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import SpanKind

from qmtl_executor import follow
from qmtl_executor.acknowledge import Acknowledgements
from qmtl_executor.counters import Counters
from qmtl_executor.follow import Act, Me
from qmtl_executor.journal import Journal
from qmtl_executor.lease import Lease
from qmtl_executor.model import (
    Fenced,
    Intent,
    Mark,
    Message,
    OnFreeze,
    Passed,
    Place,
    Refused,
    Told,
    Unreadable,
    Verdict,
)
from qmtl_executor.stream import Reader, reading
from qmtl_executor.trader import Market, Trader
from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import ORDERS

GRACE_BEATS: Final = 3  # heartbeats without a message after which all intents of a bar are here, and fills are due
SETTLED_BEATS: Final = 10  # heartbeats without a message after which the place moves on, past what is others'

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold what an executor's passages stand on. ``open_market`` reads a world's terms anew at each call."""

    me: Me
    journal: Journal
    bus: Bus
    lease: Lease
    open_market: Callable[[str], Awaitable[Market]]
    acknowledge: Callable[[str, Passed], Awaitable[None]]
    counters: Counters
    clock: Clock


class ReenrolledError(Exception):
    """Say that the world service has another enrolment than the passage began with."""


class Passage:
    """Be one passage; ``place`` is how far it is, ``behind`` how many messages are still to be read."""

    def __init__(
        self, world: str, ground: Ground, place: Place, trader: Trader, acknowledgements: Acknowledgements
    ) -> None:
        self.place = place
        self.trader = trader
        self.behind = 0
        self._world = world
        self._ground = ground
        self._acknowledgements = acknowledgements
        self._beats = 0
        self._before_open = ground.lease.asked  # number of a renewal: only later ones know of the Open
        if place.is_open:
            ground.lease.hurry()

    @classmethod
    async def begin(cls, world: str, ground: Ground, acknowledgements: Acknowledgements, lost: Place | None) -> Passage:
        """Settle what a former passage left in doubt, and return one that goes on where it stood; ``lost`` is where
        that was in a journal that was restored since, if it was."""
        told = _enrolment(world, ground)
        await ground.journal.read_place(world)  # raises before anything is done by a journal that was restored
        market = await ground.open_market(world)
        trader = Trader(world, ground.me, ground.journal, market, ground.clock, told.enrolment)
        await trader.load()
        stored, passed = await ground.journal.read_place(world)  # settling moved it
        stream = await ground.bus.state(ORDERS)
        place = follow.enrolled(told, stream.generation) if stored is None else stored
        if lost is not None:
            place = follow.on_restored(replace(lost, enrolment=place.enrolment))
        place = follow.on_enrolment(place, told)
        place = follow.on_stream(place, stream.generation, stream.first, stream.last, told.purged)
        if place != stored:
            async with ground.journal.writing(world) as writing:
                await writing.stand(place, None)
        passage = cls(world, ground, place, trader, acknowledgements)
        if place.unsure:
            passage._close()
        elif passed is not None:
            acknowledgements.say(passed)
        return passage

    @property
    def reached(self) -> Place:
        """Return the place behind all that was settled or given to the venue."""
        return replace(self.place, position=max(self.place.position, self.trader.sent_position))

    async def run(self) -> None:
        """Pass one message after the other.

        Raises QmtlError for what fails, ReenrolledError, UnsentError, JournalRestoredError.
        """
        ground = self._ground
        async with reading(ground.bus, self._world, ground.me.executor, self.place.position) as reader:
            while True:
                heed_cancellation()
                message = await reader.next()
                self.behind = reader.behind
                ground.journal.check_restored(self._world)
                told = ground.lease.told(self._world)
                if told is not None and told.enrolment != self.place.enrolment and told.enrolment_position:
                    raise ReenrolledError(self._world)
                if message is None:
                    await self._rest(reader)
                elif message.position > self.place.position:
                    self._beats = 0
                    await self._pass_traced(message)

    async def _pass_traced(self, message: Message) -> None:
        what = type(message.content).__name__.lower()
        with tracing.span(f"pass {what}", message.trace, SpanKind.CONSUMER, {"qmtl.world": self._world}):
            await self._pass(message)

    async def _pass(self, message: Message) -> None:
        match message.content:
            case Mark() as mark:
                await self._pass_mark(mark, message.position)
            case Intent() as intent:
                await self._pass_intent(intent, message.position)
            case Unreadable() as unreadable:
                _log.error("world %s: %s at %d", self._world, unreadable.cause, message.position)
                await self._stand(follow.pass_unreadable(self.place, unreadable, message.position), None)

    async def _pass_mark(self, mark: Mark, position: int) -> None:
        """Settle what stands before a mark, do what it says, and only then note and acknowledge it."""
        step = follow.pass_mark(self.place, mark, position)
        if step.act is Act.FENCED and mark.on_freeze is OnFreeze.CANCEL:
            await self.trader.cancel_working()
        if step.act is Act.OPENED:
            self.trader.trade_at(await self._ground.open_market(self._world))
            await self._demote(mark, step.place)
        await self._stand(step.place, step.passed)
        if step.act is Act.OPENED:
            self._before_open = self._ground.lease.asked
            self._ground.lease.hurry()

    async def _demote(self, mark: Mark, place: Place) -> None:
        """Do with the lines of who left the set as an Open says, once the world service has confirmed it; what an Open
        of a life that is gone would close is left to the next one."""
        if not self.trader.has_left(mark.seats):
            return
        lease = self._ground.lease
        before = lease.asked
        lease.hurry()

        async def may() -> bool:
            await lease.held_since(before)
            return self._is_confirmed(place)

        await self.trader.demote(mark.seats, mark.on_demote, mark.epoch, may)

    async def _pass_intent(self, intent: Intent, position: int) -> None:
        """Answer an intent that was taken before, wherever it stands; judge any other."""
        if not await self.trader.repeats(intent, position):
            await self._pass_new(intent, position)
        self.place = replace(self.place, position=position)

    async def _pass_new(self, intent: Intent, position: int) -> None:
        verdict = await self._judged(intent)
        counters = self._ground.counters
        if isinstance(verdict, Fenced | Refused):
            async with self._ground.journal.writing(self._world) as writing:
                await writing.turn_away(intent, verdict, position)
                await writing.move(position)
            (counters.fenced if isinstance(verdict, Fenced) else counters.refused).add(self._world)
        elif await self.trader.execute(intent, verdict.seat, position, lambda: self._is_confirmed(self.place)):
            counters.executed.add(self._world)

    async def _judged(self, intent: Intent) -> Verdict:
        """Return what becomes of an intent. One that may pass waits while the world service has not said anything
        since the Open, and while the lease is lost: nobody can say no then."""
        kept_back = follow.fenced(self.place, intent)
        if kept_back is not None:
            return kept_back
        lease = self._ground.lease
        await lease.held_since(self._before_open)
        return follow.judge(self.place, intent, self._ground.me, lease.believed(self._world))

    def _is_confirmed(self, place: Place) -> bool:
        lease = self._ground.lease
        told = lease.believed(self._world)
        return lease.is_held and told is not None and follow.confirms(place, told)

    async def _rest(self, reader: Reader) -> None:
        """Do what is due when nothing comes."""
        self._beats += 1
        if self._beats >= GRACE_BEATS and self.trader.has_working:
            await self.trader.look(None)
        if self._beats % SETTLED_BEATS:
            return
        position = await reader.quiet_until()
        if position > self.place.position:
            async with self._ground.journal.writing(self._world) as writing:
                await writing.move(position)
            self.place = replace(self.place, position=position)

    async def _stand(self, place: Place, passed: Passed | None) -> None:
        async with self._ground.journal.writing(self._world) as writing:
            await writing.stand(place, passed)
        before, self.place = self.place, place
        if place.unsure and not before.unsure:
            self._close()
        elif before.unsure and not place.unsure:
            _log.info("world %s: a Fence was passed, its place is sure again", self._world)
        if passed is not None:
            self._acknowledgements.say(passed)

    def _close(self) -> None:
        """Tell the world service at once: what was acknowledged is void, and the marks are to be repeated."""
        why = "something was missed in the order stream: closed until a Fence"
        if self.place.restored_mark is not None:
            why = "the journal has lost what was done: closed until the world is reseeded"
        _log.warning("world %s: %s", self._world, why)
        self._acknowledgements.void()
        self._ground.lease.hurry()


def _enrolment(world: str, ground: Ground) -> Told:
    told = ground.lease.told(world)
    if told is None or not told.enrolment_position:
        raise QmtlError(
            Reason.EXECUTOR_NOT_FOUND,
            "this executor is not enrolled, or its Fence is not in the order stream yet",
            metadata={"world": world, "executor": ground.me.executor},
        )
    return told
