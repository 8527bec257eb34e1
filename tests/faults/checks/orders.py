"""What was executed, by where it stands in the order stream: S1, S2, S10, S11, S13."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.faults.checks.fences import check_acknowledged_fences, check_switched
from tests.faults.checks.places import check_places
from tests.faults.checks.view import View
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import Activation, Intent, JournalOrder

ORDER_MODES: Final = frozenset({"paper", "live"})


def check_fenced(view: View) -> Iterator[Violation]:
    """S1: what stands behind a Fence with an older epoch is not executed, but turned away and reported."""
    for order, intent in view.executed():
        fence = view.fence_before(order.position)
        epoch = order.epoch if intent is None else intent.epoch
        if epoch < fence:
            yield _fenced(f"{_named(order)} of epoch {epoch} stands behind Fence {fence}, and was executed")
        if order.position < view.enrolment_position(order.enrolment):
            yield _fenced(f"{_named(order)} stands before the Fence of its enrolment, mark {order.enrolment}")
    yield from _check_answers(view)
    yield from check_switched(view)
    yield from check_acknowledged_fences(view)


def check_closed_while_frozen(view: View) -> Iterator[Violation]:
    """S2: nothing is executed between a Fence and its Open, nor before its executor passed an Open."""
    yield from check_places(view)
    for order, _ in view.executed():
        fence, enrolled = view.fence_before(order.position), view.enrolment_position(order.enrolment)
        if not view.is_open_at(order.position):
            yield Violation("S2", f"{_named(order)} stands between Fence {fence} and its Open, and was executed")
        elif not view.is_open_at(order.position, enrolled):
            text = f"{_named(order)} has no Open {fence} between it and the Fence of its enrolment at {enrolled}"
            yield Violation("S2", text)


def check_default_safe(view: View) -> Iterator[Violation]:
    """S10: every intent has an epoch and a mode with orders; nothing is executed that no Open ever let trade."""
    for intent in view.intents.values():
        if intent.epoch < 1 or intent.mode not in ORDER_MODES:
            yield Violation("S10", f"an intent of epoch {intent.epoch}, mode {intent.mode!r} at {intent.position}")
    for order, _ in view.executed():
        before = [each for each in view.opens if each.position < order.position]
        if not before:
            yield Violation("S10", f"{_named(order)} was executed before the world's first Open")
        elif not any(order.strategy_id in _strategies(each.activations) for each in before):
            yield Violation("S10", f"{_named(order)} is of {order.strategy_id}, which is in no set")
    for event in view.events:
        if event.kind == "unfreeze" and event.holds:
            yield Violation("S10", f"event {event.sequence} opens a world held by {', '.join(event.holds)}")


def check_open_before_use(view: View) -> Iterator[Violation]:
    """S11: no intent stands before the first Open of its epoch; gates are told to open when that stands there.

    Where a history is judged behind a place only, the Open of an older epoch stands before that.
    """
    first = view.marks[0].epoch if view.history.since_position and view.marks else 0
    for intent in view.intents.values():
        if intent.epoch < first:
            continue
        opened = view.first_open.get(intent.epoch)
        if opened is None or opened.position > intent.position:
            where = "nowhere" if opened is None else f"at {opened.position}"
            yield Violation("S11", f"intent of epoch {intent.epoch} at {intent.position}; Open {where}")
    for event in view.events:
        opened = view.first_open.get(event.epoch)
        if event.kind != "unfreeze" or (opened is not None and opened.deleted):
            continue
        if opened is None or opened.stored > event.stored:
            where = "nowhere" if opened is None else f"stored at {opened.stored}"
            yield Violation("S11", f"event {event.sequence} opens epoch {event.epoch} at {event.stored}; Open {where}")


def check_set_of_its_epoch(view: View) -> Iterator[Violation]:
    """S13: what is executed is what stands in the stream, as the set of the Open before it has it."""
    for order, intent in view.executed():
        if intent is None or intent.intent_id != order.order_id:
            yield _foreign(f"{_named(order)} is no intent that stands there")
            continue
        if order.epoch != intent.epoch:
            yield _foreign(f"{_named(order)} has epoch {order.epoch}, its intent {intent.epoch}")
        if intent.epoch > view.fence_seen_before(order.position):
            yield _foreign(f"{_named(order)} is of epoch {intent.epoch}, above the Fence before it")
        yield from _check_seat(view, order, intent)
    yield from _check_demotions(view)


def _check_seat(view: View, order: JournalOrder, intent: Intent) -> Iterator[Violation]:
    opened = view.first_open.get(intent.epoch)
    seat = None if opened is None else _seat(opened.activations, intent.strategy_id)
    if seat is None or not seat.active:
        yield _foreign(f"{_named(order)}: {intent.strategy_id} is not in the set of epoch {intent.epoch}")
        return
    stated: tuple[tuple[str, object, object], ...] = (
        ("strategy", order.strategy_id, seat.strategy_id),
        ("version", intent.version, seat.version),
        ("side", intent.side, seat.side),
        ("mode", intent.mode, seat.mode),
        ("executor", order.executor, seat.executor),
        ("intent's executor", intent.executor, seat.executor),
        ("weight", order.weight, intent.target * seat.weight),
        ("symbol", order.symbol, intent.symbol),
        ("bar", order.bar_time, intent.bar_time),
    )
    for name, given, wanted in stated:
        if given != wanted:
            yield _foreign(f"{_named(order)}: {name} is {given!r}, in the set of epoch {intent.epoch} {wanted!r}")


def _check_demotions(view: View) -> Iterator[Violation]:
    """Judge what executors ordered by themselves: to close what left the set, where the Open says so."""
    for order in view.own_orders():
        opened = view.first_open.get(order.epoch)
        if opened is None:
            yield _foreign(f"{_named(order)}: the executor's own, of epoch {order.epoch} without Open")
            continue
        seat = _seat(opened.activations, order.strategy_id)
        if seat is not None and seat.executor == order.executor:
            yield _foreign(f"{_named(order)}: closes {order.strategy_id}, which is in the set of epoch {order.epoch}")
        if order.weight != 0.0 or opened.on_demote != "flatten":
            text = f"weight {order.weight} of its own at Open {order.epoch}, which says {opened.on_demote}"
            yield _foreign(f"{_named(order)}: {text}")


def _check_answers(view: View) -> Iterator[Violation]:
    """Look for the answer of each fenced intent that its executor has passed."""
    history = view.history
    turned = {(each.executor, each.intent_id, each.epoch) for each in history.turned_away if each.outcome == "fenced"}
    reported = {(each.executor, each.intent_id, each.epoch) for each in history.reports if each.outcome == "fenced"}
    taken = {(each.executor, each.order_id): each.position for each in history.journal}
    places = {each.executor: each for each in history.executor_places}
    for intent in view.intents.values():
        place = places.get(intent.addressee)
        if place is None or intent.epoch >= view.fence_before(intent.position):
            continue
        if not view.enrolment_position(place.enrolment) < intent.position <= place.position:
            continue
        if taken.get((intent.addressee, intent.intent_id), intent.position) < intent.position:
            continue  # executed before, and answered with that
        key = (intent.addressee, intent.intent_id, intent.epoch)
        text = f"intent {intent.intent_id[-8:]} of epoch {intent.epoch} at {intent.position}, behind a newer Fence"
        if key not in turned:
            yield _fenced(f"{text}, was not turned away by {intent.addressee}, which stands at {place.position}")
        elif key not in reported and not history.unpublished_reports:
            yield _fenced(f"{text}, was not reported as fenced")


def _seat(activations: tuple[Activation, ...], strategy_id: str) -> Activation | None:
    return next((each for each in activations if each.strategy_id == strategy_id), None)


def _strategies(activations: tuple[Activation, ...]) -> set[str]:
    return {each.strategy_id for each in activations}


def _named(order: JournalOrder) -> str:
    return f"order {order.order_id[-8:]} of {order.executor} at {order.position}"


def _fenced(what: str) -> Violation:
    return Violation("S1", what)


def _foreign(what: str) -> Violation:
    return Violation("S13", what)
