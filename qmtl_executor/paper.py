"""The paper venue: fills a world's orders against the bars of its data preset by its execution model.

Its books stand in the executor's database, in tables of their own, as a broker's would stand at the broker. An id is
taken once (``Settlement.BY_ID``). The account steps to a bar when it is asked for the account as of that bar, and by
one bar more when it is asked for now while orders wait: so orders decided at one bar are filled together, however many
messages they came in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from qmtl_executor.book import Bar, Book, Done, Waiting, enter, leave
from qmtl_executor.model import Answer, Fill, OrderState, Statement, VenueOrder
from qmtl_executor.prices import Prices
from qmtl_executor.venue import Settlement
from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_model import ExecutionModel
from qmtl_foundation.execution_model import Fill as FillAt
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Connection, Pool

FILL_ID: Final = "1"  # an order is filled at once or not at all
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_OPEN = """
INSERT INTO paper_account (executor, world, cash, clock, shares, marks, is_ruined)
VALUES ($1, $2, $3, $4, '{}', '{}', false) ON CONFLICT DO NOTHING
"""
_ACCOUNT = "SELECT * FROM paper_account WHERE executor = $1 AND world = $2"
_LOCK_ACCOUNT = "SELECT * FROM paper_account WHERE executor = $1 AND world = $2 FOR UPDATE"
_KEEP = """
UPDATE paper_account SET cash = $3, clock = $4, shares = $5, marks = $6, is_ruined = $7
WHERE executor = $1 AND world = $2
"""
_TAKE = """
INSERT INTO paper_order
    (executor, order_id, world, strategy_id, symbol, weight, held, state, reason, message)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
