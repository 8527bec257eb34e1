"""How alike a strategy's returns are to those already chosen: Pearson's correlation on their common bars. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_world.evaluation.model import Candidate, ReturnSeries

MIN_COMMON_BARS: Final = 20  # below it a correlation says nothing, and counts as unknown


@dataclass(frozen=True, slots=True)
class Likeness:
    """Hold the most alike strategy and the correlation with it; NaN where it is unknown."""

    strategy_id: str
    correlation: float


class ChosenReturns:
    """Hold the returns of the strategies chosen so far, and find the one most like another."""

    def __init__(self) -> None:
        self._chosen: list[tuple[str, ReturnSeries, NDArray[np.float64]]] = []

    def add(self, candidate: Candidate) -> None:
        """Add a strategy to the chosen ones."""
        self._chosen.append((candidate.strategy_id, candidate.returns, _standardise(candidate.returns.ret)))

    def most_alike(self, candidate: Candidate) -> Likeness | None:
        """Return the chosen strategy that correlates most, an unknown correlation before all; None without any."""
        own = _standardise(candidate.returns.ret)
        worst: Likeness | None = None
        for strategy_id, series, row in self._chosen:
            same_clock = np.array_equal(series.ts, candidate.returns.ts)
            correlation = _product(row, own) if same_clock else correlate(series, candidate.returns)
            if np.isnan(correlation):
                return Likeness(strategy_id, correlation)
            if worst is None or correlation > worst.correlation:
                worst = Likeness(strategy_id, correlation)
        return worst


def correlate(left: ReturnSeries, right: ReturnSeries) -> float:
    """Return Pearson's correlation on the common bars; NaN with fewer than MIN_COMMON_BARS, or without variance."""
    _, at_left, at_right = np.intersect1d(left.ts, right.ts, assume_unique=True, return_indices=True)
    return _product(_standardise(left.ret[at_left]), _standardise(right.ret[at_right]))


def _standardise(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the returns less their mean, of length 1 as a vector; NaN without variance."""
    centred = returns - returns.mean() if returns.size else returns
    length = float(np.linalg.norm(centred))
    # What is left of a constant after subtracting its mean is rounding, not variance.
    if length <= 1e-12 * float(np.linalg.norm(returns)):
        return np.full_like(returns, np.nan)
    return centred / length


def _product(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    if left.size < MIN_COMMON_BARS:
        return float("nan")
    return float(np.clip(left @ right, -1.0, 1.0))
