"""Whatever a strategy computes, its live targets are its backtest's to the bit, and go on from any snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_model import Sizing, SizingRule
from qmtl_sdk import Node, Strategy, StreamInput
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import BarGrid, bar_grid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import parse_instant
from qmtl_sdk.live.feed import replay
from tests.support.replays import backtested, same_bits

HOUR = 3_600
BARS = 160  # four weeks of seven hours a day
SYMBOLS = ("A", "B", "C")

Draw = Callable[[st.SearchStrategy[Any]], Any]


@pytest.fixture(scope="module")
def grid() -> BarGrid:
    """Return hours over a change of the clocks."""
    whole = bar_grid("XNYS", HOUR, parse_instant("2013-03-01", "start"), parse_instant("2013-05-01", "end"))
    return whole.take(slice(0, BARS))


def streams_of(grid: BarGrid, seed: int, holes: float) -> Streams:
    """Return bars with ties, stretches that stand still, and nulls."""
    random = np.random.default_rng(seed)

    def column() -> NDArray[np.float64]:
        walk = 100.0 * np.exp(np.cumsum(random.normal(scale=0.02, size=(BARS, len(SYMBOLS))), axis=0))
        walk[BARS // 3 : BARS // 2] = np.round(walk[BARS // 3], 1)
        walk[random.uniform(size=walk.shape) < holes] = np.nan
        return walk

    bars = {name: column() for name in ("open", "high", "low", "close", "volume")}
    mood = Panel(grid.closes, SYMBOLS[:2], {"score": column()[:, :2].copy()}, HOUR)
    return Streams("hours", Panel(grid.closes, SYMBOLS, bars, HOUR), grid, "XNYS", {"mood": mood})


def averaged(state: tuple[float, int], bar: Any) -> tuple[tuple[float, int], float | None]:
    """Average exponentially; say nothing of every fifth bar."""
    mean, bars = state
    mean = 0.8 * mean + 0.2 * bar["value"]
    return (mean, bars + 1), None if bars % 5 == 4 else mean


def held(state: float, bar: Any) -> tuple[float, bool]:
    """Remember the highest value."""
    return max(state, bar["value"]), bar["value"] > 0.95 * state


def deviation(view: Any) -> Any:
    """Return a rolling deviation of Polars, which accumulates."""
    return pl.col("value").rolling_std(6)


def ratio(view: Any) -> Any:
    """Divide by the mean of a window that is summed up by itself."""
    values = view["value"].array()
    sums = np.full(values.shape, np.nan)
    if len(values) >= 4:
        sums[3:] = np.lib.stride_tricks.sliding_window_view(values, 4, axis=0).sum(axis=-1)
    return sums


def leaf(draw: Draw) -> Node:
    """Return a column on some clock."""
    source = draw(st.sampled_from([None, None, "4h", "1d", "1w", "mood"]))
    if source == "mood":
        return StreamInput("mood")["score"]
    return StreamInput("bars", interval=source)[draw(st.sampled_from(["open", "close", "volume"]))]


def number(draw: Draw, depth: int) -> Node:
    """Return an expression of numbers."""
    if depth == 0:
        return leaf(draw)
    value = number(draw, depth - 1)
    window = draw(st.integers(2, 12))
    makers: list[Callable[[], Node]] = [
        lambda: value + number(draw, depth - 1),
        lambda: value / number(draw, depth - 1),
        lambda: value.maximum(0.5) ** 0.5,
        lambda: value.shift(window),
        lambda: value.pct_change(window),
        lambda: value.rolling_mean(window),
        lambda: value.rolling_std(window),
        lambda: value.rolling_zscore(window),
        lambda: value.rolling_quantile(window, 0.3),
        lambda: value.rolling_rank(window),
        lambda: value.rolling_slope(window),
        lambda: value.rolling_corr(number(draw, depth - 1), window),
        lambda: value.ewm_mean(3, window=window),
        lambda: value.rank(),
        lambda: value.demean(),
        lambda: value.neutralize(StreamInput("bars")["volume"]),
        lambda: truth(draw, depth - 1).when(value, else_=draw(st.sampled_from([None, 0.0]))),
        lambda: Node(averaged, input=value, initial=(0.0, 0), warmup=draw(st.integers(0, 9))),
        lambda: Node(deviation, input=value, period=6),
        lambda: Node(ratio, input=value, period=4),
        lambda: Node(ratio, input=value, period=4, cross_section=True),
    ]
    return draw(st.sampled_from(makers))()


def truth(draw: Draw, depth: int) -> Node:
    """Return an expression of truth."""
    value = number(draw, max(depth - 1, 0))
    makers: list[Callable[[], Node]] = [
        lambda: value > value.rolling_mean(5),
        lambda: value <= leaf(draw),
        lambda: Node(held, input=value, initial=0.0, warmup=draw(st.integers(0, 9))),
        lambda: ~(value > 1.0) & value.is_null(),
    ]
    return draw(st.sampled_from(makers))()


Statement = Callable[[Strategy], None]


def output(draw: Draw) -> Statement:
    """Return what states some output; it is drawn before ``setup`` runs, which takes every exception for its own."""
    value, up = number(draw, draw(st.integers(1, 3))), truth(draw, 2)
    ways: list[Statement] = [
        lambda strategy: strategy.target(value.rank()),
        lambda strategy: strategy.target(up.long_only()),
        lambda strategy: strategy.signal(value.demean()),
        lambda strategy: strategy.target({"A": value.symbol("A"), "C": 0.5}),
    ]
    return draw(st.sampled_from(ways))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), holes=st.sampled_from([0.0, 0.02]), cut=st.integers(0, BARS - 1))
def test_random_programs(grid: BarGrid, data: st.DataObject, seed: int, holes: float, cut: int) -> None:
    state = output(data.draw)

    class Drawn(Strategy):
        def setup(self) -> None:
            state(self)

    streams = streams_of(grid, seed, holes)
    try:
        backtest = backtested(Drawn, streams, SizingRule(Sizing.LONG_SHORT, 2.0))
    except QmtlError:  # such as a fold of truth that has no value within these weeks: its kind is not known
        reject()
    assert same_bits(backtest.live_targets(), backtest.targets)
    moments = list(replay(backtest.program, streams))
    evaluator = backtest.evaluator()
    for moment in moments[:cut]:
        evaluator.step(moment)
    resumed = backtest.evaluator(evaluator.snapshot())
    rest = np.stack([resumed.step(moment) for moment in moments[cut:]])
    assert same_bits(rest, backtest.targets[cut:])
