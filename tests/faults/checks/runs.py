"""How apply runs go: S3 one at a time, S4 convergence, S9 once, L1 they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tests.faults.checks.view import BEGUN, TERMINAL, Course, View, courses, seconds
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import Acknowledgement, Change, ExecutorPlace, Lease, Run

# A lease's end is compared with the database's clock in one transaction and moved in another: which of two that are
# so close came first cannot be told from outside.
CLOCK_GRAIN: Final = timedelta(milliseconds=500)
GATEWAY_LEASE_SECONDS: Final = 5.0
SLACK_SECONDS: Final = 10.0  # for a loaded machine: looking for what is due, relaying, restarts


@dataclass(frozen=True, slots=True)
class Barrier:
    """Hold a step that must wait: who was there at ``began`` must have acknowledged by ``ended``, or lost its lease."""

    name: str
    run_id: str
    epoch: int
    phase: str
    began: Change[Run]
    ended: Change[Run]


def check_single_flight(view: View) -> Iterator[Violation]:
    """S3: never two runs of the world that are not terminal, but for those that are queued."""
    under_way: dict[str, None] = {}
    for change in view.history.changes.runs:
        run = change.after
        if run is None:
            continue
        if run.phase not in BEGUN:
            under_way.pop(run.run_id, None)
        elif run.run_id not in under_way:
            if under_way:
                yield Violation(
                    "S3", f"run {run.run_id} began at {change.at} while {', '.join(under_way)} was under way"
                )
            under_way[run.run_id] = None


def check_convergence(view: View) -> Iterator[Violation]:
    """S4: a switch waits for executors and gateways, an unfreeze for gateways, a drained rollback for both."""
    for course in courses(view):
        for barrier in _barriers(view, course):
            if barrier.phase == "freeze":
                yield from _check_executors(view, barrier)
            yield from _check_gateways(view, barrier)
    yield from _check_noted(view)


def check_idempotent(view: View) -> Iterator[Violation]:
    """S9: one run for each id, begun once, of one request; what is over stays over."""
    ids = [each.run_id for each in view.history.runs]
    for run_id in sorted({each for each in ids if ids.count(each) > 1}):
        yield Violation("S9", f"run {run_id} stands {ids.count(run_id)} times")
    begun: set[str] = set()
    for change in view.history.changes.runs:
        before, after = change.before, change.after
        if after is None:
            continue
        phase = "" if before is None else before.phase
        if after.phase in BEGUN and phase not in BEGUN:
            if after.run_id in begun or phase in TERMINAL:
                yield Violation("S9", f"run {after.run_id} began again at {change.at}, from {phase!r}")
            begun.add(after.run_id)
        elif phase in TERMINAL and after.phase != phase:
            yield Violation("S9", f"run {after.run_id} was {phase} and became {after.phase} at {change.at}")
        if before is not None and before.request_hash != after.request_hash:
            yield Violation("S9", f"run {after.run_id} changed its request at {change.at}")
    asked = [each.run_id for each in view.history.records if each.event == "requested" and each.run_id]
    for run_id in sorted({each for each in asked if asked.count(each) > 1}):
        yield Violation("S9", f"run {run_id} was begun {asked.count(run_id)} times, by the audit timeline")


def check_termination(view: View) -> Iterator[Violation]:
    """L1: a run is over in the time that its phases, its rollback and a lease may take; outages come on top."""
    history = view.history
    for course in courses(view):
        if course.frozen is None:
            continue
        began, ended = course.frozen.at, course.run.end_time or history.read_time
        if course.run.end_time is None and history.at_rest:
            yield Violation("L1", f"run {course.run.run_id} is {course.run.phase} at rest, since {began}")
            continue
        bound = course.run.timeouts_ms / 1_000 + GATEWAY_LEASE_SECONDS + SLACK_SECONDS
        bound += _outage_seconds(view, began, ended)
        if seconds(began, ended) > bound:
            text = f"took {seconds(began, ended):.1f} s of {bound:.1f} s, from {began}"
            yield Violation("L1", f"run {course.run.run_id} ({course.run.phase}) {text}")


def _barriers(view: View, course: Course) -> Iterator[Barrier]:
    run = course.run
    if course.frozen is not None and course.switched is not None:
        yield Barrier("switched", run.run_id, run.epoch, "freeze", course.frozen, course.switched)
    if course.frozen is not None and course.unfroze is not None:
        yield Barrier("unfroze", run.run_id, run.epoch, "switch", course.frozen, course.unfroze)
    if course.drains is not None and course.drained is not None:
        epoch = _epoch_at(view, course.drained.id, run.epoch)
        yield Barrier("restored its prior set", run.run_id, epoch, "freeze", course.drains, course.drained)


def _epoch_at(view: View, change_id: int, at_least: int) -> int:
    """Return the world's epoch when a change was written."""
    epochs = (each.after.epoch for each in view.history.changes.places if each.id <= change_id and each.after)
    return max(epochs, default=at_least)


