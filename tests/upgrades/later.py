"""The schemas as a later release might have them: expanded beneath services that know nothing of it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from qmtl_sdk.local.service import SERVICES
from tests.support.stack import migrate
from tests.upgrades.catalog import read_catalog
from tests.upgrades.revisions import copied, revisions, written

UNKNOWN: Final = "later"


def migrate_later(dsn: str) -> None:
    """Bring all schemas to one revision more: each table gets columns that the code of today knows nothing of, and
    there is a table more."""
    packages = [each.package for each in SERVICES]
    with tempfile.TemporaryDirectory(prefix="qmtl-later-") as place:
        for package in packages:
            folder = copied(package, Path(place))
            tables = asyncio.run(read_catalog(dsn, package.removeprefix("qmtl_"))).tables
            written(
                folder, len(revisions(folder)) + 1, expansion([each for each in tables if each != "alembic_version"])
            )
        said = migrate(dsn, *packages, root=Path(place))
    assert said.count(" -> ") == len(packages), said


def expansion(tables: list[str]) -> list[str]:
    """Return what expands some tables in each way that a revision may."""
    added = [
        f"ALTER TABLE {table} ADD COLUMN {UNKNOWN}_note text, ADD COLUMN {UNKNOWN}_count bigint NOT NULL DEFAULT 0"
        for table in sorted(tables)
    ]
    return [*added, f"CREATE TABLE {UNKNOWN}_table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, said text)"]
