"""One world with gateways, runners and an executor around the real machine: lossy streams, crashes, pauses.

It knows the protocol's rules for gateways and executors in its own words and shares no code with them. What must never
happen is asserted where it would, judged from the streams. Each ``Bug`` breaks one rule, to show that it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply import machine
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import (
    Effect,
    Event,
    EventKind,
    ExecutorAcknowledged,
    ExecutorClosed,
    Gateway,
    GatewayAcknowledged,
    GatewayLost,
    Mark,
    MarkKind,
    Phase,
    Place,
    Start,
    TimePassed,
    Told,
)

EXECUTOR = "paper-1"
STRATEGIES = ("ann/Trend", "bob/Carry")


class Bug(Enum):
    """Name a rule that is broken on purpose."""

    NONE = auto()
    SKIP_EXECUTOR = auto()
    SKIP_GATEWAY = auto()
    IGNORE_FENCE = auto()
    OPEN_LATE = auto()
    UNFREEZE_BEFORE_OPEN = auto()
    REUSE_EPOCH = auto()
    RESTAMP = auto()
    APPLY_ACROSS_GAP = auto()
    SNAPSHOT_AHEAD = auto()
    RESTORE_WITHOUT_FENCE = auto()
    COMMIT_STALE = auto()
    NO_JOURNAL = auto()


def plan(*strategies: str, weight: float = 0.5) -> tuple[Activation, ...]:
    """Return a set that trades these strategies on paper."""
    return tuple(
        Activation(each, f"version-of-{each}", weight, "long", EffectiveMode.PAPER, "fingerprint", EXECUTOR)
        for each in strategies
    )


@dataclass(frozen=True, slots=True)
class Intent:
    """Hold an order intent as the stream carries it; ``decided_in`` is the set that its runner knew."""

    id: int
    epoch: int
    decided_in: tuple[Activation, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one message of the order stream; None is one that the broker acknowledged and lost."""

    content: Mark | Intent | None


@dataclass(slots=True)
class GatewayProcess:
    """Be one start of a gateway and the runner on it."""

    name: str
    start: int = 1
    sequence: int = 0  # of the newest event applied
    cursor: int = 0  # place in the control stream
    epoch: int = 0
    is_open: bool = False
    known: tuple[Activation, ...] = ()
    synced: bool = False
    run_id: str = ""
    last: EventKind | None = None
    in_hand: Intent | None = None
    in_flight: Intent | None = None

    @property
    def id(self) -> Gateway:
        """Return the incarnation."""
        return Gateway(self.name, f"{self.name}-{self.start}")

    def apply(self, told: Told) -> None:
        """Do what an event says."""
        self.sequence, self.epoch, self.known = told.sequence, told.epoch, told.activations
        self.run_id, self.last = told.run_id, told.kind
        if told.kind is not EventKind.SWITCH:
            self.is_open = told.kind is EventKind.UNFREEZE

    def restart(self) -> None:
        """Die and come back; what the runner holds stays with the runner."""
        fresh = GatewayProcess(self.name, self.start + 1, in_hand=self.in_hand)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))


@dataclass(slots=True)
class ExecutorDatabase:
    """Be the executor: position, fence, open flag and journal in one database."""

    at: int = 0
    fence: int = -1
    is_open: bool = False
    last_mark: int = 0
    unsure: bool = False  # a mark number was missing: closed until the next Fence
    done: set[int] = field(default_factory=set)


