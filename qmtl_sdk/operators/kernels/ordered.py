"""Rolling order statistics: a sorted window per symbol. The order of equal values does not matter, so neither does what
lay before the window.
"""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.kernels.compiler import kernel
from qmtl_sdk.strategy.values import FloatArray


@kernel
def rolling_quantile(values: FloatArray, window: int, quantile: float, out: FloatArray) -> None:
    """Take a quantile of each window, linear between neighbours; arrays: float64 [T, S]; null where one is null."""
    bars, symbols = values.shape
    place = quantile * (window - 1)
    below = int(place)
    above = min(below + 1, window - 1)
    part = place - below
    ordered = np.empty(window)
    for s in range(symbols):
        size = 0  # known values in the window, ordered[:size]
        for t in range(bars):
            if t >= window:
                size = _remove(ordered, size, values[t - window, s])
            size = _insert(ordered, size, values[t, s])
            if size == window:
                out[t, s] = ordered[below] + (ordered[above] - ordered[below]) * part
            else:
                out[t, s] = np.nan


@kernel
def rolling_rank(values: FloatArray, window: int, out: FloatArray) -> None:
    """Rank the newest value within each window as a fraction, ties by average; arrays: float64 [T, S]."""
    bars, symbols = values.shape
    ordered = np.empty(window)
    for s in range(symbols):
        size = 0  # known values in the window, ordered[:size]
        for t in range(bars):
            if t >= window:
                size = _remove(ordered, size, values[t - window, s])
            size = _insert(ordered, size, values[t, s])
            if size == window:
                smaller = np.searchsorted(ordered, values[t, s], side="left")
                up_to = np.searchsorted(ordered, values[t, s], side="right")
                out[t, s] = (smaller + up_to + 1) * 0.5 / window
            else:
                out[t, s] = np.nan


@kernel
def _insert(ordered: FloatArray, size: int, value: float) -> int:
    if value != value:  # null is what differs from itself
        return size
    at = np.searchsorted(ordered[:size], value)
    for i in range(size, at, -1):
        ordered[i] = ordered[i - 1]
    ordered[at] = value
    return size + 1


@kernel
def _remove(ordered: FloatArray, size: int, value: float) -> int:
    if value != value:  # null is what differs from itself
        return size
    at = np.searchsorted(ordered[:size], value)
    for i in range(at, size - 1):
        ordered[i] = ordered[i + 1]
    return size - 1
