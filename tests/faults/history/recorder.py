"""Lets the database itself record what its tables overwrite: schema ``history`` beside those of the services.

Triggers write one row for each change of what the checker asks about, in the transaction of the change, with the
database's clock. So the record does not rest on the code that is under test. What stood before is recorded once, as
operation ``standing``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg

RECORDED: Final = (
    "world.place",
    "world.apply_run",
    "world.participant",
    "world.enrolment",
    "world.acknowledgement",
    "executor.instance",
    "executor.place",
    "executor.journal",
    "executor.fill",
    "executor.paper_order",
)
# Moved with each intent: only what else changes of an executor's place is recorded.
_UNRECORDED: Final = "'position', 'cash', 'equity', 'as_of'"

_LOCK: Final = 7309940239  # of the advisory lock under which the schema is made
_SCHEMA: Final = (
    "CREATE SCHEMA IF NOT EXISTS history",
    """
    CREATE TABLE IF NOT EXISTS history.change (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        tx bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
        relation text NOT NULL,
        operation text NOT NULL,
        before jsonb,
        after jsonb
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS history.outage (
        began timestamptz NOT NULL,
        ended timestamptz NOT NULL,
        what text NOT NULL
    )
    """,
    """
    CREATE OR REPLACE FUNCTION history.note() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
    BEGIN
        INSERT INTO history.change (relation, operation, before, after) VALUES (
            TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME,
            lower(TG_OP),
            CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
            CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END
        );
        RETURN NULL;
    END $$
    """,
)
_INSTALLED: Final = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1::regclass AND tgname LIKE 'history_%')"
_NOTE_OUTAGE: Final = "INSERT INTO history.outage (began, ended, what) VALUES ($1, $2, $3)"


async def install(dsn: str) -> None:
    """Record from now on; once more changes nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        for statement in _SCHEMA:
            await connection.execute(statement)
        for relation in RECORDED:
            if not await connection.fetchval(_INSTALLED, relation):
                async with connection.transaction():  # one lock at a time: services that write take several
                    await _record(connection, relation)
    finally:
        await connection.close()


async def note_outage(dsn: str, began: datetime, ended: datetime, what: str) -> None:
    """Note that something which runs need was away, so that they are not blamed for it."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_NOTE_OUTAGE, began, ended, what)
    finally:
        await connection.close()


async def _record(connection: asyncpg.Connection, relation: str) -> None:
    """Record what stands in a table, and from then on what changes in it; writers wait meanwhile."""
    await connection.execute(f"LOCK TABLE {relation} IN SHARE ROW EXCLUSIVE MODE")
    standing = "INSERT INTO history.change (relation, operation, after) SELECT $1, 'standing', to_jsonb(t)"
    await connection.execute(f"{standing} FROM {relation} t", relation)
    condition = ""
    if relation == "executor.place":
        condition = f"WHEN (to_jsonb(OLD) - ARRAY[{_UNRECORDED}] <> to_jsonb(NEW) - ARRAY[{_UNRECORDED}])"
    for name, events, when in (("rows", "INSERT OR DELETE", ""), ("updates", "UPDATE", condition)):
        await connection.execute(
            f"CREATE TRIGGER history_{name} AFTER {events} ON {relation} FOR EACH ROW {when} "
            "EXECUTE FUNCTION history.note()"
        )
