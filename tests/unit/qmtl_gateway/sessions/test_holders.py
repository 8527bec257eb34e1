"""Who is waited for at a freeze: until acknowledged or the lease is over; and what a runner may not acknowledge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.sessions.holders import LEASE_SECONDS, TOLD_EVENTS, Acknowledged, Holder, Holders
from qmtl_gateway.sessions.model import Event, Phase
from tests.support.told import Teller

ANN = Holder("equity", "ann/Trend", "start-1")
BOB = Holder("equity", "bob/Carry", "start-1")


@pytest.fixture
def holders(clock: Any) -> Holders:
    """Give a world with two runners."""
    made = Holders(clock)
    made.connect(ANN)
    made.connect(BOB)
    return made


@pytest.fixture
def freeze(holders: Holders) -> Event:
    """Give a FREEZE that both were told."""
    event = Teller().event(Phase.FREEZE)
    holders.tell(ANN, event)
    holders.tell(BOB, event)
    return event


def said(holder: Holder, event: Event) -> Acknowledged:
    gate = event.gate
    return Acknowledged(
        gate.world, holder.strategy_id, holder.incarnation, gate.epoch, gate.run_id, gate.phase, gate.sequence
    )


def test_each_runner_is_waited_for_until_it_acknowledged(holders: Holders, freeze: Event) -> None:
    assert set(holders.awaited("equity", 1)) == {ANN, BOB}
    assert holders.acknowledge(ANN, said(ANN, freeze)) is freeze
    assert set(holders.awaited("equity", 1)) == {BOB}
    holders.acknowledge(BOB, said(BOB, freeze))
    assert not holders.awaited("equity", 1)


def test_whom_a_freeze_waits_for_is_told_by_name_and_nobody_for_what_is_no_runs_freeze(
    holders: Holders, freeze: Event
) -> None:
    assert holders.waited_for(freeze.gate) == ["ann/Trend", "bob/Carry"]
    holders.acknowledge(ANN, said(ANN, freeze))
    assert holders.waited_for(freeze.gate) == ["bob/Carry"]
    assert holders.waited_for(replace(freeze.gate, run_id="")) == []
    assert holders.waited_for(replace(freeze.gate, phase=Phase.SWITCH)) == []


def test_nobody_waits_for_the_runners_of_another_world(holders: Holders, freeze: Event) -> None:
    assert not holders.awaited("bonds", 1)
    assert not holders.awaited("bonds", 1)


def test_a_runner_is_waited_for_as_long_as_its_lease_lasts(holders: Holders, freeze: Event, clock: Any) -> None:
    clock.now += 3.0
    holders.renew(BOB)
    clock.now += LEASE_SECONDS - 3.0
    assert holders.awaited("equity", 1) == {BOB: pytest.approx(3.0)}
    clock.now += 3.0
    assert not holders.awaited("equity", 1)


def test_a_broken_connection_is_no_acknowledgement(holders: Holders, freeze: Event, clock: Any) -> None:
    holders.disconnect(ANN)
    assert ANN in holders.awaited("equity", 1)
    clock.now += LEASE_SECONDS
    assert not holders.awaited("equity", 1)


def test_a_runner_that_comes_back_acknowledges_on_its_new_connection(holders: Holders, freeze: Event) -> None:
    holders.disconnect(ANN)
    holders.connect(ANN)
    assert holders.acknowledge(ANN, said(ANN, freeze)) is freeze
    assert ANN not in holders.awaited("equity", 1)


def test_a_runner_that_slept_beyond_its_lease_may_still_acknowledge(
    holders: Holders, freeze: Event, clock: Any
) -> None:
    clock.now += 2 * LEASE_SECONDS
    assert not holders.awaited("equity", 1)
    holders.renew(ANN)
    assert set(holders.awaited("equity", 1)) == {ANN}
    assert holders.acknowledge(ANN, said(ANN, freeze)) is freeze


def test_a_later_acknowledgement_counts_for_the_earlier_event(holders: Holders, freeze: Event) -> None:
    switch = Teller().events(Phase.FREEZE, Phase.SWITCH)[1]
    holders.tell(ANN, switch)
    holders.acknowledge(ANN, said(ANN, switch))
    assert ANN not in holders.awaited("equity", freeze.gate.sequence)
    assert holders.acknowledged(ANN) == 2


def test_a_runner_that_acknowledged_an_older_event_is_waited_for(holders: Holders, freeze: Event) -> None:
    holders.acknowledge(ANN, said(ANN, freeze))
    assert set(holders.awaited("equity", 2)) == {ANN, BOB}


def test_the_same_again_is_taken_and_changes_nothing(holders: Holders, freeze: Event) -> None:
    holders.acknowledge(ANN, said(ANN, freeze))
    assert holders.acknowledge(ANN, said(ANN, freeze)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("world", "bonds"),
        ("participant", "bob/Carry"),
        ("incarnation", "start-2"),
        ("epoch", 2),
        ("run_id", "run-2"),
        ("phase", Phase.UNFREEZE),
        ("phase", None),
        ("sequence", 2),
        ("sequence", 0),
    ],
)
def test_what_was_not_told_cannot_be_acknowledged(holders: Holders, freeze: Event, field: str, value: Any) -> None:
    with pytest.raises(QmtlError) as refused:
        holders.acknowledge(ANN, replace(said(ANN, freeze), **{field: value}))
    assert refused.value.reason is Reason.ACKNOWLEDGEMENT_MISMATCH
    assert refused.value.metadata["field"] == field
    assert set(refused.value.metadata) == {"field", "given", "expected"}
    assert ANN in holders.awaited("equity", 1)


def test_the_same_number_again_under_another_epoch_is_refused(holders: Holders, freeze: Event) -> None:
    holders.acknowledge(ANN, said(ANN, freeze))
    with pytest.raises(QmtlError):
        holders.acknowledge(ANN, replace(said(ANN, freeze), epoch=9))


def test_an_event_told_to_one_runner_cannot_be_acknowledged_by_another(holders: Holders, freeze: Event) -> None:
    switch = Teller().events(Phase.FREEZE, Phase.SWITCH)[1]
    holders.tell(ANN, switch)
    with pytest.raises(QmtlError):
        holders.acknowledge(BOB, said(BOB, switch))


def test_a_runner_far_behind_is_remembered_the_newest_events_only(holders: Holders) -> None:
    events = Teller().events(*[Phase.SWITCH] * (TOLD_EVENTS + 1))
    for event in events:
        holders.tell(ANN, event)
    with pytest.raises(QmtlError):
        holders.acknowledge(ANN, said(ANN, events[0]))
    assert holders.acknowledge(ANN, said(ANN, events[-1])) is events[-1]
