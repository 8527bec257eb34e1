"""S1 by time: what an executor still does for an older epoch when it acknowledges a Fence, and after a switch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.faults.checks.view import View, courses
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import Acknowledgement, Change, JournalOrder

UNDER_WAY: Final = frozenset({"sending", "working"})


def check_switched(view: View) -> Iterator[Violation]:
    """S1: once a run has switched, no order of an older epoch is put into a journal as sent, or reaches the venue."""
    changes = view.history.changes
    sent = [each for each in changes.orders if each.before is None and each.after and each.after.state == "sending"]
    epochs = {each.after.order_id: each.after.epoch for each in sent if each.after}
    for course in courses(view):
        if course.switched is None or course.switched.after is None:
            continue
        run_id, epoch, at = course.run.run_id, course.switched.after.epoch, course.switched.at
        for change in sent:
            if change.at > at and change.after and change.after.epoch < epoch:
                text = f"{_named(change.after)} was sent at {change.at}, after run {run_id} switched at {at}"
                yield Violation("S1", text)
        for taken in changes.paper_orders:
            order = taken.after
            if taken.before is None and order and taken.at > at and epochs.get(order.order_id, epoch) < epoch:
                text = f"the venue got order {order.order_id[-8:]} at {taken.at}, after run {run_id} switched at {at}"
                yield Violation("S1", text)


def check_acknowledged_fences(view: View) -> Iterator[Violation]:
    """S1: a Fence is not acknowledged while an order of an older epoch is in doubt, or works though it is cancelled."""
    standing: dict[tuple[str, str], JournalOrder] = {}
    recorded = view.history.changes
    changes: list[Change[JournalOrder] | Change[Acknowledgement]] = [*recorded.orders, *recorded.acknowledgements]
    for change in sorted(changes, key=lambda each: each.id):
        row = change.after if change.after is not None else change.before
        if isinstance(row, JournalOrder):
            standing.pop((row.executor, row.order_id), None)
            if change.after is not None and row.state in UNDER_WAY:
                standing[row.executor, row.order_id] = row
        elif row is not None and (row.kind, row.phase) == ("executor", "freeze"):
            enrolled = view.enrolled_at(change.id).get(row.participant)
            for order in standing.values():
                if order.executor != row.participant or order.epoch >= row.epoch:
                    continue
                if enrolled is not None and order.enrolment != enrolled.mark:
                    continue  # of a former enrolment: never sent again, stays in doubt until somebody looks
                if order.state == "sending" or _is_cancelled(view, row.epoch, row.mark):
                    text = (
                        f"mark {row.mark} (Fence {row.epoch}) was acknowledged while {_named(order)} is {order.state}"
                    )
                    yield Violation("S1", text)


def _is_cancelled(view: View, epoch: int, number: int) -> bool:
    """Tell whether every Fence of an epoch up to a mark says that what works is cancelled."""
    fences = [each for each in view.marks if each.kind == "fence" and each.epoch == epoch and each.number <= number]
    return all(each.on_freeze == "cancel" for each in fences)


def _named(order: JournalOrder) -> str:
    return f"order {order.order_id[-8:]} (epoch {order.epoch}, position {order.position}) of {order.executor}"
