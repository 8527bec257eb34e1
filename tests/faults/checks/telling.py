"""What a world tells, in its two streams: S5 linear, S6 atomic, S7 rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import blake3
import rfc8785

from tests.faults.checks.view import Course, View, alike, courses
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import Acknowledgement, Activation, Event

# As the contract has them (``activation.proto``, ``activation_event.proto``), written out once more.
EVENT_CONTEXT: Final = "qmtl 2026-11 activation-event v1"
STATE_CONTEXT: Final = "qmtl 2026-11 activation-state v1"

_ACKNOWLEDGED_MARK: Final = {"freeze": "fence", "unfreeze": "open"}


def event_hash(payload: bytes) -> str:
    """Return the identity of an event's bytes."""
    return "blake3:" + blake3.blake3(payload, derive_key_context=EVENT_CONTEXT).hexdigest()


def state_hash(activations: Sequence[Activation]) -> str:
    """Return the identity of a set, its modes, executors and pins."""
    rows: list[dict[str, str | float]] = [
        {
            "dataset_fingerprint": each.fingerprint,
            "executor": each.executor,
            "mode": each.mode,
            "side": each.side,
            "strategy_id": each.strategy_id,
            "strategy_version": each.version,
            "weight": each.weight,
        }
        for each in sorted(activations, key=lambda each: each.strategy_id)
    ]
    return "blake3:" + blake3.blake3(rfc8785.dumps(rows), derive_key_context=STATE_CONTEXT).hexdigest()


def check_linear(view: View) -> Iterator[Violation]:
    """S5: events chained one after the other, marks numbered without gaps, epochs never back, acknowledged in order."""
    yield from _check_chain(view)
    yield from _check_numbers(view)
    yield from _check_acknowledged(view)
    yield from _check_order(view)


def check_atomic_switch(view: View) -> Iterator[Violation]:
    """S6: the set changes in a SWITCH only, as a whole; events, marks and the database tell the same."""
    for before, event in pairwise(view.events):
        is_next = event.sequence == before.sequence + 1
        if is_next and event.kind != "switch" and not alike(event.activations, before.activations):
            yield Violation("S6", f"event {event.sequence} ({event.kind}) has another set than the one before it")
    for event in view.events:
        if event.state_hash != state_hash(event.activations):
            yield Violation("S6", f"event {event.sequence} states {event.state_hash}, which its set does not have")
        if (event.set_epoch, event.set_sequence) != (event.epoch, event.sequence):
            stated = f"epoch {event.set_epoch}, sequence {event.set_sequence}"
            yield Violation("S6", f"event {event.sequence} of epoch {event.epoch} has the set of {stated}")
    yield from _check_opens(view)
    yield from _check_stored_sets(view)


def check_rolled_back(view: View) -> Iterator[Violation]:
    """S7: a run that was rolled back leaves the set as it was; no mode stands above what it was."""
    for course in courses(view):
        if course.run.phase == "rolled_back":
            yield from _check_events_of(view, course)
            yield from _check_places_of(view, course)


# ---- S5


def _check_chain(view: View) -> Iterator[Violation]:
    deleted = view.history.deleted_events
    if view.events and view.events[0].sequence == 1 and view.events[0].previous_hash:
        yield Violation("S5", "event 1 names a previous one")
    for before, event in pairwise(view.events):
        missing = set(range(before.sequence + 1, event.sequence)) - deleted
        if event.sequence <= before.sequence or (
            missing and not _is_reseeds(view, event.kind, event.epoch, before.epoch)
        ):
            yield Violation("S5", f"event {event.sequence} stands behind {before.sequence} in the control stream")
        elif event.sequence == before.sequence + 1 and event.previous_hash != event_hash(before.payload):
            yield Violation("S5", f"event {event.sequence} does not name the hash of {before.sequence}")
        if event.epoch < before.epoch:
            yield Violation("S5", f"event {event.sequence} goes back to epoch {event.epoch} from {before.epoch}")
    first = 1 if not view.history.since_position else None
    if first is not None and view.events and set(range(first, view.events[0].sequence)) - deleted:
        yield Violation("S5", f"the control stream begins with event {view.events[0].sequence}")


def _check_numbers(view: View) -> Iterator[Violation]:
    marks = view.marks
    for before, mark in pairwise(marks):
        missing = set(range(before.number + 1, mark.number)) - view.history.deleted_marks
        if mark.number <= before.number or (missing and not _is_reseeds(view, mark.kind, mark.epoch, before.epoch)):
            yield Violation("S5", f"mark {mark.number} stands behind {before.number}, at {mark.position}")
        if mark.epoch < before.epoch:
            yield Violation("S5", f"mark {mark.number} goes back to epoch {mark.epoch} from {before.epoch}")
        if mark.kind == "open" and mark.epoch != view.fence_seen_before(mark.position):
            yield Violation(
                "S5", f"mark {mark.number} opens epoch {mark.epoch}, whose Fence is not the newest before it"
            )
    if not view.history.since_position and marks and set(range(1, marks[0].number)) - view.history.deleted_marks:
        yield Violation("S5", f"the order stream begins with mark {marks[0].number}")


def _is_reseeds(view: View, kind: str, epoch: int, before: int) -> bool:
    """Tell whether this begins what a reseed tells: it drops what was never relayed, and counts on above all of it."""
    reseeds = {each.epoch for each in view.history.records if each.event == "reseeded"}
    return kind in ("freeze", "fence") and epoch in reseeds and epoch > before


