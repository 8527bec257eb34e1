"""Series that have no statistic give NaN without a warning; series that are no returns are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.statistics import METRICS, compute
from qmtl_foundation.statistics.positions import RoundTrips, position_statistics, trade_statistics, weights

NAN = float("nan")


def test_no_bar_has_no_metric() -> None:
    assert all(math.isnan(value) for value in compute([], annual_factor=252).values())


def test_one_bar_has_a_return_but_no_spread() -> None:
    found = compute([0.01], annual_factor=252)
    assert found["total_return"] == pytest.approx(0.01)
    assert all(math.isnan(found[name]) for name in ("volatility", "sharpe", "psr", "skewness", "calmar", "sortino"))


@pytest.mark.parametrize("level", [0.0, 0.001, -0.001, 0.1])
def test_a_series_that_stands_still_has_no_sharpe_ratio(level: float) -> None:
    found = compute([level] * 500, annual_factor=252)
    assert all(math.isnan(found[name]) for name in ("sharpe", "psr", "deflated_sharpe", "skewness", "excess_kurtosis"))


def test_only_gains_have_no_calmar_sortino_or_profit_factor() -> None:
    found = compute([0.01, 0.02, 0.03], annual_factor=252)
    assert all(math.isnan(found[name]) for name in ("calmar", "sortino", "profit_factor"))
    assert found["max_drawdown"] == found["max_drawdown_bars"] == 0.0
    assert found["hit_rate"] == 1.0


def test_a_loss_of_everything_is_a_drawdown_of_one() -> None:
    found = compute([0.01, -1.0, 0.0], annual_factor=252)
    assert (found["total_return"], found["cagr"], found["max_drawdown"]) == (-1.0, -1.0, 1.0)
    assert found["max_drawdown_bars"] == 2.0


def test_growth_beyond_floats_is_nan() -> None:
    assert math.isnan(compute([1e300, 1e300, -0.5], annual_factor=252)["total_return"])


@pytest.mark.parametrize(
    ("bad", "says"), [(NAN, "nan"), (float("inf"), "inf"), (-float("inf"), "-inf"), (-1.5, "-1.5")]
)
def test_what_is_no_return_is_refused_by_bar(bad: float, says: str) -> None:
    with pytest.raises(QmtlError, match=f"returns: {says} at bar 2") as refused:
        compute([0.0, 0.1, bad, 0.0], annual_factor=252)
    assert refused.value.reason is Reason.INVALID_SERIES
    assert refused.value.metadata["bar"] == "2"


@pytest.mark.parametrize("factor", [0.0, -1.0, NAN, float("inf")])
def test_a_year_without_bars_is_refused(factor: float) -> None:
    with pytest.raises(QmtlError, match="annual_factor"):
        compute([0.1, 0.2], annual_factor=factor)


def test_more_than_one_series_is_refused() -> None:
    with pytest.raises(QmtlError, match="must be one series"):
        compute(np.zeros((2, 3)), annual_factor=252)
    with pytest.raises(QmtlError, match="single number"):
        compute(0.1, annual_factor=252)


def test_unknown_trials_leave_the_deflated_sharpe_undefined() -> None:
    series = np.random.default_rng(0).normal(0.001, 0.01, 500)
    alone = compute(series, annual_factor=252)
    assert alone["deflated_sharpe"] == alone["psr"]
    assert math.isnan(compute(series, annual_factor=252, trials=10)["deflated_sharpe"])
    tried = compute(series, annual_factor=252, trials=10, trial_sharpe_variance=0.5)
    assert tried["deflated_sharpe"] < alone["psr"]


def test_null_targets_hold_the_weight_before_from_flat() -> None:
    targets = np.array([[NAN, 0.5], [0.2, NAN], [NAN, -0.1]])
    np.testing.assert_array_equal(weights(targets), [[0.0, 0.5], [0.2, 0.5], [0.2, -0.1]])


def test_position_statistics_by_hand() -> None:
    found = position_statistics(np.array([[0.0, 0.0], [0.5, 0.5], [0.5, -0.5], [NAN, NAN]]), annual_factor=252)
    assert found.turnover == pytest.approx(252 * (1.0 + 1.0) / 2 / 4)
    assert (found.average_gross, found.average_net, found.exposure) == (0.75, 0.25, 0.75)
    assert (found.max_gross, found.max_abs_net, found.max_weight) == (1.0, 1.0, 0.5)


def test_entry_at_the_first_bar_counts_as_turnover() -> None:
    assert position_statistics(np.ones((4, 1)), annual_factor=4).turnover == 0.5


def test_trade_statistics_count_closed_round_trips_only() -> None:
    trades = RoundTrips(
        entry_bar=np.array([0, 2, 5]),
        exit_bar=np.array([2, 6, 9]),
        pnl=np.array([1.0, -1.0, 5.0]),
        open=np.array([False, False, True]),
    )
    found = trade_statistics(trades)
    assert (found.trades, found.win_rate, found.average_holding_bars) == (2, 0.5, 3.0)
    metrics = compute([0.1, 0.2], annual_factor=252, targets=np.ones((2, 1)), trades=trades)
    assert metrics["trades"] == 2.0
    assert metrics["average_gross"] == 1.0
    assert set(metrics) == set(METRICS)


def test_no_closed_round_trip_has_no_win_rate() -> None:
    none = RoundTrips(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_))
    found = trade_statistics(none)
    assert found.trades == 0
    assert math.isnan(found.win_rate)
    assert math.isnan(found.average_holding_bars)


def test_bad_targets_and_trades_are_refused_by_row() -> None:
    with pytest.raises(QmtlError, match="targets: row 1: symbol 0"):
        weights(np.array([[0.0], [np.inf]]))
    with pytest.raises(QmtlError, match=r"must be \[time, symbol\]"):
        weights(np.zeros(3))
    one, no = np.array([1]), np.array([False])
    with pytest.raises(QmtlError, match=r"trades\.pnl: row 0"):
        RoundTrips(one, one, np.array([np.nan]), no)
    with pytest.raises(QmtlError, match=r"trades\.exit_bar: row 0"):
        RoundTrips(one, np.array([0]), np.array([1.0]), no)
    with pytest.raises(QmtlError, match="columns of one length"):
        RoundTrips(one, np.array([1, 2]), np.array([1.0]), no)
