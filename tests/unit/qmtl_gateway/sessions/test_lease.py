"""A gateway's own lease: it counts from before it was asked for, and its gates close by themselves when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions import lease
from qmtl_gateway.sessions.follow import Resync
from qmtl_gateway.sessions.gates import Gates
from qmtl_gateway.sessions.holders import Holders
from qmtl_gateway.sessions.lease import LeaseKeeper
from qmtl_gateway.sessions.model import Event, Gate, Phase, WorldPlace
from tests.support.told import Teller
from tests.support.waiting import eventually

LEASE = 5.0
SLOW = 2.0  # seconds that an answer takes, where it is slow


@dataclass(slots=True)
class Answers:
    """Answer renewals as a world service would, by the clock of the test."""

    clock: Any
    takes: float = 0.0
    errors: list[QmtlError] = field(default_factory=list)
    renewals: int = 0

    async def renew(self, stated: Sequence[Gate], _waits_for: Any) -> tuple[float, list[WorldPlace]]:
        self.renewals += 1
        self.clock.now += self.takes
        if self.errors:
            raise self.errors.pop(0)
        return LEASE, [WorldPlace(each.world, each.epoch, each.sequence, each.is_open) for each in stated]


@pytest.fixture
def answers(clock: Any) -> Answers:
    return Answers(clock)


@pytest.fixture
async def gates(clock: Any, counted: Any) -> Gates:
    *_, unfreeze = Teller().events(Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)

    async def read(_world: str) -> Event:
        return unfreeze

    made = Gates(read, lambda _event: None, counted.counter("activation_resync_total", *Resync), clock)
    made.subscribed()
    return made


async def opened(
    gates: Gates, answers: Answers, clock: Any, monkeypatch: pytest.MonkeyPatch, renewals: int = 1
) -> None:
    """Keep the lease for some renewals, with the gate of world equity open, and then no longer."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.0)
    running = [asyncio.create_task(gates.run())]
    known = asyncio.create_task(gates.known("equity"))
    await asyncio.sleep(0)  # so that it is asked for
    running.append(asyncio.create_task(LeaseKeeper(answers.renew, gates, Holders(clock), clock).run()))
    await eventually(lambda: answers.renewals >= renewals)
    running[1].cancel()
    await known
    running[0].cancel()
    for each in running:
        with suppress(asyncio.CancelledError):
            await each


async def test_the_lease_counts_from_before_the_request_was_sent(
    gates: Gates, answers: Answers, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.takes = SLOW
    began = clock.now
    await opened(gates, answers, clock, monkeypatch)
    sent = clock.now - SLOW
    assert sent >= began
    clock.now = sent + LEASE - 0.01
    assert gates.find("equity") is not None
    clock.now = sent + LEASE
    assert gates.find("equity") is None


async def test_a_world_service_that_is_away_is_asked_again(
    gates: Gates, answers: Answers, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={"dependency": "world service"})
    answers.errors = [away, away]
    await opened(gates, answers, clock, monkeypatch, renewals=3)
    assert gates.find("equity") is not None


async def test_a_gateway_that_cannot_follow_keeps_no_lease(
    gates: Gates, answers: Answers, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(gates, answers, clock, monkeypatch)
    gates.unsubscribed()
    before = answers.renewals
    running = asyncio.create_task(LeaseKeeper(answers.renew, gates, Holders(clock), clock).run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert answers.renewals == before
    gates.subscribed()
    await eventually(lambda: answers.renewals > before)
    running.cancel()
