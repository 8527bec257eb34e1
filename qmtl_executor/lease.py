"""What the world service last said, for how long it counts (monotonic time from before the question), and since when
it is known: renewals are numbered as they are asked for, so that one can tell what it was asked after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qmtl_executor.model import Told

HURRY_SECONDS: Final = 0.1  # at least between two renewals: marks of other worlds ask for one too


@dataclass(frozen=True, slots=True)
class Question:
    """Hold one renewal that was asked for: its number, from 1, and the monotonic moment before it was sent."""

    number: int
    asked: float


class Lease:
    """Hold the lease of one start of an executor. It closes what it does not cover, and opens nothing."""

    def __init__(self) -> None:
        self._asked = 0
        self._answered = 0
        self._expires = -1.0
        self._worlds: Mapping[str, Told] = {}
        self._highest: dict[str, int] = {}  # epoch that was ever told, by world
        self._renewed = asyncio.Condition()
        self._wanted = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Tell whether the lease lasts."""
        return time.monotonic() < self._expires

    @property
    def asked(self) -> int:
        """Return the number of the newest renewal that was asked for: no answer up to it knows what happens now."""
        return self._asked

    def told(self, world: str) -> Told | None:
        """Return where a world stands by the newest renewal; None when this executor is not enrolled there."""
        return self._worlds.get(world)

    def believed(self, world: str) -> Told | None:
        """Return the same, but None where a newer epoch was told before: the world service has lost that one, and what
        it says now lets nothing pass."""
        told = self.told(world)
        return None if told is None or told.epoch < self.highest(world) else told

    def highest(self, world: str) -> int:
        """Return the newest epoch of a world that was ever told."""
        return self._highest.get(world, 0)

    def ask(self) -> Question:
        """Begin a renewal."""
        self._asked += 1
        return Question(self._asked, time.monotonic())

    async def renew(self, question: Question, ttl_s: float, worlds: Mapping[str, Told]) -> None:
        """Take the answer to a renewal."""
        self._expires, self._worlds, self._answered = question.asked + ttl_s, worlds, question.number
        self._highest |= {world: max(told.epoch, self.highest(world)) for world, told in worlds.items()}
        async with self._renewed:
            self._renewed.notify_all()

    async def held_since(self, number: int) -> None:
        """Return when the lease lasts by a renewal that was asked for after the one of this number."""
        while not (self._answered > number and self.is_held):
            await self.next_renewal()

    async def next_renewal(self) -> None:
        """Return after the next renewal."""
        async with self._renewed:
            await self._renewed.wait()

    def hurry(self) -> None:
        """Ask for a renewal now: something is to be said, or learnt."""
        self._wanted.set()

    async def due(self, seconds: float) -> None:
        """Return when a renewal was asked for, at the latest after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return
        await asyncio.sleep(HURRY_SECONDS)
        self._wanted.clear()
