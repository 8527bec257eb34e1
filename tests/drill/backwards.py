"""A backup in the wrong order, the database before the streams: what the page advises against."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qmtl_sdk.local import dump, nats, postgres, streams
from qmtl_sdk.local.backup import DATABASE, STREAMS, Manifest, seal
from qmtl_sdk.local.state import Layout, load


def database_first(state_dir: Path, folder: Path) -> Manifest:
    """Write the database, then the streams, while everybody works on."""
    return asyncio.run(_write(Layout(state_dir), folder))


async def _write(layout: Layout, folder: Path) -> Manifest:
    cluster = postgres.prepare(layout.postgres)
    url = nats.url(load(layout).endpoints[nats.NAME].address, nats.OPERATOR, nats.read_passwords(layout.auth))
    await asyncio.to_thread(folder.mkdir)
    async with streams.connected(url) as client:
        async with dump.snapshot(cluster.dsn) as snapshot:
            before = {name: await streams.stored(client, name) for name in await streams.names(client)}
            tables = await snapshot.count()
            await asyncio.to_thread(dump.save, cluster, snapshot.name, folder / DATABASE)
        saved = {}
        for name in before:
            await asyncio.to_thread((folder / STREAMS / name).mkdir, parents=True)
            saved[name] = await streams.save(client, name, folder / STREAMS / name)
    moved_on = {name: before[name].last - saved[name].last for name in saved}
    return await asyncio.to_thread(seal, folder, tables, saved, moved_on)
