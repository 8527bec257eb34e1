"""The SQL of places, runs and what they tell: a step is one transaction, under the lock of its world's place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from qmtl_foundation import tracing
from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.codec import (
    decode_activations,
    decode_gateways,
    decode_terms,
    decode_timeouts,
    decode_waits,
    encode_activations,
    encode_gateways,
    encode_terms,
    encode_timeouts,
)
from qmtl_world.apply.machine import next_due
from qmtl_world.apply.messages import Envelope, encode_event, encode_mark, told_set
from qmtl_world.apply.model import Activation, ActivationSet, RunTerms
from qmtl_world.apply.place import Effect, Gateway, Mark, Phase, Place, Run
from qmtl_world.apply.records import ApplyRecord, GatewayLease, RunRecord, ShownRun, Standing
from qmtl_world.audit.model import Cause
from qmtl_world.place_lock import hold_place

STEPS_CHANNEL: Final = "apply_step"
EVENT: Final = "event"
MARK: Final = "mark"

_NO_RUN: Final = (None,) * 15  # as many as a run has values

_RUN_COLUMNS = """
r.world AS run_world, r.request_hash, r.phase, r.plan, r.base, r.prior, r.prior_holds, r.timeouts, r.deadline,
r.awaited, r.acked, r.sequence AS run_sequence, r.epoch AS run_epoch, r.clears, r.reason, r.unopened, r.actor, r.cause,
r.trace, r.revision, r.phase_time, r.create_time, r.end_time
"""
_READ_PLACE = f"""
SELECT p.*, {_RUN_COLUMNS}, coalesce(w.allow_live, false) AS allow_live,
       ARRAY(SELECT executor FROM enrolment e WHERE e.world = p.world) AS executors,
       (SELECT timeline_id FROM timeline) AS timeline_id
FROM place p LEFT JOIN world w ON w.name = p.world
LEFT JOIN apply_run r ON r.world = p.world AND r.run_id = p.run_id
WHERE p.world = $1
"""
# The newest run of a world that is there, with all that is shown of it, at one moment.
_SHOW_NEWEST = f"""
SELECT s.*,
       ARRAY(SELECT ROW (g.name, g.incarnation, g.expire_time, g.waits_for -> $1) FROM participant g
             WHERE g.kind = 'gateway' AND g.expire_time > clock_timestamp()) AS leases,
       ARRAY(SELECT ROW (a.event, a.actor, a.reason, a.epoch, a.sequence, a.create_time) FROM audit a
             WHERE a.world = $1 AND a.run_id = $2 ORDER BY a.number) AS timeline
FROM ({_READ_PLACE}) s JOIN world ON world.name = s.world
WHERE s.run_id = $2
"""
_SAVE_TERMS = "UPDATE place SET terms = $2 WHERE world = $1"
_RUN_CHANGES = """
phase = $3, plan = $4, prior = $5, prior_holds = $6, timeouts = $7, deadline = $8, awaited = $9, acked = $10,
sequence = $11, epoch = $12, reason = $13, unopened = $14, phase_time = $15, end_time = $16, revision = revision + 1
"""
# All of a step in one round trip: it holds the lock of the place for that long. Run $2 is null where it did not change.
_SAVE = f"""
WITH run AS (
    UPDATE apply_run SET {_RUN_CHANGES} WHERE world = $1 AND run_id = $2
), told AS (
    INSERT INTO outbox (event_id, world, kind, number, payload, trace)
    SELECT t.event_id, $1, t.kind, t.number, t.payload, $43
    FROM unnest($17::text[], $18::text[], $19::bigint[], $20::bytea[])
        WITH ORDINALITY AS t (event_id, kind, number, payload, at) ORDER BY t.at
), noted AS (
    INSERT INTO audit (world, run_id, event, actor, reason, detail, epoch, sequence, create_time)
    SELECT $1, nullif(n.run_id, ''), n.event, n.actor, n.reason, n.detail, n.epoch, n.sequence, n.create_time
    FROM unnest($21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::bigint[], $27::bigint[],
                $28::timestamptz[])
        WITH ORDINALITY AS n (run_id, event, actor, reason, detail, epoch, sequence, create_time, at) ORDER BY n.at
), placed AS (
    UPDATE place SET epoch = $29, sequence = $30, mark = $31, is_open = $32, holds = $33, activations = $34,
                     switch_time = $35, fenced = $36, opened = $37, repeat_time = $38, due_time = $39, run_id = $40,
                     event_hash = $41, reseed_mark = $42
    WHERE world = $1
)
SELECT pg_notify('{STEPS_CHANNEL}', $1)
"""
_ADD_RUN = """
INSERT INTO apply_run (world, run_id, request_hash, phase, plan, base, prior, prior_holds, timeouts, awaited, acked,
                       sequence, epoch, clears, reason, unopened, actor, cause, phase_time, create_time, trace)
