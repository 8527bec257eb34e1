"""A venue in memory that can answer late, twice, or not at all; it counts what really reached it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum, auto

from qmtl_executor.model import Answer, Fill, OrderState, Statement, VenueOrder
from qmtl_executor.venue import Settlement, VenueSilentError

PRICE = 100.0
CASH = 1_000_000.0


class Mood(Enum):
    """Say how a venue treats what is sent to it."""

    PROMPT = auto()
    MUTE = auto()  # takes the order and says nothing
    DEAF = auto()  # takes nothing and says nothing
    LATE = auto()  # says nothing; takes the order at the next question but one


@dataclass(slots=True)
class Exchange:
    """Be the venue's own side: it outlives every session."""

    settlement: Settlement = Settlement.BY_ID
    fills_at_once: bool = True
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)  # how often an order was put to work, by id
    sent: Counter[str] = field(default_factory=Counter)
    session: int = 0
    moods: list[Mood] = field(default_factory=list)  # of the next sendings
    on_the_way: list[tuple[int, VenueOrder]] = field(default_factory=list)
    questions: int = 0

    def take(self, order: VenueOrder, session: int) -> None:
        """Put an order to work, unless its session is over or its id is known."""
        over = self.settlement is Settlement.BY_SESSION and session != self.session
        if over or (self.settlement is Settlement.BY_ID and order.order_id in self.answers):
            return
        self.reached[order.order_id] += 1
        self.orders[order.order_id] = order
        self.answers[order.order_id] = Answer(order.order_id, OrderState.WORKING)
        if self.fills_at_once:
            self.fill(order.order_id)

    def fill(self, order_id: str) -> None:
        """Fill an order in full."""
        order = self.orders[order_id]
        shares = order.weight * CASH / PRICE - order.held
        fills = (Fill("f1", shares, PRICE, 0.0, datetime(2013, 1, 2, tzinfo=UTC)),) if shares else ()
        self.answers[order_id] = Answer(order_id, OrderState.FILLED, fills)

    def deliver(self) -> None:
        """Let everything arrive that is on its way."""
        for session, order in self.on_the_way:
            self.take(order, session)
        self.on_the_way.clear()


class SimulatedVenue:
    """Be one session with an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._session = exchange.session
        self.settlement = exchange.settlement

    async def begin(self) -> None:
        """Begin a session; every other one is over."""
        self._exchange.session += 1
        self._session = self._exchange.session

    async def send(self, order: VenueOrder) -> Answer:
        """Hand an order over."""
        exchange = self._exchange
        exchange.sent[order.order_id] += 1
        mood = exchange.moods.pop(0) if exchange.moods else Mood.PROMPT
        if mood in (Mood.PROMPT, Mood.MUTE):
            exchange.take(order, self._session)
        if mood is Mood.LATE:
            exchange.on_the_way.append((self._session, order))
        if mood is not Mood.PROMPT:
            raise VenueSilentError(f"no answer to {order.order_id}")
        return exchange.answers[order.order_id]

    async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Say what became of orders; each fill is told twice, as some venues do."""
        self._exchange.questions += 1
        known = {each: self._exchange.answers[each] for each in order_ids if each in self._exchange.answers}
        return {each: replace(answer, fills=answer.fills * 2) for each, answer in known.items()}

    async def cancel(self, order_id: str) -> Answer:
        """Cancel an order."""
        answer = self._exchange.answers[order_id]
        if answer.state is OrderState.WORKING:
            answer = self._exchange.answers[order_id] = replace(answer, state=OrderState.CANCELLED)
        return answer

    async def statement(self, as_of: datetime | None) -> Statement:
        """Say what the account is worth."""
        return Statement(CASH, CASH, {}, as_of or datetime(2013, 1, 2, tzinfo=UTC))
