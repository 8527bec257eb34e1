"""The rules by which an executor judges marks and intents, each one alone."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qmtl_executor.follow import (
    Act,
    Me,
    confirms,
    enrolled,
    fenced,
    is_ours,
    judge,
    on_enrolment,
    on_restored,
    on_stream,
    pass_mark,
    pass_unreadable,
)
from qmtl_executor.model import (
    NO_EPOCH,
    Fenced,
    Intent,
    Mark,
    MarkKind,
    Place,
    Purged,
    Refused,
    Seat,
    Taken,
    Told,
    Unreadable,
    Verdict,
)
from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_domain import EffectiveMode

ME = Me("paper", EffectiveMode.PAPER)
SEAT = Seat("ann/Trend", "version-1", "long", EffectiveMode.PAPER, 0.5, "paper")
SEATS = {SEAT.strategy_id: SEAT}
TOLD = Told(epoch=7, is_open=True, enrolment=10, enrolment_position=100)
FENCE = Mark(10, MarkKind.FENCE, 7, "t1", "run-1")
OPEN = Mark(11, MarkKind.OPEN, 7, "t1", "run-1", seats=SEATS)
INTENT = Intent(
    intent_id="blake3:" + "0" * 64,
    world="desk",
    strategy_id="ann/Trend",
    symbol="AAPL",
    target=0.5,
    bar_time=datetime(2013, 3, 1, 21, tzinfo=UTC),
    epoch=7,
    executor="paper",
    version="version-1",
    side="long",
    mode=EffectiveMode.PAPER,
)


def new() -> Place:
    return enrolled(TOLD, "stream-1")


def closed() -> Place:
    return pass_mark(new(), FENCE, 100).place


def opened() -> Place:
    return pass_mark(closed(), OPEN, 101).place


def verdict_of(place: Place, intent: Intent, told: Told | None = TOLD) -> Verdict:
    return fenced(place, intent) or judge(place, intent, ME, told)


def test_an_enrolment_begins_closed_right_before_its_fence() -> None:
    place = new()
    assert (place.position, place.mark, place.fence, place.is_open, place.unsure) == (99, 9, NO_EPOCH, False, False)
    assert isinstance(verdict_of(place, INTENT), Fenced)


def test_a_fence_closes_and_an_open_of_its_epoch_opens_and_both_are_acknowledged() -> None:
    step = pass_mark(new(), FENCE, 100)
    assert (step.act, step.place.fence, step.place.is_open, step.place.position) == (Act.FENCED, 7, False, 100)
    assert step.passed is not None
    assert (step.passed.number, step.passed.kind, step.passed.epoch, step.passed.run_id) == (
        10, MarkKind.FENCE, 7, "run-1",
    )  # fmt: skip
    step = pass_mark(step.place, OPEN, 101)
    assert (step.act, step.place.is_open, step.place.seats) == (Act.OPENED, True, SEATS)
    assert step.passed is not None
    assert step.passed.kind is MarkKind.OPEN
    assert verdict_of(step.place, INTENT) == Taken(SEAT)


def test_an_open_of_another_epoch_than_the_fences_opens_nothing_and_is_not_acknowledged() -> None:
    for epoch, act in ((6, Act.IGNORED), (8, Act.CLOSED)):
        step = pass_mark(closed(), replace(OPEN, epoch=epoch), 101)
        assert (step.act, step.place.is_open, step.passed) == (act, False, None)


def test_an_open_above_the_fence_closes_until_its_fence_comes() -> None:
    step = pass_mark(opened(), replace(OPEN, number=12, epoch=8), 102)
    assert (step.act, step.place.fence, step.place.is_open, step.place.unsure) == (Act.CLOSED, 8, False, True)
    older = pass_mark(step.place, replace(FENCE, number=13), 103).place
    assert not pass_mark(older, replace(OPEN, number=14), 104).place.is_open
    fenced_again = pass_mark(older, replace(FENCE, number=14, epoch=8), 104)
    assert (fenced_again.act, fenced_again.place.unsure) == (Act.FENCED, False)
    assert pass_mark(fenced_again.place, replace(OPEN, number=15, epoch=8), 105).place.is_open


def test_an_open_before_any_fence_opens_nothing() -> None:
    assert not pass_mark(new(), replace(OPEN, number=10, epoch=NO_EPOCH), 100).place.is_open


def test_a_fence_of_an_older_epoch_does_nothing() -> None:
    step = pass_mark(opened(), replace(FENCE, number=12, epoch=6), 102)
    assert (step.act, step.place.fence, step.place.is_open, step.passed) == (Act.IGNORED, 7, True, None)


def test_a_fence_of_a_newer_epoch_closes_what_was_open() -> None:
    place = pass_mark(opened(), replace(FENCE, number=12, epoch=8), 102).place
    assert (place.fence, place.is_open) == (8, False)
    told = replace(TOLD, epoch=8, is_open=True)  # its Open is written, and does not stand here yet
    for epoch in (7, 8):  # fenced, not refused: the id is not used up
        assert isinstance(verdict_of(place, replace(INTENT, epoch=epoch), told), Fenced)


def test_a_second_fence_of_an_epoch_that_was_passed_closes_nothing_and_is_acknowledged() -> None:
    step = pass_mark(opened(), replace(FENCE, number=12), 102)
    assert (step.act, step.place.is_open) == (Act.STOOD, True)
    assert step.passed is not None
    assert step.passed.number == 12


def test_a_repeated_open_is_acknowledged_under_its_new_number() -> None:
    place = pass_mark(opened(), replace(FENCE, number=12), 102).place
    step = pass_mark(place, replace(OPEN, number=13), 103)
    assert (step.act, step.place.is_open, step.place.mark) == (Act.STOOD, True, 13)
    assert step.passed is not None


def test_a_mark_that_the_broker_delivers_again_does_nothing() -> None:
    newer = pass_mark(opened(), replace(FENCE, number=12, epoch=8), 102).place
    for old in (FENCE, OPEN):
        step = pass_mark(newer, old, 103)
        assert (step.act, step.passed) == (Act.IGNORED, None)
        assert step.place == replace(newer, position=103)


def test_an_old_pair_of_marks_does_not_open_an_executor_that_missed_something() -> None:
    unsure = pass_mark(opened(), replace(OPEN, number=13, epoch=8), 102).place
    assert unsure.unsure
    for position, old in enumerate((FENCE, OPEN), 103):
        unsure = pass_mark(unsure, old, position).place
    assert (unsure.unsure, unsure.is_open) == (True, False)


def test_a_skipped_number_closes_until_a_fence_and_its_open() -> None:
    step = pass_mark(opened(), replace(OPEN, number=13), 102)
    assert (step.act, step.place.unsure, step.place.is_open, step.passed) == (Act.CLOSED, True, False, None)
    assert isinstance(verdict_of(step.place, INTENT), Fenced)
    step = pass_mark(step.place, replace(OPEN, number=14), 103)
    assert (step.place.unsure, step.place.is_open, step.passed) == (True, False, None)
    step = pass_mark(step.place, replace(FENCE, number=15), 104)
    assert (step.act, step.place.unsure, step.place.is_open) == (Act.FENCED, False, False)
    assert pass_mark(step.place, replace(OPEN, number=16), 105).place.is_open


def test_a_fence_behind_a_gap_is_itself_the_new_fence() -> None:
    step = pass_mark(opened(), replace(FENCE, number=14, epoch=8), 102)
    assert (step.act, step.place.fence, step.place.unsure, step.place.is_open) == (Act.FENCED, 8, False, False)


def test_an_older_fence_behind_a_gap_leaves_it_unsure() -> None:
    step = pass_mark(opened(), replace(FENCE, number=14, epoch=6), 102)
    assert (step.act, step.place.unsure, step.place.is_open, step.passed) == (Act.CLOSED, True, False, None)


def test_a_mark_of_another_timeline_closes() -> None:
    for mark in (replace(OPEN, number=12), replace(FENCE, number=12)):
        step = pass_mark(opened(), replace(mark, timeline="t2"), 102)
        assert (step.act, step.place.unsure, step.place.is_open, step.passed) == (Act.CLOSED, True, False, None)
        again = pass_mark(step.place, replace(OPEN, number=13, timeline="t2"), 103).place
        assert not again.is_open


def test_another_timeline_is_believed_from_a_fence_above_everything_passed() -> None:
    fence = replace(FENCE, number=3, epoch=8, timeline="t2")
    step = pass_mark(opened(), fence, 102)
    assert (step.act, step.place.timeline, step.place.mark, step.place.unsure) == (Act.FENCED, "t2", 3, False)
    assert pass_mark(step.place, replace(OPEN, number=4, epoch=8, timeline="t2"), 103).place.is_open


def test_what_cannot_be_read_closes_only_where_marks_stand() -> None:
    assert pass_unreadable(opened(), Unreadable(False, "?"), 102) == replace(opened(), position=102)
    closed = pass_unreadable(opened(), Unreadable(True, "?"), 102)
    assert (closed.is_open, closed.unsure, closed.position) == (False, True, 102)


def test_intents_are_fenced_by_where_they_stand_whatever_epoch_they_claim() -> None:
    for epoch in (6, 7, 8):
        assert isinstance(verdict_of(closed(), replace(INTENT, epoch=epoch)), Fenced)
    for epoch in (6, 8):
        assert isinstance(verdict_of(opened(), replace(INTENT, epoch=epoch)), Fenced)


@pytest.mark.parametrize(
    ("intent", "field"),
    [
        (replace(INTENT, strategy_id="bob/Carry"), "strategy_id"),
        (replace(INTENT, executor="other"), "executor"),
        (replace(INTENT, mode=EffectiveMode.LIVE), "mode"),
        (replace(INTENT, mode=None), "mode"),
        (replace(INTENT, version="version-2"), "strategy_version"),
        (replace(INTENT, side="short"), "side"),
    ],
)
def test_an_intent_stamped_otherwise_than_the_set_is_refused(intent: Intent, field: str) -> None:
    verdict = verdict_of(opened(), intent)
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.ACTIVATION_MISMATCH
    assert verdict.message.startswith(f"{field}: ")


@pytest.mark.parametrize("seat", [replace(SEAT, executor="other"), replace(SEAT, mode=EffectiveMode.LIVE)])
def test_an_intent_whose_seat_is_anothers_is_refused(seat: Seat) -> None:
    place = replace(opened(), seats={seat.strategy_id: seat})
    assert isinstance(verdict_of(place, INTENT), Refused)
    assert not is_ours(seat, ME)
    assert is_ours(SEAT, ME)
    assert not is_ours(None, ME)


@pytest.mark.parametrize(
    "intent",
    [
        *(replace(INTENT, target=target) for target in (1.1, -1.1, math.nan, math.inf)),
        replace(INTENT, symbol="A" * 65),
        replace(INTENT, bar_time=datetime(9999, 1, 1, tzinfo=UTC)),
        replace(INTENT, bar_time=datetime(1969, 1, 1, tzinfo=UTC)),
        replace(INTENT, symbol=""),
    ],
)
def test_a_wish_that_cannot_be_is_refused(intent: Intent) -> None:
    verdict = verdict_of(opened(), intent)
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.INVALID_FIELD


def test_the_seat_of_the_newest_open_counts() -> None:
    place = pass_mark(opened(), replace(FENCE, number=12, epoch=8), 102).place
    lighter = replace(SEAT, weight=0.25)
    place = pass_mark(place, replace(OPEN, number=13, epoch=8, seats={SEAT.strategy_id: lighter}), 103).place
    told = replace(TOLD, epoch=8)
    assert verdict_of(place, replace(INTENT, epoch=8), told) == Taken(lighter)


@pytest.mark.parametrize(
    "told",
    [
        replace(TOLD, epoch=8, is_open=False),
        replace(TOLD, epoch=8),
        replace(TOLD, is_open=False),  # of a database that was restored to before the Open
        replace(TOLD, epoch=6, is_open=False),
        replace(TOLD, epoch=6),
    ],
)
def test_a_renewal_that_says_other_than_the_open_closes(told: Told) -> None:
    assert not confirms(opened(), told)
    assert isinstance(verdict_of(opened(), INTENT, told), Fenced)


def test_a_renewal_opens_nothing() -> None:
    assert confirms(opened(), TOLD)
    assert isinstance(verdict_of(closed(), INTENT, TOLD), Fenced)


def test_a_world_that_the_renewal_does_not_list_is_closed() -> None:
    assert isinstance(verdict_of(opened(), INTENT, None), Fenced)


def test_a_new_enrolment_under_the_same_name_needs_its_own_fence_and_open() -> None:
    told = Told(epoch=7, is_open=True, enrolment=20, enrolment_position=200)
    place = on_enrolment(opened(), told)
    assert (place.position, place.mark, place.is_open, place.unsure) == (199, 19, False, True)
    place = pass_mark(place, replace(FENCE, number=20), 200).place
    assert (place.fence, place.unsure, place.is_open) == (7, False, False)
    assert pass_mark(place, replace(OPEN, number=21), 201).place.is_open
    assert on_enrolment(opened(), TOLD) == opened()


@pytest.mark.parametrize("epoch", [7, 8])
def test_a_restored_journal_is_closed_where_it_was_until_a_reseed(epoch: int) -> None:
    place = on_restored(opened())
    assert (place.position, place.mark, place.fence) == (101, 11, 7)
    assert (place.is_open, place.unsure, place.restored_mark) == (False, True, 11)
    fence = replace(FENCE, number=12, epoch=epoch, reseed_mark=11)  # written without knowledge of what was lost
    step = pass_mark(place, fence, 102)
    assert (step.act, step.passed, step.place.restored_mark) == (Act.IGNORED, None, 11)
    assert not pass_mark(step.place, replace(OPEN, number=13, epoch=epoch), 103).place.is_open
    reseeded = pass_mark(step.place, replace(FENCE, number=30, epoch=9, reseed_mark=20), 104).place  # the newest is 20
    assert (reseeded.fence, reseeded.unsure, reseeded.restored_mark) == (9, False, None)


def test_a_mark_of_another_database_ends_what_was_lost_in_the_former() -> None:
    place = pass_mark(on_restored(opened()), replace(FENCE, number=2, epoch=8, timeline="t2"), 102).place
    assert (place.fence, place.unsure, place.restored_mark) == (8, False, None)


def test_a_stream_that_lost_what_comes_next_closes() -> None:
    assert on_stream(opened(), "stream-1", 102, 150) == opened()
    assert on_stream(opened(), "stream-1", 40, 101) == opened()
    lost = on_stream(opened(), "stream-1", 103, 150)
    assert (lost.position, lost.is_open, lost.unsure) == (102, False, True)


def test_a_purge_up_to_the_place_is_no_loss_and_one_beyond_it_is() -> None:
    assert on_stream(opened(), "stream-1", 3, 150, Purged("stream-1", 101)) == opened()
    for position in (102, 150):  # 3: the newest mark of another world
        behind = on_stream(opened(), "stream-1", 3, 150, Purged("stream-1", position))
        assert (behind.position, behind.is_open, behind.unsure) == (position, False, True)


@pytest.mark.parametrize("purged", [Purged("stream-1", 151), Purged("stream-0", 140), Purged("", 140)])
def test_a_purge_of_another_stream_or_beyond_the_end_is_none(purged: Purged) -> None:
    assert on_stream(opened(), "stream-1", 3, 150, purged) == opened()
    lost = on_stream(opened(), "stream-1", 103, 150, purged)
    assert (lost.position, lost.unsure) == (102, True)


def test_another_stream_or_one_that_went_back_is_read_from_its_start_closed() -> None:
    for generation, last in (("stream-2", 500), ("stream-1", 100)):
        place = on_stream(opened(), generation, 1, last)
        assert (place.position, place.is_open, place.unsure, place.generation) == (0, False, True, generation)
