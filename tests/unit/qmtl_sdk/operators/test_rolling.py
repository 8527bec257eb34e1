"""Rolling operators against pandas and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.strategy import StreamInput

WINDOWS = (2, 3, 7, 16, 50, 63)

AGAINST_PANDAS: dict[str, Callable[[Any, int], Any]] = {
    "rolling_mean": lambda frame, window: frame.rolling(window).mean(),
    "rolling_sum": lambda frame, window: frame.rolling(window).sum(),
    "rolling_min": lambda frame, window: frame.rolling(window).min(),
    "rolling_max": lambda frame, window: frame.rolling(window).max(),
    "rolling_median": lambda frame, window: frame.rolling(window).median(),
    "rolling_rank": lambda frame, window: frame.rolling(window).rank(pct=True),
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("operator", AGAINST_PANDAS)
def test_operator_equals_pandas(operator: str, window: int, compute: Any, prices: NDArray[np.float64]) -> None:
    ours = compute(lambda node: getattr(node, operator)(window), prices).numbers()
    np.testing.assert_allclose(ours, AGAINST_PANDAS[operator](pd.DataFrame(prices), window), rtol=1e-10)


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.25, 0.9, 1.0])
def test_rolling_quantile_equals_numpy(quantile: float, compute: Any, prices: NDArray[np.float64]) -> None:
    ours = compute(lambda node: node.rolling_quantile(20, quantile), prices).numbers()
    windows = np.lib.stride_tricks.sliding_window_view(prices, 20, axis=0)
    np.testing.assert_allclose(ours[19:], np.quantile(windows, quantile, axis=-1), rtol=1e-12)


# pandas updates a running variance: it is off by 1e-6 where the price stands still, so NumPy's on each window.
def test_rolling_std_equals_numpy_to_the_last_digits(compute: Any, prices: NDArray[np.float64]) -> None:
    ours = compute(lambda node: node.rolling_std(30), prices).numbers()
    windows = np.lib.stride_tricks.sliding_window_view(prices, 30, axis=0)
    np.testing.assert_allclose(ours[29:], windows.std(axis=-1, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_rolling_corr_equals_numpy(window: int, compute: Any, prices: NDArray[np.float64]) -> None:
    other = np.roll(prices, 1, axis=1)
    ours = compute(lambda left, right: left.rolling_corr(right, window), prices, other).numbers()
    for bar in (99, 210, 420, 599):
        for symbol in range(prices.shape[1]):
            pair = prices[bar - window + 1 : bar + 1, symbol], other[bar - window + 1 : bar + 1, symbol]
            if not np.isnan(pair).any():
                assert ours[bar, symbol] == pytest.approx(np.corrcoef(*pair)[0, 1], abs=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
def test_rolling_slope_equals_numpy_polyfit(window: int, compute: Any, prices: NDArray[np.float64]) -> None:
    ours = compute(lambda node: node.rolling_slope(window), prices).numbers()
    for bar in (99, 210, 420, 599):
        past = prices[bar - window + 1 : bar + 1, 0]
        if not np.isnan(past).any():
            assert ours[bar, 0] == pytest.approx(np.polyfit(np.arange(window), past, 1)[0], rel=1e-9, abs=1e-12)


def test_ewm_mean_equals_pandas_on_its_window(compute: Any, prices: NDArray[np.float64]) -> None:
    ours = compute(lambda node: node.ewm_mean(9, window=40), prices[:, :1]).numbers()[:, 0]
    for bar in (39, 100, 599):
        window = pd.Series(prices[bar - 39 : bar + 1, 0])
        if not window.isna().any():
            assert ours[bar] == pytest.approx(window.ewm(span=9, adjust=True).mean().iloc[-1], rel=1e-12)


def test_ewm_mean_default_window_is_close_to_the_endless_one_of_pandas(compute: Any) -> None:
    walk = 100.0 + np.cumsum(np.random.default_rng(3).normal(size=800))
    ours = compute(lambda node: node.ewm_mean(20), walk).numbers()[-1, 0]
    assert ours == pytest.approx(pd.Series(walk).ewm(span=20, adjust=False).mean().iloc[-1], rel=1e-5)


def test_pct_change_and_shift_equal_pandas(compute: Any, prices: NDArray[np.float64]) -> None:
    frame = pd.DataFrame(prices)
    changed = compute(lambda node: node.pct_change(3), prices).numbers()
    np.testing.assert_allclose(changed, frame.pct_change(3, fill_method=None), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(compute(lambda node: node.shift(4), prices).numbers(), frame.shift(4))
    np.testing.assert_array_equal(compute(lambda node: node.shift(0), prices).numbers(), prices)


def test_window_longer_than_the_history_is_null_everywhere(compute: Any) -> None:
    for operator in (*AGAINST_PANDAS, "rolling_std", "rolling_slope", "rolling_zscore", "ewm_mean"):
        stated = {"window": 50, **({"span": 5} if operator == "ewm_mean" else {})}
        expression = methodcaller(operator, **stated)
        assert np.isnan(compute(expression, np.arange(10.0)).numbers()).all(), operator
    assert np.isnan(compute(lambda node: node.shift(50), np.arange(10.0)).numbers()).all()


@pytest.mark.parametrize("price", [0.1, 1 / 3, 100.07, 1e-8, 7e12])
def test_means_of_prices_that_stand_still_are_the_price_itself(price: float, compute: Any) -> None:
    still = np.full(200, price)
    for window in WINDOWS:
        assert (compute(lambda node, w=window: node.rolling_mean(w), still).numbers()[window - 1 :] == price).all()
        assert (compute(lambda node, w=window: node.rolling_std(w), still).numbers()[window - 1 :] == 0.0).all()
    assert (compute(lambda node: node.ewm_mean(10, window=50), still).numbers()[49:] == price).all()
    crossed = compute(lambda node: node.rolling_mean(10) > node.rolling_mean(50), still).data
    assert (crossed[49:] == 0).all()


def test_what_does_not_vary_has_no_zscore_and_no_correlation(compute: Any) -> None:
    still, moving = np.full(60, 0.1), np.sin(np.arange(60.0))
    assert np.isnan(compute(lambda node: node.rolling_zscore(20), still).numbers()).all()
    assert np.isnan(compute(lambda a, b: a.rolling_corr(b, 20), still, moving).numbers()).all()


@pytest.mark.parametrize("bars", [-1, 1.5, True, "2"])
def test_negative_shift_is_refused_as_look_ahead(bars: Any) -> None:
    with pytest.raises(QmtlError, match="look-ahead"):
        StreamInput("bars")["close"].shift(bars)


@pytest.mark.parametrize("window", [0, -5, 2.0, True, None, 10**9])
def test_bad_window_is_refused_by_name(window: Any) -> None:
    with pytest.raises(QmtlError, match="window") as refused:
        StreamInput("bars")["close"].rolling_mean(window)
    assert refused.value.metadata["field"] == "window"
