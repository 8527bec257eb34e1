"""The checker passes a flawless history, and of forged ones names the invariant that each breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.faults.checker import INVARIANTS, check
from tests.faults.forged.forgeries import FORGERIES, LATE, SECOND_SWITCH, changed_from
from tests.faults.forged.forgery import Forge, again, all_of, drop, edit, edit_after, having, state
from tests.faults.forged.story import written
from tests.faults.history.facts import Change, History, Outage


@pytest.fixture(scope="module")
def history() -> History:
    return written()


def broken(history: History, since_position: int = 0) -> set[str]:
    return {each.invariant for each in check(history, since_position)}


def test_a_flawless_history_breaks_nothing(history: History) -> None:
    assert check(history) == []
    assert {each.phase for each in history.runs} == {"completed", "rolled_back"}
    assert {each.state for each in history.journal} == {"filled", "unchanged"}
    assert history.turned_away


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_history_breaks_what_it_is_forged_in(name: str, history: History) -> None:
    forge, invariants = FORGERIES[name]
    violations = check(forge(history))
    assert {each.invariant for each in violations} == set(invariants.split()), violations


def test_each_invariant_has_its_forgeries() -> None:
    caught = [invariant for _, invariants in FORGERIES.values() for invariant in invariants.split()]
    assert set(caught) == set(INVARIANTS)
    alone = {invariants for _, invariants in FORGERIES.values()}
    assert set(INVARIANTS) <= alone


def also_reseeded(epoch: int) -> Forge:
    """Return what adds to a history that the world was reseeded, which began an epoch."""

    def forge(history: History) -> History:
        record = replace(history.records[-1], event="reseeded", epoch=epoch)
        return replace(history, records=(*history.records, record))

    return forge


TOLERATED: dict[str, Forge] = {
    "an event that a reseed dropped": all_of(drop("events", having(sequence=11)), also_reseeded(7)),
    "marks and events that stand twice": all_of(
        again("marks", having(number=4), position=8), again("events", having(sequence=5), position=99)
    ),
    "a mark that the harness took out": all_of(
        edit("marks", having(number=11), deleted=True),
        state(deleted_marks=frozenset({11})),
    ),
    "a mark that the harness took out and the outbox has forgotten": all_of(
        drop("marks", having(number=11)), state(deleted_marks=frozenset({11}))
    ),
    "a Fence that the harness took out when the executor had passed it": all_of(
        edit("marks", having(kind="fence", epoch=5), deleted=True), state(deleted_marks=frozenset({7}))
    ),
    "an event that the harness took out": all_of(
        drop("events", having(sequence=4)), state(deleted_events=frozenset({4}))
    ),
    "an order that works through a Fence which leaves it": all_of(
        drop("changes.orders", having(order_id="intent of B at bar 1", state="filled")),
        edit("marks", having(kind="fence"), on_freeze="leave"),
    ),
    "an acknowledgement that is stored twice": again("acknowledgements", having(sequence=2, participant="g1")),
    "a gateway that lost its lease for a moment": all_of(
        again("changes.leases", having(name="g2"), at=SECOND_SWITCH - timedelta(seconds=0.2)),
    ),
    "an order in doubt of a former enrolment": all_of(
        drop("changes.orders", changed_from("sending", order_id="intent of B at bar 1")),
        drop("changes.orders", changed_from("working", order_id="intent of B at bar 1")),
        edit_after("changes.orders", having(order_id="intent of B at bar 1"), enrolment=0),
    ),
    "a run that an outage delayed": all_of(
        edit_after("changes.runs", having(run_id="one", phase="completed"), end_time=LATE),
        state(outages=(Outage(LATE - timedelta(seconds=300), LATE, "postgres"),)),
    ),
    "an intent that is under way": all_of(
        drop("journal", having(state="unchanged")),
        drop("reports", having(outcome="unchanged")),
        state(at_rest=False),
    ),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_may_happen_is_no_violation(name: str, history: History) -> None:
    assert check(TOLERATED[name](history)) == []


def test_an_order_that_the_venue_never_had_may_be_sent_again(history: History) -> None:
    orders = history.changes.orders
    (sent,) = (each for each in orders if each.before is None and each.after and each.after.position == 15)
    assert sent.after is not None
    forgotten = Change(sent.id, sent.at, sent.tx, sent.after, None)
    index = orders.index(sent)
    changes = replace(history.changes, orders=(*orders[: index + 1], forgotten, sent, *orders[index + 1 :]))
    assert check(replace(history, changes=changes)) == []


def test_only_what_stands_behind_a_place_is_judged(history: History) -> None:
    forge, _ = FORGERIES["an event names another hash"]
    forged = forge(history)
    assert broken(forged) == {"S5"}
    position = next(each.position for each in history.marks if each.epoch == 4) - 1
    assert broken(forged, position) == set()
    assert broken(history, position) == set()
    late, _ = FORGERIES["a drained rollback does not wait for the executor"]
    assert broken(late(history), position) == {"S4"}


def test_a_late_intent_of_what_is_not_judged_is_no_violation(history: History) -> None:
    fences = [each for each in history.marks if each.kind == "fence"]
    fence, late = next(
        (fence, each)
        for fence in fences
        for each in history.intents
        if fence.position < each.position and each.epoch < fence.epoch
    )
    assert check(history, fence.position - 1) == []
    ahead = replace(late, epoch=history.marks[-1].epoch + 1)
    forged = replace(history, intents=tuple(ahead if each is late else each for each in history.intents))
    assert "S11" in broken(forged, fence.position - 1)


def test_a_violation_says_where(history: History) -> None:
    forge, _ = FORGERIES["the weight is not that of the set"]
    assert [str(each) for each in check(forge(history))] == [
        "S13: order at bar 3 of paper at 10: weight is 0.5, in the set of epoch 3 0.375"
    ]
