"""Migrations against a real PostgreSQL: once each, whole or not at all, one migrator at a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres.migrate import Migration, main, upgrade
from qmtl_sdk.local.postgres import dsn_of
from tests.support.stack import ROOT, Servers
from tests.upgrades.revisions import written

TABLES = """
CREATE TABLE kept (id bigint PRIMARY KEY, note text DEFAULT '100%' CHECK (note LIKE '%'));
INSERT INTO kept SELECT 1, document->>'a' FROM (SELECT '{"a":"b"}'::jsonb AS document) AS given;
"""


@pytest.fixture
def dsn(servers: Servers) -> Iterator[str]:
    created = servers.create_database()
    yield created
    servers.drop_database(created)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a package ``qmtl_sample`` on the path; importing it would fail."""
    folder = tmp_path / "qmtl_sample"
    (folder / "migrations").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a migrator must not import the service')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def read(dsn: str, query: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch(query)
        await connection.close()
        return [tuple(row.values()) for row in rows]

    return asyncio.run(fetch())


def test_every_service_has_a_schema_with_its_own_version_table(migrated_dsn: str) -> None:
    found = read(migrated_dsn, "SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version' ORDER BY 1")
    assert found == [("dagmgr",), ("executor",), ("gateway",), ("world",)]


def test_new_database_is_brought_to_the_newest_revision_and_then_left_alone(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, ["COMMENT ON SCHEMA sample IS 'a sample'"])
    written(package / "migrations", 2, [TABLES])
    assert upgrade(dsn, ["qmtl_sample"]) == (Migration("sample", None, "0002"),)
    assert upgrade(dsn, ["qmtl_sample"]) == (Migration("sample", "0002", "0002"),)
    assert read(dsn, "SELECT id, note FROM sample.kept") == [(1, "b")]
    written(package / "migrations", 3, ["INSERT INTO kept (id) VALUES (2)"])
    assert upgrade(dsn, ["qmtl_sample"]) == (Migration("sample", "0002", "0003"),)
    assert read(dsn, "SELECT id, note FROM sample.kept ORDER BY id") == [(1, "b"), (2, "100%")]
    assert read(dsn, "SELECT version_num FROM sample.alembic_version") == [("0003",)]


