"""The database of a local stack in a file, and a new one made of it: ``pg_dump`` and ``pg_restore`` of the wheel.

What is counted is of the very snapshot that is dumped, so that a restored database can be compared row by row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.terminal import counted
from qmtl_sdk.local.postgres import Cluster, run_program
from qmtl_sdk.local.whole_file import new_file

CONNECT_SECONDS: Final = 10.0
_TABLES: Final = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2
"""
# Whatever order the rows are in, a sum of their hashes is the same; text says every type in full.
_COUNT: Final = (
    'SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)), 0)::text AS hash FROM "{schema}"."{name}" t'
)


@dataclass(frozen=True, slots=True)
class Counted:
    """Hold how many rows a table has, and the sum of their hashes."""

    rows: int
    hash: str

    def __str__(self) -> str:
        return counted(self.rows, "row")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold a state of the database, by the name under which it is kept for who reads it meanwhile."""

    name: str
    connection: Any

    async def count(self) -> Mapping[str, Counted]:
        """Return what each table has, by ``schema.table``. Raises QmtlError(DEPENDENCY_UNAVAILABLE)."""
        found = {}
        with _answering():
            for table in await self.connection.fetch(_TABLES):
                row = await self.connection.fetchrow(_COUNT.format(schema=table["schema"], name=table["name"]))
                found[f"{table['schema']}.{table['name']}"] = Counted(row["rows"], row["hash"])
        return found


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[Snapshot]:
    """Yield a state of the database, kept until the end; nobody waits for it.

    Raises QmtlError(DEPENDENCY_UNAVAILABLE).
    """
    import asyncpg

    with _answering():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings={"timezone": "UTC"})
    try:
        with _answering():
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            name = await connection.fetchval("SELECT pg_export_snapshot()")
        yield Snapshot(name, connection)
    finally:
        connection.terminate()  # which ends the transaction; there is nothing to commit


def save(cluster: Cluster, name: str, file: Path) -> None:
    """Write the database as it is in a snapshot. Raises QmtlError: DEPENDENCY_UNAVAILABLE, and as ``new_file``."""
    with new_file(file) as content:
        run_program(cluster, ("pg_dump", "--format=custom", f"--snapshot={name}", cluster.dsn), into=content)


def load(cluster: Cluster, file: Path) -> None:
    """Fill a new, empty database, whole or not at all. Raises QmtlError(DEPENDENCY_UNAVAILABLE).

    The roles of the services and their rights are no part of a database: the migrator makes them.
    """
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={cluster.dsn}")
    with file.open("rb") as content:
        run_program(cluster, ("pg_restore", *options), given=content)


@contextmanager
def _answering() -> Iterator[None]:
    """Map what the driver raises, and nothing else."""
    import asyncpg

    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # a timeout is an OSError
        raise _failed(f"does not answer ({str(error) or type(error).__name__})") from error


def _failed(what: str) -> QmtlError:
    return QmtlError(Reason.DEPENDENCY_UNAVAILABLE, f"postgres: {what}", metadata={"dependency": "postgres"})
