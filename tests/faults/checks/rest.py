"""S12: once all is quiet, everybody stands where the world stands, and everything is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.faults.checks.view import View
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import Enrolment, ExecutorPlace, Intent

# What is reported of an order in each state.
_REPORTED: Final = {
    "working": "working",
    "filled": "filled",
    "cancelled": "cancelled",
    "rejected": "refused",
    "unchanged": "unchanged",
}


def check_at_rest(view: View) -> Iterator[Violation]:
    """S12: executors are open exactly when their world is, the outboxes are empty, each intent has its answer."""
    history = view.history
    if not history.at_rest:
        return
    unpublished = [each.id for each in history.outbox if each.position is None]
    if unpublished:
        yield _unquiet(f"outbox rows {unpublished} are not published")
    if history.unpublished_reports:
        yield _unquiet(f"{history.unpublished_reports} reports are not published")
    places = {each.executor: each for each in history.executor_places}
    for enrolment in history.enrolments:
        place = places.get(enrolment.executor)
        if place is None:
            yield _unquiet(f"executor {enrolment.executor} is enrolled and has no place")
        else:
            yield from _check_place(view, enrolment, place)
            yield from _check_answered(view, place)


def _check_place(view: View, enrolment: Enrolment, place: ExecutorPlace) -> Iterator[Violation]:
    world = view.history.place
    name = f"executor {place.executor}"
    if world is None:
        yield _unquiet(f"{name} stands in a world that has no place")
        return
    if (place.is_open, place.fence) != (world.is_open, world.epoch):
        stands, told = f"open {place.is_open} at {place.fence}", f"open {world.is_open} at {world.epoch}"
        yield _unquiet(f"{name} is {stands}, the world {told}")
    if place.unsure:
        yield _unquiet(f"{name} is unsure at mark {place.mark}")
    if place.enrolment != enrolment.mark:
        yield _unquiet(f"{name} stands under the enrolment of mark {place.enrolment}, its own is {enrolment.mark}")


def _check_answered(view: View, place: ExecutorPlace) -> Iterator[Violation]:
    history = view.history
    journal = {each.order_id: each.state for each in history.journal if each.executor == place.executor}
    turned = {(e.intent_id, e.epoch): e.outcome for e in history.turned_away if e.executor == place.executor}
    reports = {(e.intent_id, e.outcome) for e in history.reports if e.executor == place.executor}
    fenced = {(e.intent_id, e.epoch) for e in history.reports if e.executor == place.executor}
    begin = view.enrolment_position(place.enrolment)
    for intent in view.intents.values():
        if intent.addressee != place.executor or intent.position < begin:
            continue
        text = f"intent {intent.intent_id[-8:]} of epoch {intent.epoch} at {intent.position}"
        key = (intent.intent_id, intent.epoch)
        if intent.position > place.position:
            yield _unquiet(f"{text} stands behind executor {place.executor}, which is at {place.position}")
        elif key in turned:
            if key not in fenced:
                yield _unquiet(f"{text} was {turned[key]} and not reported")
        else:
            yield from _check_order(intent, text, journal.get(intent.intent_id, ""), reports)


def _check_order(intent: Intent, text: str, state: str, reports: set[tuple[str, str]]) -> Iterator[Violation]:
    if state not in _REPORTED:
        yield _unquiet(f"{text} is not answered: the journal has {state or 'nothing'}")
    elif (intent.intent_id, _REPORTED[state]) not in reports:
        yield _unquiet(f"{text} is {state} and not reported so")


def _unquiet(what: str) -> Violation:
    return Violation("S12", what)
