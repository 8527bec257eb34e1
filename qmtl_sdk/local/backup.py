"""Backup and restore of a local stack's data: its streams and its database, in one folder with a manifest.

1. Each stream is written as of one moment, then the database as of one that is later: whatever stands in a stream that
   an executor had taken by then is known to the database, so nothing that was executed is told otherwise.
2. The manifest is written last: a folder without one is no backup.
3. A restore goes into a directory without data, and is compared with the manifest: every row, every stream.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local import dump, nats, postgres, streams
from qmtl_sdk.local.dump import Counted
from qmtl_sdk.local.progress import OnProgress, silent
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Layout, load, locked
from qmtl_sdk.local.streams import Stored
from qmtl_sdk.local.whole_file import SECRET, replace_file

SCHEMA: Final = "qmtl.backup/1"
MANIFEST: Final = "manifest.json"
DATABASE: Final = "database.dump"
STREAMS: Final = "streams"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Hold what a backup has: rows by table, messages by stream, hashes by file (SHA-256).

    ``moved_on`` is how many messages each stream got between its snapshot and the database's.
    """

    create_time: str
    tables: Mapping[str, Counted]
    streams: Mapping[str, Stored]
    moved_on: Mapping[str, int]
    files: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Return how many rows all tables have."""
        return sum(each.rows for each in self.tables.values())

    @property
    def messages(self) -> int:
        """Return how many messages all streams have."""
        return sum(each.messages for each in self.streams.values())


def backup(state_dir: Path, folder: Path) -> Manifest:
    """Write the data of a running stack into a new folder, while everybody works on.

    Raises QmtlError: NOT_CONFIGURED for a folder that is there already or a stack that was never started,
    DEPENDENCY_UNAVAILABLE where PostgreSQL or NATS does not answer.
    """
    layout = Layout(state_dir.resolve())
    endpoints = load(layout).endpoints
    if postgres.NAME not in endpoints or nats.NAME not in endpoints:
        raise _unusable(state_dir, "has no stack: run `qmtl up`, or name another by --state-dir")
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise _unusable(folder, f"cannot be made ({error.strerror}): name one that is not there yet") from error
    try:
        return seal(folder, *asyncio.run(_save(layout, endpoints[nats.NAME].address, folder)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it is no backup, and keeps its name from the next one
        raise


def seal(
    folder: Path, tables: Mapping[str, Counted], saved: Mapping[str, Stored], moved_on: Mapping[str, int]
) -> Manifest:
    """Write the manifest of what stands in a folder: a backup from then on."""
    files = {str(each.relative_to(folder)): _hash(each) for each in sorted(folder.rglob("*")) if each.is_file()}
    manifest = Manifest(datetime.now(UTC).isoformat(timespec="milliseconds"), tables, saved, moved_on, files)
    document = {"schema": SCHEMA, **asdict(manifest)}
    replace_file(folder / MANIFEST, json.dumps(document, indent=2).encode() + b"\n", SECRET)
    return manifest


def restore(folder: Path, state_dir: Path, on_progress: OnProgress = silent) -> tuple[Manifest, list[str]]:
    """Fill a stack's directory that has no data yet; PostgreSQL and NATS run then, the services do not.

    Return what the backup has, and what of it is different now: nothing, or the backup is not what it says. No service
    starts in the directory before all of it is there and the same.
    Raises QmtlError: as ``read_manifest``, NOT_CONFIGURED for a directory with data, DEPENDENCY_UNAVAILABLE where a
    server refuses.
    """
    manifest = read_manifest(folder)
    layout = Layout(state_dir.resolve())
    for data in (layout.postgres / "data", layout.nats / "jetstream"):
        if data.exists():
            raise _unusable(state_dir, "has data already: restore into another one, with --state-dir")
    layout.create()
    layout.restoring.touch()
    status = up(state_dir, on_progress, services=())
    address = next(each.address for each in status.processes if each.name == nats.NAME)
    different = asyncio.run(_load(layout, address, folder, manifest))
    if not different:
        layout.restoring.unlink()
    return manifest, different


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup has, each file read and compared.

    Raises QmtlError: NOT_CONFIGURED for a folder without a manifest or a file, DATA_INVALID for what is damaged.
    """
    try:
        found = _manifest(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        spoilt = [name for name, hashed in found.files.items() if _hash(folder / name) != hashed]
    except OSError as error:
        raise _unusable(folder, f"is no whole backup ({error.strerror}: {error.filename}): name another one") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"has a manifest that cannot be read ({_why(error)}): name another backup") from error
    if spoilt:
        raise _damaged(folder, f"is damaged: {', '.join(spoilt)} is not what the manifest says. Name another one")
    return found


