"""Operators across symbols, against pandas and NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NAN = math.nan


def test_rank_equals_pandas_with_ties_and_nulls(compute: Any, prices: NDArray[np.float64]) -> None:
    coarse = np.round(prices / 20.0)
    expected = pd.DataFrame(coarse).rank(axis=1, pct=True)
    np.testing.assert_allclose(compute(lambda node: node.rank(), coarse).numbers(), expected, rtol=1e-12)


def test_demean_and_zscore_equal_pandas(compute: Any, prices: NDArray[np.float64]) -> None:
    frame = pd.DataFrame(prices)
    centred = frame.sub(frame.mean(axis=1), axis=0)
    np.testing.assert_allclose(compute(lambda node: node.demean(), prices).numbers(), centred, rtol=1e-9, atol=1e-9)
    scores = centred.div(frame.std(axis=1), axis=0)
    np.testing.assert_allclose(compute(lambda node: node.zscore(), prices).numbers(), scores, rtol=1e-9, atol=1e-9)


def test_equal_values_have_no_zscore_and_no_distance(compute: Any) -> None:
    still = np.full((3, 7), 0.1)
    assert np.isnan(compute(lambda node: node.zscore(), still).numbers()).all()
    assert (compute(lambda node: node.demean(), still).numbers() == 0.0).all()


def test_neutralize_leaves_the_residuals_of_numpy_lstsq(compute: Any) -> None:
    generator = np.random.default_rng(5)
    value, exposure = generator.normal(size=(4, 30)), generator.normal(size=(4, 30))
    value[1, 3] = exposure[2, 4] = NAN
    ours = compute(lambda a, b: a.neutralize(b), value, exposure).numbers()
    for bar in range(4):
        known = ~np.isnan(value[bar] + exposure[bar])
        design = np.column_stack([np.ones(known.sum()), exposure[bar, known]])
        fitted = design @ np.linalg.lstsq(design, value[bar, known], rcond=None)[0]
        np.testing.assert_allclose(ours[bar, known], value[bar, known] - fitted, atol=1e-12)
        assert np.isnan(ours[bar, ~known]).all()


def test_long_only_shares_gross_among_the_active(compute: Any) -> None:
    values = np.array([[1.0, 2.0, -1.0, NAN], [-1.0, -1.0, -1.0, -1.0]])
    expected = [[0.5, 0.5, 0.0, NAN], [0.0, 0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(compute(lambda node: node.long_only(), values).numbers(), expected)
    np.testing.assert_array_equal(compute(lambda node: (node > 0).long_only(), values).numbers(), expected)


def test_long_short_gives_each_side_its_share(compute: Any) -> None:
    values = np.array([[3.0, -0.1, 0.0, NAN]])
    np.testing.assert_array_equal(compute(lambda node: node.long_short(), values).numbers(), [[0.5, -0.5, 0.0, NAN]])
    ours = compute(lambda node: (node > 1).long_short(gross=1.5), values).numbers()
    np.testing.assert_array_equal(ours, [[0.5, -0.5, -0.5, NAN]])
