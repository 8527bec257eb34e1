"""Live evaluation, bar by bar: the targets of the backtest to the bit, from bounded memory, resumable anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import Sizing, SizingRule
from qmtl_sdk import Node, Strategy, StreamInput, TagQueryNode, long_short
from qmtl_sdk.cli.loading import load_class
from qmtl_sdk.data.coarse import coarser
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.live.feed import Moment, replay
from qmtl_sdk.strategy.function import STRETCH_BARS
from tests.support.replays import backtested, same_bits

EXAMPLES = Path(__file__).parents[4] / "examples"
TRADABLE = ("breakout", "momentum", "reversion", "sma_cross", "vol_target", "weekly_trend")


def example(name: str) -> type[Strategy]:
    """Return the strategy of an example."""
    return load_class(str(EXAMPLES / f"{name}.py"))


def first_bars(streams: Streams, bars: int) -> Streams:
    """Return the beginning of streams of days."""
    whole = streams.bars
    columns = {name: column[:bars] for name, column in whole.columns.items()}
    panel = Panel(whole.timestamps[:bars], whole.symbols, columns, whole.interval_s)
    return Streams(streams.preset, panel, streams.grid.take(slice(0, bars)), streams.calendar, {})


def test_every_example_that_can_trade_is_covered() -> None:
    there = {path.stem for path in EXAMPLES.glob("*.py")}
    assert there == {*TRADABLE, "demo", "clairvoyant"}  # a look-ahead has no live targets


@pytest.mark.parametrize("name", TRADABLE)
def test_examples_have_the_targets_of_their_backtests(name: str, sample: Streams) -> None:
    backtest = backtested(example(name), sample)
    assert not np.isnan(backtest.targets).all()
    assert same_bits(backtest.live_targets(), backtest.targets)


def summed(state: float, bar: Any) -> tuple[float, float]:
    """Average exponentially."""
    state = 0.9 * state + 0.1 * bar["value"]
    return state, state


def rising(state: tuple[float, int], bar: Any) -> tuple[tuple[float, int], bool]:
    """Tell after a warm-up whether a value rose."""
    last, bars = state
    return (bar.value, bars + 1), bar.value > last


def spread(view: Any) -> Any:
    """Return where a close stands among its last ten, of all symbols."""
    close = view["value"].array()
    return close - np.nanmean(close, axis=1, keepdims=True)


def running_sum(view: Any) -> Any:
    """Return a rolling sum of 20 bars that accumulates."""
    sums = np.cumsum(np.nan_to_num(view["value"].array()))
    sums[20:] -= sums[:-20].copy()
    return sums


def below_mean(view: Any) -> Any:
    """Compare with a rolling mean of Polars, which accumulates."""
    return pl.col("value") < pl.col("value").rolling_mean(30)


class ManyClocks(Strategy):
    """Join hours, four hours, days and weeks, folds on two of them, and what was published."""

    def setup(self) -> None:
        hourly, daily = self.bars()["close"], self.bars(interval="1d")
        fold = Node(summed, input=daily["close"], initial=0.0, warmup=5)
        four = self.bars(interval="4h")["volume"].rolling_zscore(6)
        mood = StreamInput("mood")["score"].ewm_mean(3, window=7)
        weekly = self.bars(interval="1w")["close"].pct_change()
        self.target(long_short((hourly - fold) * four + mood.abs() - weekly - daily["high"].shift(2) * 0.01))


class BoolFold(Strategy):
    """Combine a fold of booleans, with a warm-up, by logic and by an author's expression."""

    def setup(self) -> None:
        close = self.bars()["close"]
        up = Node(rising, input=close.rolling_mean(8), initial=(0.0, 0), warmup=4)
        odd = Node(lambda view: ~pl.col("value") & pl.col("value").shift(1), input=up, period=2)
        cheap = Node(below_mean, input=close, period=30)
        self.target(long_short(((up & (close > close.shift(3))) | odd | cheap).when(1.0, else_=-1.0)))


class CrossSection(Strategy):
    """Signal what stands out, null where it is unknown."""

    def setup(self) -> None:
        close = self.bars()["close"]
        self.signal(Node(spread, input=close, period=1, cross_section=True).rank() - 0.5)


class BySymbol(Strategy):
    """Weigh single symbols of a coarser clock, and one by a number."""

    def setup(self) -> None:
        daily = self.bars(interval="1d")["close"]
        ratio = daily.symbol("A") / daily.symbol("B")
        other = self.bars(interval="4h", symbols=["C"])["close"].pct_change(2)
        self.target({"A": ratio.rolling_rank(5), "B": 0.25, "C": other.symbol("C") * 10})


class Queried(Strategy):
    """Find nodes by a tag, one of them on days."""

    def setup(self) -> None:
        close = self.bars()["close"]
        nodes = [
            Node(below_mean, input=close * factor, period=30, tags=["cheap"], name=f"n{factor}") for factor in (1, 2)
        ]
        self.add_nodes(nodes)
        query = TagQueryNode(["cheap"])
        self.target(Node(lambda view: pl.col("n1") & pl.col("n2"), input=query, period=1).when(0.3, else_=0.0))


class OnDays(Strategy):
    """Decide on days alone, in a world of hours."""

    def setup(self) -> None:
        daily = self.bars(interval="1d")["close"]
        self.target((daily > daily.rolling_median(3)).long_only())


