"""Every metric of the catalog for one strategy, by name."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.statistics import overfitting, positions
from qmtl_foundation.statistics import returns as series
from qmtl_foundation.statistics.catalog import METRICS
from qmtl_foundation.statistics.sharpe import deflated_sharpe, probabilistic_sharpe


def compute(
    returns: ArrayLike,
    *,
    annual_factor: float,
    targets: ArrayLike | None = None,
    trades: positions.RoundTrips | None = None,
    trials: int = 1,
    trial_sharpe_variance: float | None = None,
    trial_returns: ArrayLike | None = None,
) -> dict[str, float]:
    """Return each metric of ``METRICS`` under its name; what cannot be computed is NaN.

    ``returns``: simple, [T]. ``annual_factor``: bars per year of the preset's calendar. ``targets``: [T, S], null
    holds. ``trials``: how many strategies were tried, this one included. ``trial_sharpe_variance``: of the trials'
    annualised Sharpe ratios; without it ``deflated_sharpe`` of more than one trial is NaN. ``trial_returns``:
    [trials, time], for ``pbo``. Raises QmtlError (INVALID_SERIES, INVALID_FIELD) naming what is bad.
    """
    values = series.checked_returns(returns)
    if values.ndim != 1:
        raise invalid_field("returns", f"must be one series [T], has {values.ndim} axes")
    found = _of_returns(values, series.checked_annual_factor(annual_factor))
    found |= _of_trials(found, len(values), annual_factor, trials, trial_sharpe_variance)
    if trial_returns is not None:
        found["pbo"] = overfitting.probability_of_overfitting(trial_returns)
    if targets is not None:
        found |= _of_targets(targets, annual_factor)
    if trades is not None:
        found |= _of_trades(trades)
    return {name: value if math.isfinite(value := found.get(name, math.nan)) else math.nan for name in METRICS}


def _of_returns(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], annual_factor: float) -> dict[str, float]:
    plain = (
        series.total_return, series.max_drawdown, series.max_drawdown_bars, series.skewness, series.excess_kurtosis,
        series.var_95, series.cvar_95, series.hit_rate, series.profit_factor,
    )  # fmt: skip
    annual = (series.cagr, series.volatility, series.sharpe, series.sortino, series.calmar)
    found = {statistic.__name__: float(statistic(values)) for statistic in plain}
    return found | {statistic.__name__: float(statistic(values, annual_factor)) for statistic in annual}


def _of_trials(
    found: dict[str, float], bars: int, annual_factor: float, trials: int, annual_variance: float | None
) -> dict[str, float]:
    sharpe = found["sharpe"] / math.sqrt(annual_factor)
    moments = found["skewness"], found["excess_kurtosis"]
    variance = 0.0 if trials == 1 else math.nan if annual_variance is None else annual_variance / annual_factor
    return {
        "psr": probabilistic_sharpe(sharpe, bars, *moments),
        "deflated_sharpe": deflated_sharpe(sharpe, bars, *moments, trials, variance),
    }


def _of_targets(targets: ArrayLike, annual_factor: float) -> dict[str, float]:
    found = positions.position_statistics(targets, annual_factor)
    names = ("turnover", "average_gross", "average_net", "exposure")
    return {name: getattr(found, name) for name in names}


def _of_trades(trades: positions.RoundTrips) -> dict[str, float]:
    found = positions.trade_statistics(trades)
    return {
        "trades": float(found.trades),
        "win_rate": found.win_rate,
        "average_holding_bars": found.average_holding_bars,
    }
