"""Accounting: prices and targets to a ``BacktestResult``, under a world's execution model.

The rules and their order are in ``docs/accounting.md``; the arithmetic is in ``kernel``, compiled on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason
from qmtl_foundation.execution_model import BASIS_POINTS, ExecutionModel, Fill, Rebalance
from qmtl_sdk.backtest.model import BacktestResult, Fills
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.times import format_instant

if TYPE_CHECKING:
    from qmtl_sdk.backtest.kernel import Rules


def account(prices: Panel, targets: NDArray[np.float64], model: ExecutionModel) -> BacktestResult:
    """Return what the targets would have earned.

    ``prices`` has ``close``, and ``open`` where the model fills at the next open; a model that fills at the close
    marks at an open all the same where it is given and the close is missing. ``targets``: float64 [T, S], the
    weight of each symbol decided at the close of each bar; NaN holds, 0 is flat. Raises QmtlError: INVALID_FIELD for
    targets of another shape, that are infinite, or negative where the model forbids shorts; DATA_INVALID for a price
    that is missing as a column, not positive or infinite. Each names bar and symbol.
    """
    closes = _column(prices, "close")
    # A fill at the close needs no opens, but a bar without a close is marked at its open all the same.
    no_opens = model.fill is Fill.CLOSE and "open" not in prices.columns
    opens = closes if no_opens else _column(prices, "open")
    if targets.shape != closes.shape or targets.dtype != np.float64:
        raise _bad_targets(f"must be float64 {list(closes.shape)}, is {targets.dtype} {list(targets.shape)}")
    if closes.size == 0:
        raise QmtlError(
            Reason.DATA_UNAVAILABLE, "prices: there is no bar to account for; widen the range or the symbols"
        )
    from qmtl_sdk.backtest import kernel  # Numba takes a third of a second to import; nothing before needs it

    outcome = kernel.run(
        prices.timestamps, opens, closes, _read_only(targets), _rules(model), float(model.initial_cash)
    )
    if outcome.status != kernel.OK:
        raise _refusal(outcome.status, outcome.bar, outcome.symbol, prices, targets)
    bar, symbol, *values = outcome.fills.T.copy()
    return BacktestResult(
        timestamps=prices.timestamps,
        symbols=prices.symbols,
        initial_cash=float(model.initial_cash),
        returns=_returns(outcome.series[kernel.EQUITY], float(model.initial_cash)),
        equity=outcome.series[kernel.EQUITY],
        cash=outcome.series[kernel.CASH],
        drawdown=outcome.series[kernel.DRAWDOWN],
        last_prices=outcome.marks,
        fills=Fills(bar.astype(np.int64), symbol.astype(np.int64), *values),
    )


def _read_only(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a read-only view: one array type for the kernel, however the targets came; each one is compiled anew."""
    view = np.ascontiguousarray(targets).view()
    view.flags.writeable = False
    return view


def _returns(equity: NDArray[np.float64], initial_cash: float) -> NDArray[np.float64]:
    """Return the simple returns [T]; apart from the kernel, where one division per bar doubled its time."""
    before = np.empty_like(equity)
    before[0], before[1:] = initial_cash, equity[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.divide(equity, before)
    returns -= 1.0
    np.maximum(returns, -1.0, out=returns)
    if equity[-1] <= 0.0:  # ruined, which nothing undoes
        returns[before <= 0.0] = 0.0
    return returns


def _rules(model: ExecutionModel) -> Rules:
    from qmtl_sdk.backtest import kernel

    codes = {
        Rebalance.ON_CHANGE: kernel.ON_CHANGE,
        Rebalance.EVERY_BAR: kernel.EVERY_BAR,
        Rebalance.DRIFT: kernel.DRIFT,
    }
    return kernel.Rules(
        at_close=model.fill is Fill.CLOSE,
        rebalance=codes[model.rebalance],
        drift=float(model.drift),
        can_short=model.can_short,
        cash_rate=float(model.cash_rate),
        slippage=model.slippage_bp / BASIS_POINTS,
        fee=model.fee_bp / BASIS_POINTS,
    )


def _column(prices: Panel, name: str) -> NDArray[np.float64]:
    column = prices.columns.get(name)
    if column is None:
        known = ", ".join(sorted(prices.columns)) or "none"
        raise QmtlError(
            Reason.DATA_INVALID,
            f"prices: column {name!r} is needed to fill and mark, the columns are: {known}",
            metadata={"field": "prices", "column": name, "columns": known},
        )
    return column


def _refusal(status: int, bar: int, symbol: int, prices: Panel, targets: NDArray[np.float64]) -> QmtlError:
    from qmtl_sdk.backtest import kernel

    when = format_instant(int(prices.timestamps[bar]))
    name = prices.symbols[symbol]
    place = {"bar": str(bar), "timestamp": when, "symbol": name}
    if status == kernel.BAD_PRICE:
        found = {
            column: float(prices.columns[column][bar, symbol])
            for column in ("open", "close")
            if column in prices.columns
        }
        text = ", ".join(f"{column} {value!r}" for column, value in found.items())
        message = f"prices: {name} at bar {bar} ({when}) must be positive and finite, or missing; found {text}"
        return QmtlError(Reason.DATA_INVALID, message, metadata={"field": "prices", **place})
    value = float(targets[bar, symbol])
    mend = "must be finite; use null to hold"
    if status == kernel.SHORT_REFUSED:
        mend = "must not be negative: the world's execution model has can_short false; use long_only(…) or allow shorts"
    return _bad_targets(f"{name} at bar {bar} ({when}) {mend}; is {value!r}", value=repr(value), **place)


def _bad_targets(description: str, **metadata: str) -> QmtlError:
    return QmtlError(
        Reason.INVALID_FIELD,
        f"targets: {description}",
        metadata={"field": "targets", **metadata},
        violations=(FieldViolation("targets", description),),
    )
