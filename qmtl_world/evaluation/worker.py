"""Compute what a world knows of one strategy from its submitted series: metrics, facts, equity. For worker processes.

The world computes every metric itself, by ``qmtl_foundation.statistics``; nothing that a client says of its own quality
comes in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.statistics.positions import PositionStatistics, position_statistics
from qmtl_foundation.statistics.returns import sharpe
from qmtl_foundation.statistics.summary import compute
from qmtl_world.evaluation.model import EvaluationMetrics, EvaluationTask, ReturnSeries, RiskFacts, SampleFacts, Side
from qmtl_world.evaluation.series import Submission, decode_submission

EQUITY_POINTS: Final = 64
NEUTRAL_SHARE: Final = 0.1  # of the average gross exposure, within which an average net exposure leans to no side

_POSITION_METRICS: Final = ("turnover", "average_gross", "average_net", "exposure")


def evaluate_series(task: EvaluationTask, trials: Sequence[ReturnSeries] = ()) -> EvaluationMetrics:
    """Return all that the world computes from a submission; ``trials`` are the returns that the task names.

    Raises QmtlError (INVALID_SERIES, INVALID_FIELD) naming what is bad.
    """
    submission = decode_submission(task.returns, task.targets, task.trades)
    series = submission.returns
    metrics = compute(
        series.ret,
        annual_factor=task.periods_per_year,
        trades=submission.trades,
        trials=task.trials,
        trial_sharpe_variance=_trial_variance(series, task),
        trial_returns=_trial_matrix(series, trials),
    )
    positions = _positions(submission, task.periods_per_year)
    metrics |= {name: getattr(positions, name) for name in _POSITION_METRICS}
    trades = metrics["trades"]
    return EvaluationMetrics(
        metrics=metrics,
        sample=SampleFacts(
            bars=series.ret.size,
            years=series.ret.size / task.periods_per_year,
            trades=0 if math.isnan(trades) else int(trades),
            trials=task.trials,
        ),
        risk=RiskFacts(positions.max_gross, positions.max_abs_net, positions.max_weight),
        side=lean(positions.average_net, positions.average_gross),
        has_target=submission.targets is not None and bool(np.isfinite(submission.targets).any()),
        returns=series,
        returns_hash=submission.returns_hash,
        series_hash=submission.series_hash,
        equity_curve=_equity_curve(series.ret),
    )


def lean(average_net: float, average_gross: float) -> Side:
    """Return the side of a strategy from its average exposures; neutral when they are unknown or balance."""
    threshold = NEUTRAL_SHARE * average_gross
    if average_net > threshold:
        return Side.LONG
    return Side.SHORT if average_net < -threshold else Side.NEUTRAL


def _positions(submission: Submission, periods_per_year: float) -> PositionStatistics:
    """Return the statistics of the targets; all NaN without any, all 0 for targets that never name a symbol."""
    if submission.targets is None:
        return PositionStatistics(*[math.nan] * 7)
    if not submission.targets.size:
        return PositionStatistics(*[0.0] * 7)
    return position_statistics(submission.targets, periods_per_year)


def _trial_variance(series: ReturnSeries, task: EvaluationTask) -> float | None:
    """Return the variance (ddof = 1) of the annualised Sharpe ratios of all trials that have one."""
    own = float(sharpe(series.ret, task.periods_per_year))
    known = [value for value in (*task.trial_sharpes, own) if math.isfinite(value)]
    return float(np.var(known, ddof=1)) if len(known) > 1 else None


def _trial_matrix(series: ReturnSeries, others: Sequence[ReturnSeries]) -> NDArray[np.float64] | None:
    """Return the returns [trials, bars] of this strategy and of the trials that have all of its bars."""
    rows = [series.ret]
    for other in others:
        if np.array_equal(other.ts, series.ts):
            rows.append(other.ret)
            continue
        at = np.minimum(np.searchsorted(other.ts, series.ts), other.ts.size - 1)
        if np.array_equal(other.ts[at], series.ts):
            rows.append(other.ret[at])
    return np.stack(rows) if len(rows) > 1 else None


def _equity_curve(ret: NDArray[np.float64]) -> tuple[float, ...]:
    with np.errstate(over="ignore", invalid="ignore"):  # absurd returns overflow; they are drawn at the top
        equity = np.nan_to_num(np.concatenate((np.ones(1), np.cumprod(1.0 + ret))))
    at = np.linspace(0, equity.size - 1, min(EQUITY_POINTS, equity.size)).round().astype(np.int64)
    return tuple(float(value) for value in equity[at])
