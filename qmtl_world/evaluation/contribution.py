"""What one strategy adds to its world: the world's score with it minus without it. Pure.

The world's score is the Sharpe ratio (risk-free rate 0, ddof = 1, annualised) of the weighted active set's returns,
held at the policy's weights on every bar. The sets with and without are weighed by the policy each for itself, and
both are scored on the bars that all members of the larger set have in common. A world without active strategies is
cash and scores 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from qmtl_world.allocation.weights import Share, WeightRules, weigh
from qmtl_world.evaluation.assessment import Assessment


class ScoredSet:
    """Hold the active set of a round, its weights and its score."""

    def __init__(self, active: Sequence[Assessment], rules: WeightRules, periods_per_year: float) -> None:
        self._active = tuple(sorted(active, key=lambda member: member.candidate.strategy_id))
        self._ids = frozenset(member.candidate.strategy_id for member in self._active)
        self._rules = rules
        self._annual = float(np.sqrt(periods_per_year))
        self._common = _common_bars(self._active)
        weights = _weigh(self._active, rules)
        self.weights = {member.candidate.strategy_id: w for member, w in zip(self._active, weights, strict=True)}
        self.score = self._score(self._active, self._common) if self._active else None

    def contribution(self, assessment: Assessment) -> float | None:
        """Return the score with a strategy minus without it; None where one of them is unknown."""
        if assessment.candidate.strategy_id in self._ids:
            larger, common = self._active, self._common
        else:
            larger = (*self._active, assessment)
            common = _intersect(self._common, assessment) if self._active else assessment.candidate.returns.ts
        smaller = tuple(member for member in larger if member is not assessment)
        with_it = self._known(larger, common)
        without_it = self._known(smaller, common)
        return None if with_it is None or without_it is None else with_it - without_it

    def _known(self, members: Sequence[Assessment], common: NDArray[np.int64]) -> float | None:
        """Return a score; that of the active set itself is asked for once per strategy of the cohort."""
        if members and members == self._active and common is self._common:
            return self.score
        return self._score(members, common)

    def _score(self, members: Sequence[Assessment], common: NDArray[np.int64]) -> float | None:
        if not members:
            return 0.0
        if common.size < 2:
            return None
        returns = np.zeros(common.size)
        for member, weight in zip(members, _weigh(members, self._rules), strict=True):
            returns += weight * _on(member, common)
        deviation = float(returns.std(ddof=1))
        # What is left of a constant after subtracting its mean is rounding, not variance.
        if deviation <= 1e-12 * float(np.abs(returns).max()):
            return None
        return float(returns.mean()) / deviation * self._annual


def _weigh(members: Iterable[Assessment], rules: WeightRules) -> tuple[float, ...]:
    unknown = float("nan")
    shares = [
        Share(
            unknown if member.score is None else member.score,
            member.candidate.facts.metrics.get("volatility", unknown),
        )
        for member in members
    ]
    return weigh(shares, rules)


def _common_bars(members: Sequence[Assessment]) -> NDArray[np.int64]:
    if not members:
        return np.empty(0, dtype=np.int64)
    common = members[0].candidate.returns.ts
    for member in members[1:]:
        common = _intersect(common, member)
    return common


def _intersect(common: NDArray[np.int64], member: Assessment) -> NDArray[np.int64]:
    ts = member.candidate.returns.ts
    return common if np.array_equal(common, ts) else np.intersect1d(common, ts, assume_unique=True)


def _on(member: Assessment, common: NDArray[np.int64]) -> NDArray[np.float64]:
    series = member.candidate.returns
    if np.array_equal(series.ts, common):
        return series.ret
    return series.ret[np.searchsorted(series.ts, common)]
