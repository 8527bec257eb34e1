"""How executors stand, by what they stored: closed unless an Open of their own Fence's epoch was passed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.checks.view import View
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import ExecutorPlace


def check_places(view: View) -> Iterator[Violation]:
    """S2: a place opens only at an Open of its fence's epoch, and its fence and mark never go back."""
    for change in view.history.changes.executor_places:
        before, after = change.before, change.after
        if after is None:
            continue
        name = f"executor {after.executor} at mark {after.mark}"
        if after.is_open and after.unsure:
            yield Violation("S2", f"{name} was open and unsure at {change.at}")
        if after.is_open and not _has_opened(view, after):
            yield Violation("S2", f"{name} was open at {change.at}, behind Fence {after.fence} without its Open")
        if before is not None and after.is_open and after.mark > before.mark + 1:
            yield Violation("S2", f"{name} was open at {change.at}, and had not passed what follows {before.mark}")
        if before is not None and (after.fence < before.fence or after.mark < before.mark):
            yield Violation("S2", f"{name}, Fence {after.fence} went back from {before.mark}, {before.fence}")


def _has_opened(view: View, place: ExecutorPlace) -> bool:
    """Tell whether an Open of its fence's epoch stands among the marks of its enrolment that a place has passed."""
    passed = (view.number.get(number) for number in range(place.mark, place.enrolment - 1, -1))
    return any(mark is None or (mark.kind, mark.epoch) == ("open", place.fence) for mark in passed)
