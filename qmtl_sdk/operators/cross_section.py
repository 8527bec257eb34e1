"""Operators across the symbols of one bar: rank, demean, z-score, neutralize, and weights.

A null symbol is left out of its bar's statistics and stays null. Each bar is measured from its first known symbol, so
that equal values give exactly equal results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.operators.elementwise import Operands, Params
from qmtl_sdk.strategy.values import FloatArray, Value, ValueKind, floats


def rank(operands: Operands, params: Params) -> Value:
    """Rank in (0, 1], ties by average; the same as pandas ``rank(axis=1, pct=True)``."""
    numbers = operands["value"].numbers()
    count = np.count_nonzero(~np.isnan(numbers), axis=1, keepdims=True)
    order = np.argsort(numbers, axis=1, kind="stable")  # nulls last
    ordered = np.take_along_axis(numbers, order, axis=1)
    first, last = _tie_bounds(ordered)
    ranks = np.empty_like(numbers)
    np.put_along_axis(ranks, order, (first + last) / 2.0 + 1.0, axis=1)
    ranks /= np.maximum(count, 1)
    ranks[np.isnan(numbers)] = np.nan
    return floats(ranks)


def demean(operands: Operands, params: Params) -> Value:
    """Subtract the bar's mean."""
    return floats(_centred(operands["value"].numbers()))


def zscore(operands: Operands, params: Params) -> Value:
    """Divide the demeaned value by the bar's standard deviation (ddof=1); null where none varies."""
    centred = _centred(operands["value"].numbers())
    known = ~np.isnan(centred)
    squares = np.where(known, centred, 0.0) ** 2
    count = known.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        deviation = np.sqrt(squares.sum(axis=1, keepdims=True) / (count - 1))
        scores = centred / deviation
    scores[np.broadcast_to(~(deviation > 0.0), scores.shape)] = np.nan
    return floats(scores)


def neutralize(operands: Operands, params: Params) -> Value:
    """Take the residuals of the bar's least-squares regression (with intercept) on the exposure.

    Where the exposure does not vary, the residual is the demeaned value.
    """
    value, exposure = np.broadcast_arrays(operands["value"].numbers(), operands["exposure"].numbers())
    unknown = np.isnan(value) | np.isnan(exposure)
    left = _centred(np.where(unknown, np.nan, value))
    right = _centred(np.where(unknown, np.nan, exposure))
    x, y = np.where(unknown, 0.0, right), np.where(unknown, 0.0, left)
    variance = (x * x).sum(axis=1, keepdims=True)
    slope = (x * y).sum(axis=1, keepdims=True) / np.where(variance > 0.0, variance, 1.0)
    return floats(left - slope * right)


def long_only(operands: Operands, params: Params) -> Value:
    """Share gross equally among the symbols that are true or score above 0."""
    direction = np.maximum(_direction(operands["value"], 0.0), 0.0)
    return floats(_shared(direction, params))


def long_short(operands: Operands, params: Params) -> Value:
    """Share gross equally among the symbols with a side: true or positive long, false or negative short."""
    return floats(_shared(_direction(operands["value"], -1.0), params))


def _direction(value: Value, when_false: float) -> FloatArray:
    numbers = value.numbers()
    direction: FloatArray = np.sign(numbers)
    return np.where(numbers == 0.0, when_false, numbers) if value.kind is ValueKind.BOOL else direction


def _shared(direction: FloatArray, params: Params) -> FloatArray:
    active = np.nansum(np.abs(direction), axis=1, keepdims=True)
    gross = float(params["gross"])  # type: ignore[arg-type]  # a float by construction
    shared: FloatArray = direction * (gross / np.maximum(active, 1.0))
    return shared


def _centred(numbers: FloatArray) -> FloatArray:
    known = ~np.isnan(numbers)
    pivot = np.take_along_axis(numbers, np.argmax(known, axis=1)[:, None], axis=1)
    distance: FloatArray = numbers - pivot
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, distance, 0.0).sum(axis=1, keepdims=True) / count
    distance -= mean
    return distance


def _tie_bounds(ordered: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and last position of each value's run of equals, along the symbols of each bar."""
    position = np.broadcast_to(np.arange(ordered.shape[1]), ordered.shape)
    starts = np.ones(ordered.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones(ordered.shape, dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    backwards = np.where(ends, position, ordered.shape[1])[:, ::-1]
    return first, np.minimum.accumulate(backwards, axis=1)[:, ::-1]
