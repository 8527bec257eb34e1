"""Statistics equal empyrical-reloaded, quantstats and scipy on the S&P 500, 1999 to 2018 (PyPI package arch)."""

from __future__ import annotations

import empyrical
import numpy as np
import pandas as pd
import pytest
import quantstats
from arch.data import sp500
from numpy.typing import NDArray
from scipy import stats

from qmtl_foundation.statistics import METRICS, compute

YEAR = 252
RTOL = 1e-9


@pytest.fixture(scope="module")
def index() -> pd.Series[float]:
    """Return 5,030 daily returns of the index."""
    return sp500.load()["Adj Close"].pct_change().dropna()


@pytest.fixture(scope="module")
def ours(index: pd.Series[float]) -> dict[str, float]:
    """Return our metrics of the index."""
    return compute(index.to_numpy(), annual_factor=YEAR)


def test_equal_to_empyrical(index: pd.Series[float], ours: dict[str, float]) -> None:
    theirs = {
        "total_return": empyrical.cum_returns_final(index),
        "cagr": empyrical.annual_return(index, annualization=YEAR),
        "volatility": empyrical.annual_volatility(index, annualization=YEAR),
        "sharpe": empyrical.sharpe_ratio(index, annualization=YEAR),
        "sortino": empyrical.sortino_ratio(index, annualization=YEAR),
        "calmar": empyrical.calmar_ratio(index, annualization=YEAR),
        "max_drawdown": -empyrical.max_drawdown(index),
        "var_95": -empyrical.value_at_risk(index, 0.05),
        "cvar_95": -empyrical.conditional_value_at_risk(index, 0.05),
    }
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=RTOL)


def test_equal_to_quantstats(index: pd.Series[float], ours: dict[str, float]) -> None:
    theirs = {
        "total_return": quantstats.stats.comp(index),
        "cagr": (1 + quantstats.stats.comp(index)) ** (YEAR / len(index)) - 1,
        "volatility": quantstats.stats.volatility(index, periods=YEAR),
        "sharpe": quantstats.stats.sharpe(index, periods=YEAR),
        "sortino": quantstats.stats.sortino(index, periods=YEAR),
        "max_drawdown": -quantstats.stats.max_drawdown(index),
        "hit_rate": quantstats.stats.win_rate(index),
        "profit_factor": quantstats.stats.profit_factor(index),
    }
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=RTOL)


def test_moments_equal_scipy_and_differ_from_quantstats_by_the_correction_for_bias(
    index: pd.Series[float], ours: dict[str, float]
) -> None:
    assert ours["skewness"] == pytest.approx(stats.skew(index), rel=RTOL)
    assert ours["excess_kurtosis"] == pytest.approx(stats.kurtosis(index), rel=RTOL)
    n = len(index)
    corrected = ours["skewness"] * np.sqrt(n * (n - 1)) / (n - 2)
    assert quantstats.stats.skew(index) == pytest.approx(corrected, rel=RTOL)


def test_longest_drawdown_in_bars_equals_a_count_by_pandas(index: pd.Series[float], ours: dict[str, float]) -> None:
    value = (1 + index).cumprod()
    below = value < value.cummax().clip(lower=1.0)
    assert ours["max_drawdown_bars"] == below.groupby((~below).cumsum()).sum().max()


def test_every_metric_of_the_catalog_is_named_and_documented(ours: dict[str, float]) -> None:
    assert list(ours) == list(METRICS)
    assert all(metric.name == name and metric.formula and metric.source for name, metric in METRICS.items())


def _matrix() -> NDArray[np.float64]:
    return np.random.default_rng(2).normal(0.0003, 0.01, (7, 3, 400))


def test_batches_equal_series_taken_one_by_one() -> None:
    from qmtl_foundation.statistics import returns

    matrix = _matrix()
    batch = {
        "sharpe": returns.sharpe(matrix, YEAR),
        "sortino": returns.sortino(matrix, YEAR),
        "max_drawdown": returns.max_drawdown(matrix),
        "calmar": returns.calmar(matrix, YEAR),
    }
    for place in np.ndindex(7, 3):
        one = compute(matrix[place], annual_factor=YEAR)
        for name, values in batch.items():
            assert values[place] == pytest.approx(one[name], rel=1e-12)
