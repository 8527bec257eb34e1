"""Takes a world whose streams and database disagree above everything that was ever seen of it, fenced and held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import CONTROL, EVENT_ID, ORDERS, event_subject, mark_subject
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.apply.coordinator import Coordinator
from qmtl_world.apply.participants import read_seen
from qmtl_world.apply.place import Place, Reseed
from qmtl_world.apply.store import EVENT, MARK, lock_place
from qmtl_world.audit.model import Cause
from qmtl_world.worlds import store as world_store

_DROP = "DELETE FROM outbox WHERE world = $1 AND publish_time IS NULL"
_ENROL_ANEW = """
UPDATE enrolment n SET mark = $2 WHERE world = $1 AND NOT EXISTS (
    SELECT FROM outbox o WHERE o.world = $1 AND o.kind = 'mark' AND o.number = n.mark
)
"""
_ADOPT = """
INSERT INTO relayed (world, kind, number, event_id, payload, position) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (world, kind) DO UPDATE SET number = excluded.number, event_id = excluded.event_id,
                                        payload = excluded.payload, position = excluded.position
"""


@dataclass(frozen=True, slots=True)
class _Last:
    """Hold a subject's last message; ``number`` is its sequence or mark number, 0 where there is none of ours."""

    number: int = 0
    epoch: int = 0
    event_id: str = ""
    payload: bytes = b""
    position: int = 0


@dataclass(frozen=True, slots=True)
class Ends:
    """Hold the last messages of a world's two subjects."""

    event: _Last
    mark: _Last


class Reseeding:
    """Read what the streams hold, and begin above it."""

    def __init__(self, bus: Bus, coordinator: Coordinator) -> None:
        self._bus = bus
        self._coordinator = coordinator

    async def look(self, world: str) -> Ends:
        """Return how a world's subjects end."""
        event = _event(await self._bus.newest(CONTROL, event_subject(world)))
        return Ends(event, _mark(await self._bus.newest(ORDERS, mark_subject(world))))

    async def reseed(self, connection: Connection, world: str, ends: Ends, cause: Cause) -> Place:
        """Reseed a world within a transaction; raise HOLD_NOT_FOUND for one whose streams agree with its database.

        What the database has told and nobody has heard is dropped: the streams went on without it.
        """
        await world_store.read_world(connection, world)
        await lock_place(connection, world)
        event, mark = ends.event, ends.mark
        epoch, sequence, number = await read_seen(connection, world)
        above = Reseed(max(event.epoch, mark.epoch, epoch), max(event.number, sequence), max(mark.number, number))
        await connection.execute(_DROP, world)
        standing = await self._coordinator.step(connection, world, above, cause)
        await connection.execute(_ENROL_ANEW, world, standing.place.mark)  # whose Fence was dropped
        await _adopt(connection, world, EVENT, event, standing.place.sequence - 1)
        await _adopt(connection, world, MARK, mark, standing.place.mark - 1)
        return standing.place


async def _adopt(connection: Connection, world: str, kind: str, last: _Last, number: int) -> None:
    """Let the relay go on behind a subject's last message, whatever it is, as if it were the predecessor."""
    await connection.execute(_ADOPT, world, kind, number, last.event_id, last.payload, last.position)


def _event(message: Any | None) -> _Last:
    if message is None:
        return _Last()
    try:
        event = activation_event_pb2.ActivationEvent.FromString(message.data)
    except DecodeError:
        return _Last(position=int(message.seq))
    event_id = (message.headers or {}).get(EVENT_ID, "")
    return _Last(event.sequence, event.epoch, event_id, message.data, int(message.seq))


def _mark(message: Any | None) -> _Last:
    if message is None:
        return _Last()
    try:
        mark = mark_pb2.Mark.FromString(message.data)
    except DecodeError:
        return _Last(position=int(message.seq))
    event_id = (message.headers or {}).get(EVENT_ID, "")
    return _Last(mark.number, mark.epoch, event_id, message.data, int(message.seq))