VALUES ($1, $2, $3, 'queued', $4, $5, '[]', '{}', $6, '[]', '[]', 0, 0, $7, '', '{}', $8, $9, $10, $10, $11)
"""
_SAVE_RUN = f"UPDATE apply_run SET {_RUN_CHANGES} WHERE world = $1 AND run_id = $2"
_GET_RUN = f"SELECT r.run_id, {_RUN_COLUMNS} FROM apply_run r WHERE r.world = $1 AND r.run_id = $2"
_LIST_RUNS = f"""
SELECT r.id, r.run_id, {_RUN_COLUMNS} FROM apply_run r WHERE r.world = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3
"""
_NEXT_QUEUED = f"""
SELECT r.run_id, {_RUN_COLUMNS} FROM apply_run r
WHERE r.world = $1 AND r.end_time IS NULL AND r.phase = 'queued' ORDER BY r.id LIMIT 1
"""
_RECORDS = "SELECT * FROM audit WHERE world = $1 AND run_id = $2 ORDER BY number"
_NOTIFY = f"SELECT pg_notify('{STEPS_CHANNEL}', $1)"
# Records are never changed, and outlive their world.
_HAD_ORDERS = """
SELECT EXISTS (SELECT FROM audit WHERE world = $1 AND event = 'enrolled')
   AND EXISTS (SELECT FROM audit WHERE world = $1 AND event = 'unfreeze')
"""
_WAITS = """
SELECT EXISTS (SELECT FROM apply_run r WHERE r.world = $1 AND r.end_time IS NULL AND r.phase = 'queued')
    OR EXISTS (SELECT FROM proposal p WHERE p.world = $1 AND p.pending IS NOT NULL)
"""
_RELAYED = "SELECT payload FROM relayed WHERE world = $1 AND kind = 'event'"
_DUE = "SELECT world FROM place WHERE due_time <= $1 ORDER BY due_time LIMIT 100"
_UNFINISHED = "SELECT DISTINCT world FROM apply_run WHERE end_time IS NULL"
_HELD = "SELECT world, holds FROM place WHERE holds <> '{}'"


async def lock_place(connection: Connection, world: str) -> Standing:
    """Return where a world stands, locked until the transaction's end; a world of which nothing is known is new."""
    await hold_place(connection, world)  # before it is read: a statement that waits for a lock joins rows as they were
    return _to_standing(await connection.fetchrow(_READ_PLACE, world))


async def read_place(connection: Connection, world: str) -> Standing:
    """Return where a world stands."""
    row = await connection.fetchrow(_READ_PLACE, world)
    return Standing(Place(world), None, RunTerms(), None, "") if row is None else _to_standing(row)


async def save(
    connection: Connection,
    before: Standing,
    after: Standing,
    effects: Sequence[Effect],
    records: Sequence[ApplyRecord],
    now: datetime,
) -> Standing:
    """Store a step of a locked world with what it tells, and wake whoever relays, watches or waits."""
    switched = after.place.activations != before.place.activations
    told = replace(after, switch_time=now if switched else before.switch_time)
    rows, event_hash = _told(before, told, effects, now)
    told = replace(told, event_hash=event_hash)
    changed = told.record is not None and told.record != before.record
    await connection.execute(
        _SAVE,
        told.place.world,
        *(_run_values(told.record) if changed and told.record is not None else _NO_RUN),
        *_columns(rows, 4),
        *_columns([_record_values(each) for each in records], 8),
        *_place_values(told),
        _trace(before, told),
    )
    return told


async def save_terms(connection: Connection, standing: Standing, terms: RunTerms) -> Standing:
    """Store on which terms a locked world's runs go, and return it so."""
    if standing.terms == terms:
        return standing
    await connection.execute(_SAVE_TERMS, standing.place.world, encode_terms(terms))
    return replace(standing, terms=terms)


async def add_run(connection: Connection, record: RunRecord) -> None:
    """Add a run that has not begun."""
    await connection.execute(
        _ADD_RUN,
        record.world,
        record.run.run_id,
        record.request_hash,
        encode_activations(record.run.plan),
        record.base,
        encode_timeouts(record.run.timeouts),
        record.run.clears,
        record.cause.actor,
        record.cause.reason,
        record.create_time,
        record.trace,
    )


