"""What a Sharpe ratio is worth: probabilistic (PSR), expected maximum over trials, deflated (DSR).

Every Sharpe ratio here is per bar, not annualised. Sources: Bailey & López de Prado 2012 (The Sharpe Ratio Efficient
Frontier) and 2014 (The Deflated Sharpe Ratio).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from qmtl_foundation.errors import invalid_field

EULER_MASCHERONI: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()


def probabilistic_sharpe(
    sharpe: float, bars: int, skewness: float = 0.0, excess_kurtosis: float = 0.0, benchmark: float = 0.0
) -> float:
    """Return the probability that the true Sharpe ratio is above ``benchmark`` (2012, eq. 11).

    ``sharpe`` was measured over ``bars`` returns of this skewness and excess kurtosis. NaN for fewer than 2 bars, and
    where a moment is NaN.
    """
    spread = 1.0 - skewness * sharpe + (excess_kurtosis + 2.0) / 4.0 * sharpe**2
    if bars < 2 or not spread > 0.0:
        return math.nan
    return _cdf((sharpe - benchmark) * math.sqrt(bars - 1) / math.sqrt(spread))


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of ``trials`` worthless strategies is expected to show (2014, eq. 1).

    ``variance``: of the trials' Sharpe ratios. 0 for one trial. Raises QmtlError (INVALID_FIELD).
    """
    if trials < 1:
        raise invalid_field("trials", f"must be at least 1, is {trials}")
    if variance < 0:
        raise invalid_field("variance", f"must be at least 0, is {variance!r}")
    if trials == 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


def deflated_sharpe(
    sharpe: float, bars: int, skewness: float, excess_kurtosis: float, trials: int, variance: float
) -> float:
    """Return the probability that the true Sharpe ratio beats the luck of the best of ``trials`` (2014, eq. 2)."""
    return probabilistic_sharpe(sharpe, bars, skewness, excess_kurtosis, expected_maximum_sharpe(trials, variance))


def _cdf(z: float) -> float:
    return math.nan if math.isnan(z) else _NORMAL.cdf(z)
