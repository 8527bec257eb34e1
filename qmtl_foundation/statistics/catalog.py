"""The catalog of metrics: each name that a policy may use, with unit, formula, source and where peers differ. Pure.

Notation: r_t simple return of bar t, n bars, A bars per year of the preset's calendar, V_t = prod(1 + r_i, i <= t)
with V_0 = 1, w target weights (null: the one before, from flat), std with ddof = 1. A metric that is undefined, because
its sample is too short or its denominator is 0, is NaN; a policy treats NaN as failing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Unit(StrEnum):
    """Say what one unit of a metric is."""

    FRACTION = "fraction"
    FRACTION_PER_YEAR = "fraction per year"
    PROBABILITY = "probability"
    RATIO = "ratio"
    BARS = "bars"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Metric:
    """Define one metric: what it is called and measured in, how it is computed, and whose definition that is.

    ``less_is_better``: whether of two strategies the one with the smaller value is preferred.
    """

    name: str
    unit: Unit
    formula: str
    source: str
    less_is_better: bool = False


_BOTH: Final = "empyrical-reloaded and quantstats agree"
_PSR: Final = "Bailey & López de Prado 2012, The Sharpe Ratio Efficient Frontier, J. of Risk 15(2)"
_DSR: Final = "Bailey & López de Prado 2014, The Deflated Sharpe Ratio, J. of Portfolio Management 40(5)"
_PBO: Final = (
    "Bailey, Borwein, López de Prado & Zhu 2017, The Probability of Backtest Overfitting, J. Comp. Finance 20(4)"
)
_POSITIONS: Final = "QMTL, from the submitted targets"
_TRADES: Final = "QMTL, from the submitted round trips; as vectorbt's positions"

_CATALOG: Final = (
    Metric("total_return", Unit.FRACTION, "V_n - 1", f"{_BOTH}: cum_returns_final, comp"),
    Metric("cagr", Unit.FRACTION_PER_YEAR, "V_n ^ (A / n) - 1", f"{_BOTH}: annual_return, cagr"),
    Metric(
        "volatility",
        Unit.FRACTION_PER_YEAR,
        "std(r) * sqrt(A)",
        f"{_BOTH}: annual_volatility, volatility",
        less_is_better=True,
    ),
    Metric("sharpe", Unit.RATIO, "mean(r) / std(r) * sqrt(A); risk-free rate 0", f"{_BOTH}: sharpe_ratio, sharpe"),
    Metric(
        "sortino",
        Unit.RATIO,
        "mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(A), over all n bars",
        f"Sortino & Price 1994; {_BOTH}: sortino_ratio, sortino",
    ),
    Metric("calmar", Unit.RATIO, "cagr / max_drawdown", f"{_BOTH}: calmar_ratio, calmar"),
    Metric(
        "max_drawdown",
        Unit.FRACTION,
        "max_t (1 - V_t / max_{0 <= i <= t} V_i), positive",
        "empyrical-reloaded and quantstats: the same, with the sign turned",
        less_is_better=True,
    ),
    Metric(
        "max_drawdown_bars",
        Unit.BARS,
        "most consecutive bars with V_t below its running maximum",
        "QMTL; quantstats counts calendar days in drawdown_details",
        less_is_better=True,
    ),
    Metric(
        "skewness",
        Unit.RATIO,
        "m_3 / m_2^1.5, central moments with ddof = 0",
        "scipy.stats.skew, as the PSR takes it; quantstats (pandas) corrects for bias",
    ),
    Metric(
        "excess_kurtosis",
        Unit.RATIO,
        "m_4 / m_2^2 - 3, central moments with ddof = 0",
        "scipy.stats.kurtosis; quantstats (pandas) corrects for bias",
        less_is_better=True,
    ),
    Metric(
        "var_95",
        Unit.FRACTION,
        "-(5th percentile of r, linear interpolation); positive is a loss",
        "empyrical-reloaded value_at_risk with the sign turned; quantstats assumes a normal distribution",
        less_is_better=True,
    ),
    Metric(
        "cvar_95",
        Unit.FRACTION,
        "-(mean of the floor((n - 1) * 0.05) + 1 smallest r); positive is a loss",
        "empyrical-reloaded conditional_value_at_risk with the sign turned; quantstats cuts at its normal VaR",
        less_is_better=True,
    ),
    Metric("hit_rate", Unit.FRACTION, "count(r > 0) / count(r != 0)", "quantstats win_rate"),
    Metric("profit_factor", Unit.RATIO, "sum(r > 0) / |sum(r < 0)|, NaN without a loss", "quantstats profit_factor"),
    Metric(
        "psr",
        Unit.PROBABILITY,
        "Phi(s * sqrt(n - 1) / sqrt(1 - skew * s + (excess_kurtosis + 2) / 4 * s^2)), s = mean(r) / std(r)",
        f"{_PSR}, against a true Sharpe ratio of 0; quantstats takes bias-corrected moments",
    ),
    Metric(
        "deflated_sharpe",
        Unit.PROBABILITY,
        "the PSR against the expected maximum of the trials' Sharpe ratios; the PSR itself for one trial",
        _DSR,
    ),
    Metric(
        "pbo",
        Unit.PROBABILITY,
        "share of the combinatorial splits with logit <= 0; NaN without the trials",
        _PBO,
        less_is_better=True,
    ),
    Metric(
        "turnover",
        Unit.FRACTION_PER_YEAR,
        "A * mean_t(sum_s |w_t - w_{t-1}| / 2), one way, entry from flat included",
        _POSITIONS,
        less_is_better=True,
    ),
    Metric("average_gross", Unit.FRACTION, "mean_t(sum_s |w|)", _POSITIONS),
    Metric("average_net", Unit.FRACTION, "mean_t(sum_s w)", _POSITIONS),
    Metric("exposure", Unit.FRACTION, "share of bars with a target other than flat", _POSITIONS),
    Metric("trades", Unit.COUNT, "closed round trips, flat to flat per symbol", _TRADES),
    Metric("win_rate", Unit.FRACTION, "closed round trips with pnl > 0 after fees / closed round trips", _TRADES),
    Metric("average_holding_bars", Unit.BARS, "mean of exit bar - entry bar over closed round trips", _TRADES),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _CATALOG})
