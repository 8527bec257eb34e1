"""Statistics of simple returns [..., time], formulas in ``catalog``; leading axes (strategies) are kept.

Rows are taken in blocks that fit a processor's cache. A series that is too short, or a denominator of 0, gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason, invalid_field

Array = NDArray[np.float64]

BLOCK_BYTES: Final = 512 * 1024
TAIL: Final = 0.05  # of the value at risk
ROUNDING: Final = 1e-12  # a spread below this part of the mean is rounding: the series stands still


def checked_returns(returns: ArrayLike, field: str = "returns") -> Array:
    """Return the returns as float64 [..., T].

    Raises QmtlError (INVALID_SERIES), naming the first bad bar, for NaN, an infinity or a return below -1.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim == 0:
        raise invalid_field(field, "must be a series of returns, is a single number")
    if values.size and not (values.min() >= -1.0 and values.max() < np.inf):
        raise _bad_series(values, field)
    return values


def checked_annual_factor(annual_factor: float) -> float:
    """Return the bars per year; raise QmtlError (INVALID_FIELD) unless it is finite and above 0."""
    if not (np.isfinite(annual_factor) and annual_factor > 0):
        raise invalid_field("annual_factor", f"must be the bars per year, above 0, is {annual_factor!r}")
    return float(annual_factor)


def total_return(returns: ArrayLike) -> Array:
    """Return what the whole series earned, as a fraction."""
    return _by_blocks(lambda r: np.prod(1.0 + r, axis=-1) - 1.0, returns)


def cagr(returns: ArrayLike, annual_factor: float) -> Array:
    """Return the compound annual growth rate, as a fraction per year."""
    factor = checked_annual_factor(annual_factor)
    return _by_blocks(lambda r: _cagr(r, factor), returns)


def volatility(returns: ArrayLike, annual_factor: float) -> Array:
    """Return the annualised standard deviation (ddof = 1)."""
    root = np.sqrt(checked_annual_factor(annual_factor))
    return _by_blocks(lambda r: _mean_and_deviation(r)[1] * root, returns, shortest=2)


def sharpe(returns: ArrayLike, annual_factor: float) -> Array:
    """Return the annualised Sharpe ratio against a risk-free rate of 0 (ddof = 1)."""
    root = np.sqrt(checked_annual_factor(annual_factor))
    return _by_blocks(lambda r: _sharpe(r) * root, returns, shortest=2)


def sortino(returns: ArrayLike, annual_factor: float) -> Array:
    """Return the annualised Sortino ratio against a target of 0; the downside is a mean over all bars."""
    root = np.sqrt(checked_annual_factor(annual_factor))
    return _by_blocks(lambda r: _sortino(r) * root, returns)


def calmar(returns: ArrayLike, annual_factor: float) -> Array:
    """Return the compound annual growth rate over the largest drawdown."""
    factor = checked_annual_factor(annual_factor)
    return _by_blocks(lambda r: _ratio(_cagr(r, factor), _max_drawdown(r)), returns)


def max_drawdown(returns: ArrayLike) -> Array:
    """Return the largest fall from a peak, as a positive fraction; the start counts as a peak."""
    return _by_blocks(_max_drawdown, returns)


def max_drawdown_bars(returns: ArrayLike) -> Array:
    """Return the most consecutive bars below the peak before them."""
    return _by_blocks(_longest_fall, returns)


def skewness(returns: ArrayLike) -> Array:
    """Return the third standardised central moment (ddof = 0)."""
    return _by_blocks(lambda r: _standard_moment(r, 3), returns, shortest=2)


def excess_kurtosis(returns: ArrayLike) -> Array:
    """Return the fourth standardised central moment (ddof = 0), less 3."""
    return _by_blocks(lambda r: _standard_moment(r, 4) - 3.0, returns, shortest=2)


def var_95(returns: ArrayLike) -> Array:
    """Return the historical value at risk of one bar at 95%, positive for a loss."""
    return _by_blocks(lambda r: -np.percentile(r, 100 * TAIL, axis=-1), returns)


def cvar_95(returns: ArrayLike) -> Array:
    """Return the mean loss of the bars at and beyond the value at risk, positive for a loss."""
    return _by_blocks(_tail_loss, returns)


