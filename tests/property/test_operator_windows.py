"""Live equals backtest bit for bit: an operator's value from its window alone is its value from the whole history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.operators import ta
from qmtl_sdk.operators.catalog import OPERATORS
from qmtl_sdk.strategy import Node, StreamInput
from qmtl_sdk.strategy.evaluate import evaluate

BARS = StreamInput("bars")
A, B = BARS["a"], BARS["b"]
BAR_NS = 86_400 * 10**9

# One or more expressions of every operator that computes values; `w` is a window of 2 bars or more.
EXPRESSIONS: dict[str, Callable[[int], Node]] = {
    "constant": lambda w: A._apply("constant", {"clock": A, "value": 0.5}),
    "add": lambda w: A + B,
    "subtract": lambda w: A - B,
    "multiply": lambda w: A * B,
    "divide": lambda w: A / B,
    "power": lambda w: A.abs() ** 0.5,
    "minimum": lambda w: A.minimum(B),
    "maximum": lambda w: A.maximum(B),
    "negative": lambda w: -A,
    "abs": lambda w: A.abs(),
    "sign": lambda w: A.sign(),
    "log": lambda w: A.log(),
    "exp": lambda w: A.exp(),
    "sqrt": lambda w: A.sqrt(),
    "clip": lambda w: A.clip(-1.0, 1.0),
    "greater": lambda w: A > B,
    "greater_equal": lambda w: A >= B,
    "less": lambda w: A < B,
    "less_equal": lambda w: A <= B,
    "equal": lambda w: A == B,
    "not_equal": lambda w: A != B,
    "and": lambda w: (A > 0) & (B > 0),
    "or": lambda w: (A > 0) | (B > 0),
    "not": lambda w: ~(A > 0),
    "is_null": lambda w: A.is_null(),
    "when": lambda w: (A > 0).when(A, else_=B),
    "shift": lambda w: A.shift(w),
    "pct_change": lambda w: A.pct_change(w),
    "rolling_mean": lambda w: A.rolling_mean(w),
    "rolling_sum": lambda w: A.rolling_sum(w),
    "rolling_std": lambda w: A.rolling_std(w),
    "rolling_min": lambda w: A.rolling_min(w),
    "rolling_max": lambda w: A.rolling_max(w),
    "rolling_median": lambda w: A.rolling_median(w),
    "rolling_quantile": lambda w: A.rolling_quantile(w, 0.3),
    "rolling_zscore": lambda w: A.rolling_zscore(w),
    "rolling_rank": lambda w: A.rolling_rank(w),
    "rolling_corr": lambda w: A.rolling_corr(B, w),
    "rolling_slope": lambda w: A.rolling_slope(w),
    "ewm_mean": lambda w: A.ewm_mean(5, window=w),
    "rank": lambda w: A.rank(),
    "demean": lambda w: A.demean(),
    "zscore": lambda w: A.zscore(),
    "neutralize": lambda w: A.neutralize(B),
    "long_only": lambda w: A.long_only(),
    "long_short": lambda w: A.long_short(),
}
RELOCATING = {"column", "symbol", "as_of"}  # they compute nothing: tested with the intervals


def panel(a: NDArray[np.float64], b: NDArray[np.float64]) -> Panel:
    """Return a panel of two columns."""
    columns = {"a": np.ascontiguousarray(a), "b": np.ascontiguousarray(b)}
    symbols = tuple(f"S{index}" for index in range(a.shape[1]))
    return Panel(np.arange(len(a), dtype=np.int64) * BAR_NS, symbols, columns, 86_400)


def computed(node: Node, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[Any]:
    """Return a node's data on two columns."""
    return evaluate([node], {BARS.node_id: panel(a, b)})[node.node_id].data


def columns(seed: int, bars: int, symbols: int, holes: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two columns of mixed magnitudes with nulls, ties and stretches that stand still."""
    generator = np.random.default_rng(seed)
    a = generator.normal(size=(bars, symbols)) * 10.0 ** generator.integers(-3, 4, size=(bars, symbols))
    b = np.round(generator.normal(size=(bars, symbols)), 1)
    a[bars // 3 : bars // 2] = a[bars // 3]
    a[generator.uniform(size=a.shape) < holes] = np.nan
    b[generator.uniform(size=b.shape) < holes] = np.nan
    return a, b


def bits(data: NDArray[Any]) -> list[bytes]:
    """Return each element's bits, with one NaN for all."""
    data = np.where(np.isnan(data), np.nan, data) if data.dtype.kind == "f" else data
    return [element.tobytes() for element in np.atleast_1d(data)]


def test_every_operator_is_covered() -> None:
    assert set(EXPRESSIONS) == set(OPERATORS) - RELOCATING


@pytest.mark.parametrize("operator", EXPRESSIONS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    window=st.integers(2, 40),
    symbols=st.sampled_from([1, 3]),
    holes=st.sampled_from([0.0, 0.02]),
)
def test_window_alone_gives_the_same_bits(operator: str, seed: int, window: int, symbols: int, holes: float) -> None:
    a, b = columns(seed, 90, symbols, holes)
    node = EXPRESSIONS[operator](window)
    # Inner nodes of the expression have a period of 1, so the outer node's period is the whole dependency.
    whole = computed(node, a, b)
    for bar in {node.period - 1, 45, 60, 89}:
        first = bar - node.period + 1
        if first >= 0:
            alone = computed(node, a[first : bar + 1], b[first : bar + 1])
            assert bits(alone[-1]) == bits(whole[bar]), (operator, bar)


@pytest.mark.parametrize("bars", [0, 1, 2])
@pytest.mark.parametrize("operator", EXPRESSIONS)
def test_history_shorter_than_the_window_has_its_shape(operator: str, bars: int) -> None:
    a, b = columns(0, bars, 3, 0.0) if bars else (np.empty((0, 3)), np.empty((0, 3)))
    assert computed(EXPRESSIONS[operator](5), a, b).shape == (bars, 3)


@pytest.mark.parametrize("window", [2, 63, 64, 100, 1_000])
def test_chunks_of_a_long_history_leave_no_trace(window: int) -> None:
    a, b = columns(window, 12_000, 2, 0.0)
    for make in (A.rolling_mean, A.rolling_sum, A.rolling_min, A.rolling_std, A.rolling_slope, A.rolling_median):
        node = make(window)
        whole = computed(node, a, b)
        for bar in (window - 1, 4_095, 4_096, 8_192 + window, 11_999):
            alone = computed(node, a[bar - window + 1 : bar + 1], b[bar - window + 1 : bar + 1])
            assert bits(alone[-1]) == bits(whole[bar])


@pytest.mark.parametrize("name", ["EMA", "RSI", "SMA", "STDDEV", "TRIX", "LINEARREG"])
def test_talib_window_alone_gives_the_same_bits(name: str) -> None:
    a, b = columns(1, 400, 1, 0.0)
    node = getattr(ta, name)(A, timeperiod=5)
    whole = computed(node, a, b)
    for bar in (node.period - 1, 300, 399):
        alone = computed(node, a[bar - node.period + 1 : bar + 1], b[bar - node.period + 1 : bar + 1])
        assert bits(alone[-1]) == bits(whole[bar])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(0.01, 1e6))
def test_mean_of_a_constant_is_the_constant(seed: int, window: int, price: float) -> None:
    still = np.full((70, 1), price)
    node = A.rolling_mean(window)
    assert (computed(node, still, still)[window - 1 :] == price).all()
