"""Bring each service's schema to the newest revision: ``python -m qmtl_foundation.postgres.migrate PACKAGE…``.

A package ``qmtl_world`` owns the schema ``world``; its ``migrations/`` folder holds numbered Alembic revisions
(``0001_schema.py`` with ``revision = "0001"``). They say SQL only and never read (Alembic's offline mode): Alembic
renders the statements and this module runs them one by one through asyncpg, each package in one transaction, with the
search path set to its schema. The table ``alembic_version`` lives in the schema too.

Each schema has a role (``qmtl_world``), made where it is missing: the service connects as that and sees nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres.pool import logging_in, translated_errors
from qmtl_foundation.settings import Secret

DSN_VARIABLE: Final = "QMTL_POSTGRES_DSN"
PACKAGE_PREFIX: Final = "qmtl_"
CONNECT_SECONDS: Final = 30.0  # a database that is just being started
RETRY_SECONDS: Final = 0.02
LOCK_SECONDS: Final = 5  # for a table that is in use: whoever asks for it meanwhile waits behind the migrator
# What a service may do with its own schema; of every other it sees nothing.
_GRANTS: Final = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "REVOKE INSERT, UPDATE, DELETE ON {schema}.alembic_version FROM {role}",
)
WITHHELD: Final = "withheld.sql"  # beside a package's revisions: what its service may not do to which tables
ADVISORY_LOCK: Final = 0x716D746C  # "qmtl": one migrator of a database at a time


@dataclass(frozen=True, slots=True)
class Migration:
    """Tell what was done to one schema; ``before`` is None when it was new."""

    schema: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class _Revisions:
    schema: str
    folder: Path
    newest: str


def role_of(schema: str) -> str:
    """Return the role of PostgreSQL as which a schema's service connects."""
    return f"{PACKAGE_PREFIX}{schema}"


def newest_revision(schema: str) -> str:
    """Return the revision of a service's schema that this program works with."""
    return _revisions(f"{PACKAGE_PREFIX}{schema}").newest


def upgrade(dsn: str, packages: Sequence[str]) -> tuple[Migration, ...]:
    """Bring the schemas of the packages to their newest revisions, in the order given.

    Waits for a database that is still starting, and for another migrator. A failing revision leaves its schema as it
    was. Raises QmtlError(NOT_CONFIGURED) for a package without migrations, a database newer than the package, and a DSN
    or login that is refused; QmtlError(DEPENDENCY_UNAVAILABLE) when the database does not answer.
    """
    return asyncio.run(_upgrade(Secret(dsn), [_revisions(package) for package in packages]))


def main(arguments: Sequence[str]) -> int:
    """Migrate the packages named by the arguments in the database of QMTL_POSTGRES_DSN; return the exit code."""
    dsn = os.environ.get(DSN_VARIABLE, "")
    if not dsn or not arguments:
        sys.stderr.write(f"usage: {DSN_VARIABLE}=postgresql://… python -m qmtl_foundation.postgres.migrate PACKAGE…\n")
        return 2
    try:
        done = upgrade(dsn, arguments)
    except QmtlError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    for migration in done:
        sys.stdout.write(f"{migration.schema}: {migration.before or 'new'} -> {migration.after}\n")
    return 0


async def _upgrade(dsn: Secret, wanted: Sequence[_Revisions]) -> tuple[Migration, ...]:
    connection = await _connect(dsn)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        return tuple([await _upgrade_schema(connection, revisions) for revisions in wanted])
    except asyncpg.PostgresError as error:
        in_use = isinstance(error, asyncpg.LockNotAvailableError)
        mend = f": a transaction has a table for more than {LOCK_SECONDS} s; try again after it" if in_use else ""
        raise QmtlError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"migration failed: {error}{mend}",
            metadata={"dependency": "postgres", "sqlstate": str(error.sqlstate)},
        ) from error
    finally:
        await connection.close()


