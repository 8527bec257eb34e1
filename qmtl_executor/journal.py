"""The SQL of an executor: places, orders, fills, lines and reports of one executor, written by its newest start only.

Each ``writing`` is one transaction that begins with the start's token and counts up the world's revision: a start that
another one has followed changes nothing, and learns it; so does one whose database was restored to an older state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from qmtl_executor.messages import decode_passed, decode_place, encode_passed, encode_report, encode_seats
from qmtl_executor.model import (
    FINAL,
    Answer,
    Fenced,
    Fill,
    Intent,
    JournalOrder,
    Line,
    OrderState,
    Outcome,
    Passed,
    Place,
    Refused,
    Report,
    Statement,
    VenueOrder,
)
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Connection, Pool

_BEGIN = """
INSERT INTO instance (executor, token, number) VALUES ($1, $2, $3 + 1)
ON CONFLICT (executor) DO UPDATE
SET token = excluded.token, number = greatest(instance.number, $3) + 1, start_time = now()
RETURNING number, start_time
"""
# The lock lets a successor's start wait for the end of what is being written.
_GUARD = """
WITH newest AS (SELECT token, number, start_time FROM instance WHERE executor = $1 FOR SHARE),
revised AS (UPDATE place SET revision = revision + 1 WHERE executor = $1 AND world = $2 RETURNING revision)
SELECT token, number, start_time, (SELECT revision FROM revised) AS revision FROM newest
"""
_NEWEST_START = "SELECT token, number, start_time FROM instance WHERE executor = $1"
_REVISIONS = "SELECT world, revision FROM place WHERE executor = $1"
_IS_STANDBY = "SELECT pg_is_in_recovery()"

_PLACE = "SELECT * FROM place WHERE executor = $1 AND world = $2"
_STAND = """
INSERT INTO place
    (executor, world, enrolment, position, mark, fence, is_open, unsure, restored_mark, timeline, generation,
     seats, passed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (executor, world) DO UPDATE SET
    enrolment = excluded.enrolment, position = excluded.position, mark = excluded.mark, fence = excluded.fence,
    is_open = excluded.is_open, unsure = excluded.unsure, restored_mark = excluded.restored_mark,
    timeline = excluded.timeline, generation = excluded.generation, seats = excluded.seats,
    passed = coalesce(excluded.passed, place.passed)
"""
_MOVE = "UPDATE place SET position = $3 WHERE executor = $1 AND world = $2 AND position < $3"
_STATE = "UPDATE place SET cash = $3, equity = $4, as_of = $5 WHERE executor = $1 AND world = $2"

_LINES = "SELECT * FROM line WHERE executor = $1 AND world = $2 ORDER BY strategy_id, symbol"
_DRAW = """
INSERT INTO line (executor, world, strategy_id, symbol, quantity, standing) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (executor, world, strategy_id, symbol)
DO UPDATE SET quantity = excluded.quantity, standing = excluded.standing
"""

_ADD_ORDER = """
INSERT INTO journal
    (executor, order_id, world, strategy_id, symbol, weight, held, bar_time, wish, epoch, position, enrolment, state,
     send_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $13 = 'sending' THEN clock_timestamp() END)
"""
_ORDER = "SELECT * FROM journal WHERE executor = $1 AND order_id = $2"
_UNDER_WAY = """
SELECT * FROM journal WHERE executor = $1 AND world = $2 AND state IN ('sending', 'working') ORDER BY create_time
"""
_NEWEST = """
SELECT strategy_id, symbol, max(bar_time) AS bar_time FROM journal
WHERE executor = $1 AND world = $2 AND position > 0 GROUP BY strategy_id, symbol
"""
_SETTLE = "UPDATE journal SET state = $3 WHERE executor = $1 AND order_id = $2"
_FORGET = "DELETE FROM journal WHERE executor = $1 AND order_id = $2 AND state = 'sending'"
_ADD_FILL = """
INSERT INTO fill (executor, order_id, fill_id, quantity, price, fee, fill_time) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING fill_id
"""
_TURN_AWAY = """
INSERT INTO turned_away (executor, intent_id, epoch, outcome, world, strategy_id, position, reason, message)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
"""
_ADD_REPORT = "INSERT INTO report (executor, world, intent_id, message_id, payload) VALUES ($1, $2, $3, $4, $5)"
# Those of an order name its place; what was said of the same id elsewhere, fenced or refused, is not its report.
_REPEAT_REPORT = """
INSERT INTO report (executor, world, intent_id, message_id, payload)
SELECT executor, world, intent_id, split_part(message_id, '/', 1) || '/' || $4::text, payload
FROM report WHERE executor = $1 AND intent_id = $2 AND split_part(message_id, '/', 2) = $3::text
ORDER BY id DESC LIMIT 1 RETURNING id
"""
_FILLS = "SELECT * FROM fill WHERE executor = $1 AND order_id = $2 ORDER BY fill_time, fill_id"
_PENDING = """
SELECT id, world, message_id, payload FROM report WHERE executor = $1 AND publish_time IS NULL ORDER BY id LIMIT $2
"""
_PUBLISHED = "UPDATE report SET publish_time = now() WHERE id = ANY($1::bigint[])"


class JournalRestoredError(Exception):
    """Say that a journal is behind what this start has written in a world: the database was restored."""


class Journal:
    """Be the database of one start of an executor."""

    def __init__(self, pool: Pool, executor: str, token: str, clock: Clock) -> None:
        self.executor = executor
        self.token = token
        self._pool = pool
        self._clock = clock
        self._number = 0  # of this start
        self._start_time: datetime | None = None  # by the database
        self._revisions: dict[str, int] = {}  # at least what is written, by world
        self._restored: set[str] = set()

    async def begin(self) -> None:
        """Take over from every earlier start."""
        async with transaction(self._pool) as connection:
            begun = await connection.fetchrow(_BEGIN, self.executor, self.token, self._number)
        self._number, self._start_time = begun["number"], begun["start_time"]

    async def check(self) -> None:
        """Look whether this is still the newest start, and the database the one that was written.

        Raises QmtlError: FOREIGN_INCARNATION when a newer start has taken over, DEPENDENCY_UNAVAILABLE for a standby,
        which may lag. A database that was restored to before this start is begun in once more.
        """
        written = dict(self._revisions)
        async with acquire(self._pool) as connection:
            if await connection.fetchval(_IS_STANDBY):
                message = "PostgreSQL is a standby here, which may be behind; state the primary's address"
                raise QmtlError(Reason.DEPENDENCY_UNAVAILABLE, message, metadata={"dependency": "postgres"})
            newest = await connection.fetchrow(_NEWEST_START, self.executor)
            stored = {row["world"]: row["revision"] for row in await connection.fetch(_REVISIONS, self.executor)}
        self._restored.update(world for world, revision in written.items() if stored.get(world, 0) < revision)
        if self._is_older(newest):
            self._restored.update(written)
            await self.begin()
        elif newest["token"] != self.token:
            raise self._superseded()

    def check_restored(self, world: str) -> None:
        """Raise JournalRestoredError where the database is behind what was written in a world."""
        if world in self._restored:
            raise JournalRestoredError(world)

    def accept_restored(self, world: str) -> None:
        """Go on in a world from what is stored."""
        self._restored.discard(world)
        self._revisions.pop(world, None)

    @asynccontextmanager
    async def writing(self, world: str) -> AsyncIterator[Writing]:
        """Yield one transaction in a world; raise QmtlError FOREIGN_INCARNATION when a newer start has taken over,
        JournalRestoredError when the database is behind what this start has written."""
        async with transaction(self._pool) as connection:
            newest = await connection.fetchrow(_GUARD, self.executor, world)
            if self._is_older(newest):
                raise JournalRestoredError(world)
            if newest["token"] != self.token:
                raise self._superseded()
            revision = newest["revision"] or 0
            if world in self._revisions and revision <= self._revisions[world]:
                raise JournalRestoredError(world)
            yield Writing(connection, self.executor, world, self._clock)
        if revision:
            self._revisions[world] = revision

    async def read_place(self, world: str) -> tuple[Place | None, Passed | None]:
        """Return where this executor is in a world, and the newest mark that it is to acknowledge.

        Raises JournalRestoredError where that is older than what this start has read or written.
        """
        self.check_restored(world)
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(_PLACE, self.executor, world)
        revision = 0 if row is None else row["revision"]
        if revision < self._revisions.get(world, 0):
            raise JournalRestoredError(world)
        if row is None:
            return None, None
        self._revisions[world] = revision
        return decode_place(row), decode_passed(row["passed"])

    async def read_lines(self, world: str) -> dict[tuple[str, str], Line]:
        """Return what is held in a world, by strategy and symbol."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_LINES, self.executor, world)
        lines = (Line(row["strategy_id"], row["symbol"], row["quantity"], row["standing"]) for row in rows)
        return {(each.strategy_id, each.symbol): each for each in lines}

    async def read_order(self, order_id: str) -> JournalOrder | None:
        """Return an order, or None."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(_ORDER, self.executor, order_id)
        return None if row is None else _to_order(row)

    async def read_newest(self, world: str) -> dict[tuple[str, str], datetime]:
        """Return the newest bar of which an intent was taken, by strategy and symbol."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_NEWEST, self.executor, world)
        return {(row["strategy_id"], row["symbol"]): row["bar_time"] for row in rows}

    async def read_under_way(self, world: str) -> list[JournalOrder]:
        """Return the orders of a world that have not ended, oldest first."""
        async with acquire(self._pool) as connection:
            return [_to_order(row) for row in await connection.fetch(_UNDER_WAY, self.executor, world)]

    async def read_pending_reports(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return reports not published yet, oldest first: id, world, message_id, payload."""
        async with acquire(self._pool) as connection:
            rows: Sequence[Mapping[str, Any]] = await connection.fetch(_PENDING, self.executor, limit)
        return rows

    async def note_published(self, ids: Sequence[int]) -> None:
        """Note reports as published; whoever did it, they are."""
        async with acquire(self._pool) as connection:
            await connection.execute(_PUBLISHED, ids)

    def _is_older(self, newest: Mapping[str, Any] | None) -> bool:
        """Tell whether the newest start that a database knows was before this one: the database was restored, and
        nobody has taken over since."""
        if newest is None:
            return True
        began_before = self._start_time is None or newest["start_time"] < self._start_time
        return bool(newest["number"] < self._number and began_before)

    def _superseded(self) -> QmtlError:
        return QmtlError(
            Reason.FOREIGN_INCARNATION,
            f"a newer start of executor {self.executor!r} has taken over; this one stops and writes nothing more",
            metadata={"participant": self.executor, "incarnation": self.token},
        )


class Writing:
    """Be one transaction in one world."""

    def __init__(self, connection: Connection, executor: str, world: str, clock: Clock) -> None:
        self._connection = connection
        self._executor = executor
        self._world = world
        self._clock = clock

    async def move(self, position: int) -> None:
        """Note that everything up to a place in the stream is settled."""
        await self._connection.execute(_MOVE, self._executor, self._world, position)

    async def stand(self, place: Place, passed: Passed | None) -> None:
        """Note where the executor is, and the mark that it is to acknowledge, if that is a new one."""
        await self._connection.execute(
            _STAND,
            self._executor,
            self._world,
            place.enrolment,
            place.position,
            place.mark,
            place.fence,
            place.is_open,
            place.unsure,
            place.restored_mark,
            place.timeline,
            place.generation,
            encode_seats(place.seats),
            None if passed is None else encode_passed(passed),
        )

    async def note(self, statement: Statement) -> None:
        """Note the account as the venue states it."""
        await self._connection.execute(
            _STATE, self._executor, self._world, statement.cash, statement.equity, statement.as_of
        )

    async def draw(self, line: Line) -> None:
        """Note what a strategy holds of a symbol."""
        await self._connection.execute(
            _DRAW, self._executor, self._world, line.strategy_id, line.symbol, line.quantity, line.standing
        )

    async def add(self, order: JournalOrder) -> None:
        """Put an order into the journal. Its id is there once, whatever happens."""
        placed = order.order
        await self._connection.execute(
            _ADD_ORDER,
            self._executor,
            placed.order_id,
            self._world,
            placed.strategy_id,
            placed.symbol,
            placed.weight,
            placed.held,
            placed.bar_time,
            order.wish,
            order.epoch,
            order.position,
            order.enrolment,
            order.state.value,
        )

    async def forget(self, order_id: str) -> None:
        """Take an order out that the venue never had and never will have; its intent is judged anew."""
        await self._connection.execute(_FORGET, self._executor, order_id)

    async def settle(self, order: JournalOrder, answer: Answer, line: Line) -> Line:
        """Note what the venue says of an order: its state, fills not noted before, the report. Return its line."""
        for fill in answer.fills:
            if await self._add_fill(order.order.order_id, fill):
                line = Line(line.strategy_id, line.symbol, line.quantity + fill.quantity, line.standing)
        if answer.state in (OrderState.CANCELLED, OrderState.REJECTED):  # the same target again is to be traded
            line = Line(line.strategy_id, line.symbol, line.quantity, None)
        await self.draw(line)
        if answer.state is not order.state and order.state not in FINAL:
            await self._connection.execute(_SETTLE, self._executor, order.order.order_id, answer.state.value)
            if not order.is_own:
                await self.report(_report_of(order, answer))
        return line

    async def turn_away(self, intent: Intent, verdict: Fenced | Refused, position: int) -> None:
        """Note an intent that is not executed, by id and epoch, and report it."""
        is_fenced = isinstance(verdict, Fenced)
        report = Report(
            strategy_id=intent.strategy_id,
            intent_id=intent.intent_id,
            symbol=intent.symbol,
            epoch=intent.epoch,
            outcome=Outcome.FENCED if is_fenced else Outcome.REFUSED,
            position=position,
            reason="" if isinstance(verdict, Fenced) else verdict.reason.value,
            message=verdict.message,
        )
        await self._connection.execute(
            _TURN_AWAY,
            self._executor,
            report.intent_id,
            report.epoch,
            report.outcome.value,
            self._world,
            report.strategy_id,
            position,
            report.reason,
            report.message,
        )
        await self.report(report)

    async def report(self, report: Report) -> None:
        """Put a report into the outbox."""
        report_id = report.report_id(self._executor)
        payload = encode_report(report, self._world, self._executor, self._clock())
        message_id = f"{report_id}/{report.position}"
        await self._connection.execute(_ADD_REPORT, self._executor, self._world, report.intent_id, message_id, payload)

    async def repeat_report(self, order: JournalOrder, position: int) -> None:
        """Put an order's newest report into the outbox once more, for the repetition that stands at ``position``.

        One that has aged out is made anew of order and fills, without its reason. An order in doubt has none yet.
        """
        order_id = order.order.order_id
        repeated = await self._connection.fetchval(
            _REPEAT_REPORT, self._executor, order_id, str(order.position), str(position)
        )
        if repeated is None and order.state is not OrderState.SENDING:
            fills = tuple(_to_fill(row) for row in await self._connection.fetch(_FILLS, self._executor, order_id))
            await self.report(_report_of(order, Answer(order_id, order.state, fills)))

    async def _add_fill(self, order_id: str, fill: Fill) -> bool:
        added = await self._connection.fetchval(
            _ADD_FILL, self._executor, order_id, fill.fill_id, fill.quantity, fill.price, fill.fee, fill.fill_time
        )
        return added is not None


def _report_of(order: JournalOrder, answer: Answer) -> Report:
    quantity = sum(each.quantity for each in answer.fills)
    paid = sum(each.quantity * each.price for each in answer.fills)
    price = answer.fills[0].price if len(answer.fills) == 1 else (paid / quantity if quantity else 0.0)
    return Report(
        strategy_id=order.order.strategy_id,
        intent_id=order.order.order_id,
        symbol=order.order.symbol,
        epoch=order.epoch,
        outcome=_OUTCOMES[answer.state],
        position=order.position,
        reason=answer.reason,
        message=answer.message,
        quantity=quantity,
        price=price,
        fee=sum(each.fee for each in answer.fills),
    )


_OUTCOMES = {
    OrderState.WORKING: Outcome.WORKING,
    OrderState.FILLED: Outcome.FILLED,
    OrderState.UNCHANGED: Outcome.UNCHANGED,
    OrderState.CANCELLED: Outcome.CANCELLED,
    OrderState.REJECTED: Outcome.REFUSED,
}


def _to_fill(row: Mapping[str, Any]) -> Fill:
    return Fill(row["fill_id"], row["quantity"], row["price"], row["fee"], row["fill_time"])


def _to_order(row: Mapping[str, Any]) -> JournalOrder:
    placed = VenueOrder(
        order_id=row["order_id"],
        strategy_id=row["strategy_id"],
        symbol=row["symbol"],
        weight=row["weight"],
        held=row["held"],
        bar_time=row["bar_time"],
    )
    state = OrderState(row["state"])
    return JournalOrder(placed, state, row["wish"], row["epoch"], row["position"], row["enrolment"])
