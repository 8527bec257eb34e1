"""The database of a cluster, past all links: questions of the suite, and faults that the database itself makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import asyncpg

CONNECT_SECONDS: Final = 10.0

_REFUSE: Final = (
    """
    CREATE FUNCTION world.refuse_switch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no switch today'; END $$
    """,
    """
    CREATE TRIGGER refuse_switch BEFORE UPDATE ON world.place FOR EACH ROW
    WHEN (OLD.activations IS DISTINCT FROM NEW.activations) EXECUTE FUNCTION world.refuse_switch()
    """,
)
_ALLOW: Final = ("DROP TRIGGER refuse_switch ON world.place", "DROP FUNCTION world.refuse_switch()")
# At rest: open or held as the world says, by the executor's own word, and everything told.
_UNSETTLED: Final = """
SELECT p.world FROM world.place p LEFT JOIN executor.place x ON x.world = p.world
WHERE p.world = ANY($1::text[]) AND (
    x.world IS NULL OR x.is_open <> p.is_open OR x.fence <> p.epoch OR x.unsure OR p.run_id IN (
        SELECT run_id FROM world.apply_run r WHERE r.world = p.world AND r.end_time IS NULL)
    OR EXISTS (SELECT FROM world.outbox o WHERE o.world = p.world AND o.publish_time IS NULL))
"""
_UNANSWERED: Final = """
SELECT (SELECT count(*) FROM executor.report WHERE publish_time IS NULL)
     + (SELECT count(*) FROM executor.journal WHERE state IN ('sending', 'working'))
"""


class Database:
    """Ask over a new connection each time: the server is killed on purpose."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""

        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self._dsn, timeout=CONNECT_SECONDS)
            try:
                rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
                return rows
            finally:
                await connection.close()

        return asyncio.run(ask())

    def unsettled(self, worlds: list[str]) -> list[str]:
        """Return the worlds in which a run is under way, or the executor is not as open as the world."""
        return [row["world"] for row in self.fetch(_UNSETTLED, worlds)]

    def behind(self, places: Mapping[str, int]) -> list[str]:
        """Return the worlds whose executor is not yet at a place of the order stream."""
        stand = {row["world"]: row["position"] for row in self.fetch("SELECT world, position FROM executor.place")}
        return [world for world, place in places.items() if stand.get(world, 0) < place]

    def unanswered(self) -> int:
        """Return how many orders have not ended, and reports are not published."""
        return int(self.fetch(_UNANSWERED)[0][0])

    def first_marks(self, behind: int) -> dict[str, int]:
        """Return the place of each world's first mark behind a place of the order stream."""
        query = (
            "SELECT world, min(position) AS place FROM world.outbox WHERE kind = 'mark' AND position > $1 GROUP BY 1"
        )
        return {row["world"]: row["place"] for row in self.fetch(query, behind)}

    def executed_behind(self, place: int) -> set[str]:
        """Return the worlds of which an intent was executed that stands behind a place of the order stream."""
        return {
            row["world"] for row in self.fetch("SELECT DISTINCT world FROM executor.journal WHERE position > $1", place)
        }

    def executed_between(self, world: str, first: int, last: int) -> int:
        """Return how many intents were executed that stand behind one place of the order stream and before another."""
        query = "SELECT count(*) FROM executor.journal WHERE world = $1 AND position > $2 AND position < $3"
        return int(self.fetch(query, world, first, last)[0][0])

    def refuse_switches(self) -> None:
        """Let every change of what trades fail."""
        for statement in _REFUSE:
            self.fetch(statement)

    def allow_switches(self) -> None:
        """Let what trades change again."""
        for statement in _ALLOW:
            self.fetch(statement)
