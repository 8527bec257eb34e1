"""What a replay tells: the first target that differs in any bit, and how far intents came."""

from __future__ import annotations

import json

import numpy as np

from qmtl_sdk.live.result import Difference, ReplayResult, first_difference

CLOSES = np.arange(1, 4, dtype=np.int64) * 86_400 * 10**9
TARGETS = np.array([[np.nan, 0.5], [0.1, 0.5], [0.3, np.nan]])


def difference(live: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Difference | None:
    return first_difference(CLOSES, ("A", "B"), TARGETS, live)


def test_equal_targets_have_no_difference_whatever_nan_is_made_of() -> None:
    other = TARGETS.copy()
    other[0, 0] = -np.nan
    assert difference(other) is None


def test_last_bit_is_a_difference() -> None:
    other = TARGETS.copy()
    other[1, 0] = np.nextafter(0.1, 1.0)
    other[2, 1] = 0.0
    assert difference(other) == Difference("1970-01-03T00:00:00Z", "A", 0.1, np.nextafter(0.1, 1.0), 2)


def test_unknown_target_and_negative_zero_differ_from_zero() -> None:
    other = TARGETS.copy()
    other[0, 0] = 0.0
    assert difference(other) == Difference("1970-01-02T00:00:00Z", "A", None, 0.0, 1)
    assert first_difference(CLOSES[:1], ("A",), np.array([[0.0]]), np.array([[-0.0]])) is not None


def test_document_says_whether_the_targets_are_equal() -> None:
    found = Difference("1970-01-02T00:00:00Z", "A", None, 0.0, 1)
    counts = {"accepted": 3, "outstanding": 0}
    result = ReplayResult("equity", "ana/Trend", "blake3:1", "sample", "2013", "blake3:2", 3, found, counts, 0)
    document = json.loads(json.dumps(result.document()))
    assert (document["equal"], document["intents"]) == (False, counts)
    assert document["difference"] == {
        "bar": "1970-01-02T00:00:00Z",
        "symbol": "A",
        "backtest": None,
        "live": 0.0,
        "count": 1,
    }
