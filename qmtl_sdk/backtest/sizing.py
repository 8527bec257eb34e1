"""Sizing: a bare signal (signs or scores) to targets, by the world's sizing rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.execution_model import Sizing, SizingRule


def targets_of_signal(signal: NDArray[np.float64], rule: SizingRule) -> NDArray[np.float64]:
    """Return targets [T, S] of a signal [T, S].

    At each bar the gross limit is divided over the symbols in proportion to the signal: equally where it is a sign.
    LONG_ONLY takes the positive part, LONG_SHORT both sides; a bar without any is flat. A null (NaN) keeps the last
    signal of its symbol, and its share, so that the gross weight never passes the limit; before the first it is null.
    Raises QmtlError (INVALID_FIELD) for an infinite signal, naming bar and column.
    """
    if signal.ndim != 2:
        raise invalid_field("signal", f"must be [time, symbol], has {signal.ndim} axes")
    unknown = np.isnan(signal)
    stands = _carried(signal, unknown) if unknown.any() else signal
    if np.isinf(stands).any():
        bar, column = (int(i) for i in np.argwhere(np.isinf(signal))[0])
        raise invalid_field("signal", f"bar {bar}, column {column} must be finite, or null to hold")
    wanted = np.nan_to_num(stands)
    if rule.kind is Sizing.LONG_ONLY:
        wanted = np.maximum(wanted, 0.0)
    largest = np.abs(wanted).max(axis=1, keepdims=True, initial=0.0)
    scaled = wanted / np.where(largest > 0.0, largest, 1.0)  # a sum of huge scores would overflow
    gross = np.abs(scaled).sum(axis=1, keepdims=True)
    targets = scaled * (rule.gross_limit / np.where(gross > 0.0, gross, 1.0))
    return np.where(np.isnan(stands), np.nan, targets)


def _carried(signal: NDArray[np.float64], unknown: NDArray[np.bool_]) -> NDArray[np.float64]:
    stated = np.where(unknown, 0, np.arange(len(signal))[:, None])
    latest = np.maximum.accumulate(stated, axis=0)
    return np.take_along_axis(signal, latest, axis=0)
