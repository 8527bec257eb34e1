"""Run an author's function on a view, and check the column that it returns.

Null is what is unknown. A Polars column has null of its own, so a NaN in one is a mistake. A NumPy array has none: a
NaN in one is null where an input is null within the bar's window, and a mistake elsewhere. The first ``period - 1``
bars have no whole window and are null whatever the function returns.

A function runs over stretches of a fixed number of bars, counted from the first one, each with the ``period - 1`` bars
before it. What accumulates (a rolling sum) carries bits of all bars before; so live, which keeps the bars of one
stretch, has the bits of a backtest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.strategy.values import Axis, Value, ValueKind, booleans, floats, integers
from qmtl_sdk.strategy.view import View

if TYPE_CHECKING:
    import polars as pl

    from qmtl_sdk.strategy.node import Node

MAX_TEXT = 300  # characters of an author's exception or value that an error shows
STRETCH_BARS: Final = 2048  # at least the period of the function


def stretch_bars(node: Node) -> int:
    """Return the length of the stretches that a function runs over."""
    return max(STRETCH_BARS, node.period)


def compute_function(node: Node, view: View) -> Value:
    """Return what a function node computes on a view: [T, S] on the axis of the view's widest input.

    Raises QmtlError INVALID_STRATEGY naming the node, and the bar and symbol where one is to blame.
    """
    bars, length = len(view.axis.timestamps), stretch_bars(node)
    if bars <= length:
        return compute_stretch(node, view)
    parts: list[Value] = []
    for start in range(0, bars, length):
        first = start - (node.period - 1 if start else 0)
        part = compute_stretch(node, view.rows(first, min(start + length, bars)))
        parts.append(part.rows(start - first, len(part.data)))
    kind = _common_kind(node, [part.kind for part in parts])
    return _value(kind, np.concatenate([part.numbers() for part in parts]))


def compute_stretch(node: Node, view: View) -> Value:
    """Return what a function node computes on one stretch and the bars before it: [T, S], the first ones null.

    Runs the function once per symbol, or once with ``cross_section``. Raises as ``compute_function``.
    """
    axis = view.axis
    if node.cross_section:
        columns = [_computed(node, view.own(), len(axis.symbols))]
    else:
        columns = [_computed(node, view.only(index).own(), 1) for index in range(len(axis.symbols))]
    kind = _common_kind(node, [column[0] for column in columns])
    data = np.concatenate([column[1] for column in columns], axis=1) if columns else np.empty((0, 0))
    nan = np.concatenate([column[2] for column in columns], axis=1) if columns else np.empty((0, 0), dtype=bool)
    _refuse_unexplained_nan(node, view, axis, nan)
    data[: node.period - 1] = np.nan
    return _value(kind, data)


Column = tuple[ValueKind, NDArray[np.float64], NDArray[np.bool_]]
"""Kind, float64 [T, S] with NaN = null, and where a NaN has to be explained by the inputs."""


def _computed(node: Node, view: View, symbols: int) -> Column:
    return _column(node, view, _called(node, view), symbols)


def _called(node: Node, view: View) -> Any:
    assert node.compute is not None  # noqa: S101  # function nodes have one by construction
    try:
        return node.compute(view)
    except (QmtlError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit of an author's function must not end the process either
        raise raised_in_node(node, error) from error


def raised_in_node(node: Node, error: BaseException) -> QmtlError:
    """Return the error for an exception from an author's function."""
    return QmtlError(
        Reason.INVALID_STRATEGY,
        f"node {node.name!r} raised {exception_text(error)}",
        metadata={"node": node.name, "exception": type(error).__name__},
    )


def exception_text(error: BaseException) -> str:
    """Return the name and the text of an author's exception, cut to ``MAX_TEXT`` characters."""
    text = str(error)
    return f"{type(error).__name__}: {cut(text)}" if text else type(error).__name__


