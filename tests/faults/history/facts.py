"""What a recorded history consists of: messages of the three streams, rows of the tables, and each change of them.

Values only; nothing of the code under test. A position counts in the stream ``orders``, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Activation:
    """Hold one strategy's place in a set, as told."""

    strategy_id: str
    version: str
    weight: float
    side: str
    mode: str
    fingerprint: str
    executor: str
    active: bool = True


# ---- Messages


@dataclass(frozen=True, slots=True)
class Mark:
    """Hold a mark of the order stream. ``activations`` and ``state_hash`` are those of an Open.

    ``deleted``: the harness took it out of the stream; the outbox says what it was and where it stood.
    """

    position: int
    stored: datetime
    event_id: str
    number: int
    kind: str  # fence, open
    epoch: int
    run_id: str
    on_freeze: str  # cancel, leave
    on_demote: str  # flatten, hold, hand_over
    activations: tuple[Activation, ...] = ()
    set_sequence: int = 0
    state_hash: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """Hold an intent of the order stream; ``addressee`` is the executor by its subject."""

    position: int
    stored: datetime
    intent_id: str
    strategy_id: str
    symbol: str
    target: float
    bar_time: datetime
    epoch: int
    executor: str
    version: str
    side: str
    mode: str
    addressee: str


@dataclass(frozen=True, slots=True)
class Event:
    """Hold an activation event; ``position`` counts in the stream ``control``, ``payload`` is what is hashed."""

    position: int
    stored: datetime
    event_id: str
    sequence: int
    epoch: int
    kind: str  # freeze, switch, unfreeze
    run_id: str
    previous_hash: str
    payload: bytes
    activations: tuple[Activation, ...]
    set_epoch: int
    set_sequence: int
    state_hash: str
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Hold a report; ``position`` counts in the stream ``reports``, ``intent_position`` in ``orders``."""

    position: int
    stored: datetime
    report_id: str
    intent_id: str
    epoch: int
    executor: str
    outcome: str  # working, filled, unchanged, fenced, refused, cancelled
    reason: str
    intent_position: int


# ---- Rows of the world service


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Hold an acknowledgement that counted; ``phase`` is freeze, switch or unfreeze."""

    id: int
    kind: str  # gateway, executor
    participant: str
    incarnation: str
    epoch: int
    run_id: str
    phase: str
    sequence: int
    mark: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one entry of the audit."""

    number: int
    run_id: str
    event: str
    epoch: int
    sequence: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """Hold an apply run as stored; ``timeouts_ms`` of freeze, switch, unfreeze and rollback together."""

    run_id: str
    request_hash: str
    phase: str
    epoch: int
    timeouts_ms: int
    create_time: datetime
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class WorldPlace:
    """Hold where the world stands."""

    epoch: int
    sequence: int
    mark: int
    is_open: bool
    holds: tuple[str, ...]
    activations: tuple[Activation, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """Hold until when a start of a gateway or an executor is waited for."""

    kind: str
    name: str
    incarnation: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Hold an executor that is enrolled behind the Fence numbered ``mark``."""

    executor: str
    mode: str
    mark: int


@dataclass(frozen=True, slots=True)
class Told:
    """Hold a row of the outbox; ``position`` is None until it is published."""

    id: int
    event_id: str
    kind: str  # event, mark
    number: int
    position: int | None


# ---- Rows of executors


@dataclass(frozen=True, slots=True)
class ExecutorPlace:
    """Hold how far an executor is."""

    executor: str
    enrolment: int
    position: int
    mark: int
    fence: int
    is_open: bool
    unsure: bool


@dataclass(frozen=True, slots=True)
class JournalOrder:
    """Hold an order of a journal; ``position`` is that of its intent, 0 for one of the executor's own."""

    executor: str
    order_id: str
    strategy_id: str
    symbol: str
    weight: float
    bar_time: datetime
    epoch: int
    position: int
    enrolment: int
    state: str  # sending, working, filled, cancelled, rejected, unchanged


@dataclass(frozen=True, slots=True)
class Fill:
    """Hold one fill."""

    executor: str
    order_id: str
    fill_id: str
    quantity: float
    price: float
    fee: float


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Hold an intent that was fenced or refused."""

    executor: str
    intent_id: str
    epoch: int
    outcome: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """Hold what a strategy holds of a symbol; nobody's, where the strategy is empty."""

    executor: str
    strategy_id: str
    symbol: str
    quantity: float


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """Hold an order as the paper venue has it."""

    executor: str
    order_id: str
    strategy_id: str
    symbol: str
    state: str
    shares: float
    price: float
    fee: float


@dataclass(frozen=True, slots=True)
class PaperAccount:
    """Hold the paper venue's account; ``shares`` by symbol."""

    executor: str
    shares: Mapping[str, float]
    is_ruined: bool


# ---- What was recorded beside them


@dataclass(frozen=True, slots=True)
class Change(Generic[Row]):
    """Hold one change of a row, as the database noted it; ``id`` is in the order of writing within a locked world.

    ``before`` is None where the row was inserted or stood when recording began, ``after`` where it was deleted.
    """

    id: int
    at: datetime
    tx: int
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Hold what changed, by table, oldest first."""

    places: tuple[Change[WorldPlace], ...] = ()
    runs: tuple[Change[Run], ...] = ()
    leases: tuple[Change[Lease], ...] = ()
    enrolments: tuple[Change[Enrolment], ...] = ()
    acknowledgements: tuple[Change[Acknowledgement], ...] = ()
    executor_places: tuple[Change[ExecutorPlace], ...] = ()
    orders: tuple[Change[JournalOrder], ...] = ()
    fills: tuple[Change[Fill], ...] = ()
    paper_orders: tuple[Change[PaperOrder], ...] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """Say that something which runs need was away."""

    began: datetime
    ended: datetime
    what: str


@dataclass(frozen=True, slots=True)
class History:
    """Hold everything that was recorded of one world, each part in its order; tables as they stood at ``read_time``.

    ``at_rest``, ``deleted_marks`` and ``deleted_events`` (numbers and sequences that the harness took out of the
    streams) are what the caller says. ``since_position``: only what stands behind it is judged.
    """

    world: str
    read_time: datetime
    marks: tuple[Mark, ...] = ()
    intents: tuple[Intent, ...] = ()
    events: tuple[Event, ...] = ()
    reports: tuple[Report, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    records: tuple[Record, ...] = ()
    runs: tuple[Run, ...] = ()
    place: WorldPlace | None = None
    enrolments: tuple[Enrolment, ...] = ()
    outbox: tuple[Told, ...] = ()
    executor_places: tuple[ExecutorPlace, ...] = ()
    journal: tuple[JournalOrder, ...] = ()
    fills: tuple[Fill, ...] = ()
    turned_away: tuple[TurnedAway, ...] = ()
    lines: tuple[Line, ...] = ()
    paper_orders: tuple[PaperOrder, ...] = ()
    paper_accounts: tuple[PaperAccount, ...] = ()
    unpublished_reports: int = 0
    changes: Changes = field(default_factory=Changes)
    outages: tuple[Outage, ...] = ()
    at_rest: bool = False
    deleted_marks: frozenset[int] = frozenset()
    deleted_events: frozenset[int] = frozenset()
    since_position: int = 0
