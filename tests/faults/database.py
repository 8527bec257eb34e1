"""The database of a cluster, past all links: questions of the suite, and faults that the database itself makes."""

from __future__ import annotations

import asyncio
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

    def unanswered(self) -> int:
        """Return how many orders have not ended, and reports are not published."""
        return int(self.fetch(_UNANSWERED)[0][0])

    def newest_position(self) -> int:
        """Return the place of the newest intent that was executed."""
        return int(self.fetch("SELECT coalesce(max(position), 0) FROM executor.journal")[0][0])

    def refuse_switches(self) -> None:
        """Let every change of what trades fail."""
        for statement in _REFUSE:
            self.fetch(statement)

    def allow_switches(self) -> None:
        """Let what trades change again."""
        for statement in _ALLOW:
            self.fetch(statement)
