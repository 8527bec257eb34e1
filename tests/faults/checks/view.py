"""A history indexed by what checks ask: what stands before a place, what is executed, who is enrolled, how runs go."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from tests.faults.history.facts import Activation, Change, Enrolment, Event, History, Intent, JournalOrder, Mark, Run

Told = TypeVar("Told", Mark, Event)

NO_EPOCH: Final = 0
BEGUN: Final = frozenset({"freezing", "switching", "unfreezing", "reopening", "draining"})
TERMINAL: Final = frozenset({"completed", "rolled_back", "aborted"})


@dataclass(frozen=True, slots=True)
class View:
    """Hold a history with its indexes. ``marks`` and ``events`` are without repetitions of an id."""

    history: History
    marks: tuple[Mark, ...]
    events: tuple[Event, ...]
    fences: tuple[tuple[int, int], ...]  # position and highest epoch so far, by position
    seen_fences: tuple[tuple[int, int], ...]  # with those that were taken out, which somebody may have seen before
    opens: tuple[Mark, ...]
    first_open: Mapping[int, Mark]  # by epoch
    number: Mapping[int, Mark]
    told: Mapping[int, Event]  # by sequence
    intents: Mapping[int, Intent]  # by position

    def fence_before(self, position: int) -> int:
        """Return the highest epoch of which a Fence stands before a place: everybody must have passed it."""
        return _highest_before(self.fences, position)

    def fence_seen_before(self, position: int) -> int:
        """Return the highest epoch of which a Fence stands or stood before a place: somebody may have passed it."""
        return _highest_before(self.seen_fences, position)

    def is_open_at(self, position: int, after: int = 0) -> bool:
        """Tell whether the newest Fence before a place has an Open before it too, behind the place ``after``."""
        epochs = {self.fence_before(position), self.fence_seen_before(position)}
        return any(after < each.position < position and each.epoch in epochs for each in self.opens)

    def executed(self) -> Iterator[tuple[JournalOrder, Intent | None]]:
        """Yield the orders that were taken from the stream, each with the intent that stands there."""
        for order in self.history.journal:
            if order.position > self.history.since_position:
                yield order, self.intents.get(order.position)

    def own_orders(self) -> Iterator[JournalOrder]:
        """Yield the orders of the executors' own."""
        first = min((mark.epoch for mark in self.marks), default=0)
        return (each for each in self.history.journal if each.position == 0 and each.epoch >= first)

    def enrolment_position(self, number: int) -> int:
        """Return where the Fence of an enrolment stands; 0 where that is not known."""
        mark = self.number.get(number)
        return 0 if mark is None else mark.position

    def enrolled_at(self, change_id: int) -> dict[str, Enrolment]:
        """Return who was enrolled when a change was written."""
        enrolled: dict[str, Enrolment] = {}
        for change in self.history.changes.enrolments:
            if change.id > change_id:
                break
            if change.after is not None:
                enrolled[change.after.executor] = change.after
            elif change.before is not None:
                enrolled.pop(change.before.executor, None)
        return enrolled


@dataclass(frozen=True, slots=True)
class Course:
    """Hold how one run went, by the changes of its row: when it was frozen, switched, unfrozen, drained, ended."""

    run: Run  # as it was left
    frozen: Change[Run] | None = None
    switched: Change[Run] | None = None
    unfroze: Change[Run] | None = None
    drains: Change[Run] | None = None
    drained: Change[Run] | None = None
    ended: Change[Run] | None = None


def view_of(history: History) -> View:
    """Index a history."""
    marks, events = _once(history.marks), _once(history.events)
    opens = tuple(each for each in marks if each.kind == "open")
    return View(
        history=history,
        marks=marks,
        events=events,
        fences=_fences([each for each in marks if not each.deleted]),
        seen_fences=_fences(marks),
        opens=opens,
        first_open={each.epoch: each for each in reversed(opens)},
        number={each.number: each for each in reversed(marks)},
        told={each.sequence: each for each in reversed(events)},
        intents={each.position: each for each in history.intents},
    )


def courses(view: View) -> list[Course]:
    """Return how each run went, in the order of their beginning."""
    by_run: dict[str, list[Change[Run]]] = {}
    for change in view.history.changes.runs:
        if change.after is not None:
            by_run.setdefault(change.after.run_id, []).append(change)
    found = [_course(changes) for changes in by_run.values()]
    return [each for each in found if each.run.epoch >= _first_epoch(view)]


def alike(one: Sequence[Activation], other: Sequence[Activation]) -> bool:
    """Tell whether two sets are the same, in whatever order."""
    return sorted(one, key=_strategy) == sorted(other, key=_strategy)


def seconds(began: datetime, ended: datetime) -> float:
    """Return the seconds between two moments."""
    return (ended - began).total_seconds()


def _course(changes: Sequence[Change[Run]]) -> Course:
    """Read a run's way off the changes of its row; one step may go through several phases."""
    course: dict[str, Change[Run]] = {}
    last: Run | None = None
    for change in changes:
        before, after = "" if change.before is None else change.before.phase, change.after
        assert after is not None
        last = after
        if before == after.phase or not before:
            continue
        if before == "queued" and after.phase != "aborted":
            course.setdefault("frozen", change)
        if before in ("queued", "freezing") and after.phase in ("switching", "unfreezing", "completed"):
            course.setdefault("switched", change)
        if before in ("queued", "freezing", "switching") and after.phase == "unfreezing":
            course.setdefault("unfroze", change)
        if after.phase == "draining":
            course.setdefault("drains", change)
        if before == "draining" and after.phase == "rolled_back":
            course.setdefault("drained", change)
        if after.phase in TERMINAL:
            course.setdefault("ended", change)
    assert last is not None
    return Course(last, **course)


def _first_epoch(view: View) -> int:
    """Return the first epoch that is judged."""
    if not view.history.since_position:
        return 0
    return min((mark.epoch for mark in view.marks), default=0)


def _once(told: Sequence[Told]) -> tuple[Told, ...]:
    """Return what stands in a stream without repetitions of an event id."""
    first: dict[str, Told] = {}
    for each in told:
        first.setdefault(each.event_id, each)
    return tuple(first.values())


def _highest_before(fences: Sequence[tuple[int, int]], position: int) -> int:
    index = bisect_left(fences, (position, NO_EPOCH))
    return fences[index - 1][1] if index else NO_EPOCH


def _fences(marks: Sequence[Mark]) -> tuple[tuple[int, int], ...]:
    highest = NO_EPOCH
    fences: list[tuple[int, int]] = []
    for mark in marks:
        if mark.kind == "fence":
            highest = max(highest, mark.epoch)
            fences.append((mark.position, highest))
    return tuple(fences)


def _strategy(activation: Activation) -> str:
    return activation.strategy_id
