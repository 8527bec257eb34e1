"""The order gate: closed until told otherwise, opened by events and snapshots alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_sdk.session.gate import GateState, OrderGate
from qmtl_sdk.session.model import Phase, Seat, Stamp, Told

TTL = 5.0
STRATEGY = "ana/Trend"
SEAT = Seat("v1", "long", EffectiveMode.PAPER, "paper-1")
OPEN = Told(Phase.UNFREEZE, epoch=3, sequence=9, run_id="r1", seats={STRATEGY: SEAT})
FREEZE = replace(OPEN, phase=Phase.FREEZE, epoch=4, sequence=10)


class Clock:
    """Tell the time that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> OrderGate:
    return OrderGate(STRATEGY, "v1", clock)


@pytest.fixture
def opened(gate: OrderGate, clock: Clock) -> OrderGate:
    assert gate.welcome(clock.now, TTL, OPEN)
    return gate


def test_gate_is_closed_until_told(gate: OrderGate, clock: Clock) -> None:
    assert gate.state() is GateState.UNKNOWN
    assert not gate.welcome(clock.now, TTL, None)
    assert gate.stamp() is None


def test_snapshot_of_an_open_world_opens_and_stamps_its_seat(opened: OrderGate) -> None:
    assert opened.state() is GateState.OPEN
    assert opened.stamp() == Stamp(3, SEAT)


def test_unfreeze_opens_at_its_epoch(opened: OrderGate) -> None:
    assert opened.event(FREEZE)
    assert opened.event(replace(FREEZE, phase=Phase.SWITCH, sequence=11))
    assert opened.state() is GateState.FROZEN
    other = replace(SEAT, side="short", executor="paper-2")
    assert opened.event(Told(Phase.UNFREEZE, 4, 12, "r2", seats={STRATEGY: other}))
    assert opened.stamp() == Stamp(4, other)


@pytest.mark.parametrize("phase", [Phase.FREEZE, Phase.SWITCH, Phase.UNKNOWN])
def test_every_other_event_closes(opened: OrderGate, phase: Phase) -> None:
    assert opened.event(replace(FREEZE, phase=phase))
    assert opened.state() is GateState.FROZEN
    assert opened.stamp() is None


def test_world_to_which_nothing_was_applied_has_nobody_in_its_set(gate: OrderGate, clock: Clock) -> None:
    assert gate.welcome(clock.now, TTL, Told(Phase.FREEZE, 0, 0))
    gate.renewed(clock.now, 0, 0)
    assert gate.state() is GateState.ABSENT
    assert gate.event(OPEN)
    assert gate.state() is GateState.OPEN


def test_hold_closes(opened: OrderGate) -> None:
    opened.event(replace(OPEN, sequence=10, holds=("operator",)))
    assert opened.state() is GateState.HELD


def test_older_event_is_dropped(opened: OrderGate) -> None:
    assert not opened.event(replace(FREEZE, epoch=3, sequence=8))
    assert not opened.event(replace(FREEZE, epoch=3, sequence=9))
    assert opened.state() is GateState.OPEN


def test_newer_event_of_an_older_epoch_closes(opened: OrderGate) -> None:
    assert not opened.event(replace(OPEN, epoch=2, sequence=10))
    assert opened.state() is GateState.DOUBTFUL


@pytest.mark.parametrize("older", [None, replace(OPEN, sequence=8), replace(OPEN, epoch=2, sequence=20)])
def test_session_with_a_gateway_that_is_behind_closes(opened: OrderGate, clock: Clock, older: Told | None) -> None:
    assert not opened.welcome(clock.now, TTL, older)
    assert opened.state() is GateState.DOUBTFUL
    opened.renewed(clock.now, 3, 9)
    assert opened.stamp() is None
    assert opened.event(OPEN)  # the gateway has caught up
    assert opened.state() is GateState.OPEN


def test_session_with_a_gateway_in_step_keeps_the_gate_open(opened: OrderGate, clock: Clock) -> None:
    clock.now += 4.0
    assert opened.welcome(clock.now, TTL, OPEN)
    clock.now += 4.0
    assert opened.state() is GateState.OPEN


@pytest.mark.parametrize("shown", [(4, 10), (3, 10), (4, 9)])
def test_renewal_that_shows_the_world_further_on_closes(
    opened: OrderGate, clock: Clock, shown: tuple[int, int]
) -> None:
    opened.renewed(clock.now, *shown)
    assert opened.state() is GateState.DOUBTFUL
    opened.renewed(clock.now, 3, 9)
    assert opened.state() is GateState.DOUBTFUL


def test_event_that_was_shown_before_it_came_opens_and_an_earlier_one_does_not(opened: OrderGate, clock: Clock) -> None:
    opened.renewed(clock.now, 5, 13)
    opened.event(replace(OPEN, epoch=4, sequence=12))
    assert opened.state() is GateState.DOUBTFUL
    opened.event(replace(OPEN, epoch=5, sequence=13))
    assert opened.state() is GateState.OPEN


