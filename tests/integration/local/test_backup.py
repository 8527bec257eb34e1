"""Backup and restore of a local stack's servers: what comes back, what is refused, what is noticed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.cli.main import run
from qmtl_sdk.local import backup as backups
from qmtl_sdk.local import streams
from qmtl_sdk.local.backup import backup, read_manifest, restore
from qmtl_sdk.local.stack import down, status, up
from tests.support.credentials import nats_url_of

ROWS = 500
MESSAGES = 40


async def fill(dsn: str, nats_url: str) -> None:
    """Write rows of awkward types, and a stream with a hole and a durable consumer that has read a part of it."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE SCHEMA kept")
    await connection.execute(
        "CREATE TABLE kept.one (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, raw bytea)"
    )
    await connection.execute(
        "INSERT INTO kept.one (at, raw) SELECT now() + n * interval '1 hour', decode(md5(n::text), 'hex') "
        "FROM generate_series(1, $1) n",
        ROWS,
    )
    await connection.close()
    client = await nats.connect(nats_url)
    stream = client.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"])
    await stream.add_stream(name="unused", subjects=["unused.>"])
    await stream.add_stream(name="emptied", subjects=["emptied.>"])
    await stream.publish("emptied.one", b"gone")
    await stream.purge_stream("emptied")
    for number in range(MESSAGES):
        await stream.publish(f"kept.{number % 3}", bytes([number]) * 9_000, headers={"Kept": str(number)})
    await stream.delete_msg("kept", 7)
    reader = await stream.pull_subscribe("kept.>", "reader")
    for message in await reader.fetch(5):
        await message.ack_sync()
    await client.close()


async def told(nats_url: str) -> tuple[list[tuple[str, bytes, str]], int]:
    """Return the messages of the stream, and where its consumer goes on."""
    client = await nats.connect(nats_url)
    stream = client.jetstream()
    floor = (await stream.consumer_info("kept", "reader")).ack_floor.stream_seq
    reader = await stream.subscribe("kept.>", ordered_consumer=True)
    messages = [await reader.next_msg(5.0) for _ in range(MESSAGES - 1)]
    await client.close()
    return [(each.subject, each.data, (each.headers or {})["Kept"]) for each in messages], floor


def addresses(directory: Path) -> tuple[str, str]:
    servers = {each.name: each for each in up(directory, services=()).processes}
    return servers["postgres"].address, nats_url_of(servers["nats"])


def test_a_backup_restored_elsewhere_has_every_row_and_message(state_dir: Path, other_state_dir: Path) -> None:
    dsn, nats_url = addresses(state_dir)
    asyncio.run(fill(dsn, nats_url))
    written = backup(state_dir, state_dir / "copy")
    assert (written.tables["kept.one"].rows, written.messages, written.moved_on) == (
        ROWS,
        MESSAGES - 1,
        {"emptied": 0, "kept": 0, "unused": 0},
    )
    before = asyncio.run(told(nats_url))
    manifest, differences = restore(state_dir / "copy", other_state_dir)
    assert (manifest, differences) == (written, [])
    assert {each.stat().st_mode & 0o777 for each in (state_dir / "copy").rglob("*") if each.is_file()} == {0o600}
    assert asyncio.run(told(addresses(other_state_dir)[1])) == before


