"""Returns that an author states: what is expected is said where something else comes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.submission.series import checked_returns

TIMES = np.arange(3, dtype=np.int64) * 86_400 * 10**9
DATES = [dt.datetime(2004, 1, day) for day in (1, 2, 3)]  # noqa: DTZ001  # read as UTC


@pytest.mark.parametrize(
    "returns", [[0.0, 0.1, -0.1], np.array([0.0, 0.1, -0.1]), pl.DataFrame({"ts": DATES, "return": [0.0, 0.1, -0.1]})]
)
def test_frame_of_polars_and_numbers_per_bar_are_taken(returns: Any) -> None:
    times, values = checked_returns(returns, TIMES)
    assert len(times) == 3
    assert values.tolist() == [0.0, 0.1, -0.1]


@pytest.mark.parametrize(
    ("returns", "kind"),
    [
        (pd.DataFrame({"ts": DATES, "return": [0.0, 0.1, 0.2]}), "DataFrame"),
        (pd.Series([0.0, 0.1, 0.2], index=DATES), "Series"),
    ],
)
def test_pandas_is_refused_with_what_is_expected_and_how_to_make_it(returns: Any, kind: str) -> None:
    with pytest.raises(QmtlError) as caught:
        checked_returns(returns, TIMES)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert f"returns: is a pandas {kind}; give a Polars frame with the columns ts" in caught.value.message
    assert "pl.from_pandas(frame.reset_index()) makes one" in caught.value.message


@pytest.mark.parametrize("returns", ["none", {"ts": DATES}, [DATES[0]]])
def test_what_holds_no_numbers_is_refused(returns: Any) -> None:
    with pytest.raises(QmtlError, match="that holds no numbers; give a Polars frame"):
        checked_returns(returns, TIMES)


def test_bad_return_is_named_by_its_row() -> None:
    with pytest.raises(QmtlError, match="returns, row 1: inf must be finite") as caught:
        checked_returns([0.0, np.inf, 0.0], TIMES)
    assert caught.value.reason is Reason.INVALID_SERIES
    assert caught.value.metadata == {"field": "returns", "row": "1"}
