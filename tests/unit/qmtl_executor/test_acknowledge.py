"""What an executor says it passed: in order, until it is heard or refused, and nothing that does not count any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from qmtl_executor import acknowledge
from qmtl_executor.acknowledge import Acknowledgements
from qmtl_executor.model import MarkKind, Passed
from qmtl_foundation.errors import QmtlError, Reason
from tests.support.waiting import eventually

FENCE = Passed(3, MarkKind.FENCE, 2, "run-1")
OPEN = Passed(4, MarkKind.OPEN, 2, "run-1")
NEWER = Passed(5, MarkKind.FENCE, 3, "run-2")


@dataclass(slots=True)
class World:
    """Be what hears acknowledgements; as long as there are errors, it answers by them."""

    heard: list[Passed] = field(default_factory=list)
    errors: list[Reason] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def send(self, passed: Passed) -> None:
        self.heard.append(passed)
        if self.held is not None:
            await self.held.wait()
        if self.errors:
            raise QmtlError(self.errors.pop(0), "not now")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def acknowledgements(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Acknowledgements]:
    monkeypatch.setattr(acknowledge, "RETRY_SECONDS", 0.01)
    made = Acknowledgements("desk", world.send)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def test_marks_are_acknowledged_in_their_order(acknowledgements: Acknowledgements, world: World) -> None:
    acknowledgements.say(FENCE)
    acknowledgements.say(OPEN)
    await eventually(lambda: world.heard == [FENCE, OPEN])


@pytest.mark.parametrize("reason", [Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED])
async def test_what_was_not_heard_is_said_again(
    acknowledgements: Acknowledgements, world: World, reason: Reason
) -> None:
    world.errors = [reason, reason]
    acknowledgements.say(FENCE)
    acknowledgements.say(OPEN)
    await eventually(lambda: world.heard == [FENCE] * 3 + [OPEN], 5.0)


async def test_a_refusal_is_final(acknowledgements: Acknowledgements, world: World) -> None:
    world.errors = [Reason.ACKNOWLEDGEMENT_MISMATCH]
    acknowledgements.say(FENCE)
    acknowledgements.say(OPEN)
    await eventually(lambda: world.heard == [FENCE, OPEN])


async def test_a_mark_of_a_newer_epoch_takes_the_place_of_older_ones(
    acknowledgements: Acknowledgements, world: World
) -> None:
    world.held = asyncio.Event()
    acknowledgements.say(FENCE)
    await eventually(lambda: world.heard)
    acknowledgements.say(OPEN)
    acknowledgements.say(NEWER)
    world.held.set()
    await eventually(lambda: world.heard == [FENCE, NEWER])


async def test_what_is_void_is_not_said(acknowledgements: Acknowledgements, world: World) -> None:
    acknowledgements.say(FENCE)
    acknowledgements.void()
    acknowledgements.say(OPEN)
    await eventually(lambda: world.heard == [OPEN])
