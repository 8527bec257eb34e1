"""What benchmarks make of their times."""

from __future__ import annotations

import pytest

from benchmarks.measure import percentile


@pytest.mark.parametrize(
    ("count", "share", "rank"),
    [(20, 0.95, 19), (60, 0.95, 57), (7, 0.95, 7), (7, 0.5, 4), (1_000, 0.5, 500), (1, 0.5, 1)],
)
def test_a_percentile_is_the_time_of_the_nearest_rank(count: int, share: float, rank: int) -> None:
    assert percentile([float(each) for each in range(count, 0, -1)], share) == rank
