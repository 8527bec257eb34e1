"""What holds for every account, whatever the prices, targets and model."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.backtest.model import BacktestResult
from qmtl_sdk.data.panel import Panel

DAY_NS = 86_400 * 1_000_000_000


@st.composite
def accounts(draw: st.DrawFn, *, short: bool) -> BacktestResult:
    """Return the account of random prices with holes under a random model."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    bars, symbols = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    close = 100.0 * np.exp(np.cumsum(random.normal(0, 0.05, (bars, symbols)), axis=0))
    holes = random.random((2, bars, symbols)) < draw(st.sampled_from((0.0, 0.3)))
    columns = {
        "close": np.where(holes[0], np.nan, close),
        "open": np.where(holes[1], np.nan, close * np.exp(random.normal(0, 0.01, close.shape))),
    }
    prices = Panel(np.arange(1, bars + 1) * DAY_NS, tuple("ABCDE"[:symbols]), columns, 86_400)
    targets = random.uniform(-1.0 if short else 0.0, 1.0, (bars, symbols)) * draw(st.sampled_from((0.2, 1.5)))
    targets[random.random(targets.shape) < 0.3] = np.nan
    targets[random.random(targets.shape) < 0.2] = 0.0
    rebalance = draw(st.sampled_from(Rebalance))
    model = ExecutionModel(
        fill=draw(st.sampled_from(Fill)),
        rebalance=rebalance,
        drift=0.05 if rebalance is Rebalance.DRIFT else 0.0,
        fee_bp=draw(st.sampled_from((0.0, 30.0))),
        slippage_bp=draw(st.sampled_from((0.0, 10.0))),
        can_short=short,
    )
    return account(prices, targets, model)


@settings(max_examples=150, deadline=None)
@given(accounts(short=False))
def test_without_shorts_cash_and_positions_are_never_negative(result: BacktestResult) -> None:
    assert result.cash.min() >= -1e-9 * result.initial_cash
    assert result.positions.min() >= -1e-9
    assert result.equity.min() > 0.0


@settings(max_examples=150, deadline=None)
@given(st.one_of(accounts(short=False), accounts(short=True)))
def test_the_fills_explain_cash_positions_and_pnl(result: BacktestResult) -> None:
    fills, scale = result.fills, result.initial_cash
    moved = np.zeros(result.positions.shape)
    np.add.at(moved, (fills.bar, fills.symbol), fills.size)
    np.testing.assert_allclose(np.cumsum(moved, axis=0), result.positions, rtol=1e-9, atol=1e-6)
    spent = (fills.size * fills.price + fills.fee).sum()
    np.testing.assert_allclose(scale - spent, result.cash[-1], rtol=1e-9, atol=1e-9 * scale)
    earned = sum(trade.pnl for trade in result.trades())
    np.testing.assert_allclose(scale + earned, result.equity[-1], rtol=1e-9, atol=1e-9 * scale)


@settings(max_examples=100, deadline=None)
@given(st.one_of(accounts(short=False), accounts(short=True)))
def test_returns_compound_to_the_equity(result: BacktestResult) -> None:
    assert np.isfinite(result.returns).all()
    assert result.returns.min() >= -1.0
    if result.equity.min() > 0.0:
        np.testing.assert_allclose(result.initial_cash * np.cumprod(1.0 + result.returns), result.equity, rtol=1e-9)
