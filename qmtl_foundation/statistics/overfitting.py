"""The probability of backtest overfitting (PBO) by combinatorially symmetric cross-validation (CSCV).

Source: Bailey, Borwein, López de Prado & Zhu 2017, The Probability of Backtest Overfitting, J. Comp. Finance 20(4).
1. cut time into equal blocks; 2. for each choice of half of them, find the trial with the best Sharpe ratio in sample
(``_sharpes``); 3. take its relative rank out of sample (``_relative_ranks``); 4. PBO is the share with logit <= 0.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.statistics.returns import ROUNDING, checked_returns

Array = NDArray[np.float64]

BLOCKS: Final = 16  # as in the paper: 12,870 splits
SPLITS_AT_ONCE: Final = 512


def probability_of_overfitting(returns: ArrayLike, blocks: int = BLOCKS) -> float:
    """Return the share of splits in which the best trial in sample is at or below the median out of sample.

    ``returns``: [trials, time], one row per trial. NaN for fewer than 2 trials or 2 bars per block. Raises QmtlError:
    INVALID_FIELD for an odd number of blocks, INVALID_SERIES for NaN or infinities.
    """
    found = logits(returns, blocks)
    return float((found <= 0.0).mean()) if found.size else float("nan")


def logits(returns: ArrayLike, blocks: int = BLOCKS) -> Array:
    """Return, per split, ln(w / (1 - w)) of the relative rank w out of sample of the best trial in sample.

    Equal Sharpe ratios share the mean of their ranks. The oldest bars that fill no block are left out. Empty where
    the sample is too short.
    """
    values = checked_returns(returns)
    if values.ndim != 2:
        raise invalid_field("returns", f"must be [trials, time], has {values.ndim} axes")
    if blocks < 2 or blocks % 2:
        raise invalid_field("blocks", f"must be even and at least 2, such as {BLOCKS}, is {blocks}")
    trials, bars = values.shape
    width = bars // blocks
    if trials < 2 or width < 2:
        return np.empty(0)
    cut = values[:, bars - width * blocks :].reshape(trials, blocks, width)
    ranks = _relative_ranks(cut, _splits(blocks))
    return np.log(ranks / (1.0 - ranks))


@cache
def _splits(blocks: int) -> Array:
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    splits = np.zeros((len(chosen), blocks))
    np.put_along_axis(splits, chosen, 1.0, axis=1)
    return splits


def _relative_ranks(cut: Array, splits: Array) -> Array:
    _, blocks, width = cut.shape
    centre = cut.mean(axis=(1, 2))
    centred = cut - centre[:, None, None]
    sums, squares = centred.sum(axis=2).T, (centred**2).sum(axis=2).T
    count = blocks // 2 * width
    ranks = np.empty(len(splits))
    # The complement of a split stands at its mirror image (itertools.combinations), so each half serves both.
    for start in range(0, len(splits) // 2, SPLITS_AT_ONCE):
        first = np.arange(start, min(start + SPLITS_AT_ONCE, len(splits) // 2))
        mirrored = len(splits) - 1 - first
        one, other = (_sharpes(splits[at] @ sums, splits[at] @ squares, centre, count) for at in (first, mirrored))
        ranks[first] = _ranks_of_best(one, other)
        ranks[mirrored] = _ranks_of_best(other, one)
    return ranks


def _ranks_of_best(inside: Array, outside: Array) -> Array:
    """Return, per split, the relative rank outside of the trial that is best inside."""
    of_best = np.take_along_axis(outside, inside.argmax(axis=1)[:, None], axis=1)
    below, equal = (outside < of_best).sum(axis=1), (outside == of_best).sum(axis=1)
    ranks: Array = (below + (equal + 1) / 2.0) / (inside.shape[1] + 1)
    return ranks


def _sharpes(sums: Array, squares: Array, centre: Array, count: int) -> Array:
    """Return Sharpe ratios from sums around ``centre``; a trial that stands still counts as 0."""
    mean = centre + sums / count
    variance = np.maximum(squares - sums**2 / count, 0.0) / (count - 1)
    deviation = np.sqrt(variance)
    moves = deviation > ROUNDING * np.abs(mean)
    return np.divide(mean, deviation, out=np.zeros_like(mean), where=moves)
