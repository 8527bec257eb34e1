"""Following one world's events (S5): in order or by a newer snapshot; whatever else comes closes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_gateway.sessions.follow import Followed, Resync, apply, lost, resynced, shown
from qmtl_gateway.sessions.messages import from_event
from qmtl_gateway.sessions.model import Event, Phase, WorldPlace
from tests.support.told import Teller

RUN = (Phase.FREEZE, Phase.SWITCH, Phase.UNFREEZE)


def in_step(event: Event) -> Followed:
    return resynced(Followed(), event)


def changed(event: Event, **changes: Any) -> Event:
    return replace(event, gate=replace(event.gate, **changes))


def test_each_event_is_applied_after_its_predecessor() -> None:
    freeze, switch, unfreeze = Teller().events(*RUN)
    held = in_step(freeze)
    for event in (switch, unfreeze):
        held = apply(held, event)
        assert held.last is event
        assert held.gate == event.gate
    assert held.gate is not None
    assert held.gate.is_open


def test_a_world_that_was_never_told_of_takes_its_first_event() -> None:
    first = Teller().event(Phase.FREEZE)
    empty = changed(first, epoch=0, sequence=0, event_hash="", timeline_id="")
    assert apply(in_step(empty), first).last is first


def test_an_older_event_and_the_same_again_are_dropped() -> None:
    freeze, switch, _ = Teller().events(*RUN)
    held = apply(in_step(freeze), switch)
    assert apply(held, freeze) is held
    assert apply(held, switch) is held


def test_a_gap_closes_until_a_snapshot() -> None:
    freeze, _, unfreeze = Teller().events(*RUN)
    held = apply(in_step(freeze), unfreeze)
    assert held.resync is Resync.GAP
    assert held.gate is None
    assert held.last is freeze
    assert resynced(held, unfreeze).gate == unfreeze.gate


def test_another_predecessor_closes() -> None:
    freeze, switch = Teller().events(Phase.FREEZE, Phase.SWITCH)
    held = apply(in_step(freeze), replace(switch, previous_hash="blake3:other"))
    assert (held.resync, held.gate) == (Resync.HASH, None)


def test_another_event_of_the_same_number_closes() -> None:
    freeze = Teller().event(Phase.FREEZE)
    held = apply(in_step(freeze), changed(freeze, event_hash="blake3:other"))
    assert (held.resync, held.gate) == (Resync.HASH, None)


def test_another_timeline_closes() -> None:
    freeze, switch = Teller().events(Phase.FREEZE, Phase.SWITCH)
    held = apply(in_step(freeze), changed(switch, timeline_id="t2"))
    assert (held.resync, held.gate) == (Resync.TIMELINE, None)


def test_a_newer_snapshot_of_another_timeline_replaces() -> None:
    held = in_step(Teller().event(Phase.FREEZE))
    reseeded = Teller(timeline="t2", epoch=7)
    reseeded.events(*RUN)
    snapshot = reseeded.event(Phase.FREEZE)
    assert resynced(lost(held, Resync.STREAM), snapshot).gate == snapshot.gate


def test_an_older_snapshot_is_refused() -> None:
    freeze, switch, _ = Teller().events(*RUN)
    held = apply(in_step(freeze), switch)
    assert resynced(held, freeze) is held
    closed = lost(held, Resync.STREAM)
    assert resynced(closed, freeze) is closed


def test_a_snapshot_of_an_older_epoch_is_refused() -> None:
    teller = Teller()
    teller.event(Phase.FREEZE)
    held = lost(in_step(teller.event(Phase.FREEZE)), Resync.STREAM)
    later = teller.event(Phase.UNFREEZE)
    assert resynced(held, changed(later, epoch=1)) is held


def test_a_snapshot_of_the_same_number_and_other_content_is_refused() -> None:
    freeze = Teller().event(Phase.FREEZE)
    closed = lost(in_step(freeze), Resync.STREAM)
    assert resynced(closed, changed(freeze, event_hash="blake3:other")) is closed
    assert resynced(closed, freeze).gate == freeze.gate


def test_what_comes_while_closed_is_applied_after_a_snapshot_that_it_follows() -> None:
    freeze, switch, unfreeze = Teller().events(*RUN)
    closed = apply(lost(in_step(freeze), Resync.STREAM), unfreeze)
    assert closed.gate is None
    assert resynced(closed, switch).gate == unfreeze.gate


def test_what_comes_while_closed_keeps_it_closed_after_a_snapshot_from_before() -> None:
    freeze, _, unfreeze = Teller().events(*RUN)
    closed = apply(lost(in_step(freeze), Resync.STREAM), unfreeze)
    assert resynced(closed, freeze).resync is Resync.GAP


def test_the_newest_that_comes_while_closed_is_kept() -> None:
    freeze, switch, unfreeze = Teller().events(*RUN)
    for order in ((switch, unfreeze), (unfreeze, switch)):
        closed = Followed()
        for event in order:
            closed = apply(closed, event)
        assert closed.ahead is unfreeze
        assert resynced(closed, freeze).gate is None


def place(epoch: int, sequence: int, is_open: bool = False) -> WorldPlace:
    return WorldPlace("equity", epoch, sequence, is_open)


@pytest.mark.parametrize(("epoch", "sequence"), [(2, 2), (1, 3), (3, 9)])
def test_a_renewal_that_shows_the_world_ahead_closes(epoch: int, sequence: int) -> None:
    freeze = Teller().event(Phase.FREEZE)
    after = shown(in_step(freeze), freeze.gate, place(epoch, sequence))
    assert (after.resync, after.gate) == (Resync.BEHIND, None)


@pytest.mark.parametrize("sequence", [1, 0])
def test_a_renewal_that_shows_nothing_newer_changes_nothing(sequence: int) -> None:
    """A relay publishes before the database knows it as relayed."""
    freeze = Teller().event(Phase.FREEZE)
    held = in_step(freeze)
    assert shown(held, freeze.gate, place(1, sequence)) is held


def test_a_world_of_which_nothing_was_told_need_not_be_named() -> None:
    nothing = changed(Teller().event(Phase.FREEZE), epoch=0, sequence=0)
    held = in_step(nothing)
    assert shown(held, nothing.gate, None) is held


@pytest.mark.parametrize("behind", [place(0, 0), place(1, 3), place(0, 9, True), None])
def test_a_renewal_that_shows_the_world_behind_closes_for_good(behind: WorldPlace | None) -> None:
    """The database was restored: to before the UNFREEZE, to before the FREEZE, to before the world was made."""
    freeze, _, unfreeze = Teller().events(*RUN)
    closed = shown(in_step(unfreeze), unfreeze.gate, behind)
    assert (closed.resync, closed.gate) == (Resync.ASTRAY, None)
    assert resynced(closed, freeze) is closed


def test_that_a_world_is_astray_replaces_any_other_reason() -> None:
    *_, unfreeze = Teller().events(*RUN)
    closed = shown(lost(in_step(unfreeze), Resync.LEASE), unfreeze.gate, place(0, 0))
    assert closed.resync is Resync.ASTRAY
    assert lost(closed, Resync.LEASE).resync is Resync.ASTRAY


def test_a_renewal_that_was_asked_for_before_an_event_is_no_sign_of_a_restored_database() -> None:
    freeze, _, unfreeze = Teller().events(*RUN)
    held = in_step(unfreeze)
    assert shown(held, freeze.gate, place(1, 1)) is held


def test_a_renewal_never_opens() -> None:
    freeze = Teller().event(Phase.FREEZE)
    closed = lost(in_step(freeze), Resync.STREAM)
    assert shown(closed, freeze.gate, place(1, 1)).gate is None


def test_a_world_shown_ahead_stays_closed_until_its_epoch_and_sequence_are_reached() -> None:
    """A stop that is not relayed yet: the newest relayed event is still the UNFREEZE before it."""
    teller = Teller()
    *_, unfreeze = teller.events(*RUN)
    stop = teller.event(Phase.FREEZE, run_id="", holds=("operator",))
    closed = shown(in_step(unfreeze), unfreeze.gate, place(stop.gate.epoch, unfreeze.gate.sequence))
    again = resynced(closed, unfreeze)
    assert (again.resync, again.gate) == (Resync.BEHIND, None)
    assert resynced(again, stop).gate == stop.gate


def test_what_was_lost_closes_whatever_was_held_and_keeps_its_first_reason() -> None:
    *_, unfreeze = Teller().events(*RUN)
    closed = lost(in_step(unfreeze), Resync.LEASE)
    assert (closed.resync, closed.gate) == (Resync.LEASE, None)
    assert lost(closed, Resync.STREAM).resync is Resync.LEASE
    assert resynced(closed, unfreeze).gate == unfreeze.gate


def test_only_an_unfreeze_without_holds_is_open() -> None:
    teller = Teller()
    assert [each.gate.is_open for each in teller.events(*RUN)] == [False, False, True]
    assert not teller.event(Phase.UNFREEZE, holds=("operator",)).gate.is_open


def test_a_kind_of_a_newer_release_closes() -> None:
    event = Teller().event(Phase.UNFREEZE)
    message = activation_event_pb2.ActivationEvent.FromString(event.payload)
    message.kind = 9  # type: ignore[assignment]  # a number of a newer release
    assert not from_event(message.SerializeToString()).gate.is_open