async def _upgrade_schema(connection: Any, revisions: _Revisions) -> Migration:
    before = await current_revision(connection, revisions.schema)
    if before is not None and int(before) > int(revisions.newest):
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"schema {revisions.schema} is at revision {before}, this version of qmtl knows up to {revisions.newest}: "
            "run the newer version, or restore an older database",
            metadata={"schema": revisions.schema, "found": before, "known": revisions.newest},
        )
    role = role_of(revisions.schema)
    await _ensure_role(connection, role)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path TO {revisions.schema}")
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        if before != revisions.newest:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {revisions.schema}")
            for statement in _statements(revisions, before):
                await connection.execute(statement)
        for grant in _GRANTS:  # a database that was restored into another cluster has no grants
            await connection.execute(grant.format(schema=revisions.schema, role=role))
        withheld = revisions.folder / WITHHELD
        if withheld.exists():
            await connection.execute(withheld.read_text(encoding="utf-8").format(role=role))
    return Migration(revisions.schema, before, revisions.newest)


async def _ensure_role(connection: Any, role: str) -> None:
    """Make a role of the cluster, which has no password and so lets nobody in until one is given to it."""
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        return
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE ROLE {role} LOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # another database's migrator was first
    except asyncpg.InsufficientPrivilegeError as error:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"the role {role} does not exist, and the migrator may not make it: CREATE ROLE {role} LOGIN PASSWORD '…', "
            "or give the migrator CREATEROLE",
            metadata={"role": role, "setting": DSN_VARIABLE},
        ) from error


async def current_revision(connection: Any, schema: str) -> str | None:
    """Return the revision at which a schema is, None where there is no such schema."""
    table = f"{schema}.alembic_version"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    found = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608 - the name of our own package
    return None if found is None else str(found)


async def _connect(dsn: Secret) -> Any:
    """Connect, again and again while the server is not there yet."""
    deadline = time.monotonic() + CONNECT_SECONDS
    with translated_errors(), logging_in(dsn):
        while True:
            heed_cancellation()
            try:
                return await asyncpg.connect(dsn.value)
            except (OSError, asyncpg.CannotConnectNowError) as error:
                if time.monotonic() > deadline:
                    raise QmtlError(
                        Reason.DEPENDENCY_UNAVAILABLE,
                        f"PostgreSQL does not answer after {CONNECT_SECONDS:.0f} s ({error}): is {DSN_VARIABLE} right?",
                        metadata={"dependency": "postgres"},
                    ) from error
            await asyncio.sleep(RETRY_SECONDS)


def _revisions(package: str) -> _Revisions:
    """Find a package's revisions without importing it."""
    spec = find_spec(package) if package.startswith(PACKAGE_PREFIX) and package.isidentifier() else None
    folders = [Path(place) / "migrations" for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        numbers = sorted(file.name[:4] for file in folder.glob("[0-9][0-9][0-9][0-9]_*.py"))
        if numbers:
            return _Revisions(package.removeprefix(PACKAGE_PREFIX), folder, numbers[-1])
    raise QmtlError(
        Reason.NOT_CONFIGURED,
        f"package {package!r} has no migrations/NNNN_name.py: name a service's package, such as qmtl_world",
        metadata={"package": package},
    )


class _Statements(list[str]):
    """Take Alembic's output statement by statement: several in one string would share one implicit transaction."""

    def write(self, statement: str) -> None:
        self.append(statement)

    def flush(self) -> None:
        """Alembic flushes after each write; there is nothing to do."""


def _statements(revisions: _Revisions, before: str | None) -> list[str]:
    """Render the SQL from one revision to the newest. Alembic is imported here: most runs have nothing to do."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(revisions.folder), version_locations=[str(revisions.folder)])
    statements = _Statements()

    def steps(current: Any, _context: Any) -> Any:
        return script._upgrade_revs(revisions.newest, current)

    with EnvironmentContext(Config(), script, fn=steps, as_sql=True, starting_rev=before) as environment:
        environment.configure(
            dialect_name="postgresql",
            dialect_opts={"paramstyle": "named"},
            output_buffer=statements,  # type: ignore[arg-type]  # only write and flush of a TextIO are called
            version_table_schema=revisions.schema,
            transactional_ddl=False,  # the transaction is ours
        )
        environment.run_migrations()
    return [statement for statement in statements if _says_something(statement)]


def _says_something(statement: str) -> bool:
    """Tell statements from Alembic's remarks, which asyncpg cannot send alone."""
    return any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
