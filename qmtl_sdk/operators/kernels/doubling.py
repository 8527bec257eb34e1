"""Rolling reductions by doubling: blocks of 1, 2, 4, … bars, then the window from the blocks of its binary digits.

A window of w bars costs about log2(w) vector operations per bar, and its value is reduced in an order that depends
on w alone, never on what lies before: the same bars give the same bits in live and in backtest. Arrays are
[time, symbol] flattened; one bar back is ``stride`` (the number of symbols) elements back. Work goes in blocks that fit
the cache; a block starts ``window - 1`` bars early, so borders leave no trace.
"""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.kernels.compiler import kernel
from qmtl_sdk.strategy.values import FloatArray

BLOCK = 8_192  # elements of 8 bytes: three buffers stay within a 512 KiB cache with their halo


@kernel
def rolling_mean(values: FloatArray, window: int, decay: float, stride: int, out: FloatArray) -> None:
    """Average each window with weights decay**age, normalised; decay 1 is the plain mean.

    Blocks are merged as means, mean + (other - mean) * share, so a constant gives exactly itself. ``values``, ``out``:
    float64 [T * S]; null (NaN) spreads over every window that holds it.
    """
    n = values.size
    halo = (window - 1) * stride
    out[: min(halo, n)] = np.nan
    block = max(BLOCK, 3 * halo)
    older = np.empty(block + halo)
    newer = np.empty(block + halo)
    for start in range(halo, n, block):
        stop = min(start + block, n)
        base = start - halo
        size = stop - base
        target = out[start:stop]
        length = 1  # bars in a block of the current level
        level_decay = decay  # decay**length
        level_weight = 1.0  # sum of the weights in a block
        taken = 0  # newest bars already in the result
        taken_weight = 0.0
        taken_decay = 1.0  # decay**taken
        older[:size] = values[base:stop]
        while True:
            if window & length:
                back = halo - taken * stride
                weight = taken_decay * level_weight
                if taken == 0:
                    for i in range(stop - start):
                        target[i] = older[i + back]
                else:
                    share = weight / (taken_weight + weight)
                    for i in range(stop - start):
                        target[i] += (older[i + back] - target[i]) * share
                taken += length
                taken_weight += weight
                taken_decay *= level_decay
            if 2 * length > window:
                break
            share = level_decay / (1.0 + level_decay)
            step = length * stride
            for i in range((2 * length - 1) * stride, size):
                newer[i] = older[i] + (older[i - step] - older[i]) * share
            older, newer = newer, older
            level_weight *= 1.0 + level_decay
            level_decay *= level_decay
            length *= 2


@kernel
def rolling_sum(values: FloatArray, window: int, stride: int, out: FloatArray) -> None:
    """Sum each window; ``values``, ``out``: float64 [T * S]."""
    n = values.size
    halo = (window - 1) * stride
    out[: min(halo, n)] = np.nan
    block = max(BLOCK, 3 * halo)
    older = np.empty(block + halo)
    newer = np.empty(block + halo)
    for start in range(halo, n, block):
        stop = min(start + block, n)
        base = start - halo
        size = stop - base
        target = out[start:stop]
        length = 1
        taken = 0
        older[:size] = values[base:stop]
        while True:
            if window & length:
                back = halo - taken * stride
                if taken == 0:
                    for i in range(stop - start):
                        target[i] = older[i + back]
                else:
                    for i in range(stop - start):
                        target[i] += older[i + back]
                taken += length
            if 2 * length > window:
                break
            step = length * stride
            for i in range((2 * length - 1) * stride, size):
                newer[i] = older[i] + older[i - step]
            older, newer = newer, older
            length *= 2


@kernel
def rolling_extreme(values: FloatArray, window: int, sign: float, stride: int, out: FloatArray) -> None:
    """Take each window's smallest (sign 1) or largest (sign -1) value; ``values``, ``out``: float64 [T * S]."""
    n = values.size
    halo = (window - 1) * stride
    out[: min(halo, n)] = np.nan
    block = max(BLOCK, 3 * halo)
    older = np.empty(block + halo)
    newer = np.empty(block + halo)
    for start in range(halo, n, block):
        stop = min(start + block, n)
        base = start - halo
        size = stop - base
        length = 1
        for i in range(size):
            older[i] = values[base + i] * sign
        while 2 * length <= window:
            step = length * stride
            for i in range((2 * length - 1) * stride, size):
                a = older[i]
                b = older[i - step]
                newer[i] = a if (a < b) | (a != a) else b  # a != a: null spreads
            older, newer = newer, older
            length *= 2
        back = (window - length) * stride  # two overlapping blocks cover the window
        for i in range(stop - start):
            a = older[i + halo]
            b = older[i + halo - back]
            out[start + i] = (a if (a < b) | (a != a) else b) * sign  # a != a: null spreads
