"""The executor as a whole: renews its lease, follows each world that it is enrolled in, publishes reports."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from qmtl_executor.follower import Follower
from qmtl_executor.messages import to_held_place
from qmtl_executor.model import Told
from qmtl_executor.passage import Ground
from qmtl_executor.reports import ReportRelay
from qmtl_executor.world import WorldClient
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import translated_errors
from qmtl_foundation.jetstream.streams import ALL_MARKS

RENEW_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Executor:
    """Follow worlds. It ends only with an error: a newer start has taken over."""

    def __init__(self, ground: Ground, client: WorldClient) -> None:
        self.followers: dict[str, Follower] = {}
        self._ground = ground
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Execute until cancelled."""
        with translated_errors():
            await self._ground.bus.connection.subscribe(ALL_MARKS, cb=self._notice)
        async with asyncio.TaskGroup() as group:
            group.create_task(ReportRelay(self._ground.journal, self._ground.bus).run())
            await self._keep_renewing(group)

    async def _keep_renewing(self, group: asyncio.TaskGroup) -> None:
        while True:
            heed_cancellation()
            try:
                await self._renew(group)
            except QmtlError as error:
                if error.reason is Reason.FOREIGN_INCARNATION:
                    raise
                _log.warning("the lease waits: %s", error)
            except Exception:  # a fault of ours must not end the executor: without a lease nothing passes
                _log.exception("the lease waits")
            await self._ground.lease.due(RENEW_SECONDS)

    async def _renew(self, group: asyncio.TaskGroup) -> None:
        await self._ground.journal.check()
        held = [
            to_held_place(world, each.place, each.lines, self._ground.lease.highest(world))
            for world, each in self.followers.items()
            if each.place is not None
        ]
        question = self._ground.lease.ask()
        renewal = await self._client.renew(held)
        await self._ground.lease.renew(question, renewal.ttl_s, renewal.worlds)
        for world, told in renewal.worlds.items():
            self._join(world, told, group)
        for world in self.followers.keys() - renewal.worlds.keys():
            self._part(world)

    def _join(self, world: str, told: Told, group: asyncio.TaskGroup) -> None:
        if world not in self.followers and told.enrolment_position:
            _log.info("world %s: enrolled behind mark %d", world, told.enrolment)
            follower = Follower(world, self._ground)
            self.followers[world] = follower
            self._tasks[world] = group.create_task(follower.run())

    def _part(self, world: str) -> None:
        _log.info("world %s: not enrolled any more", world)
        self.followers.pop(world)
        self._tasks.pop(world).cancel()

    async def _notice(self, message: Any) -> None:
        """Look at once when a mark appears in a world that is not followed: it may be an enrolment's."""
        if message.subject.split(".")[1] not in self.followers:
            self._ground.lease.hurry()
