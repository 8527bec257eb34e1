"""What a schema offers to the code that uses it, read from PostgreSQL's own catalog, and what a revision took from it.

The catalog is asked and not the text of the statements: whatever a revision says, this is what it did. A table is known
by its oid and a column by its number, so that one dropped and made again is not taken for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

_TABLES: Final = """
SELECT relname AS name, oid::text AS value FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'
"""
_COLUMNS: Final = """
SELECT c.relname || '.' || a.attname AS name, c.relname AS "table", a.attnum AS number,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       (a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '') AS filled
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
# What refuses rows, by table and text; unique ones are also what ON CONFLICT names.
_RULES: Final = """
SELECT c.relname || ': ' || pg_get_constraintdef(n.oid) AS name, c.relname AS value
FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
WHERE n.connamespace = $1::regnamespace AND n.contype IN ('c', 'f', 'x')
"""
_UNIQUE: Final = """
SELECT c.relname || ': UNIQUE ' || substring(pg_get_indexdef(i.indexrelid) FROM 'USING .*$') AS name, c.relname AS value
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND i.indisunique
"""
_FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text || ' ' || pg_get_function_result(p.oid) AS name, '' AS value
FROM pg_proc p WHERE p.pronamespace = $1::regnamespace
"""
_TRIGGERS: Final = """
SELECT c.relname || ': ' || t.tgname AS name, c.relname AS value FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = $1::regnamespace AND NOT t.tgisinternal
"""


@dataclass(frozen=True, slots=True)
class Column:
    """Hold one column; ``filled``: a row that does not state it gets a value all the same."""

    table: str
    number: int
    type: str
    required: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """Hold what stands in a schema: tables with their oids, columns, and by name what else code may rest on."""

    tables: Mapping[str, str]
    columns: Mapping[str, Column]
    rules: Mapping[str, str]
    unique: Mapping[str, str]
    functions: Mapping[str, str]
    triggers: Mapping[str, str]


async def read_catalog(dsn: str, schema: str) -> Catalog:
    """Return what stands in a schema now."""
    connection = await asyncpg.connect(dsn)

    async def named(query: str) -> dict[str, Any]:
        return {row["name"]: row["value"] for row in await connection.fetch(query, schema)}

    try:
        rows = await connection.fetch(_COLUMNS, schema)
        columns = {
            row["name"]: Column(row["table"], row["number"], row["type"], row["required"], row["filled"])
            for row in rows
        }
        return Catalog(
            tables=await named(_TABLES),
            columns=columns,
            rules=await named(_RULES),
            unique=await named(_UNIQUE),
            functions=await named(_FUNCTIONS),
            triggers=await named(_TRIGGERS),
        )
    finally:
        await connection.close()


def contractions(before: Catalog, after: Catalog) -> list[str]:
    """Return what code that was written for a schema of before may stumble over now, as sentences."""
    return [*_tables(before, after), *_columns(before, after), *_refusals(before, after), *_gone(before, after)]


def _tables(before: Catalog, after: Catalog) -> Iterator[str]:
    for name, oid in before.tables.items():
        if after.tables.get(name) != oid:
            yield f"table {name} is {'another one' if name in after.tables else 'gone'}"


def _columns(before: Catalog, after: Catalog) -> Iterator[str]:
    kept = {name for name, oid in before.tables.items() if after.tables.get(name) == oid}
    for name, old in before.columns.items():
        new = after.columns.get(name)
        if old.table not in kept:
            continue
        if new is None or new.number != old.number:
            yield f"column {name} is {'gone' if new is None else 'another one'}"
        elif new.type != old.type:
            yield f"column {name} is {new.type}, was {old.type}"
        elif new.required and not (old.required and (new.filled or not old.filled)):
            yield f"column {name} must be stated now"
    for name, new in after.columns.items():
        if name not in before.columns and new.table in kept and new.required and not new.filled:
            yield f"column {name} is new and must be stated"


def _refusals(before: Catalog, after: Catalog) -> Iterator[str]:
    for kind in ("rules", "unique"):
        old: Mapping[str, str] = getattr(before, kind)
        new: Mapping[str, str] = getattr(after, kind)
        for name, table in new.items():
            if name not in old and table in before.tables:
                yield f"rows are refused that were not: {name}"


def _gone(before: Catalog, after: Catalog) -> Iterator[str]:
    kinds = {"unique": "what ON CONFLICT may name", "functions": "function", "triggers": "trigger"}
    for kind, word in kinds.items():
        for name in getattr(before, kind):
            if name not in getattr(after, kind):
                yield f"{word} is gone: {name}"
