"""An executor on a simulated venue, in one world, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.executor_rig import Rig, open_rig
from tests.support.simulated_venue import Exchange, SimulatedVenue


@pytest.fixture
def exchange() -> Exchange:
    """Give the venue's own side."""
    return Exchange()


@pytest.fixture
async def rig(migrated_dsn: str, nats_url: str, exchange: Exchange) -> AsyncIterator[Rig]:
    """Give an executor that trades there, started any number of times."""
    async with open_rig(migrated_dsn, nats_url, lambda _: SimulatedVenue(exchange)) as opened:
        yield opened
