"""Weights of active strategies, by method and cap."""

from __future__ import annotations

import pytest

from qmtl_world.allocation.weights import Share, Weighting, WeightRules, weigh

NAN = float("nan")


def weights(method: Weighting, *shares: tuple[float, float], cap: float = 1.0) -> tuple[float, ...]:
    return weigh([Share(*share) for share in shares], WeightRules(method, cap))


def test_equal_shares_everything() -> None:
    assert weights(Weighting.EQUAL, (1, 1), (2, 2), (3, NAN), (4, 4)) == (0.25, 0.25, 0.25, 0.25)


def test_score_shares_in_proportion_to_positive_scores() -> None:
    assert weights(Weighting.SCORE, (3.0, 1.0), (1.0, 1.0), (-2.0, 1.0)) == (0.75, 0.25, 0.0)


def test_score_shares_equally_when_none_is_positive() -> None:
    assert weights(Weighting.SCORE, (-3.0, 1.0), (0.0, 1.0)) == (0.5, 0.5)


def test_inverse_volatility_gives_the_calm_more() -> None:
    assert weights(Weighting.INVERSE_VOLATILITY, (1.0, 0.1), (1.0, 0.3)) == pytest.approx((0.75, 0.25))


def test_inverse_volatility_gives_nothing_where_it_is_unknown() -> None:
    assert weights(Weighting.INVERSE_VOLATILITY, (1.0, NAN), (1.0, 0.0), (1.0, 0.2)) == (0.0, 0.0, 1.0)
    assert weights(Weighting.INVERSE_VOLATILITY, (1.0, NAN)) == (0.0,)


def test_what_the_cap_cuts_off_goes_to_the_others() -> None:
    assert weights(Weighting.SCORE, (8.0, 1.0), (1.0, 1.0), (1.0, 1.0), cap=0.5) == pytest.approx((0.5, 0.25, 0.25))


def test_what_nobody_can_take_stays_cash() -> None:
    assert weights(Weighting.EQUAL, (1.0, 1.0), cap=0.4) == (0.4,)
    assert weights(Weighting.SCORE, (8.0, 1.0), (1.0, 1.0), cap=0.4) == (0.4, 0.4)


def test_no_strategy_no_weight() -> None:
    assert weights(Weighting.EQUAL) == ()
