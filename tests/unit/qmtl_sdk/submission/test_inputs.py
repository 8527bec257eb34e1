"""A program's streams get their panels from what the preset delivered, or are refused by name with the mend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import SizingRule
from qmtl_sdk import Strategy, StreamInput
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import bar_grid
from qmtl_sdk.data.streams import Streams
from qmtl_sdk.data.times import parse_instant
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.program import Program, build
from qmtl_sdk.strategy.targets import output_array
from qmtl_sdk.strategy.values import Axis
from qmtl_sdk.submission.compute import targets_of
from qmtl_sdk.submission.inputs import stream_inputs

HOUR = 3_600
# Both clock changes of New York, hours of 2013: eight months of 7 bars a day.
CHANGES = ("2013-03-01", "2013-11-08")

Named = Callable[[Strategy], object]


def hours(bars: int | None = None) -> Streams:
    """Return hourly bars of two symbols over both clock changes, or only the first ones; closes 0, 1, 2, …"""
    grid = bar_grid("XNYS", HOUR, parse_instant(CHANGES[0], "start"), parse_instant(CHANGES[1], "end"))
    grid = grid.take(slice(0, bars))
    close = np.repeat(np.arange(float(len(grid)))[:, None], 2, axis=1)
    panel = Panel(grid.closes, ("A", "B"), {"open": close, "close": close}, HOUR)
    mood = Panel(grid.closes, ("A", "B"), {"score": -close}, HOUR)
    return Streams("hours", panel, grid, "XNYS", {"mood": mood})


def program_of(stated: Callable[[Strategy], object]) -> Program:
    class Stated(Strategy):
        def setup(self) -> None:
            self.target(stated(self))  # type: ignore[arg-type]  # the tests state nodes

    return build(Stated)


def targets(program: Program, streams: Streams) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = evaluate(program.nodes, stream_inputs(program, streams))
    return output_array(program, values, Axis(streams.bars.timestamps, streams.bars.symbols))


@pytest.mark.parametrize("interval", ["4h", "1d", "1w"])
def test_no_bar_knows_more_than_the_coarse_bars_closed_by_then(interval: str) -> None:
    whole = hours()
    program = program_of(lambda s: s.bars()["close"] * 0 + s.bars(interval=interval)["close"])
    known = targets(program, whole)[:, 0]
    assert np.nanmax(known - np.arange(len(known))) == 0.0  # at its own close, and never a later bar's value
    coarse = next(stream for stream in program.streams if stream.interval_s)
    closes = stream_inputs(program, whole)[coarse.node_id].timestamps
    expected = np.searchsorted(whole.grid.closes, closes)  # a coarse bar's value is the number of its last hour
    newest = np.searchsorted(closes, whole.grid.closes, side="right") - 1
    np.testing.assert_array_equal(known, np.where(newest < 0, np.nan, expected[newest]))


@pytest.mark.parametrize("change", ["2013-03-11", "2013-11-04"])
def test_day_after_a_clock_change_is_known_at_its_last_hour_alone(change: str) -> None:
    whole = hours()
    program = program_of(lambda s: s.bars()["close"] * 0 + s.bars(interval="1d")["close"])
    known = targets(program, whole)[:, 0]
    day = np.flatnonzero(whole.grid.sessions == parse_instant(change, "day"))
    assert len(day) == 7
    np.testing.assert_array_equal(known[day], [float(day[0] - 1)] * 6 + [float(day[-1])])


@pytest.mark.parametrize("bars", [40, 41, 42, 43, 45, 49, 50])
def test_history_that_ends_earlier_gives_the_same_targets_up_to_there(bars: int) -> None:
    program = program_of(lambda s: s.bars()["close"] * 0 + s.bars(interval="1d")["close"].rolling_mean(2))
    np.testing.assert_array_equal(targets(program, hours(bars)), targets(program, hours())[:bars])


def test_published_stream_lies_on_the_bars() -> None:
    program = program_of(lambda s: s.bars()["close"] + StreamInput("mood")["score"].rolling_mean(2))
    np.testing.assert_array_equal(targets(program, hours())[1:, 0], 0.5)


def test_symbols_of_a_stream_are_chosen_from_it() -> None:
    program = program_of(lambda s: s.bars(interval="1d", symbols=["B"])["close"])
    (panel,) = stream_inputs(program, hours()).values()
    assert (panel.symbols, panel.interval_s) == (("B",), 86_400)


def test_target_that_is_null_everywhere_is_refused() -> None:
    program, streams = program_of(lambda s: s.bars()["close"] / 0), hours(50)
    evaluation = evaluate(program.nodes, stream_inputs(program, streams))
    with pytest.raises(
        QmtlError, match="the target of Stated is null on all 50 bars of every symbol, and its warm-up is 0"
    ) as caught:
        targets_of(program, evaluation, streams.bars, SizingRule())
    assert caught.value.reason is Reason.INVALID_STRATEGY


@pytest.mark.parametrize(
    ("stated", "part"),
    [
        (lambda s: s.bars(interval="30m")["close"], "has bars of 1h, which do not make finer ones of 30m; choose a"),
        (lambda s: s.bars(interval="5h")["close"], "do not make bars of 5h; choose 1w, 1d, or a multiple of 1h"),
        (lambda s: StreamInput("news")["score"], "has no such stream, only bars, mood; list it under streams"),
        (lambda s: StreamInput("mood", interval="1d")["score"], "delivers it on its own bars; leave interval= out"),
        (lambda s: s.bars(symbols=["X"])["close"], "has no X, only A, B"),
        (lambda s: StreamInput("bars", interval="1w", period=99)["close"], "fewer than the 99 needed"),
    ],
)
def test_what_the_preset_does_not_have_is_refused_by_name(stated: Named, part: str) -> None:
    with pytest.raises(QmtlError) as caught:
        stream_inputs(program_of(stated), hours())
    assert caught.value.reason is Reason.DATA_UNAVAILABLE
    assert caught.value.message.startswith("stream ")
    assert part in caught.value.message


def test_unknown_symbol_is_flat_where_the_target_says_so() -> None:
    streams = hours(10)
    close = streams.bars.columns["close"].copy() + 1.0
    close[5, 1] = np.nan
    panel = Panel(streams.bars.timestamps, ("A", "B"), {"close": close}, HOUR)
    gap = Streams("hours", panel, streams.grid, "XNYS", {})
    held = targets(program_of(lambda s: (s.bars()["close"] > 0).long_only()), gap)
    np.testing.assert_array_equal(held[4:7], [[0.5, 0.5], [1.0, np.nan], [0.5, 0.5]])
    flat = targets(program_of(lambda s: ((up := s.bars()["close"] > 0) & ~up.is_null()).long_only()), gap)
    np.testing.assert_array_equal(flat[4:7], [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
