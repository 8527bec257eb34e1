"""Accounting equals vectorbt 1.2 (``from_orders``) and backtesting.py 0.6 on the same real prices, to 1e-9."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vectorbt as vbt
from backtesting import Backtest, Strategy
from numpy.typing import NDArray
from vectorbt.portfolio.enums import SizeType

from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.backtest.model import BacktestResult
from qmtl_sdk.data.panel import Panel

RTOL = 1e-9
Array = NDArray[np.float64]


def momentum(closes: Array, *, gross: float, short: bool) -> Array:
    """Return targets: the sign of the 50-bar return over the symbols, null during warm-up."""
    past = np.vstack([np.full((50, closes.shape[1]), np.nan), closes[:-50]])
    up = np.where(closes > past, 1.0, -1.0 if short else 0.0)
    return np.where(np.isnan(past), np.nan, up * gross / closes.shape[1])


def with_holes(prices: Panel) -> Panel:
    """Return the prices with one bar in ten missing, never the last."""
    missing = np.random.default_rng(3).random(prices.columns["close"].shape) < 0.1
    missing[-1] = False
    columns = {name: np.where(missing, np.nan, column) for name, column in prices.columns.items()}
    return Panel(prices.timestamps, prices.symbols, columns, prices.interval_s)


def as_orders(targets: Array, fills: Array, model: ExecutionModel) -> tuple[Array, NDArray[np.int64]]:
    """Return vectorbt's size and size type per bar; an order that finds no price is stated again at the next bar."""
    size, kind = np.zeros_like(targets), np.full(targets.shape, SizeType.Amount)
    lag = 1 if model.fill is Fill.NEXT_OPEN else 0
    for s in range(targets.shape[1]):
        standing, waits = 0.0, False
        for t in range(targets.shape[0]):
            decided = targets[t - lag, s] if t >= lag else np.nan
            if not np.isnan(decided):
                waits |= decided != standing or model.rebalance is Rebalance.EVERY_BAR
                standing = decided
            if waits and not np.isnan(fills[t, s]):
                size[t, s], kind[t, s], waits = standing, SizeType.TargetPercent, False
    return size, kind


def by_vectorbt(prices: Panel, targets: Array, model: ExecutionModel) -> Any:
    """Return vectorbt's portfolio of the same targets under the same model."""
    closes = pd.DataFrame(prices.columns["close"], columns=list(prices.symbols))
    fills = closes if model.fill is Fill.CLOSE else pd.DataFrame(prices.columns["open"], columns=closes.columns)
    size, kind = as_orders(targets, fills.to_numpy(), model)
    known = closes.ffill()
    return vbt.Portfolio.from_orders(
        known.bfill(),
        size=size,
        size_type=kind,
        price=fills,
        val_price=fills.fillna(known.shift(1)).bfill(),
        fees=model.fee_bp / 10_000,
        slippage=model.slippage_bp / 10_000,
        init_cash=model.initial_cash,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        freq="1D",
    )


def assert_same(ours: BacktestResult, theirs: Any) -> None:
    """Compare equity, returns, drawdown, cash, positions, fills and round trips."""
    np.testing.assert_allclose(ours.equity, theirs.value().to_numpy(), rtol=RTOL)
    np.testing.assert_allclose(ours.returns, theirs.returns().to_numpy(), rtol=RTOL, atol=1e-12)
    np.testing.assert_allclose(ours.drawdown, -theirs.drawdown().to_numpy(), rtol=RTOL, atol=1e-12)
    np.testing.assert_allclose(ours.cash, theirs.cash().to_numpy(), rtol=RTOL, atol=1e-4)
    np.testing.assert_allclose(ours.positions, theirs.assets().to_numpy(), rtol=RTOL, atol=1e-7)
    records = theirs.orders.records
    records = records[records["size"] > 1e-9]  # vectorbt also records orders that are rounding
    assert len(ours.fills) == len(records)
    order = np.lexsort((ours.fills.symbol, ours.fills.bar))
    theirs_order = np.lexsort((records["col"], records["idx"]))
    sign = np.where(records["side"].to_numpy() == 0, 1.0, -1.0)
    for mine, field in (
        (ours.fills.bar, records["idx"].to_numpy()),
        (ours.fills.symbol, records["col"].to_numpy()),
        (ours.fills.size, records["size"].to_numpy() * sign),
        (ours.fills.price, records["price"].to_numpy()),
        (ours.fills.fee, records["fees"].to_numpy()),
    ):
        np.testing.assert_allclose(mine[order], field[theirs_order], rtol=RTOL, atol=1e-7)
    assert_same_trades(ours, theirs)


