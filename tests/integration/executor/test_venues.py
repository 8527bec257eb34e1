"""Each venue keeps the contract of ``tests/support/venue_contract.py``; an adapter of a broker is to be added here."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from qmtl_executor.paper import PaperVenue
from qmtl_executor.prices import PanelPrices
from qmtl_executor.venue import Settlement, Venue
from qmtl_foundation.execution_model import ExecutionModel
from qmtl_foundation.postgres import open_pool
from qmtl_foundation.settings import Secret
from qmtl_sdk.data.panel import Panel
from tests.support.simulated_venue import Exchange, SimulatedVenue
from tests.support.venue_contract import BAR, CONTRACT, ORDER, Bench

DAY_NS = 86_400_000_000_000
VENUES = ("paper", *(each.name for each in Settlement))


def simulated(settlement: Settlement) -> Bench:
    exchange = Exchange(settlement, fills_at_once=False)

    async def session() -> Venue:
        venue = SimulatedVenue(exchange)
        await venue.begin()
        return venue

    async def elapse(_venue: Venue) -> None:
        exchange.deliver()
        for order_id, answer in list(exchange.answers.items()):
            if answer.state.value == "working":
                exchange.fill(order_id)

    return Bench(session, elapse)


@pytest.fixture(params=VENUES)
async def bench(migrated_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param != "paper":
        yield simulated(Settlement[request.param])
        return
    times = int(BAR.timestamp()) * 1_000_000_000 + np.arange(3) * DAY_NS
    prices = PanelPrices(
        Panel(times, (ORDER.symbol,), {"open": np.full((3, 1), 90.0), "close": np.full((3, 1), 91.0)}, 86_400)
    )
    executor = f"paper_{uuid.uuid4().hex[:8]}"
    async with open_pool(Secret(migrated_dsn), "executor") as pool:

        async def session() -> Venue:
            venue = PaperVenue(pool, executor, "desk", ExecutionModel(), prices)
            await venue.begin()
            return venue

        async def elapse(venue: Venue) -> None:
            await venue.statement(None)

        yield Bench(session, elapse)


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda each: each.__name__)
async def test_a_venue_keeps_the_contract(bench: Bench, clause: Callable[[Bench], Awaitable[None]]) -> None:
    await clause(bench)
