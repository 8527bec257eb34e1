"""Rolling reductions by doubling: blocks of 1, 2, 4, … bars, then the window from the blocks of its binary digits.

A window of w bars costs about log2(w) vector operations per bar, and its value is reduced in an order that depends
on w alone, never on what lies before: the same bars give the same bits in live and in backtest. Arrays are
[time, symbol] flattened; one bar back is ``stride`` (the number of symbols) elements back. Work goes in chunks that fit
the cache; a chunk starts ``window - 1`` bars early, so borders leave no trace.

The inner loops are kernels of their own over slices that start at 0: LLVM makes vector code of those only. Copies are
loops too: Numba takes a second to compile the assignment of one slice to another.
"""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.kernels.compiler import kernel
from qmtl_sdk.strategy.values import FloatArray

CHUNK = 4_096  # elements of 8 bytes: the buffers of one chunk stay in the second-level cache


@kernel
def chunk_elements(halo: int) -> int:
    """Return how many results one chunk makes: enough that its early start costs less than half of the work."""
    return max(CHUNK, 2 * halo)


@kernel
def rolling_mean(values: FloatArray, window: int, decay: float, stride: int, out: FloatArray) -> None:
    """Average each window with weights decay**age, normalised; decay 1 is the plain mean.

    Blocks are merged as means, mean + (other - mean) * share, so a constant gives exactly itself. ``values``, ``out``:
    float64 [T * S]; null (NaN) spreads over every window that holds it.
    """
    halo = (window - 1) * stride
    _fill_null(out[: min(halo, values.size)])
    chunk = chunk_elements(halo)
    block, longer = np.empty(chunk + halo), np.empty(chunk + halo)
    for start in range(halo, values.size, chunk):
        stop = min(start + chunk, values.size)
        result, size = out[start:stop], stop - start + halo
        _copy(values[start - halo : stop], block[:size])
        bars, block_weight, block_decay = 1, 1.0, decay  # of one block: length, sum of weights, decay**length
        taken, weight, taken_decay = 0, 0.0, 1.0  # of the newest bars, already in the result
        while True:
            if window & bars:
                newest = halo - taken * stride
                added = taken_decay * block_weight
                _take_mean(result, block[newest : newest + result.size], added / (weight + added), taken == 0)
                taken, weight, taken_decay = taken + bars, weight + added, taken_decay * block_decay
            if 2 * bars > window:
                break
            first, step = (2 * bars - 1) * stride, bars * stride
            share = block_decay / (1.0 + block_decay)
            _merge_means(block[first:size], block[first - step : size - step], share, longer[first:size])
            block, longer = longer, block
            bars, block_weight, block_decay = 2 * bars, block_weight * (1.0 + block_decay), block_decay * block_decay


@kernel
def rolling_sum(values: FloatArray, window: int, stride: int, out: FloatArray) -> None:
    """Sum each window; ``values``, ``out``: float64 [T * S]."""
    halo = (window - 1) * stride
    _fill_null(out[: min(halo, values.size)])
    chunk = chunk_elements(halo)
    block, longer = np.empty(chunk + halo), np.empty(chunk + halo)
    for start in range(halo, values.size, chunk):
        stop = min(start + chunk, values.size)
        result, size = out[start:stop], stop - start + halo
        _copy(values[start - halo : stop], block[:size])
        bars, taken = 1, 0
        while True:
            if window & bars:
                newest = halo - taken * stride
                _take_sum(result, block[newest : newest + result.size], taken == 0)
                taken += bars
            if 2 * bars > window:
                break
            first, step = (2 * bars - 1) * stride, bars * stride
            _merge_sums(block[first:size], block[first - step : size - step], longer[first:size])
            block, longer = longer, block
            bars *= 2


@kernel
def rolling_extreme(values: FloatArray, window: int, sign: float, stride: int, out: FloatArray) -> None:
    """Take each window's smallest (sign 1) or largest (sign -1) value; ``values``, ``out``: float64 [T * S]."""
    halo = (window - 1) * stride
    _fill_null(out[: min(halo, values.size)])
    chunk = chunk_elements(halo)
    block, longer = np.empty(chunk + halo), np.empty(chunk + halo)
    for start in range(halo, values.size, chunk):
        stop = min(start + chunk, values.size)
        result, size = out[start:stop], stop - start + halo
        _scale(values[start - halo : stop], sign, block[:size])
        bars = 1
        while 2 * bars <= window:
            first, step = (2 * bars - 1) * stride, bars * stride
            _merge_smaller(block[first:size], block[first - step : size - step], longer[first:size])
            block, longer = longer, block
            bars *= 2
        oldest = halo - (window - bars) * stride  # two blocks that may overlap cover the window
        _merge_smaller(block[halo:size], block[oldest : oldest + result.size], result)
        _scale(result, sign, result)


@kernel
def _fill_null(out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = np.nan


@kernel
def _copy(values: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = values[i]


@kernel
def _merge_means(newer: FloatArray, older: FloatArray, share: float, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = newer[i] + (older[i] - newer[i]) * share


@kernel
def _take_mean(result: FloatArray, block: FloatArray, share: float, first: bool) -> None:
    if first:
        _copy(block, result)
    else:
        for i in range(result.size):
            result[i] += (block[i] - result[i]) * share


@kernel
def _merge_sums(newer: FloatArray, older: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = newer[i] + older[i]


@kernel
def _take_sum(result: FloatArray, block: FloatArray, first: bool) -> None:
    if first:
        _copy(block, result)
    else:
        for i in range(result.size):
            result[i] += block[i]


@kernel
def _merge_smaller(newer: FloatArray, older: FloatArray, out: FloatArray) -> None:
    for i in range(out.size):
        a, b = newer[i], older[i]
        out[i] = a if (a < b) | (a != a) else b  # a != a: null spreads


@kernel
def _scale(values: FloatArray, sign: float, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = values[i] * sign
