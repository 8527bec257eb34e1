"""Arithmetic, comparison and three-valued logic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.strategy import StreamInput

NAN = math.nan
TRUTHS = np.array([(a, b) for a in (1.0, 0.0, NAN) for b in (1.0, 0.0, NAN)])


@pytest.mark.parametrize("sign", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_arithmetic_equals_numpy_on_either_side(
    sign: Callable[[Any, Any], Any], compute: Any, prices: NDArray[np.float64]
) -> None:
    other = prices[::-1] + 1.0
    np.testing.assert_array_equal(compute(sign, prices, other).numbers(), sign(prices, other))
    np.testing.assert_array_equal(compute(lambda node: sign(2.0, node), prices).numbers(), sign(2.0, prices))
    np.testing.assert_array_equal(compute(lambda node: sign(node, 2.0), prices).numbers(), sign(prices, 2.0))


@pytest.mark.parametrize("sign", [operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne])
def test_comparison_equals_polars_with_null_as_unknown(sign: Callable[[Any, Any], Any], compute: Any) -> None:
    left = np.array([1.0, 2.0, 2.0, NAN, 1.0, NAN, -0.0])
    right = np.array([2.0, 1.0, 2.0, 1.0, NAN, NAN, 0.0])
    frame = pl.DataFrame({"l": left, "r": right}).fill_nan(None)
    expected = frame.select(sign(pl.col("l"), pl.col("r")).cast(pl.Int8).fill_null(-1)).to_series().to_list()
    assert compute(sign, left, right).data[:, 0].tolist() == expected


@pytest.mark.parametrize(("sign", "name"), [(operator.and_, "and"), (operator.or_, "or")])
def test_logic_is_three_valued_as_in_polars(sign: Callable[[Any, Any], Any], name: str, compute: Any) -> None:
    frame = pl.DataFrame(TRUTHS, schema=["l", "r"], orient="row").fill_nan(None).cast(pl.Boolean)
    expected = frame.select(sign(pl.col("l"), pl.col("r")).cast(pl.Int8).fill_null(-1)).to_series().to_list()
    assert compute(lambda a, b: sign(a > 0.5, b > 0.5), *TRUTHS.T).data[:, 0].tolist() == expected, name


def test_not_keeps_unknown(compute: Any) -> None:
    assert compute(lambda a: ~(a > 0.5), np.array([1.0, 0.0, NAN])).data[:, 0].tolist() == [0, 1, -1]


def test_undefined_results_are_null(compute: Any) -> None:
    values = np.array([0.0, -1.0, 4.0])
    assert np.isnan(compute(lambda a: 1.0 / a, values).numbers()[0, 0])
    assert np.isnan(compute(lambda a: a.log(), values).numbers()[:2]).all()
    assert np.isnan(compute(lambda a: a.sqrt(), values).numbers()[1, 0])
    assert np.isnan(compute(lambda a: a.exp(), np.array([1e4])).numbers()).all()


def test_unary_operators_equal_numpy(compute: Any) -> None:
    values = np.array([-2.5, 0.0, 3.5, NAN])
    np.testing.assert_array_equal(compute(abs, values).numbers()[:, 0], np.abs(values))
    np.testing.assert_array_equal(compute(operator.neg, values).numbers()[:, 0], -values)
    np.testing.assert_array_equal(compute(lambda a: a.sign(), values).numbers()[:, 0], np.sign(values))
    np.testing.assert_array_equal(compute(lambda a: a**2, values).numbers()[:, 0], values**2)
    np.testing.assert_array_equal(compute(lambda a: a.clip(-1.0, 2.0), values).numbers()[:, 0], np.clip(values, -1, 2))
    np.testing.assert_array_equal(compute(lambda a: a.clip(upper=1), values).numbers()[:, 0], np.minimum(values, 1))
    np.testing.assert_array_equal(compute(lambda a: a.maximum(1), values).numbers()[:, 0], np.maximum(values, 1))


def test_when_is_null_where_the_condition_is_unknown(compute: Any) -> None:
    values = np.array([1.0, 0.0, NAN])
    np.testing.assert_array_equal(
        compute(lambda a: (a > 0.5).when(1.0, else_=0.0), values).numbers()[:, 0], [1.0, 0.0, NAN]
    )
    np.testing.assert_array_equal(compute(lambda a: (a > 0.5).when(a * 7), values).numbers()[:, 0], [7.0, NAN, NAN])


def test_is_null_is_never_unknown(compute: Any) -> None:
    assert compute(lambda a: a.is_null(), np.array([1.0, NAN])).data[:, 0].tolist() == [0, 1]


def test_truth_counts_as_one_in_arithmetic(compute: Any) -> None:
    counted = compute(lambda a: (a > 0).rolling_sum(2), np.array([1.0, 2.0, -1.0, NAN])).numbers()[:, 0]
    np.testing.assert_array_equal(counted, [NAN, 2.0, 1.0, NAN])


def test_logic_on_numbers_is_refused() -> None:
    close = StreamInput("bars")["close"]
    with pytest.raises(QmtlError, match="compare it first"):
        close & (close > 1)
    with pytest.raises(QmtlError, match="compare it first"):
        _ = ~close
    with pytest.raises(QmtlError, match="compare it first"):
        close.when(1.0)


@pytest.mark.parametrize("number", [NAN, math.inf, "1", None, True, [1.0]])
def test_operand_that_is_no_finite_number_is_refused(number: Any) -> None:
    with pytest.raises(QmtlError, match="right"):
        StreamInput("bars")["close"] + number


def test_node_has_no_truth_of_its_own() -> None:
    close = StreamInput("bars")["close"]
    with pytest.raises(TypeError, match="&"):
        bool(close > 1)
    with pytest.raises(TypeError):
        1 < close < 2  # noqa: B015  # chained comparison asks for a truth value
    with pytest.raises(TypeError):
        list(close)  # type: ignore[call-overload]  # it is none


def test_numpy_scalar_on_the_left_makes_a_node() -> None:
    close = StreamInput("bars")["close"]
    assert (np.float64(2.0) * close).node_id == (2 * close).node_id
