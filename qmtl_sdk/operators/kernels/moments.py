"""Rolling second moments by doubling: blocks are merged by the rule of Chan, Golub and LeVeque (1979).

Two blocks a, b of n and m bars merge as mean = mean_a + (mean_b - mean_a) m / (n + m), and the sum of squared (or
crossed) deviations as A + B + (mean_b - mean_a)² n m / (n + m): exact zero for constants, no cancellation, and an order
that depends on the window alone. Layout and blocks as in ``doubling.py``.
"""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.kernels.compiler import kernel
from qmtl_sdk.operators.kernels.doubling import BLOCK
from qmtl_sdk.strategy.values import FloatArray


@kernel
def rolling_moments(values: FloatArray, window: int, stride: int, mean: FloatArray, deviation: FloatArray) -> None:
    """Take mean and sample standard deviation (ddof=1) of each window; arrays: float64 [T * S]."""
    n = values.size
    halo = (window - 1) * stride
    mean[: min(halo, n)] = np.nan
    deviation[: min(halo, n)] = np.nan
    block = max(BLOCK, 3 * halo)
    m, m_next = np.empty(block + halo), np.empty(block + halo)
    q, q_next = np.empty(block + halo), np.empty(block + halo)
    for start in range(halo, n, block):
        stop = min(start + block, n)
        size = stop - start + halo
        m[:size] = values[start - halo : stop]
        for i in range(size):
            q[i] = m[i] - m[i]  # 0, or null
        length = 1
        taken = 0
        while True:
            if window & length:
                back = halo - taken * stride
                share = length / (taken + length)
                cross = taken * share
                for i in range(stop - start):
                    if taken == 0:
                        mean[start + i] = m[i + back]
                        deviation[start + i] = q[i + back]
                    else:
                        delta = m[i + back] - mean[start + i]
                        mean[start + i] += delta * share
                        deviation[start + i] += q[i + back] + delta * delta * cross
                taken += length
            if 2 * length > window:
                break
            step = length * stride
            half = length * 0.5
            for i in range((2 * length - 1) * stride, size):
                delta = m[i - step] - m[i]
                m_next[i] = m[i] + delta * 0.5
                q_next[i] = q[i] + q[i - step] + delta * delta * half
            m, m_next = m_next, m
            q, q_next = q_next, q
            length *= 2
        for i in range(start, stop):
            deviation[i] = np.sqrt(deviation[i] / (window - 1))


@kernel
def rolling_slope(values: FloatArray, window: int, stride: int, out: FloatArray) -> None:
    """Take the least-squares slope per bar of each window; arrays: float64 [T * S].

    The number of the bar is the other variable: two neighbouring blocks of n and m bars lie (n + m) / 2 bars apart.
    """
    n = values.size
    halo = (window - 1) * stride
    out[: min(halo, n)] = np.nan
    block = max(BLOCK, 3 * halo)
    m, m_next = np.empty(block + halo), np.empty(block + halo)
    c, c_next = np.empty(block + halo), np.empty(block + halo)
    mean = np.empty(block)
    variation = window * (window * window - 1.0) / 12.0
    for start in range(halo, n, block):
        stop = min(start + block, n)
        size = stop - start + halo
        m[:size] = values[start - halo : stop]
        for i in range(size):
            c[i] = m[i] - m[i]  # 0, or null
        length = 1
        taken = 0
        while True:
            if window & length:
                back = halo - taken * stride
                share = length / (taken + length)
                cross = taken * share * (taken + length) * 0.5
                for i in range(stop - start):
                    if taken == 0:
                        mean[i] = m[i + back]
                        out[start + i] = c[i + back]
                    else:
                        delta = mean[i] - m[i + back]
                        out[start + i] += c[i + back] + delta * cross
                        mean[i] -= delta * share
                taken += length
            if 2 * length > window:
                break
            step = length * stride
            cross = length * 0.5 * length
            for i in range((2 * length - 1) * stride, size):
                delta = m[i] - m[i - step]
                m_next[i] = m[i] - delta * 0.5
                c_next[i] = c[i] + c[i - step] + delta * cross
            m, m_next = m_next, m
            c, c_next = c_next, c
            length *= 2
        for i in range(start, stop):
            out[i] /= variation


@kernel
def rolling_corr(left: FloatArray, right: FloatArray, window: int, stride: int, out: FloatArray) -> None:
    """Take Pearson's correlation of each window, null where a side does not vary; arrays: float64 [T * S]."""
    n = left.size
    halo = (window - 1) * stride
    out[: min(halo, n)] = np.nan
    block = max(BLOCK // 2, 2 * halo)
    # Of each level: means x and y, sums of squared and crossed deviations; then the same of the window so far.
    now, later = np.empty((5, block + halo)), np.empty((5, block + halo))
    total = np.empty((5, block))
    for start in range(halo, n, block):
        stop = min(start + block, n)
        count = stop - start
        size = count + halo
        for i in range(size):
            x = left[start - halo + i]
            y = right[start - halo + i]
            now[0, i] = x
            now[1, i] = y
            null = (x - x) + (y - y)  # 0, or null
            now[2, i] = null
            now[3, i] = null
            now[4, i] = null
        length = 1
        taken = 0
        while True:
            if window & length:
                back = halo - taken * stride
                if taken == 0:
                    total[:, :count] = now[:, back : back + count]
                else:
                    share = length / (taken + length)
                    cross = taken * share
                    for i in range(count):
                        dx = now[0, i + back] - total[0, i]
                        dy = now[1, i + back] - total[1, i]
                        total[0, i] += dx * share
                        total[1, i] += dy * share
                        total[2, i] += now[2, i + back] + dx * dx * cross
                        total[3, i] += now[3, i + back] + dy * dy * cross
                        total[4, i] += now[4, i + back] + dx * dy * cross
                taken += length
            if 2 * length > window:
                break
            step = length * stride
            half = length * 0.5
            for i in range((2 * length - 1) * stride, size):
                dx = now[0, i - step] - now[0, i]
                dy = now[1, i - step] - now[1, i]
                later[0, i] = now[0, i] + dx * 0.5
                later[1, i] = now[1, i] + dy * 0.5
                later[2, i] = now[2, i] + now[2, i - step] + dx * dx * half
                later[3, i] = now[3, i] + now[3, i - step] + dy * dy * half
                later[4, i] = now[4, i] + now[4, i - step] + dx * dy * half
            now, later = later, now
            length *= 2
        for i in range(count):
            spread = np.sqrt(total[2, i]) * np.sqrt(total[3, i])
            out[start + i] = min(max(total[4, i] / spread, -1.0), 1.0) if spread > 0.0 else np.nan
