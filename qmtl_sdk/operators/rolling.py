"""Operators along time, for each symbol alone: each value depends on its own window's content and nothing else."""

from __future__ import annotations

import numpy as np

from qmtl_sdk.operators.elementwise import Operands, Params, finite
from qmtl_sdk.strategy.values import FloatArray, Value, floats


def shift(operands: Operands, params: Params) -> Value:
    """Take the value of some bars ago; keeps what the value holds."""
    value, bars = operands["value"], whole(params, "bars")
    out = np.empty_like(value.data)
    out[:bars] = value.null
    out[bars:] = value.data[: max(len(out) - bars, 0)]
    return value.like(out)


def pct_change(operands: Operands, params: Params) -> Value:
    """Take value / older value - 1."""
    numbers, bars = operands["value"].numbers(), whole(params, "bars")
    out = np.full(numbers.shape, np.nan)
    with np.errstate(all="ignore"):
        np.divide(numbers[bars:], numbers[:-bars], out=out[bars:])
        out -= 1.0
    return floats(finite(out))


def rolling_mean(operands: Operands, params: Params) -> Value:
    """Average each window."""
    return _mean(operands["value"].numbers(), whole(params, "window"), 1.0)


def ewm_mean(operands: Operands, params: Params) -> Value:
    """Average each window with exponentially falling weights."""
    span = float(params["span"])  # type: ignore[arg-type]  # a float by construction
    return _mean(operands["value"].numbers(), whole(params, "window"), 1.0 - 2.0 / (span + 1.0))


def rolling_sum(operands: Operands, params: Params) -> Value:
    """Sum each window."""
    from qmtl_sdk.operators.kernels import doubling  # Numba only when needed

    numbers = operands["value"].numbers()
    out = np.empty_like(numbers)
    doubling.rolling_sum(numbers.reshape(-1), whole(params, "window"), numbers.shape[1], out.reshape(-1))
    return floats(out)


def rolling_min(operands: Operands, params: Params) -> Value:
    """Take each window's smallest value."""
    return _extreme(operands["value"].numbers(), whole(params, "window"), 1.0)


def rolling_max(operands: Operands, params: Params) -> Value:
    """Take each window's largest value."""
    return _extreme(operands["value"].numbers(), whole(params, "window"), -1.0)


def rolling_std(operands: Operands, params: Params) -> Value:
    """Take each window's sample standard deviation (ddof=1)."""
    _, deviation = _moments(operands["value"].numbers(), whole(params, "window"))
    return floats(deviation)


def rolling_zscore(operands: Operands, params: Params) -> Value:
    """Take (value - mean) / standard deviation of each window; null where none varies."""
    numbers = operands["value"].numbers()
    mean, deviation = _moments(numbers, whole(params, "window"))
    with np.errstate(all="ignore"):
        return floats(np.where(deviation > 0.0, (numbers - mean) / deviation, np.nan))


def rolling_median(operands: Operands, params: Params) -> Value:
    """Take each window's median."""
    return _quantile(operands["value"].numbers(), whole(params, "window"), 0.5)


def rolling_quantile(operands: Operands, params: Params) -> Value:
    """Take a quantile of each window, linear between neighbours."""
    quantile = float(params["quantile"])  # type: ignore[arg-type]  # a float by construction
    return _quantile(operands["value"].numbers(), whole(params, "window"), quantile)


def rolling_rank(operands: Operands, params: Params) -> Value:
    """Rank the newest value within each window, in (0, 1]."""
    from qmtl_sdk.operators.kernels import ordered  # Numba only when needed

    numbers = operands["value"].numbers()
    out = np.empty_like(numbers)
    ordered.rolling_rank(numbers, whole(params, "window"), out)
    return floats(out)


def rolling_corr(operands: Operands, params: Params) -> Value:
    """Correlate (Pearson) two values over each window; null where one does not vary."""
    left, right = np.broadcast_arrays(operands["left"].numbers(), operands["right"].numbers())
    window = whole(params, "window")
    _, crossed = _comoment(left, right, window)
    spread = np.sqrt(_comoment(left, left, window)[1]) * np.sqrt(_comoment(right, right, window)[1])
    spread[~(spread > 0.0)] = np.nan
    crossed /= spread
    return floats(np.clip(crossed, -1.0, 1.0, out=crossed))


def rolling_slope(operands: Operands, params: Params) -> Value:
    """Regress each window on the number of its bars."""
    from qmtl_sdk.operators.kernels import moments  # Numba only when needed

    numbers = operands["value"].numbers()
    out = np.empty_like(numbers)
    moments.rolling_slope(numbers.reshape(-1), whole(params, "window"), numbers.shape[1], out.reshape(-1))
    return floats(out)


def whole(params: Params, name: str) -> int:
    """Return a parameter that is a whole number by construction."""
    return int(params[name])  # type: ignore[arg-type]  # checked when the node was made


def _mean(numbers: FloatArray, window: int, decay: float) -> Value:
    from qmtl_sdk.operators.kernels import doubling  # Numba only when needed

    out = np.empty_like(numbers)
    doubling.rolling_mean(numbers.reshape(-1), window, decay, numbers.shape[1], out.reshape(-1))
    return floats(out)


def _extreme(numbers: FloatArray, window: int, sign: float) -> Value:
    from qmtl_sdk.operators.kernels import doubling  # Numba only when needed

    out = np.empty_like(numbers)
    doubling.rolling_extreme(numbers.reshape(-1), window, sign, numbers.shape[1], out.reshape(-1))
    return floats(out)


def _moments(numbers: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Return each window's mean and sample standard deviation (ddof=1), both [T, S]."""
    mean, squares = _comoment(numbers, numbers, window)
    squares /= window - 1
    return mean, np.sqrt(squares, out=squares)


def _comoment(left: FloatArray, right: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Return each window's mean of ``left`` and its sum of crossed deviations, both [T, S]."""
    from qmtl_sdk.operators.kernels import moments  # Numba only when needed

    mean, crossed = np.empty(left.shape), np.empty(left.shape)
    moments.rolling_comoment(_flat(left), _flat(right), window, left.shape[1], mean.reshape(-1), crossed.reshape(-1))
    return mean, crossed


def _quantile(numbers: FloatArray, window: int, quantile: float) -> Value:
    from qmtl_sdk.operators.kernels import ordered  # Numba only when needed

    out = np.empty_like(numbers)
    ordered.rolling_quantile(numbers, window, quantile, out)
    return floats(out)


def _flat(numbers: FloatArray) -> FloatArray:
    """Return a read-only flat view; one array type for the kernels, however the operand came."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    flat.flags.writeable = False
    return flat
