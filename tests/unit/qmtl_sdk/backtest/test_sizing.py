"""Signals become targets by the sizing rule."""

from __future__ import annotations

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import Sizing, SizingRule
from qmtl_sdk.backtest.sizing import targets_of_signal

LONG_ONLY = SizingRule(Sizing.LONG_ONLY)
LONG_SHORT = SizingRule(Sizing.LONG_SHORT, gross_limit=2.0)


def test_signs_share_the_gross_limit_equally_over_the_active_symbols() -> None:
    signal = np.array([[1.0, 1.0, 0.0, -1.0]])
    np.testing.assert_allclose(targets_of_signal(signal, LONG_ONLY), [[0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(targets_of_signal(signal, LONG_SHORT), [[2 / 3, 2 / 3, 0.0, -2 / 3]])


def test_scores_share_the_gross_limit_in_proportion() -> None:
    signal = np.array([[3.0, 1.0, -4.0]])
    np.testing.assert_allclose(targets_of_signal(signal, LONG_ONLY), [[0.75, 0.25, 0.0]])
    np.testing.assert_allclose(targets_of_signal(signal, LONG_SHORT), [[0.75, 0.25, -1.0]])


def test_a_bar_without_an_active_symbol_is_flat() -> None:
    np.testing.assert_array_equal(targets_of_signal(np.array([[0.0, -2.0]]), LONG_ONLY), [[0.0, 0.0]])


def test_a_null_signal_keeps_the_last_one_and_its_share() -> None:
    signal = np.array([[np.nan, 1.0], [1.0, 1.0], [1.0, np.nan], [0.0, np.nan]])
    expected = [[np.nan, 1.0], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]
    np.testing.assert_allclose(targets_of_signal(signal, LONG_ONLY), expected)


def test_huge_scores_do_not_overflow() -> None:
    np.testing.assert_allclose(targets_of_signal(np.array([[1.7e308, 1.7e308]]), LONG_ONLY), [[0.5, 0.5]])


def test_an_infinite_signal_is_refused_by_bar_and_column() -> None:
    with pytest.raises(QmtlError, match="bar 1, column 0") as refused:
        targets_of_signal(np.array([[1.0], [np.inf], [np.nan]]), LONG_ONLY)
    assert refused.value.reason is Reason.INVALID_FIELD