def test_failing_revision_leaves_the_schema_as_it_was(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    upgrade(dsn, ["qmtl_sample"])
    written(package / "migrations", 2, ["INSERT INTO kept (id) VALUES (2)"])
    written(package / "migrations", 3, ["INSERT INTO absent VALUES (1)"])
    with pytest.raises(QmtlError, match='"absent" does not exist') as failed:
        upgrade(dsn, ["qmtl_sample"])
    assert failed.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert read(dsn, "SELECT id FROM sample.kept") == [(1,)]
    assert read(dsn, "SELECT version_num FROM sample.alembic_version") == [("0001",)]


def test_a_table_that_is_in_use_is_not_waited_for_without_end(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    upgrade(dsn, ["qmtl_sample"])
    written(package / "migrations", 2, ["ALTER TABLE kept ADD COLUMN more text"])

    async def attempt() -> QmtlError:
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                await connection.execute("SELECT * FROM sample.kept")
                with pytest.raises(QmtlError, match="has a table for more than") as failed:
                    await asyncio.to_thread(upgrade, dsn, ["qmtl_sample"])
                return failed.value
        finally:
            await connection.close()

    assert asyncio.run(attempt()).reason is Reason.DEPENDENCY_UNAVAILABLE
    assert read(dsn, "SELECT version_num FROM sample.alembic_version") == [("0001",)]
    assert upgrade(dsn, ["qmtl_sample"]) == (Migration("sample", "0001", "0002"),)


def test_migrators_at_once_do_the_work_once(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    command = (sys.executable, "-m", "qmtl_foundation.postgres.migrate", "qmtl_sample")
    environment = {"QMTL_POSTGRES_DSN": dsn, "PYTHONPATH": f"{ROOT}:{package.parent}"}
    with ThreadPoolExecutor(3) as migrators:
        runs = migrators.map(lambda _: subprocess.check_output(command, env=environment, text=True), range(3))
    assert sorted(runs) == ["sample: 0001 -> 0001\n", "sample: 0001 -> 0001\n", "sample: new -> 0001\n"]


def test_database_newer_than_the_package_is_refused(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    written(package / "migrations", 2, ["SELECT 1"])
    upgrade(dsn, ["qmtl_sample"])
    (package / "migrations" / "0002_made.py").unlink()
    with pytest.raises(QmtlError, match="at revision 0002, this version of qmtl knows up to 0001") as refused:
        upgrade(dsn, ["qmtl_sample"])
    assert refused.value.reason is Reason.NOT_CONFIGURED


@pytest.mark.parametrize("name", ["qmtl_absent", "qmtl_sdk", "numpy", "qmtl world; DROP"])
def test_package_without_migrations_is_refused_by_name(dsn: str, name: str) -> None:
    with pytest.raises(QmtlError, match="has no migrations") as refused:
        upgrade(dsn, [name])
    assert refused.value.metadata == {"package": name}


def test_wrong_database_is_refused_with_the_setting_to_check(servers: Servers) -> None:
    with pytest.raises(QmtlError, match='QMTL_POSTGRES_DSN: database "absent" does not exist') as refused:
        upgrade(servers.dsn("absent"), ["qmtl_world"])
    assert refused.value.reason is Reason.NOT_CONFIGURED


def test_a_database_that_takes_nobody_is_refused_with_the_setting_to_check(servers: Servers, dsn: str) -> None:
    name = dsn.split("/")[-1].partition("?")[0]
    execute = f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS '
    read(servers.dsn("postgres"), f"{execute} false")
    try:
        with pytest.raises(QmtlError, match=r"QMTL_POSTGRES_DSN: .* not currently accepting connections") as refused:
            upgrade(dsn, ["qmtl_world"])
    finally:
        read(servers.dsn("postgres"), f"{execute} true")
    assert refused.value.reason is Reason.NOT_CONFIGURED


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("postgresql://owner:hidden@192.0.2.1/qmtl", "no sslmode"),
        ("postgresql://owner:hidden@192.0.2.1/qmtl?sslmode=verify-full&sslrootcert=/absent", "/absent"),
        ("postgresql://owner:hid/den@db/qmtl?sslmode=disable", "is no DSN"),
        ("postgresql://owner:hid[den@db/qmtl", "is no DSN"),
    ],
)
def test_a_dsn_that_no_service_takes_is_refused_and_its_password_kept(
    dsn: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QMTL_POSTGRES_DSN", dsn)
    assert main(["qmtl_world"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "QMTL_POSTGRES_DSN" in said
    assert "hid" not in said


@pytest.mark.parametrize(
    ("parameter", "says"),
    [("sslmod=require", '"sslmod"'), ("work_mem=much", '"work_mem"'), ("max_connections=9", '"max_connections"')],
)
def test_a_parameter_that_the_server_refuses_is_told(servers: Servers, parameter: str, says: str) -> None:
    with pytest.raises(QmtlError, match=f"QMTL_POSTGRES_DSN: .*{says}") as refused:
        upgrade(f"{servers.dsn('postgres')}&{parameter}", ["qmtl_world"])
    assert refused.value.reason is Reason.NOT_CONFIGURED


def test_command_without_a_dsn_says_how_it_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QMTL_POSTGRES_DSN", raising=False)
    assert main(["qmtl_world"]) == 2
    assert "QMTL_POSTGRES_DSN" in capsys.readouterr().err


@pytest.fixture
def weak(servers: Servers, dsn: str) -> Iterator[str]:
    """Give the DSN of an empty database as one who may make schemas there, and no roles."""
    database = dsn.partition("?")[0].rpartition("/")[2]
    servers.execute("CREATE ROLE weak LOGIN")
    servers.execute(f"GRANT ALL ON DATABASE {database} TO weak")
    yield dsn_of(dsn, "weak")
    servers.execute(f"REVOKE ALL ON DATABASE {database} FROM weak")
    servers.execute("DROP ROLE weak")


def forget_role(dsn: str) -> None:
    """Drop the sample's role, with all that it was granted in a database."""
    dropping = "DROP OWNED BY qmtl_sample; DROP ROLE qmtl_sample; EXCEPTION WHEN undefined_object THEN"
    read(dsn, f"DO $$ BEGIN {dropping} END $$")


def test_a_role_that_was_lost_is_made_again_with_what_it_may(dsn: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    for _ in range(2):
        forget_role(dsn)
        upgrade(dsn, ["qmtl_sample"])
        assert read(dsn_of(dsn, "qmtl_sample"), "SELECT id FROM sample.kept") == [(1,)]
    forget_role(dsn)


def test_a_migrator_that_may_not_make_the_role_says_which_is_missing(dsn: str, weak: str, package: Path) -> None:
    written(package / "migrations", 1, [TABLES])
    forget_role(dsn)
    with pytest.raises(QmtlError, match="CREATE ROLE qmtl_sample") as caught:
        upgrade(weak, ["qmtl_sample"])
    assert caught.value.reason is Reason.NOT_CONFIGURED