async def end_queued(connection: Connection, record: RunRecord, reason: str, now: datetime) -> None:
    """End a run that will not begin."""
    ended = replace(record.run, phase=Phase.ABORTED, reason=reason)
    values = _run_values(replace(record, run=ended, phase_time=now, end_time=now))
    await connection.execute(_SAVE_RUN, record.world, *values)
    await connection.execute(_NOTIFY, record.world)


async def read_run(connection: Connection, world: str, run_id: str) -> RunRecord | None:
    """Return a run, or None."""
    row = await connection.fetchrow(_GET_RUN, world, run_id)
    return None if row is None else _to_record(row)


async def next_queued(connection: Connection, world: str) -> RunRecord | None:
    """Return the run that has waited longest to begin, or None."""
    row = await connection.fetchrow(_NEXT_QUEUED, world)
    return None if row is None else _to_record(row)


async def anything_waits(connection: Connection, world: str) -> bool:
    """Tell whether a queued run, or what a round says, waits for the end of the run under way."""
    return bool(await connection.fetchval(_WAITS, world))


async def list_runs(connection: Connection, world: str, below: int, limit: int) -> list[tuple[int, RunRecord]]:
    """Return up to ``limit`` runs below a number, the newest first, each with its number."""
    rows = await connection.fetch(_LIST_RUNS, world, below, limit)
    return [(row["id"], _to_record(row)) for row in rows]


async def read_timeline(connection: Connection, world: str, run_id: str) -> list[ApplyRecord]:
    """Return the audit timeline of a run, oldest first."""
    return [
        ApplyRecord(
            world, run_id, row["event"], Cause(row["actor"], row["reason"]), row["epoch"], row["sequence"],
            row["create_time"],
        )
        for row in await connection.fetch(_RECORDS, world, run_id)
    ]  # fmt: skip


async def had_orders(connection: Connection, world: str) -> bool:
    """Tell whether an executor may have taken intents of a world of this name: one was enrolled, and it was open."""
    found: bool = await connection.fetchval(_HAD_ORDERS, world)
    return found


async def show_newest(connection: Connection, world: str, run_id: str) -> ShownRun | None:
    """Return a world's newest run with what is shown of it, as of one moment; None for another run or world."""
    row = await connection.fetchrow(_SHOW_NEWEST, world, run_id)
    if row is None:
        return None
    standing = _to_standing(row)
    if standing.record is None:
        return None
    leases = {
        Gateway(name, incarnation): GatewayLease(until, decode_waits(waits_for))
        for name, incarnation, until, waits_for in row["leases"]
    }
    timeline = [
        ApplyRecord(world, run_id, event, Cause(actor, reason), epoch, sequence, create_time)
        for event, actor, reason, epoch, sequence, create_time in row["timeline"]
    ]
    return ShownRun(standing.record, standing.place, leases, timeline)


async def read_relayed(connection: Connection, world: str) -> bytes | None:
    """Return the newest event of a world that stands in the control stream, or None."""
    payload: bytes | None = await connection.fetchval(_RELAYED, world)
    return payload or None


async def read_relayed_set(connection: Connection, world: str) -> ActivationSet:
    """Return what may trade in a world at the last sequence that stands in the control stream."""
    payload = await read_relayed(connection, world)
    return ActivationSet(world) if payload is None else told_set(payload)


async def read_in_force(connection: Connection, world: str, strategy_id: str) -> Activation | None:
    """Return a strategy's place in the activation set, or None.

    It counts as far as it was announced and still stands: who asks is never ahead of the control stream, and what the
    newest switch took away is gone at once.
    """
    relayed = (await read_relayed_set(connection, world)).find(strategy_id)
    newest = (await read_place(connection, world)).activation_set.find(strategy_id)
    if relayed is None or newest is None:
        return None
    agree = (relayed.strategy_version, relayed.mode) == (newest.strategy_version, newest.mode)
    return newest if agree else None


async def due_worlds(connection: Connection, now: datetime) -> list[str]:
    """Return worlds in which something is due."""
    return [row["world"] for row in await connection.fetch(_DUE, now)]


async def unfinished_worlds(connection: Connection) -> list[str]:
    """Return the worlds that have a run that is not over."""
    return [row["world"] for row in await connection.fetch(_UNFINISHED)]


