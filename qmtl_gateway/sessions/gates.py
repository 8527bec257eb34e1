"""The gates of the worlds that this gateway knows: what order ingress reads, and runners are told.

A gate is there while its world is in step with the control stream and the gateway's lease lasts; else it is closed.
Whatever may have made a gateway miss something closes first, and reads a snapshot then (``follow.py`` has the rules).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.telemetry import LabelledCounter
from qmtl_gateway.sessions import follow
from qmtl_gateway.sessions.follow import Followed, Resync
from qmtl_gateway.sessions.model import Event, Gate, WorldPlace

FIRST_SECONDS: Final = 2.0  # a caller waits so long for a world's first snapshot
RETRY_SECONDS: Final = 0.1  # the relay is a moment ahead of what the database knows as relayed
FAILED_SECONDS: Final = 1.0
READS_AT_ONCE: Final = 16
NAMED_WORLDS: Final = 2_000  # in one renewal: its message is made on the event loop

_log = logging.getLogger(__name__)


class Gates:
    """Hold the gate of each world.

    ``read`` returns a world's snapshot. ``applied`` is called with each event that a world is in step with; once more
    with the same one when nothing newer came while it was closed. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[Event]],
        applied: Callable[[Event], None],
        resyncs: LabelledCounter,
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._applied = applied
        self._resyncs = resyncs
        self._clock = clock
        self._held: dict[str, Followed] = {}
        self._first: dict[str, asyncio.Future[None]] = {}  # done when a world's first snapshot was read
        self._lease_until = 0.0
        self._subscribed = False
        self._begun = 0  # counts subscriptions and registrations: a snapshot asked for before one may miss events
        self._asked: set[str] = set()
        self._reading: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def is_following(self) -> bool:
        """Tell whether what is told now arrives."""
        return self._subscribed

    def find(self, world: str) -> Gate | None:
        """Return a world's gate as of now, None where it is closed because the gateway cannot know."""
        event = self.newest(world)
        return None if event is None else event.gate

    def newest(self, world: str) -> Event | None:
        """Return the newest event of a world that is in step, None as for ``find``."""
        held = self._held.get(world)
        if held is None or held.gate is None or self._clock() >= self._lease_until:
            return None
        return held.last

    async def known(self, world: str) -> Gate | None:
        """Return a world's gate, read first where the world was not known; None where that takes too long.

        Raises QmtlError(WORLD_NOT_FOUND).
        """
        if world not in self._held:
            self._hold(world)
        first = self._first.get(world)
        if first is not None and self._ready:
            try:
                async with asyncio.timeout(FIRST_SECONDS):
                    await asyncio.shield(first)
            except TimeoutError:
                _log.warning("the first snapshot of world %s takes long; its gate is closed", world)
        return self.find(world)

    # ---- What happens

    def take(self, event: Event) -> None:
        """Follow an event of the control stream; a run waits for every gateway, also for one without a runner in it."""
        world = event.gate.world
        held = self._held.get(world) or self._hold(world)
        self._put(world, follow.apply(held, event))

    def doubt(self, world: str, reason: Resync) -> None:
        """Close a world of which something came that cannot be read."""
        held = self._held.get(world)
        if held is not None:
            self._put(world, follow.lost(held, reason))

    def subscribed(self) -> None:
        """Note that everything that is told from now on arrives."""
        self._subscribed = True
        self._begin()

    def unsubscribed(self) -> None:
        """Close every world: what is told now is missed."""
        self._subscribed = False
        self._begun += 1
        self._close(Resync.STREAM)

    def renewed(self, until: float, stated: Sequence[Gate], places: Sequence[WorldPlace]) -> None:
        """Take a renewed lease, and where the worlds stand that were stated when it was asked for; every world is read
        anew after one that was over."""
        if self._clock() >= self._lease_until:
            self._close(Resync.LEASE)
            self._begin()
        self._lease_until = until
        shown = {each.world: each for each in places}
        for each in stated:
            held = self._held.get(each.world)
            if held is not None:
                self._put(each.world, follow.shown(held, each, shown.get(each.world)))

    def places(self) -> list[Gate]:
        """Return how far each world is; of more than one renewal may name, others each time."""
        named = [held.last.gate for held in self._held.values() if held.last is not None]
        if len(named) <= NAMED_WORLDS:
            return named
        for gate in named[:NAMED_WORLDS]:
            self._held[gate.world] = self._held.pop(gate.world)
        return named[:NAMED_WORLDS]

    # ---- Reading snapshots

    async def run(self) -> None:
        """Read snapshots of what is closed until cancelled."""
        slots = asyncio.Semaphore(READS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                heed_cancellation()
                await self._changed.wait()
                self._changed.clear()
                while self._ready and self._asked:
                    await slots.acquire()
                    world = self._asked.pop()
                    self._reading.add(world)
                    tasks.create_task(self._resync(world, slots))

    async def _resync(self, world: str, slots: asyncio.Semaphore) -> None:
        """Read a world's snapshot, and ask for another one after a while if that did not suffice."""
        pause = FAILED_SECONDS
        try:
            await self._read_once(world)
            if not self._is_astray(world):
                pause = RETRY_SECONDS
        except QmtlError as error:
            _log.warning("world %s stays closed: %s", world, error)
        except Exception:  # a fault of ours must not end the gateway: the world stays closed
            _log.exception("world %s stays closed", world)
        finally:
            slots.release()
        if self._is_closed(world):
            await asyncio.sleep(pause)
        self._reading.discard(world)
        if self._is_closed(world):
            self._ask(world)

    async def _read_once(self, world: str) -> None:
        begun = self._begun
        try:
            snapshot = await self._read(world)
        except QmtlError as error:
            if error.reason is not Reason.WORLD_NOT_FOUND:
                raise
            self._forget(world, error)
            return
        held = self._held.get(world)
        if held is not None and begun == self._begun:
            self._put(world, follow.resynced(held, _as_heard(snapshot, held.ahead)))
            self._end_first(world)

    def _hold(self, world: str) -> Followed:
        """Begin to follow a world, closed until its first snapshot was read."""
        held = self._held[world] = Followed()
        self._first[world] = asyncio.get_running_loop().create_future()
        self._ask(world)
        return held

    def _put(self, world: str, after: Followed) -> None:
        before = self._held[world]
        self._held[world] = after
        is_news = before.resync is None or (after.resync is Resync.ASTRAY and before.resync is not Resync.ASTRAY)
        if after.resync is not None and is_news:
            _log.warning("world %s is closed until it is read anew: %s", world, after.resync)
            self._resyncs.add(after.resync)
            self._ask(world)
        if after.gate is not None and after.last is not None and after is not before:
            self._applied(after.last)

    def _close(self, reason: Resync) -> None:
        closing = [world for world, held in self._held.items() if held.resync is None]
        for world in closing:
            self._held[world] = follow.lost(self._held[world], reason)
            self._ask(world)
        if closing:
            _log.warning("%d worlds are closed until they are read anew: %s", len(closing), reason)
            self._resyncs.add(reason, len(closing))

    def _begin(self) -> None:
        self._begun += 1
        self._changed.set()

    def _ask(self, world: str) -> None:
        if world not in self._reading:  # else it is asked for again by whoever reads, if need be
            self._asked.add(world)
            self._changed.set()

    def _forget(self, world: str, error: QmtlError) -> None:
        self._held.pop(world, None)
        self._end_first(world, error)

    def _end_first(self, world: str, error: QmtlError | None = None) -> None:
        first = self._first.pop(world, None)
        if first is None:
            return
        if error is None:
            first.set_result(None)
        else:
            first.set_exception(error)
            first.exception()  # it may be that nobody waits any more

    def _is_closed(self, world: str) -> bool:
        held = self._held.get(world)
        return held is not None and held.resync is not None

    def _is_astray(self, world: str) -> bool:
        held = self._held.get(world)
        return held is not None and held.resync is Resync.ASTRAY

    @property
    def _ready(self) -> bool:
        return self._subscribed and self._clock() < self._lease_until


def _as_heard(snapshot: Event, heard: Event | None) -> Event:
    """Return a snapshot within the trace of the event that it is of, where that was heard meanwhile."""
    if heard is None or heard.gate.event_hash != snapshot.gate.event_hash:
        return snapshot
    return replace(snapshot, trace=heard.trace)
