"""Statistics of targets [time, symbol] and of round trips; formulas in ``catalog``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason, invalid_field
from qmtl_foundation.statistics.returns import checked_annual_factor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PositionStatistics:
    """Hold what the targets of a strategy amount to; all but ``turnover`` (per year) are fractions of its capital."""

    turnover: float
    average_gross: float
    average_net: float
    exposure: float
    max_gross: float
    max_abs_net: float
    max_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class RoundTrips:
    """Hold N round trips, flat to flat in one symbol.

    ``entry_bar``, ``exit_bar``: int [N]. ``pnl``: [N], after fees. ``open``: bool [N], not closed when the data ended.
    Raises QmtlError (INVALID_FIELD, INVALID_SERIES) for arrays of different lengths, a pnl that is not finite, and an
    exit before its entry.
    """

    entry_bar: NDArray[np.int64]
    exit_bar: NDArray[np.int64]
    pnl: Array
    open: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check lengths and values."""
        lengths = {len(self.entry_bar), len(self.exit_bar), len(self.pnl), len(self.open)}
        if len(lengths) != 1:
            raise invalid_field("trades", f"must have columns of one length, has {sorted(lengths)}")
        if not np.isfinite(self.pnl).all():
            raise _bad_value("trades.pnl", int(np.argmin(np.isfinite(self.pnl))), "must be a finite amount")
        if (self.exit_bar < self.entry_bar).any():
            row = int(np.argmax(self.exit_bar < self.entry_bar))
            raise _bad_value("trades.exit_bar", row, "must not be before entry_bar")


@dataclass(frozen=True, slots=True)
class TradeStatistics:
    """Hold what closed round trips amount to; NaN where there is none."""

    trades: int
    win_rate: float
    average_holding_bars: float


def weights(targets: ArrayLike) -> Array:
    """Return the weights that stand at each bar, [T, S]: a null target holds the one before, from flat.

    Raises QmtlError (INVALID_SERIES) for an infinite target.
    """
    values = np.asarray(targets, dtype=np.float64)
    if values.ndim != 2:
        raise invalid_field("targets", f"must be [time, symbol], has {values.ndim} axes")
    if np.isinf(values).any():
        bar, symbol = (int(i) for i in np.argwhere(np.isinf(values))[0])
        raise _bad_value("targets", bar, f"symbol {symbol} must be finite, or null to hold")
    stated = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    latest = np.maximum.accumulate(stated, axis=0)
    return np.where(latest < 0, 0.0, np.take_along_axis(values, np.maximum(latest, 0), axis=0))


def position_statistics(targets: ArrayLike, annual_factor: float) -> PositionStatistics:
    """Return turnover, exposure and limits of targets [T, S]; all NaN for no bar."""
    factor = checked_annual_factor(annual_factor)
    held = weights(targets)
    if not held.size:
        return PositionStatistics(*[float("nan")] * 7)
    size = np.abs(held)
    gross, net = size.sum(axis=1), held.sum(axis=1)
    changes = np.abs(np.diff(held, axis=0)).sum() + gross[0]
    return PositionStatistics(
        turnover=float(factor * changes / 2.0 / len(held)),
        average_gross=float(gross.mean()),
        average_net=float(net.mean()),
        exposure=float((gross > 0.0).mean()),
        max_gross=float(gross.max()),
        max_abs_net=float(np.abs(net).max()),
        max_weight=float(size.max()),
    )


def trade_statistics(trades: RoundTrips) -> TradeStatistics:
    """Return count, win rate and holding time of the closed round trips."""
    closed = ~np.asarray(trades.open, dtype=np.bool_)
    count = int(closed.sum())
    if count == 0:
        return TradeStatistics(0, float("nan"), float("nan"))
    return TradeStatistics(
        trades=count,
        win_rate=float((trades.pnl[closed] > 0.0).mean()),
        average_holding_bars=float((trades.exit_bar - trades.entry_bar)[closed].mean()),
    )


def _bad_value(field: str, row: int, mend: str) -> QmtlError:
    return QmtlError(
        Reason.INVALID_SERIES,
        f"{field}: row {row}: {mend}",
        metadata={"field": field, "row": str(row)},
        violations=(FieldViolation(field, f"row {row}: {mend}"),),
    )