async def _save(
    layout: Layout, nats_address: str, folder: Path
) -> tuple[Mapping[str, Counted], Mapping[str, Stored], Mapping[str, int]]:
    """Write all of it; return what tables and streams have, and how far these moved on before the tables were read."""
    cluster = postgres.prepare(layout.postgres)
    saved = {}
    async with streams.connected(_url(layout, nats_address)) as client:
        for name in await streams.names(client):
            saved[name] = await streams.save(client, name, _made(folder / STREAMS / name))
        async with dump.snapshot(cluster.dsn) as snapshot:
            moved_on = {name: (await streams.stored(client, name)).last - saved[name].last for name in saved}
            tables = await snapshot.count()
            await asyncio.to_thread(dump.save, cluster, snapshot.name, folder / DATABASE)
    return tables, saved, moved_on


async def _load(layout: Layout, nats_address: str, folder: Path, manifest: Manifest) -> list[str]:
    cluster = postgres.prepare(layout.postgres)
    with locked(layout):
        async with streams.connected(_url(layout, nats_address)) as client:
            found = {name: await streams.load(client, name, folder / STREAMS / name) for name in manifest.streams}
        await asyncio.to_thread(dump.load, cluster, folder / DATABASE)
        async with dump.snapshot(cluster.dsn) as snapshot:
            tables = await snapshot.count()
    return [*_different("table", manifest.tables, tables), *_different("stream", manifest.streams, found)]


def _different(
    what: str, expected: Mapping[str, Counted | Stored], found: Mapping[str, Counted | Stored]
) -> Iterator[str]:
    for name in {**expected, **found}:
        before, after = expected.get(name), found.get(name)
        if before == after:
            continue
        now = "other content" if str(before) == str(after) else after or "nothing"
        yield f"{what} {name}: the backup has {before or 'nothing'}, the restored {what} {now}"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _url(layout: Layout, address: str) -> str:
    return nats.url(address, nats.OPERATOR, nats.read_passwords(layout.auth))


def _manifest(document: Mapping[str, Any]) -> Manifest:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA!r}")
    found = Manifest(
        str(document["create_time"]),
        {name: Counted(int(each["rows"]), str(each["hash"])) for name, each in document["tables"].items()},
        {name: Stored(**_whole(each)) for name, each in document["streams"].items()},
        _whole(document["moved_on"]),
        {str(name): str(hashed) for name, hashed in document["files"].items()},
    )
    needed = {DATABASE, *(f"{STREAMS}/{name}/{file}" for name in found.streams for file in streams.FILES)}
    if needed - found.files.keys():
        raise ValueError(f"{', '.join(sorted(needed - found.files.keys()))} is missing in it")
    if found.files.keys() - needed:
        raise ValueError(f"{min(found.files.keys() - needed)!r} is no file of a backup")
    return found


def _why(error: Exception) -> str:
    return f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _whole(numbers: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(number) for name, number in numbers.items()}


def _hash(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "is missing", str(file))
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _damaged(path: Path, what: str) -> QmtlError:
    return QmtlError(Reason.DATA_INVALID, f"{path} {what}", metadata={"path": str(path)})


def _unusable(path: Path, what: str) -> QmtlError:
    return QmtlError(Reason.NOT_CONFIGURED, f"{path} {what}", metadata={"path": str(path)})
