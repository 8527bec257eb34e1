"""Operators as expressions on nodes: what an author writes with signs and methods.

Every expression makes one operator node; numbers are folded into its parameters. The kernels behind the names are in
``qmtl_sdk.operators``. Null in, null out: a window with an unknown value is unknown, and so is what is undefined
(division by zero, logarithm of a negative number).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from qmtl_foundation.errors import invalid_field
from qmtl_foundation.identity import Json

if TYPE_CHECKING:
    from qmtl_sdk.strategy.node import Node, OperatorNode

EWM_LEFT_OUT = 1e-6  # share of the weight that lies before the default window of ewm_mean
MAX_WINDOW = 100_000  # bars


class Expression(ABC):
    """Give a node its arithmetic, comparison, logic and methods."""

    __array_ufunc__ = None  # a NumPy scalar on the left leaves the operation to the node
    __hash__ = object.__hash__
    __iter__ = None  # `node[...]` chooses a column; iterating one is a mistake

    @abstractmethod
    def _apply(
        self, operator: str, operands: Mapping[str, object], params: Mapping[str, Json] | None = None, period: int = 1
    ) -> OperatorNode:
        """Make an operator node; an operand that is a number becomes a parameter."""

    if not TYPE_CHECKING:  # type checkers name a misspelt operator by themselves

        def __getattr__(self, name: str) -> NoReturn:
            """Refuse a name that no operator has, with the nearest that one has."""
            if name.startswith("_") or hasattr(type(self), name):
                return object.__getattribute__(self, name)  # raises what it raised before
            raise AttributeError(f"a node has no {name!r}; {_mend(name)}", name=name, obj=self)

    # -- columns and symbols ------------------------------------------------------------------------------------------

    def __getitem__(self, column: str) -> Node:
        """Choose one column of a stream: "open", "high", "low", "close", "volume" or the preset's own."""
        if not isinstance(column, str) or not column:
            raise invalid_field("column", f"{column!r}; give the name of a column, such as 'close'")
        return self._apply("column", {"stream": self}, {"column": column})

    def symbol(self, name: str) -> Node:
        """Choose one symbol; combined with panels it is broadcast over their symbols."""
        if not isinstance(name, str) or not name:
            raise invalid_field("symbol", f"{name!r}; give the name of one symbol")
        return self._apply("symbol", {"value": self}, {"symbol": name})

    # -- arithmetic ---------------------------------------------------------------------------------------------------

    def __add__(self, other: Node | float) -> Node:
        return self._apply("add", {"left": self, "right": other})

    def __radd__(self, other: float) -> Node:
        return self._apply("add", {"left": other, "right": self})

    def __sub__(self, other: Node | float) -> Node:
        return self._apply("subtract", {"left": self, "right": other})

    def __rsub__(self, other: float) -> Node:
        return self._apply("subtract", {"left": other, "right": self})

    def __mul__(self, other: Node | float) -> Node:
        return self._apply("multiply", {"left": self, "right": other})

    def __rmul__(self, other: float) -> Node:
        return self._apply("multiply", {"left": other, "right": self})

    def __truediv__(self, other: Node | float) -> Node:
        return self._apply("divide", {"left": self, "right": other})

    def __rtruediv__(self, other: float) -> Node:
        return self._apply("divide", {"left": other, "right": self})

    def __pow__(self, other: Node | float) -> Node:
        return self._apply("power", {"left": self, "right": other})

    def __rpow__(self, other: float) -> Node:
        return self._apply("power", {"left": other, "right": self})

    def __neg__(self) -> Node:
        return self._apply("negative", {"value": self})

    def __abs__(self) -> Node:
        return self.abs()

    def abs(self) -> Node:
        """Take the absolute value."""
        return self._apply("abs", {"value": self})

    def log(self) -> Node:
        """Take the natural logarithm; null where the value is not positive."""
        return self._apply("log", {"value": self})

    def exp(self) -> Node:
        """Take e to the power of the value."""
        return self._apply("exp", {"value": self})

    def sqrt(self) -> Node:
        """Take the square root; null where the value is negative."""
        return self._apply("sqrt", {"value": self})

    def sign(self) -> Node:
        """Take -1, 0 or 1."""
        return self._apply("sign", {"value": self})

    def minimum(self, other: Node | float) -> Node:
        """Take the smaller of two values."""
        return self._apply("minimum", {"left": self, "right": other})

    def maximum(self, other: Node | float) -> Node:
        """Take the larger of two values."""
        return self._apply("maximum", {"left": self, "right": other})

    def clip(self, lower: float | None = None, upper: float | None = None) -> Node:
        """Limit the value to [lower, upper]; None leaves a side open."""
        if lower is None and upper is None:
            raise invalid_field("clip", "has no limit; give lower=, upper= or both")
        if lower is not None and upper is not None and not _finite("lower", lower) <= _finite("upper", upper):
            raise invalid_field("lower", f"{lower!r} is not below upper {upper!r}")
        limits: dict[str, Json] = {
            side: _finite(side, limit) for side, limit in (("lower", lower), ("upper", upper)) if limit is not None
        }
        return self._apply("clip", {"value": self}, limits)

    # -- comparison and logic: three-valued, unknown stays unknown ----------------------------------------------------

    def __gt__(self, other: Node | float) -> Node:
        return self._apply("greater", {"left": self, "right": other})

    def __ge__(self, other: Node | float) -> Node:
        return self._apply("greater_equal", {"left": self, "right": other})

    def __lt__(self, other: Node | float) -> Node:
        return self._apply("less", {"left": self, "right": other})

    def __le__(self, other: Node | float) -> Node:
        return self._apply("less_equal", {"left": self, "right": other})

    def __eq__(self, other: object) -> Node:  # type: ignore[override]  # an expression, as in NumPy and Polars
        return self._apply("equal", {"left": self, "right": other})

    def __ne__(self, other: object) -> Node:  # type: ignore[override]  # an expression, as in NumPy and Polars
        return self._apply("not_equal", {"left": self, "right": other})

    def __and__(self, other: Node) -> Node:
        return self._apply("and", {"left": self, "right": other})

    def __or__(self, other: Node) -> Node:
        return self._apply("or", {"left": self, "right": other})

    def __invert__(self) -> Node:
        return self._apply("not", {"value": self})

    def __bool__(self) -> NoReturn:
        """Refuse: a node has a value per bar, none of its own."""
        raise TypeError("a node is no single true or false; combine with & | ~ and choose with .when(then, else_=…)")

    def is_null(self) -> Node:
        """Tell where the value is unknown."""
        return self._apply("is_null", {"value": self})

    def when(self, then: Node | float, else_: Node | float | None = None) -> Node:
        """Take ``then`` where this is true, ``else_`` where it is false (None: null), null where it is unknown."""
        operands: dict[str, object] = {"condition": self, "then": then}
        if else_ is not None:
            operands["else"] = else_
        return self._apply("when", operands)

    # -- along time, for each symbol alone ----------------------------------------------------------------------------

    def shift(self, bars: int = 1) -> Node:
        """Take the value of ``bars`` bars ago; a negative number would look ahead and is refused."""
        if type(bars) is not int or bars < 0:
            raise invalid_field("bars", f"shift({bars!r}) would be look-ahead or no whole number; give 0 or more bars")
        return self._apply("shift", {"value": self}, {"bars": _bounded("bars", bars)}, bars + 1)

    def pct_change(self, bars: int = 1) -> Node:
        """Take the change over ``bars`` bars as a fraction; null where the older value is 0."""
        if type(bars) is not int or bars < 1:
            raise invalid_field("bars", f"pct_change({bars!r}) would be look-ahead or nothing; give 1 or more bars")
        return self._apply("pct_change", {"value": self}, {"bars": _bounded("bars", bars)}, bars + 1)

    def rolling_mean(self, window: int) -> Node:
        """Average the newest ``window`` bars."""
        return self._rolling("rolling_mean", window)

    def rolling_sum(self, window: int) -> Node:
        """Sum the newest ``window`` bars."""
        return self._rolling("rolling_sum", window)

    def rolling_std(self, window: int) -> Node:
        """Take the sample standard deviation (ddof=1) of the newest ``window`` bars."""
        return self._rolling("rolling_std", window, least=2)

    def rolling_min(self, window: int) -> Node:
        """Take the smallest of the newest ``window`` bars."""
        return self._rolling("rolling_min", window)

    def rolling_max(self, window: int) -> Node:
        """Take the largest of the newest ``window`` bars."""
        return self._rolling("rolling_max", window)

    def rolling_median(self, window: int) -> Node:
        """Take the median of the newest ``window`` bars."""
        return self._rolling("rolling_median", window)

    def rolling_quantile(self, window: int, quantile: float) -> Node:
        """Take a quantile in [0, 1] of the newest ``window`` bars, linear between neighbours (as NumPy's default)."""
        if not 0.0 <= _finite("quantile", quantile) <= 1.0:
            raise invalid_field("quantile", f"{quantile!r} is outside [0, 1]")
        return self._rolling("rolling_quantile", window, quantile=float(quantile))

    def rolling_zscore(self, window: int) -> Node:
        """Take (value - mean) / standard deviation (ddof=1) over the newest ``window`` bars; null where none varies."""
        return self._rolling("rolling_zscore", window, least=2)

    def rolling_rank(self, window: int) -> Node:
        """Rank the newest value within ``window`` bars, in (0, 1], ties by average (pandas ``rank(pct=True)``)."""
        return self._rolling("rolling_rank", window)

    def rolling_corr(self, other: Node, window: int) -> Node:
        """Correlate (Pearson) with ``other`` over the newest ``window`` bars; null where one does not vary."""
        _check_node("other", other)
        params: dict[str, Json] = {"window": _window(window, 2)}
        return self._apply("rolling_corr", {"left": self, "right": other}, params, window)

    def rolling_slope(self, window: int) -> Node:
        """Regress (least squares) the newest ``window`` bars on their number: the change per bar."""
        return self._rolling("rolling_slope", window, least=2)

    def ewm_mean(self, span: float, window: int | None = None) -> Node:
        """Average with weights (1 - alpha)**age, alpha = 2 / (span + 1), over the newest ``window`` bars.

        The weights are normalised over the window (pandas ``ewm(span, adjust=True)`` on it alone), so that live,
        which sees a window, equals backtest. Default window: what leaves out 1e-6 of the weight (about 7 spans).
        """
        if _finite("span", span) < 1.0:
            raise invalid_field("span", f"{span!r} is below 1")
        return self._rolling("ewm_mean", ewm_window(span) if window is None else window, span=float(span))

    def _rolling(self, operator: str, window: int, least: int = 1, **params: Json) -> Node:
        return self._apply(operator, {"value": self}, {"window": _window(window, least), **params}, window)

    # -- across symbols, for each bar alone ---------------------------------------------------------------------------

    def rank(self) -> Node:
        """Rank across symbols, in (0, 1], ties by average, nulls left out (pandas ``rank(axis=1, pct=True)``)."""
        return self._apply("rank", {"value": self})

    def demean(self) -> Node:
        """Subtract the mean across symbols."""
        return self._apply("demean", {"value": self})

    def zscore(self) -> Node:
        """Take (value - mean) / standard deviation (ddof=1) across symbols; null where none varies."""
        return self._apply("zscore", {"value": self})

    def neutralize(self, exposure: Node) -> Node:
        """Take what a least-squares regression (with intercept) on ``exposure`` across symbols leaves."""
        _check_node("exposure", exposure)
        return self._apply("neutralize", {"value": self, "exposure": exposure})

    def long_only(self, gross: float = 1.0) -> Node:
        """Give each active symbol (true, or a score above 0) gross / number of active ones, the others 0."""
        return self._apply("long_only", {"value": self}, {"gross": _gross(gross)})

    def long_short(self, gross: float = 1.0) -> Node:
        """Give each active symbol its sign (true 1, false -1, of a score) times gross / number of active ones."""
        return self._apply("long_short", {"value": self}, {"gross": _gross(gross)})


