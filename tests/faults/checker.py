"""Judges a recorded history by the invariants of the apply protocol (``docs/architecture/apply.md``). Pure.

It knows the contract and the tables, and none of the code that is under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tests.faults.checks.orders import (
    check_closed_while_frozen,
    check_default_safe,
    check_fenced,
    check_open_before_use,
    check_set_of_its_epoch,
)
from tests.faults.checks.rest import check_at_rest
from tests.faults.checks.runs import check_convergence, check_idempotent, check_single_flight, check_termination
from tests.faults.checks.telling import check_atomic_switch, check_linear, check_rolled_back
from tests.faults.checks.venue import check_at_most_once
from tests.faults.checks.view import View, view_of
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import History

__all__ = ["INVARIANTS", "Violation", "check"]

INVARIANTS: Final[dict[str, Callable[[View], Iterator[Violation]]]] = {
    "S1": check_fenced,
    "S2": check_closed_while_frozen,
    "S3": check_single_flight,
    "S4": check_convergence,
    "S5": check_linear,
    "S6": check_atomic_switch,
    "S7": check_rolled_back,
    "S8": check_at_most_once,
    "S9": check_idempotent,
    "S10": check_default_safe,
    "S11": check_open_before_use,
    "S12": check_at_rest,
    "S13": check_set_of_its_epoch,
    "L1": check_termination,
}


def check(history: History, since_position: int = 0) -> list[Violation]:
    """Return what breaks an invariant, by invariant; of what stands behind a place of the order stream only."""
    view = view_of(_since(history, since_position) if since_position else history)
    return [violation for judge in INVARIANTS.values() for violation in judge(view)]


def _since(history: History, position: int) -> History:
    """Return what stands behind a place: from the first mark there, its epoch and its time on."""
    marks = tuple(each for each in history.marks if each.position > position)
    if not marks:
        return replace(history, marks=(), since_position=position)
    epoch, began = marks[0].epoch, marks[0].stored
    changes = history.changes
    return replace(
        history,
        since_position=position,
        marks=marks,
        intents=tuple(each for each in history.intents if each.position > position),
        events=tuple(each for each in history.events if each.epoch >= epoch),
        acknowledgements=tuple(each for each in history.acknowledgements if each.epoch >= epoch),
        records=tuple(each for each in history.records if each.epoch >= epoch),
        runs=tuple(each for each in history.runs if each.epoch >= epoch),
        changes=replace(
            changes,
            places=tuple(each for each in changes.places if each.after and each.after.epoch >= epoch),
            runs=tuple(each for each in changes.runs if each.after and (each.after.epoch >= epoch or each.at >= began)),
            orders=tuple(each for each in changes.orders if each.at >= began),
            paper_orders=tuple(each for each in changes.paper_orders if each.at >= began),
        ),
    )
