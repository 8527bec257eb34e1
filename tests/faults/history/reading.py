"""Reads the history of one world: the three streams as they stand, the database in one snapshot, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import asyncpg
import nats

from tests.faults.history import rows, streams
from tests.faults.history.facts import Change, Changes, History, Mark, Outage

Row = TypeVar("Row")

_PLACE: Final = "SELECT to_jsonb(t) FROM world.place t WHERE world = $1"
_RUNS: Final = "SELECT to_jsonb(t) FROM world.apply_run t WHERE world = $1 ORDER BY id"
_RECORDS: Final = "SELECT to_jsonb(t) FROM world.audit t WHERE world = $1 ORDER BY number"
_ACKNOWLEDGEMENTS: Final = "SELECT to_jsonb(t) FROM world.acknowledgement t WHERE world = $1 ORDER BY id"
_ENROLMENTS: Final = "SELECT to_jsonb(t) FROM world.enrolment t WHERE world = $1 ORDER BY executor"
_OUTBOX: Final = "SELECT to_jsonb(t) - 'payload' FROM world.outbox t WHERE world = $1 ORDER BY id"
_DELETED: Final = """
SELECT position, publish_time, payload FROM world.outbox
WHERE world = $1 AND kind = 'mark' AND number = ANY($2::bigint[]) AND position IS NOT NULL
"""
_EXECUTOR_PLACES: Final = "SELECT to_jsonb(t) - 'seats' FROM executor.place t WHERE world = $1 ORDER BY executor"
_JOURNAL: Final = "SELECT to_jsonb(t) FROM executor.journal t WHERE world = $1 ORDER BY create_time, order_id"
_FILLS: Final = """
SELECT to_jsonb(t) FROM executor.fill t JOIN executor.journal j USING (executor, order_id)
WHERE j.world = $1 ORDER BY t.order_id, t.fill_id
"""
_TURNED_AWAY: Final = "SELECT to_jsonb(t) FROM executor.turned_away t WHERE world = $1 ORDER BY create_time"
_LINES: Final = "SELECT to_jsonb(t) FROM executor.line t WHERE world = $1 ORDER BY strategy_id, symbol"
_PAPER_ORDERS: Final = "SELECT to_jsonb(t) FROM executor.paper_order t WHERE world = $1 ORDER BY order_id"
_PAPER_ACCOUNTS: Final = "SELECT to_jsonb(t) FROM executor.paper_account t WHERE world = $1 ORDER BY executor"
_UNPUBLISHED: Final = "SELECT count(*) FROM executor.report WHERE world = $1 AND publish_time IS NULL"
_OUTAGES: Final = "SELECT began, ended, what FROM history.outage ORDER BY began"

_CHANGES: Final = "SELECT id, at, tx, before::text, after::text FROM history.change WHERE relation = $1"
_OF_WORLD: Final = f"{_CHANGES} AND coalesce(after, before) ->> 'world' = $2 ORDER BY id"
_OF_GATEWAYS: Final = f"{_CHANGES} AND coalesce(after, before) ->> 'kind' = 'gateway' ORDER BY id"
_OF_FILLS: Final = f"""
{_CHANGES} AND coalesce(after, before) ->> 'order_id' IN (SELECT order_id FROM executor.journal WHERE world = $2)
ORDER BY id
"""  # noqa: S608 - joined from constants of this file


async def read_history(
    dsn: str,
    nats_url: str,
    world: str,
    *,
    at_rest: bool = False,
    deleted_marks: frozenset[int] = frozenset(),
    deleted_events: frozenset[int] = frozenset(),
) -> History:
    """Return what was recorded of a world.

    The database is read before the streams, so that nothing it tells of is missing there: read when nobody writes, or
    expect answers in the streams that the tables do not have yet. ``nats_url`` may be several, by commas.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            history = await _read_tables(_Reader(connection, world), deleted_marks)
    finally:
        await connection.close()
    parts = await _read_streams(nats_url, world)
    told = {each.event_id for each in parts["marks"]}
    marks = (*(each for each in history["marks"] if each.event_id not in told), *parts["marks"])
    return History(
        world=world,
        at_rest=at_rest,
        deleted_marks=deleted_marks,
        deleted_events=deleted_events,
        **{**history, **parts, "marks": tuple(sorted(marks, key=lambda each: each.position))},
    )


