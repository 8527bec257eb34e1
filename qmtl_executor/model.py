"""What an executor reads, decides and answers: marks, intents, places, orders, fills, reports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import content_id

WISH_CONTEXT: Final = "qmtl 2026-11 intent-wish v1"
DEMOTION_CONTEXT: Final = "qmtl 2026-11 demotion-order v1"
REPORT_CONTEXT: Final = "qmtl 2026-11 report-id v1"
NO_EPOCH: Final = -1  # below every epoch of a Fence


class MarkKind(StrEnum):
    """Say what a mark says."""

    FENCE = "fence"
    OPEN = "open"


class OnFreeze(StrEnum):
    """Say what becomes of resting venue orders at a Fence."""

    CANCEL = "cancel"
    LEAVE = "leave"


class OnDemote(StrEnum):
    """Say what becomes of a strategy's position when it has left the set at an Open.

    FLATTEN: an order of the executor's own closes it. HOLD: it stays with the strategy, which goes on from it should
    it come back. HAND_OVER: it belongs to nobody until a strategy of the set next wants the symbol, and then to that
    one, whose order buys or sells only the difference.
    """

    FLATTEN = "flatten"
    HOLD = "hold"
    HAND_OVER = "hand_over"


@dataclass(frozen=True, slots=True)
class Seat:
    """Hold one strategy's place in an activation set; ``weight`` is a fraction of the world's equity, in [0, 1]."""

    strategy_id: str
    version: str
    side: str
    mode: EffectiveMode | None
    weight: float
    executor: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Hold a mark as read; ``seats`` is the set of its epoch by strategy, empty in a Fence; ``reseed_mark`` the number
    of the newest reseed's Fence, 0 for none."""

    number: int
    kind: MarkKind
    epoch: int
    timeline: str
    run_id: str = ""
    on_freeze: OnFreeze = OnFreeze.CANCEL
    on_demote: OnDemote = OnDemote.FLATTEN
    seats: Mapping[str, Seat] = field(default_factory=dict)
    reseed_mark: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """Hold an intent as read. ``bar_time`` is the close at which it was decided; mode None is one without orders."""

    intent_id: str
    world: str
    strategy_id: str
    symbol: str
    target: float
    bar_time: datetime
    epoch: int
    executor: str
    version: str
    side: str
    mode: EffectiveMode | None

    @property
    def wish(self) -> str:
        """Return the identity of what is wished, without what the activation stamps: the same id, the same wish."""
        bar = self.bar_time.isoformat()
        return content_id(WISH_CONTEXT, [self.world, self.strategy_id, self.symbol, self.target, bar])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stand for a message that cannot be read; ``is_mark`` says on which subject it stands."""

    is_mark: bool
    cause: str


Content = Mark | Intent | Unreadable


@dataclass(frozen=True, slots=True)
class Message:
    """Hold one message of a world, at its place in the order stream, and the trace that it belongs to."""

    position: int
    content: Content
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Hold how far an executor is in one world, as stored.

    ``position``: in the order stream, everything up to it is settled. ``mark``: number of the newest mark passed.
    ``fence``: its epoch. ``unsure``: something was missed; closed until a Fence is passed. ``restored_mark``: the
    newest mark when the journal was found behind what was done; closed until a reseed from after that. ``generation``
    names the stream that the position counts in, ``timeline`` the database that wrote the marks. ``seats``: of the
    newest Open.
    """

    enrolment: int
    position: int
    mark: int
    fence: int = NO_EPOCH
    is_open: bool = False
    unsure: bool = False
    restored_mark: int | None = None
    timeline: str = ""
    generation: str = ""
    seats: Mapping[str, Seat] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Purged:
    """Hold up to where which order stream is purged of what everybody had settled; 0 where it is not."""

    generation: str
    position: int


NOTHING_PURGED: Final = Purged("", 0)


