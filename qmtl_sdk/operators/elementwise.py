"""Operators on one bar of one symbol: arithmetic, comparison, three-valued logic, choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.identity import Json
from qmtl_sdk.strategy.values import BoolArray, FloatArray, Value, ValueKind, booleans, floats

Operands = Mapping[str, Value]
Params = Mapping[str, Json]
Run = Callable[[Operands, Params], Value]


def constant(operands: Operands, params: Params) -> Value:
    """Give one number on every bar of the clock, known or not."""
    return floats(np.full(operands["clock"].data.shape, params["value"], dtype=np.float64))


def unary(ufunc: Callable[..., Any]) -> Run:
    """Return the operator of a NumPy function of one number; what is undefined or infinite is null."""

    def run(operands: Operands, params: Params) -> Value:
        with np.errstate(all="ignore"):
            return floats(finite(ufunc(operands["value"].numbers())))

    return run


def exact_unary(ufunc: Callable[..., Any]) -> Run:
    """Return the operator of a NumPy function that is defined, and finite, for every number."""

    def run(operands: Operands, params: Params) -> Value:
        return floats(ufunc(operands["value"].numbers()))

    return run


def binary(ufunc: Callable[..., Any]) -> Run:
    """Return the operator of a NumPy function of two numbers; what is undefined or infinite is null."""

    def run(operands: Operands, params: Params) -> Value:
        with np.errstate(all="ignore"):
            return floats(finite(ufunc(number(operands, params, "left"), number(operands, params, "right"))))

    return run


def exact_binary(ufunc: Callable[..., Any]) -> Run:
    """Return the operator of a NumPy function that is defined, and finite, for every two numbers."""

    def run(operands: Operands, params: Params) -> Value:
        return floats(ufunc(number(operands, params, "left"), number(operands, params, "right")))

    return run


def greater(operands: Operands, params: Params) -> Value:
    """Compare left > right."""
    return booleans(_above(number(operands, params, "left"), number(operands, params, "right")))


def less(operands: Operands, params: Params) -> Value:
    """Compare left < right."""
    return booleans(_above(number(operands, params, "right"), number(operands, params, "left")))


def greater_equal(operands: Operands, params: Params) -> Value:
    """Compare left >= right."""
    return booleans(_not_below(number(operands, params, "left"), number(operands, params, "right")))


def less_equal(operands: Operands, params: Params) -> Value:
    """Compare left <= right."""
    return booleans(_not_below(number(operands, params, "right"), number(operands, params, "left")))


def equal(operands: Operands, params: Params) -> Value:
    """Compare left == right."""
    left, right = number(operands, params, "left"), number(operands, params, "right")
    same = np.equal(left, right).view(np.int8)
    return booleans(_known(same, np.not_equal(left, right).view(np.int8), left, right))


def not_equal(operands: Operands, params: Params) -> Value:
    """Compare left != right."""
    left, right = number(operands, params, "left"), number(operands, params, "right")
    other = np.not_equal(left, right).view(np.int8)
    return booleans(_known(other, np.equal(left, right).view(np.int8), left, right))


def logical_and(operands: Operands, params: Params) -> Value:
    """Combine by Kleene's and: false wins, then unknown."""
    left, right = truth(operands, "left"), truth(operands, "right")
    return booleans(np.where((left == 0) | (right == 0), np.int8(0), np.minimum(left, right)))


def logical_or(operands: Operands, params: Params) -> Value:
    """Combine by Kleene's or: true wins, then unknown."""
    left, right = truth(operands, "left"), truth(operands, "right")
    return booleans(np.where((left == 1) | (right == 1), np.int8(1), np.minimum(left, right)))


def logical_not(operands: Operands, params: Params) -> Value:
    """Negate; unknown stays unknown."""
    value = truth(operands, "value")
    return booleans(np.where(value < 0, value, np.int8(1) - value))


def is_null(operands: Operands, params: Params) -> Value:
    """Tell where a value is unknown."""
    return booleans(operands["value"].is_null().view(np.int8))


def when(operands: Operands, params: Params) -> Value:
    """Choose ``then`` where true, ``else`` where false, null where unknown."""
    condition = truth(operands, "condition")
    then = number(operands, params, "then")
    otherwise = number(operands, {"else": np.nan, **params}, "else")
    if isinstance(then, float) and isinstance(otherwise, float):
        return floats(np.array([otherwise, then, np.nan])[condition])  # false 0, true 1, and unknown -1: the last
    chosen = np.where(condition > 0, then, otherwise)
    np.copyto(chosen, np.nan, where=condition < 0)
    return floats(chosen)


def clip(operands: Operands, params: Params) -> Value:
    """Limit to [lower, upper]."""
    return floats(np.clip(operands["value"].numbers(), params.get("lower"), params.get("upper")))  # type: ignore[arg-type]  # numbers, checked at construction


def number(operands: Operands, params: Params, side: str) -> FloatArray | float:
    """Return one operand: a column's numbers, or the number folded into the parameters."""
    value = operands.get(side)
    return params[side] if value is None else value.numbers()  # type: ignore[return-value]  # a float, checked at construction


def truth(operands: Operands, side: str) -> BoolArray:
    """Return one operand of logic; raise TypeError naming the side when it holds numbers."""
    value = operands[side]
    if value.kind is not ValueKind.BOOL:
        raise TypeError(f"{side} holds numbers, not true and false; compare it first")
    return value.data  # type: ignore[return-value]  # BOOL holds int8 by construction


def finite(numbers: FloatArray) -> FloatArray:
    """Turn infinities into null in place: division by zero and overflow have no value."""
    infinite = np.isinf(numbers)
    if infinite.any():
        numbers[infinite] = np.nan
    return numbers


def _above(left: FloatArray | float, right: FloatArray | float) -> BoolArray:
    above = np.greater(left, right).view(np.int8)
    # One of > and <= holds unless a side is null: 2·above + not_above - 1 is 1, 0 or -1.
    return above + above + np.less_equal(left, right).view(np.int8) - np.int8(1)


def _not_below(left: FloatArray | float, right: FloatArray | float) -> BoolArray:
    reaches = np.greater_equal(left, right).view(np.int8)
    return reaches + reaches + np.less(left, right).view(np.int8) - np.int8(1)


def _known(holds: NDArray[np.int8], fails: NDArray[np.int8], *sides: FloatArray | float) -> BoolArray:
    unknown = np.isnan(sides[0]) | np.isnan(sides[1])
    return np.where(unknown, np.int8(-1), holds)