def hit_rate(returns: ArrayLike) -> Array:
    """Return the share of gains among the bars with a return other than 0."""
    return _by_blocks(lambda r: _ratio((r > 0).sum(axis=-1), (r != 0).sum(axis=-1)), returns)


def profit_factor(returns: ArrayLike) -> Array:
    """Return the sum of the gains over the sum of the losses; NaN without a loss."""
    return _by_blocks(lambda r: _ratio(np.maximum(r, 0).sum(axis=-1), -np.minimum(r, 0).sum(axis=-1)), returns)


def _by_blocks(statistic: Callable[[Array], Array], returns: ArrayLike, shortest: int = 1) -> Array:
    values = checked_returns(returns)
    bars, leading = values.shape[-1], values.shape[:-1]
    result = np.full(int(np.prod(leading)), np.nan)
    if bars >= shortest:
        rows = values.reshape(-1, bars)
        step = max(1, BLOCK_BYTES // (8 * bars))
        with np.errstate(all="ignore"):  # growth beyond a float's range is inf, and inf / inf NaN: both are told apart
            for start in range(0, len(rows), step):
                result[start : start + step] = statistic(rows[start : start + step])
    return result.reshape(leading)


def _mean_and_deviation(r: Array) -> tuple[Array, Array]:
    mean = r.mean(axis=-1)
    centred = r - mean[:, None]
    return mean, np.sqrt(np.einsum("st,st->s", centred, centred) / (r.shape[-1] - 1))


def _sharpe(r: Array) -> Array:
    mean, deviation = _mean_and_deviation(r)
    return _ratio(mean, np.where(deviation <= ROUNDING * np.abs(mean), 0.0, deviation))


def _sortino(r: Array) -> Array:
    losses = np.minimum(r, 0.0)
    return _ratio(r.mean(axis=-1), np.sqrt(np.einsum("st,st->s", losses, losses) / r.shape[-1]))


def _cagr(r: Array, annual_factor: float) -> Array:
    return np.asarray(np.prod(1.0 + r, axis=-1) ** (annual_factor / r.shape[-1]) - 1.0)


def _of_peak(r: Array) -> Array:
    value = 1.0 + r
    np.multiply.accumulate(value, axis=-1, out=value)
    peak = np.maximum.accumulate(value, axis=-1)
    np.maximum(peak, 1.0, out=peak)
    return np.divide(value, peak, out=value)


def _max_drawdown(r: Array) -> Array:
    return np.asarray(1.0 - _of_peak(r).min(axis=-1))


def _longest_fall(r: Array) -> Array:
    bars = np.arange(1, r.shape[-1] + 1)
    at_peak = np.where(_of_peak(r) < 1.0, 0, bars)
    return np.asarray((bars - np.maximum.accumulate(at_peak, axis=-1)).max(axis=-1), dtype=np.float64)


def _standard_moment(r: Array, order: int) -> Array:
    mean = r.mean(axis=-1)
    centred = r - mean[:, None]
    variance = (centred**2).mean(axis=-1)
    still = np.sqrt(variance) <= ROUNDING * np.abs(mean)
    return _ratio((centred**order).mean(axis=-1), np.where(still, 0.0, variance ** (order / 2)))


def _tail_loss(r: Array) -> Array:
    count = int((r.shape[-1] - 1) * TAIL) + 1
    return np.asarray(-np.partition(r, count - 1, axis=-1)[:, :count].mean(axis=-1))


def _ratio(over: NDArray[np.generic], under: NDArray[np.generic]) -> Array:
    bottom = np.asarray(under, dtype=np.float64)
    undefined = np.full(bottom.shape, np.nan)
    return np.asarray(np.divide(np.asarray(over, dtype=np.float64), bottom, out=undefined, where=bottom != 0))


def _bad_series(values: Array, field: str) -> QmtlError:
    at = tuple(int(i) for i in np.argwhere(~((values >= -1.0) & (values < np.inf)))[0])
    found, bar = float(values[at]), at[-1]
    mend = "a return below -1 loses more than everything" if found < -1 else "must be a finite number"
    description = f"{found!r} at bar {bar}: {mend}; send simple returns, 0 for a bar without one"
    return QmtlError(
        Reason.INVALID_SERIES,
        f"{field}: {description}",
        metadata={"field": field, "bar": str(bar), "index": str(list(at)), "value": repr(found)},
        violations=(FieldViolation(field, description),),
    )
