"""The SQL of participants: leases of gateways and executors, enrolments, acknowledgements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.codec import decode_holdings, decode_waits, encode_holdings, encode_waits
from qmtl_world.apply.place import Gateway, GatewayAcknowledged, MarkKind
from qmtl_world.apply.records import Enrolment, GatewayLease, Holding, MarkPassed

LEASE: Final = timedelta(seconds=5)

# Time is the database's here: whose lease lasts is the same to every replica.
_LIVE_GATEWAYS = """
SELECT name, incarnation, expire_time, waits_for -> $1 AS waits_for FROM participant
WHERE kind = 'gateway' AND expire_time > clock_timestamp()
"""
_RENEW = """
INSERT INTO participant (kind, name, incarnation, register_time, expire_time, waits_for)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4, $5)
ON CONFLICT (kind, name, incarnation) DO UPDATE SET
    expire_time = excluded.expire_time, waits_for = excluded.waits_for
"""
_NEWEST = """
SELECT incarnation FROM participant WHERE kind = $1 AND name = $2 ORDER BY register_time DESC, incarnation LIMIT 1
"""
_ENROL = """
INSERT INTO enrolment (world, executor, mode, mark, create_time) VALUES ($1, $2, $3, $4, $5)
RETURNING *
"""
_DEREGISTER = "DELETE FROM enrolment WHERE world = $1 AND executor = $2"
_ENROLMENTS = "SELECT * FROM enrolment WHERE world = $1 ORDER BY executor"
_NOTE_HELD = """
UPDATE enrolment SET position = $3, generation = $4, positions = $5
WHERE world = $1 AND executor = $2 AND (position, generation, positions) IS DISTINCT FROM ($3, $4, $5::jsonb)
"""
_NOTE_SEEN = """
UPDATE place SET seen_epoch = greatest(seen_epoch, $2), seen_sequence = greatest(seen_sequence, $3),
                 seen_mark = greatest(seen_mark, $4)
WHERE world = $1
"""
_SEEN = "SELECT seen_epoch, seen_sequence, seen_mark FROM place WHERE world = $1"
_TOUCH_ENROLMENTS = "UPDATE enrolment SET incarnation = $2, renew_time = clock_timestamp() WHERE executor = $1"
_PLACES_OF_EXECUTOR = """
SELECT p.world, p.epoch, p.is_open, p.sequence AS told_sequence, p.mark AS told_mark, p.reseed_mark,
       coalesce(t.number, 0) AS sequence, e.mark AS enrolment, coalesce(o.position, 0) AS position,
       coalesce(g.position, 0) AS purged, coalesce(g.generation, '') AS purge_generation
FROM enrolment e JOIN place p ON p.world = e.world
LEFT JOIN relayed t ON t.world = e.world AND t.kind = 'event'
LEFT JOIN outbox o ON o.world = e.world AND o.kind = 'mark' AND o.number = e.mark
LEFT JOIN purged g ON g.generation = e.generation
WHERE e.executor = $1
"""
_PLACES = """
SELECT p.world, p.epoch, p.is_open, p.sequence AS told_sequence, p.mark AS told_mark, p.reseed_mark,
       coalesce(t.number, 0) AS sequence, 0 AS enrolment, 0 AS position, 0 AS purged, '' AS purge_generation
FROM place p
LEFT JOIN relayed t ON t.world = p.world AND t.kind = 'event'
WHERE p.world = ANY($1::text[])
"""
_ACKNOWLEDGED = """
INSERT INTO acknowledgement (world, kind, participant, incarnation, epoch, run_id, phase, sequence, mark, create_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


class Kind(StrEnum):
    """Name the participants that hold a lease of the world service."""

    GATEWAY = "gateway"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True)
class WorldPlace:
    """Hold where a world stands; ``sequence`` is the newest relayed, ``told_…`` the newest written.

    ``enrolment``, ``enrolment_position`` and ``purged`` are 0 to a gateway, ``purge_generation`` is empty.
    """

    world: str
    epoch: int
    sequence: int
    is_open: bool
    told_sequence: int
    told_mark: int
    reseed_mark: int
    enrolment: int
    enrolment_position: int
    purged: int
    purge_generation: str


@dataclass(frozen=True, slots=True)
class Held:
    """Hold how far a participant says that it is in a world; ``position``, ``generation``, ``holdings`` and
    ``restored_mark`` (newest mark when it found its journal behind what it had written) are an executor's only,
    ``waits_for`` (strategies whose runners have not acknowledged a FREEZE) a gateway's."""

    world: str
    epoch: int
    sequence: int = 0
    mark: int = 0
    unsure: bool = False
    position: int = 0
    holdings: tuple[Holding, ...] = ()
    generation: str = ""
    waits_for: tuple[str, ...] = ()
    restored_mark: int | None = None

    def is_ahead_of(self, place: WorldPlace) -> bool:
        """Tell whether it has seen what this database never wrote: a backup was restored."""
        return self.is_above(place.epoch, place.told_sequence, place.told_mark)

    def is_restored(self, reseed_mark: int) -> bool:
        """Tell whether its journal was restored, and the world was not reseeded since."""
        return self.restored_mark is not None and self.restored_mark >= reseed_mark

    def is_above(self, epoch: int, sequence: int, mark: int) -> bool:
        """Tell whether it is further than what was written."""
        return self.epoch > epoch or self.sequence > sequence or self.mark > mark


