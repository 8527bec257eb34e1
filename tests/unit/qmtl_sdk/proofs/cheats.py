"""Functions of nodes that look ahead, and honest ones of the same shapes; in Polars and in NumPy.

Each returns a value for every bar of one symbol. ``view["value"]`` is a stream with the column close.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

SINGLE_DATE = 1_577_923_200_000_000_000 + 500 * 86_400_000_000_000  # bar 500


def close_of(view: Any) -> np.ndarray:
    return view["value"].array("close")


def tomorrow(values: np.ndarray) -> np.ndarray:
    """A helper's helper that shifts the wrong way."""
    return np.append(values[1:], values[-1:])


def change_ahead(values: np.ndarray) -> np.ndarray:
    return tomorrow(values) / values - 1


# ---- look-ahead


def shift_expression(view: Any) -> pl.Expr:
    return pl.col("close").shift(-1) / pl.col("close") - 1


def shift_frame(view: Any) -> pl.Series:
    frame = view["value"].frame()
    return frame["close"].shift(-1) / frame["close"] - 1


def shift_numpy(view: Any) -> np.ndarray:
    close = close_of(view)
    return np.append(close[1:], close[-1:]) / close - 1


def through_a_helper(view: Any) -> np.ndarray:
    return change_ahead(close_of(view))


def zscore_expression(view: Any) -> pl.Expr:
    return (pl.col("close") - pl.col("close").mean()) / pl.col("close").std()


def zscore_numpy(view: Any) -> np.ndarray:
    close = close_of(view)
    return (close - np.nanmean(close)) / np.nanstd(close)


def centred_expression(view: Any) -> pl.Expr:
    return pl.col("close").rolling_mean(5, center=True)


def centred_numpy(view: Any) -> np.ndarray:
    close = close_of(view)
    padded = np.concatenate([close[:1], close[:1], close, close[-1:], close[-1:]])
    return sliding_window_view(padded, 5).mean(axis=1)


def one_date_expression(view: Any) -> pl.Expr:
    hit = pl.col("ts") == pl.lit(SINGLE_DATE).cast(pl.Datetime("ns", "UTC"))
    return (
        pl.when(hit)
        .then(pl.col("close").shift(-1) > pl.col("close"))
        .otherwise(pl.col("close").shift(1) < pl.col("close"))
    )


def one_date_numpy(view: Any) -> np.ndarray:
    close = close_of(view)
    up = np.append(False, close[1:] > close[:-1])
    (found,) = np.nonzero(view["value"].timestamps == SINGLE_DATE)
    up[found] = tomorrow(close)[found] > close[found]
    return up


# ---- honest, of the same shapes


def honest_shift_expression(view: Any) -> pl.Expr:
    return pl.col("close") / pl.col("close").shift(1) - 1


def honest_shift_numpy(view: Any) -> np.ndarray:
    close = close_of(view)
    return np.append(np.nan, close[1:] / close[:-1] - 1)


def honest_zscore_expression(view: Any) -> pl.Expr:
    spread = pl.col("close").rolling_std(20)
    return pl.when(spread > 1e-6).then((pl.col("close") - pl.col("close").rolling_mean(20)) / spread)


def honest_zscore_frame(view: Any) -> pl.Series:
    return view["value"].frame().select(honest_zscore_expression(view)).to_series()


def honest_zscore_numpy(view: Any) -> np.ma.MaskedArray:
    close = close_of(view)
    if len(close) < 20:
        return np.ma.masked_all(len(close))
    windows = sliding_window_view(close, 20)
    spread = windows.std(axis=1)
    score = np.zeros(len(windows))
    np.divide(close[19:] - windows.mean(axis=1), spread, out=score, where=spread > 0)
    return np.ma.masked_invalid(np.append(np.full(19, np.nan), np.where(np.isnan(spread), np.nan, score)))


def honest_mean_expression(view: Any) -> pl.Expr:
    return pl.col("close").rolling_mean(5)


def crossover_expression(view: Any) -> pl.Expr:
    return pl.col("close").rolling_mean(10) > pl.col("close").rolling_mean(50)


