"""What a report shows of a world. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReportRule:
    """Hold one rule that was judged, with value and limit."""

    rule: str
    passed: bool
    value: float | None
    limit: float | None
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class ReportStrategy:
    """Hold one strategy: how it stands, its metrics and rules, and its returns (times int64 ns UTC, simple returns)."""

    strategy_id: str
    status: str
    active: bool
    weight: float
    score: float | None
    contribution: float | None
    metrics: Mapping[str, float]
    rules: tuple[ReportRule, ...]
    times: NDArray[np.int64]
    returns: NDArray[np.float64]

    @property
    def equity(self) -> NDArray[np.float64]:
        """Return the growth of 1 at each bar."""
        return np.multiply.accumulate(1.0 + self.returns)

    @property
    def drawdown(self) -> NDArray[np.float64]:
        """Return the loss since the highest equity so far (the start counts), a fraction, positive."""
        equity = self.equity
        peak = np.maximum.accumulate(np.maximum(equity, 1.0))
        drawdown: NDArray[np.float64] = 1.0 - equity / peak
        return drawdown


@dataclass(frozen=True, slots=True, eq=False)
class WorldReport:
    """Hold a world with its strategies, active ones first."""

    world: str
    mode: str
    data_preset: str
    policy_version: int
    epoch: int
    sequence: int
    trials: int
    score: float | None
    as_of: str
    strategies: tuple[ReportStrategy, ...]