MADE_UP = (ManyClocks, BoolFold, CrossSection, BySymbol, Queried, OnDays)


@pytest.mark.parametrize("strategy", MADE_UP)
def test_clocks_folds_and_functions_have_the_targets_of_their_backtests(
    strategy: type[Strategy], hours: Streams
) -> None:
    backtest = backtested(strategy, hours, SizingRule(Sizing.LONG_SHORT, 1.5))
    assert np.nanmax(backtest.targets) > 0.0
    assert same_bits(backtest.live_targets(), backtest.targets)


@pytest.mark.parametrize("strategy", [*MADE_UP, example("vol_target")])
def test_evaluation_goes_on_from_a_snapshot(strategy: type[Strategy], hours: Streams) -> None:
    backtest = backtested(strategy, hours)
    moments = list(replay(backtest.program, hours))
    evaluator, snapshots = backtest.evaluator(), {}
    for bar, moment in enumerate(moments[:-5]):
        if bar in (3, 333):
            snapshots[bar] = evaluator.snapshot()
        evaluator.step(moment)
    for bar, snapshot in snapshots.items():
        resumed = backtest.evaluator(snapshot)
        rest = np.stack([resumed.step(moment) for moment in moments[bar:]])
        assert same_bits(rest, backtest.targets[bar:])
        again = backtest.evaluator(snapshot)  # the first one has not touched it
        assert same_bits(again.step(moments[bar])[None], backtest.targets[bar : bar + 1])


def test_targets_of_a_bar_do_not_change_with_later_ones(hours: Streams) -> None:
    backtest = backtested(ManyClocks, hours)
    evaluator = backtest.evaluator()
    moments = list(replay(backtest.program, hours))
    first = evaluator.step(moments[0])
    kept = first.copy()
    for moment in moments[1:100]:
        evaluator.step(moment)
    assert same_bits(first[None], kept[None])


class Accumulating(Strategy):
    """Feed a fold and a function that accumulates, behind windows of their own."""

    def setup(self) -> None:
        close = self.bars()["close"]
        sums = Node(running_sum, input=close, period=20)
        self.target((close > sums * 0.05).when(Node(summed, input=sums, initial=0.0), else_=0.0))


def test_memory_does_not_grow_with_the_bars(sample: Streams) -> None:
    backtest = backtested(Accumulating, sample)
    evaluator, sizes = backtest.evaluator(), []
    for bar, moment in enumerate(replay(backtest.program, sample)):
        row = evaluator.step(moment)
        assert same_bits(row[None], backtest.targets[bar : bar + 1])
        if bar in (STRETCH_BARS + 300, len(backtest.targets) - 1):
            kept = evaluator.snapshot().histories.values()
            sizes.append(sum(len(each.timestamps) for each in kept))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("interval_s", [86_400, 7 * 86_400])
def test_coarser_bars_are_the_same_when_the_history_ends_with_them(interval_s: int, sample: Streams) -> None:
    whole = coarser(sample.bars, sample.grid, sample.calendar, interval_s)
    for bars in (1, 4, 5, 6, 250, 1_000):
        part = first_bars(sample, bars)
        known = coarser(part.bars, part.grid, part.calendar, interval_s)
        for name, column in known.columns.items():
            assert column.tobytes() == whole.columns[name][: len(column)].tobytes()


def test_coarser_bar_comes_with_the_close_of_its_last_bar(hours: Streams) -> None:
    program = backtested(OnDays, hours).program
    (stream,) = program.streams
    closes = [moment.timestamp for moment in replay(program, hours) if stream.node_id in moment.rows]
    assert len(closes) > 50
    assert set(closes) <= {int(hours.grid.closes[hours.grid.sessions == day][-1]) for day in hours.grid.sessions}


def test_error_names_the_node(hours: Streams) -> None:
    def failing(state: int, bar: Any) -> tuple[int, float]:
        if bar["value"] > 1e6:
            raise RuntimeError("too high")
        return state, 0.5

    class Failing(Strategy):
        def setup(self) -> None:
            self.target(Node(failing, input=self.bars()["close"], initial=0))

    backtest = backtested(Failing, hours)
    evaluator = backtest.evaluator()
    moment = next(iter(replay(backtest.program, hours)))
    (stream,) = backtest.program.streams
    rows = {stream.node_id: {name: column * 1e6 for name, column in moment.rows[stream.node_id].items()}}
    with pytest.raises(QmtlError, match="too high") as caught:
        evaluator.step(Moment(moment.timestamp, rows))
    assert (caught.value.reason, caught.value.metadata["node"]) == (Reason.INVALID_STRATEGY, "failing")


def test_value_of_another_kind_than_in_the_backtest_is_refused(hours: Streams) -> None:
    def changing(state: int, bar: Any) -> tuple[int, float | bool]:
        return state + 1, True if bar["value"] > 1e6 else 0.5

    class Changing(Strategy):
        def setup(self) -> None:
            self.target(Node(changing, input=self.bars()["close"].symbol("A"), initial=0))

    backtest = backtested(Changing, hours)
    evaluator = backtest.evaluator()
    moment = next(iter(replay(backtest.program, hours)))
    (stream,) = backtest.program.streams
    rows = {stream.node_id: {name: column * 1e6 for name, column in moment.rows[stream.node_id].items()}}
    with pytest.raises(QmtlError, match="'changing' returned bool where its backtest returned float"):
        evaluator.step(Moment(moment.timestamp, rows))
