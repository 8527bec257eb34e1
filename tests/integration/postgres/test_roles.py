"""Each service's role in PostgreSQL: its own schema, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from qmtl_foundation.postgres.migrate import role_of
from qmtl_sdk.local.postgres import dsn_of
from qmtl_sdk.local.service import SERVICES

WITHHELD = ("alembic_version", "audit", "audit_head")
SCHEMAS = [each.package.removeprefix("qmtl_") for each in SERVICES]


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(dsn: str, schema: str) -> list[str]:
    async with connected(dsn) as owner:
        rows = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1", schema)
    return [row["tablename"] for row in rows]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_a_service_reads_and_changes_its_own_tables_and_sees_no_others(migrated_dsn: str, schema: str) -> None:
    async with connected(dsn_of(migrated_dsn, role_of(schema))) as service:
        for table in await tables(migrated_dsn, schema):
            await service.fetch(f"SELECT * FROM {schema}.{table} LIMIT 1")  # noqa: S608  # names of our own
            if table not in WITHHELD:
                await service.execute(f"DELETE FROM {schema}.{table} WHERE false")  # noqa: S608  # the same
        for other in SCHEMAS:
            if other == schema:
                continue
            for table in await tables(migrated_dsn, other):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await service.fetch(f"SELECT * FROM {other}.{table} LIMIT 1")  # noqa: S608  # the same


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE world.audit SET actor = 'nobody'",
        "DELETE FROM world.audit",
        "INSERT INTO world.audit_head (world) VALUES ('desk')",
        "UPDATE world.audit_head SET number = 0",
        "DELETE FROM world.audit_head",
        "ALTER TABLE world.audit DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_kept ON world.audit",
        "DROP FUNCTION world.keep_audit CASCADE",
        "SET session_replication_role = replica",
    ],
)
async def test_the_world_service_adds_to_the_audit_and_does_nothing_else_to_it(
    migrated_dsn: str, statement: str
) -> None:
    async with connected(dsn_of(migrated_dsn, role_of("world"))) as service:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {schema}.mine (one int)",
        "CREATE TABLE public.mine (one int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "ALTER ROLE {role} SUPERUSER",
        "DROP SCHEMA {schema} CASCADE",
        "UPDATE {schema}.alembic_version SET version_num = '9999'",
        "TRUNCATE {schema}.alembic_version",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
async def test_a_service_changes_neither_schemas_nor_roles_and_leaves_the_server_alone(
    migrated_dsn: str, schema: str, statement: str
) -> None:
    async with connected(dsn_of(migrated_dsn, role_of(schema))) as service:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement.format(schema=schema, role=role_of(schema)))
