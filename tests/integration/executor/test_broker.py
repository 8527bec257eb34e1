"""An executor whose nats-server or PostgreSQL is killed and started again: it goes on by itself, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from qmtl_sdk.local import nats, postgres
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from qmtl_sdk.local.stack import up
from tests.support.credentials import nats_url_of
from tests.support.executor_rig import open_rig
from tests.support.simulated_venue import Exchange, SimulatedVenue
from tests.support.stack import guarded_directory, migrate


@pytest.fixture
def directory() -> Iterator[Path]:
    with guarded_directory() as found:
        yield found


@pytest.mark.parametrize("victim", [nats.NAME, postgres.NAME])
async def test_an_executor_goes_on_after_a_server_was_killed(directory: Path, victim: str) -> None:
    exchange = Exchange()
    started = await asyncio.to_thread(up, directory, services=())
    dsn = _of(started, postgres.NAME).address
    await asyncio.to_thread(migrate, dsn, "qmtl_executor")
    async with open_rig(dsn, nats_url_of(_of(started, nats.NAME)), lambda _: SimulatedVenue(exchange)) as rig:
        world = rig.world
        await world.fence()
        await world.open()
        async with rig.started():
            await rig.until_at((await world.send(world.intent(0.5)))[0])
            psutil.Process(_of(started, victim).pid).kill()
            await asyncio.to_thread(up, directory, services=())
            (position,) = await world.send(world.intent(0.6, bar=1))
            await rig.until_at(position)
            await world.fence()
            position = await world.open()
            await rig.until_at(position)
    assert list(exchange.reached.values()) == [1, 1]
    assert rig.acknowledged[-1].epoch == 2


def _of(status: StackStatus, name: str) -> ProcessStatus:
    """Return a process."""
    (found,) = [each for each in status.processes if each.name == name]
    return found
