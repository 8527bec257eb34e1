"""Writes the history of one world as a flawless stack would leave it: one executor on paper, two gateways.

Each method is one thing that happens; its time, its transaction and its changes are recorded as the database would.
What comes of an intent is said, not decided: the scribe judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.faults.checks.telling import event_hash, state_hash
from tests.faults.history.facts import (
    Acknowledgement,
    Activation,
    Change,
    Changes,
    Enrolment,
    Event,
    ExecutorPlace,
    Fill,
    History,
    Intent,
    JournalOrder,
    Lease,
    Line,
    Mark,
    PaperAccount,
    PaperOrder,
    Record,
    Report,
    Run,
    Told,
    TurnedAway,
    WorldPlace,
)

WORLD: Final = "equity"
EXECUTOR: Final = "paper"
SYMBOL: Final = "AAPL"
PRICE: Final = 100.0
SHARES: Final = 1_000.0  # of a whole weight
TIMEOUTS_MS: Final = 80_000
LEASE, STEP = timedelta(seconds=5), timedelta(milliseconds=100)
BAR: Final = datetime(2013, 1, 2, 21, tzinfo=UTC)
UNKNOWN: Final = WorldPlace(0, 0, 0, False, (), ())
NOWHERE: Final = ExecutorPlace(EXECUTOR, enrolment=1, position=0, mark=0, fence=-1, is_open=False, unsure=False)


def seat(strategy_id: str, weight: float) -> Activation:
    """Return a strategy's place in a set."""
    return Activation(strategy_id, f"version of {strategy_id}", weight, "long", "paper", "pin", EXECUTOR)