def _check_executors(view: View, barrier: Barrier) -> Iterator[Violation]:
    acknowledged = list(_acknowledged(view, barrier))
    for executor, enrolment in view.enrolled_at(barrier.ended.id).items():
        if not any(
            (each.kind, each.participant) == ("executor", executor) and each.mark >= enrolment.mark
            for each in acknowledged
        ):
            text = f"without a Fence {barrier.epoch} acknowledged by executor {executor}"
            yield Violation("S4", f"run {barrier.run_id} {barrier.name} at {barrier.ended.at} {text}")


def _check_noted(view: View) -> Iterator[Violation]:
    """Look for marks that an executor acknowledged before it had stored that it passed them."""
    passed: dict[str, int] = {}
    recorded = view.history.changes
    changes: list[Change[ExecutorPlace] | Change[Acknowledgement]]
    changes = [*recorded.executor_places, *recorded.acknowledgements]
    for change in sorted(changes, key=lambda each: each.id):
        row = change.after
        if isinstance(row, ExecutorPlace):
            passed[row.executor] = max(row.mark, passed.get(row.executor, 0))
        elif row is not None and row.kind == "executor" and row.mark > passed.get(row.participant, 0):
            text = f"acknowledged mark {row.mark} at {change.at}, its place stored {passed.get(row.participant, 0)}"
            yield Violation("S4", f"executor {row.participant} {text}")


def _check_gateways(view: View, barrier: Barrier) -> Iterator[Violation]:
    acknowledged = {
        (each.participant, each.incarnation)
        for each in _acknowledged(view, barrier)
        if each.kind == "gateway" and each.run_id == barrier.run_id
    }
    for (name, incarnation), leases in _leases(view).items():
        if (name, incarnation) not in acknowledged and not _may_be_lost(view, leases, barrier):
            text = f"without {barrier.phase} acknowledged by gateway {name} ({incarnation}), whose lease held"
            yield Violation("S4", f"run {barrier.run_id} {barrier.name} at {barrier.ended.at} {text}")


def _acknowledged(view: View, barrier: Barrier) -> Iterator[Acknowledgement]:
    """Yield the acknowledgements of the barrier's phase and epoch that were stored before it was passed."""
    for change in view.history.changes.acknowledgements:
        row = change.after
        if row and change.id < barrier.ended.id and (row.phase, row.epoch) == (barrier.phase, barrier.epoch):
            yield row


def _leases(view: View) -> dict[tuple[str, str], list[Change[Lease]]]:
    leases: dict[tuple[str, str], list[Change[Lease]]] = {}
    for change in view.history.changes.leases:
        if change.after is not None:
            leases.setdefault((change.after.name, change.after.incarnation), []).append(change)
    return leases


def _may_be_lost(view: View, leases: list[Change[Lease]], barrier: Barrier) -> bool:
    """Tell whether a gateway did not hold a lease at some moment from when a barrier began until it was passed."""
    began, ended = barrier.began.at, barrier.ended.at
    until: datetime | None = None
    for change in leases:
        assert change.after is not None
        if until is None and change.at > began - CLOCK_GRAIN:
            return True  # it came later, or may have
        if change.at > began - CLOCK_GRAIN and until is not None and _is_over(view, until, min(change.at, ended)):
            return True
        if change.at > ended:
            return False
        until = change.after.expire_time
    return until is None or _is_over(view, until, ended)


def _is_over(view: View, until: datetime, at: datetime) -> bool:
    """Tell whether a lease may have been over at a moment; what is written in an outage may be seen at its end only."""
    seen = at + CLOCK_GRAIN
    for outage in view.history.outages:
        if outage.began - CLOCK_GRAIN <= at <= outage.ended:
            seen = max(seen, outage.ended + CLOCK_GRAIN)
    return until <= seen


def _outage_seconds(view: View, began: datetime, ended: datetime) -> float:
    """Return for how long of a time something was away, each moment counted once."""
    total, counted = 0.0, began
    for outage in sorted(view.history.outages, key=lambda each: each.began):
        start, end = max(outage.began, counted), min(outage.ended, ended)
        if end > start:
            total += seconds(start, end)
            counted = end
    return total
