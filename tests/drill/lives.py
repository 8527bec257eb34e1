"""What is known of a life of the cluster, past all links, so that two lives can be compared: streams and tables."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import nats

from qmtl_foundation.jetstream.streams import CONTROL, ORDERS, REPORTS
from tests.faults.cluster.database import Database
from tests.faults.history.streams import Stored, read_stream, to_event

# One that was in doubt at the backup counts: a start settles it by its id, before anything else.
_EXECUTED: Final = "SELECT order_id, position FROM executor.journal WHERE position > 0"
_FENCED: Final = "SELECT intent_id FROM executor.turned_away"
# A world whose run was under way at the backup ends it by the hold: then it is the set of before that may trade.
_PLACES: Final = """
SELECT p.world, p.sequence FROM world.place p WHERE NOT EXISTS (
    SELECT FROM world.apply_run r WHERE r.world = p.world AND r.end_time IS NULL)
"""
_IDENTIFIER: Final = "SELECT system_identifier::text AS one FROM pg_control_system()"


@dataclass(frozen=True, slots=True)
class Life:
    """Hold a life at one moment: messages by stream, places of executed intents by id, ids of those turned away."""

    streams: Mapping[str, list[Stored]]
    places: Mapping[str, int]
    fenced: frozenset[str]
    cluster: str

    @property
    def executed(self) -> frozenset[str]:
        """Return the ids of all executed intents."""
        return frozenset(self.places)

    def digest(self, stream: str, last: int) -> str:
        """Return the hash of a stream's messages up to a sequence: places, subjects, contents."""
        hashed = hashlib.sha256()
        for each in self.streams[stream]:
            if each.position <= last:
                hashed.update(f"{each.position} {each.subject} {len(each.payload)} ".encode() + each.payload)
        return hashed.hexdigest()

    def state_hashes(self) -> dict[tuple[str, int], str]:
        """Return the hash of what may trade, as it was told, by world and sequence."""
        events = [to_event(each) for each in self.streams[CONTROL]]
        worlds = [each.subject.rpartition(".")[2] for each in self.streams[CONTROL]]
        return {(world, each.sequence): each.state_hash for world, each in zip(worlds, events, strict=True)}


def read_life(database: Database, nats_url: str) -> Life:
    """Return what stands now."""
    return Life(
        asyncio.run(_read_streams(nats_url)),
        {row["order_id"]: row["position"] for row in database.fetch(_EXECUTED)},
        frozenset(row["intent_id"] for row in database.fetch(_FENCED)),
        str(database.fetch(_IDENTIFIER)[0]["one"]),
    )


def settled(database: Database) -> dict[str, int]:
    """Return the sequence of each world in which no run is under way."""
    return {row["world"]: row["sequence"] for row in database.fetch(_PLACES)}


async def _read_streams(nats_url: str) -> dict[str, list[Stored]]:
    client = await nats.connect(nats_url)
    try:
        return {stream: await read_stream(client, stream, f"{stream}.>") for stream in (ORDERS, CONTROL, REPORTS)}
    finally:
        await client.close()
