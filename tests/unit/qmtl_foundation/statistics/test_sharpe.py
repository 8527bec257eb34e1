"""PSR and DSR reproduce the numbers of their papers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.statistics.sharpe import deflated_sharpe, expected_maximum_sharpe, probabilistic_sharpe


def test_psr_of_the_hedge_fund_example() -> None:
    """Bailey & López de Prado 2012, section 4: two years of monthly returns, Sharpe ratio 0.458 a month."""
    assert probabilistic_sharpe(0.458, 24) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 24, skewness=-2.448, excess_kurtosis=10.164 - 3) == pytest.approx(
        0.913, abs=5e-4
    )


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "expected"), [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
)
def test_dsr_of_the_numerical_example(trials: int, skewness: float, kurtosis: float, expected: float) -> None:
    """Bailey & López de Prado 2014, A Numerical Example: five years of days, Sharpe 2.5 a year, variance 1/2."""
    sharpe, variance = 2.5 / math.sqrt(250), 0.5 / 250
    found = deflated_sharpe(sharpe, 1250, skewness, kurtosis - 3, trials, variance)
    assert found == pytest.approx(expected, abs=5e-5)


def test_expected_maximum_of_the_numerical_example() -> None:
    assert expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)


def test_expected_maximum_agrees_with_simulation() -> None:
    best = np.random.default_rng(1).normal(0.0, 0.2, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(50, 0.04) == pytest.approx(best, rel=0.02)


def test_one_trial_is_not_deflated() -> None:
    assert expected_maximum_sharpe(1, 0.3) == 0.0
    assert deflated_sharpe(0.1, 100, 0.0, 0.0, 1, 0.3) == probabilistic_sharpe(0.1, 100)


def test_too_short_or_unknown_is_nan() -> None:
    assert math.isnan(probabilistic_sharpe(0.1, 1))
    assert math.isnan(probabilistic_sharpe(math.nan, 100))
    assert math.isnan(deflated_sharpe(0.1, 100, 0.0, 0.0, 5, math.nan))


def test_impossible_trials_are_refused() -> None:
    with pytest.raises(QmtlError, match="trials: must be at least 1"):
        expected_maximum_sharpe(0, 0.1)
    with pytest.raises(QmtlError, match="variance: must be at least 0"):
        expected_maximum_sharpe(5, -0.1)
