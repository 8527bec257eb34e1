"""The paper venue fills as backtests account: replayed targets end with the same cash, shares, fills and equity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from qmtl_executor.paper import PaperVenue
from qmtl_executor.prices import PanelPrices
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.backtest.model import BacktestResult
from qmtl_sdk.data.panel import Panel
from tests.support.executor_rig import Rig, World, open_rig, outcomes
from tests.support.waiting import becomes

SYMBOLS = ("AAPL", "GOOG", "IBM")
BARS = 40
DAY_NS = 86_400_000_000_000
START_NS = 1_357_160_400_000_000_000  # 2013-01-02T21:00:00Z

MODELS = {
    "next open": ExecutionModel(slippage_bp=5.0, fee_bp=2.0),
    "close, shorts, interest": ExecutionModel(fill=Fill.CLOSE, fee_bp=1.0, can_short=True, cash_rate=0.03),
    "every bar, interest": ExecutionModel(rebalance=Rebalance.EVERY_BAR, slippage_bp=3.0, cash_rate=0.05),
    "drift": ExecutionModel(rebalance=Rebalance.DRIFT, drift=0.02, fee_bp=3.0, can_short=True),
    "close, every bar, dear": ExecutionModel(fill=Fill.CLOSE, rebalance=Rebalance.EVERY_BAR, fee_bp=50.0),
}


def bars(seed: int) -> Panel:
    """Return random walks with missing prices, none in the last bars: nothing is delisted."""
    random = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.02, (BARS, 3)), axis=0))
    opens = closes * np.exp(random.normal(0.0, 0.01, closes.shape))
    for column in (opens, closes):
        column[3:-3][random.random((BARS - 6, 3)) < 0.1] = np.nan
    return Panel(START_NS + np.arange(BARS) * DAY_NS, SYMBOLS, {"open": opens, "close": closes}, 86_400)


def targets(seed: int, can_short: bool) -> NDArray[np.float64]:
    """Return targets that often stay, sometimes ask for more than the cash covers, and are null now and then."""
    random = np.random.default_rng(seed + 1_000)
    low = -0.5 if can_short else 0.0
    wanted = np.round(random.uniform(low, 0.9, (BARS, 3)), 1)
    stays = random.random(wanted.shape) < 0.5
    for bar in range(1, BARS):
        wanted[bar] = np.where(stays[bar], wanted[bar - 1], wanted[bar])
    wanted[random.random(wanted.shape) < 0.1] = np.nan
    wanted[0] = 0.3  # the account begins with the first target
    return wanted


def intents(world: World, wanted: NDArray[np.float64]) -> list[intent_pb2.OrderIntent]:
    """Return what a runner emits: each stated target, bar by bar."""
    first = datetime.fromtimestamp(START_NS / 1e9, UTC)
    return [
        world.intent(float(wanted[bar, s]), symbol=symbol, bar_time=first + timedelta(days=bar))
        for bar in range(len(wanted))
        for s, symbol in enumerate(SYMBOLS)
        if not np.isnan(wanted[bar, s])
    ]


@pytest.fixture(params=MODELS)
async def rig(migrated_dsn: str, nats_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    model, prices = MODELS[request.param], PanelPrices(bars(1))
    async with open_rig(
        migrated_dsn, nats_url, lambda rig: PaperVenue(rig.pool, rig.executor, rig.world.name, model, prices)
    ) as opened:
        opened.model = model
        yield opened


async def test_a_replay_on_paper_ends_as_its_backtest(rig: Rig) -> None:
    model, wanted = rig.model, targets(1, rig.model.can_short)
    expected = account(bars(1), wanted, model)
    world = rig.world
    await world.fence()
    await world.open()
    sent = intents(world, wanted)
    async with rig.started():
        half = len(sent) // 2
        await rig.until_at((await world.send(*sent[:half]))[-1])
    async with rig.started():  # a restart in the middle changes nothing
        await rig.until_at((await world.send(*sent[half:]))[-1])
        if model.fill is Fill.CLOSE:
            await becomes(lambda: _has_ended(rig), True)
        await agree(rig, expected, len(wanted) - 1)


async def _has_ended(rig: Rig) -> bool:
    return "working" not in (await rig.orders()).values()


async def agree(rig: Rig, expected: BacktestResult, bar: int) -> None:
    """Compare the account, the lines and each fill with a backtest, bit by bit."""
    (place,) = await rig.rows("place")
    assert (place["cash"], place["equity"]) == (expected.cash[bar], expected.equity[bar])
    lines = {row["symbol"]: row["quantity"] for row in await rig.rows("line")}
    assert [lines[symbol] for symbol in SYMBOLS] == list(expected.positions[bar])
    fills = {(row["fill_time"], row["quantity"], row["price"], row["fee"]) for row in await rig.rows("fill")}
    fills_expected = {
        (datetime.fromtimestamp(int(expected.timestamps[b]) / 1e9, UTC), size, price, fee)
        for b, size, price, fee in zip(
            expected.fills.bar, expected.fills.size, expected.fills.price, expected.fills.fee, strict=True
        )
    }
    assert fills == fills_expected


async def test_orders_that_were_cancelled_by_a_fence_are_ordered_again_when_stated_again(
    migrated_dsn: str, nats_url: str
) -> None:
    prices = PanelPrices(bars(2))
    async with open_rig(
        migrated_dsn,
        nats_url,
        lambda rig: PaperVenue(rig.pool, rig.executor, rig.world.name, ExecutionModel(), prices),
    ) as rig:
        world = rig.world
        await world.fence()
        await world.open()
        first = datetime.fromtimestamp(START_NS / 1e9, UTC)
        async with rig.started() as start:
            await world.send(world.intent(0.5, bar_time=first))
            await world.fence()
            await world.open()
            await rig.until_at((await world.send(world.intent(0.5, bar_time=first + timedelta(days=1))))[-1])
            await start.renew()
            assert outcomes(await rig.reports(4)) == ["working", "cancelled", "working", "filled"]


async def test_what_paper_cannot_trade_is_refused_with_the_field(migrated_dsn: str, nats_url: str) -> None:
    prices = PanelPrices(bars(2))
    async with open_rig(
        migrated_dsn,
        nats_url,
        lambda rig: PaperVenue(rig.pool, rig.executor, rig.world.name, ExecutionModel(), prices),
    ) as rig:
        world = rig.world
        await world.fence()
        await world.open()
        async with rig.started():
            await world.send(world.intent(0.5, symbol="XOM"), world.intent(-0.5, symbol="IBM"))
            unknown, short = await rig.reports(2)
    assert outcomes([unknown, short]) == ["refused", "refused"]
    assert (unknown.message, short.message) == (
        "symbol: XOM is none of the world's data preset",
        "target: is negative, and the world's execution model has can_short false",
    )


async def test_an_account_with_nothing_left_is_closed_at_its_marks_and_trades_no_more(
    migrated_dsn: str, nats_url: str
) -> None:
    column = np.array([[100.0], [100.0], [250.0], [240.0]])
    panel = Panel(START_NS + np.arange(4) * DAY_NS, ("IBM",), {"open": column, "close": column}, 86_400)
    model = ExecutionModel(can_short=True)
    expected = account(panel, np.array([[-0.9], [-0.9], [-0.8], [-0.7]]), model)
    async with open_rig(
        migrated_dsn,
        nats_url,
        lambda rig: PaperVenue(rig.pool, rig.executor, rig.world.name, model, PanelPrices(panel)),
    ) as rig:
        rig.model, world = model, rig.world
        await world.fence()
        await world.open()
        first = datetime.fromtimestamp(START_NS / 1e9, UTC)
        async with rig.started():
            wishes = [world.intent(target, symbol="IBM", bar_time=first + timedelta(days=bar))
                      for bar, target in enumerate((-0.9, -0.9, -0.8, -0.7))]  # fmt: skip
            await world.send(*wishes)
            reports = await rig.reports(6)
        (place,) = await rig.rows("place")
        assert (place["cash"], place["equity"]) == (expected.cash[-1], expected.equity[-1])
        assert [row["quantity"] for row in await rig.rows("line")] == [expected.positions[-1, 0]] == [0.0]
    assert outcomes(reports) == ["working", "filled", "unchanged", "working", "cancelled", "refused"]