def test_event_after_a_gap_counts_as_a_snapshot(opened: OrderGate) -> None:
    assert opened.event(replace(FREEZE, sequence=15))
    assert opened.state() is GateState.FROZEN
    assert opened.event(replace(OPEN, epoch=7, sequence=30))
    assert opened.stamp() == Stamp(7, SEAT)


def test_gate_closes_when_the_lease_is_over(opened: OrderGate, clock: Clock) -> None:
    clock.now += TTL
    assert opened.state() is GateState.DOUBTFUL


def test_answered_heartbeats_keep_it_open_from_their_sending(opened: OrderGate, clock: Clock) -> None:
    clock.now += 4.0
    opened.renewed(clock.now - 2.0, 3, 9)
    clock.now += 2.9
    assert opened.state() is GateState.OPEN
    clock.now += 0.1
    assert opened.state() is GateState.DOUBTFUL


@pytest.mark.parametrize("place", [(0, 0), (3, 8), (2, 9)])
def test_gateway_that_does_not_know_or_is_behind_renews_nothing(
    opened: OrderGate, clock: Clock, place: tuple[int, int]
) -> None:
    clock.now += 4.0
    opened.renewed(clock.now, *place)
    assert opened.state() is GateState.OPEN
    clock.now += 1.0
    assert opened.state() is GateState.DOUBTFUL


def test_renewal_after_the_lease_never_opens(opened: OrderGate, clock: Clock) -> None:
    clock.now += TTL + 1.0
    opened.renewed(clock.now, 3, 9)
    assert opened.state() is GateState.DOUBTFUL
    assert opened.welcome(clock.now, TTL, OPEN)
    assert opened.state() is GateState.OPEN


@pytest.mark.parametrize(
    ("seats", "state"),
    [
        ({}, GateState.ABSENT),
        ({"bob/Carry": SEAT}, GateState.ABSENT),
        ({STRATEGY: replace(SEAT, strategy_version="v2")}, GateState.OTHER_VERSION),
        ({STRATEGY: replace(SEAT, mode=EffectiveMode.COMPUTE_ONLY, executor="")}, GateState.NO_ORDERS),
        ({STRATEGY: replace(SEAT, mode=EffectiveMode.SHADOW)}, GateState.NO_ORDERS),
        ({STRATEGY: replace(SEAT, mode=EffectiveMode.LIVE)}, GateState.OPEN),
    ],
)
def test_only_this_version_in_the_set_with_orders_passes(
    gate: OrderGate, clock: Clock, seats: dict[str, Seat], state: GateState
) -> None:
    gate.welcome(clock.now, TTL, replace(OPEN, seats=seats))
    assert gate.state() is state
    assert (gate.stamp() is not None) is (state is GateState.OPEN)


class GateMachine(RuleBasedStateMachine):
    """Tell a gate anything, in any order; it is open only where the newest that it took says so and a lease lasts."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.gate = OrderGate(STRATEGY, "v1", self.clock)
        self.answered = 0.0  # when the newest answered heartbeat or hello was sent
        self.shown = (0, 0)
        self.was_open = False

    events = st.builds(
        Told,
        phase=st.sampled_from(Phase),
        epoch=st.integers(1, 4),
        sequence=st.integers(1, 8),
        holds=st.sampled_from([(), (), ("operator",)]),
        seats=st.sampled_from([{STRATEGY: SEAT}, {STRATEGY: SEAT}, {}]),
    )

    @rule(told=events)
    def event(self, told: Told) -> None:
        self.gate.event(told)

    @rule(told=st.none() | events, ago=st.floats(0.0, 6.0))
    def welcome(self, told: Told | None, ago: float) -> None:
        self.gate.welcome(self.clock.now - ago, TTL, told)
        self.answered = max(self.answered, self.clock.now - ago)

    @rule(epoch=st.integers(0, 4), sequence=st.integers(0, 8), ago=st.floats(0.0, 6.0))
    def renewed(self, epoch: int, sequence: int, ago: float) -> None:
        was_open = self.gate.stamp() is not None
        self.gate.renewed(self.clock.now - ago, epoch, sequence)
        self.answered = max(self.answered, self.clock.now - ago)
        self.shown = (max(self.shown[0], epoch), max(self.shown[1], sequence))
        assert was_open or self.gate.stamp() is None, "a renewal opened"

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        was_open = self.gate.stamp() is not None
        self.clock.now += seconds
        assert was_open or self.gate.stamp() is None, "time opened"

    @invariant()
    def open_only_with_good_reason(self) -> None:
        stamp = self.gate.stamp()
        if stamp is not None:
            told = self.gate.told
            assert told is not None
            assert told.phase is Phase.UNFREEZE
            assert not told.holds
            assert stamp == Stamp(told.epoch, told.seats[STRATEGY])
            assert self.clock.now < self.answered + TTL
            assert told.epoch >= self.shown[0]
            assert told.sequence >= self.shown[1]


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
