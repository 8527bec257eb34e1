"""Gates of worlds: closed unless in step, subscribed and leased; read anew whenever something may have been missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions import gates
from qmtl_gateway.sessions.follow import Resync
from qmtl_gateway.sessions.gates import NAMED_WORLDS, Gates
from qmtl_gateway.sessions.model import Event, Gate, Phase, WorldPlace
from tests.support.told import Teller
from tests.support.waiting import eventually

LEASE = 5.0
RUN = (Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)


@dataclass(slots=True)
class Relayed:
    """Answer snapshots as a test says: the newest event of each world, or an error; held back while ``held`` is."""

    newest: dict[str, Event] = field(default_factory=dict)
    error: QmtlError | None = None
    reads: int = 0
    held: asyncio.Event | None = None

    async def read(self, world: str) -> Event:
        self.reads += 1
        answer = self.newest.get(world)
        if self.held is not None:
            await self.held.wait()
        if self.error is not None:
            raise self.error
        if answer is None:
            raise QmtlError(Reason.WORLD_NOT_FOUND, "no such world", metadata={"world": world})
        return answer


class Room:
    """Hold gates whose lease and subscription a test moves."""

    def __init__(self, clock: Any, counted: Any) -> None:
        self.clock = clock
        self.counted = counted
        self.relayed = Relayed()
        self.applied: list[Event] = []
        counter = counted.counter("activation_resync_total", *Resync)
        self.gates = Gates(self.relayed.read, self.applied.append, counter, clock)

    def renew(self, *places: WorldPlace) -> None:
        """Renew a lease that was asked for with what is held now; without places it was asked for with nothing."""
        self.gates.renewed(self.clock() + LEASE, self.gates.places() if places else [], places)

    def gate(self) -> Gate | None:
        return self.gates.find("equity")


@pytest.fixture
async def room(clock: Any, counted: Any) -> AsyncIterator[Room]:
    """Give gates that are subscribed and registered, and read snapshots beside the test."""
    made = Room(clock, counted)
    made.gates.subscribed()
    made.renew()
    running = asyncio.create_task(made.gates.run())
    yield made
    running.cancel()


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
async def opened(room: Room, teller: Teller) -> Room:
    """Give gates that hold world equity, open."""
    *_, room.relayed.newest["equity"] = teller.events(*RUN)
    gate = await room.gates.known("equity")
    assert gate is not None
    assert gate.is_open
    return room


async def test_a_world_is_unknown_until_it_is_asked_for(room: Room, teller: Teller) -> None:
    freeze = room.relayed.newest["equity"] = teller.event(Phase.FREEZE)
    room.gates.take(freeze)
    assert room.gate() is None
    assert await room.gates.known("equity") == freeze.gate
    assert room.gate() == freeze.gate
    assert room.applied == [freeze]


async def test_a_world_that_does_not_exist_is_refused_each_time(room: Room) -> None:
    for _ in range(2):
        with pytest.raises(QmtlError) as refused:
            await room.gates.known("nowhere")
        assert refused.value.reason is Reason.WORLD_NOT_FOUND
    assert room.gates.places() == []


async def test_events_move_the_gate(opened: Room, teller: Teller) -> None:
    for phase, is_open in ((Phase.FREEZE, False), (Phase.SWITCH, False), (Phase.UNFREEZE, True)):
        event = teller.event(phase)
        opened.gates.take(event)
        assert opened.gate() == event.gate
        assert event.gate.is_open is is_open
        assert opened.applied[-1] is event


async def test_a_gap_closes_at_once_and_a_snapshot_opens(opened: Room, teller: Teller) -> None:
    _, _, later = teller.events(*RUN)
    opened.gates.take(later)
    assert opened.gate() is None
    opened.relayed.newest["equity"] = later
    await eventually(opened.gate)
    assert opened.gate() == later.gate
    assert opened.counted.read() == {"gap": 1}


async def test_a_snapshot_from_before_what_was_seen_does_not_open(opened: Room, teller: Teller) -> None:
    """The relay publishes before the database knows it as relayed: read again."""
    _, _, later = teller.events(*RUN)
    opened.gates.take(later)
    reads = opened.relayed.reads
    await eventually(lambda: opened.relayed.reads > reads + 1)
    assert opened.gate() is None
    opened.relayed.newest["equity"] = later
    await eventually(opened.gate)


async def test_without_the_lease_every_gate_is_closed_at_once(opened: Room) -> None:
    opened.clock.now += LEASE
    assert opened.gate() is None


async def test_a_renewal_in_time_keeps_the_gate_open(opened: Room) -> None:
    opened.clock.now += LEASE - 0.1
    opened.renew()
    opened.clock.now += 0.2
    assert opened.gate() is not None
    assert opened.counted.read() == {}


async def test_a_lease_that_comes_back_opens_only_what_was_read_since(opened: Room, teller: Teller) -> None:
    opened.clock.now += LEASE
    opened.relayed.held = asyncio.Event()
    opened.renew()
    assert opened.gate() is None
    freeze = opened.relayed.newest["equity"] = teller.event(Phase.FREEZE)
    await eventually(lambda: opened.relayed.reads == 2)
    opened.relayed.held.set()
    await eventually(opened.gate)
    assert opened.gate() == freeze.gate
    assert opened.counted.read() == {"lease": 1}


async def test_a_renewal_that_shows_the_world_ahead_closes(opened: Room, teller: Teller) -> None:
    stop = teller.event(Phase.FREEZE)
    opened.renew(
        WorldPlace("equity", stop.gate.epoch, stop.gate.sequence - 1, False), WorldPlace("unasked", 1, 1, True)
    )
    assert opened.gate() is None
    opened.relayed.newest["equity"] = stop
    await eventually(opened.gate)
    assert opened.gate() == stop.gate
    assert opened.counted.read() == {"behind": 1}


async def test_a_world_of_a_restored_database_is_closed_until_it_was_reseeded(
    opened: Room, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "FAILED_SECONDS", 0.01)
    later = teller.events(*RUN)
    for event in later:
        opened.gates.take(event)
    opened.clock.now += LEASE  # the database was away while it was restored
    opened.renew(WorldPlace("equity", 1, 3, True))  # it knows of the first run only
    assert opened.gate() is None
    reads = opened.relayed.reads
    await eventually(lambda: opened.relayed.reads > reads + 2)
    assert opened.gate() is None
    reseeded = opened.relayed.newest["equity"] = teller.event(Phase.FREEZE, run_id="", holds=("reseeded",))
    await eventually(opened.gate)
    assert opened.gate() == reseeded.gate
    assert opened.counted.read() == {"lease": 1, "astray": 1}


async def test_a_renewal_that_was_asked_for_before_an_event_says_nothing_of_it(opened: Room, teller: Teller) -> None:
    stated = opened.gates.places()
    freeze = teller.event(Phase.FREEZE)
    opened.gates.take(freeze)
    opened.gates.renewed(opened.clock() + LEASE, stated, [WorldPlace("equity", 1, 3, True)])
    assert opened.gate() == freeze.gate


async def test_a_lost_consumer_closes_until_there_is_another(opened: Room) -> None:
    opened.gates.unsubscribed()
    assert opened.gate() is None
    reads = opened.relayed.reads
    assert await opened.gates.known("equity") is None
    assert opened.relayed.reads == reads
    opened.gates.subscribed()
    assert opened.gate() is None
    await eventually(opened.gate)
    assert opened.counted.read() == {"stream": 1}


async def test_what_cannot_be_read_closes_its_world_until_it_was_read_anew(opened: Room) -> None:
    reads = opened.relayed.reads
    opened.gates.doubt("equity", Resync.GAP)
    assert opened.gate() is None
    await eventually(opened.gate)
    assert opened.relayed.reads == reads + 1
    opened.gates.doubt("nowhere", Resync.GAP)


async def test_a_snapshot_asked_for_before_the_consumer_was_lost_does_not_open(opened: Room, teller: Teller) -> None:
    opened.relayed.held = asyncio.Event()
    opened.gates.doubt("equity", Resync.GAP)
    await eventually(lambda: opened.relayed.reads == 2)
    opened.gates.unsubscribed()
    freeze = teller.event(Phase.FREEZE)  # nobody hears it
    opened.relayed.held.set()
    for _ in range(5):
        await asyncio.sleep(0)
        assert opened.gate() is None
    opened.relayed.newest["equity"] = freeze
    opened.gates.subscribed()
    await eventually(opened.gate)
    assert opened.gate() == freeze.gate


async def test_a_world_service_that_does_not_answer_keeps_closed_and_is_asked_again(room: Room, teller: Teller) -> None:
    room.relayed.error = QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={"dependency": "world service"})
    room.relayed.newest["equity"] = teller.event(Phase.FREEZE)
    waiting = asyncio.create_task(room.gates.known("equity"))
    await eventually(lambda: room.relayed.reads == 1)
    assert room.gate() is None
    room.relayed.error = None
    assert (await waiting) is not None


async def test_before_the_gateway_is_registered_nothing_is_read(clock: Any, counted: Any, teller: Teller) -> None:
    room = Room(clock, counted)
    room.relayed.newest["equity"] = teller.event(Phase.FREEZE)
    room.gates.subscribed()
    running = asyncio.create_task(room.gates.run())
    assert await room.gates.known("equity") is None
    for _ in range(5):
        await asyncio.sleep(0)
        assert room.relayed.reads == 0
    room.renew()
    await eventually(room.gate)
    running.cancel()


async def test_after_its_lease_was_over_a_gateway_reads_nothing_before_it_is_renewed(
    clock: Any, counted: Any, teller: Teller
) -> None:
    room = Room(clock, counted)
    room.relayed.newest["equity"] = teller.event(Phase.FREEZE)
    running = asyncio.create_task(room.gates.run())
    room.gates.subscribed()
    room.renew()
    await room.gates.known("equity")
    room.gates.unsubscribed()
    clock.now += 2 * LEASE
    reads = room.relayed.reads
    room.gates.subscribed()
    for _ in range(5):
        await asyncio.sleep(0)
        assert room.relayed.reads == reads
    room.renew()
    await eventually(room.gate)
    running.cancel()


async def test_runners_hear_of_a_world_that_is_in_step_again(opened: Room) -> None:
    heard = len(opened.applied)
    opened.gates.unsubscribed()
    opened.gates.subscribed()
    await eventually(opened.gate)
    assert [each.gate.sequence for each in opened.applied[heard:]] == [3]


async def test_renewals_name_how_far_each_world_is_and_take_turns_beyond_the_bound(room: Room) -> None:
    names = [f"w{number}" for number in range(NAMED_WORLDS + 1)]
    for name in names:
        room.relayed.newest[name] = Teller(world=name).event(Phase.FREEZE)
    await asyncio.gather(*(room.gates.known(name) for name in names))
    first, second = room.gates.places(), room.gates.places()
    assert len(first) == len(second) == NAMED_WORLDS
    assert {each.world for each in (*first, *second)} == set(names)
    assert (first[0].epoch, first[0].sequence) == (1, 1)