@dataclass(slots=True)
class Scribe:
    """Hold what was written so far."""

    now: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC)
    place: WorldPlace = UNKNOWN
    stored: WorldPlace = UNKNOWN
    executor: ExecutorPlace = NOWHERE
    run: Run | None = None
    prior: tuple[Activation, ...] = ()
    plan: tuple[Activation, ...] = ()
    position: int = 0  # of the order stream
    ids: int = 0
    tx: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)
    lines: dict[str, float] = field(default_factory=dict)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    changes: dict[str, list[Any]] = field(default_factory=dict)

    # ---- A world and its runs

    def enrol(self) -> None:
        """Enrol the executor behind the world's first Fence."""
        self._begin()
        enrolment = Enrolment(EXECUTOR, "paper", self.place.mark + 1)
        self._write("enrolments", enrolment)
        self._change("enrolments", None, enrolment)
        self._fence()
        self._save()

    def freeze(self, run_id: str, *plan: Activation) -> None:
        """Begin a run."""
        self._begin()
        self.prior, self.plan = self.place.activations, plan
        self.run = Run(run_id, f"hash of {run_id}", "queued", 0, TIMEOUTS_MS, self.now, None)
        self._change("runs", None, self.run)
        self._record("requested")
        self._fence()
        self._tell("freeze")
        self._enter("freezing", epoch=self.place.epoch)

    def switch(self) -> None:
        """Put the run's plan in force."""
        self._begin()
        self._move(activations=self.plan)
        self._tell("switch")
        self._enter("switching")

    def unfreeze(self) -> None:
        """Open."""
        self._begin()
        self._open()
        self._enter("unfreezing")

    def reopen(self) -> None:
        """Undo a run that is freezing."""
        self._begin()
        self._fence()
        self._open()
        self._enter("reopening")

    def drain(self) -> None:
        """Fence a run that is unfreezing, to undo it."""
        self._begin()
        self._fence()
        self._tell("freeze")
        self._enter("draining")

    def restore(self) -> None:
        """Put the prior set back, and leave the world held."""
        self._begin()
        self._move(activations=self.prior, holds=("rolled_back",))
        self._tell("switch")
        self.end("rolled_back")

    def end(self, phase: str) -> None:
        """End the run."""
        self._record(phase)
        self._enter(phase, end_time=self.now)

    # ---- Participants

    def renew(self, *gateways: str) -> None:
        """Renew leases."""
        self._begin()
        for name in gateways:
            lease = Lease("gateway", name, f"{name}-1", self.now + LEASE)
            self._change("leases", self.leases.get(name), lease)
            self.leases[name] = lease

    def wait(self, seconds: float, *gateways: str) -> None:
        """Let time pass in which these gateways renew their leases each second."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=1)
            self.renew(*gateways)

    def pass_marks(self) -> None:
        """Let the executor pass what marks are new, and acknowledge each."""
        marks: list[Mark] = self.parts["marks"]
        for mark in (each for each in marks if each.number > self.executor.mark):
            phase = "freeze" if mark.kind == "fence" else "unfreeze"
            self._stand(position=mark.position, mark=mark.number, fence=mark.epoch, is_open=mark.kind == "open")
            self._acknowledge("executor", EXECUTOR, phase, mark.run_id, mark=mark.number)

    def acknowledge(self, *gateways: str) -> None:
        """Let gateways acknowledge the newest event."""
        for event, name in ((self.parts["events"][-1], each) for each in gateways):
            self._acknowledge("gateway", name, event.kind, event.run_id, sequence=event.sequence)

    # ---- Orders

    def send(self, strategy_id: str, bar: int, epoch: int = 0, target: float = 0.5) -> Intent:
        """Store an intent; of the world's epoch, unless said otherwise."""
        intent = Intent(
            position=self._next_position(),
            stored=self.now,
            intent_id=f"intent of {strategy_id} at bar {bar}",
            strategy_id=strategy_id,
            symbol=SYMBOL,
            target=target,
            bar_time=BAR + timedelta(days=bar),
            epoch=epoch or self.place.epoch,
            executor=EXECUTOR,
            version=f"version of {strategy_id}",
            side="long",
            mode="paper",
            addressee=EXECUTOR,
        )
        self._write("intents", intent)
        return intent

    def execute(self, strategy_id: str, bar: int) -> None:
        """Send an intent that is filled."""
        intent = self.send(strategy_id, bar)
        order = self._order(intent, "sending")
        self._fill(order, order.weight * SHARES - self.lines.get(strategy_id, 0.0))
        for outcome in ("working", "filled"):
            self._report(intent, outcome)
        self._stand(position=intent.position)

    def leave(self, strategy_id: str, bar: int) -> None:
        """Send an intent that changes nothing."""
        intent = self.send(strategy_id, bar)
        order = self._order(intent, "unchanged")
        self._begin()
        self._change("orders", None, order)
        self._write("journal", order)
        self._report(intent, "unchanged")
        self._stand(position=intent.position)

    def repeat(self, strategy_id: str, bar: int) -> None:
        """Send an intent again that was executed."""
        intent = self.send(strategy_id, bar)
        self._report(intent, "filled")
        self._stand(position=intent.position)

    def send_late(self, strategy_id: str, bar: int, epoch: int) -> None:
        """Send an intent of an older epoch, that is fenced."""
        intent = self.send(strategy_id, bar, epoch)
        self._write("turned_away", TurnedAway(EXECUTOR, intent.intent_id, epoch, "fenced", intent.position, ""))
        self._report(intent, "fenced")
        self._stand(position=intent.position)

    def demote(self, strategy_id: str) -> None:
        """Let the executor close what a strategy holds that left the set."""
        epoch, enrolment = self.place.epoch, self.executor.enrolment
        own = (f"closing {strategy_id} at epoch {epoch}", strategy_id, SYMBOL)
        order = JournalOrder(EXECUTOR, *own, 0.0, self.now, epoch, 0, enrolment, "sending")
        self._fill(order, -self.lines[strategy_id])

    # ---- The end

    def history(self) -> History:
        """Return what was written, at rest."""
        self.now += STEP
        parts: dict[str, Any] = {name: tuple(rows) for name, rows in self.parts.items()}
        return History(
            world=WORLD,
            read_time=self.now,
            place=self.place,
            executor_places=(self.executor,),
            lines=tuple(Line(EXECUTOR, name, SYMBOL, shares) for name, shares in self.lines.items()),
            paper_accounts=(PaperAccount(EXECUTOR, {SYMBOL: sum(self.lines.values())}, False),),
            changes=Changes(**{name: tuple(rows) for name, rows in self.changes.items()}),
            at_rest=True,
            **parts,
        )

    # ---- Rows, messages and what is recorded of them

    def _begin(self) -> None:
        """Begin a transaction."""
        self.now += STEP
        self.tx += 1

    def _write(self, part: str, row: object) -> None:
        self.parts.setdefault(part, []).append(row)

    def _change(self, part: str, before: object, after: object) -> None:
        self.ids += 1
        self.changes.setdefault(part, []).append(Change(self.ids, self.now, self.tx, before, after))

    def _move(self, **changes: Any) -> None:
        self.place = replace(self.place, **changes)

    def _save(self) -> None:
        """Store the place, once in a transaction."""
        if self.place != self.stored:
            self._change("places", self.stored, self.place)
            self.stored = self.place

    def _enter(self, phase: str, **changes: Any) -> None:
        assert self.run is not None
        self._save()
        before, self.run = self.run, replace(self.run, phase=phase, **changes)
        self._change("runs", before, self.run)
        self.parts["runs"] = [each for each in self.parts.get("runs", []) if each.run_id != self.run.run_id]
        self._write("runs", self.run)

    def _record(self, event: str) -> None:
        assert self.run is not None
        number, place = len(self.parts.get("records", [])) + 1, self.place
        self._write("records", Record(number, self.run.run_id, event, place.epoch, place.sequence, self.now))

    @property
    def _run_id(self) -> str:
        return "" if self.run is None or self.run.end_time is not None else self.run.run_id

    def _next_position(self) -> int:
        self.now += STEP
        self.position += 1
        return self.position

    def _fence(self) -> None:
        self._move(epoch=self.place.epoch + 1, is_open=False, mark=self.place.mark + 1)
        self._mark("fence")

    def _open(self) -> None:
        self._move(is_open=True, mark=self.place.mark + 1)
        self._mark("open", self.place.activations)
        self._tell("unfreeze")

    def _mark(self, kind: str, activations: Iterable[Activation] = ()) -> None:
        number = self.place.mark
        opened = tuple(activations)
        mark = Mark(
            position=self._next_position(),
            stored=self.now,
            event_id=f"mark {number}",
            number=number,
            kind=kind,
            epoch=self.place.epoch,
            run_id=self._run_id,
            on_freeze="cancel",
            on_demote="flatten",
            activations=opened,
            set_sequence=self.place.sequence if kind == "open" else 0,
            state_hash=state_hash(opened) if kind == "open" else "",
        )
        self._write("marks", mark)
        self._tell_of(mark.event_id, "mark", number, mark.position)

    def _tell(self, kind: str) -> None:
        events: list[Event] = self.parts.setdefault("events", [])
        self._move(sequence=self.place.sequence + 1)
        sequence = self.place.sequence
        event = Event(
            position=len(events) + 1,
            stored=self.now,
            event_id=f"event {sequence}",
            sequence=sequence,
            epoch=self.place.epoch,
            kind=kind,
            run_id=self._run_id,
            previous_hash=event_hash(events[-1].payload) if events else "",
            payload=f"{kind} {sequence}".encode(),
            activations=self.place.activations,
            set_epoch=self.place.epoch,
            set_sequence=sequence,
            state_hash=state_hash(self.place.activations),
            holds=self.place.holds,
        )
        events.append(event)
        self._tell_of(event.event_id, "event", sequence, event.position)

    def _tell_of(self, event_id: str, kind: str, number: int, position: int) -> None:
        self._write("outbox", Told(len(self.parts.get("outbox", [])) + 1, event_id, kind, number, position))

    def _acknowledge(self, kind: str, name: str, phase: str, run_id: str, sequence: int = 0, mark: int = 0) -> None:
        self._begin()
        number = len(self.parts.get("acknowledgements", [])) + 1
        epoch, now = self.place.epoch, self.now
        row = Acknowledgement(number, kind, name, f"{name}-1", epoch, run_id, phase, sequence, mark, now)
        self._write("acknowledgements", row)
        self._change("acknowledgements", None, row)

    def _stand(self, **changes: Any) -> None:
        self._begin()
        before, self.executor = self.executor, replace(self.executor, **changes)
        if replace(before, position=0) != replace(self.executor, position=0):
            self._change("executor_places", before, self.executor)

    def _order(self, intent: Intent, state: str) -> JournalOrder:
        weights = {each.strategy_id: each.weight for each in self.place.activations}
        return JournalOrder(
            executor=EXECUTOR,
            order_id=intent.intent_id,
            strategy_id=intent.strategy_id,
            symbol=intent.symbol,
            weight=intent.target * weights[intent.strategy_id],
            bar_time=intent.bar_time,
            epoch=intent.epoch,
            position=intent.position,
            enrolment=self.executor.enrolment,
            state=state,
        )

    def _fill(self, order: JournalOrder, shares: float) -> None:
        """Journal, hand over, fill and book an order."""
        working, filled = replace(order, state="working"), replace(order, state="filled")
        own = (order.order_id, order.strategy_id, order.symbol)
        taken = PaperOrder(EXECUTOR, *own, "working", 0.0, 0.0, 0.0)
        done = replace(taken, state="filled", shares=shares, price=PRICE, fee=1.0)
        fill = Fill(EXECUTOR, order.order_id, "1", shares, PRICE, 1.0)
        for part, before, after in (
            ("orders", None, order),
            ("paper_orders", None, taken),
            ("orders", order, working),
            ("paper_orders", taken, done),
            ("orders", working, filled),
            ("fills", None, fill),
        ):
            self._begin()
            self._change(part, before, after)
        self._write("journal", filled)
        self._write("paper_orders", done)
        self._write("fills", fill)
        self.lines[order.strategy_id] = self.lines.get(order.strategy_id, 0.0) + shares

    def _report(self, intent: Intent, outcome: str) -> None:
        number = len(self.parts.get("reports", [])) + 1
        epoch, place = intent.epoch, intent.position
        row = Report(number, self.now, f"report {number}", intent.intent_id, epoch, EXECUTOR, outcome, "", place)
        self._write("reports", row)
