"""Histories that break one invariant each (some cannot be broken alone), by name: the edit, and what it breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from tests.faults.checks.telling import state_hash
from tests.faults.forged.forgery import Forge, Pick, again, all_of, drop, edit, edit_after, having, state, swap
from tests.faults.forged.scribe import EXECUTOR, seat
from tests.faults.forged.story import written
from tests.faults.history.facts import Activation, Change, History, JournalOrder, Lease, Outage

_STORY: Final = written()
_PHASES: Final = {(each.after.run_id, each.after.phase): each for each in _STORY.changes.runs if each.after is not None}
SECOND_SWITCH: Final = _PHASES["two", "switching"].at
LATE: Final = _PHASES["one", "completed"].at + timedelta(seconds=200)

FENCED: Final = 8  # where an intent of epoch 2 stands behind Fence 3
FIRST, UNCHANGED, SECOND = 4, 6, 10  # where executed intents stand: of epochs 2, 2 and 3
OTHER: Final = (seat("A", 0.5), seat("B", 0.5))
REPINNED: Final = (replace(seat("A", 0.75), fingerprint="another pin"),)
PLANNED: Final = (seat("A", 0.1),)
CLOSING: Final = "closing B at epoch 3"
BAR_1: Final = "intent of A at bar 1"
OF_B: Final = "intent of B at bar 1"


def changed_from(phase: str, **fields: Any) -> Pick:
    """Pick changes of a row that was in a state before."""
    after = having(**fields)

    def pick(change: Any) -> bool:
        return change.before is not None and change.before.state == phase and after(change)

    return pick


def _inserted(**fields: Any) -> Pick:
    after = having(**fields)
    return lambda change: change.before is None and after(change)


def _executes(position: int, **changes: Any) -> Forge:
    """Let an intent that was not executed stand in the journal, as one that changed nothing."""
    (intent,) = (each for each in _STORY.intents if each.position == position)
    order = JournalOrder(
        EXECUTOR, intent.intent_id, intent.strategy_id, intent.symbol, 0.125, intent.bar_time, intent.epoch, position,
        1, "unchanged",
    )  # fmt: skip
    return lambda history: replace(history, journal=(*history.journal, replace(order, **changes)))


def _of_epoch(epoch: int, position: int = FENCED) -> Forge:
    """Let the fenced intent claim another epoch, wherever it is told of."""
    return all_of(
        edit("intents", having(position=position), epoch=epoch),
        edit("turned_away", having(position=position), epoch=epoch),
        edit("reports", having(intent_position=position), epoch=epoch),
    )


def _told(sequence: int, activations: tuple[Activation, ...]) -> Forge:
    return edit("events", having(sequence=sequence), activations=activations, state_hash=state_hash(activations))


def _renews_too(history: History) -> History:
    """Let g2 renew its lease whenever g1 does."""
    leases: list[Change[Lease]] = []
    for each in history.changes.leases:
        leases.append(each)
        if each.after is not None and each.after.name == "g1":
            leases.append(replace(each, after=replace(each.after, name="g2", incarnation="g2-1")))
    return replace(history, changes=replace(history.changes, leases=tuple(leases)))


ACKS: Final = "changes.acknowledgements"
PASSED: Final = having(kind="executor", phase="freeze", epoch=3)
CLOSED: Final = having(participant="g1", phase="freeze", epoch=3)

_FENCED: Final[dict[str, tuple[Forge, str]]] = {
    "an intent of an older epoch is executed": (
        all_of(
            edit("intents", having(position=SECOND), epoch=2),
            edit("journal", having(position=SECOND), epoch=2, weight=0.25),
        ),
        "S1",
    ),
    "an intent behind a Fence is executed": (_executes(FENCED), "S1 S2"),
    "a fenced intent is not turned away": (drop("turned_away", having(position=FENCED)), "S1 S12"),
    "a fenced intent is not reported": (drop("reports", having(outcome="fenced")), "S1 S12"),
    "an order is sent after the switch": (
        edit("changes.orders", _inserted(order_id=BAR_1), at=SECOND_SWITCH + timedelta(seconds=1)),
        "S1",
    ),
    "the venue gets an order after the switch": (
        edit("changes.paper_orders", _inserted(order_id=BAR_1), at=SECOND_SWITCH + timedelta(seconds=1)),
        "S1",
    ),
    "a Fence is acknowledged while an order is in doubt": (
        all_of(
            drop("changes.orders", changed_from("sending", order_id=OF_B)),
            drop("changes.orders", changed_from("working", order_id=OF_B)),
        ),
        "S1",
    ),
    "a Fence is acknowledged while an order works": (
        drop("changes.orders", changed_from("working", order_id=OF_B)),
        "S1",
    ),
    "an intent before the enrolment's Fence is executed": (
        edit("journal", having(position=UNCHANGED), enrolment=4),
        "S1 S2",
    ),
    "an intent between Fence and Open is executed": (
        all_of(
            _of_epoch(3),
            edit("intents", having(position=FENCED), strategy_id="A", version="version of A"),
            _executes(FENCED, epoch=3, strategy_id="A", weight=0.375),
        ),
        "S2 S11",
    ),
    "an intent stands before its Open": (_of_epoch(3), "S11"),
    "an intent is of an epoch that is never open": (_of_epoch(4), "S11"),
    "an intent has no epoch": (_of_epoch(0), "S10 S11"),
    "an intent has a mode without orders": (edit("intents", having(position=FENCED), mode="compute-only"), "S10"),
    "a held world is opened": (edit("events", having(sequence=6), holds=("operator",)), "S10"),
    "what is in no set is executed": (
        all_of(
            edit("intents", having(position=UNCHANGED), strategy_id="C"),
            edit("journal", having(position=UNCHANGED), strategy_id="C"),
        ),
        "S10 S13",
    ),
    "gates are told to open before the Open stands": (
        edit("marks", having(kind="open", epoch=3), stored=LATE),
        "S11",
    ),
    "an executor opens at a Fence": (
        edit_after("changes.executor_places", having(mark=4), is_open=True),
        "S2",
    ),
    "an executor opens across a gap": (
        edit(
            "changes.executor_places",
            having(mark=3),
            before=replace(_STORY.executor_places[0], mark=1, fence=2, is_open=False),
        ),
        "S2",
    ),
    "an executor opens at the Open of another epoch": (
        edit_after("changes.executor_places", having(mark=5), fence=4),
        "S2",
    ),
    "an executor is open and unsure": (edit_after("changes.executor_places", having(mark=5), unsure=True), "S2"),
    "an executor goes back to an older Fence": (
        edit_after("changes.executor_places", having(mark=6), fence=2),
        "S2",
    ),
    "intents are executed before the first Open": (
        edit("marks", having(kind="open", epoch=2), position=UNCHANGED),
        "S2 S10 S11",
    ),
}

_SEATS: Final[dict[str, tuple[Forge, str]]] = {
    "the version is not that of the set": (edit("intents", having(position=SECOND), version="older"), "S13"),
    "the side is not that of the set": (edit("intents", having(position=SECOND), side="short"), "S13"),
    "the mode is not that of the set": (edit("intents", having(position=SECOND), mode="live"), "S13"),
    "the executor is not that of the set": (edit("intents", having(position=SECOND), executor="other"), "S13"),
    "the weight is not that of the set": (edit("journal", having(position=SECOND), weight=0.5), "S13"),
    "the symbol is another": (edit("intents", having(position=UNCHANGED), symbol="IBM"), "S13"),
    "an order names the epoch of another set": (edit("journal", having(position=SECOND), epoch=5), "S13"),
    "what left the set is executed": (
        all_of(
            edit("intents", having(position=SECOND), strategy_id="B"),
            edit("journal", having(position=SECOND), strategy_id="B"),
        ),
        "S8 S13",
    ),
    "an order stands where no intent does": (edit("journal", having(position=UNCHANGED), position=3), "S2 S10 S13"),
    "a position is closed that is to be held": (edit("marks", having(kind="open", epoch=3), on_demote="hold"), "S13"),
    "a position is closed of what is in the set": (
        all_of(
            edit("journal", having(order_id=CLOSING), strategy_id="A"),
            edit("lines", having(strategy_id="B"), quantity=125.0),
            edit("lines", having(strategy_id="A"), quantity=250.0),
        ),
        "S13",
    ),
}

_RUNS: Final[dict[str, tuple[Forge, str]]] = {
    "a run begins before another is over": (
        swap("changes.runs", having(run_id="one", phase="completed"), having(run_id="two", phase="freezing")),
        "S3",
    ),
    "a switch does not wait for the executor": (drop(ACKS, PASSED), "S4"),
    "the executor acknowledges after the switch": (edit(ACKS, PASSED, id=10_000), "S4"),
    "what the executor acknowledged is of a former enrolment": (edit_after(ACKS, PASSED, mark=0), "S4"),
    "the executor acknowledged another epoch": (edit_after(ACKS, PASSED, epoch=2), "S4"),
    "a switch does not wait for a gateway": (drop(ACKS, CLOSED), "S4"),
    "a gateway acknowledged another run": (edit_after(ACKS, CLOSED, run_id="one"), "S4"),
    "another start of a gateway acknowledged": (edit_after(ACKS, CLOSED, incarnation="g1-2"), "S4"),
    "a gateway is taken for lost whose lease holds": (_renews_too, "S4"),
    "a gateway is taken for lost whose lease holds over an outage": (
        all_of(
            _renews_too,
            state(
                outages=(Outage(SECOND_SWITCH - timedelta(seconds=4), SECOND_SWITCH - timedelta(seconds=3), "nats"),)
            ),
        ),
        "S4",
    ),
    "an executor acknowledges what it has not stored": (drop("changes.executor_places", having(mark=11)), "S4"),
    "an unfreeze does not wait for a gateway": (drop(ACKS, having(participant="g1", phase="switch", epoch=3)), "S4"),
    "a drained rollback does not wait for the executor": (
        drop(ACKS, having(kind="executor", phase="freeze", epoch=7)),
        "S4",
    ),
    "a drained rollback does not wait for a gateway": (
        drop(ACKS, having(participant="g1", phase="freeze", epoch=7)),
        "S4",
    ),
    "a run stands twice": (again("runs", having(run_id="one")), "S9"),
    "a run begins twice": (again("changes.runs", having(run_id="one", phase="freezing")), "S9"),
    "a run is requested twice": (again("records", having(run_id="one", event="requested")), "S9"),
    "a run that is over changes its end": (
        again(
            "changes.runs",
            having(run_id="one", phase="completed"),
            before=_PHASES["one", "completed"].after,
            after=replace(_PHASES["one", "completed"].after, phase="aborted"),  # type: ignore[type-var]  # there is one
        ),
        "S9",
    ),
    "a run changes its request": (
        edit_after("changes.runs", having(run_id="two", phase="switching"), request_hash="other"),
        "S9",
    ),
    "a run takes too long": (
        edit_after("changes.runs", having(run_id="one", phase="completed"), end_time=LATE),
        "L1",
    ),
    "a run is not over": (drop("changes.runs", having(run_id="four", phase="rolled_back")), "L1"),
}

_TOLD: Final[dict[str, tuple[Forge, str]]] = {
    "an event is missing": (drop("events", having(sequence=4)), "S5"),
    "the first event is missing": (drop("events", having(sequence=1)), "S5"),
    "an event names another hash": (edit("events", having(sequence=4), previous_hash="blake3:00"), "S5"),
    "an event has other bytes": (edit("events", having(sequence=4), payload=b"other"), "S5"),
    "two events have one sequence": (again("events", having(sequence=4), event_id="another"), "S5"),
    "an event goes back to an epoch": (edit("events", having(sequence=4), epoch=1, set_epoch=1), "S5"),
    "a mark number is left out": (edit("marks", having(number=11), number=12), "S5"),
    "two marks have one number": (again("marks", having(number=11), event_id="another", position=19), "S5"),
    "a mark goes back to an epoch": (edit("marks", having(number=11), epoch=5), "S5"),
    "an event is acknowledged that is not there": (
        edit("acknowledgements", having(participant="g1", sequence=12), sequence=99),
        "S5",
    ),
    "an event is acknowledged as another": (
        edit("acknowledgements", having(participant="g1", sequence=5), phase="unfreeze"),
        "S5",
    ),
    "a mark is acknowledged that is not there": (
        edit("acknowledgements", having(participant=EXECUTOR, mark=11), mark=99),
        "S5",
    ),
    "a mark is acknowledged as another": (
        edit("acknowledgements", having(participant=EXECUTOR, mark=5), phase="freeze"),
        "S5",
    ),
    "a gateway goes back": (
        swap("acknowledgements", having(participant="g1", sequence=4), having(participant="g1", sequence=5)),
        "S5",
    ),
    "an executor goes back": (
        swap("acknowledgements", having(participant=EXECUTOR, mark=4), having(participant=EXECUTOR, mark=5)),
        "S5",
    ),
    "the set changes in a FREEZE": (_told(4, OTHER), "S6"),
    "the set that opens is not the one switched to": (_told(6, OTHER), "S6 S7"),
    "an event states another hash": (edit("events", having(sequence=5), state_hash="blake3:00"), "S6"),
    "an event has the set of another sequence": (edit("events", having(sequence=5), set_sequence=4), "S6"),
    "an Open states another hash": (edit("marks", having(kind="open", epoch=3), state_hash="blake3:00"), "S6"),
    "an Open has another pin": (
        edit("marks", having(kind="open", epoch=3), activations=REPINNED, state_hash=state_hash(REPINNED)),
        "S6",
    ),
    "an Open has other weights": (
        edit("marks", having(kind="open", epoch=3), activations=OTHER, state_hash=state_hash(OTHER)),
        "S6 S13",
    ),
    "another set is stored than told": (edit_after("changes.places", having(sequence=5), activations=OTHER), "S6"),
    "a rollback leaves the plan": (
        all_of(
            _told(13, PLANNED),
            edit_after("changes.places", having(sequence=13), activations=PLANNED),
        ),
        "S7",
    ),
    "a rollback restores a set that never stood": (
        all_of(_told(13, OTHER), edit_after("changes.places", having(sequence=13), activations=OTHER)),
        "S7",
    ),
    "a rollback out of a freeze changes the set": (
        all_of(_told(8, OTHER), edit_after("changes.places", having(sequence=8), activations=OTHER)),
        "S6 S7",
    ),
}

_BOOKED: Final[dict[str, tuple[Forge, str]]] = {
    "an order is sent twice": (again("changes.orders", _inserted(order_id=BAR_1)), "S8"),
    "the venue gets an order twice": (again("changes.paper_orders", _inserted(order_id=BAR_1)), "S8"),
    "the venue gets an order before the journal": (
        edit("changes.paper_orders", _inserted(order_id=BAR_1), id=1),
        "S8",
    ),
    "an order is forgotten that the venue has": (
        again(
            "changes.orders",
            having(order_id=BAR_1, state="filled"),
            before=next(each for each in _STORY.journal if each.order_id == BAR_1),
            after=None,
        ),
        "S8",
    ),
    "an order that ended goes on": (
        again(
            "changes.orders",
            having(order_id=BAR_1, state="filled"),
            before=next(each for each in _STORY.journal if each.order_id == BAR_1),
            after=replace(next(each for each in _STORY.journal if each.order_id == BAR_1), state="cancelled"),
        ),
        "S8",
    ),
    "two journals have an order": (again("journal", having(order_id=BAR_1), executor="other"), "S8 S13"),
    "an order is filled twice": (
        all_of(
            again("fills", having(order_id=BAR_1), fill_id="2"),
            edit("lines", having(strategy_id="A"), quantity=625.0),
        ),
        "S8",
    ),
    "a fill is another than the venue's": (edit("fills", having(order_id=BAR_1), price=1.0), "S8"),
    "a fill is not booked": (drop("fills", having(order_id=BAR_1)), "S8"),
    "a fill is changed": (
        again("changes.fills", having(order_id=BAR_1), before=_STORY.fills[0]),
        "S8",
    ),
    "a line is not the sum of its fills": (edit("lines", having(strategy_id="A"), quantity=1.0), "S8"),
    "the account is not the sum of what was filled": (
        edit("paper_accounts", having(executor=EXECUTOR), shares={"AAPL": 1.0}),
        "S8",
    ),
    "the journal does not know what the venue has": (drop("journal", having(order_id=CLOSING)), "S8"),
    "the venue does not know what the journal has": (
        edit("journal", having(state="unchanged"), state="working"),
        "S8 S12",
    ),
    "journal and venue disagree": (edit("paper_orders", having(order_id=BAR_1), state="cancelled"), "S8"),
}

_AT_REST: Final[dict[str, tuple[Forge, str]]] = {
    "an executor is open in a closed world": (edit("executor_places", having(executor=EXECUTOR), is_open=True), "S12"),
    "an executor stands at an older epoch": (edit("executor_places", having(executor=EXECUTOR), fence=6), "S12"),
    "an executor is unsure": (edit("executor_places", having(executor=EXECUTOR), unsure=True), "S12"),
    "an executor stands under another enrolment": (edit("enrolments", having(executor=EXECUTOR), mark=2), "S12"),
    "an executor has no place": (drop("executor_places", having(executor=EXECUTOR)), "S12"),
    "an executor is behind": (edit("executor_places", having(executor=EXECUTOR), position=14), "S12"),
    "an outbox row is not published": (edit("outbox", having(id=3), position=None), "S12"),
    "a report is not published": (state(unpublished_reports=1), "S12"),
    "an intent is not answered": (drop("journal", having(state="unchanged")), "S12"),
    "an order is in doubt": (edit("journal", having(state="unchanged"), state="sending"), "S12"),
    "an end is not reported": (drop("reports", having(intent_position=SECOND, outcome="filled")), "S12"),
}

FORGERIES: Final = _FENCED | _SEATS | _RUNS | _TOLD | _BOOKED | _AT_REST