@dataclass(frozen=True, slots=True)
class Told:
    """Hold where the world service says that a world stands, and behind which mark this executor was enrolled."""

    epoch: int
    is_open: bool
    enrolment: int
    enrolment_position: int
    purged: Purged = NOTHING_PURGED


@dataclass(frozen=True, slots=True)
class Passed:
    """Hold a mark that was passed and is to be acknowledged."""

    number: int
    kind: MarkKind
    epoch: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Let an intent be executed, for this seat of the set of its epoch."""

    seat: Seat


@dataclass(frozen=True, slots=True)
class Fenced:
    """Keep an intent from the venue because of where it stands; its id is not used up."""

    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Keep an intent from the venue because of what it says."""

    reason: Reason
    message: str


Verdict = Taken | Fenced | Refused


class OrderState(StrEnum):
    """Say where an order stands. SENDING: the venue may have it; only its answer, or the end of its session, tells."""

    SENDING = "sending"
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"


FINAL: Final = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.UNCHANGED})


@dataclass(frozen=True, slots=True)
class Line:
    """Hold what a strategy holds of a symbol: shares, signed; ``standing`` is the weight last ordered, None for none
    that stands. The strategy is empty for what was handed over and waits for a strategy to want it."""

    strategy_id: str
    symbol: str
    quantity: float = 0.0
    standing: float | None = 0.0


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """Hold an order as a venue gets it: bring a line from ``held`` shares to ``weight`` of the account's equity.

    ``weight`` is signed, a fraction of the equity; the price at which the adapter trades turns it into shares
    (``sizing``). ``bar_time`` is the close at which it was decided.
    """

    order_id: str
    strategy_id: str
    symbol: str
    weight: float
    held: float
    bar_time: datetime


@dataclass(frozen=True, slots=True)
class JournalOrder:
    """Hold an order as the journal has it. ``position`` is that of its intent; 0 for one of the executor's own.

    ``enrolment`` is the number of the mark behind which it was taken.
    """

    order: VenueOrder
    state: OrderState
    wish: str
    epoch: int
    position: int
    enrolment: int

    @property
    def is_own(self) -> bool:
        """Tell whether the executor itself ordered it: nobody waits for its report."""
        return self.position == 0


@dataclass(frozen=True, slots=True)
class Fill:
    """Hold one fill: shares signed, price per share after slippage, fee at least 0; ``fill_id`` is the venue's."""

    fill_id: str
    quantity: float
    price: float
    fee: float
    fill_time: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a venue says of an order: where it stands and every fill so far. ``reason`` and ``message`` say why
    it was rejected or cancelled."""

    order_id: str
    state: OrderState
    fills: tuple[Fill, ...] = ()
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold what a venue says of the account: cash and equity in its currency, marks by symbol, as of a moment.

    ``is_ruined``: nothing was left, and the venue has closed every position at its mark.
    """

    cash: float
    equity: float
    marks: Mapping[str, float]
    as_of: datetime
    is_ruined: bool = False


class Outcome(StrEnum):
    """Say what came of an intent."""

    WORKING = "working"
    FILLED = "filled"
    UNCHANGED = "unchanged"
    FENCED = "fenced"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Report:
    """Hold what is said to an intent's sender; shares and amounts are 0 where nothing was filled."""

    strategy_id: str
    intent_id: str
    symbol: str
    epoch: int
    outcome: Outcome
    position: int
    reason: str = ""
    message: str = ""
    quantity: float = 0.0
    price: float = 0.0
    fee: float = 0.0

    def report_id(self, executor: str) -> str:
        """Return its identity: one for each intent, epoch, outcome and reason of an executor."""
        return content_id(
            REPORT_CONTEXT, [executor, self.intent_id, self.epoch, self.outcome.value, self.reason, self.message]
        )


def demotion_id(world: str, strategy_id: str, symbol: str, epoch: int, attempt: int) -> str:
    """Return the id of an order that closes a line of a strategy which left the set of an epoch; attempts from 0."""
    return content_id(DEMOTION_CONTEXT, [world, strategy_id, symbol, epoch, attempt])
