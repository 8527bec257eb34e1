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


Case = tuple[Panel, np.ndarray, ExecutionModel]


@st.composite
def cases(draw: st.DrawFn, *, short: bool, extreme: bool = False) -> Case:
    """Return random prices with holes, targets and a random model.

    ``extreme``: prices of 1e-8 beside 1e8, symbols that come and go, any initial cash, interest.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    bars, symbols = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    sizes = random.choice([1e-8, 100.0, 1e8], symbols) if extreme else 100.0
    close = sizes * np.exp(np.cumsum(random.normal(0, 0.05, (bars, symbols)), axis=0))
    holes = random.random((2, bars, symbols)) < draw(st.sampled_from((0.0, 0.3)))
    if extreme:
        first, last = random.integers(-bars, bars, symbols), random.integers(0, 2 * bars, symbols)
        at = np.arange(bars)[:, None]
        holes |= (at < first) | (at > last)
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
        initial_cash=draw(st.sampled_from((1e-6, 1.0, 1e12))) if extreme else 1e6,
        cash_rate=draw(st.sampled_from((0.0, 0.05, -0.05))) if extreme else 0.0,
    )
    return prices, targets, model


def accounts(*, short: bool) -> st.SearchStrategy[BacktestResult]:
    """Return the accounts of ordinary cases."""
    return cases(short=short).map(lambda case: account(*case))


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


@settings(max_examples=200, deadline=None)
@given(st.one_of(cases(short=False, extreme=True), cases(short=True, extreme=True)))
def test_every_bar_balances_at_any_scale(case: Case) -> None:
    prices, targets, model = case
    result = account(prices, targets, model)
    fills = result.fills
    opens, closes = prices.columns["open"], prices.columns["close"]
    marks, cash = np.full(closes.shape[1], np.nan), model.initial_cash
    for bar, equity in enumerate(result.equity):
        mine = np.flatnonzero(fills.bar == bar)
        # Where the closes fill, a fill without a close is a delisting: it comes before the interest.
        late = ~np.isnan(closes[bar, fills.symbol[mine]]) & (model.fill is Fill.CLOSE)
        paid = fills.size[mine] * fills.price[mine] + fills.fee[mine]
        marks = np.where(np.isnan(closes[bar]), np.where(np.isnan(opens[bar]), marks, opens[bar]), closes[bar])
        held = np.where(result.positions[bar] != 0.0, result.positions[bar] * marks, 0.0)
        precision = 1e-9 * (abs(held).sum() + abs(paid).sum() + abs(cash) + model.initial_cash)
        assert abs(result.cash[bar] + held.sum() - equity) <= precision
        if equity <= 0.0:
            return  # ruined: closed at the marks
        interest = 1.0 + model.cash_rate / 365 * (bar > 0)
        assert abs((cash - paid[~late].sum()) * interest - paid[late].sum() - result.cash[bar]) <= precision
        cash = result.cash[bar]
    np.testing.assert_allclose(sum(trade.fees for trade in result.trades()), result.fees.sum(), rtol=1e-9)
