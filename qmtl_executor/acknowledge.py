"""Acknowledges the marks that an executor passed, in order, again and again until each is taken or refused for good."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from qmtl_executor.model import Passed
from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import UNANSWERED, QmtlError

RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Acknowledgements:
    """Say what was passed in one world. A mark of a newer epoch makes those of older ones idle."""

    def __init__(self, world: str, send: Callable[[Passed], Awaitable[None]]) -> None:
        self._world = world
        self._send = send
        self._unsaid: deque[tuple[Passed, str]] = deque()  # each with the trace that it belongs to
        self._some = asyncio.Event()

    def say(self, passed: Passed) -> None:
        """Acknowledge a mark from now on."""
        if any(each.epoch < passed.epoch for each, _ in self._unsaid):
            self._unsaid.clear()
        self._unsaid.append((passed, tracing.current()))
        self._some.set()

    def void(self) -> None:
        """Acknowledge nothing more: a mark was missed, what was passed before it does not count."""
        self._unsaid.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            heed_cancellation()
            if not self._unsaid:
                self._some.clear()
                await self._some.wait()
                continue
            passed, trace = self._unsaid[0]
            with tracing.span("acknowledge mark", trace, attributes={"qmtl.world": self._world}):
                await self._say(passed)

    async def _say(self, passed: Passed) -> None:
        """Send one until it is answered, or void."""
        while self._unsaid and self._unsaid[0][0] is passed:
            heed_cancellation()
            try:
                await self._send(passed)
            except QmtlError as error:
                if error.reason in UNANSWERED:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                _log.info("world %s: mark %d was not taken: %s", self._world, passed.number, error)
            if self._unsaid and self._unsaid[0][0] is passed:
                self._unsaid.popleft()
