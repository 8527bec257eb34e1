"""What waits to be told to one runner, bounded: a slow one is told the newest event as a snapshot, and reads the
reports that it missed from their stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from qmtl_gateway.sessions.holders import Holder
from qmtl_gateway.sessions.model import Event, Report

WAITING_EVENTS: Final = 64
WAITING_REPORTS: Final = 1_000

# Returns the next reports of a world behind a place of their stream, oldest first, of every strategy; none at the end.
Missed = Callable[[str, int], Coroutine[Any, Any, list[Report]]]


@dataclass(frozen=True, slots=True)
class Renewed:
    """Answer a heartbeat: its number, and where the gateway stands; 0 where it does not know."""

    number: int
    epoch: int
    sequence: int


class Session:
    """Hold one connection of a runner. ``position`` is the place behind which it has no report yet; ``has_missed``:
    reports that it is not going to be handed may stand there."""

    def __init__(self, holder: Holder, position: int, *, has_missed: bool = True) -> None:
        self.holder = holder
        self.position = position
        self._missed = has_missed  # reports that stand in the stream are read before those that are handed over
        self._told = 0  # sequence of the newest event handed out or waiting
        self._events: deque[Event] = deque()
        self._renewed: Renewed | None = None
        self._reports: deque[Report] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    def begin(self, snapshot: Event) -> None:
        """Note that the runner's welcome has an event."""
        self._told = snapshot.gate.sequence

    def tell(self, event: Event) -> bool:
        """Let an event follow those that wait; return whether the runner was not told it already."""
        if event.gate.sequence <= self._told:
            return False
        self._told = event.gate.sequence
        if len(self._events) == WAITING_EVENTS:
            self._events.clear()
        self._events.append(event)
        self._changed.set()
        return True

    def renew(self, renewed: Renewed) -> None:
        """Answer a heartbeat; of several that wait only the newest is answered."""
        self._renewed = renewed
        self._changed.set()

    def deliver(self, report: Report) -> None:
        """Let a report of this strategy follow those that wait."""
        if len(self._reports) == WAITING_REPORTS:
            self._reports.clear()
            self._missed = True
        else:
            self._reports.append(report)
        self._changed.set()

    def end(self, error: Exception | None = None) -> None:
        """End the session: well, or with an error."""
        self._ended = True
        self._error = self._error or error
        self._changed.set()

    async def items(self, read: Missed) -> AsyncIterator[Event | Renewed | Report]:
        """Yield what the runner is to be told, events first; raise the error that the session ended with.

        Missed reports are read meanwhile: no event and no renewal waits for them.
        """
        reading: asyncio.Task[list[Report]] | None = None
        found: deque[Report] = deque()
        try:
            while not self._ended:
                if self._events:
                    yield self._events.popleft()
                elif self._renewed is not None:
                    renewed, self._renewed = self._renewed, None
                    yield renewed
                elif found:
                    yield found.popleft()
                elif reading is not None and reading.done():
                    found.extend(self._found(reading.result()))
                    reading = None
                elif reading is None and self._missed:
                    self._missed = False  # what overflows while reading is missed again
                    reading = asyncio.create_task(read(self.holder.world, self.position))
                    reading.add_done_callback(lambda _: self._changed.set())
                elif reading is None and self._reports:
                    report = self._reports.popleft()
                    if report.position > self.position:
                        self.position = report.position
                        yield report
                else:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            if reading is not None:
                reading.cancel()
        if self._error is not None:
            raise self._error

    def _found(self, missed: list[Report]) -> list[Report]:
        """Return those of this strategy's among what was read, and note whether there may be more."""
        if missed:
            self._missed = True
            self.position = missed[-1].position
        return [each for each in missed if each.strategy_id == self.holder.strategy_id]


class Sessions:
    """Hold the sessions on this gateway, by world and by strategy."""

    def __init__(self) -> None:
        self._worlds: dict[str, set[Session]] = {}
        self._strategies: dict[tuple[str, str], set[Session]] = {}
        self.count = 0

    def add(self, session: Session) -> None:
        """Let a session be told what concerns it."""
        holder = session.holder
        self._worlds.setdefault(holder.world, set()).add(session)
        self._strategies.setdefault((holder.world, holder.strategy_id), set()).add(session)
        self.count += 1

    def remove(self, session: Session) -> None:
        """Forget a session."""
        world, strategy = session.holder.world, (session.holder.world, session.holder.strategy_id)
        self._worlds[world].discard(session)
        self._strategies[strategy].discard(session)
        if not self._worlds[world]:
            del self._worlds[world]
        if not self._strategies[strategy]:
            del self._strategies[strategy]
        self.count -= 1

    def of_world(self, world: str) -> list[Session]:
        """Return the sessions of a world."""
        return list(self._worlds.get(world, ()))

    def deliver(self, report: Report) -> None:
        """Hand a report to the sessions of its strategy."""
        for session in self._strategies.get((report.world, report.strategy_id), ()):
            session.deliver(report)

    def end(self, error: Exception) -> None:
        """End every session with an error."""
        for sessions in self._worlds.values():
            for session in sessions:
                session.end(error)