def ewm_window(span: float) -> int:
    """Return the number of bars before which an exponential average has 1e-6 of its weight."""
    from math import ceil, log

    decay = 1.0 - 2.0 / (span + 1.0)
    return 1 if decay <= 0.0 else max(1, ceil(log(EWM_LEFT_OUT) / log(decay)))


def _mend(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [each for each in dir(Expression) if not each.startswith("_")], n=1)
    return f"did you mean {near[0]}?" if near else f"a column of a stream is stream[{name!r}]"


def _check_node(field: str, given: object) -> None:
    if not isinstance(given, Expression):
        raise invalid_field(field, f"{given!r} must be a node, such as bars['close'] of a stream")


def _window(window: int, least: int) -> int:
    if type(window) is not int or window < least:
        raise invalid_field("window", f"{window!r}; give a whole number of bars, at least {least}")
    return _bounded("window", window)


def _bounded(field: str, bars: int) -> int:
    if bars > MAX_WINDOW:
        raise invalid_field(field, f"{bars} bars are too many; at most {MAX_WINDOW}")
    return bars


def _gross(gross: float) -> float:
    if not 0.0 < _finite("gross", gross) <= 100.0:
        raise invalid_field("gross", f"{gross!r} is outside (0, 100]; 1 is the whole capital")
    return float(gross)


def _finite(field: str, number: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or number - number != 0:
        raise invalid_field(field, f"{number!r}; give a finite number")
    return float(number)