def _check_acknowledged(view: View) -> Iterator[Violation]:
    for row in view.history.acknowledgements:
        if row.kind == "gateway":
            yield from _check_event_acknowledged(view, row)
        else:
            yield from _check_mark_acknowledged(view, row)


def _check_event_acknowledged(view: View, row: Acknowledgement) -> Iterator[Violation]:
    event = view.told.get(row.sequence)
    if event is None:
        if row.sequence not in view.history.deleted_events:
            yield Violation("S5", f"gateway {row.participant} acknowledged event {row.sequence}, which is not there")
    elif (event.kind, event.epoch, event.run_id) != (row.phase, row.epoch, row.run_id):
        told = f"{event.kind} of epoch {event.epoch}, run {event.run_id!r}"
        said = f"{row.phase} of epoch {row.epoch}, run {row.run_id!r}"
        yield Violation("S5", f"gateway {row.participant} acknowledged event {row.sequence} as {said}; it is {told}")


def _check_mark_acknowledged(view: View, row: Acknowledgement) -> Iterator[Violation]:
    mark = view.number.get(row.mark)
    if mark is None:
        if row.mark not in view.history.deleted_marks:
            yield Violation("S5", f"executor {row.participant} acknowledged mark {row.mark}, which is not there")
    elif (mark.kind, mark.epoch, mark.run_id) != (_ACKNOWLEDGED_MARK.get(row.phase), row.epoch, row.run_id):
        told = f"{mark.kind} of epoch {mark.epoch}, run {mark.run_id!r}"
        said = f"{row.phase} of epoch {row.epoch}, run {row.run_id!r}"
        yield Violation("S5", f"executor {row.participant} acknowledged mark {row.mark} as {said}; it is {told}")


def _check_order(view: View) -> Iterator[Violation]:
    """Look for what a participant acknowledged first when it had acknowledged later ones; repetitions are none."""
    newest: dict[tuple[str, str, str], int] = {}
    said: set[tuple[str, str, str, int]] = set()
    for row in view.history.acknowledgements:
        number = row.sequence if row.kind == "gateway" else row.mark
        who = (row.kind, row.participant, row.incarnation)
        if number < newest.get(who, 0) and (*who, number) not in said:
            text = f"acknowledged {number} behind {newest[who]}"
            yield Violation("S5", f"{row.kind} {row.participant} ({row.incarnation}) {text}")
        newest[who] = max(number, newest.get(who, 0))
        said.add((*who, number))


# ---- S6


def _check_opens(view: View) -> Iterator[Violation]:
    for mark in view.marks:
        if mark.kind != "open":
            continue
        told = view.told.get(mark.set_sequence)
        unfroze = [each for each in view.events if each.kind == "unfreeze" and each.epoch == mark.epoch]
        text = f"mark {mark.number} (Open {mark.epoch}) has another set than"
        if mark.state_hash != state_hash(mark.activations):
            yield Violation("S6", f"mark {mark.number} states {mark.state_hash}, which its set does not have")
        if told is not None and not alike(told.activations, mark.activations):
            yield Violation("S6", f"{text} event {told.sequence}, the newest at its writing")
        for event in unfroze:
            if not alike(event.activations, mark.activations):
                yield Violation("S6", f"{text} event {event.sequence}, which opens that epoch")


def _check_stored_sets(view: View) -> Iterator[Violation]:
    """Compare each stored place with the newest event of its sequence."""
    for change in view.history.changes.places:
        if change.after is None:
            continue
        told = view.told.get(change.after.sequence)
        if told is not None and not alike(told.activations, change.after.activations):
            text = f"stored at {change.at} with another set than event {told.sequence} tells"
            yield Violation("S6", f"the place was {text}")


# ---- S7


def _check_events_of(view: View, course: Course) -> Iterator[Violation]:
    own = [each for each in view.events if each.run_id == course.run.run_id]
    if not own:
        return
    before = view.told.get(own[0].sequence - 1)
    prior = () if before is None else before.activations
    if before is None and own[0].sequence != 1:
        return
    left = _newest_of(view, own[-1])
    if not _is_restored(prior, left.activations):
        text = f"event {left.sequence} has {state_hash(left.activations)}, before it was {state_hash(prior)}"
        yield Violation("S7", f"run {course.run.run_id} was rolled back: {text}")


def _newest_of(view: View, last: Event) -> Event:
    """Return the last event of a run; where a reseed dropped those behind it, the reseed's, which has their set."""
    following = next((each for each in view.events if each.sequence > last.sequence + 1), None)
    if last.sequence + 1 in view.told or following is None:
        return last
    return following if _is_reseeds(view, following.kind, following.epoch, last.epoch) else last


def _check_places_of(view: View, course: Course) -> Iterator[Violation]:
    if course.frozen is None or course.ended is None:
        return
    places = view.history.changes.places
    begun = [each.before for each in places if each.tx == course.frozen.tx and each.before]
    ended = [each.after for each in places if each.tx == course.ended.tx and each.after and each.id < course.ended.id]
    if begun and ended and not _is_restored(begun[0].activations, ended[-1].activations):
        yield Violation("S7", f"run {course.run.run_id} was rolled back, and left another set stored")


def _is_restored(prior: Sequence[Activation], left: Sequence[Activation]) -> bool:
    """Tell whether a set is the prior one, or that without what the world does not allow any more."""
    capped = [replace(each, mode="compute-only", executor="") if each.mode == "live" else each for each in prior]
    return alike(prior, left) or alike(capped, left)