def cut(text: str) -> str:
    """Return a text of an author's, cut to ``MAX_TEXT`` characters."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _column(node: Node, view: View, result: Any, symbols: int) -> Column:
    bars = len(view.axis.timestamps)
    if isinstance(result, np.ndarray):
        return _from_array(node, view, result, bars, symbols)
    module = type(result).__module__.partition(".")[0]
    if module == "polars":
        return _from_polars(node, view, result, bars, symbols)
    raise _bad_result(node, f"returned {type(result).__name__}; return a Polars expression or series, or a NumPy array")


def _from_array(node: Node, view: View, array: NDArray[Any], bars: int, symbols: int) -> Column:
    expected = (bars, symbols) if node.cross_section else (bars,)
    if array.shape not in (expected, (bars, symbols)):
        raise _bad_result(node, f"returned an array {list(array.shape)}; expected {list(expected)}")
    kind = _array_kind(node, array.dtype)
    data = np.array(np.ma.getdata(array), dtype=np.float64).reshape(bars, symbols)
    masked = np.ma.getmaskarray(array).reshape(bars, symbols)
    _refuse(node, view.axis, np.isinf(data) & ~masked, _INFINITE)
    unexplained = np.isnan(data) & ~masked
    data[masked] = np.nan
    return kind, data, unexplained


def _from_polars(node: Node, view: View, result: Any, bars: int, symbols: int) -> Column:
    import polars as pl  # already there: the function returned one of its objects

    if isinstance(result, pl.Expr):
        result = _selected(node, view, result)
    if not isinstance(result, pl.Series):
        raise _bad_result(node, f"returned {type(result).__name__}; return one column: frame['name'] or pl.col('name')")
    if len(result) != bars * symbols:
        raise _bad_result(node, f"returned {len(result)} rows; expected {bars * symbols}, one for each row of the view")
    kind = _series_kind(node, result)
    known = result.is_not_null().to_numpy().reshape(bars, symbols)
    data = np.array(result.cast(pl.Float64).to_numpy(), dtype=np.float64).reshape(bars, symbols)
    _refuse(node, view.axis, np.isinf(data), _INFINITE)
    _refuse(node, view.axis, np.isnan(data) & known, _NOT_A_NUMBER)
    return kind, data, np.zeros((bars, symbols), dtype=bool)


def _selected(node: Node, view: View, expression: pl.Expr) -> pl.Series:
    """Return a column from the view's frame; an expression of no column (``pl.lit(1.0)``) is the same on every row."""
    frame = view.frame()
    try:
        column = frame.select(expression.alias("value")).to_series()
        constant = len(column) == 1 and not expression.meta.root_names()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Polars is no Exception
        raise raised_in_node(node, error) from error
    return column.new_from_index(0, len(frame)) if constant else column


def _array_kind(node: Node, dtype: np.dtype[Any]) -> ValueKind:
    kinds = {"b": ValueKind.BOOL, "i": ValueKind.INT, "u": ValueKind.INT, "f": ValueKind.FLOAT}
    if dtype.kind not in kinds:
        raise _bad_result(node, f"returned an array of {dtype}; return floats, integers or booleans")
    return kinds[dtype.kind]


def _series_kind(node: Node, series: Any) -> ValueKind:
    import polars as pl  # already there: the function returned one of its objects

    if series.dtype == pl.Boolean:
        return ValueKind.BOOL
    if series.dtype.is_integer():
        return ValueKind.INT
    if series.dtype.is_float() or series.dtype == pl.Null:
        return ValueKind.FLOAT
    raise _bad_result(node, f"returned a column of {series.dtype}; return floats, integers or booleans")


def _common_kind(node: Node, kinds: list[ValueKind]) -> ValueKind:
    distinct = set(kinds)
    if ValueKind.BOOL in distinct and len(distinct) > 1:
        raise _bad_result(node, "returned booleans here and numbers there; return one of them")
    return distinct.pop() if len(distinct) == 1 else ValueKind.FLOAT


def _refuse(node: Node, axis: Axis, wrong: NDArray[np.bool_], sentence: str) -> None:
    wrong[: node.period - 1] = False
    if not wrong.any():
        return
    bar, symbol = (int(index) for index in np.argwhere(wrong)[0])
    when, name = axis.when(bar), axis.symbols[symbol]
    raise QmtlError(
        Reason.INVALID_STRATEGY,
        f"node {node.name!r} returned {sentence.format(where=f'at {when} for {name}')}",
        metadata={"node": node.name, "timestamp": when, "symbol": name},
    )


def _refuse_unexplained_nan(node: Node, view: View, axis: Axis, nan: NDArray[np.bool_]) -> None:
    if nan.any():
        wrong = nan & ~_null_in_window(node, view, nan.shape)
        _refuse(node, axis, wrong, _NOT_A_NUMBER + (_LATER_BARS if _ends_unknown(wrong[node.period - 1 :]) else ""))


def _ends_unknown(wrong: NDArray[np.bool_]) -> bool:
    """Tell whether only the last bars are wrong, as those are for which later bars would be needed."""
    return bool(wrong[-1:].any() and not wrong[:1].any() and not (wrong[:-1] & ~wrong[1:]).any())


def _null_in_window(node: Node, view: View, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return bool [T, S]: an input is null somewhere in [t - period + 1, t] (of any symbol for a cross-section)."""
    null = np.zeros(shape, dtype=bool)
    for source in view.names.values():
        for value in source.columns.values():
            null |= value.is_null()
    if node.cross_section:
        null |= null.any(axis=1, keepdims=True)
    seen = np.cumsum(null, axis=0)
    before = np.zeros_like(seen)
    before[node.period :] = seen[: -node.period] if len(seen) > node.period else 0
    found: NDArray[np.bool_] = seen > before
    return found


def _value(kind: ValueKind, data: NDArray[np.float64]) -> Value:
    if kind is ValueKind.BOOL:
        return booleans(np.where(np.isnan(data), -1.0, data).astype(np.int8))
    return integers(data) if kind is ValueKind.INT else floats(data)


def _bad_result(node: Node, found: str) -> QmtlError:
    return QmtlError(Reason.INVALID_STRATEGY, f"node {node.name!r} {found}", metadata={"node": node.name})


_INFINITE: Final = "an infinite value {where}; return null (NaN in NumPy) where there is none"
_NOT_A_NUMBER: Final = "NaN {where}, where no input is null; return null for the unknown"
_LATER_BARS: Final = "; at the last bars alone it often comes of look-ahead: shift(-1), center=True, a reversed window"