def test_a_restore_goes_into_no_directory_with_data(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    up(state_dir, services=())
    folder = str(state_dir / "copy")
    assert run(["backup", folder, "--state-dir", str(state_dir), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["streams"] == {}
    assert run(["restore", folder, "--state-dir", str(state_dir)]) == 4
    assert "has data already" in capsys.readouterr().err
    assert run(["backup", folder, "--state-dir", str(state_dir)]) == 4
    assert "name one that is not there yet" in capsys.readouterr().err


def test_a_damaged_backup_is_refused_before_anything_is_started(state_dir: Path, other_state_dir: Path) -> None:
    dsn, nats_url = addresses(state_dir)
    asyncio.run(fill(dsn, nats_url))
    folder = state_dir / "copy"
    backup(state_dir, folder)
    spoilt = folder / "streams" / "kept" / "stream.tar.s2"
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    with pytest.raises(QmtlError, match=r"streams/kept/stream\.tar\.s2 is not what the manifest says") as refused:
        restore(folder, other_state_dir)
    assert refused.value.reason is Reason.DATA_INVALID
    assert list(other_state_dir.iterdir()) == []
    (folder / backups.MANIFEST).unlink()
    with pytest.raises(QmtlError, match="is no whole backup"):
        read_manifest(folder)


def test_what_is_not_as_the_backup_says_is_named(state_dir: Path, other_state_dir: Path) -> None:
    dsn, nats_url = addresses(state_dir)
    asyncio.run(fill(dsn, nats_url))
    folder = state_dir / "copy"
    backup(state_dir, folder)
    manifest = json.loads((folder / backups.MANIFEST).read_text())
    manifest["tables"]["kept.one"]["hash"] = "1"  # one row of another content
    manifest["tables"]["kept.two"] = {"rows": 1, "hash": "1"}
    manifest["streams"]["kept"]["messages"] += 1
    (folder / backups.MANIFEST).write_text(json.dumps(manifest))
    _, differences = restore(folder, other_state_dir)
    assert differences == [
        "table kept.one: the backup has 500 rows, the restored table other content",
        "table kept.two: the backup has 1 row, the restored table nothing",
        "stream kept: the backup has 40 messages, the restored stream 39 messages",
    ]
    with pytest.raises(QmtlError, match=r"a restore into .* found a difference: restore into another directory"):
        up(other_state_dir)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"files": []}, "cannot be read"),
        ({"tables": None}, "cannot be read"),
        ({"tables": {"kept.one": {"rows": "many", "hash": "1"}}}, "cannot be read"),
        ({"files": {"../../etc/shadow": "0"}}, "is missing in it"),
    ],
)
def test_a_manifest_that_is_none_is_refused(state_dir: Path, spoil: dict[str, Any], says: str) -> None:
    up(state_dir, services=())
    backup(state_dir, state_dir / "copy")
    file = state_dir / "copy" / backups.MANIFEST
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({**whole, **spoil}))
    with pytest.raises(QmtlError, match=says) as refused:
        read_manifest(state_dir / "copy")
    assert refused.value.reason is Reason.DATA_INVALID
    file.write_text(json.dumps({**whole, "files": {**whole["files"], "/dev/zero": "0"}}))
    with pytest.raises(QmtlError, match="'/dev/zero' is no file of a backup"):
        read_manifest(state_dir / "copy")


def test_without_its_servers_there_is_no_backup(state_dir: Path) -> None:
    with pytest.raises(QmtlError, match="has no stack: run `qmtl up`"):
        backup(state_dir, state_dir / "copy")
    up(state_dir, services=())
    down(state_dir)
    with pytest.raises(QmtlError, match="nats: does not answer") as refused:
        backup(state_dir, state_dir / "copy")
    assert refused.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert not (state_dir / "copy").exists()  # its name is free for the next one


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_as_one(state_dir: Path) -> None:
    asyncio.run(fill(*addresses(state_dir)))
    with (
        files_of_at_most(500),
        pytest.raises(QmtlError, match=r"streams/emptied/backup\.json cannot be written") as refused,
    ):
        backup(state_dir, state_dir / "copy")
    assert refused.value.reason is Reason.NOT_CONFIGURED
    assert "make room, or choose another folder" in refused.value.message


async def test_a_server_that_falls_silent_is_told_as_one(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CALL_SECONDS", 0.3)
    silent = await asyncio.to_thread(addresses, state_dir)
    async with streams.connected(silent[1]) as client:
        pid = next(each.pid for each in status(state_dir).processes if each.name == "nats")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(QmtlError, match="nats: does not answer") as refused:
                await streams.save(client, "kept", tmp_path)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert refused.value.reason is Reason.DEPENDENCY_UNAVAILABLE
