"""Follows one world: passage after passage, each from what the last one stored; only a successor's token ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from qmtl_executor.acknowledge import Acknowledgements
from qmtl_executor.journal import JournalRestoredError
from qmtl_executor.model import Line, Place
from qmtl_executor.passage import Ground, Passage, ReenrolledError
from qmtl_executor.trader import UnsentError
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason

RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class Follower:
    """Follow one world."""

    def __init__(self, world: str, ground: Ground) -> None:
        self._world = world
        self._ground = ground
        self._acknowledgements = Acknowledgements(world, lambda passed: ground.acknowledge(world, passed))
        self._passage: Passage | None = None
        self._lost: Place | None = None  # where it was in a journal that is gone, until a passage has begun from there

    @property
    def place(self) -> Place | None:
        """Return how far it is, None before that was read."""
        return None if self._passage is None else self._passage.place

    @property
    def behind(self) -> int:
        """Return how many messages of the world are still to be read."""
        return 0 if self._passage is None else self._passage.behind

    @property
    def lines(self) -> list[Line]:
        """Return what is held."""
        return [] if self._passage is None else self._passage.trader.lines

    async def run(self) -> None:
        """Follow until cancelled. Raises QmtlError FOREIGN_INCARNATION when a newer start has taken over."""
        self._ground.counters.zero(self._world)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._acknowledgements.run())
            while True:
                heed_cancellation()
                await self._pass_once()
                await asyncio.sleep(RETRY_SECONDS)

    async def _pass_once(self) -> None:
        try:
            self._passage = await Passage.begin(self._world, self._ground, self._acknowledgements, self._lost)
            self._lost = None
            await self._passage.run()
        except QmtlError as error:
            if error.reason is Reason.FOREIGN_INCARNATION:
                raise
            _log.warning("world %s waits: %s", self._world, error)
        except JournalRestoredError:
            _log.error("world %s: the database was restored to an older state: closed until a reseed", self._world)
            if self._passage is not None:
                self._lost = self._passage.reached
            self._ground.journal.accept_restored(self._world)
        except (ReenrolledError, UnsentError) as error:
            _log.info("world %s begins anew: %r", self._world, error)
        except Exception:  # a fault of ours in one world must not end the others
            _log.exception("world %s waits", self._world)


def expose(meter: Meter, followers: Mapping[str, Follower]) -> None:
    """Feed ``executor_position``, ``executor_epoch``, ``executor_open`` and ``executor_behind_messages``."""

    def positions(_options: CallbackOptions) -> list[Observation]:
        return [Observation(place.position, {"world": world}) for world, place in _places(followers)]

    def epochs(_options: CallbackOptions) -> list[Observation]:
        return [Observation(place.fence, {"world": world}) for world, place in _places(followers)]

    def opens(_options: CallbackOptions) -> list[Observation]:
        return [Observation(int(place.is_open), {"world": world}) for world, place in _places(followers)]

    def behind(_options: CallbackOptions) -> list[Observation]:
        return [Observation(each.behind, {"world": world}) for world, each in list(followers.items())]

    meter.create_observable_gauge(
        "executor_behind_messages", [behind], description="Messages of a world still to be read from the order stream."
    )
    meter.create_observable_gauge(
        "executor_position", [positions], description="Place in the order stream that is settled."
    )
    meter.create_observable_gauge("executor_epoch", [epochs], description="Epoch of the newest Fence passed.")
    meter.create_observable_gauge(
        "executor_open", [opens], description="1 where the newest mark passed is an Open, else 0."
    )


def _places(followers: Mapping[str, Follower]) -> list[tuple[str, Place]]:
    return [(world, each.place) for world, each in list(followers.items()) if each.place is not None]
