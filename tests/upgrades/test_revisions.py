"""A revision only adds to what the release before it uses (expand); it takes away what no release uses (contract)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from qmtl_sdk.local.service import SERVICES
from tests.support.stack import ROOT, Servers, migrate, run_migrator
from tests.upgrades.revisions import CHANGELOG, copied, judged, releases, written

PACKAGES = tuple(service.package for service in SERVICES)
# Each breaks code that was written for the revision before, and what is said of it.
CONTRACTIONS = {
    "ALTER TABLE participant DROP COLUMN register_time": "column participant.register_time is gone",
    "ALTER TABLE participant RENAME COLUMN expire_time TO ends": "column participant.expire_time is gone",
    "ALTER TABLE relayed RENAME TO told": "table relayed is gone",
    "DROP TABLE timeline": "table timeline is another one",
    "CREATE TABLE timeline (timeline_id text NOT NULL)": "table timeline is another one",
    "ALTER TABLE place ALTER COLUMN epoch TYPE numeric": "column place.epoch is numeric, was bigint",
    "ALTER TABLE place ALTER COLUMN run_id SET NOT NULL": "column place.run_id must be stated now",
    "ALTER TABLE place ALTER COLUMN mark DROP DEFAULT": "column place.mark must be stated now",
    "ALTER TABLE place ADD COLUMN made timestamptz NOT NULL": "column place.made is new and must be stated",
    "ALTER TABLE place ADD CHECK (seen_mark < 100)": "rows are refused that were not: place: CHECK ((seen_mark < 100))",
    "CREATE UNIQUE INDEX ON place (due_time)": "rows are refused that were not: place: UNIQUE USING btree (due_time)",
    "DROP TRIGGER audit_kept ON audit": "trigger is gone: audit: audit_kept",
    "DROP FUNCTION keep_audit": "function is gone: world.keep_audit() trigger",
    "ALTER TABLE policy DROP CONSTRAINT policy_pkey": "what ON CONFLICT may name is gone: policy: UNIQUE USING btree "
    "(world, version)",
}
EXPANSIONS = (
    "ALTER TABLE place ADD COLUMN note text",
    "ALTER TABLE place ADD COLUMN counted bigint NOT NULL DEFAULT 0",
    "ALTER TABLE place ALTER COLUMN event_hash DROP NOT NULL",
    "CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, world text NOT NULL UNIQUE)",
    "CREATE INDEX place_by_switch ON place (switch_time)",
    "UPDATE place SET counted = 1",
)


@pytest.fixture
def dsn(servers: Servers) -> Iterator[str]:
    made = servers.create_database()
    yield made
    servers.drop_database(made)


@pytest.mark.parametrize("package", PACKAGES)
async def test_revisions_take_nothing_away_that_the_release_before_uses(package: str, dsn: str) -> None:
    released = releases(CHANGELOG.read_text(encoding="utf-8"))
    assert await judged(package, ROOT / package / "migrations", dsn, released) == []


async def test_each_thing_that_breaks_the_code_before_it_is_named(dsn: str, tmp_path: Path) -> None:
    folder = copied("qmtl_world", tmp_path)
    written(folder, 2, tuple(CONTRACTIONS))
    found = await judged("qmtl_world", folder, dsn, [])
    assert set(CONTRACTIONS.values()) <= {each.removeprefix("0002_made.py: ") for each in found}


async def test_a_revision_that_only_adds_is_let_pass(dsn: str, tmp_path: Path) -> None:
    folder = copied("qmtl_world", tmp_path)
    written(folder, 2, EXPANSIONS)
    assert await judged("qmtl_world", folder, dsn, []) == []


@pytest.mark.parametrize(
    ("unused_since", "changelog", "passes"),
    [
        ("0.2.0", "## [Unreleased]\n## [0.1.0] 2027-01-01\n", False),  # 0.1.0 still runs, and uses it
        ("0.2.0", "## [Unreleased]\n## [0.2.0] 2027-02-01\n## [0.1.0] 2027-01-01\n", True),
        ("0.1.0", "## [Unreleased]\n", False),  # nothing was released
    ],
)
async def test_what_no_release_uses_any_more_may_be_taken_away(
    unused_since: str, changelog: str, passes: bool, dsn: str, tmp_path: Path
) -> None:
    folder = copied("qmtl_world", tmp_path)
    written(folder, 2, ["ALTER TABLE participant DROP COLUMN register_time"], unused_since)
    found = await judged("qmtl_world", folder, dsn, releases(changelog))
    assert (found == []) is passes


def test_the_migrator_of_an_older_release_refuses_a_newer_schema_and_changes_nothing(dsn: str, tmp_path: Path) -> None:
    written(copied("qmtl_world", tmp_path), 2, EXPANSIONS)
    migrate(dsn, "qmtl_world", root=tmp_path)
    refused = run_migrator(dsn, "qmtl_world")
    assert refused.returncode == 1
    assert "schema world is at revision 0002, this version of qmtl knows up to 0001" in refused.stderr
    assert asyncio.run(_columns_of(dsn, "counted")) == ["place"]


async def _columns_of(dsn: str, name: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'world' AND column_name = $1"
        return [row["table_name"] for row in await connection.fetch(query, name)]
    finally:
        await connection.close()
