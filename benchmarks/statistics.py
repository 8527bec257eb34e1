"""Statistics of many strategies, beside plain NumPy that goes through the rows in blocks."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import OURS, Contender, Findings, Target, compare, race
from qmtl_foundation.statistics import returns as ratios

STRATEGIES: Final = 1_000
BARS: Final = 2_520
BARS_PER_YEAR: Final = 252.0
BLOCK: Final = 25  # rows: 500 KB, so that they stay in the cache
NUMPY: Final = "NumPy, in blocks"

Array = NDArray[np.float64]


def run() -> Findings:
    """Compare, after checking that both say the same."""
    returns = np.random.default_rng(7).normal(0.0005, 0.01, (STRATEGIES, BARS))
    np.testing.assert_allclose(by_qmtl(returns), by_numpy(returns), rtol=1e-9)
    contenders: dict[str, Contender] = {
        OURS: partial(by_qmtl, returns),
        NUMPY: partial(by_numpy, returns),
    }
    what = f"Sharpe, Sortino, drawdown, Calmar of {STRATEGIES:,} x {BARS:,}"
    return Findings((compare(what, race(contenders, rounds=11), NUMPY, Target(times=2.0)),))


def by_qmtl(returns: Array) -> Array:
    """Return the same by the functions that the world service computes them by."""
    return np.stack(
        (
            ratios.sharpe(returns, BARS_PER_YEAR),
            ratios.sortino(returns, BARS_PER_YEAR),
            ratios.max_drawdown(returns),
            ratios.calmar(returns, BARS_PER_YEAR),
        )
    )


def by_numpy(returns: Array) -> Array:
    """Return Sharpe, Sortino, maximum drawdown and Calmar, [4, strategies]."""
    found = np.empty((4, len(returns)))
    for start in range(0, len(returns), BLOCK):
        found[:, start : start + BLOCK] = _ratios(returns[start : start + BLOCK])
    return found


def _ratios(block: Array) -> Array:
    bars = block.shape[1]
    mean, root = block.mean(axis=1), np.sqrt(BARS_PER_YEAR)
    sharpe = mean / block.std(axis=1, ddof=1) * root
    sortino = mean / np.sqrt((np.minimum(block, 0.0) ** 2).mean(axis=1)) * root
    growth = np.cumprod(1.0 + block, axis=1)
    fall = 1.0 - (growth / np.maximum(np.maximum.accumulate(growth, axis=1), 1.0)).min(axis=1)
    calmar = (growth[:, -1] ** (BARS_PER_YEAR / bars) - 1.0) / fall
    return np.stack((sharpe, sortino, fall, calmar))
