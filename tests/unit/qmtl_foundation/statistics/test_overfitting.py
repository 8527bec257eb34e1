"""PBO by CSCV: known cases, and equality with the definition written out split by split."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.statistics.overfitting import logits, probability_of_overfitting


def by_definition(returns: NDArray[np.float64], blocks: int) -> list[float]:
    """Return the logits as in the paper: rank of the best in sample among the trials out of sample."""
    parts = np.split(returns, blocks, axis=1)
    found = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.hstack([parts[i] for i in chosen])
        outside = np.hstack([parts[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(inside.mean(axis=1) / inside.std(axis=1, ddof=1)))
        scores = outside.mean(axis=1) / outside.std(axis=1, ddof=1)
        rank = (scores <= scores[best]).sum() / (len(returns) + 1)
        found.append(math.log(rank / (1 - rank)))
    return found


def test_equals_the_definition_split_by_split() -> None:
    returns = np.random.default_rng(4).normal(0.0005, 0.01, (9, 240))
    np.testing.assert_allclose(logits(returns, blocks=6), by_definition(returns, 6), rtol=1e-9, atol=1e-12)


def test_noise_is_overfitted_half_the_time() -> None:
    random = np.random.default_rng(0)
    found = [probability_of_overfitting(random.normal(0, 0.01, (20, 480)), blocks=8) for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_a_trial_with_skill_is_not_overfitted() -> None:
    returns = np.random.default_rng(0).normal(0, 0.01, (20, 960))
    returns[7] += 0.004
    assert probability_of_overfitting(returns) == 0.0


def test_trials_that_only_trade_luck_between_halves_are_overfitted() -> None:
    """Each trial wins in its own block and loses in all others: best inside is worst outside."""
    returns = np.tile([0.01, -0.01], (8, 160))
    for trial in range(8):
        returns[trial] -= 0.001
        returns[trial, trial * 40 : trial * 40 + 40] += 0.02
    assert probability_of_overfitting(returns, blocks=8) == 1.0


def test_the_oldest_bars_that_fill_no_block_are_left_out() -> None:
    returns = np.random.default_rng(4).normal(0, 0.01, (5, 163))
    assert probability_of_overfitting(returns) == probability_of_overfitting(returns[:, 3:])


def test_one_trial_or_a_short_sample_is_nan() -> None:
    assert math.isnan(probability_of_overfitting(np.zeros((1, 1_000))))
    assert math.isnan(probability_of_overfitting(np.zeros((5, 31))))


def test_trials_that_never_move_tie() -> None:
    assert probability_of_overfitting(np.zeros((4, 64))) == 1.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(QmtlError, match="blocks: must be even"):
        probability_of_overfitting(np.zeros((4, 64)), blocks=5)
    with pytest.raises(QmtlError, match=r"must be \[trials, time\]"):
        probability_of_overfitting(np.zeros(64))
    with pytest.raises(QmtlError, match="nan at bar 3"):
        probability_of_overfitting(np.where(np.arange(64) == 3, np.nan, np.zeros((2, 64))))
