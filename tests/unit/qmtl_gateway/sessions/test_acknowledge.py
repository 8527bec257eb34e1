"""When a gateway acknowledges an event, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions import acknowledge
from qmtl_gateway.sessions.acknowledge import Acknowledgements
from qmtl_gateway.sessions.holders import LEASE_SECONDS, Acknowledged, Holder, Holders
from qmtl_gateway.sessions.model import Event, Gate, Phase
from tests.support.told import Teller
from tests.support.waiting import eventually

ANN = Holder("equity", "ann/Trend", "start-1")
RUN = (Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)


@dataclass(slots=True)
class World:
    """Be what acknowledgements go to, and what they wait for."""

    heard: list[Gate] = field(default_factory=list)
    errors: list[Reason] = field(default_factory=list)
    in_flight: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, gate: Gate) -> None:
        self.heard.append(gate)
        if self.errors:
            raise QmtlError(self.errors.pop(0), "not now")

    async def drained(self, _world: str) -> None:
        await self.in_flight.wait()


@pytest.fixture
def world() -> World:
    made = World()
    made.in_flight.set()
    return made


@pytest.fixture
def holders(clock: Any) -> Holders:
    return Holders(clock)


@pytest.fixture
async def acknowledgements(world: World, holders: Holders) -> AsyncIterator[Acknowledgements]:
    made = Acknowledgements(world.send, world.drained, holders)
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def applied(event: Event, holder: Holder = ANN) -> Acknowledged:
    gate = event.gate
    return Acknowledged(
        gate.world, holder.strategy_id, holder.incarnation, gate.epoch, gate.run_id, gate.phase, gate.sequence
    )


async def test_each_event_of_a_run_is_acknowledged_once(acknowledgements: Acknowledgements, world: World) -> None:
    events = Teller().events(*RUN)
    for event in events:
        for _ in range(2):
            acknowledgements.begin(event)
            await settled()
    assert world.heard == [each.gate for each in events]


async def test_an_event_of_no_run_is_not_acknowledged(acknowledgements: Acknowledgements, world: World) -> None:
    acknowledgements.begin(Teller().event(Phase.FREEZE, run_id=""))
    await settled()
    assert world.heard == []


async def test_a_freeze_waits_for_publishes_in_flight(acknowledgements: Acknowledgements, world: World) -> None:
    world.in_flight.clear()
    acknowledgements.begin(Teller().event(Phase.FREEZE))
    await settled()
    assert world.heard == []
    world.in_flight.set()
    await eventually(lambda: world.heard)


async def test_a_freeze_waits_for_runners(acknowledgements: Acknowledgements, world: World, holders: Holders) -> None:
    freeze = Teller().event(Phase.FREEZE)
    holders.connect(ANN)
    holders.tell(ANN, freeze)
    acknowledgements.begin(freeze)
    await settled()
    acknowledgements.heard("equity")
    await settled()
    assert world.heard == []
    holders.acknowledge(ANN, applied(freeze))
    acknowledgements.heard("equity")
    await eventually(lambda: world.heard)


async def test_a_freeze_waits_no_longer_than_a_runners_lease(
    acknowledgements: Acknowledgements, world: World, holders: Holders, clock: Any
) -> None:
    holders.connect(ANN)
    clock.now += LEASE_SECONDS - 0.02
    acknowledgements.begin(Teller().event(Phase.FREEZE))
    await settled()
    assert world.heard == []
    clock.now += 0.02  # by the time that the wait of those 20 ms is over
    await eventually(lambda: world.heard)


async def test_a_switch_waits_for_no_runner(acknowledgements: Acknowledgements, world: World, holders: Holders) -> None:
    holders.connect(ANN)
    world.in_flight.clear()
    acknowledgements.begin(Teller().event(Phase.SWITCH))
    await eventually(lambda: world.heard)


async def test_a_newer_event_takes_the_place_of_an_older(acknowledgements: Acknowledgements, world: World) -> None:
    freeze, _, unfreeze = Teller().events(*RUN)
    world.in_flight.clear()
    acknowledgements.begin(freeze)
    await settled()
    acknowledgements.begin(unfreeze)
    await eventually(lambda: world.heard)
    world.in_flight.set()
    await settled()
    assert world.heard == [unfreeze.gate]


async def test_a_stop_takes_the_place_of_what_was_not_acknowledged(
    acknowledgements: Acknowledgements, world: World
) -> None:
    teller = Teller()
    world.in_flight.clear()
    acknowledgements.begin(teller.event(Phase.FREEZE))
    acknowledgements.begin(teller.event(Phase.FREEZE, run_id=""))
    world.in_flight.set()
    await settled()
    assert world.heard == []


@pytest.mark.parametrize("reason", [Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED])
async def test_what_was_not_heard_is_sent_again(
    acknowledgements: Acknowledgements, world: World, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledge, "REPEAT_SECONDS", 0.01)
    world.errors = [reason, reason]
    freeze = Teller().event(Phase.FREEZE)
    acknowledgements.begin(freeze)
    await eventually(lambda: len(world.heard) == 3)
    await asyncio.wait_for(settled(), 1)
    assert world.heard == [freeze.gate] * 3


@pytest.mark.parametrize("reason", [Reason.ACKNOWLEDGEMENT_MISMATCH, Reason.FOREIGN_INCARNATION])
async def test_a_refusal_is_final(
    acknowledgements: Acknowledgements, world: World, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledge, "REPEAT_SECONDS", 0.0)
    world.errors = [reason]
    acknowledgements.begin(Teller().event(Phase.FREEZE))
    await settled()
    assert len(world.heard) == 1


async def test_worlds_are_acknowledged_apart(acknowledgements: Acknowledgements, world: World) -> None:
    equity, bonds = Teller("equity").event(Phase.SWITCH), Teller("bonds").event(Phase.SWITCH)
    acknowledgements.begin(equity)
    acknowledgements.begin(bonds)
    await eventually(lambda: len(world.heard) == 2)
    assert world.heard == [equity.gate, bonds.gate]
