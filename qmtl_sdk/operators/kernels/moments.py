"""Rolling second moments by doubling: blocks are merged by the rule of Chan, Golub and LeVeque (1979).

Two blocks a, b of n and m bars merge as mean = mean_a + (mean_b - mean_a) m / (n + m), and the sum of squared (or
crossed) deviations as A + B + (mean_b - mean_a)² n m / (n + m): exact zero for constants, no cancellation, and an order
that depends on the window alone. Layout, chunks and inner loops as in ``doubling.py``.
"""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.kernels.compiler import kernel
from qmtl_sdk.operators.kernels.doubling import chunk_elements
from qmtl_sdk.strategy.values import FloatArray


@kernel
def rolling_comoment(
    left: FloatArray, right: FloatArray, window: int, stride: int, mean: FloatArray, crossed: FloatArray
) -> None:
    """Take each window's mean of ``left`` and its sum of crossed deviations; arrays: float64 [T * S].

    With the same array on both sides the sum is of squared deviations, to the bit that one such sum would have.
    """
    halo = (window - 1) * stride
    mean[: min(halo, left.size)] = np.nan
    crossed[: min(halo, left.size)] = np.nan
    chunk = chunk_elements(halo)
    x, x_longer = np.empty(chunk + halo), np.empty(chunk + halo)
    y, y_longer = np.empty(chunk + halo), np.empty(chunk + halo)
    c, c_longer = np.empty(chunk + halo), np.empty(chunk + halo)
    mean_y = np.empty(chunk)
    for start in range(halo, left.size, chunk):
        stop = min(start + chunk, left.size)
        count, size = stop - start, stop - start + halo
        x[:size], y[:size] = left[start - halo : stop], right[start - halo : stop]
        _zero_or_null(x[:size], y[:size], c[:size])
        bars, taken = 1, 0
        while True:
            if window & bars:
                share, at = bars / (taken + bars), halo - taken * stride
                _take_comoment(
                    mean[start:stop], mean_y[:count], crossed[start:stop],
                    x[at : at + count], y[at : at + count], c[at : at + count], share, taken * share,
                )  # fmt: skip
                taken += bars
            if 2 * bars > window:
                break
            first, step = (2 * bars - 1) * stride, bars * stride
            old, new = slice(first - step, size - step), slice(first, size)
            _merge_comoments(x[new], y[new], c[new], x[old], y[old], c[old], bars * 0.5, c_longer[new])
            _halfway(x[new], x[old], x_longer[new])
            _halfway(y[new], y[old], y_longer[new])
            x, x_longer, y, y_longer, c, c_longer = x_longer, x, y_longer, y, c_longer, c
            bars *= 2


@kernel
def rolling_slope(values: FloatArray, window: int, stride: int, out: FloatArray) -> None:
    """Take the least-squares slope per bar of each window; arrays: float64 [T * S].

    The number of the bar is the other variable: neighbouring blocks of n and m bars lie (n + m) / 2 bars apart.
    """
    halo = (window - 1) * stride
    out[: min(halo, values.size)] = np.nan
    chunk = chunk_elements(halo)
    y, y_longer = np.empty(chunk + halo), np.empty(chunk + halo)
    c, c_longer = np.empty(chunk + halo), np.empty(chunk + halo)
    mean = np.empty(chunk)
    for start in range(halo, values.size, chunk):
        stop = min(start + chunk, values.size)
        result, count, size = out[start:stop], stop - start, stop - start + halo
        y[:size] = values[start - halo : stop]
        _zero_or_null(y[:size], y[:size], c[:size])
        bars, taken = 1, 0
        while True:
            if window & bars:
                share, at = bars / (taken + bars), halo - taken * stride
                _take_slope(mean[:count], result, y[at : at + count], c[at : at + count], share, 0.5 * taken * bars)
                taken += bars
            if 2 * bars > window:
                break
            first, step = (2 * bars - 1) * stride, bars * stride
            old, new = slice(first - step, size - step), slice(first, size)
            _merge_slopes(y[new], c[new], y[old], c[old], 0.5 * bars * bars, c_longer[new])
            _halfway(y[new], y[old], y_longer[new])
            y, y_longer, c, c_longer = y_longer, y, c_longer, c
            bars *= 2
        _divide(result, window * (window * window - 1.0) / 12.0)


@kernel
def _zero_or_null(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = (x[i] - x[i]) + (y[i] - y[i])


@kernel
def _halfway(newer: FloatArray, older: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = newer[i] + (older[i] - newer[i]) * 0.5


@kernel
def _towards(mean: FloatArray, other: FloatArray, share: float) -> None:
    for i in range(mean.size):
        mean[i] += (other[i] - mean[i]) * share


@kernel
def _merge_comoments(
    x: FloatArray, y: FloatArray, c: FloatArray, x_old: FloatArray, y_old: FloatArray, c_old: FloatArray,
    cross: float, out: FloatArray,
) -> None:  # fmt: skip
    for i in range(out.size):
        out[i] = c[i] + c_old[i] + (x_old[i] - x[i]) * (y_old[i] - y[i]) * cross


@kernel
def _take_comoment(
    mean: FloatArray, mean_y: FloatArray, crossed: FloatArray, x: FloatArray, y: FloatArray, c: FloatArray,
    share: float, cross: float,
) -> None:  # fmt: skip
    if cross == 0.0:  # the newest block starts the result
        mean[:], mean_y[:], crossed[:] = x, y, c
        return
    # Three loops: LLVM gives up on vector code for more than eight pairs of arrays that might overlap.
    for i in range(crossed.size):
        crossed[i] += c[i] + (x[i] - mean[i]) * (y[i] - mean_y[i]) * cross
    _towards(mean, x, share)
    _towards(mean_y, y, share)


@kernel
def _merge_slopes(
    y: FloatArray, c: FloatArray, y_old: FloatArray, c_old: FloatArray, cross: float, out: FloatArray
) -> None:
    for i in range(out.size):
        out[i] = c[i] + c_old[i] + (y[i] - y_old[i]) * cross


@kernel
def _take_slope(mean: FloatArray, result: FloatArray, y: FloatArray, c: FloatArray, share: float, cross: float) -> None:
    if cross == 0.0:  # the newest block starts the result
        mean[:], result[:] = y, c
        return
    for i in range(result.size):
        result[i] += c[i] + (mean[i] - y[i]) * cross
    _towards(mean, y, share)


@kernel
def _divide(values: FloatArray, divisor: float) -> None:
    for i in range(values.size):
        values[i] /= divisor