"""
_ASK = "SELECT * FROM paper_order WHERE executor = $1 AND order_id = ANY($2::text[])"
_WAITING = "SELECT * FROM paper_order WHERE executor = $1 AND world = $2 AND state = 'working'"
_CANCEL = "UPDATE paper_order SET state = 'cancelled' WHERE executor = $1 AND order_id = $2 AND state = 'working'"
_END = """
UPDATE paper_order SET state = $3, message = $4, shares = $5, price = $6, fee = $7, fill_time = $8
WHERE executor = $1 AND order_id = $2 AND state = 'working'
"""


class PaperVenue:
    """Be the paper account of one world."""

    settlement = Settlement.BY_ID

    def __init__(self, pool: Pool, executor: str, world: str, model: ExecutionModel, prices: Prices) -> None:
        self._pool = pool
        self._executor = executor
        self._world = world
        self._model = model
        self._prices = prices

    async def begin(self) -> None:
        """Begin nothing: whoever sends an id again is answered as it stands."""

    async def send(self, order: VenueOrder) -> Answer:
        """Take an order, once."""
        async with transaction(self._pool) as connection:
            await self._open(connection, _nanoseconds(order.bar_time))
            book = _to_book(await connection.fetchrow(_LOCK_ACCOUNT, self._executor, self._world))
            reason, message = self._objection(order, book)
            state = OrderState.REJECTED if reason else OrderState.WORKING
            await connection.execute(
                _TAKE,
                self._executor,
                order.order_id,
                self._world,
                order.strategy_id,
                order.symbol,
                order.weight,
                order.held,
                state.value,
                reason,
                message,
            )
            return await self._answer(connection, order.order_id)

    async def ask(self, order_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return what became of orders."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_ASK, self._executor, list(order_ids))
        return {row["order_id"]: _to_answer(row) for row in rows}

    async def cancel(self, order_id: str) -> Answer:
        """Cancel an order that was taken."""
        async with transaction(self._pool) as connection:
            await connection.execute(_CANCEL, self._executor, order_id)
            return await self._answer(connection, order_id)

    async def statement(self, as_of: datetime | None) -> Statement:
        """Return the account as of a bar's close; None: as of now, which fills what waits if its bar is there."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(_ACCOUNT, self._executor, self._world)
        if row is None:
            if as_of is None:
                return Statement(self._model.initial_cash, self._model.initial_cash, {}, EPOCH)
        elif as_of is not None and _nanoseconds(as_of) <= row["clock"]:
            return self._state(_to_book(row))
        # Bars are read before the transaction: the first time may take longer than one may be idle.
        await self._prices.at(_nanoseconds(as_of or EPOCH) if row is None else row["clock"])
        return await self._step(as_of)

    async def _step(self, as_of: datetime | None) -> Statement:
        async with transaction(self._pool) as connection:
            if as_of is not None:
                await self._open(connection, _nanoseconds(as_of))
            book = _to_book(await connection.fetchrow(_LOCK_ACCOUNT, self._executor, self._world))
            waiting = [self._to_waiting(row) for row in await connection.fetch(_WAITING, self._executor, self._world)]
            until = None if as_of is None else _nanoseconds(as_of)
            if until is not None or waiting:
                book = await self._walk(connection, book, waiting, until)
            return self._state(book)

    async def _walk(self, connection: Connection, book: Book, waiting: list[Waiting], until: int | None) -> Book:
        """Step to a moment; without one to the next bar, or only to the end of this one if that fills all."""
        model, symbols = self._model, self._prices.symbols
        bar: Bar | None = await self._prices.at(book.clock)
        for following in await self._prices.after(book.clock, until):
            book, done = leave(book, waiting, bar, model, symbols)
            waiting = await self._end(connection, waiting, done)
            if until is None and not waiting:
                break
            book, done = enter(book, waiting, following, model, symbols)
            waiting = await self._end(connection, waiting, done)
            bar = following
        else:
            if until is None and model.fill is FillAt.CLOSE:
                book, done = leave(book, waiting, bar, model, symbols)
                await self._end(connection, waiting, done)
        if book.is_ruined:
            for each in waiting:
                await connection.execute(_CANCEL, self._executor, each.order_id)
        await connection.execute(
            _KEEP,
            self._executor,
            self._world,
            book.cash,
            book.clock,
            json.dumps(dict(book.shares)),
            json.dumps(dict(book.marks)),
            book.is_ruined,
        )
        return book

    async def _end(self, connection: Connection, waiting: list[Waiting], done: Sequence[Done]) -> list[Waiting]:
        """Note the ends of orders and return those that wait on."""
        for each in done:
            state, message = _ended(each)
            await connection.execute(
                _END,
                self._executor,
                each.order_id,
                state.value,
                message,
                each.shares,
                each.price,
                each.fee,
                _moment(each.at),
            )
        ended = {each.order_id for each in done}
        return [each for each in waiting if each.order_id not in ended]

    async def _open(self, connection: Connection, clock: int) -> None:
        await connection.execute(_OPEN, self._executor, self._world, self._model.initial_cash, clock)

    async def _answer(self, connection: Connection, order_id: str) -> Answer:
        (row,) = await connection.fetch(_ASK, self._executor, [order_id])
        return _to_answer(row)

    def _objection(self, order: VenueOrder, book: Book) -> tuple[str, str]:
        """Return why an order cannot be taken, as reason and sentence; both empty when it can."""
        if order.symbol not in self._prices.symbols:
            return Reason.INVALID_FIELD.value, f"symbol: {order.symbol} is none of the world's data preset"
        if order.weight < 0.0 and not self._model.can_short:
            return (
                Reason.INVALID_FIELD.value,
                "target: is negative, and the world's execution model has can_short false",
            )
        if book.is_ruined:
            return Reason.INVALID_FIELD.value, "the account is ruined: nothing is traded any more"
        return "", ""

    def _to_waiting(self, row: Mapping[str, Any]) -> Waiting:
        rank = (list(self._prices.symbols).index(row["symbol"]), row["strategy_id"])
        return Waiting(row["order_id"], row["symbol"], row["weight"], row["held"], rank)

    def _state(self, book: Book) -> Statement:
        equity = book.value({}, self._prices.symbols)
        return Statement(book.cash, equity, book.marks, _moment(book.clock), book.is_ruined)


def _ended(done: Done) -> tuple[OrderState, str]:
    if done.wanted == 0.0:
        return OrderState.UNCHANGED, ""
    if done.shares == 0.0:
        return OrderState.UNCHANGED, f"the cash covers none of {done.wanted} shares"
    short = done.shares != done.wanted
    return OrderState.FILLED, f"cut down from {done.wanted} shares to what the cash covers" if short else ""


def _to_answer(row: Mapping[str, Any]) -> Answer:
    fills: tuple[Fill, ...] = ()
    if row["shares"] != 0.0:
        fills = (Fill(FILL_ID, row["shares"], row["price"], row["fee"], row["fill_time"]),)
    return Answer(row["order_id"], OrderState(row["state"]), fills, row["reason"], row["message"])


def _to_book(row: Mapping[str, Any]) -> Book:
    shares, marks = json.loads(row["shares"]), json.loads(row["marks"])
    return Book(row["cash"], row["clock"], shares, marks, row["is_ruined"])


def _nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def _moment(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1_000)
