"""TA-Lib's functions as operators, against TA-Lib itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.operators import ta
from qmtl_sdk.strategy import Node, StreamInput

WALK = 100.0 + np.cumsum(np.random.default_rng(11).normal(size=500))


def test_windowed_function_equals_talib(compute: Any) -> None:
    ours = compute(lambda close: ta.SMA(close, timeperiod=20), WALK).numbers()[:, 0]
    np.testing.assert_allclose(ours, talib.SMA(WALK, 20), rtol=1e-12)


def test_sma_equals_the_built_in_mean(compute: Any) -> None:
    own = compute(lambda close: close.rolling_mean(20), WALK).numbers()
    np.testing.assert_allclose(compute(lambda close: ta.SMA(close, timeperiod=20), WALK).numbers(), own, rtol=1e-12)


@pytest.mark.parametrize(("name", "reference"), [("EMA", talib.EMA(WALK, 14)), ("RSI", talib.RSI(WALK, 14))])
def test_recursive_function_settles_to_talib(name: str, reference: Any, compute: Any) -> None:
    ours = compute(lambda close: getattr(ta, name)(close, timeperiod=14), WALK).numbers()[:, 0]
    assert np.isnan(ours[:100]).all()
    np.testing.assert_allclose(ours[-100:], reference[-100:], rtol=1e-3)
    long = compute(lambda close: getattr(ta, name)(close, timeperiod=14, settle=400), WALK).numbers()[-1, 0]
    assert long == pytest.approx(reference[-1], rel=1e-9)


def test_each_output_is_a_node_of_its_own() -> None:
    outputs = ta.MACD(StreamInput("bars")["close"])
    assert isinstance(outputs, tuple)
    assert len({node.node_id for node in outputs}) == 3
    assert {node.params["output"] for node in outputs} == {"macd", "macdsignal", "macdhist"}


def test_stream_gives_its_columns_by_name() -> None:
    bars = StreamInput("bars")
    whole, parts = ta.ATR(bars, timeperiod=5), ta.ATR(bars["high"], bars["low"], bars["close"], timeperiod=5)
    assert isinstance(whole, Node)
    assert isinstance(parts, Node)
    assert whole.node_id == parts.node_id
    assert not whole.identity.code_hash
    assert whole.identity.node_type == "op.ta.ATR/1"


def test_null_in_the_window_is_null(compute: Any) -> None:
    holed = WALK.copy()
    holed[100] = np.nan
    ours = compute(lambda close: ta.SMA(close, timeperiod=5), holed).numbers()[:, 0]
    assert np.isnan(ours[100:105]).all()
    assert ours[105] == pytest.approx(holed[101:106].mean())


@pytest.mark.parametrize("name", ["OBV", "SAR", "AD", "VWAP", "MAXINDEX"])
def test_function_of_the_whole_past_is_refused(name: str) -> None:
    with pytest.raises(QmtlError, match="live could not equal backtest"):
        getattr(ta, name)(StreamInput("bars"))


def test_wrong_arguments_are_refused_by_name() -> None:
    close = StreamInput("bars")["close"]
    with pytest.raises(QmtlError, match="period: is no parameter of RSI; its parameters are: timeperiod"):
        ta.RSI(close, period=14)
    with pytest.raises(QmtlError, match="whole number"):
        ta.RSI(close, timeperiod=14.5)
    with pytest.raises(QmtlError, match="TA-Lib refuses"):
        ta.RSI(close, timeperiod=0)
    with pytest.raises(QmtlError, match=r"3 nodes \(high, low, close\)"):
        ta.ATR(close)
    with pytest.raises(QmtlError, match="no function of TA-Lib"):
        ta.NOPE(close)