class _Reader:
    """Read the tables of one world within a transaction."""

    def __init__(self, connection: asyncpg.Connection, world: str) -> None:
        self.connection = connection
        self.world = world

    async def read(self, statement: str, decode: Callable[[rows.Json], Row]) -> tuple[Row, ...]:
        """Return what a statement finds of the world."""
        found = await self.connection.fetch(statement, self.world)
        return tuple(decode(json.loads(each[0])) for each in found)

    async def changes(
        self, relation: str, decode: Callable[[rows.Json], Row], statement: str = _OF_WORLD
    ) -> tuple[Change[Row], ...]:
        """Return what changed in a table."""
        arguments = (relation,) if statement == _OF_GATEWAYS else (relation, self.world)
        found = await self.connection.fetch(statement, *arguments)
        return tuple(
            Change(
                each["id"], each["at"], each["tx"], _decoded(each["before"], decode), _decoded(each["after"], decode)
            )
            for each in found
        )


def _decoded(text: str | None, decode: Callable[[rows.Json], Row]) -> Row | None:
    return None if text is None else decode(json.loads(text))


async def _read_tables(reader: _Reader, deleted_marks: frozenset[int]) -> dict[str, Any]:
    places = await reader.read(_PLACE, rows.to_world_place)
    outages = await reader.connection.fetch(_OUTAGES)
    return {
        "read_time": await reader.connection.fetchval("SELECT clock_timestamp()"),
        "marks": await _read_deleted(reader, deleted_marks),
        "place": places[0] if places else None,
        "runs": await reader.read(_RUNS, rows.to_run),
        "records": await reader.read(_RECORDS, rows.to_record),
        "acknowledgements": await reader.read(_ACKNOWLEDGEMENTS, rows.to_acknowledgement),
        "enrolments": await reader.read(_ENROLMENTS, rows.to_enrolment),
        "outbox": await reader.read(_OUTBOX, rows.to_told),
        "executor_places": await reader.read(_EXECUTOR_PLACES, rows.to_executor_place),
        "journal": await reader.read(_JOURNAL, rows.to_journal_order),
        "fills": await reader.read(_FILLS, rows.to_fill),
        "turned_away": await reader.read(_TURNED_AWAY, rows.to_turned_away),
        "lines": await reader.read(_LINES, rows.to_line),
        "paper_orders": await reader.read(_PAPER_ORDERS, rows.to_paper_order),
        "paper_accounts": await reader.read(_PAPER_ACCOUNTS, rows.to_paper_account),
        "unpublished_reports": await reader.connection.fetchval(_UNPUBLISHED, reader.world),
        "changes": await _read_changes(reader),
        "outages": tuple(Outage(each["began"], each["ended"], each["what"]) for each in outages),
    }


async def _read_changes(reader: _Reader) -> Changes:
    return Changes(
        places=await reader.changes("world.place", rows.to_world_place),
        runs=await reader.changes("world.apply_run", rows.to_run),
        leases=await reader.changes("world.participant", rows.to_lease, _OF_GATEWAYS),
        enrolments=await reader.changes("world.enrolment", rows.to_enrolment),
        acknowledgements=await reader.changes("world.acknowledgement", rows.to_acknowledgement),
        executor_places=await reader.changes("executor.place", rows.to_executor_place),
        orders=await reader.changes("executor.journal", rows.to_journal_order),
        fills=await reader.changes("executor.fill", rows.to_fill, _OF_FILLS),
        paper_orders=await reader.changes("executor.paper_order", rows.to_paper_order),
    )


async def _read_deleted(reader: _Reader, numbers: frozenset[int]) -> tuple[Mark, ...]:
    """Return the marks that the harness took out of the stream, as the outbox has them."""
    found = await reader.connection.fetch(_DELETED, reader.world, sorted(numbers))
    return tuple(
        streams.to_mark(each["position"], each["publish_time"], each["payload"], deleted=True) for each in found
    )


async def _read_streams(nats_url: str, world: str) -> dict[str, Any]:
    client = await nats.connect(nats_url.split(","))
    try:
        orders = await streams.read_stream(client, "orders", f"orders.{world}.>")
        events = await streams.read_stream(client, "control", f"control.activation.{world}")
        reports = await streams.read_stream(client, "reports", f"reports.{world}")
    finally:
        await client.close()
    marks = [each for each in orders if each.subject == f"orders.{world}.mark"]
    return {
        "marks": [streams.to_mark(each.position, each.at, each.payload) for each in marks],
        "intents": tuple(streams.to_intent(each) for each in orders if each.subject != f"orders.{world}.mark"),
        "events": tuple(streams.to_event(each) for each in events),
        "reports": tuple(streams.to_report(each) for each in reports),
    }