class World:
    """Hold everything, and let one thing happen at a time."""

    def __init__(self, bug: Bug = Bug.NONE) -> None:
        self.bug = bug
        self.now = datetime(2026, 1, 5, tzinfo=UTC)
        self.place = Place("equity")
        self.version = 0
        self.outbox: list[Effect] = []
        self.relayed = 0  # rows that the database knows as published
        self.published = 0  # rows that are in the streams
        self.control: list[Told] = []
        self.orders: list[Entry] = []
        self.gateways = [GatewayProcess("g1"), GatewayProcess("g2")]
        self.live = {each.id for each in self.gateways}  # whose lease lasts
        self.frozen_with: set[Gateway] = set()  # whose lease lasts since the freeze
        self.executor = ExecutorDatabase()
        self.mail: list[Event] = []  # acknowledgements on their way: late, twice, or never
        self.next_intent = 0
        self.executed: list[Intent] = []
        self.switched_epoch = 0
        self.sets: dict[int, tuple[Activation, ...]] = {}
        self.opened: set[int] = set()

    # ---- The world service

    def commit(self, event: Event, seen: tuple[int, Place] | None = None) -> bool:
        """Let the world take an event, as one transaction; False where it refuses, or moved since it was ``seen``."""
        if seen is not None and seen[0] != self.version and self.bug is not Bug.COMMIT_STALE:
            return False
        before = self.place if seen is None else seen[1]
        try:
            after, effects = self._step(before, event)
        except QmtlError:
            return False
        if isinstance(event, Start) or (before.is_open and not after.is_open):  # this moment's gateways have to close
            self.frozen_with = set(self.live)
        self._judge_switch(before, after)
        self.place, self.version = after, self.version + 1
        self.outbox.extend(effects)
        if after.activations != before.activations:
            self.switched_epoch = after.epoch
        self.sets[after.epoch] = after.activations
        return True

    def _step(self, place: Place, event: Event) -> tuple[Place, tuple[Effect, ...]]:
        after, effects = machine.step(place, event, self.now)
        if self.bug is Bug.UNFREEZE_BEFORE_OPEN:
            effects = tuple(sorted(effects, key=lambda each: isinstance(each, Mark) and each.kind is MarkKind.OPEN))
        if self.bug in (Bug.SKIP_EXECUTOR, Bug.SKIP_GATEWAY) and after.run is not None:
            after = self._impatient(after)
        started = place.run is None or after.run is None or place.run.run_id != after.run.run_id
        if self.bug is Bug.REUSE_EPOCH and after.epoch > place.epoch and not started:
            effects = tuple(replace(each, epoch=place.epoch) for each in effects)
            after = replace(after, epoch=place.epoch)
        if self.bug is Bug.RESTORE_WITHOUT_FENCE and after.run and after.run.phase is Phase.DRAINING:
            return self._restored(place, after)
        return after, effects

    def _impatient(self, after: Place) -> Place:
        assert after.run is not None
        if self.bug is Bug.SKIP_EXECUTOR:
            return replace(after, fenced=after.executors)
        return replace(after, run=replace(after.run, awaited=frozenset()))

    def _restored(self, place: Place, after: Place) -> tuple[Place, tuple[Effect, ...]]:
        assert after.run is not None
        run = replace(after.run, phase=Phase.ROLLED_BACK)
        restored = replace(place, activations=run.prior, run=run, holds=frozenset({"rolled_back"}), is_open=False)
        told = Told(place.sequence + 1, EventKind.FREEZE, place.epoch, run.run_id, run.prior)
        return replace(restored, sequence=place.sequence + 1), (told,)

    def _judge_switch(self, before: Place, after: Place) -> None:
        """S4, judged from the gateways themselves: while their lease lasts they are closed, nothing in flight."""
        assert after.epoch >= before.epoch, "an epoch went back"
        if after.activations != before.activations:
            for each in self.gateways:
                closed = not each.is_open and each.in_flight is None
                assert closed or each.id not in self.frozen_with & self.live, "S4: switched while a gateway is open"
        if after.run is not None and after.run.phase is Phase.ROLLED_BACK and before.run is not None:
            assert after.state_hash == machine_hash(before.run.prior), "S7: rolled back to something else"

    def publish(self, *, dies: bool = False, loses: bool = False) -> None:
        """Relay the oldest row that is not known as published: conditional on the streams, so never twice."""
        if self.relayed == len(self.outbox):
            return
        if self.published == self.relayed:
            self._put(self.outbox[self.published], lost=loses)
            self.published += 1
        if not dies:
            self.relayed += 1

    def _put(self, row: Effect, *, lost: bool = False) -> None:
        if isinstance(row, Told):
            self.control.append(row)
            return
        if row.kind is MarkKind.OPEN:
            self.opened.add(row.epoch)
        self.orders.append(Entry(None if lost else row))

    def repeat_mark(self, index: int) -> None:
        """Let the broker deliver an old mark once more."""
        marks = [each for each in self.orders if isinstance(each.content, Mark)]
        if marks:
            self.orders.append(marks[index % len(marks)])

    def end_lease(self, index: int) -> None:
        """Stop waiting for a gateway; it may know nothing of it, and be open with orders in hand."""
        gateway = self.gateways[index].id
        self.live.discard(gateway)
        self.commit(GatewayLost(gateway))

    # ---- Gateways and runners

    def deliver(self, index: int, *, lost: bool = False) -> None:
        """Hand a gateway the next control event; or let it get lost on the way."""
        gateway = self.gateways[index]
        if not gateway.synced or gateway.cursor == len(self.control):
            return
        told = self.control[gateway.cursor]
        gateway.cursor += 1
        if lost or told.sequence <= gateway.sequence:
            return
        if told.sequence != gateway.sequence + 1 and self.bug is not Bug.APPLY_ACROSS_GAP:
            gateway.is_open, gateway.synced = False, False
            return
        assert told.sequence == gateway.sequence + 1, "S5: applied across a gap"
        gateway.apply(told)

    def resync(self, index: int) -> None:
        """Read the world's state at the last relayed event; one that is older than what is held is refused."""
        gateway = self.gateways[index]
        rows = self.outbox if self.bug is Bug.SNAPSHOT_AHEAD else self.outbox[: self.relayed]
        told = [row for row in rows if isinstance(row, Told)]
        gateway.synced = True
        if told and told[-1].sequence >= gateway.sequence:
            opens = next(row.kind for row in reversed(told) if row.kind is not EventKind.SWITCH)
            gateway.apply(told[-1])
            gateway.is_open = opens is EventKind.UNFREEZE and told[-1].kind is not EventKind.SWITCH
            gateway.cursor = min(len(told), len(self.control))

    def renew(self, index: int) -> None:
        """Renew a lease: who is behind what was relayed closes and reads anew; who lost it starts anew."""
        gateway = self.gateways[index]
        relayed = [row.sequence for row in self.outbox[: self.relayed] if isinstance(row, Told)]
        if relayed and gateway.sequence < relayed[-1] and gateway.cursor == len(self.control):
            gateway.is_open, gateway.synced = False, False
        if gateway.id not in self.live:
            self.restart(index)

    def restart(self, index: int) -> None:
        """Kill a gateway; its next start registers, closed."""
        gateway = self.gateways[index]
        self.end_lease(index)
        gateway.restart()
        self.live.add(gateway.id)

    def decide(self, index: int) -> None:
        """Let the runner decide by the gate that it sees; it stamps the epoch."""
        gateway = self.gateways[index]
        if gateway.in_hand is None and gateway.is_open and gateway.known:
            gateway.in_hand = Intent(self.next_intent, gateway.epoch, gateway.known)
            self.next_intent += 1

    def accept(self, index: int) -> None:
        """Let the gateway take what the runner holds, if it is of its own epoch; else the runner decides again."""
        gateway = self.gateways[index]
        intent = gateway.in_hand
        if intent is None or gateway.in_flight is not None or not gateway.is_open:
            return
        if intent.epoch == gateway.epoch:
            gateway.in_flight = intent
        elif self.bug is Bug.RESTAMP:
            gateway.in_flight = replace(intent, epoch=gateway.epoch)
        elif intent.decided_in == gateway.known:  # the same wish under the same id, at the new epoch
            gateway.in_hand = replace(intent, epoch=gateway.epoch)
        else:
            gateway.in_hand = None

    def send(self, index: int, *, unanswered: bool = False) -> None:
        """Let what is in flight arrive; unanswered, the runner keeps it and sends it again."""
        gateway = self.gateways[index]
        intent = gateway.in_flight
        if intent is None:
            return
        assert intent.epoch in self.opened, "S11: an intent before the Open of its epoch"
        self.orders.append(Entry(intent))
        gateway.in_flight = None
        if not unanswered:
            gateway.in_hand = None

    def acknowledge(self, index: int) -> None:
        """Let a gateway say what it did."""
        gateway = self.gateways[index]
        if gateway.last is None or not gateway.synced or (gateway.last is EventKind.FREEZE and gateway.in_flight):
            return
        run = self.place.run
        run_id = run.run_id if run is not None else gateway.run_id
        said = GatewayAcknowledged(gateway.id, run_id, gateway.last, gateway.epoch, gateway.sequence)
        self.mail.append(said)

    # ---- The executor

    def execute(self) -> None:
        """Let the executor take the next entry of the stream."""
        executor = self.executor
        if executor.at == len(self.orders):
            return
        content = self.orders[executor.at].content
        executor.at += 1
        if isinstance(content, Mark):
            self._pass_mark(content)
        elif content is not None:
            self._consider(content)

    def _pass_mark(self, mark: Mark) -> None:
        executor = self.executor
        if mark.number > executor.last_mark + 1:
            executor.is_open, executor.unsure = False, True
        executor.last_mark = max(executor.last_mark, mark.number)
        if mark.kind is MarkKind.FENCE and (
            mark.epoch > executor.fence or (executor.unsure and mark.epoch == executor.fence)
        ):
            executor.fence, executor.is_open, executor.unsure = mark.epoch, False, False
        elif mark.kind is MarkKind.OPEN and not executor.unsure:
            executor.is_open |= mark.epoch == executor.fence or self.bug is Bug.OPEN_LATE

    def _consider(self, intent: Intent) -> None:
        executor = self.executor
        passes = executor.is_open and intent.epoch == executor.fence
        if not passes and self.bug is not Bug.IGNORE_FENCE:
            return
        if intent.id in executor.done and self.bug is not Bug.NO_JOURNAL:
            return
        executor.done.add(intent.id)
        self._judge_execution(intent, executor.at - 1)
        self.executed.append(intent)

    def _judge_execution(self, intent: Intent, at: int) -> None:
        before = [each.content for each in self.orders[:at] if isinstance(each.content, Mark)]
        fence = max((each.epoch for each in before if each.kind is MarkKind.FENCE), default=-1)
        assert intent.epoch >= fence, "S1: executed behind a newer Fence"
        first = min(index for index, each in enumerate(before) if each.kind is MarkKind.FENCE and each.epoch == fence)
        opens = [each for each in before[first:] if each.kind is MarkKind.OPEN and each.epoch == fence]
        assert opens, "S2: executed between Fence and Open"
        assert intent.epoch >= self.switched_epoch, "S1: executed for an older set after its switch"
        assert intent.decided_in == self.sets[intent.epoch], "S13: executed for another set than its epoch's"
        assert intent.id not in {each.id for each in self.executed}, "S8: executed twice"

    def acknowledge_marks(self) -> None:
        """Let the executor say which mark it passed, or that it missed one."""
        executor = self.executor
        if executor.unsure:
            self.mail.append(ExecutorClosed(EXECUTOR))
        elif EXECUTOR in self.place.executors:
            kind = MarkKind.OPEN if executor.is_open else MarkKind.FENCE
            self.mail.append(ExecutorAcknowledged(EXECUTOR, kind, executor.fence))

    # ---- Rest

    def read_mail(self, index: int, *, keep: bool = False) -> None:
        """Let one acknowledgement arrive, in any order, perhaps not for the last time."""
        if self.mail:
            chosen = index % len(self.mail)
            self.commit(self.mail[chosen] if keep else self.mail.pop(chosen))

    def settle(self) -> None:
        """Let everything that is on its way arrive, and everybody answer; then judge the world at rest."""
        for _ in range(60):
            before = (self.place, self.published, len(self.orders))
            self.everybody()
            due = machine.next_due(self.place)
            if before == (self.place, self.published, len(self.orders)):
                if due is None:
                    break
                self.now = max(self.now, due)
        self.judge_rest()

    def everybody(self, but: str = "", *, trades: bool = False) -> None:
        """Let everything that is on its way arrive, and everybody answer once; one may be paused, the relay slow."""
        while self.relayed < len(self.outbox) and but != "relay":
            self.publish()
            if but == "slow relay":
                break
        for index, gateway in enumerate(self.gateways):
            if gateway.name != but:
                self._gateway(index, trades=trades)
        if but != "executor":
            while self.executor.at < len(self.orders):
                self.execute()
            self.acknowledge_marks()
        while self.mail:
            self.read_mail(0)
        self.commit(TimePassed())

    def _gateway(self, index: int, *, trades: bool) -> None:
        gateway = self.gateways[index]
        self.renew(index)
        if not gateway.synced:
            self.resync(index)
        while gateway.cursor < len(self.control) and gateway.synced:
            self.deliver(index)
        if trades:
            self.decide(index)
        self.accept(index)
        self.send(index)
        self.acknowledge(index)

    def judge_rest(self) -> None:
        """S12 and L1: at rest a run is over, and everybody is open exactly when the world is."""
        place = self.place
        assert place.run is None or place.run.is_terminal, "L1: a run that never ends"
        if EXECUTOR in place.executors:
            assert self.executor.is_open == place.is_open, "S12: the executor is not as its world"
        if place.sequence:
            for gateway in self.gateways:
                assert gateway.is_open == place.is_open, "S12: a gateway is not as its world"
                assert not place.is_open or gateway.known == place.activations, "S12: a gateway has another set"


def machine_hash(activations: tuple[Activation, ...]) -> str:
    """Return the state hash of a set."""
    return Place("equity", activations=activations).state_hash


SECOND = timedelta(seconds=1)
