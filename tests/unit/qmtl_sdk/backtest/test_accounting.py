"""The rules of accounting, one by one, on prices small enough to do by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import ExecutionModel, Fill, Rebalance
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.data.panel import Panel

NAN = float("nan")
DAY_NS = 86_400 * 1_000_000_000


def panel(closes: list[list[float]], opens: list[list[float]] | None = None) -> Panel:
    """Return daily prices of the symbols A, B, …; opens equal closes unless given."""
    close = np.array(closes)
    symbols = tuple("ABCDEFGH"[: close.shape[1]])
    opened = close.copy() if opens is None else np.array(opens)
    return Panel(np.arange(1, len(close) + 1) * DAY_NS, symbols, {"open": opened, "close": close}, 86_400)


def one(values: list[float]) -> np.ndarray:
    """Return targets of one symbol."""
    return np.array(values)[:, None]


def test_target_decided_at_a_close_fills_at_the_next_open() -> None:
    prices = panel([[10.0], [12.0], [12.0]], [[10.0], [11.0], [12.0]])
    result = account(prices, one([1.0, 1.0, 1.0]), ExecutionModel(initial_cash=1_100.0))
    assert result.fills.bar.tolist() == [1]
    assert result.fills.price.tolist() == [11.0]
    np.testing.assert_allclose(result.positions[:, 0], [0.0, 100.0, 100.0])
    np.testing.assert_allclose(result.equity, [1_100.0, 1_200.0, 1_200.0])
    np.testing.assert_allclose(result.returns, [0.0, 1 / 11, 0.0])


def test_target_of_the_last_bar_is_never_filled_at_the_next_open() -> None:
    result = account(panel([[10.0], [10.0]]), one([0.0, 1.0]), ExecutionModel())
    assert len(result.fills) == 0


@pytest.mark.parametrize("fill", list(Fill))
def test_bar_without_a_close_is_marked_at_its_open_whatever_the_fill(fill: Fill) -> None:
    prices = panel([[10.0], [10.0], [NAN], [20.0]], [[10.0], [10.0], [20.0], [20.0]])
    result = account(prices, one([1.0] * 4), ExecutionModel(fill=fill, initial_cash=1_000.0))
    np.testing.assert_allclose(result.equity, [1_000.0, 1_000.0, 2_000.0, 2_000.0])


def test_fill_at_the_close_waits_over_a_bar_that_has_only_an_open() -> None:
    prices = panel([[10.0], [NAN], [40.0]], [[10.0], [20.0], [30.0]])
    result = account(prices, one([NAN, 1.0, 1.0]), ExecutionModel(fill=Fill.CLOSE, initial_cash=1_000.0))
    assert (result.fills.bar.tolist(), result.fills.price.tolist()) == ([2], [40.0])


def test_symbol_with_a_last_open_is_delisted_at_the_same_bar_whatever_the_fill() -> None:
    prices = panel(
        [[10.0, 1.0], [10.0, 1.0], [NAN, 1.0], [NAN, 1.0]], [[10.0, 1.0], [10.0, 1.0], [8.0, 1.0], [NAN, 1.0]]
    )
    targets = np.array([[1.0, 0.0]] * 4)
    for fill in Fill:
        result = account(prices, targets, ExecutionModel(fill=fill, initial_cash=1_000.0))
        assert (result.fills.bar.tolist()[-1], result.fills.price.tolist()[-1]) == (3, 8.0)


def test_null_target_holds_the_position_and_zero_is_flat() -> None:
    prices = panel([[10.0], [20.0], [5.0], [10.0]])
    result = account(prices, one([1.0, NAN, NAN, 0.0]), ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0))
    np.testing.assert_allclose(result.positions[:, 0], [10.0, 10.0, 10.0, 0.0])


def test_on_change_lets_weights_drift_and_every_bar_restores_them() -> None:
    prices = panel([[10.0, 10.0], [20.0, 10.0], [20.0, 10.0]])
    targets = np.full((3, 2), 0.5)
    held = account(prices, targets, ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0))
    np.testing.assert_allclose(held.positions[1], [5.0, 5.0])
    model = ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0, rebalance=Rebalance.EVERY_BAR)
    np.testing.assert_allclose(account(prices, targets, model).positions[1], [3.75, 7.5])


def test_drift_trades_only_beyond_its_distance() -> None:
    prices = panel([[10.0], [11.0], [40.0]])
    model = ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0, rebalance=Rebalance.DRIFT, drift=0.1)
    result = account(prices, one([0.5, 0.5, 0.5]), model)
    assert result.fills.bar.tolist() == [0, 2]
    assert result.positions[2, 0] * 40.0 == pytest.approx(result.equity[2] / 2)


def test_drift_leaves_a_null_target_alone() -> None:
    prices = panel([[10.0], [40.0]])
    model = ExecutionModel(fill=Fill.CLOSE, rebalance=Rebalance.DRIFT, drift=0.01)
    assert account(prices, one([0.5, NAN]), model).fills.bar.tolist() == [0]


def test_fee_and_slippage_are_paid_out_of_the_cash() -> None:
    prices = panel([[10.0], [10.0], [10.0]])
    model = ExecutionModel(fill=Fill.CLOSE, initial_cash=1_000.0, fee_bp=100.0, slippage_bp=50.0)
    result = account(prices, one([1.0, 1.0, 0.0]), model)
    bought = 1_000.0 / 1.01 / 10.05
    assert result.positions[0, 0] == pytest.approx(bought)
    assert result.cash[0] == 0.0
    assert result.fees.tolist() == pytest.approx([1_000.0 - 1_000.0 / 1.01, 0.0, bought * 9.95 * 0.01])
    assert result.equity[-1] == pytest.approx(bought * 9.95 * 0.99)
    assert result.turnover[2] == pytest.approx(bought * 9.95 / result.equity[1] / 2)


def test_order_without_a_price_waits_while_its_target_stands() -> None:
    prices = panel([[10.0], [10.0], [11.0], [12.0]], [[10.0], [NAN], [NAN], [12.0]])
    result = account(prices, one([1.0, NAN, 1.0, 1.0]), ExecutionModel())
    assert result.fills.bar.tolist() == [3]
    replaced = account(prices, one([1.0, 0.0, 0.0, 0.0]), ExecutionModel())
    assert len(replaced.fills) == 0


def test_missing_close_is_marked_at_the_last_known_price() -> None:
    prices = panel([[10.0], [12.0], [NAN], [13.0]])
    result = account(prices, one([1.0] * 4), ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0))
    np.testing.assert_allclose(result.equity, [100.0, 120.0, 120.0, 130.0])


def test_delisted_position_is_closed_at_the_last_known_price_with_costs() -> None:
    prices = panel([[10.0, 5.0], [12.0, 5.0], [NAN, 5.0], [NAN, 5.0]])
    model = ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0, fee_bp=100.0)
    result = account(prices, np.array([[0.5, 0.0], [NAN, 0.0], [0.9, 0.0], [NAN, 1.0]]), model)
    assert result.fills.bar.tolist() == [0, 2, 3]
    assert result.fills.price[1] == 12.0
    assert result.fees[2] == pytest.approx(5.0 * 12.0 * 0.01)
    assert result.positions[2:, 0].tolist() == [0.0, 0.0]
    assert [trade.open for trade in result.trades()] == [False, True]


def test_symbol_that_never_has_a_price_is_never_traded() -> None:
    prices = panel([[NAN, 5.0], [NAN, 5.0]])
    result = account(prices, np.array([[0.5, 0.5], [0.5, 0.5]]), ExecutionModel(fill=Fill.CLOSE))
    assert result.fills.symbol.tolist() == [1]


def test_short_earns_when_the_price_falls() -> None:
    prices = panel([[10.0], [8.0], [8.0]])
    result = account(
        prices, one([-1.0, -1.0, 0.0]), ExecutionModel(fill=Fill.CLOSE, can_short=True, initial_cash=100.0)
    )
    np.testing.assert_allclose(result.equity, [100.0, 120.0, 120.0])
    (trade,) = result.trades()
    assert (trade.side, trade.pnl, trade.return_) == (-1, pytest.approx(20.0), pytest.approx(0.2))


def test_ruin_closes_everything_and_earns_nothing_after() -> None:
    prices = panel([[10.0], [25.0], [5.0], [5.0]])
    model = ExecutionModel(fill=Fill.CLOSE, can_short=True, initial_cash=100.0)
    result = account(prices, one([-1.0, NAN, 1.0, -1.0]), model)
    np.testing.assert_allclose(result.equity, [100.0, -50.0, -50.0, -50.0])
    np.testing.assert_allclose(result.returns, [0.0, -1.0, 0.0, 0.0])
    np.testing.assert_allclose(result.drawdown, [0.0, 1.0, 1.0, 1.0])
    assert result.positions[1:].tolist() == [[0.0], [0.0], [0.0]]


def test_drawdown_is_counted_from_the_initial_cash() -> None:
    prices = panel([[10.0], [8.0], [12.0], [9.0]])
    model = ExecutionModel(fill=Fill.CLOSE, initial_cash=100.0)
    np.testing.assert_allclose(account(prices, one([1.0] * 4), model).drawdown, [0.0, 0.2, 0.0, 0.25])


def test_cash_earns_its_rate_over_the_days_that_pass() -> None:
    prices = panel([[10.0]] * 366)
    result = account(prices, one([0.0] * 366), ExecutionModel(cash_rate=0.0365, initial_cash=100.0))
    assert result.equity[-1] == pytest.approx(100.0 * (1 + 0.0365 / 365) ** 365, rel=1e-12)


def test_fill_through_zero_is_two_round_trips_that_share_the_fee() -> None:
    prices = panel([[10.0], [10.0], [20.0]])
    model = ExecutionModel(fill=Fill.CLOSE, can_short=True, initial_cash=100.0, fee_bp=100.0)
    result = account(prices, one([0.5, -0.5, 0.0]), model)
    long, short = result.trades()
    assert [long.side, short.side] == [1, -1]
    assert long.fees + short.fees == pytest.approx(result.fees.sum())
    assert long.pnl + short.pnl == pytest.approx(result.equity[-1] - 100.0)
    assert result.trades().frame().columns == [
        "symbol", "entry_ts", "exit_ts", "side", "size", "entry_price", "exit_price", "fees", "pnl", "return_", "open",
    ]  # fmt: skip
    assert result.fills_frame()["symbol"].to_list() == ["A", "A", "A"]


def test_results_up_to_a_bar_do_not_depend_on_later_prices() -> None:
    random = np.random.default_rng(5)
    prices = panel((100.0 * np.exp(np.cumsum(random.normal(0, 0.02, (80, 3)), axis=0))).tolist())
    targets = np.where(random.random((80, 3)) < 0.7, NAN, random.random((80, 3)) / 3)
    model = ExecutionModel(fee_bp=10.0)
    whole = account(prices, targets, model)
    for end in (1, 20, 79):
        columns = {name: np.ascontiguousarray(column[:end]) for name, column in prices.columns.items()}
        part = account(Panel(prices.timestamps[:end], prices.symbols, columns, 86_400), targets[:end], model)
        np.testing.assert_array_equal(part.equity, whole.equity[:end])


@pytest.mark.parametrize(
    ("closes", "targets", "reason", "names"),
    [
        ([[10.0], [10.0]], [0.0, -0.5], Reason.INVALID_FIELD, ("targets", "A", "bar 1", "can_short", "-0.5")),
        ([[10.0], [10.0]], [float("inf"), 0.0], Reason.INVALID_FIELD, ("targets", "A", "bar 0", "finite")),
        ([[10.0], [0.0]], [0.0, 0.0], Reason.DATA_INVALID, ("prices", "A", "bar 1", "positive")),
        ([[10.0], [float("inf")]], [0.0, 0.0], Reason.DATA_INVALID, ("prices", "A", "bar 1")),
    ],
)
def test_bad_input_is_refused_by_bar_and_symbol(
    closes: list[list[float]], targets: list[float], reason: Reason, names: tuple[str, ...]
) -> None:
    with pytest.raises(QmtlError) as refused:
        account(panel(closes), one(targets), ExecutionModel())
    assert refused.value.reason is reason
    assert all(name in refused.value.message for name in names)
    assert refused.value.metadata["symbol"] == "A"
    assert f"({refused.value.metadata['timestamp']})" in refused.value.message
    assert refused.value.metadata["timestamp"].endswith("Z")


def test_bad_open_is_refused_where_it_would_fill() -> None:
    with pytest.raises(QmtlError, match="A at bar 1"):
        account(panel([[10.0], [10.0]], [[10.0], [-1.0]]), one([1.0, 1.0]), ExecutionModel())


def test_missing_column_wrong_shape_and_no_bar_are_refused() -> None:
    prices = panel([[10.0], [10.0]])
    closes_only = Panel(prices.timestamps, prices.symbols, {"close": prices.columns["close"]}, 86_400)
    with pytest.raises(QmtlError, match="'open' is needed"):
        account(closes_only, one([0.0, 0.0]), ExecutionModel())
    account(closes_only, one([0.0, 0.0]), ExecutionModel(fill=Fill.CLOSE))
    with pytest.raises(QmtlError, match=r"must be float64 \[2, 1\]"):
        account(prices, np.zeros((3, 1)), ExecutionModel())
    empty = Panel(np.empty(0, np.int64), ("A",), {"open": np.empty((0, 1)), "close": np.empty((0, 1))}, 86_400)
    with pytest.raises(QmtlError) as refused:
        account(empty, np.empty((0, 1)), ExecutionModel())
    assert refused.value.reason is Reason.DATA_UNAVAILABLE


def test_trades_are_in_order_of_entry() -> None:
    prices = panel([[10.0, 10.0]] * 6)
    targets = np.array([[0.5, 0.0], [0.5, 0.5], [0.5, 0.0], [0.0, 0.5], [0.2, 0.0], [0.0, 0.0]])
    trades = account(prices, targets, ExecutionModel(fill=Fill.CLOSE)).trades()
    assert len(trades) == 4
    assert all(a <= b for a, b in pairwise(trades.entry_bar.tolist()))