async def live_gateways(connection: Connection, world: str = "") -> dict[Gateway, GatewayLease]:
    """Return the starts of gateways whose lease lasts, each with its end and whom it waits for in a world."""
    rows = await connection.fetch(_LIVE_GATEWAYS, world)
    return {
        Gateway(row["name"], row["incarnation"]): GatewayLease(row["expire_time"], decode_waits(row["waits_for"]))
        for row in rows
    }


async def renew(connection: Connection, kind: Kind, name: str, incarnation: str, held: Sequence[Held]) -> None:
    """Register or renew a start of a participant.

    Raises FOREIGN_INCARNATION for an executor of which a newer start has registered; gateways may be many of one name.
    """
    waits_for = encode_waits({each.world: each.waits_for for each in held if each.waits_for})
    await connection.execute(_RENEW, kind.value, name, incarnation, LEASE, waits_for)
    if kind is Kind.EXECUTOR:
        await check_incarnation(connection, name, incarnation)


async def check_incarnation(connection: Connection, executor: str, incarnation: str) -> None:
    """Raise FOREIGN_INCARNATION unless this is the newest start of an executor."""
    newest = await connection.fetchval(_NEWEST, Kind.EXECUTOR.value, executor)
    if newest != incarnation:
        other = f"is not registered; renew the lease of {incarnation!r} first"
        if newest is not None:
            other = f"has a newer start than {incarnation!r}; this one must stop"
        message = f"executor {executor!r} {other}"
        metadata = {"participant": executor, "incarnation": incarnation}
        raise QmtlError(Reason.FOREIGN_INCARNATION, message, metadata=metadata)


async def enrol(
    connection: Connection, world: str, executor: str, mode: EffectiveMode, mark: int, now: datetime
) -> Enrolment:
    """Add an executor to a world."""
    return _to_enrolment(await connection.fetchrow(_ENROL, world, executor, mode.value, mark, now))


async def deregister(connection: Connection, world: str, executor: str) -> None:
    """Remove an executor from a world."""
    await connection.execute(_DEREGISTER, world, executor)


async def list_enrolments(connection: Connection, world: str) -> list[Enrolment]:
    """Return a world's executors, by name."""
    return [_to_enrolment(row) for row in await connection.fetch(_ENROLMENTS, world)]


async def note_executor(connection: Connection, executor: str, incarnation: str) -> None:
    """Note in all its enrolments that a start of an executor was heard of."""
    await connection.execute(_TOUCH_ENROLMENTS, executor, incarnation)


async def note_held(connection: Connection, executor: str, held: Iterable[Held]) -> None:
    """Note how far an executor has come in its worlds, and what it holds there."""
    rows = [(each.world, executor, each.position, each.generation, encode_holdings(each.holdings)) for each in held]
    await connection.executemany(_NOTE_HELD, rows)


async def note_seen(connection: Connection, held: Held) -> None:
    """Note what a participant has seen that this database never wrote: a reseed begins above it."""
    await connection.execute(_NOTE_SEEN, held.world, held.epoch, held.sequence, held.mark)


async def read_seen(connection: Connection, world: str) -> tuple[int, int, int]:
    """Return the highest epoch, sequence and mark that were noted of a world that has a place."""
    row = await connection.fetchrow(_SEEN, world)
    return row["seen_epoch"], row["seen_sequence"], row["seen_mark"]


async def places_of_executor(connection: Connection, executor: str) -> list[WorldPlace]:
    """Return where the worlds stand that an executor is enrolled in."""
    return [_to_place(row) for row in await connection.fetch(_PLACES_OF_EXECUTOR, executor)]


async def places(connection: Connection, worlds: Iterable[str]) -> list[WorldPlace]:
    """Return where worlds stand; one of which nothing is known is left out."""
    return [_to_place(row) for row in await connection.fetch(_PLACES, list(worlds))]


async def add_acknowledgement(
    connection: Connection, world: str, acknowledged: GatewayAcknowledged | MarkPassed, now: datetime
) -> None:
    """Store an acknowledgement that counts."""
    if isinstance(acknowledged, MarkPassed):
        phase = "freeze" if acknowledged.kind is MarkKind.FENCE else "unfreeze"
        who = (Kind.EXECUTOR.value, acknowledged.executor, acknowledged.incarnation)
        where = (phase, 0, acknowledged.mark)
    else:
        who = (Kind.GATEWAY.value, acknowledged.gateway.name, acknowledged.gateway.incarnation)
        where = (acknowledged.phase.value, acknowledged.sequence, 0)
    await connection.execute(_ACKNOWLEDGED, world, *who, acknowledged.epoch, acknowledged.run_id, *where, now)


def _to_enrolment(row: Mapping[str, Any]) -> Enrolment:
    return Enrolment(
        world=row["world"],
        executor=row["executor"],
        mode=EffectiveMode(row["mode"]),
        mark=row["mark"],
        create_time=row["create_time"],
        incarnation=row["incarnation"],
        renew_time=row["renew_time"],
        position=row["position"],
        holdings=decode_holdings(row["positions"]),
    )


def _to_place(row: Mapping[str, Any]) -> WorldPlace:
    return WorldPlace(
        world=row["world"],
        epoch=row["epoch"],
        sequence=row["sequence"],
        is_open=row["is_open"],
        told_sequence=row["told_sequence"],
        told_mark=row["told_mark"],
        reseed_mark=row["reseed_mark"],
        enrolment=row["enrolment"],
        enrolment_position=row["position"],
        purged=row["purged"],
        purge_generation=row["purge_generation"],
    )
