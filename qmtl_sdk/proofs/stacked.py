"""Evaluate the windows of many bars at once, where no window can see another.

That holds for a Polars expression that a function returns without having looked at its view: evaluated within
groups, one for each window. Any other function could look across a stack, so it is called for each window alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.strategy.node import Node
from qmtl_sdk.strategy.values import FloatArray
from qmtl_sdk.strategy.view import View

Stacked = Callable[[NDArray[np.int64]], FloatArray | None]
"""Bars -> float64 [bars, symbols], NaN = null; None where the windows cannot be stacked after all."""

MAX_ROWS: Final = 1_000_000  # of one stacked frame
# Marks of an expression that calls Python or foreign code, which may be run on several groups at once.
_FOREIGN: Final = (b"AnonymousFunction", b"TPLPYFN", b"pickle", b"Plugin", b"plugin")


def stacked_windows(node: Node, view: View) -> Stacked | None:
    """Return the evaluation of many windows of a function node at once; None where it has to be called for each."""
    expression = None if node.cross_section else _blind_expression(node)
    if expression is None:
        return None
    frames = [view.only(index).frame() for index in range(len(view.axis.symbols))]

    def evaluated(bars: NDArray[np.int64]) -> FloatArray | None:
        import polars as pl  # already there: the function returned one of its objects

        try:
            columns = [_last_of_windows(frame, expression, bars, node.period) for frame in frames]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return None  # an expression that does not run within groups, such as one with an `over` of its own
        return np.stack(columns, axis=1)

    return evaluated


class _Blindfold:
    """Stand for the view, and refuse to show anything."""

    def __getitem__(self, key: object) -> NoReturn:
        """Refuse."""
        raise LookupError("the function looks at its inputs")

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse."""
        raise AttributeError("the function looks at its inputs")


def _blind_expression(node: Node) -> Any:
    assert node.compute is not None  # noqa: S101  # function nodes have one by construction
    try:
        result = node.compute(_Blindfold())
    except KeyboardInterrupt:
        raise
    except BaseException:  # whatever the author's function raises: it is then called for each window
        return None
    if not type(result).__module__.startswith("polars"):
        return None
    import polars as pl  # already there: the function returned one of its objects

    if not isinstance(result, pl.Expr):
        return None
    try:
        written = result.meta.serialize()
    except (pl.exceptions.PolarsError, TypeError, ValueError):
        return None
    return None if any(mark in written for mark in _FOREIGN) else result


def _last_of_windows(frame: Any, expression: Any, bars: NDArray[np.int64], period: int) -> FloatArray:
    import polars as pl  # already there: the function returned one of its objects

    chunk = max(1, MAX_ROWS // period)
    parts: list[FloatArray] = []
    for start in range(0, len(bars), chunk):
        some = bars[start : start + chunk]
        rows = (some[:, None] + np.arange(1 - period, 1)).reshape(-1)
        stacked = frame[rows].with_columns(pl.Series("\0window", np.repeat(np.arange(len(some)), period)))
        grouped = stacked.group_by("\0window", maintain_order=True).agg(expression.alias("\0value").last())
        numbers = grouped["\0value"].cast(pl.Float64)
        # A NaN is none of the values that a node may have: infinity makes it disagree with all of them.
        parts.append(numbers.fill_nan(np.inf).fill_null(np.nan).to_numpy())
    return np.concatenate(parts) if parts else np.empty(0)