def below_the_band_expression(view: Any) -> pl.Expr:
    """Compare with a band of two deviations: of noise alone, one close in fifty lies beyond it."""
    close = pl.col("close")
    return close < close.rolling_mean(20) - 2 * close.rolling_std(20)


def crossover_frame(view: Any) -> pl.Series:
    return view["value"].frame().select(crossover_expression(view)).to_series()


def accumulated_difference(view: Any) -> np.ma.MaskedArray:
    """Rolling sums by differences of one cumulative sum, whose rounding grows with the history."""
    close = np.nan_to_num(close_of(view))
    total = np.append(0.0, np.cumsum(close))
    fast, slow = np.full(len(close), np.nan), np.full(len(close), np.nan)
    fast[9:] = (total[10:] - total[:-10]) / 10
    slow[49:] = (total[50:] - total[:-50]) / 50
    return np.ma.masked_invalid(fast - slow)


def accumulated_crossover(view: Any) -> np.ma.MaskedArray:
    return accumulated_difference(view) > 0


def weekday(view: Any) -> np.ndarray:
    days = view["value"].timestamps // 86_400_000_000_000
    return (days + 3) % 7


def cross_rank(view: Any) -> pl.Expr:
    return pl.col("close").rank().over("ts")


def cross_demean(view: Any) -> np.ndarray:
    close = view["value"].array("close")
    return close - close.mean(axis=1, keepdims=True)


def cross_ahead(view: Any) -> np.ndarray:
    close = view["value"].array("close")
    return close - close.mean(axis=0, keepdims=True)


def memory_behind(array: np.ndarray) -> np.ndarray:
    """Return the memory that an array is a view of."""
    while array.base is not None:
        array = array.base
    return array


def through_base_of_the_array(view: Any) -> np.ndarray:
    """Look up the next close in the memory behind the window."""
    source = view["value"]
    every, times = memory_behind(source.array("close")).reshape(-1), memory_behind(source.timestamps)
    at = np.searchsorted(times, source.timestamps)
    return every[np.minimum(at + 1, len(times) - 1)] > every[at]


def through_base_of_the_column(view: Any) -> np.ndarray:
    """Average all the memory behind the window."""
    source = view["value"]
    return np.full(len(source.timestamps), np.nanmean(memory_behind(source.column("close").data)))


def smoothed_by_fourier(view: Any) -> np.ndarray:
    """Average ten bars by a Fourier transform, which rounds by the size of all its values."""
    close = np.nan_to_num(close_of(view))
    size = 2 * len(close) + 20
    spectrum = np.fft.rfft(close, size) * np.fft.rfft(np.full(10, 0.1), size)
    return np.fft.irfft(spectrum, size)[: len(close)]


def spiked_look_ahead(view: Any) -> np.ndarray:
    """Hide tomorrow's change behind one enormous value."""
    close = close_of(view)
    ahead = change_ahead(close)
    ahead[view["value"].timestamps == SINGLE_DATE] = 1e15
    return ahead


def fourier_crossover(view: Any) -> np.ndarray:
    """Compare with the average by a Fourier transform, which rounds differently on every bar that stands still."""
    return np.nan_to_num(close_of(view)) > smoothed_by_fourier(view)


def rounded_fourier_crossover(view: Any) -> np.ndarray:
    """Compare with it rounded."""
    return np.round(np.nan_to_num(close_of(view)), 6) > np.round(smoothed_by_fourier(view), 6)


def look_ahead_at_a_tie(view: Any) -> np.ndarray:
    """Let tomorrow decide a comparison that hangs on the last bits on every bar."""
    close = close_of(view)
    return close - np.round(close, 2) + 1e-12 * np.sign(change_ahead(close)) > 0


def look_ahead_below_the_tolerance(view: Any) -> np.ndarray:
    """Hide tomorrow's sign in digits that a window may get wrong."""
    close = close_of(view)
    return close * (1 + 1e-10 * np.sign(change_ahead(close)))


def pandas_deviation(view: Any) -> np.ndarray:
    """Take the deviation that pandas accumulates over the whole history."""
    return pd.Series(close_of(view)).rolling(20).std().to_numpy()
