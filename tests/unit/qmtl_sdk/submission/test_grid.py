"""A grid becomes cells one at a time, and says at once when they are too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk import Strategy
from qmtl_sdk.submission.grid import cells_of


class Trend(Strategy):
    """Have parameters to sweep."""

    fast: int = 1
    slow: int = 2
    n: int = 3
    share: float = 0.5

    def setup(self) -> None:
        """State nothing."""


def test_cells_are_the_product_in_the_order_of_the_grid() -> None:
    cells = cells_of(Trend, {"fast": [1, 2], "slow": (3, 4)})
    assert [tuple(cell.items()) for cell in cells] == [
        (("fast", fast), ("slow", slow)) for fast in (1, 2) for slow in (3, 4)
    ]


@pytest.mark.parametrize(
    ("grid", "count"), [({"fast": range(10**6), "slow": range(10**6)}, 10**12), ({"fast": [], "slow": [1]}, 0)]
)
def test_grid_of_no_cells_or_too_many_is_refused_before_any_is_made(grid: dict[str, range], count: int) -> None:
    with pytest.raises(QmtlError, match=f"grid: makes {count} cells; give 1 to 100000"):
        cells_of(Trend, grid)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "grid: names no parameter; write such as {'fast': [5, 10]}"),
        ([("fast", [1])], "grid: [('fast', [1])] is no mapping; write such as {'fast': [5, 10]}"),
        ({"fst": [1]}, "fst: is no parameter of Trend; its parameters are: fast, slow, n, share"),
        ({5: [1]}, "5: is no parameter of Trend; its parameters are: fast, slow, n, share"),
        ({"n": 5}, "grid.n: 5 is no list of values; write such as [5]"),
        ({"n": "ab"}, "grid.n: 'ab' is no list of values; write such as ['ab']"),
    ],
)
def test_grid_that_is_none_is_refused_with_the_mend(grid: Any, message: str) -> None:
    with pytest.raises(QmtlError) as caught:
        cells_of(Trend, grid)
    assert (caught.value.reason, caught.value.message) == (Reason.INVALID_FIELD, message)


def test_numbers_of_numpy_become_those_of_python() -> None:
    cells = list(cells_of(Trend, {"fast": np.arange(1, 3), "share": [np.float64(0.5)]}))  # type: ignore[dict-item]  # as authors do
    assert cells == [{"fast": 1, "share": 0.5}, {"fast": 2, "share": 0.5}]
    assert [type(value) for value in cells[0].values()] == [int, float]


def test_strategy_that_is_no_class_is_refused() -> None:
    made: Any = Trend()
    with pytest.raises(QmtlError, match="is no strategy class; give the class itself"):
        cells_of(made, {"fast": [1]})
