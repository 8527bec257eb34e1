"""What the world service last said, and for how long it counts: monotonic time from before the question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from qmtl_executor.model import Told

HURRY_SECONDS: Final = 0.1  # at least between two renewals: marks of other worlds ask for one too


class Lease:
    """Hold the lease of one start of an executor. It closes what it does not cover, and opens nothing."""

    def __init__(self) -> None:
        self._expires = -1.0
        self._worlds: Mapping[str, Told] = {}
        self._renewed = asyncio.Condition()
        self._wanted = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Tell whether the lease lasts."""
        return time.monotonic() < self._expires

    def told(self, world: str) -> Told | None:
        """Return where a world stands by the newest renewal; None when this executor is not enrolled there."""
        return self._worlds.get(world)

    async def renew(self, asked: float, ttl_s: float, worlds: Mapping[str, Told]) -> None:
        """Take a renewal that was asked for at a monotonic moment."""
        self._expires, self._worlds = asked + ttl_s, worlds
        async with self._renewed:
            self._renewed.notify_all()

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