def assert_same_trades(ours: BacktestResult, theirs: Any) -> None:
    """Compare the round trips with vectorbt's positions, those of rounding left out."""
    trades, records = ours.trades(), theirs.positions.records
    records = records[records["size"] > 1e-9].sort_values(["entry_idx", "col"])
    order = np.lexsort((trades.symbol, trades.entry_bar))
    assert len(trades) == len(records)
    for name, field in (
        ("symbol", "col"),
        ("entry_bar", "entry_idx"),
        ("exit_bar", "exit_idx"),
        ("size", "size"),
        ("entry_price", "entry_price"),
        ("exit_price", "exit_price"),
        ("pnl", "pnl"),
        ("return_", "return"),
    ):
        np.testing.assert_allclose(
            getattr(trades, name)[order], records[field].to_numpy(), rtol=1e-8, atol=1e-6, err_msg=name
        )
    np.testing.assert_array_equal(trades.open[order], records["status"].to_numpy() == 0)


@pytest.mark.parametrize(
    ("fill", "rebalance", "short", "costs", "holes"),
    list(
        itertools.product(
            (Fill.NEXT_OPEN, Fill.CLOSE),
            (Rebalance.ON_CHANGE, Rebalance.EVERY_BAR),
            (False, True),
            (0.0, 7.0),
            (False, True),
        )
    ),
)
def test_equals_vectorbt_on_four_stocks(
    stocks: Panel, fill: Fill, rebalance: Rebalance, short: bool, costs: float, holes: bool
) -> None:
    prices = with_holes(stocks) if holes else stocks
    targets = momentum(stocks.columns["close"], gross=1.0, short=short)
    model = ExecutionModel(fill=fill, rebalance=rebalance, can_short=short, fee_bp=costs, slippage_bp=costs / 2)
    assert_same(account(prices, targets, model), by_vectorbt(prices, targets, model))


def test_cash_that_is_short_goes_to_the_smallest_orders_first_as_in_vectorbt(stocks: Panel) -> None:
    targets = momentum(stocks.columns["close"], gross=2.5, short=False)
    model = ExecutionModel(rebalance=Rebalance.EVERY_BAR, fee_bp=25.0, slippage_bp=5.0)
    assert_same(account(stocks, targets, model), by_vectorbt(stocks, targets, model))


class HoldTargets(Strategy):  # type: ignore[misc]  # backtesting.py ships no types
    """Go all long, all short or flat at the next open when the target changes."""

    targets: Array = np.empty(0)

    def init(self) -> None:
        """Need no indicator: the targets are given."""

    def next(self) -> None:
        """Close what is there, then open the other side."""
        now = len(self.data) - 1
        if self.targets[now] == self.targets[now - 1]:
            return
        self.position.close()
        if self.targets[now] > 0:
            self.buy()
        elif self.targets[now] < 0:
            self.sell()


@pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek is deprecated")  # backtesting.py 0.6 uses it with pandas 3
@pytest.mark.parametrize(("short", "fee_bp"), [(False, 0.0), (False, 10.0), (True, 0.0)])
def test_equals_backtesting_py_on_one_stock(stocks: Panel, short: bool, fee_bp: float) -> None:
    ibm = slice(2, 3)  # backtesting.py buys whole shares: with 1e13 in cash that is a part in 1e11
    columns = {name: np.ascontiguousarray(column[:, ibm]) for name, column in stocks.columns.items()}
    prices = Panel(stocks.timestamps, stocks.symbols[ibm], columns, stocks.interval_s)
    targets = np.nan_to_num(momentum(columns["close"], gross=1.0, short=short))
    targets[-5:] = 0.0
    ours = account(prices, targets, ExecutionModel(can_short=short, fee_bp=fee_bp, initial_cash=1e13))
    high, low = np.maximum(columns["open"], columns["close"]), np.minimum(columns["open"], columns["close"])
    bars = {"Open": columns["open"], "High": high, "Low": low, "Close": columns["close"]}
    data = pd.DataFrame({name: column[:, 0] for name, column in bars.items()}, index=pd.to_datetime(prices.timestamps))
    theirs = Backtest(data, HoldTargets, cash=1e13, commission=fee_bp / 10_000).run(targets=targets[:, 0])
    np.testing.assert_allclose(ours.equity, theirs["_equity_curve"]["Equity"].to_numpy(), rtol=RTOL)
    trades, records = ours.trades(), theirs["_trades"]
    assert len(trades) == len(records) > 50
    for mine, field in (
        (trades.entry_bar, "EntryBar"),
        (trades.exit_bar, "ExitBar"),
        (trades.size * trades.side, "Size"),
        (trades.entry_price, "EntryPrice"),
        (trades.exit_price, "ExitPrice"),
        (trades.fees, "Commission"),
    ):
        np.testing.assert_allclose(mine, records[field].to_numpy(), rtol=RTOL, atol=1e-6, err_msg=field)
    np.testing.assert_allclose(trades.pnl, records["PnL"].to_numpy(), rtol=1e-7, atol=1e4)