async def held_worlds(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the worlds that are held, each with the names of its holds."""
    return {row["world"]: tuple(sorted(row["holds"])) for row in await connection.fetch(_HELD)}


def _told(
    before: Standing, after: Standing, effects: Sequence[Effect], now: datetime
) -> tuple[list[tuple[str, str, int, bytes]], str]:
    """Return a step's marks and events as rows of the outbox, each event chained to the one before; the last's hash."""
    place, previous = after.place, before.event_hash
    rows: list[tuple[str, str, int, bytes]] = []
    for each in effects:
        envelope = Envelope(uuid.uuid4().hex, before.timeline_id, now)
        if isinstance(each, Mark):
            payload = encode_mark(each, place, after.switch_time, after.terms, envelope)
            rows.append((envelope.event_id, MARK, each.number, payload))
        else:
            stood = each.activations == before.place.activations
            switch_time = before.switch_time if stood else now
            payload = encode_event(each, place.world, switch_time, place.holds, previous, envelope)
            previous = bytes_id(EVENT_CONTEXT, payload)
            rows.append((envelope.event_id, EVENT, each.sequence, payload))
    return rows, previous


def _trace(before: Standing, after: Standing) -> str:
    """Return what a step's events and marks belong to: its run, else what goes on."""
    for standing in (before, after):
        if standing.place.running is not None and standing.record is not None:
            return standing.record.trace
    return tracing.current()


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]


def _record_values(record: ApplyRecord) -> tuple[Any, ...]:
    cause = record.cause
    return (
        record.run_id,
        record.event,
        cause.actor,
        cause.reason,
        record.detail,
        record.epoch,
        record.sequence,
        record.create_time,
    )


def _place_values(standing: Standing) -> tuple[Any, ...]:
    place = standing.place
    return (
        place.epoch,
        place.sequence,
        place.mark,
        place.is_open,
        sorted(place.holds),
        encode_activations(place.activations),
        standing.switch_time,
        sorted(place.fenced),
        sorted(place.opened),
        place.repeat_at,
        next_due(place),
        None if place.run is None else place.run.run_id,
        standing.event_hash,
        place.reseed_mark,
    )


def _run_values(record: RunRecord) -> tuple[Any, ...]:
    run = record.run
    return (
        run.run_id,
        run.phase.value,
        encode_activations(run.plan),
        encode_activations(run.prior),
        sorted(run.prior_holds),
        encode_timeouts(run.timeouts),
        None if run.is_terminal else run.deadline,
        encode_gateways(run.awaited),
        encode_gateways(run.acked),
        run.sequence,
        record.epoch,
        run.reason,
        list(run.unopened),
        record.phase_time,
        record.end_time,
    )


def _to_standing(row: Mapping[str, Any]) -> Standing:
    record = None if row["run_world"] is None else _to_record(row)
    place = Place(
        world=row["world"],
        epoch=row["epoch"],
        sequence=row["sequence"],
        mark=row["mark"],
        is_open=row["is_open"],
        holds=frozenset(row["holds"]),
        activations=decode_activations(row["activations"]),
        allow_live=row["allow_live"],
        executors=frozenset(row["executors"]),
        fenced=frozenset(row["fenced"]),
        opened=frozenset(row["opened"]),
        repeat_at=row["repeat_time"],
        run=None if record is None else record.run,
        reseed_mark=row["reseed_mark"],
    )
    terms = decode_terms(row["terms"])
    return Standing(place, record, terms, row["switch_time"], row["event_hash"], row["timeline_id"])


def _to_record(row: Mapping[str, Any]) -> RunRecord:
    run = Run(
        run_id=row["run_id"],
        phase=Phase(row["phase"]),
        plan=decode_activations(row["plan"]),
        prior=decode_activations(row["prior"]),
        prior_holds=frozenset(row["prior_holds"]),
        timeouts=decode_timeouts(row["timeouts"]),
        deadline=row["deadline"] or row["phase_time"],
        awaited=decode_gateways(row["awaited"]),
        acked=decode_gateways(row["acked"]),
        sequence=row["run_sequence"],
        clears=row["clears"],
        reason=row["reason"],
        unopened=tuple(row["unopened"]),
    )
    return RunRecord(
        world=row["run_world"],
        run=run,
        request_hash=row["request_hash"],
        cause=Cause(row["actor"], row["cause"]),
        base=row["base"],
        epoch=row["run_epoch"],
        revision=row["revision"],
        create_time=row["create_time"],
        phase_time=row["phase_time"],
        end_time=row["end_time"],
        trace=row["trace"],
    )
